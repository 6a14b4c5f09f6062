"""Features of rings: how strong a frame is, and what rises above its smooth background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.residuals import RINGS, Residuals

#: Spacings of hexagonal ice in angstrom, and how strong their rings are in powders.
ICE = {3.90: 1.0, 3.67: 0.75, 3.44: 0.55, 2.67: 0.25, 2.25: 0.45, 2.07: 0.35, 1.95: 0.2}
ICE |= {1.92: 0.15, 1.88: 0.1, 1.72: 0.1, 1.52: 0.08}
#: Parts that profiles are told in, and widths (in rings) of what rises above the background.
_PARTS = 16
_WIDTHS = {"narrow": 3, "wide": 8, "broad": 21}
_SCALES = np.exp(np.linspace(np.log(0.25), np.log(2.5), 120))


def level_features(left: Residuals) -> dict[str, float]:
    """Counts, their spread and how they fall off with the radius."""
    values = left.values[left.good]
    if not values.size:
        values = np.zeros(1, np.float32)
    mean = float(values.mean())
    q = np.percentile(values, (1, 5, 25, 50, 75, 95, 99, 99.9))
    found = {
        "log mean": _log(mean),
        "share of zeros": float((values == 0).mean()),
        "share of the largest value": float((values == values.max()).mean()),
        "share of good pixels": float(left.good.mean()),
    }
    names = (1, 5, 25, 50, 75, 95, 99, 99.9)
    found |= {f"log percentile {n}": _log(v) for n, v in zip(names, q, strict=True)}
    profile, spread = left.profile, left.spreads
    scale = max(abs(mean), 1e-3)
    for k, part in enumerate(_parts(left)):
        level = float(np.median(profile[part])) if part.any() else np.nan
        noise = float(np.median(spread[part])) if part.any() else np.nan
        found[f"level {k}"] = _log(level / scale + 1e-2)
        # One for counts of single photons.
        found[f"noise {k}"] = _log(noise**2 * left.side**2 / max(level, 1e-2) + 1e-2)
    return found


def ring_features(left: Residuals) -> dict[str, float]:
    """What rises above a smooth background, by its width; and rings of ice."""
    found: dict[str, float] = {}
    seen = left.places.seen
    for name in ("median", "mean", "p95", "maximum"):
        profile = _known(left.rings[name], seen)
        for width, rings in _WIDTHS.items():
            excess = above_baseline(profile, rings)
            excess[: 6 if rings < 10 else 12] = 0  # the beam itself
            k = int(excess.argmax())
            found[f"{width} rise of ring {name}"] = float(excess[k])
            found[f"radius of {width} rise of ring {name}"] = k / RINGS
            found[f"spread of {width} rise of ring {name}"] = float(excess.std())
    noise = _ring_noise(left)
    for name in ("mean", "p95"):
        excess = above_baseline(_known(left.rings[name], seen), _WIDTHS["narrow"])
        excess[:6] = 0
        score = excess / noise
        found[f"significance of narrow rings {name}"] = float(score.max())
        found[f"narrow rings {name}"] = float((score > 5).sum())
        found |= {f"{key} {name}": value for key, value in _ice(left, excess, noise).items()}
    broad = above_baseline(_known(left.rings["median"], seen), _WIDTHS["broad"])
    if left.optics.known:
        spacing = _spacing(left)
        for low, high in ((2.6, 3.6), (3.6, 5.2), (1.8, 2.6), (5.2, 12)):
            there = (spacing > low) & (spacing < high)
            found[f"broad rise {low}-{high}"] = float(broad[there].max(initial=0))
    else:
        found |= dict.fromkeys((f"broad rise {b}" for b in ("2.6-3.6", "3.6-5.2")), 0.0)
        found |= dict.fromkeys((f"broad rise {b}" for b in ("1.8-2.6", "5.2-12")), 0.0)
    return found


def above_baseline(profile: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Relative rise of a profile above what stays when rises up to a width are cut off.

    Peaks are clipped step by step to the mean of their sides (Ryan et al., Nucl. Instrum.
    Methods B 34, 396, 1988), on the square root of the profile.
    """
    low = float(min(profile.min(), 0.0))
    root = np.sqrt(profile - low)
    base = root.copy()
    for reach in range(width, 0, -1):
        padded = np.pad(base, reach, mode="reflect", reflect_type="odd")
        sides = (padded[: -2 * reach] + padded[2 * reach :]) / 2
        base = np.minimum(base, np.maximum(sides, 0))
    floor = max(float(np.median(profile)) * 0.02, 1e-3)
    return np.asarray((root**2 - base**2) / np.maximum(base**2 + min(low, 0.0), floor))


def _ice(
    left: Residuals, excess: NDArray[np.float64], noise: NDArray[np.float64]
) -> dict[str, float]:
    """How well narrow rises are where rings of ice would be, at known or any distance."""
    weights = np.array(list(ICE.values()))
    spacings = np.array(list(ICE.keys()))
    radii = left.places.radii
    score = np.minimum(excess / noise, 50.0)
    off = np.median(np.sort(score)[-60:])

    def match(at: NDArray[np.float64]) -> tuple[float, float]:
        inside = np.isfinite(at) & (at > radii[3]) & (at < radii[-1])
        if np.count_nonzero(inside) < 2:
            return 0.0, 0.0
        number = np.clip(np.rint((at[inside] - radii[0]) / left.places.width), 1, RINGS - 2)
        n = number.astype(int)
        near = np.maximum(np.maximum(score[n - 1], score[n]), score[n + 1])
        best = np.max([excess[n - 1], excess[n], excess[n + 1]], axis=0)
        w = weights[inside]
        return float((w * near).sum() / w.sum()), float((w * best).sum() / w.sum())

    known = match(left.optics.radius(spacings)) if left.optics.known else (0.0, 0.0)
    # Without a distance: as for any, in units of half the largest radius for 3 angstrom.
    flat = radii[-1] * 3.0 / spacings
    scanned = max(match(flat * scale)[0] for scale in _SCALES)
    return {
        "ice at its spacings": known[0],
        "rise of ice": known[1],
        "ice at any distance": scanned - off,
    }


def _spacing(left: Residuals) -> NDArray[np.float64]:
    angle = np.arctan(left.places.radii / left.optics.distance)
    return np.asarray(left.optics.wavelength / (2 * np.sin(np.maximum(angle, 1e-6) / 2)))


def _ring_noise(left: Residuals) -> NDArray[np.float64]:
    """Relative noise of the mean of each ring."""
    counts = np.maximum(left.places.table_counts, 1)
    level = np.maximum(np.abs(left.profile), left.spreads)
    return np.asarray(np.maximum(left.spreads / np.sqrt(counts) / level, 1e-4))


def _parts(left: Residuals) -> list[NDArray[np.bool_]]:
    number = np.arange(RINGS) * _PARTS // RINGS
    return [(number == k) & left.places.seen for k in range(_PARTS)]


def _known(profile: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Linear between rings that have pixels."""
    known = seen & np.isfinite(profile)
    if not known.any():
        return np.zeros(len(profile))
    places = np.arange(len(profile))
    return np.interp(places, places[known], profile[known])


def _log(value: float) -> float:
    return float(np.sign(value) * np.log10(1 + 100 * abs(value)))
