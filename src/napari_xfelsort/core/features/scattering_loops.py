"""Statistics of rings in one pass; compiled when imported: import it where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]
Numbers = NDArray[np.int32]

#: Smallest mean of a ring by the event's that is told from none.
_LEAST = 1e-3


@exact
def ring_scattering(
    values: Floats, ring: Numbers, direction: Numbers, directions: int, out: Floats
) -> None:
    """Logarithm of the mean, variance by mean, spread over directions of each ring.

    ``values`` (events, pixels) are NaN where not good; ``ring`` and ``direction`` -1 where a
    pixel is in none; ``out`` (events, 3, rings) is 0 before.
    """
    rings = out.shape[2]
    number = np.zeros((rings, directions))
    sums = np.zeros((rings, directions))
    squares = np.zeros(rings)
    for e in range(len(values)):
        number[:] = 0.0
        sums[:] = 0.0
        squares[:] = 0.0
        for p in range(values.shape[1]):
            value, r, d = values[e, p], ring[p], direction[p]
            if r >= 0 and d >= 0 and np.isfinite(value):
                number[r, d] += 1.0
                sums[r, d] += value
                squares[r] += value * value
        pixels = number.sum()
        if pixels == 0:
            continue
        whole = sums.sum() / pixels
        for r in range(rings):
            n = number[r].sum()
            if n == 0:
                continue
            mean = sums[r].sum() / n
            part = mean / whole if whole > 0 else _LEAST
            out[e, 0, r] = np.log(max(part, _LEAST))
            if mean <= 0:
                continue
            out[e, 1, r] = max(squares[r] / n - mean * mean, 0.0) / mean
            seen, total = 0, 0.0
            for d in range(directions):
                if number[r, d] > 0:
                    seen += 1
                    total += sums[r, d] / number[r, d]
            middle, away = total / max(seen, 1), 0.0
            for d in range(directions):
                if number[r, d] > 0:
                    away += (sums[r, d] / number[r, d] - middle) ** 2
            out[e, 2, r] = np.sqrt(away / max(seen, 1)) / mean
