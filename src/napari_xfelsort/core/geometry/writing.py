"""Writing CrystFEL geometry files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.panel import Description, Panel, Vector


def crystfel_text(description: Description) -> str:
    """A CrystFEL geometry file for a geometry that was not read from one."""
    return "\n".join(_lines(description)) + "\n"


def _lines(description: Description) -> Iterator[str]:
    yield f"; made by napari-xfelsort from {' '.join(description.source.split())}"
    yield from _header("photon_energy", description.photon_energy, "eV")
    yield from _header("clen", description.clen, "m")
    yield "adu_per_photon = 1"
    for panel in description.panels.values():
        yield ""
        yield from _panel_lines(panel)


def _header(key: str, header: HeaderValue | None, unit: str) -> Iterator[str]:
    if header is not None and header.value is not None:
        yield f"{key} = {header.value!r} {unit}"


def _panel_lines(panel: Panel) -> Iterator[str]:
    values: dict[str, object] = {
        "data": panel.data,
        **{f"dim{axis}": dim for axis, dim in enumerate(panel.dims)},
        "min_fs": panel.min_fs,
        "max_fs": panel.max_fs,
        "min_ss": panel.min_ss,
        "max_ss": panel.max_ss,
        "res": _decimal(panel.res),
        "fs": _vector(panel.fs),
        "ss": _vector(panel.ss),
        "corner_x": _decimal(panel.corner[0]),
        "corner_y": _decimal(panel.corner[1]),
        "coffset": _decimal(panel.coffset),
    }
    for key, value in values.items():
        yield f"{panel.name}/{key} = {value}"


def _decimal(number: float) -> str:
    return f"{number:.12f}".rstrip("0").rstrip(".")


def _vector(vector: Vector) -> str:
    # CrystFEL does not read exponents here.
    return " ".join(f"{value:+.12f}{axis}" for value, axis in zip(vector, "xyz", strict=True))


def write_text(path: str | os.PathLike[str], text: str, overwrite: bool) -> None:
    """Write a file at once or not at all.

    Raises
    ------
    OutputError
        If it exists and ``overwrite`` is false, or cannot be written.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; choose another name or allow overwriting.")
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written: {error.strerror}.") from error
