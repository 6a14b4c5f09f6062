"""Where a search for the centre may begin: a map of how radial a frame is about each point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import PreparedFrame
from napari_xfelsort.core.center.radial import WARP

Floats = NDArray[np.float64]
#: Costs of centres, for rings of a width.
Scorer = Callable[[Floats, float], Floats]

#: Distance of the points tried, in sides of the frame.
SPACING = 0.05
#: How far off the frame they go, in sides.
BEYOND = 0.25
#: Minima of the cost that are followed.
_INSIDE, _OUTSIDE = 3, 3
#: Width of a ring in warped radius.
_RING = 0.09
#: Error of the model relative to the light, and residual where cost stops growing.
_MODEL_ERROR = 0.1
_CUT = 3.0


def radial_starts(frame: PreparedFrame) -> list[Floats]:
    """Points where the frame is most radial, best first, on and off the frame.

    Minima of the cost on a wide net, each followed on finer ones with narrower rings.
    """
    from scipy.ndimage import minimum_filter

    score = _scorer(frame)
    step = SPACING * frame.side
    axes = [_line(length, step, BEYOND * frame.side) for length in frame.image.shape]
    net = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    costs = score(net.reshape(-1, 2), _RING).reshape(net.shape[:2])
    low = (costs == minimum_filter(costs, 3)) & np.isfinite(costs)
    order = np.argsort(costs[low], kind="stable")
    points = net[low][order]
    inside = ((points >= 0) & (points < frame.image.shape)).all(axis=1)
    chosen = [*points[inside][:_INSIDE], *points[~inside][:_OUTSIDE]]
    found = [_followed(score, point, step) for point in chosen]
    found.sort(key=lambda each: each[1])
    return [point for point, _ in found]


def _followed(score: Scorer, point: Floats, step: float) -> tuple[Floats, float]:
    """The best point about one, on two nets of a third of the spacing each."""
    cost = np.inf
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    for ring in (_RING / 2, _RING / 3):
        step /= 3
        net = point + step * steps
        costs = score(net, ring)
        best = int(np.argmin(costs))
        point, cost = net[best], float(costs[best])
    return point, cost


def _scorer(frame: PreparedFrame) -> Scorer:
    from napari_xfelsort.core.center.radial_loops import score_centres

    table = frame.levels[0].table
    mean = table[:, 1]
    floor = max(1e-3 * float(np.median(mean)), 1e-12)
    level = np.maximum(mean, floor)
    relative = (frame.gain * level + frame.read) / table[:, 0] / level**2
    values, weights = np.log(level), 1 / (relative + _MODEL_ERROR**2)
    rows, columns = table[:, 2].copy(), table[:, 3].copy()

    def score(centres: Floats, ring: float) -> Floats:
        return np.asarray(
            score_centres(values, weights, rows, columns, centres, WARP * frame.side, ring, _CUT)
        )

    return score


def _line(length: int, step: float, beyond: float) -> Floats:
    """Evenly spaced points about the middle of an axis."""
    reach = int(((length - 1) / 2 + beyond) / step)
    return np.asarray((length - 1) / 2 + step * np.arange(-reach, reach + 1))
