"""Where the pixels of a region are: in which bin of a profile, how far from the beam.

What a geometry says of that in training is kept with the model, so that sorting uses the
same pixels for the same feature, whatever geometry it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.region import Region, ResolvedRegion
from napari_xfelsort.core.representations.azimuth import SECTORS, sector_numbers
from napari_xfelsort.core.representations.rings import equal_rings

if TYPE_CHECKING:
    from hashlib import _Hash

    from napari_xfelsort.core.geometry import Geometry


#: Places that are bins.
_BINNED = ("profile", "radial", "vector", "scattering")
#: Kinds of features of the rings of ``vector``.
VECTOR_KINDS = ("ring_vector", "azimuthal")
#: Kinds of features that need rings.
RING_KINDS = ("radial", *VECTOR_KINDS, "scattering", "particle")
#: Kinds of features of the rings of ``scattering``.
SCATTERING_KINDS = ("scattering", "particle")
#: Panels that stand for themselves; fewer are cut into blocks.
_MANY_PANELS, _BLOCKS = 8, 4


@dataclass(frozen=True, eq=False)
class PixelBins:
    """The bin that each pixel of a window is in.

    Attributes
    ----------
    index : ndarray of int32, shape of the window
        Number of the bin, -1 where there is none; no bin is empty.
    positions : ndarray of float64, shape (bins,)
        Mean position of the pixels of each bin, ascending.
    """

    index: NDArray[np.int32]
    positions: NDArray[np.float64]

    def inside(self, pixels: ResolvedRegion) -> PixelBins:
        """Without the pixels that are not in a region, and the bins that are then empty.

        Raises
        ------
        RegionError
            If no bin is left.
        """
        used = self.index >= 0
        if pixels.inside is not None:
            used &= pixels.inside
        if not used.any():
            raise RegionError("No good pixel of the region has a known place in the profile.")
        kept, numbers = np.unique(self.index[used], return_inverse=True)
        index = np.full(self.index.shape, -1, np.int32)
        index[used] = numbers.ravel()
        return PixelBins(index, self.positions[kept])


@dataclass(frozen=True, eq=False)
class FeaturePlaces:
    """What features need to know of places beside the pixels themselves.

    Attributes
    ----------
    profile, radial : PixelBins, optional
        For features of these kinds.
    radius : ndarray of float32, shape of the window, optional
        Distance of each pixel from the beam in pixels, NaN where it is not known; for peaks.
    vector : PixelBins, optional
        Rings of ring vectors and azimuthal features.
    sector, cell : ndarray of int32, shape of the window, optional
        For these, the sector of one degree about the beam, and the panel (or block of a
        large one) of each pixel; -1 for none.
    scattering : PixelBins, optional
        Rings of scattering and particle features, which need sectors too.
    """

    profile: PixelBins | None = None
    radial: PixelBins | None = None
    radius: NDArray[np.float32] | None = None
    vector: PixelBins | None = None
    sector: NDArray[np.int32] | None = None
    cell: NDArray[np.int32] | None = None
    scattering: PixelBins | None = None

    def add_to(self, digest: _Hash) -> None:
        """Add what there is to a digest."""
        for name, array in self.to_arrays().items():
            digest.update(f"{name}:{array.dtype.str}{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What there is, as arrays by name."""
        arrays: dict[str, NDArray[Any]] = {}
        for name in _BINNED:
            bins = getattr(self, name)
            if bins is not None:
                arrays[name] = bins.index
                arrays[f"{name}_positions"] = bins.positions
        for name in ("radius", "sector", "cell"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], pixels: ResolvedRegion
    ) -> FeaturePlaces:
        """Places from `to_arrays`, checked: they may come from a file of a stranger.

        Raises
        ------
        ValueError
            If they are damaged, or do not fit the pixels.
        """
        found: dict[str, PixelBins] = {}
        for name in _BINNED:
            if name in arrays:
                found[name] = _checked(arrays[name], arrays[f"{name}_positions"], pixels)
        radius = arrays.get("radius")
        if radius is not None and not (
            radius.shape == pixels.shape and radius.dtype == np.float32
        ):
            raise ValueError("the distances from the beam do not fit the window")
        vector, sector, cell = found.get("vector"), arrays.get("sector"), arrays.get("cell")
        if vector is not None:
            _check_numbers(sector, pixels.shape, SECTORS)
            _check_numbers(cell, pixels.shape, pixels.n_pixels)
        scattering = found.get("scattering")
        if scattering is not None:
            _check_numbers(sector, pixels.shape, SECTORS)
        return cls(
            found.get("profile"), found.get("radial"), radius, vector, sector, cell, scattering
        )


def find_places(
    settings: FeatureSettings,
    region: Region,
    pixels: ResolvedRegion,
    raw_shape: tuple[int, ...],
    geometry: Geometry | None,
    photon_energy: float = math.nan,
    camera_length: float = math.nan,
) -> FeaturePlaces:
    """The places that some features need.

    Parameters
    ----------
    settings : FeatureSettings
        Which features.
    region : Region
        What profile and rings are taken of. Rings are cut between the innermost and the
        outermost pixel of the whole of it, masked or not.
    pixels : ResolvedRegion
        Its pixels that can be used.
    raw_shape, geometry, photon_energy, camera_length
        As for `Region.resolve`.

    Raises
    ------
    RegionError
        If the geometry does not say, or there is none.
    """
    profile = radial = radius = vector = sector = cell = scattering = None
    if "profile" in settings.kinds:
        profile = _profile(settings.profile_axis, region, raw_shape, geometry).inside(pixels)
    if set(settings.kinds) & set(RING_KINDS):
        if geometry is None:
            raise RegionError("Rings around the beam need a geometry; give one.")
        beam = (photon_energy, camera_length)
        whole = region.resolve(raw_shape, geometry, *beam)
        away = distances(settings.radial_axis, geometry, *beam)[whole.window]
        if "radial" in settings.kinds:
            radial = _rings(away, whole, settings.radial_bins).inside(pixels)
        if set(settings.kinds) & set(VECTOR_KINDS):
            vector = _rings(away, whole, settings.vector_rings).inside(pixels)
            cell = _panel_cells(geometry, raw_shape)[pixels.window]
        if set(settings.kinds) & set(SCATTERING_KINDS):
            scattering = _rings(away, whole, settings.scattering_rings).inside(pixels)
        if vector is not None or scattering is not None:
            x, y, _ = (place[pixels.window] for place in geometry.positions())
            sector = sector_numbers(y, x)
    if "peaks" in settings.kinds and geometry is not None:
        radius = distances("pixels", geometry)[pixels.window].astype(np.float32)
    return FeaturePlaces(profile, radial, radius, vector, sector, cell, scattering)


def _profile(
    axis: str, region: Region, raw_shape: tuple[int, ...], geometry: Geometry | None
) -> PixelBins:
    # Here, because profiles are made with what features are read with.
    from napari_xfelsort.core.profiles.projection import Projection

    projection = Projection.for_region(axis, region, raw_shape, geometry)
    return PixelBins(projection.point_of_pixel(), projection.positions)


def distances(
    unit: str,
    geometry: Geometry,
    photon_energy: float = math.nan,
    camera_length: float = math.nan,
) -> NDArray[np.float64]:
    """How far from the beam each raw pixel is, in pixels or in q (1/angstrom).

    Raises
    ------
    RegionError
        If q is asked for and is not known.
    """
    if unit == "pixels":
        x, y, _ = geometry.positions()
        return np.asarray(np.hypot(x, y) / geometry.pixel_size, np.float64)
    known = (None if math.isnan(v) else v for v in (photon_energy, camera_length))
    q = geometry.q_map(*known)
    if np.isnan(q).all():
        raise RegionError(
            "Rings in q need photon energy and camera length, and neither the data nor the "
            "geometry says them; take rings in pixels."
        )
    return q


def _rings(away: NDArray[np.float64], region: ResolvedRegion, n: int) -> PixelBins:
    """Rings of equal width between the innermost and the outermost pixel."""
    used = np.isfinite(away)
    if region.inside is not None:
        used &= region.inside
    if not used.any():
        raise RegionError("No pixel of the region has a known distance from the beam.")
    return PixelBins(*equal_rings(away, used, n))


def _panel_cells(geometry: Geometry, raw_shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Number of the panel of each pixel, or of the block of it where panels are few."""
    cell = np.full(raw_shape, -1, np.int32)
    side = 1 if len(geometry.panels) >= _MANY_PANELS else _BLOCKS
    n = 0
    for panel in geometry.panels.values():
        part = cell[panel.raw_index]
        rows, columns = (np.arange(k) * side // k for k in part.shape)
        part[...] = n + rows[:, np.newaxis] * side + columns
        n += side * side
    return cell


def _check_numbers(numbers: NDArray[Any] | None, shape: tuple[int, ...], below: int) -> None:
    if numbers is None or numbers.shape != shape or numbers.dtype != np.int32:
        raise ValueError("the sectors or panels of rings do not fit the window")
    if numbers.size and not (numbers.min() >= -1 and numbers.max() < below):
        raise ValueError("the sectors or panels of rings are damaged")


def _checked(index: NDArray[Any], positions: NDArray[Any], pixels: ResolvedRegion) -> PixelBins:
    if index.shape != pixels.shape or index.dtype != np.int32:
        raise ValueError("the bins do not fit the window")
    if positions.ndim != 1 or positions.dtype != np.float64 or not np.isfinite(positions).all():
        raise ValueError("the positions of bins are damaged")
    used = index >= 0
    if pixels.inside is not None and (used & ~pixels.inside).any():
        raise ValueError("a bin holds pixels that are not used")
    numbers = np.unique(index[used])
    if not np.array_equal(numbers, np.arange(len(positions))) or not len(numbers):
        raise ValueError("the bins are not numbered from 0 on")
    return PixelBins(index, positions)
