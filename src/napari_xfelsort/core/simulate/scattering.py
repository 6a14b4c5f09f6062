"""Smooth scattering against q = 1/d, and the rings of ice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

#: Spacings (angstrom) and relative strengths of hexagonal ice. The spacings are those of
#: xia2's list and DIALS' ice-ring filter.
ICE_SPACINGS = (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72, 1.52)
ICE_STRENGTHS = (1.0, 0.75, 0.55, 0.25, 0.45, 0.35, 0.15, 0.2, 0.1, 0.06, 0.08)

#: The rings that cubic ice has too (Thorn et al., Acta Cryst. D73, 2017, AUSPEX).
CUBIC_SPACINGS = (3.67, 2.25, 1.92)

#: How the strength of an ice ring goes round the beam.
ICE_TEXTURES = ("smooth", "textured", "spotty")

#: Steps round the beam of a spotty ring (0.67 degrees).
_STEPS = 540


def gaussian(q: Any, middle: float, width: float) -> Any:
    """exp(-(q - middle)^2 / (2 width^2))."""
    return np.exp(-0.5 * ((q - middle) / width) ** 2)


def air(q: Curve, fall: float = 0.11, floor: float = 0.12) -> Curve:
    """Scattering of air: falls from the beam outwards to a floor."""
    return np.asarray(np.exp(-q / fall) + floor)


def small_angle(q: Curve, corner: float, power: float) -> Curve:
    """Small-angle scattering: flat up to a corner, a power law beyond it."""
    return np.asarray((1.0 + (q / corner) ** 2) ** (-0.5 * power))


def background_curve(kind: str, q: Curve, random: np.random.Generator) -> Curve:
    """A smooth curve of one kind, drawn: ``air``, ``water``, ``saxs`` or ``lcp``."""
    curve = air(q, random.uniform(0.07, 0.16), random.uniform(0.06, 0.2))
    ring = gaussian(q, random.uniform(0.285, 0.33), random.uniform(0.03, 0.06))
    shoulder = gaussian(q, 0.47, 0.08)
    if kind == "air":
        return np.asarray(curve + random.uniform(0.0, 0.03) * ring)
    if kind == "water":
        strength = random.uniform(0.15, 0.9)
        return np.asarray(curve + strength * (ring + random.uniform(0.2, 0.5) * shoulder))
    if kind == "lcp":
        spacing, width = random.uniform(4.2, 4.7), random.uniform(0.008, 0.02)
        chains = random.uniform(0.1, 0.8) * gaussian(q, 1.0 / spacing, width)
        return np.asarray(curve + chains + random.uniform(0.05, 0.3) * ring)
    steep = small_angle(q, random.uniform(0.008, 0.04), random.uniform(1.5, 3.5))
    return np.asarray(steep * random.uniform(3.0, 20.0) + 0.5 * curve + 0.1 * ring)


def long_distance_curve(q: Curve, q_edge: float, random: np.random.Generator) -> Curve:
    """Small-angle scattering that fills a far detector; half of them have faint fringes."""
    corner = q_edge * random.uniform(0.05, 0.3)
    curve = small_angle(q, corner, random.uniform(1.5, 4.0)) + random.uniform(0.001, 0.02)
    if random.random() < 0.5:
        depth, period = random.uniform(0.1, 0.6), q_edge * random.uniform(0.1, 0.35)
        curve *= 1.0 + depth * np.cos(2.0 * np.pi * q / period) * np.exp(-q / q_edge)
    return np.asarray(curve)


@dataclass(frozen=True, eq=False)
class IceRings:
    """Rings of ice, relative to the scattering around them.

    Attributes
    ----------
    contrast : float
        Excess of the strongest ring over what lies around it.
    width : float
        Standard deviation of a ring in q, in 1/angstrom.
    cubic : bool
        Only the rings of cubic ice.
    texture : str
        One of `ICE_TEXTURES`.
    seed : int
        Of the texture.
    """

    contrast: float
    width: float
    cubic: bool
    texture: str
    seed: int

    @classmethod
    def draw(cls, random: np.random.Generator, low: float = 0.3, high: float = 8.0) -> IceRings:
        """Rings with a contrast in this range (evenly on a logarithmic scale)."""
        return cls(
            contrast=log_uniform(random, low, high),
            width=float(random.uniform(0.0016, 0.004)),
            cubic=bool(random.random() < 0.25),
            texture=str(random.choice(ICE_TEXTURES, p=(0.5, 0.3, 0.2))),
            seed=int(random.integers(2**31)),
        )

    def rings(self) -> list[tuple[float, float]]:
        """Spacing in angstrom and contrast of every ring."""
        pairs = list(zip(ICE_SPACINGS, ICE_STRENGTHS, strict=True))
        if self.cubic:
            pairs = [pair for pair in pairs if pair[0] in CUBIC_SPACINGS]
        strongest = max(strength for _, strength in pairs)
        return [(spacing, self.contrast * part / strongest) for spacing, part in pairs]

    def excess(self, q: NDArray[np.float32], azimuth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Excess over the scattering around the rings; of the shape of ``q``."""
        random = np.random.default_rng(self.seed)
        total = np.zeros(q.shape, np.float32)
        for spacing, contrast in self.rings():
            near = np.abs(q - 1.0 / spacing) < 4.0 * self.width
            round_beam = self._round_beam(random)
            step = (azimuth[near] * (_STEPS / (2.0 * np.pi))).astype(np.int64) % _STEPS
            ring = gaussian(q[near], 1.0 / spacing, self.width)
            total[near] += (contrast * ring * round_beam[step]).astype(np.float32)
        return total

    def _round_beam(self, random: np.random.Generator) -> Curve:
        if self.texture == "spotty":
            return np.asarray(random.gamma(0.15, 1.0 / 0.15, _STEPS))
        angle = np.arange(_STEPS) * (2.0 * np.pi / _STEPS)
        values = np.ones(_STEPS)
        if self.texture == "textured":
            for order in (2, 4, 6):
                shift = random.uniform(0.0, 2.0 * np.pi)
                values += random.uniform(0.1, 0.6) * np.cos(order * angle + shift)
        return np.asarray(np.maximum(values, 0.0))


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, evenly on a logarithmic scale."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
