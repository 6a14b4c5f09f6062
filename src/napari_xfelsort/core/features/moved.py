"""Rings about a beam that is elsewhere, or of particles of another size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features.extractor import FeatureExtractor
from napari_xfelsort.core.features.places import PixelBins, distances
from napari_xfelsort.core.representations.azimuth import sector_numbers

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry


def moved_extractor(
    extractor: FeatureExtractor,
    geometry: Geometry | None,
    beam: tuple[float, float] = (math.nan, math.nan),
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> FeatureExtractor:
    """An extractor of particle or scattering features as if the beam were elsewhere.

    The rings are as wide and as far from the beam as before; other pixels are in them.

    Parameters
    ----------
    extractor : FeatureExtractor
        With these kinds of features alone.
    geometry : Geometry
        That it was made with.
    beam : tuple of float
        Photon energy (eV) and camera length (m), where rings are in q.
    shift : tuple of float
        Where the beam is along x and y of the laboratory, in pixels from where it was.
    scale : float
        What distances from the beam are multiplied by: a pattern looks like that of a
        particle so many times smaller.

    Raises
    ------
    RegionError
        If the geometry is missing, or says no place of the pixels.
    """
    bins = extractor.places.scattering
    if geometry is None or bins is None:
        raise RegionError("Rings about another centre need a geometry; give one.")
    window = extractor.window
    x, y, _ = (place[window] / geometry.pixel_size for place in geometry.positions())
    before = distances(extractor.settings.radial_axis, geometry, *beam)[window]
    mx, my = x - shift[0], y - shift[1]
    used = bins.index >= 0
    low = np.full(len(bins.positions), np.inf)
    np.minimum.at(low, bins.index[used], before[used])
    with np.errstate(invalid="ignore"):
        away = scale * before * (np.hypot(mx, my) / np.maximum(np.hypot(x, y), 1e-6))
        inside = used & (away >= low[0]) & (away <= before[used].max())
    ring = np.full(bins.index.shape, -1, np.int32)
    ring[inside] = np.searchsorted(low, away[inside], side="right") - 1
    places = replace(
        extractor.places,
        scattering=PixelBins(ring, bins.positions),
        sector=sector_numbers(my, mx),
    )
    return FeatureExtractor(extractor.settings, extractor.pixels, extractor.raw_shape, places)
