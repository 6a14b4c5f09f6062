"""Frames of a detector module with planted defects, whose strength is known exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PHOTON, N_PHOTONS, NOISE, PATTERN = 60.0, 20.0, 10.0, 25.0
KINDS = (
    "dead", "hot", "cold", "noisy", "flicker", "stuck", "light", "shade", "restless",
)  # fmt: skip


class Module(NamedTuple):
    """Frames of a module, and what is wrong with it."""

    dark: np.ndarray
    bright: np.ndarray
    planted: dict[str, np.ndarray]
    good: np.ndarray
    shifted: np.ndarray


def spread_of_noise(n: int) -> float:
    """Deviation between good pixels of their deviation over n dark frames."""
    return float(np.hypot(0.05 * NOISE, NOISE / np.sqrt(2 * (n - 1))))


def module(
    strength: float,
    seed: int = 0,
    shape: tuple[int, int] = (256, 128),
    n_frames: int = 100,
    exact: bool = True,
) -> Module:
    """ASICs of 64 x 64 pixels, half a percent of them with each kind of defect.

    ``strength`` is in deviations of the feature between good pixels. ``exact``: the feature
    of a pixel with a defect is that in these very frames; else it is that on average, and
    scatters as the frames do.
    """
    rng = np.random.default_rng(seed)
    y = np.mgrid[: shape[0], : shape[1]][0]
    asics = rng.normal(0, 300, (shape[0] // 64, shape[1] // 64)).repeat(64, 0).repeat(64, 1)
    surface = (5000 + asics + 80 * (y / 512) + 60 * (y / 256 - 1) ** 2).ravel()
    n = surface.size
    each, some = n // 200, rng.permutation(n)
    planted = {name: some[k * each : (k + 1) * each] for k, name in enumerate(KINDS)}
    pattern = rng.normal(0, PATTERN, n)
    for name, sign in (("hot", 1), ("cold", -1)):
        own = planted[name]
        pattern[own] = sign * strength * PATTERN + (0 if exact else pattern[own])
    level = surface + pattern
    noise = NOISE * (1 + 0.05 * rng.normal(size=n))
    shifted = np.sort(rng.choice(n_frames, n_frames // 25, replace=False))
    used = np.ones(n_frames, bool)
    used[shifted] = False
    away = noise * rng.normal(size=(n_frames, n))
    bad_noise = NOISE + strength * spread_of_noise(used.sum())
    flicker = (rng.random((n_frames, each)) < 0.3) * np.sqrt((bad_noise**2 - 100) / 0.21)
    away[:, planted["noisy"]] *= bad_noise / noise[planted["noisy"]]
    away[:, planted["flicker"]] *= NOISE / noise[planted["flicker"]]
    away[:, planted["flicker"]] += flicker
    if exact:
        for name in ("noisy", "flicker"):
            own = away[:, planted[name]]
            own -= own[used].mean(axis=0)
            away[:, planted[name]] = own * bad_noise / own[used].std(axis=0, ddof=1)
    dark = level + away
    dark[shifted] += rng.choice([-60, 60], len(shifted))[:, np.newaxis]
    dark[:, planted["stuck"]] = np.rint(level[planted["stuck"]])
    dark[:, planted["dead"]] = 20
    bright = level + _light(rng, strength, planted, n_frames, n, exact)
    bright += noise * rng.normal(size=bright.shape)
    bright[:, planted["dead"]] = 20
    good = np.ones(n, bool)
    good[some[: len(KINDS) * each]] = False
    frames = (np.rint(f).clip(0, 65_535).astype(np.uint16) for f in (dark, bright))
    dark, bright = (f.reshape(n_frames, *shape) for f in frames)
    return Module(dark, bright, planted, good.reshape(shape), shifted)


def _light(
    rng: np.random.Generator,
    strength: float,
    planted: dict[str, np.ndarray],
    n_frames: int,
    n: int,
    exact: bool,
) -> np.ndarray:
    """ADU of light of pulses of varying energy, on pixels of varying gain."""
    pulse = N_PHOTONS * PHOTON * rng.gamma(10, 0.1, (n_frames, 1))
    counts = rng.poisson(pulse / PHOTON, (n_frames, n))
    gain = 1 + 0.03 * rng.normal(size=n)
    light = counts * PHOTON * gain
    by_chance = PHOTON * pulse + NOISE**2
    scale = np.sqrt(by_chance + (0.03 * pulse) ** 2)
    # Between good pixels: their gain, and chance.
    chance = np.mean(by_chance / scale**2) / n_frames
    of_mean = np.hypot(0.03 * np.mean(pulse / scale), np.sqrt(chance))
    for name, sign in (("light", 1), ("shade", -1)):
        own = planted[name]
        has = np.mean((light[:, own] - pulse) / scale, axis=0) if exact else 0.0
        light[:, own] += (sign * strength * of_mean - has) / np.mean(1 / scale)
    restless = rng.choice([-1, 1], (n_frames, len(planted["restless"])))
    light[:, planted["restless"]] += 3 * scale * restless
    return light
