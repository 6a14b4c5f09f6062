"""Geometry of unsegmented detectors."""

from __future__ import annotations

import math

import numpy as np

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.panel import MAX_PIXELS, Description, Panel, Vector


def describe_single_panel(
    shape: tuple[int, int],
    pixel_size: float | tuple[float, float],
    beam_center: tuple[float, float] | None,
    distance: float,
    photon_energy: float,
    source: str = "single panel",
) -> Description:
    """One panel that is shown as it is stored: fs to the right, ss downward.

    Raises
    ------
    GeometryError
        If shape or pixel size are not possible.
    """
    rows, columns = (int(n) for n in shape)
    height, width = (float(size) for size in np.broadcast_to(pixel_size, 2))
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise GeometryError(f"A detector of {rows} x {columns} pixels is not possible.")
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise GeometryError(
            f"Pixels of {height} m x {width} m are not possible; give their size in m."
        )
    warnings = []
    if beam_center is None:
        beam_center = (rows - 1) / 2, (columns - 1) / 2
        warnings.append(
            f"The beam centre of {source} is not known; the middle of the frame is assumed."
        )
    if not all(map(math.isfinite, beam_center)):
        raise GeometryError(f"The beam centre {beam_center} is not a point.")
    res = 1 / width
    ss: Vector = (0.0, -height * res, 0.0)
    panel = Panel(
        name="panel0",
        min_fs=0,
        max_fs=columns - 1,
        min_ss=0,
        max_ss=rows - 1,
        fs=(1.0, 0.0, 0.0),
        ss=ss,
        corner=(-(beam_center[1] + 0.5), (beam_center[0] + 0.5) * height * res),
        res=res,
        dims=("%", "ss", "fs"),
    )
    known = HeaderValue(photon_energy, quantity="photon_energy")
    return Description(
        panels={"panel0": panel},
        source=source,
        photon_energy=None if math.isnan(photon_energy) else known,
        clen=None if math.isnan(distance) else HeaderValue(distance),
        warnings=tuple(warnings),
    )
