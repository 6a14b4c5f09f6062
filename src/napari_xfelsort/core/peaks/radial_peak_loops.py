"""Compiled loops of the peakfinder8-compatible finder; imported where they are used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

#: Columns of the table of found peaks.
N_COLUMNS = 6
#: Sums and deviations this small are those of rounding.
_NOTHING = 1e-10
#: Deviation of a local background without pixels.
_NO_DEVIATION = 0.01


@exact
def radial_thresholds(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    lowest: float,
    snr: float,
    rounds: int,
    mean: NDArray[np.float32],
    limit: NDArray[np.float32],
) -> None:
    """Mean of the background of each radial bin, and the value that a peak exceeds.

    ``frame`` and ``bins`` are flat; pixels of the last bin do not count. ``mean`` and
    ``limit`` (bins,) are filled: in every round mean and deviation of the values below the
    limit of the round before, and the new limit is the mean and ``snr`` deviations, but at
    least ``lowest``. A round that changes no limit is the last.
    """
    n_bins = len(mean)
    count = np.empty(n_bins, np.int64)
    total = np.empty(n_bins, np.float64)
    square = np.empty(n_bins, np.float64)
    limit[:] = np.inf
    for _ in range(rounds):
        count[:] = 0
        total[:] = 0.0
        square[:] = 0.0
        for i in range(frame.size):
            ring = np.uintp(bins[i])
            value = np.float64(frame[i])
            if value <= limit[ring]:
                count[ring] += 1
                total[ring] += value
                square[ring] += value * value
        changed = False
        for b in range(n_bins):
            if b == n_bins - 1 or count[b] == 0:
                new = np.float32(np.inf)
                mean[b] = 0.0
            else:
                middle = total[b] / count[b]
                spread = math.sqrt(max(0.0, square[b] / count[b] - middle * middle))
                mean[b] = middle
                new = np.float32(max(middle + snr * spread, lowest))
            if new != limit[b]:
                limit[b] = new
                changed = True
        if not changed:
            break
    limit[n_bins - 1] = np.inf


@exact
def _grow(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    taken: NDArray[np.uint8],
    limit: NDArray[np.float32],
    rectangle: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> int:
    """Mark all pixels above their limits that touch the first one; how many there are."""
    n, done = 1, 0
    while done < n:
        row, column = rows[done], columns[done]
        done += 1
        for r in range(max(row - 1, rectangle[0]), min(row + 2, rectangle[1])):
            for c in range(max(column - 1, rectangle[2]), min(column + 2, rectangle[3])):
                if taken[r, c] == 0 and frame[r, c] > limit[np.uintp(bins[r, c])]:
                    taken[r, c] = 1
                    if n < len(rows):
                        rows[n] = r
                        columns[n] = c
                        n += 1
    return n


@exact
def _around(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    taken: NDArray[np.uint8],
    limit: NDArray[np.float32],
    rectangle: NDArray[np.int64],
    row: int,
    column: int,
    radius: int,
) -> tuple[int, float, float, float]:
    """Number, mean, deviation and largest of the background pixels near a peak."""
    n, total, square, highest = 0, 0.0, 0.0, 0.0
    last = len(limit) - 1
    for r in range(max(row - radius, rectangle[0]), min(row + radius, rectangle[1])):
        for c in range(max(column - radius, rectangle[2]), min(column + radius, rectangle[3])):
            if (r - row) ** 2 + (c - column) ** 2 > radius * radius:
                continue
            b = np.uintp(bins[r, c])
            if b == last or taken[r, c] != 0 or frame[r, c] > limit[b]:
                continue
            value = np.float64(frame[r, c])
            n += 1
            total += value
            square += value * value
            highest = max(highest, value)
    if n == 0:
        return 0, 0.0, _NO_DEVIATION, 0.0
    middle = total / n
    return n, middle, math.sqrt(max(0.0, square / n - middle * middle)), highest


@exact
def _judge(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    taken: NDArray[np.uint8],
    mean: NDArray[np.float32],
    limit: NDArray[np.float32],
    rectangle: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    snr: float,
    radius: int,
    row: NDArray[np.float64],
) -> bool:
    """Whether connected pixels stand out of what is around them; ``row`` gets their numbers."""
    weight = down = across = 0.0
    for k in range(len(rows)):
        value = np.float64(frame[rows[k], columns[k]])
        weight += value
        down += value * rows[k]
        across += value * columns[k]
    if abs(weight) < _NOTHING:
        return False
    middle, centre = int(np.rint(down / weight)), int(np.rint(across / weight))
    inside = rectangle[0] <= middle < rectangle[1] and rectangle[2] <= centre < rectangle[3]
    if not inside:
        return False
    around, level, spread, highest = _around(
        frame, bins, taken, limit, rectangle, middle, centre, radius
    )
    if around == 0:
        level = np.float64(mean[np.uintp(bins[middle, centre])])
    total = largest = 0.0
    for k in range(len(rows)):
        value = np.float64(frame[rows[k], columns[k]]) - level
        total += value
        largest = max(largest, value)
    if spread < _NOTHING or total < _NOTHING or total < snr * spread:
        return False
    if largest < min(highest - level, snr * spread):
        return False
    row[1], row[2], row[3] = down / weight, across / weight, total
    row[4], row[5] = total / spread, len(rows)
    return True


@exact
def radial_peaks(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    rectangles: NDArray[np.int64],
    mean: NDArray[np.float32],
    limit: NDArray[np.float32],
    snr: float,
    fewest: int,
    most: int,
    radius: int,
    taken: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> int:
    """Find the connected pixels above their limits that stand out of what is around them.

    ``rectangles`` (panels, 4): first row, row after the last, and the same of columns.
    ``taken`` (frame's shape) is zero and gets 1 at pixels of peaks. ``found`` (peaks, 6) gets
    panel, row, column, intensity, signal to noise and number of pixels.
    """
    n_found = 0
    rows = np.empty(most + 1, np.int64)
    columns = np.empty(most + 1, np.int64)
    for p in range(len(rectangles)):
        rectangle = rectangles[p]
        for row in range(rectangle[0] + 1, rectangle[1] - 1):
            for column in range(rectangle[2] + 1, rectangle[3] - 1):
                above = frame[row, column] > limit[np.uintp(bins[row, column])]
                if not above or taken[row, column] != 0:
                    continue
                taken[row, column] = 1
                rows[0], columns[0] = row, column
                n = _grow(frame, bins, taken, limit, rectangle, rows, columns)
                if n < fewest or n > most:
                    continue
                found[n_found, 0] = p
                if _judge(
                    frame,
                    bins,
                    taken,
                    mean,
                    limit,
                    rectangle,
                    rows[:n],
                    columns[:n],
                    snr,
                    radius,
                    found[n_found],
                ):
                    n_found += 1
                    if n_found == len(found):
                        return n_found
    return n_found
