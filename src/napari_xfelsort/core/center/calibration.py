"""How sure an answer is: all constants that were set on simulated frames, in one place.

They were set on seeds 5000 to 5399 of `simulate_scene` (1024 x 1024, regime wide), before the
model had lobes and a net, and cover the errors of 98 of 100 frames of seeds 9000 to 9139,
which nothing was set on.
"""

from __future__ import annotations

import math

import numpy as np

from napari_xfelsort.core.center.radial import RadialFit
from napari_xfelsort.core.center.search import Search

#: The uncertainty is this times the jackknife's error, ...
JACKKNIFE = 4.5
#: ... this times the error for independent cells, ...
INDEPENDENT = 3.0
#: ... this times how far the fit moved from larger cells to smaller ones, ...
MOVED = 2.5
#: ... and this share of the longer side, added in squares.
FLOOR = 0.0008
#: Answers that are less certain than this share of the side are not given; off the frame,
#: where only the curvature of rings tells, less is asked for (seeds 5000 to 5399 and 14000 to
#: 14299, of which 42 have such a centre).
LIMIT, LIMIT_OUTSIDE = 0.025, 0.045
#: Nor those whose cost for a cell is less than this below that of a rival elsewhere.
LEAD = 0.012


def uncertainty(fit: RadialFit, coarser: RadialFit, side: float) -> float:
    """Distance in pixels within which the centre is for about 19 frames of 20."""
    shared = float(np.trace(fit.jackknife))
    alone = float(np.trace(fit.covariance))
    moved = float(((fit.center - coarser.center) ** 2).sum())
    total = JACKKNIFE**2 * shared + INDEPENDENT**2 * alone + MOVED**2 * moved
    total += (FLOOR * side) ** 2
    return math.sqrt(total) if total >= 0 else math.nan


def lead(found: Search) -> float:
    """By how much the cost for a cell is below that of the best rival elsewhere."""
    if found.rival is None:
        return math.inf
    return (found.rival.cost - found.halfway.cost) / len(found.halfway.cells)


def doubt(found: Search, expected: float, shape: tuple[int, int]) -> str:
    """Why an answer should not be given, as a sentence; empty if it should."""
    inside = all(0 <= at < n for at, n in zip(found.best.center, shape, strict=True))
    if expected > (LIMIT if inside else LIMIT_OUTSIDE) * max(shape):
        return f"The centre is known to {expected:.0f} pixels only."
    if lead(found) < LEAD:
        y, x = found.rival.center if found.rival is not None else (math.nan, math.nan)
        return f"Another centre, at row {y:.0f} and column {x:.0f}, explains the frame as well."
    return ""
