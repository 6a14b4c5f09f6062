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
#: Directions that the spread is of.
_DIRECTIONS = 12


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
        self._direction = np.where(sector < 0, -1, sector * _DIRECTIONS // SECTORS)
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
        scattering_loops.ring_scattering(
            values, self._ring, self._direction.astype(np.int32), _DIRECTIONS, found
        )
        return found.reshape(len(found), -1)


def scattering_names(positions: NDArray[np.float64], unit: str) -> list[str]:
    """What `Scattering.of` gives, by the radius of each ring."""
    return [
        f"{name} of ring {position:.4g} {unit}"
        for name in SCATTERING_STATISTICS
        for position in positions.tolist()
    ]
