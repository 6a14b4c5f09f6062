"""Robust planes of all windows of images: loops to be compiled, imported where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact, fast
from napari_xfelsort.core.masks.window_loops import NO_VALUE, fit_window

#: Pixels of a window that starting levels are taken from.
COARSE = 29
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
def take_window(
    image: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    top: int,
    left: int,
    rows: int,
    columns: int,
    values: NDArray[np.float32],
) -> tuple[int, float]:
    """Values of a window above its first used one; returns how many are used, and that one."""
    base, n = 0.0, 0
    values[:] = NO_VALUE
    for y in range(rows):
        for x in range(columns):
            value = np.float64(image[top + y, left + x]) - offset[top + y, left + x]
            if bad[top + y, left + x] or not abs(value) < _LIMIT:  # NaN is not less
                continue
            if n == 0:
                base = value
            values[y * columns + x] = value - base
            n += 1
    return n, base


@fast
def fitted(
    values: NDArray[np.float32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    size: NDArray[np.float32],
    some: NDArray[np.float32],
    planes: NDArray[np.float32],
    n: int,
    numbers: NDArray[np.float64],
) -> tuple[float, int]:
    """Scale and number of inliers of a window, its plane in ``planes[0]``; NaN and 0 if too few.

    ``numbers``: see `robust._numbers`.
    """
    if n < numbers[2]:
        return np.nan, 0
    rank = max(int(numbers[0] * n), int(numbers[1]) + 1)
    sample = min(max(int(numbers[3] * n), int(numbers[1])), rank - 1)
    return fit_window(
        values, u, v, size, some, planes, n, rank, sample, int(numbers[4]),
        numbers[5], numbers[6], numbers[7], numbers[8],
    )  # fmt: skip


@fast
def backgrounds(
    image: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    windows: NDArray[np.int64],
    rows: int,
    columns: int,
    numbers: NDArray[np.float64],
    level: NDArray[np.float64],
    scale: NDArray[np.float64],
    inliers: NDArray[np.int64],
) -> None:
    """Level, scale and number of inliers around each pixel of an image.

    ``windows`` has a row for each: top, left, and the first row and column that are its own,
    as the last windows overlap those before. ``numbers``: see `robust._numbers`.
    """
    u, v = places(rows, columns)
    values, size = np.empty_like(u), np.empty_like(u)
    some, planes = np.empty(COARSE, np.float32), np.empty((3, 3), np.float32)
    for k in range(windows.shape[0]):
        top, left, own_top, own_left = windows[k]
        n, base = take_window(image, offset, bad, top, left, rows, columns, values)
        found, good = fitted(values, u, v, size, some, planes, n, numbers)
        for y in range(own_top - top, rows):
            for x in range(own_left - left, columns):
                i = y * columns + x
                at_pixel = planes[0, 0] * u[i] + planes[0, 1] * v[i] + planes[0, 2]
                level[top + y, left + x] = base + at_pixel if good else np.nan
                scale[top + y, left + x] = found
                inliers[top + y, left + x] = good


@fast
def add_ratio(
    values: NDArray[np.float32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    plane: NDArray[np.float32],
    factor: Any,
    pixels: int,
    every: bool,
    own: NDArray[np.float64],
) -> None:
    """Add a window's ratios, their squares, and 1 where there is one, to rows of sums.

    ``every``: all of its pixels are used.
    """
    a, b, c = plane[0], plane[1], plane[2]
    sums, squares, counts = own[0], own[1], own[2]
    if every:
        for i in range(pixels):
            ratio = factor * (values[i] - (a * u[i] + b * v[i] + c))
            sums[i] += ratio
            squares[i] += ratio * ratio
            counts[i] += 1.0
        return
    for i in range(pixels):
        used = values[i] < NO_VALUE
        ratio = factor * (values[i] - (a * u[i] + b * v[i] + c))
        ratio = ratio if used else np.float32(0)
        sums[i] += ratio
        squares[i] += ratio * ratio
        counts[i] += np.float64(1) if used else np.float64(0)


@fast
def add_ratios(
    frames: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    windows: NDArray[np.int64],
    rows: int,
    columns: int,
    numbers: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add the signal-to-noise ratio of each pixel above its window's plane, frame by frame."""
    u, v = places(rows, columns)
    values, size = np.empty_like(u), np.empty_like(u)
    some, planes = np.empty(COARSE, np.float32), np.empty((3, 3), np.float32)
    first = 0
    while first < windows.shape[0]:  # windows side by side: what they read lies together
        end = first
        while end < windows.shape[0] and windows[end, 0] == windows[first, 0]:
            end += 1
        # Of single precision, the values are exact in these sums, in whatever order they come.
        own = np.zeros((3, end - first, u.size))
        for t in range(frames.shape[0]):
            for k in range(first, end):
                n, _base = take_window(
                    frames[t], offset, bad, windows[k, 0], windows[k, 1], rows, columns, values
                )
                scale, inliers = fitted(values, u, v, size, some, planes, n, numbers)
                if inliers > 0 and scale > 0:
                    factor, every = np.float32(1 / scale), n == rows * columns
                    mine = own[:, k - first]
                    add_ratio(values, u, v, planes[0], factor, rows * columns, every, mine)
        for k in range(first, end):
            top, left, own_top, own_left = windows[k]
            for y in range(own_top - top, rows):
                for x in range(own_left - left, columns):
                    i = y * columns + x
                    sums[top + y, left + x] += own[0, k - first, i]
                    squares[top + y, left + x] += own[1, k - first, i]
                    counts[top + y, left + x] += np.int64(own[2, k - first, i])
        first = end
