"""What a particle's scattering is like in each ring: how strong, how lumpy, how lopsided."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features.places import FeaturePlaces, PixelBins
from napari_xfelsort.core.features.statistics import Values
from napari_xfelsort.core.region import ResolvedRegion
from napari_xfelsort.core.representations.azimuth import SECTORS

#: Statistics of each ring.
SCATTERING_STATISTICS = (
    "logarithm of the mean",
    "variance by mean",
    "spread over directions",
)
#: Of each ring, without background and the noise of counting.
PARTICLE_STATISTICS = ("strength", "contrast", "contrast over directions")
#: Directions that the spread is over.
DIRECTIONS = 12


class Scattering:
    """Statistics of the rings of events.

    Parameters
    ----------
    pixels : ResolvedRegion
        The pixels that values are of.
    bins : PixelBins
        Their rings.
    places : FeaturePlaces
        With their sectors.

    Raises
    ------
    RegionError
        If the sectors are not known.
    """

    def __init__(self, pixels: ResolvedRegion, bins: PixelBins, places: FeaturePlaces) -> None:
        if places.sector is None:
            raise RegionError("It is not known in which direction from the beam pixels are.")
        inside = slice(None) if pixels.inside is None else pixels.inside
        self._ring = bins.index[inside].ravel()
        sector = places.sector[inside].ravel()
        direction = np.where(sector < 0, -1, sector * DIRECTIONS // SECTORS)
        self._direction = direction.astype(np.int32)
        self.n = len(bins.positions)

    def of(self, data: Values) -> NDArray[np.float64]:
        """Shape (events, statistics * rings), one statistic after another; finite always.

        Of each ring the natural logarithm of its mean by the event's (at least 0.001 of it),
        the variance of its values by their mean, and the standard deviation of the means in
        twelve directions by its mean. The latter two are 0 where the mean is not positive,
        all are where no pixel is good.
        """
        from napari_xfelsort.core.features import scattering_loops

        found = np.zeros((len(data.values), len(SCATTERING_STATISTICS), self.n))
        values = np.ascontiguousarray(data.filled(np.nan))
        scattering_loops.ring_scattering(values, self._ring, self._direction, DIRECTIONS, found)
        return found.reshape(len(found), -1)


class Particle(Scattering):
    """Statistics of rings that brightness and background leave alone, as far as they can.

    Parameters
    ----------
    pixels, bins, places
        As for `Scattering`.
    per_photon : float
        What a photon counts.
    """

    def __init__(
        self,
        pixels: ResolvedRegion,
        bins: PixelBins,
        places: FeaturePlaces,
        per_photon: float = 1.0,
    ) -> None:
        super().__init__(pixels, bins, places)
        self._per_photon = per_photon

    def of(self, data: Values) -> NDArray[np.float64]:
        """Shape (events, statistics * rings), one statistic after another; finite always.

        With n pixels of mean m and variance V in a ring, in photons, the level b of the
        outermost rings that hold a tenth of the pixels, and s = max(m - b, 0):

        - strength: ln((s + e) / t), e the standard error of m - b, t the mean of m - b over
          all pixels, at least three standard errors of it;
        - contrast: (V - m) / (s^2 + standard error of V where only counting scatters);
        - contrast over directions: the same of the means in twelve directions, of those
          with three pixels at least.

        Both contrasts are in the mean 0 where nothing but counting scatters, and what V / s^2
        would be without noise where there are many photons. A ring without a good pixel is 0.
        """
        from napari_xfelsort.core.features import scattering_loops

        found = np.zeros((len(data.values), len(PARTICLE_STATISTICS), self.n))
        values = np.ascontiguousarray(data.filled(np.nan))
        if self._per_photon != 1.0:
            values = values / self._per_photon
        scattering_loops.ring_particle(values, self._ring, self._direction, DIRECTIONS, found)
        return found.reshape(len(found), -1)


def particle_names(positions: NDArray[np.float64], unit: str) -> list[str]:
    """What `Particle.of` gives, by the radius of each ring."""
    return [
        f"{name} of ring {position:.4g} {unit}"
        for name in PARTICLE_STATISTICS
        for position in positions.tolist()
    ]


def scattering_names(positions: NDArray[np.float64], unit: str) -> list[str]:
    """What `Scattering.of` gives, by the radius of each ring."""
    return [
        f"{name} of ring {position:.4g} {unit}"
        for name in SCATTERING_STATISTICS
        for position in positions.tolist()
    ]
