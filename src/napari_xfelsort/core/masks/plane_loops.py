"""Robust planes of all windows of images: loops to be compiled, imported where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact, fast
from napari_xfelsort.core.masks.window_loops import NO_VALUE

_REGISTER = 16
#: Pixels beyond are as bad as infinite ones. (np.isfinite is not to be trusted in fast loops.)
_LIMIT = 1e15


@fast
def places(rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Place (u across, v down) of a window's pixels from -1 to 1, padded to whole registers."""
    n = rows * columns
    padded = -(-n // _REGISTER) * _REGISTER
    u, v = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    for i in range(n):
        u[i] = (2 * (i % columns) + 1) / columns - 1
        v[i] = (2 * (i // columns) + 1) / rows - 1
    return u, v


@exact
def take_windows(
    frames: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    windows: NDArray[np.int64],
    rows: int,
    columns: int,
    values: NDArray[np.float32],
    used: NDArray[np.int64],
    bases: NDArray[np.float64],
) -> None:
    """Values of the windows of frames above the first used one of each.

    Parameters
    ----------
    frames, offset, bad : ndarray, shapes (T, y, x), (y, x), (y, x)
        ``frames - offset`` is taken where it is not bad.
    windows : ndarray, shape (W, 4)
        See `backgrounds`.
    values : ndarray, shape (T, W, padded)
        Set; `NO_VALUE` where a pixel is not used, and in the padding.
    used, bases : ndarray, shape (T, W)
        Set: number of used pixels, and what was taken from them.
    """
    for t in range(frames.shape[0]):
        for k in range(windows.shape[0]):
            top, left = windows[k, 0], windows[k, 1]
            base = first_used(frames[t], offset, bad, top, left, rows, columns)
            own, n = values[t, k], np.int64(0)
            own[rows * columns :] = NO_VALUE
            for y in range(rows):
                across = slice(left, left + columns)
                line, zero = frames[t, top + y, across], offset[top + y, across]
                hidden, row = bad[top + y, across], own[y * columns : (y + 1) * columns]
                for x in range(columns):
                    value = np.float64(line[x]) - np.float64(zero[x])
                    good = (not hidden[x]) & (abs(value) < _LIMIT)  # NaN is not less
                    row[x] = np.float32(value - base) if good else NO_VALUE
                    n += np.int64(good)
            used[t, k], bases[t, k] = n, base


@exact
def first_used(
    image: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    top: int,
    left: int,
    rows: int,
    columns: int,
) -> float:
    """The first used value of a window; 0 if there is none."""
    for y in range(top, top + rows):
        for x in range(left, left + columns):
            value = np.float64(image[y, x]) - np.float64(offset[y, x])
            if not bad[y, x] and abs(value) < _LIMIT:
                return value
    return 0.0


@exact
def put_backgrounds(
    windows: NDArray[np.int64],
    rows: int,
    columns: int,
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    bases: NDArray[np.float64],
    planes: NDArray[np.float32],
    scales: NDArray[np.float32],
    inliers: NDArray[np.int64],
    level: NDArray[np.float64],
    scale: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Level, scale and number of inliers around each pixel of an image, of its windows.

    ``windows`` has a row for each: top, left, and the first row and column that are its own,
    as the last windows overlap those before.
    """
    for k in range(windows.shape[0]):
        top, left, own_top, own_left = windows[k]
        a, b, c = planes[k]
        for y in range(own_top - top, rows):
            for x in range(own_left - left, columns):
                i = y * columns + x
                at_pixel = a * u[i] + b * v[i] + c
                level[top + y, left + x] = bases[k] + at_pixel if inliers[k] else np.nan
                scale[top + y, left + x] = scales[k]
                counts[top + y, left + x] = inliers[k]


@exact
def add_ratios(
    values: NDArray[np.float32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    planes: NDArray[np.float32],
    scales: NDArray[np.float32],
    inliers: NDArray[np.int64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:
    """Add ratios of signal to noise of the windows of frames, frame by frame.

    Shapes are (T, W, padded), (T, W, 3) and (T, W); of what is added to (W, padded).
    """
    for t in range(values.shape[0]):
        for k in range(values.shape[1]):
            if inliers[t, k] == 0 or not scales[t, k] > 0:
                continue
            factor = np.float32(1) / scales[t, k]
            a, b, c = planes[t, k, 0], planes[t, k, 1], planes[t, k, 2]
            own, first, second, n = values[t, k], sums[k], squares[k], counts[k]
            for i in range(u.size):
                good = own[i] < NO_VALUE
                away = factor * (own[i] - (a * u[i] + b * v[i] + c))
                ratio = np.float64(away) if good else 0.0
                first[i] += ratio
                second[i] += ratio * ratio
                n[i] += np.float64(good)
