"""The detector of simulated single-particle runs: where its pixels are, and which are bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.geometry_text import panel_text
from napari_xfelsort.core.simulate.layout import Panel
from napari_xfelsort.core.simulate.spi_settings import SpiSimulationSettings
from napari_xfelsort.core.spi.rings import HC, pixel_share

Floats = NDArray[np.float64]

_HEAD = """\
; Simulated detector of napari-xfelsort for single particles: {panels}.
photon_energy = {energy:.9g} eV
clen = {distance:.9g} m
adu_per_photon = 1
res = {res:.9g}

data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs

; 0 in the mask is a good pixel.
mask0_data = /entry_1/data_1/mask
mask0_goodbits = 0x0000
mask0_badbits = 0xffff
"""

#: Bits of the mask, as Cheetah defines them: bad, and no pixel at all.
_BAD, _MISSING = 128, 512


@dataclass(frozen=True, eq=False)
class SpiDetector:
    """Pixels in the laboratory, in pixels from where the beam meets the detector.

    Attributes
    ----------
    x, y : ndarray, shape (slow, fast)
        y upwards, x as CrystFEL has it.
    mask : ndarray of uint16, shape (slow, fast)
        0 where a pixel is good.
    rows : tuple of int
        First row of each half in the frame.
    """

    x: Floats
    y: Floats
    mask: NDArray[np.uint16]
    rows: tuple[int, ...]
    settings: SpiSimulationSettings

    @property
    def good(self) -> NDArray[np.bool_]:
        """True where a pixel is good."""
        return np.asarray(self.mask == 0)

    def momentum(self, shift: tuple[float, float]) -> tuple[Floats, Floats]:
        """q of every pixel in 1/nm, shape (slow, fast, 3), and the share that reaches it.

        Parameters
        ----------
        shift : tuple of float
            By how many pixels along x and y the beam is off.
        """
        s = self.settings
        x, y = (self.x - shift[0]) * s.pixel_size, (self.y - shift[1]) * s.pixel_size
        z = np.full(x.shape, s.distance)
        place = np.stack([x, y, z], axis=-1)
        way = place / np.linalg.norm(place, axis=-1, keepdims=True)
        way[..., 2] -= 1
        return 2 * np.pi * s.photon_energy / HC * way, pixel_share(x, y, z)

    def geometry_text(self) -> str:
        """The CrystFEL geometry."""
        s = self.settings
        names = "two halves" if len(self.rows) == 2 else "the upper half"
        parts = [
            _HEAD.format(
                panels=names, energy=s.photon_energy, distance=s.distance, res=1 / s.pixel_size
            )
        ]
        height = s.side // 2
        for number, row in enumerate(self.rows):
            panel = Panel(
                name=f"p{number}",
                min_fs=0,
                max_fs=s.side - 1,
                min_ss=row,
                max_ss=row + height - 1,
                corner=(float(self.x[row, 0] - 0.5), float(self.y[row, 0] + 0.5)),
                fs=(1.0, 0.0, 0.0),
                ss=(0.0, -1.0, 0.0),
                coffset=0.0,
            )
            parts.append(panel_text(panel))
        return "\n".join(parts)


def spi_detector(settings: SpiSimulationSettings) -> SpiDetector:
    """The detector of these settings; its bad pixels are drawn by the seed."""
    s = settings
    height = s.side // 2
    columns = np.arange(s.side) - 0.5 * (s.side - 1)
    upper = 0.5 * s.gap + height - 0.5 - np.arange(height)
    halves = [upper, -upper[::-1]] if s.detector == "two_halves" else [upper]
    y = np.concatenate(halves)
    x, y = (np.array(a) for a in np.broadcast_arrays(columns, y[:, np.newaxis]))
    mask = np.zeros(x.shape, np.uint16)
    random = np.random.default_rng((s.seed, 0, 7))
    mask[random.random(x.shape) < s.bad_pixels] = _BAD
    mask[np.hypot(x, y) < s.hole] = _MISSING
    return SpiDetector(x, y, mask, tuple(height * k for k in range(len(halves))), settings)
