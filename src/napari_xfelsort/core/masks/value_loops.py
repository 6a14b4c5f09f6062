"""Loops of the robust fit of one value to sorted numbers; imported where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import fast, part

#: What is this near to a bound, of the numbers' size, is on it.
_ROUNDING = 1e-12


@fast
def shortest_interval(x: NDArray[Any], k: int) -> int:
    """Start of the shortest interval of ``k`` sorted values; the middle one of equal ones."""
    least, ties = np.float64(x[k - 1]) - np.float64(x[0]), 0
    for i in range(x.size - k + 1):
        width = np.float64(x[i + k - 1]) - np.float64(x[i])
        if width < least:
            least, ties = width, 1
        elif width == least:
            ties += 1
    wanted = (ties + 1) // 2
    for i in range(x.size - k + 1):
        if np.float64(x[i + k - 1]) - np.float64(x[i]) == least:
            wanted -= 1
            if wanted == 0:
                return i
    return 0


@fast
def nearest(x: NDArray[Any], k: int, centre: float) -> int:
    """Start of the ``k`` sorted values that are nearest to a number."""
    low, high = 0, x.size - k
    while low < high:
        middle = (low + high) // 2
        if centre - x[middle] > x[middle + k] - centre:
            low = middle + 1
        else:
            high = middle
    return low


@part
def moments(x: NDArray[Any], start: int, end: int, centre: float) -> tuple[float, float]:
    """Sum and sum of squares of ``x - centre`` in a range of indices."""
    first = second = 0.0
    for i in range(start, end):
        away = np.float64(x[i]) - centre
        first += away
        second += away * away
    return first, second


@fast
def first_at_least(x: NDArray[Any], bound: float) -> int:
    """Index of the first sorted value that is at least the bound."""
    low, high = 0, x.size
    while low < high:
        middle = (low + high) // 2
        if x[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@fast
def first_above(x: NDArray[Any], bound: float) -> int:
    """Index of the first sorted value above the bound."""
    low, high = 0, x.size
    while low < high:
        middle = (low + high) // 2
        if x[middle] <= bound:
            low = middle + 1
        else:
            high = middle
    return low


@part
def inliers_around(
    x: NDArray[Any], k: int, centre: float, scale_lambda: float, floor: float
) -> tuple[float, int, int]:
    """Scale of the inliers around a number by the selective estimator, and their range."""
    start = nearest(x, k, centre)
    bound = max(centre - x[start], x[start + k - 1] - centre, scale_lambda * floor)
    scale, end = floor, start
    last = 0
    while True:
        reach = bound + _ROUNDING * (abs(centre) + bound)
        start, end = first_at_least(x, centre - reach), first_above(x, centre + reach)
        n = end - start
        _first, second = moments(x, start, end, centre)
        scale = max(np.sqrt(second / max(n - 1, 1)), floor)
        if n == last or scale_lambda * scale <= bound:
            return scale, start, end
        last, bound = n, scale_lambda * scale


@part
def cleaned_scale(
    x: NDArray[Any], centre: float, scale: float, scale_lambda: float, kept: float, floor: float
) -> float:
    """Scale without what evenly spread outliers add; see `window_loops.without_contamination`."""
    found, least = scale / np.sqrt(kept), 0.75 * scale
    for _ in range(12 if scale > 0 else 0):
        bound = scale_lambda * found
        start, end = first_at_least(x, centre - bound), first_above(x, centre + bound)
        n = end - start
        double = first_above(x, centre + 2 * bound) - first_at_least(x, centre - 2 * bound)
        _first, second = moments(x, start, end, centre)
        density = (double - n) / bound
        inliers = n - density * bound
        square = second - density * bound**3 / 3
        if inliers < 0.5 * n or square <= 0:
            break
        new = max(np.sqrt(square / max(inliers - 1, 1.0) / kept), least)
        done = abs(new - found) < 1e-6 * found
        found = new
        if done:
            break
    return float(max(found, floor))


@fast
def fit_sorted(
    rows: NDArray[Any],
    lengths: NDArray[np.int64],
    likely: float,
    least: int,
    scale_lambda: float,
    kept: float,
    floor: float,
    skewed: bool,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    inliers: NDArray[np.int64],
) -> None:
    """Robust mean, scale and number of inliers of sorted rows, of which some values count."""
    for row in range(rows.shape[0]):
        x = rows[row, : lengths[row]]
        mean[row], scale[row], inliers[row] = np.nan, np.nan, 0
        if x.size < least:
            continue
        k = max(int(likely * x.size), min(2, x.size))
        start = shortest_interval(x, k)
        centre = 0.5 * (np.float64(x[start]) + np.float64(x[start + k - 1]))
        if skewed:
            first, _second = moments(x, start, start + k, centre)
            centre += first / k
        found, begin, end = inliers_around(x, k, centre, scale_lambda, floor)
        for _ in range(0 if skewed else 2):
            bound = scale_lambda * found
            begin, end = first_at_least(x, centre - bound), first_above(x, centre + bound)
            first, _second = moments(x, begin, end, centre)
            centre += first / max(end - begin, 1)
            found, begin, end = inliers_around(x, k, centre, scale_lambda, floor)
        if kept > 0:
            found = cleaned_scale(x, centre, found, scale_lambda, kept, floor)
        mean[row], scale[row], inliers[row] = centre, found, end - begin
