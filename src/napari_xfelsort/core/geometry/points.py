"""Scattering angles: momentum transfer and resolution of pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.header import HC
from napari_xfelsort.core.geometry.panel import Panel

_ANGSTROM = 1e-10


def momentum_transfer(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    photon_energy: float,
) -> NDArray[np.float64]:
    """q = 4 pi sin(theta) / wavelength in 1/angstrom, 2 theta being the scattering angle.

    Parameters
    ----------
    x, y, z : array
        Positions from the interaction point in m, z along the beam.
    photon_energy : float
        In eV.
    """
    two_theta = np.arctan2(np.hypot(x, y), z)
    wavelength = HC / photon_energy / _ANGSTROM
    return np.asarray(4 * np.pi * np.sin(two_theta / 2) / wavelength)


def panel_on_axis(panels: Iterable[Panel]) -> tuple[Panel, float]:
    """The panel nearest the beam axis (x = y = 0), and its z [m] there without clen."""
    best: tuple[float, Panel, float] | None = None
    for panel in panels:
        f, s = panel.coordinates(0.0, 0.0)
        f, s = np.clip(f, 0, panel.width), np.clip(s, 0, panel.height)
        distance = float(np.hypot(panel.position(f, s, 0), panel.position(f, s, 1)))
        if best is None or distance < best[0]:
            best = (distance, panel, float(panel.position(f, s, 2)))
    assert best is not None  # a geometry has at least one panel
    return best[1], best[2]
