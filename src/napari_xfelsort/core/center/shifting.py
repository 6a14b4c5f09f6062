"""Write a centre back: a CrystFEL geometry whose panels stand around it."""

from __future__ import annotations

import os
import re

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.geometry.header import NUMBER

#: Keeps the ends of lines.
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
#: Decimals of corners, in pixels.
_DECIMALS = 6


def detector_shift(geometry: Geometry, y: float, x: float) -> tuple[float, float]:
    """Laboratory (x, y) in m that the detector must move by so that the beam is at a point.

    Parameters
    ----------
    geometry : Geometry
        As it is now.
    y, x : float
        The centre in its assembled picture.
    """
    right, up = geometry.grid.laboratory([[y, x]])[0]
    return -float(right), -float(up)


def shifted_text(geometry: Geometry, y: float, x: float) -> str:
    """The geometry's file with the corners of all panels moved; all else as it stands.

    Raises
    ------
    GeometryError
        If the geometry is not from a CrystFEL file, or two panels of different pixel size
        share a line that says their corner.
    """
    text = geometry.text
    if text is None:
        raise GeometryError(
            "Only a geometry that was read from a CrystFEL file can be written with another "
            "centre; give one with --geometry."
        )
    move = detector_shift(geometry, y, x)
    wanted: dict[int, float] = {}
    for panel in geometry.panels.values():
        for line, old, metres in zip(panel.corner_lines, panel.corner, move, strict=True):
            new = old + metres * panel.res
            if abs(wanted.setdefault(line, new) - new) > 10**-_DECIMALS:
                raise GeometryError(
                    f"Line {line} says the corner of panels of different pixel size; give each "
                    "panel a corner of its own."
                )
    lines = _LINES.findall(text)
    for number, value in wanted.items():
        lines[number - 1] = _with_number(lines[number - 1], value)
    return "".join(lines)


def _with_number(line: str, value: float) -> str:
    """A line ``key = number`` with another number."""
    start = line.index("=") + 1
    found = NUMBER.search(line, start)
    if found is None:
        raise GeometryError(f"There is no number in the line {line.strip()!r}.")
    written = f"{value:.{_DECIMALS}f}"
    return line[: found.start()] + written + line[found.end() :]


def write_shifted(
    geometry: Geometry, y: float, x: float, path: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Write `shifted_text` to a file, at once or not at all.

    It is read again before it gets its name.

    Raises
    ------
    GeometryError
        As `shifted_text`.
    OutputError
        If the file exists and ``overwrite`` is not given, or cannot be written.
    """
    text = shifted_text(geometry, y, x)
    again = Geometry.from_crystfel_text(text, str(path)).fit(geometry.raw_shape)
    move = detector_shift(geometry, y, x)
    for old, new in zip(geometry.panels.values(), again.panels.values(), strict=True):
        for axis in (0, 1):
            expected = old.corner[axis] + move[axis] * old.res
            if abs(new.corner[axis] - expected) > 2 * 10**-_DECIMALS:
                raise GeometryError(
                    f"The corner of panel {old.name} could not be moved: something after its line "
                    "says it too."
                )
    with atomic_write(path, overwrite) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
