"""Detectors whose parts answer differently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_xfelsort.core.simulate.anomalies.ground import (
    ABSENT,
    VISIBLE,
    Ground,
    Map,
    Ranges,
    strength,
)
from napari_xfelsort.core.simulate.obstacles import soft_step, vignette

#: Spread of the panels' gains on a good detector.
GOOD_SPREAD = 0.004

#: Strengths: standard deviation of gains, loss or gain at seams, loss in the corner, offset
#: against the background, depth of blobs, height of stripes.
KINDS: dict[str, Ranges] = {
    "tile_gains": ((0.05, 0.15), (0.01, 0.03)),
    "seams": ((0.12, 0.40), (0.02, 0.07)),
    "vignette": ((0.30, 0.60), (0.06, 0.18)),
    "quadrants": ((0.08, 0.15), (0.015, 0.04)),
    "blobs": ((0.15, 0.60), (0.03, 0.10)),
    "stripes": ((0.04, 0.12), (0.006, 0.02)),
}

#: Fewest panels whose gains are seen to differ.
_FEW_PANELS = 4


def detector_response(
    random: np.random.Generator,
    state: int,
    ground: Ground,
    kinds: Sequence[str] | None = None,
) -> tuple[Map, dict[str, Any]]:
    """What every pixel makes of a photon, 1 on average, and what was drawn.

    One or two of `KINDS` when visible, one when unsure, unless ``kinds`` names them.
    Amplifier offsets, which are counts and not gains, are told in ``quadrants`` of what
    was drawn; `quadrant_offsets` makes them.
    """
    plane = ground.plane
    spread = GOOD_SPREAD
    drawn: dict[str, Any] = {}
    if state == ABSENT:
        kinds = ()
    elif kinds is None:
        possible = [k for k in KINDS if k != "tile_gains" or plane.n_panels >= _FEW_PANELS]
        number = 2 if state == VISIBLE and random.random() < 0.4 else 1
        kinds = [str(k) for k in random.choice(possible, number, replace=False)]
    for kind in kinds:
        drawn[kind] = {"strength": strength(random, state, KINDS[kind])}
    if "tile_gains" in drawn:
        spread = drawn["tile_gains"]["strength"]
    gains = random.standard_normal(plane.n_panels)
    if "tile_gains" in drawn:
        # Of exactly this spread, however few the panels are.
        gains = (gains - gains.mean()) / gains.std()
    response = plane.per_panel(1.0 + spread * np.clip(gains, -2.5, 2.5), gap=1.0)
    for kind, details in drawn.items():
        if kind in _MAKERS:
            response *= _MAKERS[kind](random, ground, details)
    if "quadrants" in drawn:
        signs = random.choice((-1.0, 0.0, 1.0), 4)
        while len(set(signs.tolist())) == 1:
            signs = random.choice((-1.0, 0.0, 1.0), 4)
        drawn["quadrants"]["signs"] = signs.tolist()
    return response, drawn


def quadrant_offsets(ground: Ground, drawn: dict[str, Any], background: float) -> Map | None:
    """Counts that the amplifiers of the four quadrants add; None when they add nothing."""
    if "quadrants" not in drawn:
        return None
    height = drawn["quadrants"]["strength"] * background
    signs = np.array(drawn["quadrants"]["signs"], np.float32).reshape(2, 2)
    halves = [np.arange(n) * 2 // n for n in ground.plane.shape]
    return np.asarray(np.float32(height) * signs[halves[0][:, None], halves[1]])


def _seams(random: np.random.Generator, ground: Ground, details: dict[str, Any]) -> Map:
    """The outermost pixels of every panel; of a grid on detectors of one panel."""
    response = np.ones(ground.plane.shape, np.float32)
    width = max(1, round(random.uniform(1.0, 2.5) * ground.scale))
    sign = float(random.choice((-1.0, 1.0)))
    details.update(width=width, sign=sign)
    value = np.float32(1.0 + sign * details["strength"])
    windows = ground.plane.windows
    if len(windows) == 1:
        cuts = np.linspace(0, ground.plane.shape[0], int(random.integers(3, 6))).astype(int)
        spans = list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))
        windows = tuple((t, b, left, r) for t, b in spans for left, r in spans)
    for top, bottom, left, right in windows:
        response[top:bottom, left:right] = value
        inner = slice(top + width, bottom - width), slice(left + width, right - width)
        response[inner] = 1.0
    return response


def _vignette(random: np.random.Generator, ground: Ground, details: dict[str, Any]) -> Map:
    return vignette(ground.plane.shape, details["strength"])


def _blobs(random: np.random.Generator, ground: Ground, details: dict[str, Any]) -> Map:
    shape = ground.plane.shape
    response = np.ones(shape, np.float32)
    number = int(random.integers(3, 13))
    details["number"] = number
    for _ in range(number):
        radius = np.float32(random.uniform(8.0, 45.0) * ground.scale)
        rows = np.arange(shape[0], dtype=np.float32)[:, None] - random.uniform(0, shape[0])
        columns = np.arange(shape[1], dtype=np.float32) - random.uniform(0, shape[1])
        squash = random.uniform(0.6, 1.6)
        inside = soft_step(radius - np.hypot(rows * squash, columns), 0.15 * float(radius))
        depth = details["strength"] * random.uniform(0.7, 1.0)
        response *= (1.0 - depth * inside).astype(np.float32)
    return response


def _stripes(random: np.random.Generator, ground: Ground, details: dict[str, Any]) -> Map:
    rows, columns = ground.plane.shape
    upright = bool(random.random() < 0.5)
    width = max(1, round(random.uniform(1.0, 8.0) * ground.scale))
    number = -(-(columns if upright else rows) // width)
    signs = random.choice((-1.0, 1.0), number) if random.random() < 0.5 else _turns(number)
    line = 1.0 + details["strength"] * np.repeat(signs, width)[: columns if upright else rows]
    details.update(upright=upright, width=width)
    line = line.astype(np.float32)
    return np.broadcast_to(line if upright else line[:, None], (rows, columns))


def _turns(number: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(1.0 - 2.0 * (np.arange(number) % 2), np.float64)


_MAKERS: dict[str, Callable[[np.random.Generator, Ground, dict[str, Any]], Map]] = {
    "seams": _seams,
    "vignette": _vignette,
    "blobs": _blobs,
    "stripes": _stripes,
}
