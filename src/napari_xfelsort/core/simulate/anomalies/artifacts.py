"""Frames spoilt on their way from the detector to the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.anomalies.ground import ABSENT, VISIBLE, Ground

Image = NDArray[np.int32]
_Random = np.random.Generator
_Maker = Callable[[_Random, Image, Ground, float, bool], dict[str, Any]]


def spoil(
    random: _Random, state: int, image: Image, ground: Ground, background: float
) -> dict[str, Any]:
    """Spoil the image in place; what was done, by kind.

    One or two kinds when visible; when unsure, one of the kinds that can be small.
    """
    if state == ABSENT:
        return {}
    plain = state == VISIBLE
    possible = list(KINDS) if plain else ["zingers", "packets", "ghost"]
    number = 2 if plain and random.random() < 0.3 else 1
    kinds = [str(k) for k in random.choice(possible, number, replace=False)]
    return {kind: KINDS[kind](random, image, ground, background, plain) for kind in kinds}


def _lines(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Rows or columns with nothing, or eight times the background."""
    number = int(random.integers(1, 9))
    factor = float(random.choice((0.0, 8.0)))
    view = image if random.random() < 0.5 else image.T
    lines = random.choice(view.shape[0], number, replace=False)
    view[lines] = random.poisson(factor * max(background, 1.0), (number, view.shape[1]))
    return {"number": number, "factor": factor}


def _tile(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """A panel or a block of it with nothing, or far too much."""
    windows = ground.plane.windows
    hot = bool(random.random() < 0.5)
    if len(windows) > 1:
        first = int(random.integers(len(windows)))
        # Neighbours that share a chip carrier fail together where panels are small.
        number = max(1, len(windows) // 32)
        first -= first % number
        chosen = windows[first : first + number]
    else:
        size = (random.uniform(0.12, 0.3, 2) * image.shape[0]).astype(int)
        top, left = (int(random.integers(0, image.shape[0] - n)) for n in size)
        chosen = ((top, top + int(size[0]), left, left + int(size[1])),)
    for top, bottom, left, right in chosen:
        level = 20.0 * max(background, 1.0) if hot else 0.0
        image[top:bottom, left:right] = random.poisson(level, (bottom - top, right - left))
    return {"hot": hot, "panels": len(chosen)}


def _zingers(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Tracks of cosmic rays and of decays in the glass."""
    number = int(random.integers(4, 31)) if plain else int(random.integers(1, 3))
    for _ in range(number):
        length = random.uniform(4.0, 50.0 if plain else 6.0) * ground.scale
        angle, bend = random.uniform(0.0, 2.0 * np.pi), random.normal(0.0, 0.01)
        steps = np.arange(0.0, length, 0.5)
        angles = angle + bend * steps
        rows = random.uniform(0, image.shape[0]) + 0.5 * np.cumsum(np.sin(angles))
        columns = random.uniform(0, image.shape[1]) + 0.5 * np.cumsum(np.cos(angles))
        places = np.unique(np.rint(np.stack([rows, columns])).astype(np.int64), axis=1)
        inside = ((places >= 0) & (places < np.array(image.shape)[:, None])).all(axis=0)
        at = tuple(places[:, inside])
        height = random.uniform(8.0, 80.0) * max(background, 3.0)
        image[at] += random.poisson(height, len(at[0])).astype(np.int32)
    return {"number": number}


def _bloom(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Charge that runs over along the columns."""
    number = int(random.integers(1, 5))
    for _ in range(number):
        row, column = (int(random.integers(n)) for n in image.shape)
        length = random.uniform(30.0, 200.0) * ground.scale
        width = int(random.integers(1, 4))
        distance = np.abs(np.arange(image.shape[0]) - row)
        height = 40.0 * max(background, 2.0) * np.exp(-distance / length)
        height[distance > 2.0 * length] = 0.0
        end = min(column + width, image.shape[1])
        light = np.repeat(height[:, None], end - column, axis=1)
        image[:, column:end] += random.poisson(light).astype(np.int32)
    return {"number": number}


def _shifted(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Blocks of rows that are shifted along themselves."""
    number = int(random.integers(1, 5))
    side = image.shape[0]
    for _ in range(number):
        height = int(random.uniform(8.0, 60.0) * ground.scale)
        shift = int(random.uniform(15.0, 150.0) * ground.scale) * int(random.choice((-1, 1)))
        # Near the middle, where there is something that can be seen to be shifted.
        top = int(random.uniform(0.1, 0.85) * side)
        image[top : top + height] = np.roll(image[top : top + height], shift, axis=1)
    return {"number": number}


def _wrap(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Counters that start again from nothing."""
    percentile = float(random.uniform(88.0, 97.0))
    limit = max(2, int(np.percentile(image[ground.plane.active], percentile)))
    image %= limit
    return {"percentile": percentile, "limit": limit}


def _ghost(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """A faint mirror image of the frame."""
    part = float(random.uniform(0.2, 0.5) if plain else random.uniform(0.03, 0.1))
    axis = int(random.integers(2))
    shift = [int(s) for s in random.uniform(-0.15, 0.15, 2) * image.shape[0]]
    mirrored = np.roll(np.flip(image, axis), shift, (0, 1))
    image += np.rint(part * mirrored).astype(np.int32)
    return {"part": part, "axis": axis, "shift": shift}


def _packets(
    random: _Random, image: Image, ground: Ground, background: float, plain: bool
) -> dict[str, Any]:
    """Blocks that never arrived."""
    number = int(random.integers(2, 11)) if plain else 1
    high, wide = ((6.0, 40.0), (30.0, 130.0)) if plain else ((2.0, 4.0), (6.0, 14.0))
    for _ in range(number):
        height = max(1, round(random.uniform(*high) * ground.scale))
        width = max(1, round(random.uniform(*wide) * ground.scale))
        top, left = (int(random.integers(n)) for n in image.shape)
        image[top : top + height, left : left + width] = 0
    return {"number": number}


#: Kinds of artifacts.
KINDS: dict[str, _Maker] = {
    "lines": _lines,
    "tile": _tile,
    "zingers": _zingers,
    "bloom": _bloom,
    "shifted": _shifted,
    "wrap": _wrap,
    "ghost": _ghost,
    "packets": _packets,
}
