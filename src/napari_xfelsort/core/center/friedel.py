"""The centre from Friedel pairs of many events: peaks that lie opposite each other.

A reflection and its opposite lie at p and 2c - p, so that the middle between them is the
centre. One still frame shows few such pairs, since the Ewald sphere is curved, and the
fewer the higher the angle; over many events their middles heap up at the centre,
while those of all other pairs spread widely. Pairs near the centre count most.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.center.result import CenterResult

Floats = NDArray[np.float64]

#: Peaks of an event that are used at most; pairs grow with the square.
MOST_PEAKS = 300
#: Side in pixels of the squares that middles are first counted in.
_BIN = 4.0
#: Pairs further from the centre than this share of the picture lose weight.
_NEAR = 0.2
#: Radii in pixels of the pairs that the centre is refined with.
_RADII = (8.0, 4.0, 2.5)
#: Excess over chance in standard deviations, and least number of pairs in excess.
_SIGNIFICANT, _FEWEST = 6.0, 10.0
#: Share of the events above which a peak at one place is a bad pixel.
_RECURRING = 0.2


def center_of_pairs(events: Iterable[ArrayLike]) -> CenterResult:
    """Centre that the peaks of many events are opposite each other about.

    Parameters
    ----------
    events : iterable of array_like, shape (peaks, 2)
        Row and column of the peaks of each event in one picture; NaN do not count.

    Returns
    -------
    CenterResult
        Method ``friedel``; None where no middle is common beyond chance.
    """
    points = [_checked(each) for each in events]
    points = _without_recurring([each for each in points if len(each)])
    made = [_middles(each) for each in points if len(each) > 1]
    if not made:
        return CenterResult.unknown("friedel", "No event has two peaks.")
    middles = np.concatenate([middle for middle, _ in made])
    lengths = np.concatenate([length for _, length in made])
    size = float(np.ptp(np.concatenate(points), axis=0).max())
    weights = 1 / (1 + (lengths / (2 * _NEAR * max(size, 1.0))) ** 2)
    start, excess = _densest(middles, weights)
    center = _refined(middles, weights, start)
    near = np.hypot(*(middles - center).T) < _RADII[-1]
    around = np.hypot(*(middles - center).T) < 4 * _RADII[-1]
    chance = (weights[around].sum() - weights[near].sum()) / 15  # of the ring's area
    pairs = float(weights[near].sum() - chance)
    details = {"pairs": pairs, "excess": excess}
    if excess < _SIGNIFICANT or pairs < _FEWEST:
        return CenterResult.unknown(
            "friedel", "Peaks do not lie opposite each other more often than by chance.", **details
        )
    spread = np.sqrt(
        np.average(((middles[near] - center) ** 2).sum(axis=1), weights=weights[near])
    )
    uncertainty = float(3 * spread * np.sqrt(weights[near].sum()) / pairs + 0.1)
    return CenterResult(float(center[0]), float(center[1]), uncertainty, "friedel", "", details)


def _checked(event: ArrayLike) -> Floats:
    points = np.asarray(event, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) > MOST_PEAKS:  # those nearest the middle: few others are opposite
        off = np.hypot(*(points - np.median(points, axis=0)).T)
        points = points[np.argsort(off, kind="stable")[:MOST_PEAKS]]
    return points


def _without_recurring(events: list[Floats]) -> list[Floats]:
    """Events without peaks at places where too many events have one."""
    if len(events) < 10:
        return events
    cells = [np.unique(np.floor(points).astype(np.int64), axis=0) for points in events]
    places, counts = np.unique(np.concatenate(cells), axis=0, return_counts=True)
    bad = {tuple(place) for place in places[counts > _RECURRING * len(events)].tolist()}
    if not bad:
        return events
    return [
        points[[tuple(p) not in bad for p in np.floor(points).astype(np.int64).tolist()]]
        for points in events
    ]


def _middles(points: Floats) -> tuple[Floats, Floats]:
    """Middles and distances of all pairs."""
    first, second = np.triu_indices(len(points), 1)
    off = points[first] - points[second]
    return (points[first] + points[second]) / 2, np.hypot(off[:, 0], off[:, 1])


def _densest(middles: Floats, weights: Floats) -> tuple[Floats, float]:
    """Where middles are densest compared with around, and the excess in deviations."""
    from scipy.ndimage import gaussian_filter

    low = middles.min(axis=0) - 2 * _BIN
    shape = np.ceil((middles.max(axis=0) + 2 * _BIN - low) / _BIN).astype(np.int64)
    at = ((middles - low) / _BIN).astype(np.int64)
    flat = np.ravel_multi_index(tuple(at.T), tuple(shape.tolist()))
    counts = np.bincount(flat, weights, minlength=int(shape.prod())).reshape(shape)
    squares = np.bincount(flat, weights**2, minlength=int(shape.prod())).reshape(shape)
    dense = gaussian_filter(counts, 0.7)
    around = gaussian_filter(counts, 8.0)
    # Of a sum of weights that are smoothed: a Gaussian's square sums to 1 / (4 pi sigma^2).
    variance = gaussian_filter(squares, 8.0) / (4 * np.pi * 0.7**2)
    excess = (dense - around) / np.sqrt(variance + 0.05)
    best = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return low + (np.array(best) + 0.5) * _BIN, float(excess[best])


def _refined(middles: Floats, weights: Floats, start: Floats) -> Floats:
    """Mean of the middles within ever smaller circles about it."""
    center = start
    for radius in _RADII:
        for _ in range(20):
            off = middles - center
            share = np.maximum(1 - (off**2).sum(axis=1) / radius**2, 0) ** 2 * weights
            if share.sum() <= 0:
                break
            step = (off * share[:, np.newaxis]).sum(axis=0) / share.sum()
            center = center + step
            if np.hypot(*step) < 1e-3:
                break
    return center
