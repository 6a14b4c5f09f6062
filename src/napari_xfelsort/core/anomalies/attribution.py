"""Where on a frame a model sees an anomaly: what changes when rings or parts are smoothed.

A ring that rises above the smooth background is cut down to it, or a part of the frame is
replaced by what is usual at its radius, and the model asked again; and the other way round,
the ring or part alone is kept. Both are needed: one of two rings of ice may be taken away
without the frame being free of ice. (Occlusion after Zeiler & Fergus, ECCV 2014, in both
directions.) Only rings that rise are asked for, each as a whole: what else is cut out of a
profile leaves edges, which are like narrow rings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.learners import FRAME_FEATURES, positive_scores, prepared
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.anomalies.smoothed import Frame, Smoothed, polar
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.errors import ModelError, RegionError

#: Told what was asked of the model and is to be; may raise to stop.
Progress = Callable[[int, int], None]

#: Parts at first, and how often the best are divided in four.
_BANDS, _SECTORS, _DIVISIONS, _BEST = 3, 8, 2, 4
_FINE = 2**_DIVISIONS
#: Log-odds are told within this, and what changes them by less is not looked at closer.
_MOST, _NOTHING = 30.0, 0.05
_UNKNOWN = Optics()


class Attribution(NamedTuple):
    """Where a model sees an anomaly.

    Attributes
    ----------
    class_name : str
        The anomaly.
    heat : ndarray of float32, shape of the frame
        Log-odds that rings and parts add to the anomaly; what speaks against it is
        negative, NaN where the frame has no value.
    rings : ndarray, shape (rings,)
        What each ring adds that rises above the smooth background; there may be none.
    edges : ndarray, shape (rings, 2)
        Inner and outer radius of each in pixels.
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
        if self.rings.max(initial=0) <= _NOTHING:
            return None
        inner, outer = self.edges[int(np.argmax(self.rings))]
        return float(inner), float(outer)

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
    smooth = Smoothed(pixels, center, seed)
    parts = _Parts(pixels, center)
    asked.more(3)
    flat, filled, clean = asked.of([smooth.flat, smooth.filled, smooth.clean])
    rises = range(len(smooth.rises))
    asked.more(2 * len(rises))
    gone = asked.of(smooth.without([k]) for k in rises)
    kept = asked.of(smooth.without([j for j in rises if j != k]) for k in rises)
    rings = (whole - gone + kept - flat) / 2
    heat = smooth.heat(rings)
    if abs(whole - filled) > _NOTHING:
        _add_parts(heat, parts, pixels, smooth.filled, (whole, filled), asked)
    heat[~np.isfinite(pixels)] = np.nan
    return Attribution(class_name, heat, rings, smooth.edges, _share(whole), _share(clean))


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
    """Parts that pixels are in."""

    def __init__(self, pixels: Frame, center: tuple[float, float]) -> None:
        away, y, x = polar(pixels.shape, center)
        low, high = float(away.min()), float(away.max())
        span = (high - low) or 1.0
        share = (away - low) / np.float32(span)
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
        inputs = prepared(self._model.features, np.stack(rows))
        return _log_odds(self._model.classifiers[self._number], inputs)

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
