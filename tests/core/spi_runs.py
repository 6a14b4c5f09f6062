"""Runs of spheres for tests, from formulas alone."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.special import spherical_jn

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

SHAPE = (160, 150)
BEAM = (70.3, 74.8)
PIXEL, DISTANCE, WAVELENGTH = 75e-6, 0.130, 0.729  # m, m, nm
ENERGY = 1239.841984332 / WAVELENGTH


def q_of_pixels() -> np.ndarray:
    """4 pi sin(theta) / wavelength in 1/nm."""
    y, x = np.indices(SHAPE)
    away = np.hypot(y - BEAM[0], x - BEAM[1]) * PIXEL
    return 4 * np.pi * np.sin(np.arctan(away / DISTANCE) / 2) / WAVELENGTH


def reaching() -> np.ndarray:
    """Solid angle and polarisation along x, 1 in the middle."""
    y, x = np.indices(SHAPE)
    dx, dy = (x - BEAM[1]) * PIXEL, (y - BEAM[0]) * PIXEL
    square = dx**2 + dy**2 + DISTANCE**2
    return (DISTANCE**2 / square) ** 1.5 * (1 - dx**2 / square)


def sphere(diameter: float, photons: float) -> np.ndarray:
    """Mean photons of a sphere, so many in all good pixels."""
    x = np.maximum(q_of_pixels() * diameter / 2, 1e-9)
    picture = (3 * spherical_jn(1, x) / x) ** 2 * reaching()
    return picture * photons / picture[~bad_pixels()].sum()


def bad_pixels() -> np.ndarray:
    """A hole in the middle, a gap, a dead corner."""
    y, x = np.indices(SHAPE)
    bad = np.hypot(y - BEAM[0], x - BEAM[1]) < 9
    bad[:, 60:64] = True
    bad[:20, :15] = True
    return bad


def geometry() -> Geometry:
    return Geometry.single_panel(SHAPE, PIXEL, BEAM, DISTANCE, ENERGY)


def run(folder: Path, frames: np.ndarray, name: str = "run.cxi") -> EventStack:
    """A file of these frames, opened with mask and geometry; bad pixels are absurd."""
    stored = np.array(frames)
    stored[:, bad_pixels()] = 30_000
    with h5py.File(folder / name, "w") as file:
        file["entry_1/data_1/data"] = stored
        file["entry_1/data_1/mask"] = bad_pixels().astype(np.uint16)
    return open_stack(folder / name, geometry=geometry())
