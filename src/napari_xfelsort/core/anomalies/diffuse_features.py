"""Features of diffuse scattering: what is alike in most parts of a frame, not in a few.

Lines, blocks and panels that are off are strong in few parts of a frame; what a disordered
crystal scatters is everywhere that it has spots. So medians and quartiles over parts are taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.residuals import Residuals

#: Pixels of a square part, and how far apart parts are.
_PART, _STEP = 64, 32
_SECTORS = 36
#: Edges of frequencies in periods a part, of the spectrum that is told.
_EDGES = (0.9, 1.6, 2.6, 4.1, 6.1, 9.1, 14.1, 22.0, 32.0)
_BLOCK = 4
_SMOOTH = (1.2, 2.5, 4.5)
#: Scattering vectors (1/angstrom), and parts of the largest radius where they are not known.
_SHELLS = ((0.1, 0.19), (0.19, 0.26), (0.26, 0.36))
_SHARES = ((0.18, 0.35), (0.35, 0.5), (0.5, 0.7))
_LARGEST = 0.08
#: Sectors of a shell, each with what is opposite.
_PIECES = 18
_ALIKE = (
    "alike",
    "unlike",
    "alike less unlike",
    "alike of all",
    "typical alike",
    "first quartile of sectors",
    "typical sector",
    "significance of typical sector",
    "share of alike sectors",
)
_LEAST_PANEL = 900


def diffuse_features(left: Residuals) -> dict[str, float]:
    """Spectra of parts, and what is alike on both sides of the beam."""
    flat = _without_panels(left)
    return {**_spectra(left, flat), **_opposite(left, flat)}


def _without_panels(left: Residuals) -> NDArray[np.float32]:
    """Differences from the level in units of spread, panels brought to one level, cut."""
    from scipy.ndimage import label

    score = np.where(left.good, np.clip(left.score, -4, 5), 0).astype(np.float32)
    relative = left.relative
    panels, n = label(left.good)
    sizes = np.bincount(panels.ravel(), minlength=n + 1)
    offset = np.zeros(n + 1, np.float32)
    number = panels.ravel()
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(sizes)
    if 2 <= (sizes[1:] >= _LEAST_PANEL).sum() <= 300:
        for k in range(1, n + 1):
            if sizes[k] >= _LEAST_PANEL:
                own = order[ends[k - 1] : ends[k]]
                offset[k] = np.median(relative.ravel()[own])
    floor = np.maximum(np.abs(left.level), left.spread) / left.spread
    score -= np.clip(offset[panels] * floor, -3, 3)
    return np.where(left.good, np.clip(score, -3, 3), 0).astype(np.float32)


def _spectra(left: Residuals, flat: NDArray[np.float32]) -> dict[str, float]:
    """Power of parts by period and by direction."""
    good = left.good
    rows, columns = good.shape
    window = np.hanning(_PART + 2)[1:-1].astype(np.float32)
    window2 = window[:, np.newaxis] * window
    parts, away = [], []
    for top in range(0, rows - _PART + 1, _STEP):
        for start in range(0, columns - _PART + 1, _STEP):
            own = slice(top, top + _PART), slice(start, start + _PART)
            weight = window2 * good[own]
            total = float(weight.sum())
            if total < 0.7 * float(window2.sum()):
                continue
            values = flat[own]
            mean = float((values * weight).sum()) / total
            parts.append((values - mean) * weight)
            away.append(float(left.places.away[top + _PART // 2, start + _PART // 2]))
    if len(parts) < 8:
        return _NO_SPECTRA
    names = [f"{k}" for k in range(len(_EDGES) - 1)]
    found: dict[str, float] = {}
    power = np.abs(np.fft.rfft2(np.stack(parts))) ** 2 / float((window2**2).sum())
    u = np.fft.fftfreq(_PART, 1 / _PART)[:, np.newaxis]
    v = np.fft.rfftfreq(_PART, 1 / _PART)[np.newaxis]
    size = np.hypot(u, v)
    shell = np.digitize(size, _EDGES) - 1
    of = [power[:, shell == k].mean(axis=1) for k in range(len(_EDGES) - 1)]
    radial = np.log10(np.stack(of, axis=1) + 1e-3)
    distance = np.array(away)
    middle = 0.45 * float(left.places.away.max())
    for zone, use in (("inner", distance <= middle), ("outer", distance > middle)):
        chosen = radial[use] if use.sum() >= 4 else radial
        for quartile in (25, 50, 75):
            q = np.percentile(chosen, quartile, axis=0)
            found |= {
                f"power {k} of the {quartile}th part, {zone}": float(a)
                for k, a in zip(names, q, strict=True)
            }
        over = np.median(chosen - chosen[:, -1:], axis=0)
        found |= {
            f"power {k} over the finest, {zone}": float(a)
            for k, a in zip(names, over, strict=True)
        }
    whole = np.maximum(power.mean(axis=(1, 2), keepdims=True), 1e-9)
    typical = np.median(power / whole, axis=0)
    sector = ((np.arctan2(u, v) / np.pi) % 1.0 * _SECTORS).astype(int) % _SECTORS
    for name, low, high in (("short", 9.0, 26.0), ("long", 4.5, 14.0)):
        use = (size >= low) & (size < high)
        n = np.bincount(sector[use], minlength=_SECTORS)
        profile = np.bincount(sector[use], typical[use], _SECTORS) / np.maximum(n, 1)
        found |= _directions(profile, name)
    return found


_STREAKS = (
    "strongest",
    "strongest off the axes",
    "narrowest",
    "spread",
    "two-fold",
    "gain over the next",
)


_NO_SPECTRA = dict.fromkeys(
    [
        *(
            f"power {k} {what}, {zone}"
            for zone in ("inner", "outer")
            for what in (
                *(f"of the {quartile}th part" for quartile in (25, 50, 75)),
                "over the finest",
            )
            for k in range(len(_EDGES) - 1)
        ),
        *(f"{what} of {k} streaks" for k in ("short", "long") for what in _STREAKS),
    ],
    0.0,
)


def _directions(profile: NDArray[np.float64], name: str) -> dict[str, float]:
    """How much stronger the strongest direction is; axes are those of rows and columns."""
    log = np.log10(np.maximum(profile, 1e-6) / max(float(np.median(profile)), 1e-6))
    k = np.arange(_SECTORS)
    turn = np.minimum(k % (_SECTORS // 2), -k % (_SECTORS // 2))
    # Sector k begins at its angle: those that touch an axis, and their neighbours.
    free = (turn > 1) & (np.roll(turn, -1) > 1)
    best = int(np.where(free, log, -9).argmax())
    others = np.minimum((k - best) % _SECTORS, (best - k) % _SECTORS) > 3
    around = np.minimum((k - best) % _SECTORS, (best - k) % _SECTORS) == 3
    values = (
        float(log.max()),
        float(log[best]),
        float(log[best] - log[around].mean()),
        float(log[free].std()),
        float(abs((log * np.exp(2j * np.pi * k / _SECTORS)).mean())),
        float(log[best] - log[free & others].max()),
    )
    return {f"{what} of {name} streaks": v for what, v in zip(_STREAKS, values, strict=True)}


def _opposite(left: Residuals, flat: NDArray[np.float32]) -> dict[str, float]:
    """Smooth differences that are the same on the other side of the beam, and that are not."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    spread = left.spread / np.maximum(np.abs(left.level), left.spread)
    use = left.good & (np.abs(left.score) < 4)
    values = _blocks(np.where(use, np.clip(flat * spread, -0.7, 0.7), 0))
    counts = _blocks(use)
    chance = _blocks(np.where(use, spread**2, 0))
    rows, columns = values.shape
    y, x = (2 * (c + 0.5) / _BLOCK - 0.5 for c in left.center)
    y, x = y - 0.5 - np.arange(rows), x - 0.5 - np.arange(columns)
    turned = np.meshgrid(y, x, indexing="ij")
    away = _blocks(left.places.away) / np.maximum(_blocks(np.ones_like(flat)), 1)
    found: dict[str, float] = {}
    shells = _radii(left)
    angle = np.arctan2(np.arange(rows)[:, np.newaxis] - y[0] / 2, np.arange(columns) - x[0] / 2)
    sector = (angle / np.pi % 1.0 * _PIECES).astype(int) % _PIECES
    ring = (away / 6).astype(np.int32)
    for size in _SMOOTH:
        n = gaussian_filter(counts, size, mode="constant")
        mean = gaussian_filter(values, size, mode="constant") / np.maximum(n, 1e-3)
        error = gaussian_filter(chance, size, mode="constant") / np.maximum(n, 1e-3) ** 2
        error /= 4 * np.pi * size**2
        known = n > 0.5 * _BLOCK**2
        other = map_coordinates(mean, turned, order=1, mode="constant")
        there = map_coordinates(known.astype(np.float64), turned, order=1, mode="constant") > 0.99
        both = known & there
        # Without what whole rings have.
        total = np.maximum(np.bincount(ring[both], minlength=ring.max() + 1), 1)
        pair = (mean + other) / 2
        level = np.bincount(ring[both], pair[both], ring.max() + 1) / total
        even, odd = pair - level[ring], (mean - other) / 2
        for number, (low, high) in enumerate(shells):
            own = both & (away >= low) & (away < high)
            name = f"smoothed {size}, shell {number}"
            keys = _ALIKE
            if own.sum() < 40:
                found |= dict.fromkeys((f"{k}, {name}" for k in keys), 0.0)
                continue
            a, b = np.minimum(even[own] ** 2, 0.25), np.minimum(odd[own] ** 2, 0.25)
            noise = float(error[own].mean()) / 2
            both_sides = _pieces(even[own] ** 2 - odd[own] ** 2, sector[own])
            q = np.percentile(both_sides, (25, 50))
            keep = np.minimum(a, b) < np.percentile(np.minimum(a, b), 95)
            if keep.any():
                a, b = a[keep], b[keep]
            found |= dict(
                zip(
                    (f"{k}, {name}" for k in keys),
                    (
                        float(np.log10(a.mean() / noise + 0.1)),
                        float(np.log10(b.mean() / noise + 0.1)),
                        _root(float(a.mean() - b.mean())) / _LARGEST,
                        float((a.mean() - b.mean()) / (a.mean() + b.mean() + 1e-9)),
                        float(np.log10((np.median(a) + 1e-6) / (np.median(b) + 1e-6))),
                        *(_root(float(each)) / _LARGEST for each in q),
                        float(np.arcsinh(q[1] / noise)),
                        float((both_sides > 0).mean()),
                    ),
                    strict=True,
                )
            )
    return found


def _pieces(values: NDArray[np.float64], sector: NDArray[np.int64]) -> NDArray[np.float64]:
    """Means of sectors that have pixels, each cut."""
    n = np.bincount(sector, minlength=_PIECES)
    cut = np.clip(values, -0.25, 0.25)
    return np.asarray(np.bincount(sector, cut, _PIECES)[n > 0] / n[n > 0])


def _radii(left: Residuals) -> list[tuple[float, float]]:
    """Radii in pixels of the shells."""
    if not left.optics.known:
        most = float(left.places.away.max())
        return [(low * most, high * most) for low, high in _SHARES]
    edges = [left.optics.radius(1 / np.array(shell)) for shell in _SHELLS]
    return [(float(low), float(high)) for low, high in edges]


def _blocks(values: NDArray[Any]) -> NDArray[np.float64]:
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], _BLOCK)
        values = np.add.reduceat(values, starts, axis=axis, dtype=np.float64)
    return np.asarray(values)


def _root(value: float) -> float:
    """Square root that keeps the sign."""
    return float(np.sign(value) * np.sqrt(abs(value)))
