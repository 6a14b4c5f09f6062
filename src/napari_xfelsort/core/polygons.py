"""Polygons: which points they hold, and those that stand for ellipses and lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Corners of the half circle at either end of a line; odd, so that one is straight ahead.
_CAP_CORNERS = 17
#: Wider by this share, so that rounding opens no gap where a line runs between two rows.
_ROUNDING = 1e-6


def points_in_polygon(
    x: NDArray[np.float64], y: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points lie inside a polygon, by the even-odd rule.

    Parameters
    ----------
    x, y : ndarray
        The points.
    corners : ndarray, shape (corners, 2)
        (x, y) of the corners; the last is joined to the first.
    """
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        # A side that is all but level may have a slope too large for a number.
        with np.errstate(over="ignore", invalid="ignore"):
            inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return inside


def ellipse_polygon(corners: ArrayLike, n: int = 64) -> NDArray[np.float64]:
    """Polygon of an ellipse.

    Parameters
    ----------
    corners : array_like, shape (4, 2)
        Corners in order of the parallelogram around the ellipse.
    n : int
        Corners of the polygon; they lie on the ellipse.

    Returns
    -------
    ndarray, shape (n, 2)
    """
    box = np.asarray(corners, np.float64)
    centre, along, across = box.mean(axis=0), (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = 2 * np.pi * np.arange(n)[:, np.newaxis] / n
    return np.asarray(centre + np.cos(angle) * along + np.sin(angle) * across)


def line_polygons(points: ArrayLike, width: float) -> list[NDArray[np.float64]]:
    """Polygons of what lies within half a width of a line or path, one a segment.

    Both ends are round, so that a path has no gaps at its bends.

    Parameters
    ----------
    points : array_like, shape (points, 2)
        Along the path; a line has two.
    width : float
        Across the line, in the unit of the points.

    Returns
    -------
    list of ndarray, shape (corners, 2)
        For points that are all the same, one circle.
    """
    path = np.asarray(points, np.float64)
    steps = np.diff(path, axis=0)
    moves = np.flatnonzero(steps.any(axis=1)).tolist()
    if not moves:
        return [_capsule(path[0], path[0], np.array([1.0, 0.0]), width)]
    return [_capsule(path[k], path[k + 1], steps[k] / np.hypot(*steps[k]), width) for k in moves]


def _capsule(
    first: NDArray[np.float64],
    last: NDArray[np.float64],
    along: NDArray[np.float64],
    width: float,
) -> NDArray[np.float64]:
    """All that is within half a width of a straight line; ``along`` has length 1."""
    radius = width / 2 * (1 + _ROUNDING)
    across = np.array([-along[1], along[0]])
    angle = np.linspace(-np.pi / 2, np.pi / 2, _CAP_CORNERS)[:, np.newaxis]
    cap = radius * (np.cos(angle) * along + np.sin(angle) * across)
    return np.concatenate([last + cap, first - cap])
