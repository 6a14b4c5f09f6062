"""Hard shadows: parts of a frame that an abrupt edge keeps dark.

A nozzle, a holder, an aperture or a beam stop takes most of the light away within a few
pixels, which no scattering does: profiles are smooth, and rings fall on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import Cells, PreparedFrame
from napari_xfelsort.core.center.patches import without

Floats = NDArray[np.float64]

#: Least step of the logarithm, and how many times that of the slopes beside it.
_STEP = 0.7
_STEEPER = 2.0
#: In standard deviations of the counting noise.
_SIGNIFICANT = 4.0
#: Share of a part's border that must be a fall into it.
_DARK = 0.75
#: Most that can be shadow, as a share of the frame.
_MOST = 0.65
#: Least length of the edge, in cells.
_SHORTEST = 6
#: How far from an edge its two sides are looked at, in cells.
_ACROSS = 4


def shadowed(frame: PreparedFrame, cells: Cells) -> NDArray[np.bool_]:
    """Which places of the net of cells lie in shadow or on its edge; 2-D."""
    from scipy.ndimage import binary_dilation, label

    shape = tuple(-(-n // cells.size) for n in frame.image.shape)
    nothing = np.zeros(shape, bool)
    if min(shape) < 16:
        return nothing
    level, error = _filled(frame, cells, shape)
    edges = nothing.copy()
    falls: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for axis in (0, 1):
        step = _steps(level, error, axis)
        edges |= step != 0
        at = np.argwhere(step != 0)
        forwards = np.sign(step[tuple(at.T)]).astype(np.int64)
        shift = np.zeros((len(at), 2), np.int64)
        shift[:, axis] = _ACROSS * forwards
        falls.append((at - shift, at + shift))  # the dark side, and the bright one
    edges = _lines(edges)
    if not edges.any():
        return nothing
    parts, n = label(~edges)
    dark, bright = np.zeros(n + 1), np.zeros(n + 1)
    limit = np.array(shape) - 1
    for low, high in falls:
        low_part = parts[tuple(np.clip(low, 0, limit).T)]
        high_part = parts[tuple(np.clip(high, 0, limit).T)]
        between = (low_part != high_part) & (low_part > 0) & (high_part > 0)
        dark += np.bincount(low_part[between], minlength=n + 1)
        bright += np.bincount(high_part[between], minlength=n + 1)
    dark[0] = 0
    taken = (dark >= _SHORTEST) & (dark >= _DARK * (dark + bright))
    result = taken[parts]
    if not result.any():
        return nothing
    result = binary_dilation(result, np.ones((3, 3), bool), iterations=3) & (edges | result)
    seen = np.zeros(shape, bool)
    seen[tuple(cells.places.T)] = True
    return result if (result & seen).sum() <= _MOST * seen.sum() else nothing


def _lines(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Edges that are long enough, with small gaps closed."""
    from scipy.ndimage import binary_dilation, label

    closed = binary_dilation(edges, np.ones((3, 3), bool))
    lines, n = label(closed)
    long = np.bincount(lines[edges], minlength=n + 1) >= _SHORTEST
    long[0] = False
    return np.asarray(long[lines])


def _filled(frame: PreparedFrame, cells: Cells, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Logarithms of all places and their errors; gaps are like what is nearest to them."""
    from scipy.ndimage import distance_transform_edt

    mean = cells.table[:, 1]
    lit = mean[mean > 0]
    floor = 0.02 * float(np.median(lit)) if lit.size else 1.0
    clipped = np.maximum(mean, floor)
    level, error = np.zeros(shape), np.zeros(shape)
    unseen = np.ones(shape, bool)
    places = tuple(cells.places.T)
    level[places] = np.log(clipped)
    error[places] = np.sqrt((frame.gain * clipped + frame.read) / cells.table[:, 0]) / clipped
    unseen[places] = False
    nearest = distance_transform_edt(unseen, return_distances=False, return_indices=True)
    return level[tuple(nearest)], error[tuple(nearest)]


def _steps(level: Floats, error: Floats, axis: int) -> Floats:
    """Abrupt steps along an axis, 0 where there is none; positive where it gets brighter."""

    def at(array: Floats, offset: int) -> Floats:
        index = np.clip(np.arange(array.shape[axis]) + offset, 0, array.shape[axis] - 1)
        return np.take(array, index, axis=axis)

    after = (at(level, 1) + at(level, 2)) / 2
    before = (at(level, -1) + at(level, -2)) / 2
    on = (at(level, 4) + at(level, 5)) / 2 - after
    back = before - (at(level, -4) + at(level, -5)) / 2
    step = after - before
    variance = (
        at(error, 1) ** 2 + at(error, 2) ** 2 + at(error, -1) ** 2 + at(error, -2) ** 2
    ) / 4
    sharp = np.abs(step) > np.maximum(_STEP, _SIGNIFICANT * np.sqrt(variance))
    sharp &= np.abs(step) > _STEEPER * (np.abs(on) + np.abs(back))
    return np.where(sharp, step, 0.0)


def without_shadows(frame: PreparedFrame) -> list[Cells]:
    """The frame's levels without cells in shadow."""
    net = frame.levels[1] if len(frame.levels) > 1 else frame.levels[0]
    dark = shadowed(frame, net)
    if not dark.any():
        return frame.levels
    return [without(cells, dark, net.size) for cells in frame.levels]
