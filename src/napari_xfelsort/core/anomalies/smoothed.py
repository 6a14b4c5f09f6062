"""A frame without its rings, or with values that are usual at the radius."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.profile_features import above_baseline

#: Rings that say what is usual at a radius, and their least width in pixels.
_LEVELS, _LEAST_WIDTH = 240, 1.0
#: Rises as broad as this, in rings of that kind, are smoothed away: first the narrow ones.
_NARROW, _BROAD = 6, 21
#: Rings around a beam on the frame that have no rise: they hold the beam and its stop.
_BEAM = 6
#: Rises begin and end at so many times the noise, and have somewhere so many times it.
_BEGIN, _SURE = 1.5, 6.0
#: A rise is divided where it falls to this share of the lower top beside it.
_VALLEY = 0.5
#: The most rises that are asked for.
_MOST_RISES = 24

Frame = NDArray[np.float32]


class Smoothed:
    """A frame with usual values.

    Attributes
    ----------
    rises : list of ndarray, each of shape (rings,)
        Excess of each ring of the profile that rises, relative to what is below it.
    edges : ndarray, shape (rises, 2)
        Inner and outer radius of each in pixels.
    flat : ndarray, shape of the frame
        Without rises, what differs within rings kept.
    filled : ndarray, same shape
        Every pixel from somewhere at its radius, of those that are usual there.
    clean : ndarray, same shape
        Both.
    """

    def __init__(self, pixels: Frame, center: tuple[float, float], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        away, _, _ = polar(pixels.shape, center)
        low, high = float(away.min()), float(away.max())
        n = int(np.clip((high - low) / _LEAST_WIDTH, 4, _LEVELS))
        width = (high - low) / n
        self._ring = np.minimum(((away - low) / (width or 1.0)).astype(np.int16), n - 1)
        self._pixels, self._good = pixels, np.isfinite(pixels)
        self._number = self._ring[self._good]
        self._values = pixels[self._good]
        self._levels = levels = _Levels(self._values, self._number, n)
        usual = levels.draw(self._number, self._random)
        # A beam off the frame is not in the first rings.
        self.rises = _rises(levels.known, levels.noise, _BEAM if low < width else 0)
        ends = np.array([np.flatnonzero(each)[[0, -1]] for each in self.rises]).reshape(-1, 2)
        self.edges = low + width * (ends + np.array([0, 1]))
        everywhere = range(len(self.rises))
        self.flat = self.without(everywhere)
        self.filled = self._frame(usual)
        self.clean = self._frame(self._lowered(usual, everywhere))

    def without(self, which: Iterable[int]) -> Frame:
        """The frame without some of the rises."""
        return self._frame(self._lowered(self._values, which))

    def heat(self, added: NDArray[np.float64]) -> Frame:
        """What rises add, over the frame: all of it down to half of their height."""
        total = np.zeros(len(self._levels.known), np.float32)
        for value, each in zip(added, self.rises, strict=True):
            total += np.float32(value) * np.minimum(2 * each / each.max(), 1).astype(np.float32)
        return total[self._ring]

    def _lowered(self, given: Frame, which: Iterable[int]) -> Frame:
        shares = np.ones(len(self._levels.known))
        for k in which:
            shares /= 1 + self.rises[k]
        share = shares[self._number].astype(np.float32)
        spread = np.sqrt(share * (1 - share)) * self._levels.spread[self._number]
        # Of fewer counts the noise is not less in the same measure.
        noise = spread * self._random.standard_normal(len(given))
        found = np.where(share < 1, given * share + noise, given)
        if (self._values == np.rint(self._values)).all():
            found = np.maximum(np.rint(found), min(0.0, float(self._values.min())))
        return np.asarray(found, np.float32)

    def _frame(self, given: Frame) -> Frame:
        made = self._pixels.copy()
        made[self._good] = given
        return made


def _rises(
    profile: NDArray[np.float64], noise: NDArray[np.float64], first: int
) -> list[NDArray[np.float64]]:
    """Excess of each narrow rise of a profile above what is below it, and of each broad one."""
    found: list[tuple[float, NDArray[np.float64]]] = []
    for width in (_NARROW, _BROAD):
        excess = np.maximum(above_baseline(profile, width), 0.0)
        excess[:first] = 0
        score = excess * np.abs(profile) / (1 + excess) / noise
        taken = np.zeros(len(profile))
        for start, stop in _runs(score):
            each = np.zeros(len(profile))
            each[start:stop] = excess[start:stop]
            found.append((float(score[start:stop].max()), each))
            taken += each
        profile = profile / (1 + taken)
    found.sort(key=lambda one: -one[0])
    return [each for _, each in found[:_MOST_RISES]]


def _runs(score: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Where scores are above the noise and somewhere sure, divided at deep valleys."""
    found = []
    inside = np.concatenate([[False], score > _BEGIN, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    waiting = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    while waiting:
        start, stop = waiting.pop()
        own = score[start:stop]
        if own.max() < _SURE:
            continue
        sides = np.minimum(np.maximum.accumulate(own), np.maximum.accumulate(own[::-1])[::-1])
        k = int((own / sides).argmin())
        if own[k] < _VALLEY * sides[k] and sides[k] >= _SURE:
            waiting += [(start, start + k), (start + k, stop)]
        else:
            found.append((start, stop))
    return found


class _Levels:
    """What values are usual in each ring: all but those far from the middle ones."""

    def __init__(self, values: Frame, number: NDArray[np.int16], n: int) -> None:
        from scipy.ndimage import median_filter

        order = np.lexsort((values, number))
        self._sorted = values[order]
        counts = np.bincount(number, minlength=n)
        self._starts = np.cumsum(counts) - counts
        self._seen = counts > 0
        quarter, middle, upper = (self._at(counts, share) for share in (0.25, 0.5, 0.75))
        sums = np.bincount(number, np.clip(values, None, upper[number]), n)
        mean = sums / np.maximum(counts, 1)
        # Few counts: the middle of the values is one number.
        few = np.minimum(np.sqrt(np.maximum(mean, 0)), 1.0)
        # Of the side that is less spread: spots, or dead pixels, are on one.
        sides = np.minimum(upper - middle, middle - quarter) / 0.6745
        self.spread = np.maximum(sides, np.maximum(few, 1e-6))
        key = number.astype(np.float64)
        usual = np.abs(values - middle[number]) <= 4 * self.spread[number]
        usual = usual[order]
        ranked = key[order].astype(np.int64)
        self._n = np.maximum(np.bincount(ranked[usual], minlength=n), 1)
        # Values are sorted, so that those that are usual lie together.
        below = np.bincount(ranked[~usual & (self._sorted < middle[ranked])], minlength=n)
        self._first = self._starts + below
        places = np.arange(n)
        # A median of counts is a whole number, and steps like a ring.
        level = self._middle_mean(counts) if np.median(middle[self._seen]) > 2 else mean
        self.known = np.interp(places, places[self._seen], level[self._seen])
        # The spread of few values, as in corners, is not known well.
        typical = median_filter(self.spread, 9, mode="nearest")
        self.noise = typical / np.sqrt(np.maximum(counts, 1))

    def draw(self, number: NDArray[np.int16], rng: np.random.Generator) -> Frame:
        """A usual value for each pixel."""
        at = (rng.random(len(number)) * self._n[number]).astype(np.int64)
        return np.asarray(self._sorted[self._first[number] + at])

    def _middle_mean(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean of the half of the values of each ring that lie in the middle."""
        total = np.concatenate([[0.0], np.cumsum(self._sorted, dtype=np.float64)])
        first = self._starts + counts // 4
        last = np.maximum(self._starts + counts - counts // 4, first + 1)
        last = np.minimum(last, len(self._sorted))
        first = np.minimum(first, last - 1)
        return np.asarray((total[last] - total[first]) / (last - first))

    def _at(self, counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        place = self._starts + (share * np.maximum(counts - 1, 0)).astype(np.int64)
        place = np.minimum(place, len(self._sorted) - 1)
        return np.where(self._seen, self._sorted[place], 0.0).astype(np.float64)


def polar(
    shape: tuple[int, ...], center: tuple[float, float]
) -> tuple[Frame, NDArray[np.float32], NDArray[np.float32]]:
    """Distance from the centre, and rows and columns from there."""
    y = (np.arange(shape[0], dtype=np.float32) - np.float32(center[0]))[:, np.newaxis]
    x = (np.arange(shape[1], dtype=np.float32) - np.float32(center[1]))[np.newaxis]
    return np.hypot(y, x), y, x
