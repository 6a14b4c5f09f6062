"""Directions from the beam and panels, of the pixels of a region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features.places import FeaturePlaces, PixelBins
from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.features.statistics import Values
from napari_xfelsort.core.region import ResolvedRegion
from napari_xfelsort.core.representations.azimuth import AzimuthTable


class Around:
    """Azimuthal features of events, and the shadow of a beam stop in each.

    Parameters
    ----------
    settings : FeatureSettings
        ``azimuthal_groups`` and ``beam_stop_sigma`` are used.
    pixels : ResolvedRegion
        The pixels that values are of.
    bins : PixelBins
        Their rings.
    places : FeaturePlaces
        With their sectors and cells.

    Raises
    ------
    RegionError
        If sectors or cells are not known.
    """

    def __init__(
        self,
        settings: FeatureSettings,
        pixels: ResolvedRegion,
        bins: PixelBins,
        places: FeaturePlaces,
    ) -> None:
        sector, cell = places.sector, places.cell
        if sector is None or cell is None:
            raise RegionError("It is not known in which direction from the beam pixels are.")
        self._sigma = settings.beam_stop_sigma
        inside = slice(None) if pixels.inside is None else pixels.inside
        self._table = AzimuthTable(
            bins.index[inside],
            bins.positions,
            sector[inside],
            cell[inside],
            settings.azimuthal_groups,
        )

    def features(self, data: Values) -> NDArray[np.float64]:
        """Azimuthal features; shape (events, features)."""
        return np.stack([self._table.features(row) for row in data.filled(np.nan)])

    def without_beam_stop(self, data: Values) -> Values:
        """The values, those in the shadow of a beam stop being not good."""
        if not self._sigma:
            return data
        rows = list(data.filled(np.nan))
        kept = [self._table.without_dark_rays(row, self._sigma) for row in rows]
        if all(new is old for new, old in zip(kept, rows, strict=True)):
            return data
        values = np.stack(kept)
        return Values(data.values, np.isfinite(values))
