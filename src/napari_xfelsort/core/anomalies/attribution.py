"""Where on a frame a model sees an anomaly: what changes when rings or parts are smoothed.

A part of the frame is replaced by what is usual at its radius, and the model asked again;
and the other way round, the part alone is kept of a frame that is otherwise smooth. Both are
needed: one of two rings of ice may be taken away without the frame being free of ice.
(Occlusion after Zeiler & Fergus, ECCV 2014, in both directions.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.learners import FRAME_FEATURES, positive_scores
from napari_xfelsort.core.anomalies.profile_features import above_baseline
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.errors import ModelError, RegionError

#: Told what was asked of the model and is to be; may raise to stop.
Progress = Callable[[int, int], None]

#: Bands of radius that rings are told in.
RINGS = 24
#: Parts at first, and how often the best are divided in four.
_BANDS, _SECTORS, _DIVISIONS, _BEST = 3, 8, 2, 4
_FINE = 2**_DIVISIONS
#: Rings that say what is usual at a radius, and their least width in pixels.
_LEVELS, _LEAST_WIDTH = 240, 1.0
#: Rises as broad as this, in rings of that kind, are smoothed away.
_BROAD = 21
#: Log-odds are told within this, and what changes them by less is not looked at closer.
_MOST, _NOTHING = 30.0, 0.05
_UNKNOWN = Optics()

Frame = NDArray[np.float32]


class Attribution(NamedTuple):
    """Where a model sees an anomaly.

    Attributes
    ----------
    class_name : str
        The anomaly.
    heat : ndarray of float32, shape of the frame
        Log-odds that rings and parts add to the anomaly; what speaks against it is
        negative, NaN where the frame has no value.
    rings : ndarray, shape (RINGS,)
        What whole rings add.
    edges : ndarray, shape (RINGS + 1,)
        Radii in pixels between them.
    probability : float
        Of the frame.
    smooth : float
        Of the frame when all of it is smooth: near ``probability`` where the model judges
        by no part in particular, such as by the number of counts.
    """

    class_name: str
    heat: Frame
    rings: NDArray[np.float64]
    edges: NDArray[np.float64]
    probability: float
    smooth: float

    @property
    def strongest(self) -> tuple[float, float] | None:
        """Inner and outer radius of the ring that adds most; None when no ring adds any."""
        k = int(np.argmax(self.rings))
        if self.rings[k] <= _NOTHING:
            return None
        return float(self.edges[k]), float(self.edges[k + 1])

    @property
    def has_place(self) -> bool:
        """Whether any ring or part adds something."""
        return bool(np.nanmax(self.heat, initial=0) > _NOTHING)


def attribute(
    model: AnomalyModel,
    frame: NDArray[Any],
    class_name: str,
    center: tuple[float, float],
    mask: NDArray[np.bool_] | None = None,
    optics: Optics = _UNKNOWN,
    progress: Progress | None = None,
    seed: int = 0,
) -> Attribution:
    """Which rings and which parts of a frame make a model see an anomaly.

    Takes as long as judging some hundred frames.

    Parameters
    ----------
    model : AnomalyModel
        The model.
    frame : ndarray, shape (rows, columns)
        Assembled; values that are not finite are bad.
    class_name : str
        An anomaly of the model.
    center : (float, float)
        (y, x) of the beam in pixels; may lie off the frame.
    mask : ndarray of bool, optional
        True where bad in all frames.
    optics : Optics
        Wavelength and distance where known.
    progress : callable, optional
        Called with questions asked and in all, of which there may become more; may raise
        to stop.
    seed : int
        Of the noise of what is smoothed; equal seeds give equal results.

    Raises
    ------
    ModelError
        If the model knows no such anomaly, or was trained on other features.
    RegionError
        If no pixel has a value.
    SettingsError
        If the frame is no picture, or the centre no place.
    """
    if class_name not in model.class_names:
        raise ModelError(
            f"The model knows no {class_name!r}; it knows {', '.join(model.class_names)}."
        )
    pixels = np.array(frame, np.float32)
    if mask is not None and mask.shape == pixels.shape:
        pixels[mask] = np.nan
    if not np.isfinite(pixels).any():
        raise RegionError("All pixels are bad in this event, or masked.")
    asked = _Asked(model, model.class_names.index(class_name), center, mask, optics, progress)
    asked.more(1)
    whole = asked.of([pixels])[0]  # tells of a wrong centre or shape before anything else
    smooth = _Smooth(pixels, center, seed)
    parts = _Parts(pixels, center)
    asked.more(3)
    flat, filled, clean = asked.of([smooth.flat, smooth.filled, smooth.clean])
    rings = np.zeros(RINGS)
    if max(abs(whole - flat), abs(filled - clean)) > _NOTHING:
        bands = range(RINGS)
        asked.more(2 * RINGS)
        gone = asked.of(np.where(parts.ring == k, smooth.flat, pixels) for k in bands)
        kept = asked.of(np.where(parts.ring == k, smooth.filled, smooth.clean) for k in bands)
        rings = (whole - gone + kept - clean) / 2
    heat = rings[parts.ring].astype(np.float32)
    if abs(whole - filled) > _NOTHING:
        _add_parts(heat, parts, pixels, smooth.filled, (whole, filled), asked)
    heat[~np.isfinite(pixels)] = np.nan
    return Attribution(class_name, heat, rings, parts.edges, _share(whole), _share(clean))


def _add_parts(
    heat: Frame,
    parts: _Parts,
    pixels: Frame,
    filled: Frame,
    known: tuple[float, float],
    asked: _Asked,
) -> None:
    """Add what each part adds, and what the best of them do when they are divided."""
    size = _FINE
    cells = [(b, s) for b in range(0, _BANDS * _FINE, size) for s in range(0, parts.around, size)]
    for division in range(_DIVISIONS + 1):
        where = [parts.cell(cell, size) for cell in cells]
        used = [(cell, each) for cell, each in zip(cells, where, strict=True) if each.any()]
        asked.more(2 * len(used))
        gone = asked.of(np.where(each, filled, pixels) for _, each in used)
        kept = asked.of(np.where(each, pixels, filled) for _, each in used)
        added = (known[0] - gone + kept - known[1]) / 2
        for (_, each), own in zip(used, added, strict=True):
            heat[each] += np.float32(own)
        best = [k for k in np.argsort(-added)[:_BEST] if added[k] > _NOTHING]
        if division == _DIVISIONS or not best:
            return
        size //= 2
        corners = [used[k][0] for k in best]
        cells = [(b + i, s + j) for b, s in corners for i in (0, size) for j in (0, size)]


class _Parts:
    """Rings and parts that pixels are in."""

    def __init__(self, pixels: Frame, center: tuple[float, float]) -> None:
        away, y, x = _polar(pixels.shape, center)
        low, high = float(away.min()), float(away.max())
        span = (high - low) or 1.0
        self.edges = low + span * np.arange(RINGS + 1) / RINGS
        share = (away - low) / np.float32(span)
        self.ring = np.minimum((share * RINGS).astype(np.int16), RINGS - 1)
        bands, self.around = _BANDS * _FINE, _SECTORS * _FINE
        band = np.minimum((share * bands).astype(np.int16), bands - 1)
        turn = np.arctan2(y, x) / (2 * np.pi) % 1.0
        sector = np.minimum((turn * self.around).astype(np.int16), self.around - 1)
        self._code = band * np.int16(self.around) + sector
        self._shape = (bands, self.around)
        self._good = np.isfinite(pixels)

    def cell(self, corner: tuple[int, int], size: int) -> NDArray[np.bool_]:
        """True in the pixels of a part that have a value."""
        b, s = corner
        table = np.zeros(self._shape, bool)
        table[b : b + size, s : s + size] = True
        return np.asarray(table.ravel()[self._code] & self._good)


class _Smooth:
    """A frame with usual values.

    Attributes
    ----------
    flat : ndarray, shape of the frame
        Rings cut down to the smooth background, what differs within them kept.
    filled : ndarray, same shape
        Every pixel from somewhere at its radius, of those that are usual there.
    clean : ndarray, same shape
        Both.
    """

    def __init__(self, pixels: Frame, center: tuple[float, float], seed: int) -> None:
        rng = np.random.default_rng(seed)
        away, _, _ = _polar(pixels.shape, center)
        low, high = float(away.min()), float(away.max())
        n = int(np.clip((high - low) / _LEAST_WIDTH, 4, _LEVELS))
        ring = np.minimum(((away - low) / ((high - low) or 1.0) * n).astype(np.int16), n - 1)
        good = np.isfinite(pixels)
        self._number = ring[good]
        values = pixels[good]
        levels = _Levels(values, self._number, n)
        usual = levels.draw(self._number, rng)
        self._share = 1.0 / (1.0 + np.maximum(above_baseline(levels.known, _BROAD), 0.0))
        whole_numbers = bool((values == np.rint(values)).all())

        def lowered(given: Frame) -> Frame:
            share = self._share[self._number].astype(np.float32)
            spread = np.sqrt(share * (1 - share)) * levels.spread[self._number]
            # Of fewer counts the noise is not less in the same measure.
            noise = spread * rng.standard_normal(len(given))
            found = np.where(share < 1, given * share + noise, given)
            if whole_numbers:
                found = np.maximum(np.rint(found), min(0.0, float(values.min())))
            return np.asarray(found, np.float32)

        def as_frame(given: Frame) -> Frame:
            made = pixels.copy()
            made[good] = given
            return made

        self.flat = as_frame(lowered(values))
        self.filled = as_frame(usual)
        self.clean = as_frame(lowered(usual))


class _Levels:
    """What values are usual in each ring: all but those far from the middle ones."""

    def __init__(self, values: Frame, number: NDArray[np.int16], n: int) -> None:
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
        level = np.where(middle > 2, middle, mean)
        self.known = np.interp(places, places[self._seen], level[self._seen])

    def draw(self, number: NDArray[np.int16], rng: np.random.Generator) -> Frame:
        """A usual value for each pixel."""
        at = (rng.random(len(number)) * self._n[number]).astype(np.int64)
        return np.asarray(self._sorted[self._first[number] + at])

    def _at(self, counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        place = self._starts + (share * np.maximum(counts - 1, 0)).astype(np.int64)
        place = np.minimum(place, len(self._sorted) - 1)
        return np.where(self._seen, self._sorted[place], 0.0).astype(np.float64)


class _Asked:
    """The log-odds that a model gives frames, and how many were asked for."""

    def __init__(
        self,
        model: AnomalyModel,
        number: int,
        center: tuple[float, float],
        mask: NDArray[np.bool_] | None,
        optics: Optics,
        progress: Progress | None,
    ) -> None:
        self._model, self._number = model, number
        self._center, self._mask, self._optics = center, mask, optics
        self._progress = progress
        self._done = self._total = 0

    def more(self, n: int) -> None:
        """So many more will be asked."""
        self._total += n

    def of(self, frames: Iterable[Frame] | Sequence[Frame]) -> NDArray[np.float64]:
        """Log-odds of each."""
        rows = []
        for frame in frames:
            rows.append(self._features(frame))
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
        if not rows:
            return np.zeros(0)
        return _log_odds(self._model.classifiers[self._number], np.stack(rows))

    def _features(self, frame: Frame) -> Frame:
        model = self._model
        if model.features == FRAME_FEATURES:
            found = frame_features(frame, self._center, self._mask, self._optics)
            same = model.feature_names in ((), tuple(found))
            row = np.array(list(found.values()), np.float32)
        else:
            row, same = grey_ring_vector(frame, self._center, self._mask), True
        if not same or len(row) != model.n_features:
            raise ModelError(
                "The model was trained on other features than this version of the program takes; "
                "train it again."
            )
        return row


def _polar(
    shape: tuple[int, ...], center: tuple[float, float]
) -> tuple[Frame, NDArray[np.float32], NDArray[np.float32]]:
    """Distance from the centre, and rows and columns from there."""
    y = (np.arange(shape[0], dtype=np.float32) - np.float32(center[0]))[:, np.newaxis]
    x = (np.arange(shape[1], dtype=np.float32) - np.float32(center[1]))[np.newaxis]
    return np.hypot(y, x), y, x


def _log_odds(classifier: Any, matrix: Frame) -> NDArray[np.float64]:
    """Log-odds of the class; where it can be, not from probabilities that are rounded to 1."""
    if hasattr(classifier, "decision_function"):
        found = np.asarray(classifier.decision_function(matrix), np.float64)
        if found.ndim == 1:
            return found
    chance = positive_scores(classifier, matrix)
    with np.errstate(divide="ignore"):
        odds = np.log(chance) - np.log1p(-chance)
    return np.asarray(np.clip(odds, -_MOST, _MOST), np.float64)


def _share(odds: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(odds, -500, 500))))
