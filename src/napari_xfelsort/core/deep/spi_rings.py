"""Statistics of rings about the beam, which a network is given beside the picture.

Convolutions see neighbours; that fringes fit a particle, and that counts scatter more around
a ring than photons do, is spread over all of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.spi_layout import PictureLayout
from napari_xfelsort.core.errors import RegionError

Floats = NDArray[np.float32]

#: Rings at most, each at least as wide as a cell.
_RINGS = 36
#: Contrasts beyond this are told by their logarithm.
_CONTRAST = 1 / 3


def n_ring_statistics(layout: PictureLayout) -> int:
    """How many numbers a network is given of a picture."""
    from napari_xfelsort.core.features.scattering import PARTICLE_STATISTICS

    return len(PARTICLE_STATISTICS) * _n_rings(_polar(layout)[0])


class SpiRings:
    """Strength, contrast and contrast over directions of rings of what a network sees.

    They are those of the features of the kind ``particle``; contrasts c are told as
    sign(c) ln(1 + 3 |c|).

    Parameters
    ----------
    layout : PictureLayout
        With the place of the beam.
    photon : float
        What a photon counts.
    root : bool
        Whether square roots are seen.
    mean, sd : float
        That what is seen was standardised by.

    Raises
    ------
    RegionError
        If it is not known where the beam is.
    """

    def __init__(
        self, layout: PictureLayout, photon: float, root: bool, mean: float, sd: float
    ) -> None:
        from napari_xfelsort.core.features.scattering import DIRECTIONS

        away, angle = _polar(layout)
        self.n = _n_rings(away)
        nearest, farthest = float(away.min()), float(away.max())
        share = (away - nearest) / max(farthest - nearest, 1e-6)
        self._ring = np.minimum((share * self.n).astype(np.int32), self.n - 1)
        turns = angle / (2 * np.pi) % 1.0
        self._direction = np.minimum((turns * DIRECTIONS).astype(np.int32), DIRECTIONS - 1)
        self._directions = DIRECTIONS
        self._covered = layout.covered
        self._photons = layout.pixels[self._covered] / np.float64(photon)
        self._root, self._mean, self._sd = root, mean, sd

    def of(self, seen: Floats) -> Floats:
        """Statistics of pictures (n, rows, columns) as seen, shape (n, statistics)."""
        from napari_xfelsort.core.features.scattering import PARTICLE_STATISTICS
        from napari_xfelsort.core.features.scattering_loops import ring_particle

        values = seen[:, self._covered].astype(np.float64) * self._sd + self._mean
        if self._root:
            values = np.maximum(values, 0) ** 2
        values *= self._photons
        found = np.zeros((len(seen), len(PARTICLE_STATISTICS), self.n))
        ring_particle(values, self._ring, self._direction, self._directions, found)
        contrasts = found[:, 1:]
        found[:, 1:] = np.sign(contrasts) * np.log1p(np.abs(contrasts) / _CONTRAST)
        return found.reshape(len(seen), -1).astype(np.float32)


def _polar(layout: PictureLayout) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cells from the beam, and the direction, of each cell with pixels."""
    if layout.beam is None:
        raise RegionError(
            "Statistics of rings need the place of the beam: give a geometry, or leave them "
            "out (rings = false)."
        )
    rows, columns = np.nonzero(layout.covered)
    y, x = rows - layout.beam[0], columns - layout.beam[1]
    return np.hypot(y, x), np.arctan2(y, x)


def _n_rings(away: NDArray[np.float64]) -> int:
    return int(np.clip(np.ptp(away), 1, _RINGS))
