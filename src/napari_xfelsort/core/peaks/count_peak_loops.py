"""Compiled loops of the finder by counts; imported where they are used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

#: Squares of the radii of the discs that counts are taken in: 9, 21, 37 and 69 pixels.
DISCS = (2, 6, 11, 21)
_REACH = 4
#: Background of a peak is taken between these distances, in pixels.
_INNER, _OUTER = 6, 13
#: Counts that the rings are trusted with, against what is counted around a peak.
_TRUST = 4.0
#: Deviations above its ring that a pixel counts with at most when the background is found.
_CAP = 4.0
#: Distances at which the light around a peak is looked at, along so many lines.
_ASIDE = (5.0, 8.0)
_DIRECTIONS = 24
#: Powers of ten by which what is seen there must be unlikely, and deviations added to it.
_A_RIDGE, _LEAST_OF_SOME = 3.0, 1.5
#: What goes on to either side is at most so many times as bright as on the darker side.
_BRIGHTER = 2.0
#: Peaks less significant than this need not be compared with it.
_COMPARED = 5.0
#: Peaks nearer than this to a larger one are part of it.
_APART = 4
#: As are those nearer than this that are this much smaller.
_NEAR, _SMALLER = 12, 0.1


@exact
def bin_sums(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    step: int,
    cap: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Number, sum and sum of squares of the values of each bin, none above its cap.

    ``frame`` and ``bins`` (rows, columns), of which every ``step``-th row is taken; ``sums``
    (bins, 3) is added to.
    """
    for row in range(0, frame.shape[0], step):
        values, numbers = frame[row], bins[row]
        for column in range(frame.shape[1]):
            b = np.uintp(numbers[column])
            value = np.float32(values[column])
            if value == value:
                value = min(value, cap[b])
                sums[b, 0] += 1.0
                sums[b, 1] += value
                sums[b, 2] += value * value


@exact
def counts_of(
    frame: NDArray[Any],
    bins: NDArray[np.uint16],
    scale: float,
    offset: NDArray[np.float32],
    counts: NDArray[np.float32],
) -> None:
    """Values as numbers of photons, ``value * scale + offset`` of its bin; 0 where bad."""
    last = np.uint16(len(offset) - 1)
    factor = np.float32(scale)
    for row in range(frame.shape[0]):
        values, numbers, out = frame[row], bins[row], counts[row]
        for column in range(frame.shape[1]):
            value = np.float32(values[column]) * factor + offset[np.uintp(numbers[column])]
            good = numbers[column] != last and value == value
            out[column] = value if good else np.float32(0.0)


@exact
def tail(n: float, expected: float) -> float:
    """Minus the decimal logarithm of the chance of at least ``n`` where so many are expected."""
    if n <= expected or n <= 0.0:
        return 0.0
    if expected <= 0.0:
        expected = 1e-12
    first = n * math.log(expected) - expected - math.lgamma(n + 1.0)
    term, total, k = 1.0, 1.0, n
    for _ in range(10000):
        k += 1.0
        term *= expected / k
        total += term
        if term < 1e-6 * total:
            break
    return -(first + math.log(total)) / math.log(10.0)


@exact
def box_sums(
    counts: NDArray[np.float32], rectangle: NDArray[np.int64], sums: NDArray[np.float32]
) -> None:
    """Sum of the 25 counts around each pixel of a panel, those outside of it being 0."""
    panel = counts[rectangle[0] : rectangle[1], rectangle[2] : rectangle[3]]
    result = sums[rectangle[0] : rectangle[1], rectangle[2] : rectangle[3]]
    height, width = panel.shape
    padded = np.zeros(width + 4, np.float32)
    columns = padded[2 : width + 2]
    for row in range(height):
        columns[:] = 0.0
        for r in range(max(row - 2, 0), min(row + 3, height)):
            values = panel[r]
            for c in range(width):
                columns[c] += values[c]
        out = result[row]
        for c in range(width):
            out[c] = padded[c] + padded[c + 1] + padded[c + 2] + padded[c + 3] + padded[c + 4]


@exact
def _largest(
    sums: NDArray[np.float32], rectangle: NDArray[np.int64], row: int, column: int, value: float
) -> bool:
    """Whether no sum near a pixel is larger, or as large and before it."""
    for r in range(max(row - 2, rectangle[0]), min(row + 3, rectangle[1])):
        for c in range(max(column - 2, rectangle[2]), min(column + 3, rectangle[3])):
            other = sums[r, c]
            before = r < row or (r == row and c < column)
            if other > value or (before and other == value):
                return False
    return True


@exact
def summits(
    sums: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    limit: NDArray[np.float32],
    places: NDArray[np.int64],
    start: int,
) -> int:
    """Pixels whose sum reaches the limit of their bin and is the largest nearby.

    ``places`` (at most, 2) gets rows and columns from ``start``; returns where they end.
    """
    n = start
    top, bottom, left, right = rectangle[0], rectangle[1], rectangle[2], rectangle[3]
    for row in range(top, bottom):
        values, numbers = sums[row, left:right], bins[row, left:right]
        for c in range(right - left):
            value = values[c]
            if value < limit[np.uintp(numbers[c])] or n == len(places):
                continue
            if _largest(sums, rectangle, row, left + c, value):
                places[n, 0], places[n, 1] = row, left + c
                n += 1
    return n


@exact
def surroundings(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    level: NDArray[np.float32],
    row: int,
    column: int,
) -> float:
    """By how much the background around a pixel is above that of its rings."""
    last = len(level) - 1
    seen = expected = 0.0
    for r in range(max(row - _OUTER, rectangle[0]), min(row + _OUTER + 1, rectangle[1])):
        for c in range(max(column - _OUTER, rectangle[2]), min(column + _OUTER + 1, rectangle[3])):
            away = (r - row) ** 2 + (c - column) ** 2
            b = np.uintp(bins[r, c])
            if away < _INNER * _INNER or away > _OUTER * _OUTER or b == last:
                continue
            mean = np.float64(level[b])
            seen += min(np.float64(counts[r, c]), mean + _CAP * math.sqrt(mean) + 1.0)
            expected += mean
    return (seen + _TRUST) / (expected + _TRUST)


@exact
def _around_places(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    last: int,
    row: int,
    column: int,
    means: NDArray[np.float64],
) -> None:
    """Mean count of nine pixels in all directions at two distances; -1 where there are none."""
    for k in range(means.shape[0]):
        angle = 2.0 * math.pi * k / means.shape[0]
        for j in range(2):
            r0 = row + round(_ASIDE[j] * math.sin(angle))
            c0 = column + round(_ASIDE[j] * math.cos(angle))
            total, n = 0.0, 0
            for r in range(max(r0 - 1, rectangle[0]), min(r0 + 2, rectangle[1])):
                for c in range(max(c0 - 1, rectangle[2]), min(c0 + 2, rectangle[3])):
                    if np.uintp(bins[r, c]) != last:
                        total += counts[r, c]
                        n += 1
            means[k, j] = total / n if n > 4 else -1.0


@exact
def _line(means: NDArray[np.float64], k: int, level: float) -> float:
    """Mean count of what runs through along one line; 0 where it is not above the level.

    At the edge of a panel, what runs up to it from one side.
    """
    half = means.shape[0] // 2
    least, total, n, mean = 1e30, 0.0, 0, 1e30
    for j in range(2):
        one, other = means[k, j], means[k + half, j]
        for value in (one, other):
            if value >= 0.0:
                least = min(least, value)
                total += value
                n += 1
        if one >= 0.0 and other >= 0.0:
            mean = min(mean, 0.5 * (one + other))
    if n == 2 and mean == 1e30:
        mean = max(means[k, 0], means[k + half, 0])
    if n < 2 or mean == 1e30 or tail(9.0 * total, 9.0 * n * level) < _A_RIDGE:
        return 0.0
    return min(mean, _BRIGHTER * least)


@exact
def _corner(means: NDArray[np.float64], k: int, level: float) -> float:
    """The least of the mean counts in a quarter of all directions; 0 if not above the level."""
    least, total, n = 1e30, 0.0, 0
    for step in range(means.shape[0] // 4):
        for value in means[(k + step) % means.shape[0]]:
            if value < 0.0:
                return 0.0
            least = min(least, value)
            total += value
            n += 1
    return least if tail(9.0 * total, 9.0 * n * level) >= _A_RIDGE else 0.0


@exact
def _ridge(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    last: int,
    row: int,
    column: int,
    level: float,
) -> float:
    """Mean count of what a pixel lies in: a ring, a streak, the bright side of an edge.

    Where light goes on along a line through the pixel, or in a quarter of all directions,
    it is no peak's own. Peaks beside one another do not fill a line or a quarter evenly.
    """
    means = np.empty((2 * _DIRECTIONS, 2))
    _around_places(counts, bins, rectangle, last, row, column, means)
    highest = 0.0
    for k in range(len(means)):
        if k < _DIRECTIONS:
            highest = max(highest, _line(means, k, level))
        highest = max(highest, _corner(means, k, level))
    # What is the least of several is below their mean by about so many deviations.
    return highest + _LEAST_OF_SOME * math.sqrt(highest / 9.0)


@exact
def _middle(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    level: NDArray[np.float32],
    ratio: float,
    row: int,
    column: int,
) -> tuple[float, float]:
    """Row and column of a peak: moved twice to the mean of the photons near it."""
    last = len(level) - 1
    y, x = float(row), float(column)
    for _ in range(2):
        weight = down = across = 0.0
        r0, c0 = round(y), round(x)
        for r in range(max(r0 - 3, rectangle[0]), min(r0 + 4, rectangle[1])):
            for c in range(max(c0 - 3, rectangle[2]), min(c0 + 4, rectangle[3])):
                b = np.uintp(bins[r, c])
                if b == last or (r - r0) ** 2 + (c - c0) ** 2 > 11:
                    continue
                extra = counts[r, c] - ratio * level[b]
                weight += extra
                down += extra * r
                across += extra * c
        if weight > 0.0:
            y = min(max(down / weight, row - 2.0), row + 2.0)
            x = min(max(across / weight, column - 2.0), column + 2.0)
    return y, x


@exact
def measure(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    level: NDArray[np.float32],
    place: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """What there is to know of a summit.

    ``found`` (9,) gets row, column, photons above the background, minus the logarithm of the
    chance (of the best disc), deviations above the background, pixels of that disc, minus the
    logarithm of the chance of all but its largest pixel, the background a pixel, and minus the
    logarithm of the chance beside what runs through from side to side.
    """
    last = len(level) - 1
    row, column = place[0], place[1]
    ratio = surroundings(counts, bins, rectangle, level, row, column)
    y, x = _middle(counts, bins, rectangle, level, ratio, row, column)
    best = -1.0
    found[:] = 0.0
    n_in, expected_in, pixels_in = np.zeros((3, len(DISCS)))
    r0, c0 = round(y), round(x)
    for disc in range(len(DISCS)):
        n = expected = largest = 0.0
        pixels = 0
        for r in range(max(r0 - _REACH, rectangle[0]), min(r0 + _REACH + 1, rectangle[1])):
            for c in range(max(c0 - _REACH, rectangle[2]), min(c0 + _REACH + 1, rectangle[3])):
                b = np.uintp(bins[r, c])
                if b == last or (r - r0) ** 2 + (c - c0) ** 2 > DISCS[disc]:
                    continue
                n += counts[r, c]
                expected += ratio * level[b]
                pixels += 1
                largest = max(largest, counts[r, c])
        chance = tail(n, expected)
        n_in[disc], expected_in[disc], pixels_in[disc] = n, expected, pixels
        if chance > best and pixels > 1:
            best = chance
            found[2] = n - expected
            found[3] = chance
            found[5] = pixels
            found[6] = tail(n - largest, expected * (pixels - 1) / pixels)
            found[7] = expected / pixels
            if expected > 0.0 and n > expected:
                found[4] = math.sqrt(2.0 * (n * math.log(n / expected) - (n - expected)))
    found[0], found[1] = y, x
    if best < _COMPARED:
        return
    through = _ridge(counts, bins, rectangle, last, r0, c0, found[7])
    for disc in range(len(DISCS)):
        expected = max(expected_in[disc], through * pixels_in[disc])
        found[8] = max(found[8], tail(n_in[disc], expected))


@exact
def measure_all(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangle: NDArray[np.int64],
    level: NDArray[np.float32],
    places: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """`measure` of many summits of a panel: ``places`` (summits, 2), ``found`` (summits, 9)."""
    for k in range(len(places)):
        measure(counts, bins, rectangle, level, places[k], found[k])


@exact
def drop_parts(found: NDArray[np.float64], kept: NDArray[np.bool_]) -> None:
    """Of peaks in the order of decreasing photons, leave out those that are parts of others."""
    for i in range(len(found)):
        for j in range(i):
            if not kept[j]:
                continue
            away = (found[i, 0] - found[j, 0]) ** 2 + (found[i, 1] - found[j, 1]) ** 2
            if away < _APART * _APART or (
                away < _NEAR * _NEAR and found[i, 2] < _SMALLER * found[j, 2]
            ):
                kept[i] = False
                break


@exact
def least_numbers(expected: NDArray[np.float64], power: float, found: NDArray[np.float32]) -> None:
    """Least whole numbers whose `tail` is at least ``power``."""
    for i in range(len(expected)):
        low, high = math.floor(expected[i]), 8.0
        while tail(low + high, expected[i]) < power:
            high *= 2.0
        high += low
        while high - low > 1.0:
            middle = math.floor(0.5 * (low + high))
            if tail(middle, expected[i]) < power:
                low = middle
            else:
                high = middle
        found[i] = high
