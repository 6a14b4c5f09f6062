"""Bragg reflections of a still exposure: how strong they are, where they go, how wide they are.

A reciprocal point is a three-dimensional normal distribution: the transform of the
crystal's coherent blocks, turned by mosaicity and carried along by the beam's divergence.
With the bandwidth it is cut by Ewald's sphere; the part that is cut decides intensity,
direction and shape of the spot. All of it is exact for normal distributions and a sphere
that is flat over the width of a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.sfx.cell import present, shell_points
from napari_xfelsort.core.simulate.sfx.curves import ELECTRON_RADIUS
from napari_xfelsort.core.simulate.sfx.intensities import Intensities

Array = NDArray[np.float64]

#: Standard deviation of the transform of a cube of edge 1, by its full width at half height.
BLOCK_WIDTH = 0.886 / 2.3548200450309493

#: Reciprocal points farther from the sphere than this many deviations are left out.
REACH = 4.0

_ANGSTROM = 1e-10


@dataclass(frozen=True)
class Pulse:
    """The X-ray pulse of one event.

    Attributes
    ----------
    photons : float
        In the focus.
    wavelength : float
        In angstrom.
    diameter : float
        Of the round, even focus, in m.
    bandwidth : float
        Standard deviation of the photon energy as a fraction of it.
    divergence : float
        Standard deviation of the beam's direction along x and along y, in radian.
    polarisation : float
        Share of the horizontal above the vertical polarisation.
    """

    photons: float
    wavelength: float
    diameter: float
    bandwidth: float = 0.0
    divergence: float = 0.0
    polarisation: float = 1.0

    @property
    def fluence(self) -> float:
        """Photons per square angstrom."""
        return self.photons / (0.25 * np.pi * (self.diameter / _ANGSTROM) ** 2)


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal in the beam.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        Reciprocal axes as it is turned, rows, in 1/angstrom; x, y, z of the laboratory.
    size : float
        Edge of the crystal in m.
    block : float
        Edge of its coherent blocks in m.
    mosaicity : float
        Standard deviation of the blocks' turn about every axis, in radian.
    b_factor : float
        In angstrom^2; intensities fall as exp(-b_factor / (2 d^2)).
    centering : str
        Of the lattice.
    """

    axes: Array
    size: float
    block: float
    mosaicity: float
    b_factor: float
    centering: str = "P"

    def lit_volume(self, diameter: float) -> float:
        """Volume within a beam of this diameter (m), in cubic angstrom."""
        edge = self.size / _ANGSTROM
        across = min(edge, np.sqrt(0.25 * np.pi) * diameter / _ANGSTROM)
        return float(edge * across**2)


@dataclass(frozen=True, eq=False)
class Reflections:
    """What a crystal scatters into spots; arrays over reflections.

    Attributes
    ----------
    hkl : ndarray of int64, shape (n, 3)
        Indices.
    q : ndarray, shape (n,)
        1/d in 1/angstrom.
    excitation : ndarray, shape (n,)
        Distance of the point from Ewald's sphere in deviations of its width.
    photons : ndarray, shape (n,)
        Scattered in all.
    rays : ndarray, shape (n, 3)
        Wave vectors of the spots' middles, 1/angstrom.
    spread : ndarray, shape (n, 3, 3)
        Covariance of the wave vectors.
    """

    hkl: NDArray[np.int64]
    q: Array
    excitation: Array
    photons: Array
    rays: Array
    spread: Array


def diffract(
    crystal: Crystal, pulse: Pulse, intensities: Intensities, q_max: float
) -> Reflections:
    """All reflections up to a resolution that a still exposure excites.

    The photons of one are fluence x r_e^2 x polarisation x F^2 x wavelength^2 x
    V / v^2 x w, with V the volume in the beam, v that of the cell and w the density of
    the point's normal distribution at the sphere, in angstrom.

    Parameters
    ----------
    q_max : float
        1/d of the resolution limit, 1/angstrom.
    """
    wavenumber = 1.0 / pulse.wavelength
    width = BLOCK_WIDTH / (crystal.block / _ANGSTROM)
    # No point is wider than this across the sphere.
    widest = np.sqrt(
        width**2
        + (crystal.mosaicity * q_max) ** 2
        + (pulse.divergence * min(q_max, wavenumber)) ** 2
        + (pulse.bandwidth * 0.5 * pulse.wavelength * q_max**2) ** 2
    )
    hkl = shell_points(crystal.axes, wavenumber, q_max, REACH * widest)
    hkl = hkl[present(hkl, crystal.centering)]
    s = hkl @ crystal.axes
    outgoing = s + np.array([0.0, 0.0, wavenumber])
    length = np.linalg.norm(outgoing, axis=1)
    normal = outgoing / length[:, None]
    error = length - wavenumber
    rest = 1.0 - normal[:, 2]  # 1 - cos(2 theta)

    # Joint distribution of the displacement of k1 and of its distance from the sphere.
    q2 = (s * s).sum(axis=1)
    eye = np.eye(3)
    point = width**2 * eye + crystal.mosaicity**2 * (
        q2[:, None, None] * eye - s[:, :, None] * s[:, None, :]
    )
    point += (pulse.divergence * wavenumber) ** 2 * np.diag([1.0, 1.0, 0.0])
    band2 = (pulse.bandwidth * wavenumber) ** 2
    across = np.einsum("nij,nj->ni", point, normal)
    across[:, 2] -= band2 * rest
    variance = np.einsum("ni,nij,nj->n", normal, point, normal) + band2 * rest**2
    sigma = np.sqrt(variance)
    near = np.abs(error) < REACH * sigma
    hkl, s, outgoing, across, error, sigma, q2, point = (
        v[near] for v in (hkl, s, outgoing, across, error, sigma, q2, point)
    )
    rays = outgoing - across * (error / sigma**2)[:, None]
    spread = point - across[:, :, None] * across[:, None, :] / (sigma**2)[:, None, None]
    spread[:, 2, 2] += band2
    q = np.sqrt(q2)
    density = np.exp(-0.5 * (error / sigma) ** 2) / (np.sqrt(2.0 * np.pi) * sigma)
    factor = intensities.of(hkl, q) * np.exp(-0.5 * crystal.b_factor * q2)
    volume = 1.0 / abs(np.linalg.det(crystal.axes))
    scale = pulse.fluence * (ELECTRON_RADIUS / _ANGSTROM) ** 2 * pulse.wavelength**2
    scale *= crystal.lit_volume(pulse.diameter) / volume**2
    photons = scale * factor * density * polarised(rays, pulse.polarisation)
    # Kinematic theory knows no depletion, but no spot has more photons than the pulse.
    photons = np.minimum(photons, pulse.photons)
    return Reflections(hkl, q, error / sigma, photons, rays, spread)


def polarised(directions: Array, polarisation: float) -> Array:
    """What polarisation leaves of the intensity scattered along each direction; shape (n,)."""
    x2, y2 = directions[:, 0] ** 2, directions[:, 1] ** 2
    length2 = x2 + y2 + directions[:, 2] ** 2
    lost = (1.0 + polarisation) * x2 + (1.0 - polarisation) * y2
    return np.asarray(1.0 - 0.5 * lost / length2)
