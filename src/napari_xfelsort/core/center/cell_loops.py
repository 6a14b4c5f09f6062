"""Loops that gather pixels into cells, compiled when imported: import them where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int32]


@exact
def noise_of_blocks(image: Image, good: Flags, size: int) -> tuple[Floats, Floats]:
    """Mean and noise variance of square blocks; NaN where less than a quarter is good.

    The variance is half the mean square of differences between neighbours in a row, so
    that slopes do not count.
    """
    height, width = image.shape
    rows, columns = height // size, width // size
    mean = np.full(rows * columns, np.nan)
    variance = np.full(rows * columns, np.nan)
    for row in range(rows):
        for column in range(columns):
            n = pairs = 0
            total = squares = 0.0
            for y in range(row * size, (row + 1) * size):
                for x in range(column * size, (column + 1) * size):
                    if not good[y, x]:
                        continue
                    n += 1
                    total += image[y, x]
                    if x + 1 < width and good[y, x + 1]:
                        pairs += 1
                        step = float(image[y, x + 1]) - image[y, x]
                        squares += step * step
            if 4 * n >= size * size and 6 * pairs >= size * size:
                mean[row * columns + column] = total / n
                variance[row * columns + column] = squares / (2 * pairs)
    return mean, variance


@exact
def clipping_limits(
    image: Image, good: Flags, size: int, gain: float, read: float
) -> tuple[Floats, Floats]:
    """Values of each block beyond which a pixel is an outlier: a spot, a hot or a dead pixel.

    Noise variance of a pixel of value v is taken as ``gain * v + read``.
    """
    height, width = image.shape
    rows, columns = -(-height // size), -(-width // size)
    low = np.full((rows, columns), -np.inf)
    high = np.full((rows, columns), np.inf)
    for row in range(rows):
        for column in range(columns):
            for _ in range(6):
                n = 0
                total = 0.0
                for y in range(row * size, min((row + 1) * size, height)):
                    for x in range(column * size, min((column + 1) * size, width)):
                        value = image[y, x]
                        if good[y, x] and low[row, column] <= value <= high[row, column]:
                            n += 1
                            total += value
                if n == 0:
                    break
                mean = total / n
                level = max(mean, 0.0)
                noise = np.sqrt(gain * level + read)
                before = high[row, column]
                high[row, column] = mean + 5.0 * noise + 0.3 * level + 2.0 * gain
                low[row, column] = mean - 5.0 * noise - 0.5 * level
                if high[row, column] == before:
                    break
    return low, high


@exact
def gather_cells(
    image: Image,
    good: Flags,
    regions: Labels,
    size: int,
    limits: tuple[Floats, Floats],
    limit_size: int,
    true_y: Image,
    true_x: Image,
) -> tuple[Floats, Floats, Floats, Floats, Labels]:
    """Number, sum, mean row, mean column and region of the pixels of each cell, 2-D.

    Places are those of ``true_y`` and ``true_x`` unless these are empty. A cell that lies
    in several regions takes the pixels of the one it meets first.
    """
    height, width = image.shape
    rows, columns = -(-height // size), -(-width // size)
    count = np.zeros((rows, columns))
    total = np.zeros((rows, columns))
    mean_y = np.zeros((rows, columns))
    mean_x = np.zeros((rows, columns))
    region = np.full((rows, columns), -1, np.int32)
    low, high = limits
    for row in range(rows):
        for column in range(columns):
            mine = -1
            n = 0
            sums = sum_y = sum_x = 0.0
            for y in range(row * size, min((row + 1) * size, height)):
                for x in range(column * size, min((column + 1) * size, width)):
                    if not good[y, x]:
                        continue
                    if mine < 0:
                        mine = regions[y, x]
                    elif regions[y, x] != mine:
                        continue
                    value = image[y, x]
                    block_y, block_x = y // limit_size, x // limit_size
                    if low[block_y, block_x] <= value <= high[block_y, block_x]:
                        n += 1
                        sums += value
                        if true_y.size:
                            sum_y += true_y[y, x]
                            sum_x += true_x[y, x]
                        else:
                            sum_y += y
                            sum_x += x
            if n:
                count[row, column] = n
                total[row, column] = sums
                mean_y[row, column] = sum_y / n
                mean_x[row, column] = sum_x / n
                region[row, column] = mine
    return count, total, mean_y, mean_x, region


@exact
def merge_cells(  # noqa: C901 - compiled as one
    count: Floats, total: Floats, mean_y: Floats, mean_x: Floats, region: Labels
) -> tuple[Floats, Floats, Floats, Floats, Labels]:
    """Cells of twice the size: of each four, those of the region that has most pixels."""
    rows, columns = -(-count.shape[0] // 2), -(-count.shape[1] // 2)
    new_count = np.zeros((rows, columns))
    new_total = np.zeros((rows, columns))
    new_y = np.zeros((rows, columns))
    new_x = np.zeros((rows, columns))
    new_region = np.full((rows, columns), -1, np.int32)
    for row in range(rows):
        for column in range(columns):
            best = -1
            most = 0.0
            bottom, right = min(2 * row + 2, count.shape[0]), min(2 * column + 2, count.shape[1])
            for y in range(2 * row, bottom):
                for x in range(2 * column, right):
                    if region[y, x] < 0:
                        continue
                    n = 0.0
                    for v in range(2 * row, bottom):
                        for u in range(2 * column, right):
                            if region[v, u] == region[y, x]:
                                n += count[v, u]
                    if n > most:
                        most, best = n, region[y, x]
            if best < 0:
                continue
            for y in range(2 * row, bottom):
                for x in range(2 * column, right):
                    if region[y, x] == best:
                        n = count[y, x]
                        new_count[row, column] += n
                        new_total[row, column] += total[y, x]
                        new_y[row, column] += n * mean_y[y, x]
                        new_x[row, column] += n * mean_x[y, x]
            new_y[row, column] /= most
            new_x[row, column] /= most
            new_region[row, column] = best
    return new_count, new_total, new_y, new_x, new_region
