"""Compiled loops over the pixels of rings; imported where used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

#: Width of the middle 90 % of a normal distribution, in standard deviations.
_MIDDLE = 3.2897072539029444


@exact
def select(values: NDArray[np.float64], low: int, high: int, k: int) -> float:
    """The ``k``-th smallest of all, where ``values[low:high + 1]`` holds it; reorders these."""
    while high - low > 0:
        middle = (low + high) // 2  # median of three, put in the middle
        if values[middle] < values[low]:
            values[low], values[middle] = values[middle], values[low]
        if values[high] < values[low]:
            values[low], values[high] = values[high], values[low]
        if values[high] < values[middle]:
            values[middle], values[high] = values[high], values[middle]
        pivot = values[middle]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return float(values[k])


@exact
def quantile(values: NDArray[np.float64], first: int, last: int, place: float) -> float:
    """Value at a place between whole ones; the places ``first`` to ``last`` hold it."""
    below = math.floor(place)
    low = select(values, first, last, below)
    share = place - below
    if share <= 0.0:
        return low
    high = np.inf
    for i in range(below + 1, last + 1):
        high = min(high, values[i])
    if high == np.inf:
        return low
    return low + share * (high - low)


@exact
def bin_statistics(
    values: NDArray[Any],
    order: NDArray[np.int32],
    starts: NDArray[np.int64],
    above: float,
    ordered: bool,
    found: NDArray[np.float64],
) -> None:
    """Statistics of the finite values of each bin.

    ``values`` (events, pixels); ``order`` the pixels of one bin after another and ``starts``
    (bins + 1) where each begins; ``found`` (events, bins, 8) gets mean, variance, minimum,
    maximum, fraction above, and if ``ordered`` median, 5th and 95th percentile. NaN without
    a value.
    """
    n_bins = len(starts) - 1
    longest = 0
    for b in range(n_bins):
        longest = max(longest, starts[b + 1] - starts[b])
    own = np.empty(longest, np.float64)
    for e in range(len(values)):
        row = values[e]
        for b in range(n_bins):
            n, higher = 0, 0
            total, low, high = 0.0, np.inf, -np.inf
            for i in range(starts[b], starts[b + 1]):
                v = np.float64(row[order[i]])
                if np.isfinite(v):
                    own[n] = v
                    n += 1
                    total += v
                    low = min(low, v)
                    high = max(high, v)
                    higher += 1 if v > above else 0
            if n == 0:
                found[e, b] = np.nan
                continue
            mean = total / n
            square = 0.0
            for i in range(n):
                square += (own[i] - mean) ** 2
            found[e, b, 0] = mean
            found[e, b, 1] = square / n
            found[e, b, 2] = low
            found[e, b, 3] = high
            found[e, b, 4] = higher / n
            if ordered:
                middle = 0.5 * (n - 1)
                found[e, b, 5] = quantile(own, 0, n - 1, middle)
                part = math.floor(middle)
                found[e, b, 6] = quantile(own, 0, min(max(part, 1), n - 1), 0.05 * (n - 1))
                found[e, b, 7] = quantile(own, part, n - 1, 0.95 * (n - 1))


@exact
def sector_sums(
    values: NDArray[Any],
    order: NDArray[np.int32],
    starts: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    deviation: NDArray[np.float64],
    group: NDArray[np.int32],
    sector: NDArray[np.int32],
    cell: NDArray[np.int32],
    of_sectors: NDArray[np.float64],
    of_cells: NDArray[np.float64],
) -> None:
    """Add up by how much pixels differ from the level of their bin, by azimuth and cell.

    Values of one event, cut to between ``low`` and ``high`` of their bin, less the mean of
    these cut values, by their level: that mean, or the spread where it is larger.
    ``of_sectors`` (groups, sectors, 3) and ``of_cells`` (cells, 3) get the number of values,
    the sum of these relative residuals, and that of the squares of the relative spread.
    """
    for b in range(len(starts) - 1):
        n, total = 0, 0.0
        for i in range(starts[b], starts[b + 1]):
            v = np.float64(values[order[i]])
            if np.isfinite(v):
                n += 1
                total += min(max(v, low[b]), high[b])
        if n == 0:
            continue
        mean = total / n
        spread = (high[b] - low[b]) / _MIDDLE
        if spread <= 0.0:
            spread = deviation[b]
        level = max(abs(mean), spread)
        if level <= 0.0:
            continue
        noise = (spread / level) ** 2
        g = group[b]
        for i in range(starts[b], starts[b + 1]):
            p = order[i]
            v = np.float64(values[p])
            if np.isfinite(v):
                residual = (min(max(v, low[b]), high[b]) - mean) / level
                s, c = sector[p], cell[p]
                if s >= 0:
                    of_sectors[g, s, 0] += 1
                    of_sectors[g, s, 1] += residual
                    of_sectors[g, s, 2] += noise
                if c >= 0:
                    of_cells[c, 0] += 1
                    of_cells[c, 1] += residual
                    of_cells[c, 2] += noise
