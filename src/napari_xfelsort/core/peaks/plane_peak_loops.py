"""Compiled loop of the finder above robust planes; imported where it is used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact


@exact
def take_slopes(
    windows: NDArray[np.int64],
    rows: int,
    columns: int,
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    planes: NDArray[np.float32],
    inliers: NDArray[np.int64],
    frame: NDArray[np.float32],
) -> None:
    """Take the slopes of planes from the pixels that are their windows' own; see `RobustLook`."""
    for k in range(windows.shape[0]):
        if inliers[k] == 0:
            continue
        top, left, own_top, own_left = windows[k]
        a, b = planes[k, 0], planes[k, 1]
        for y in range(own_top - top, rows):
            for x in range(own_left - left, columns):
                i = y * columns + x
                frame[top + y, left + x] -= a * u[i] + b * v[i]
