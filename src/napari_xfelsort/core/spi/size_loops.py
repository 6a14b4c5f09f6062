"""Scanning and refining sizes; compiled when imported: import it where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import fast

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@fast
def scan(measured: Singles, there: Singles, models: Singles, scale: Singles, out: Singles) -> None:
    """Sum over rings of |measured - model|, for each event and size.

    ``measured`` is 0 where ``there`` is; ``scale`` (events, sizes) makes the mean of the
    model over the rings that are there 1.
    """
    for e in range(len(measured)):
        for s in range(len(models)):
            total = np.float32(0)
            factor = scale[e, s]
            for r in range(measured.shape[1]):
                total += np.abs(measured[e, r] - factor * models[s, r]) * there[e, r]
            out[e, s] = total


@fast
def _solve(y: Floats, w: Floats, model: Floats, with_level: bool):  # type: ignore[no-untyped-def]
    """Intensity, level and chi square of y = intensity * model + level."""
    sw = sm = smm = sy = smy = syy = 0.0
    for r in range(len(y)):
        a = w[r] * model[r]
        sw += w[r]
        sm += a
        smm += a * model[r]
        sy += w[r] * y[r]
        smy += a * y[r]
        syy += w[r] * y[r] * y[r]
    level, factor = 0.0, 0.0
    if smm > 0:
        factor = smy / smm
    scatter = sw * smm - sm * sm
    if with_level and scatter > 1e-12 * sw * smm:
        level = (sy * smm - smy * sm) / scatter
        if level > 0:
            factor = (smy * sw - sy * sm) / scatter
        else:
            level = 0.0
    if factor < 0:
        factor = 0.0
        level = sy / sw if with_level and sw > 0 and sy > 0 else 0.0
    left = syy - 2 * factor * smy - 2 * level * sy
    left += factor * factor * smm + 2 * factor * level * sm + level * level * sw
    return factor, level, max(left, 0.0)


@fast
def _first_weights(y: Floats, pixels: Floats, w: Floats) -> None:
    """Weights from what was counted, to begin with."""
    for r in range(len(y)):
        w[r] = pixels[r] / (max(y[r], 0.0) + 1e-3)


@fast
def _weights(model: Floats, factor: float, level: float, pixels: Floats, error: float, w: Floats):  # type: ignore[no-untyped-def]
    """Weights from the model (those of counts favour too few); sum of log variances."""
    total = 0.0
    for r in range(len(w)):
        w[r] = 0.0
        if pixels[r] > 0:
            mean = factor * model[r] + level
            noise = max(mean, 0.3 / pixels[r]) / pixels[r]
            variance = noise + (error * mean) ** 2
            w[r] = 1.0 / variance
            total += np.log(variance)
    return total


@fast
def _descend(y: Floats, w: Floats, models: Floats, k: int, with_level: bool):  # type: ignore[no-untyped-def]
    """Nearest place at which chi square is smaller than beside it, and the fit there."""
    factor, level, chi = _solve(y, w, models[k], with_level)
    moved = True
    while moved:
        moved = False
        for step in (-1, 1):
            j = k + step
            if 0 <= j < len(models):
                factor2, level2, chi2 = _solve(y, w, models[j], with_level)
                if chi2 < chi:
                    k, factor, level, chi = j, factor2, level2, chi2
                    moved = True
                    break
    return k, factor, level, chi


@fast
def _vertex(y: Floats, w: Floats, models: Floats, k: int, chi: float, with_level: bool):  # type: ignore[no-untyped-def]
    """Place of the minimum by a parabola, and the second difference of chi square."""
    if k == 0 or k == len(models) - 1:
        return float(k), 0.0
    before = _solve(y, w, models[k - 1], with_level)[2]
    after = _solve(y, w, models[k + 1], with_level)[2]
    curve = before - 2 * chi + after
    if curve <= 0:
        return float(k), 0.0
    return k + min(0.5, max(-0.5, 0.5 * (before - after) / curve)), curve


@fast
def _without(y: Floats, w: Floats, with_level: bool):  # type: ignore[no-untyped-def]
    """Chi square without a particle: of a level alone, or of nothing."""
    sw = sy = syy = 0.0
    for r in range(len(y)):
        sw += w[r]
        sy += w[r] * y[r]
        syy += w[r] * y[r] * y[r]
    return syy - sy * sy / sw if with_level and sw > 0 else syy


@fast
def refine(
    measured: Floats,
    pixels: Floats,
    models: Floats,
    starts: NDArray[np.int64],
    error: float,
    with_level: bool,
    out: Floats,
) -> None:
    """From each start to the next smallest chi square; the likeliest of them is kept.

    ``measured`` in photons a pixel, ``pixels`` 0 where there is nothing. ``out`` (events, 7):
    place among the models with a fraction, second difference of chi square there, intensity,
    level, chi square, number of rings, chi square without a particle.
    """
    w = np.zeros(models.shape[1])
    for e in range(len(measured)):
        y, n = measured[e], pixels[e]
        best = np.inf
        for start in starts[e]:
            if start < 0:
                continue
            k = start
            _first_weights(y, n, w)
            factor, level, chi = _solve(y, w, models[k], with_level)
            spread = 0.0
            for _ in range(3):
                spread = _weights(models[k], factor, level, n, error, w)
                k, factor, level, chi = _descend(y, w, models, k, with_level)
            if chi + spread < best:
                best = chi + spread
                out[e, 0], out[e, 1] = _vertex(y, w, models, k, chi, with_level)
                out[e, 2], out[e, 3], out[e, 4] = factor, level, chi
                out[e, 6] = _without(y, w, with_level)
        for r in range(len(n)):
            if n[r] > 0:
                out[e, 5] += 1
