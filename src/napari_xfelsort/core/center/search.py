"""The search of `auto`: many starts, coarse fits, the best ones fitted again on finer cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.beam_stop import beam_stop_shadow
from napari_xfelsort.core.center.cells import PreparedFrame
from napari_xfelsort.core.center.patches import missed, without
from napari_xfelsort.core.center.radial import COARSE, STRICT, RadialFit, fit_radial
from napari_xfelsort.core.center.shadows import without_shadows
from napari_xfelsort.core.center.starts import radial_starts
from napari_xfelsort.core.center.symmetry import symmetric_points

Floats = NDArray[np.float64]

#: Knots of the radial profile on each level of cells.
KNOTS = (40, 64, 128)
#: Fits kept after the forgiving stage, and after the coarse cells.
_KEPT, _FINALISTS = 4, 2
#: Two fits this close, in sides, are one.
_SAME = 0.02


@dataclass(frozen=True, eq=False)
class Search:
    """What was found.

    Attributes
    ----------
    best : RadialFit
        On the finest cells used, without patches that `halfway` misses.
    rival : RadialFit or None
        The next best elsewhere, on cells twice as large, as `halfway`.
    halfway : RadialFit
        The best on these cells.
    symmetric : list of (ndarray, float)
        Points of highest symmetry and their correlation.
    shadow : float
        Share of the frame that was taken for hard shadow.
    """

    best: RadialFit
    rival: RadialFit | None
    halfway: RadialFit
    symmetric: list[tuple[Floats, float]]
    shadow: float


def search(frame: PreparedFrame) -> Search:
    """Look for the centre that explains a frame best."""
    levels = without_shadows(frame)
    shadow = 1 - len(levels[0]) / len(frame.levels[0])
    frame = replace(frame, levels=levels)
    symmetric = symmetric_points(frame)
    fits = [
        fit_radial(frame, levels[0], x, KNOTS[0], COARSE[:1]) for x in _starts(frame, symmetric)
    ]
    fits = [
        fit_radial(frame, levels[0], fit, KNOTS[0], COARSE[1:]) for fit in _distinct(fits)[:_KEPT]
    ]
    fits = _distinct(fits)[:_FINALISTS]
    if len(levels) > 1:
        fits = [fit_radial(frame, levels[1], fit, KNOTS[1], STRICT) for fit in fits]
        fits = _distinct(fits)
    halfway = fits[0]
    finest = levels[min(2, len(levels) - 1)]
    left = without(finest, missed(frame, halfway), halfway.cells.size)
    best = fit_radial(frame, left, halfway, KNOTS[2], STRICT, True)
    return Search(best, fits[1] if len(fits) > 1 else None, halfway, symmetric, shadow)


def _starts(frame: PreparedFrame, symmetric: list[tuple[Floats, float]]) -> list[Floats]:
    starts = [point for point, _ in symmetric] + [frame.middle]
    stop = beam_stop_shadow(frame)
    starts += [] if stop is None else [stop[0]]
    starts += radial_starts(frame)
    distinct: list[Floats] = []
    for start in starts:
        if all(np.hypot(*(start - other)) > _SAME * frame.side for other in distinct):
            distinct.append(start)
    return distinct


def _distinct(fits: list[RadialFit]) -> list[RadialFit]:
    """The best first, without those that came to the same place."""
    kept: list[RadialFit] = []
    for fit in sorted(fits, key=lambda each: each.cost):
        far = _SAME * np.ptp(fit.cells.table[:, 2:], axis=0).max()
        if all(np.hypot(*(fit.center - other.center)) > far for other in kept):
            kept.append(fit)
    return kept
