"""Diffuse scattering of disordered crystals: halos, streaks and clouds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.anomalies.ground import (
    ABSENT,
    Ground,
    Map,
    Ranges,
    strength,
)
from napari_xfelsort.core.simulate.scattering import gaussian

#: Strengths against the background: at the spots (halo, streak), or the standard deviation
#: of the modulation at the crest of its envelope (cloud).
KINDS: dict[str, Ranges] = {
    "halo": ((0.4, 1.5), (0.08, 0.25)),
    "streak": ((0.6, 2.0), (0.12, 0.35)),
    "cloud": ((0.12, 0.35), (0.025, 0.07)),
}

#: Standard deviations of a halo's parts in pixels.
_HALO = (3.0, 7.0, 14.0)

#: Least significance of a feature against the noise of its area.
_SIGMAS = 3.0


def choose_diffuse(random: np.random.Generator, state: int) -> str:
    """The kind of diffuse scattering of an event, empty when it has none."""
    return "" if state == ABSENT else str(random.choice(list(KINDS)))


def diffuse_scattering(
    random: np.random.Generator,
    state: int,
    kind: str,
    ground: Ground,
    spots: NDArray[np.float64],
    counts: float,
) -> tuple[Map | None, dict[str, Any]]:
    """Excess over the background and what was drawn.

    Parameters
    ----------
    spots : ndarray, shape (spots, 3)
        Row, column and value of the spots on the plane; halo and streak need some.
    counts : float
        Typical background of a pixel; the strength is raised where it would drown in its
        noise.
    """
    if not kind:
        return None, {}
    contrast = strength(random, state, KINDS[kind])
    if kind == "cloud":
        length = float(random.uniform(10.0, 24.0)) * ground.scale
        contrast = max(contrast, _least(state, counts, length))
        q = float(random.uniform(0.18, 0.30))
        drawn: dict[str, Any] = {"kind": kind, "contrast": contrast, "length": length, "q": q}
        field = centrosymmetric_field(random, ground, length)
        envelope = gaussian(ground.maps.q, q, 0.06)
        excess = np.float32(contrast) * envelope * np.clip(field, -2.5, 2.5)
        return np.asarray(np.maximum(excess, -0.9), np.float32), drawn
    drawn = {"kind": kind, "contrast": contrast}
    if kind == "halo":
        contrast = max(contrast, _least(state, counts, _HALO[0] * ground.scale))
        shape = _halo(ground, spots)
    else:
        along = float(random.uniform(6.0, 25.0)) * ground.scale
        across = 0.7 * max(ground.scale, 1.0)
        direction = float(random.uniform(0.0, np.pi))
        contrast = max(contrast, _least(state, counts, np.sqrt(along * across)))
        shape = _smeared(_impulses(ground, spots), along, across, direction)
        drawn.update(length=along, direction=float(np.degrees(direction)))
    drawn["contrast"] = contrast
    rows, columns = np.rint(spots[:, :2]).astype(np.int64).T
    # 1 at all but the strongest spots.
    shape /= max(float(np.quantile(shape[rows, columns], 0.75)), 1e-6)
    return np.asarray(np.float32(contrast) * np.minimum(shape, 3.0)), drawn


def _least(state: int, counts: float, sigma: float) -> float:
    """Least strength that stands out of the noise of a Gaussian's area."""
    if state != 1:
        return 0.0
    return _SIGMAS / float(np.sqrt(max(counts, 1e-3) * 4.0 * np.pi * sigma**2))


def centrosymmetric_field(random: np.random.Generator, ground: Ground, length: float) -> Map:
    """A smooth random field of standard deviation 1, equal at opposite sides of the beam."""
    from scipy.ndimage import gaussian_filter

    shape, center = ground.plane.shape, ground.optics.center
    half = 1 + int(max(max(c, n - 1 - c) for c, n in zip(center, shape, strict=True)) + 1)
    field = random.standard_normal((2 * half + 1, 2 * half + 1), np.float32)
    field = gaussian_filter(field, length, mode="wrap")
    field = field + field[::-1, ::-1]
    field /= field.std()
    # The middle of the field lies on the beam, which is between pixels.
    start = [half - c for c in center]
    whole = [int(np.floor(s)) for s in start]
    part = [np.float32(s - w) for s, w in zip(start, whole, strict=True)]

    def cut(down: int, across: int) -> Map:
        top, left = whole[0] + down, whole[1] + across
        return np.asarray(field[top : top + shape[0], left : left + shape[1]])

    upper = (1 - part[1]) * cut(0, 0) + part[1] * cut(0, 1)
    lower = (1 - part[1]) * cut(1, 0) + part[1] * cut(1, 1)
    return np.asarray((1 - part[0]) * upper + part[0] * lower)


def _impulses(ground: Ground, spots: NDArray[np.float64]) -> Map:
    """The spots' values as single pixels; the few strongest are cut."""
    picture = np.zeros(ground.plane.shape, np.float32)
    rows, columns = np.rint(spots[:, :2]).astype(np.int64).T
    top = np.quantile(spots[:, 2], 0.9) if len(spots) else 1.0
    np.add.at(picture, (rows, columns), np.minimum(spots[:, 2], top).astype(np.float32))
    return picture


def _halo(ground: Ground, spots: NDArray[np.float64]) -> Map:
    from scipy.ndimage import gaussian_filter

    picture = _impulses(ground, spots)
    total = np.zeros_like(picture)
    for sigma in _HALO:
        # Parts of equal height.
        size = sigma * ground.scale
        total += gaussian_filter(picture, size) * np.float32(2.0 * np.pi * size**2)
    return total


def _smeared(picture: Map, along: float, across: float, direction: float) -> Map:
    """A picture convolved with a long Gaussian in one direction."""
    rows = np.fft.fftfreq(picture.shape[0]).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(picture.shape[1]).astype(np.float32)
    cos, sin = np.float32(np.cos(direction)), np.float32(np.sin(direction))
    u, v = columns * cos + rows * sin, rows * cos - columns * sin
    # The Gaussian's transform; what goes over one edge comes back faintly at the other.
    blur = np.exp(-2.0 * np.pi**2 * ((u * along) ** 2 + (v * across) ** 2))
    smeared = np.fft.irfft2(np.fft.rfft2(picture) * blur, picture.shape)
    return np.asarray(np.maximum(smeared, 0.0), np.float32)
