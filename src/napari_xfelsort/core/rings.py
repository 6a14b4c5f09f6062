"""Circles of equal resolution in the assembled picture."""

from __future__ import annotations

import math
from typing import NamedTuple

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.geometry.header import HC

#: Resolutions in angstrom that are easy to read, from which rings are chosen.
_ROUND = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
_ANGSTROM = 1e-10


class Ring(NamedTuple):
    """A circle around the beam centre.

    Attributes
    ----------
    resolution : float
        d in angstrom.
    radius : float
        In pixels of the assembled picture.
    """

    resolution: float
    radius: float


def ring_radius(
    resolution: float, photon_energy: float, camera_length: float, pixel_size: float
) -> float:
    """Radius in pixels of a resolution on a flat detector across the beam.

    Bragg's law: L tan(2 asin(wavelength / 2d)) / pixel size.

    Parameters
    ----------
    resolution : float
        d in angstrom.
    photon_energy : float
        In eV.
    camera_length, pixel_size : float
        In m.

    Returns
    -------
    float
        NaN when this resolution is not scattered forwards, or a number is not known.
    """
    if not all(0 < n < math.inf for n in (resolution, photon_energy, camera_length, pixel_size)):
        return math.nan
    sine = HC / photon_energy / _ANGSTROM / (2 * resolution)
    if sine >= math.sin(math.pi / 4):
        return math.nan
    return camera_length * math.tan(2 * math.asin(sine)) / pixel_size


def resolution_rings(
    geometry: Geometry, photon_energy: float, camera_length: float, wanted: int = 4
) -> list[Ring]:
    """Rings of round resolutions, about evenly over the picture.

    Parameters
    ----------
    geometry : Geometry
        Says where the beam is and how large a pixel and the picture are.
    photon_energy, camera_length : float
        In eV and m.
    wanted : int
        About how many.

    Returns
    -------
    list of Ring
        From the innermost outwards; empty when energy or camera length are not known.
    """
    y, x = geometry.beam_position
    height, width = geometry.shape
    # The far edge, not the corner: a ring should be seen for a good part of its way.
    reach = max(y, height - 1 - y, x, width - 1 - x)
    known = []
    for exponent in range(-1, 4):
        for number in _ROUND:
            resolution = round(number * 10.0**exponent, 6)
            radius = ring_radius(resolution, photon_energy, camera_length, geometry.pixel_size)
            if radius <= reach:
                known.append(Ring(resolution, radius))
    chosen: dict[float, Ring] = {}
    for k in range(1, wanted + 1):
        target = reach * k / (wanted + 0.3)
        if known:
            best = min(known, key=lambda ring: abs(ring.radius - target))
            chosen[best.resolution] = best
    return sorted(chosen.values(), key=lambda ring: ring.radius)
