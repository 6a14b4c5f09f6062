"""Statistics of rings in one pass; compiled when imported: import it where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]
Numbers = NDArray[np.int32]

#: Smallest mean of a ring by the event's that is told from none.
_LEAST = 1e-3
#: Share of the pixels that the background is taken of, and pixels that a direction needs.
_OUTER, _FEWEST = 0.1, 3.0


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


@exact
def ring_particle(
    values: Floats, ring: Numbers, direction: Numbers, directions: int, out: Floats
) -> None:
    """Strength, contrast, contrast over directions of each ring; see `Particle.of`.

    ``values`` (events, pixels) are photons, NaN where not good; ``ring`` and ``direction``
    -1 where a pixel is in none; ``out`` (events, 3, rings) is 0 before.
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
                if value != 0.0:
                    sums[r, d] += value
                    squares[r] += value * value
        pixels = number.sum()
        if pixels > 0:
            _of_sums(number, sums, squares, pixels, out[e])


@exact
def _of_sums(number: Floats, sums: Floats, squares: Floats, pixels: float, out: Floats) -> None:
    """`ring_particle` of one event, from what its rings and directions add up to."""
    rings = out.shape[1]
    outer, level = 0.0, 0.0
    for r in range(rings - 1, -1, -1):
        if outer < _OUTER * pixels:
            outer += number[r].sum()
            level += sums[r].sum()
    level = max(level / outer, 0.0)
    photons = max(sums.sum(), 0.0)
    excess = max(photons - level * pixels, 3.0 * np.sqrt(photons) + 1.0) / pixels
    for r in range(rings):
        n = number[r].sum()
        if n == 0:
            continue
        mean = sums[r].sum() / n
        counted = max(mean, 0.0)
        strength = max(mean - level, 0.0)
        error = np.sqrt(max(mean, 0.5 / n) / n + level / outer)
        out[0, r] = np.log((strength + error) / excess)
        noise = counted * np.sqrt(2.0 / n) + np.sqrt(counted / n)
        away = squares[r] / n - mean * mean - mean
        if strength > 0.0 or noise > 0.0:
            out[1, r] = away / (strength * strength + noise)
        out[2, r] = _over_directions(number[r], sums[r], mean, strength)


@exact
def _over_directions(number: Floats, sums: Floats, mean: float, strength: float) -> float:
    """Variance of the means of directions, less that of counting, relative to the strength."""
    seen, total, counting = 0.0, 0.0, 0.0
    for d in range(len(number)):
        if number[d] >= _FEWEST:
            seen += 1.0
            total += sums[d] / number[d]
            counting += max(mean, 0.0) / number[d]
    if seen < 2.0:
        return 0.0
    middle, counting, away = total / seen, counting / seen, 0.0
    for d in range(len(number)):
        if number[d] >= _FEWEST:
            away += (sums[d] / number[d] - middle) ** 2
    size = strength * strength + counting * np.sqrt(2.0 / (seen - 1.0))
    return (away / (seen - 1.0) - counting) / size if size > 0.0 else 0.0
