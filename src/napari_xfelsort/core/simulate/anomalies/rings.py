"""Background rings of solvent, and the arcs, streaks and shadows of loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.anomalies.ground import (
    ABSENT,
    VISIBLE,
    Ground,
    Map,
    strength,
    turned,
)
from napari_xfelsort.core.simulate.obstacles import offsets, soft_step
from napari_xfelsort.core.simulate.scattering import gaussian, log_uniform

#: Excess of the ring over the air around it: visible, unsure, and what nobody sees.
RING = ((0.25, 2.5), (0.05, 0.2))
UNSEEN_RING = 0.03

#: Excess of a loop's arcs.
ARCS = ((0.18, 1.5), (0.04, 0.12))

#: Spacings of polymer chains in angstrom.
POLYMER = (4.40, 3.70)


def background_ring(
    random: np.random.Generator, state: int, q: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Excess over air against q, and what was drawn.

    A Gaussian with the shoulder of water; on 15 % of the visible ones a ring of lipids
    as well. Events without a visible ring have one that nobody sees.
    """
    unseen = state == ABSENT
    contrast = random.uniform(0.0, UNSEEN_RING) if unseen else strength(random, state, RING)
    drawn: dict[str, Any] = {
        "contrast": float(contrast),
        "q": float(random.uniform(0.285, 0.33)),
        "width": float(random.uniform(0.03, 0.06)),
        "shoulder": float(random.uniform(0.2, 0.5)),
    }
    ring = gaussian(q, drawn["q"], drawn["width"]) + drawn["shoulder"] * gaussian(q, 0.47, 0.08)
    excess = contrast * ring
    if state == VISIBLE and random.random() < 0.15:
        lipid = {
            "d": float(random.uniform(4.2, 4.7)),
            "width": float(random.uniform(0.008, 0.02)),
            "contrast": strength(random, state, RING),
        }
        excess = excess + lipid["contrast"] * gaussian(q, 1.0 / lipid["d"], lipid["width"])
        drawn["lipid"] = lipid
    return np.asarray(excess), drawn


def loop_scattering(
    random: np.random.Generator, state: int, ground: Ground
) -> tuple[Map | None, Map | None, dict[str, Any]]:
    """Excess over the scattering around it, what passes the loop, and what was drawn."""
    if state == ABSENT:
        return None, None, {}
    azimuth = ground.maps.azimuth
    direction = float(random.uniform(0.0, np.pi))
    drawn: dict[str, Any] = {
        "contrast": strength(random, state, ARCS),
        "direction": float(np.degrees(direction)),
        "spread": float(random.uniform(12.0, 45.0)),
        "width": float(random.uniform(0.006, 0.018)),
        "arcs": 4 if random.random() < 0.3 else 2,
        "rings": _arc_rings(random),
    }
    spread = np.radians(drawn["spread"])
    # Each arc again on the other side of the beam.
    round_beam = gaussian(turned(azimuth, direction, np.pi), 0.0, spread)
    if drawn["arcs"] == 4:
        other = gaussian(turned(azimuth, direction + 0.5 * np.pi, np.pi), 0.0, spread)
        round_beam = np.maximum(round_beam, np.float32(random.uniform(0.5, 1.0)) * other)
    along_q = np.zeros_like(azimuth)
    for spacing, part in drawn["rings"]:
        along_q += np.float32(part) * gaussian(ground.maps.q, 1.0 / spacing, drawn["width"])
    excess = np.float32(drawn["contrast"]) * round_beam * along_q
    passes = None
    if state == VISIBLE:
        if random.random() < 0.6:
            excess += _streak(random, ground, direction, drawn)
        if random.random() < 0.5:
            passes = _wedge(random, azimuth, drawn)
    return np.asarray(excess, np.float32), passes, drawn


def _arc_rings(random: np.random.Generator) -> list[tuple[float, float]]:
    """Spacing (angstrom) and relative strength of the arcs; the first has strength 1."""
    rings = [(POLYMER[0] + float(random.uniform(-0.05, 0.05)), 1.0)]
    if random.random() < 0.6:
        second = POLYMER[1] + float(random.uniform(-0.05, 0.05))
        rings.append((second, float(random.uniform(0.5, 1.0))))
    if random.random() < 0.5:
        rings.append((float(random.uniform(8.0, 16.0)), float(random.uniform(0.4, 1.0))))
    return rings


def _streak(
    random: np.random.Generator, ground: Ground, direction: float, drawn: dict[str, Any]
) -> Map:
    """A streak through the beam along ``direction``, normal to the fibre."""
    length = float(random.uniform(20.0, 80.0)) * ground.scale
    width = float(random.uniform(1.5, 5.0)) * ground.scale
    height = log_uniform(random, 0.8, 4.0)
    rows, columns = offsets(ground.plane.shape, ground.optics.center)
    cos, sin = np.float32(np.cos(direction)), np.float32(np.sin(direction))
    along, across = columns * cos + rows * sin, rows * cos - columns * sin
    drawn["streak"] = {"length": length, "width": width, "contrast": height}
    shape = gaussian(across, 0.0, width) * gaussian(along, 0.0, length)
    return np.asarray(np.float32(height) * shape)


def _wedge(random: np.random.Generator, azimuth: Map, drawn: dict[str, Any]) -> Map:
    """A sector in which the loop absorbs."""
    direction = float(random.uniform(-np.pi, np.pi))
    half = float(random.uniform(4.0, 25.0))
    loss = float(random.uniform(0.08, 0.4))
    angle = np.abs(turned(azimuth, direction, 2.0 * np.pi))
    inside = soft_step(np.float32(np.radians(half)) - angle, np.radians(1.0))
    drawn["wedge"] = {"direction": float(np.degrees(direction)), "half": half, "loss": loss}
    return np.asarray(1.0 - np.float32(loss) * inside, np.float32)
