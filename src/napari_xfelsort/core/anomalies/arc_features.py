"""Features of arcs on opposite sides of the beam, and of clouds that are alike there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.residuals import DIRECTIONS, Residuals

#: Spacings in angstrom at which polymers scatter, and others to compare with.
_WINDOWS = {
    "4.4": (4.28, 4.52),
    "3.7": (3.58, 3.82),
    "8-16": (7.5, 17.0),
    "5-7": (5.0, 7.0),
    "2.4-3.3": (2.4, 3.3),
}
_SHELLS = 120
#: Shells within which an arc ends, and from which on its surroundings are taken.
_NEAR, _FAR = 5, 10
#: Standard deviations of arcs along the azimuth, in degrees.
_SPREADS = (12.0, 30.0)
_CLOUDS_AT = (0.15, 0.33)
_ORDERS = {"4-7": (4, 8), "8-14": (8, 15), "15-24": (15, 25)}


class Shells:
    """Relative excess of narrow shells by direction, and its noise.

    Attributes
    ----------
    excess, variance : ndarray, shape (shells, DIRECTIONS)
        0 and infinite where there are too few pixels.
    """

    def __init__(self, left: Residuals) -> None:
        places = left.places
        direction = places.band % DIRECTIONS
        width = float(places.away.max()) / _SHELLS
        shell = np.minimum((places.away / np.float32(width)).astype(np.int32), _SHELLS - 1)
        use = left.good & (places.band >= 0)
        number = shell[use] * DIRECTIONS + direction[use]
        spread, level = left.spread[use], left.level[use]
        size = _SHELLS * DIRECTIONS
        counts = np.bincount(number, minlength=size).reshape(_SHELLS, -1)
        cut = np.clip(left.away[use], -4 * spread, 4 * spread)
        away, levels, noise = (
            np.bincount(number, each, size).astype(float).reshape(_SHELLS, -1)
            for each in (cut, np.maximum(level, 0), spread.astype(np.float64) ** 2)
        )
        # What is cut off above lowers the mean: of each shell it is 0 again.
        pixels = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        away -= counts * away.sum(axis=1, keepdims=True) / pixels
        known = (counts >= 3) & (levels > 0)
        floor = np.maximum(levels, np.sqrt(noise))
        self.excess = np.where(known, away / np.where(known, floor, 1), 0)
        self.variance = np.where(known, noise / np.where(known, floor, 1) ** 2, np.inf)
        self.radii = (np.arange(_SHELLS) + 0.5) * width
        self.spacing = np.full(_SHELLS, np.nan)
        if left.optics.known:
            angle = np.arctan(self.radii / left.optics.distance)
            self.spacing = left.optics.wavelength / (2 * np.sin(angle / 2))

    @property
    def weight(self) -> NDArray[np.float64]:
        """One over the variance, which is never taken for less than (2 %) squared."""
        return np.asarray(1 / (self.variance + 4e-4))


def arc_features(left: Residuals) -> dict[str, float]:
    """Arcs that stand out of what is inside and outside of them, on both sides of the beam."""
    shells = Shells(left)
    above, weight = _above_surroundings(shells)
    found: dict[str, float] = {}
    best: dict[float, NDArray[np.float64]] = {}
    for spread in _SPREADS:
        score, size = _arcs(above, weight, spread)
        half = DIRECTIONS // 2
        other, quarter = np.roll(score, half, axis=1), np.roll(score, half // 2, axis=1)
        both = np.fmin(score, other)
        four = np.fmin(both, np.fmin(quarter, np.roll(quarter, half, axis=1)))
        both = np.where(np.isfinite(both), both, 0)
        four = np.where(np.isfinite(four), four, 0)
        best[spread] = both
        rows = both[4:].max(axis=1)
        k = 4 + int(rows.argmax())
        found[f"arcs of {spread:g}"] = float(rows.max())
        found[f"size of arcs of {spread:g}"] = float(np.nan_to_num(size[k].max()))
        found[f"radius of arcs of {spread:g}"] = k / _SHELLS
        found[f"four arcs of {spread:g}"] = float(four[4:].max())
        typical = float(np.median(rows))
        found[f"arcs of {spread:g} above others"] = float(rows.max()) - typical
        for name, (low, high) in _WINDOWS.items():
            there = (shells.spacing > low) & (shells.spacing < high)
            there[:3] = False
            own = both[there] if there.any() else np.zeros((1, DIRECTIONS))
            found[f"arcs of {spread:g} at {name}"] = float(own.max())
            at = int(own.max(axis=1).argmax())
            own_size = size[there][at].max() if there.any() else 0.0
            found[f"size of arcs of {spread:g} at {name}"] = float(np.nan_to_num(own_size))
    found |= _polymer(shells, best[_SPREADS[-1]])
    found |= _harmonics(shells, above, weight)
    return found | _clouds(left, shells)


def _above_surroundings(shells: Shells) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Excess above shells on both sides, the mean over a few; and the weight of it."""
    weight = np.where(np.isfinite(shells.variance), shells.weight, 0)
    inner, w_inner = _window(shells.excess, weight, -1, 1)
    sides = [_window(shells.excess, weight, *span) for span in ((-_FAR, -_NEAR), (_NEAR, _FAR))]
    (a, wa), (b, wb) = sides
    both = (wa > 0) & (wb > 0)
    around = np.where(both, (a + b) / 2, np.where(wa > 0, a, b))
    known = (w_inner > 0) & ((wa > 0) | (wb > 0))
    variance = 1 / np.maximum(w_inner, 1e-12) + 1 / np.maximum(wa + wb, 1e-12)
    above = np.where(known, inner - around, 0)
    return above, np.where(known, 1 / variance, 0)


def _window(
    excess: NDArray[np.float64], weight: NDArray[np.float64], first: int, last: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean over neighbouring shells from ``first`` to ``last``, and its weight."""
    n = len(excess)
    total, sums = np.zeros((2, *excess.shape))
    for k in range(first, last + 1):
        to = slice(max(0, -k), min(n, n - k))
        here = slice(max(0, k), min(n, n + k))
        total[to] += weight[here]
        sums[to] += weight[here] * excess[here]
    return sums / np.maximum(total, 1e-12), total


def _arcs(
    above: NDArray[np.float64], weight: NDArray[np.float64], spread: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Significance and height of a Gaussian arc in each direction; NaN where nothing is seen.

    Fitted with a constant to the whole shell.
    """
    degrees = np.arange(DIRECTIONS) * 360.0 / DIRECTIONS
    away = (degrees + 180) % 360 - 180
    shape = np.exp(-0.5 * (away / spread) ** 2)
    one = weight.sum(axis=1, keepdims=True)
    level = (weight * above).sum(axis=1, keepdims=True)
    g, gg, gy = (
        _around(values, kernel)
        for values, kernel in (
            (weight, shape),
            (weight, shape**2),
            (weight * above, shape),
        )
    )
    size = np.maximum(one, 1e-12)
    power = gg - g * g / size
    enough = (gg > 0.35 * (shape**2).sum() / DIRECTIONS * one) & (power > 1e-9)
    height = np.where(enough, (gy - g * level / size) / np.where(enough, power, 1), np.nan)
    return height * np.sqrt(np.where(enough, power, np.nan)), height


def _around(values: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values added up around each direction, weighted with an even kernel."""
    found = np.fft.irfft(np.fft.rfft(values, axis=1) * np.fft.rfft(kernel), DIRECTIONS, axis=1)
    return np.asarray(found)


def _polymer(shells: Shells, both: NDArray[np.float64]) -> dict[str, float]:
    """Arcs of both spacings in one direction."""
    total = np.zeros(DIRECTIONS)
    for name in ("4.4", "3.7"):
        low, high = _WINDOWS[name]
        there = (shells.spacing > low) & (shells.spacing < high)
        if there.any():
            total += both[there].max(axis=0)
    return {"arcs at both": float(total.max()), "arcs at both above others": float(
        total.max() - np.median(total))}  # fmt: skip


def _harmonics(
    shells: Shells, above: NDArray[np.float64], weight: NDArray[np.float64]
) -> dict[str, float]:
    """Significance of two- and four-fold excess of single shells."""
    phase = 2j * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    total = np.maximum(weight.sum(axis=1), 1e-12)
    level = above - ((weight * above).sum(axis=1) / total)[:, np.newaxis]
    found = {}
    powers = {}
    for m in (1, 2, 3, 4):
        powers[m] = np.abs((weight * level) @ np.exp(m * phase)) / np.sqrt(total)
    even, odd = np.hypot(powers[2], powers[4]), np.hypot(powers[1], powers[3])
    found["even orders of a shell"] = float(even[4:].max())
    found["odd orders of a shell"] = float(odd[4:].max())
    found["even above odd orders"] = float((even - odd)[4:].max())
    for name, (low, high) in _WINDOWS.items():
        there = (shells.spacing > low) & (shells.spacing < high)
        there[:3] = False
        found[f"even orders at {name}"] = float(even[there].max(initial=0))
        found[f"odd orders at {name}"] = float(odd[there].max(initial=0))
    return found


def _clouds(left: Residuals, shells: Shells) -> dict[str, float]:
    """How much of what varies with the direction is alike on both sides, beyond the noise."""
    place = shells.radii / shells.radii[-1]
    there = (place > 0.2) & (place < 0.55)
    if left.optics.known:
        low, high = _CLOUDS_AT
        there = (shells.spacing > 1 / high) & (shells.spacing < 1 / low)
    known = np.isfinite(shells.variance[there])
    half = DIRECTIONS // 2
    known &= np.roll(known, half, axis=1)
    excess = np.where(known, shells.excess[there], 0)
    variance = np.where(known, shells.variance[there], 0)
    # Three shells together are about as long as a cloud.
    n = len(excess) // 3
    if n == 0:
        excess, variance, n = np.zeros((3, DIRECTIONS)), np.zeros((3, DIRECTIONS)), 1
    known_cells = (
        known[: 3 * n].reshape(n, -1, DIRECTIONS)
        if known.size
        else np.zeros((1, 3, DIRECTIONS), bool)
    )
    count = np.maximum(known_cells.sum(axis=1), 1)
    cells = excess[: 3 * n].reshape(n, 3, DIRECTIONS).sum(axis=1) / count
    noise = variance[: 3 * n].reshape(n, 3, DIRECTIONS).sum(axis=1) / count**2
    full = np.maximum(known_cells.any(axis=1).sum(axis=1, keepdims=True), 1)
    power = np.abs(np.fft.fft(cells, axis=1)) ** 2 / full**2
    chance = noise.sum(axis=1) / full[:, 0] ** 2
    found: dict[str, float] = {}
    for name, (first, last) in _ORDERS.items():
        orders = np.arange(first, last)
        even, odd = (power[:, orders[orders % 2 == parity]].mean(axis=1) for parity in (0, 1))
        for kind, own in (("even", even), ("odd", odd)):
            excess_power = own - chance
            found[f"{kind} clouds {name}"] = _root(float(excess_power.mean()))
            top = float(np.median(own / np.maximum(chance, 1e-12)))
            found[f"{kind} clouds {name} in noise"] = float(np.log10(top + 0.1))
        found[f"even over odd clouds {name}"] = float(
            np.log10((even.sum() + 1e-9) / (odd.sum() + 1e-9))
        )
    smooth = cells - cells.mean(axis=1, keepdims=True)
    other = np.roll(smooth, half, axis=1)
    w = np.where(noise > 0, 1 / (noise + 1e-4), 0)
    w = np.minimum(w, np.roll(w, half, axis=1))
    alike = float((w * smooth * other).sum() / max(float((w * smooth**2).sum()), 1e-9))
    found["clouds alike"] = alike
    return found


def _root(value: float) -> float:
    """Square root that keeps the sign."""
    return float(np.sign(value) * np.sqrt(abs(value)))
