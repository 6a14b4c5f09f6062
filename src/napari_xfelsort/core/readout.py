"""What lies under a point of the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from napari_xfelsort.core.browsing import BrowsedFrames
    from napari_xfelsort.core.stack import EventStack


class Readout(NamedTuple):
    """A pixel of an event.

    Attributes
    ----------
    event : int
        Number of the event in the stack, from 0.
    name : str
        CrystFEL's name of the event.
    panel : str
        Panel under the point; empty in a gap or without a geometry.
    pixel : tuple of int, or None
        Index of the raw pixel, slow axes first; None in a gap.
    value : float
        In ADU as stored; NaN in a gap and where nothing was measured.
    q : float
        Momentum transfer 2 pi / d in 1/angstrom; NaN when not known.
    resolution : float
        d in angstrom; NaN when not known.
    """

    event: int
    name: str
    panel: str
    pixel: tuple[int, ...] | None
    value: float
    q: float
    resolution: float


def read_out(frames: BrowsedFrames, i: int, y: float, x: float) -> Readout:
    """What lies under point (y, x) of the assembled picture of event ``i``.

    Raises
    ------
    IndexError
        If there is no such event.
    """
    stack = frames.stack
    name = str(stack.event_id(i))
    height, width = stack.assembled_shape
    if not (-0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):
        return Readout(i, name, "", None, math.nan, math.nan, math.nan)
    row, column = math.floor(y + 0.5), math.floor(x + 0.5)
    index = raw_index(stack, row, column)
    value = float(frames.store.get(i)[row, column]) if index is not None else math.nan
    geometry = stack.geometry
    if geometry is None or index is None:
        return Readout(i, name, "", index, value, math.nan, math.nan)
    q = geometry.q_at(y, x, *known_beam(stack, i))
    resolution = 2 * math.pi / q if q else math.inf
    return Readout(i, name, geometry.panel_at(y, x) or "", index, value, q, resolution)


def raw_index(stack: EventStack, row: int, column: int) -> tuple[int, ...] | None:
    """Index of the raw pixel that a pixel of the picture shows, None in a gap."""
    if stack.geometry is not None:
        return stack.geometry.raw_index_at(row, column)
    leading = np.unravel_index(row, stack.raw_shape[:-1])
    return (*map(int, leading), column)


def known_beam(stack: EventStack, i: int) -> tuple[float, float]:
    """Photon energy [eV] and camera length [m] of an event, NaN where not known.

    What the file does not say is taken from the geometry.
    """
    energy, length = stack.photon_energy(i), stack.camera_length(i)
    geometry = stack.geometry
    if geometry is None:
        return energy, length
    if math.isnan(energy) and geometry.photon_energy is not None:
        energy = math.nan if geometry.photon_energy.value is None else geometry.photon_energy.value
    return energy, geometry.camera_length() if math.isnan(length) else length
