"""Rings of a detector around the beam, for radial power spectral densities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError, RegionError, SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

#: Directions of polarisation that are known.
POLARISATIONS = ("none", "x", "y")

#: eV nm.
HC = 1239.841984332


class QRings:
    """Which ring around the beam each pixel is in.

    Ring k holds the pixels whose q is nearest to k times ``step``.

    Parameters
    ----------
    q : ndarray, any shape
        Momentum transfer of the pixels in 1/nm.
    good : ndarray of bool, same shape
        Pixels that may be used.
    step : float
        Width of a ring in 1/nm.
    share : ndarray, same shape, optional
        Of what would reach a pixel in the middle: solid angle and polarisation.

    Attributes
    ----------
    q : ndarray, shape (rings,)
        Mean q of the pixels of each ring in 1/nm; the middle of a ring without pixels.
    pixels : ndarray of int, shape (rings,)
        Pixels of each ring.

    Raises
    ------
    RegionError
        If no pixel can be used.
    """

    def __init__(
        self, q: Floats, good: NDArray[np.bool_], step: float, share: Floats | None = None
    ) -> None:
        if not 0 < step < math.inf:
            raise SettingsError(f"Rings of {step} 1/nm are not possible.")
        self.step = float(step)
        flat = np.asarray(q, np.float64).ravel()
        with np.errstate(invalid="ignore"):
            used = np.flatnonzero(np.asarray(good, bool).ravel() & np.isfinite(flat))
        if not len(used):
            raise RegionError("No pixel can be used: all are masked, or q is not known.")
        self.place = used.astype(np.int32)
        self.ring = np.floor(flat[used] / step + 0.5).astype(np.int32)
        n = int(self.ring.max()) + 1
        self.share = (np.ones(flat.shape) if share is None else share.ravel())[used]
        self.pixels = np.bincount(self.ring, minlength=n)
        sums = np.bincount(self.ring, flat[used], n)
        middle = np.arange(n) * self.step
        self.q = np.divide(sums, self.pixels, out=middle, where=self.pixels > 0)

    def __len__(self) -> int:
        return len(self.q)

    @classmethod
    def for_stack(cls, stack: EventStack, width: float = 1.0, polarisation: str = "x") -> QRings:
        """Rings of the events of a stack; photon energy and distance are the first event's.

        Parameters
        ----------
        stack : EventStack
            With a geometry. The pixels that are bad in every event are left out.
        width : float
            Of the rings, in pixels.
        polarisation : str
            Of `POLARISATIONS`: of the beam, in the laboratory.

        Raises
        ------
        GeometryError
            If there is no geometry, or photon energy or distance are not known.
        """
        geometry = stack.geometry
        if geometry is None:
            raise GeometryError(
                "Sizes need a geometry: where the pixels are and how far. Give one "
                "(--geometry), or say beam centre, pixel size, distance and photon energy."
            )
        energy, length = stack.photon_energy(0), stack.camera_length(0)
        own = geometry.photon_energy
        if not energy > 0 and own is not None and own.value is not None:
            energy = float(own.value)
        if not length > 0:
            length = geometry.camera_length()
        if not (0 < energy < math.inf and 0 < length < math.inf):
            raise GeometryError(
                "Photon energy and distance of the detector are not known; the geometry or "
                "the file must say them."
            )
        q = 10 * geometry.q_map(energy, length)
        good = geometry.covered
        mask = stack.mask
        if mask is not None:
            good &= ~mask.bad
        x, y, z = geometry.positions()
        z = z - np.nanmin(z) + length
        step = width * 2 * math.pi * geometry.pixel_size / (HC / energy * length)
        return cls(q, good, step, pixel_share(x, y, z, polarisation))


def pixel_share(x: Any, y: Any, z: Any, polarisation: str = "x") -> Floats:
    """Of what would reach a pixel in the middle, what reaches pixels of a flat detector.

    (z / r)^3 for solid angle and inclination, and 1 - (x / r)^2 for light polarised along
    x; lengths in any unit.

    Raises
    ------
    SettingsError
        If the polarisation is not one of `POLARISATIONS`.
    """
    if polarisation not in POLARISATIONS:
        raise SettingsError(
            f"The polarisation {polarisation!r} is not one of {', '.join(POLARISATIONS)}."
        )
    square = np.asarray(x * x + y * y + z * z, np.float64)
    share = np.abs(z) ** 3 / square**1.5
    if polarisation != "none":
        along = x if polarisation == "x" else y
        share = share * (1 - along * along / square)
    return np.asarray(share, np.float64)
