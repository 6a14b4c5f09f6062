"""CrystFEL geometry files for tests: a small writer, and detectors made with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

HEAD: dict[str, Any] = {
    "photon_energy": "9300 eV",
    "clen": "0.1 m",
    "adu_per_photon": 1,
    "res": 10000,
    "data": "/entry_1/data_1/data",
    "dim0": "%",
    "dim1": "ss",
    "dim2": "fs",
}


def vector(x: float, y: float, z: float = 0.0) -> str:
    return f"{x:+.9f}x {y:+.9f}y {z:+.9f}z"


def panel(
    width: int,
    height: int,
    corner: tuple[float, float] = (0, 0),
    turn: float = 0.0,
    first: tuple[int, int] = (0, 0),
    flip: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Keys of a panel turned by ``turn`` degrees against the clock, seen into the beam.

    ``first`` is (fs, ss) of its first pixel; ``flip`` turns ss round.
    """
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    sign = -1 if flip else 1
    return {
        "min_fs": first[0],
        "max_fs": first[0] + width - 1,
        "min_ss": first[1],
        "max_ss": first[1] + height - 1,
        "fs": vector(c, s),
        "ss": vector(-sign * s, sign * c),
        "corner_x": corner[0],
        "corner_y": corner[1],
        **more,
    }


def text(
    panels: Mapping[str, Mapping[str, Any]],
    head: Mapping[str, Any] = HEAD,
    tail: Iterable[str] = (),
) -> str:
    """A geometry file: head, then each panel's keys, then further lines."""
    lines = [f"{key} = {value}" for key, value in head.items()]
    for name, keys in panels.items():
        lines += ["", *(f"{name}/{key} = {value}" for key, value in keys.items())]
    return "\n".join([*lines, *tail]) + "\n"


def slab(
    turns: Iterable[float], width: int, height: int, columns: int, spacing: float = 4.0
) -> str:
    """Panels one below the other in the data and side by side in the laboratory."""
    panels = {}
    step = math.hypot(width, height) + spacing
    for number, turn in enumerate(turns):
        row, column = divmod(number, columns)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        middle = (width * c - height * s) / 2, (width * s + height * c) / 2
        corner = step * (column - 0.4) - middle[0], step * row + 0.3 * number - middle[1]
        panels[f"p{number}"] = panel(width, height, corner, turn, (0, height * number))
    return text(panels)
