"""Where the beam meets a detector plane, and the scattering vector of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Optics:
    """A monochromatic beam and a plane that stands nearly upright to it.

    Attributes
    ----------
    center : tuple of float
        Row and column where the direct beam meets the plane; the first pixel's centre
        is (0, 0).
    wavelength : float
        In angstrom.
    distance : float
        From the sample to the plane along the beam, in pixels.
    tilt : tuple of float
        Rotation of the plane about its horizontal and its vertical axis, in radian.
    polarisation : float
        Share of the horizontal above the vertical polarisation, 1 for an undulator.
    """

    center: tuple[float, float]
    wavelength: float
    distance: float
    tilt: tuple[float, float] = (0.0, 0.0)
    polarisation: float = 1.0

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """Directions of increasing column, increasing row and the plane's normal; (3, 3)."""
        down, across = self.tilt
        column = np.array([np.cos(across), 0.0, -np.sin(across)])
        row = np.array(
            [-np.sin(down) * np.sin(across), np.cos(down), -np.sin(down) * np.cos(across)]
        )
        return np.stack([column, row, np.cross(column, row)])

    def pixels(self, shape: tuple[int, int]) -> PixelMaps:
        """Scattering vector, azimuth and intensity factor of every pixel."""
        u = np.arange(shape[1], dtype=np.float32) - np.float32(self.center[1])
        v = (np.arange(shape[0], dtype=np.float32) - np.float32(self.center[0]))[:, None]
        a, b, _ = self.axes.astype(np.float32)
        x, y = u * a[0] + v * b[0], u * a[1] + v * b[1]
        z = u * a[2] + v * b[2] + np.float32(self.distance)
        across2 = x * x + y * y
        length2 = across2 + z * z
        length = np.sqrt(length2)
        # 1 - cos(2 theta), written so that it is exact near the beam.
        one_minus = across2 / (length * (length + z))
        q = np.sqrt(2.0 * one_minus) / np.float32(self.wavelength)
        solid = (np.float32(self.distance) / length) ** 3
        p = np.float32(self.polarisation)
        polar = 1.0 - 0.5 * ((1.0 + p) * x * x + (1.0 - p) * y * y) / length2
        return PixelMaps(
            q.astype(np.float32),
            np.arctan2(y, x).astype(np.float32),
            (solid * polar).astype(np.float32),
        )

    def radius(self, q: float) -> float:
        """Distance from the beam in pixels at which an untilted plane sees q (1/angstrom).

        Infinite where the scattering does not go forwards.
        """
        half = 0.5 * q * self.wavelength
        if half >= np.sqrt(0.5):
            return float("inf")
        return float(self.distance * np.tan(2.0 * np.arcsin(half)))

    def q_at(self, radius: float) -> float:
        """1/d in 1/angstrom at this distance from the beam on an untilted plane."""
        angle = np.arctan2(radius, self.distance)
        return float(2.0 * np.sin(0.5 * angle) / self.wavelength)

    def hits(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Row and column where rays from the sample meet the plane.

        Parameters
        ----------
        directions : ndarray, shape (n, 3)
            x (along increasing columns), y (along increasing rows), z (along the beam).

        Returns
        -------
        ndarray, shape (n, 2)
            NaN for rays that do not go forwards.
        """
        column, row, normal = self.axes
        forward = directions @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.where(forward > 1e-6, self.distance * normal[2] / forward, np.nan)
        points = directions * length[:, None] - np.array([0.0, 0.0, self.distance])
        places = np.stack([points @ row, points @ column], axis=1)
        return np.asarray(places + np.asarray(self.center))


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """Maps of a plane, all of its shape and float32.

    Attributes
    ----------
    q : ndarray
        1/d in 1/angstrom.
    azimuth : ndarray
        Angle about the beam from increasing columns to increasing rows, in radian.
    factor : ndarray
        Solid angle of the pixel and polarisation, 1 at the beam.
    """

    q: NDArray[np.float32]
    azimuth: NDArray[np.float32]
    factor: NDArray[np.float32]


def distance_for(d_edge: float, radius: float, wavelength: float) -> float:
    """Camera length in pixels that brings the spacing ``d_edge`` (angstrom) to ``radius``."""
    return float(radius / np.tan(2.0 * np.arcsin(0.5 * wavelength / d_edge)))
