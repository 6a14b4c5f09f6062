"""Numbers a classifier sees of each event, the same in training and in sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features.around import Around
from napari_xfelsort.core.features.blocks import without_bad
from napari_xfelsort.core.features.naming import Described, bin_statistics_of
from napari_xfelsort.core.features.pixels import Pixels, impute
from napari_xfelsort.core.features.places import (
    RING_KINDS,
    VECTOR_KINDS,
    FeaturePlaces,
    PixelBins,
    find_places,
)
from napari_xfelsort.core.features.scattering import (
    PARTICLE_STATISTICS,
    SCATTERING_STATISTICS,
    Particle,
    Scattering,
)
from napari_xfelsort.core.features.settings import PIXEL_KINDS, FeatureSettings
from napari_xfelsort.core.features.statistics import (
    INTENSITY_NAMES,
    Binned,
    Values,
    chunks,
    intensity_statistics,
    quantile_values,
)
from napari_xfelsort.core.features.stored import (
    PEAK_NAMES,
    StoredEvent,
    metadata_features,
    peak_features,
)
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region, ResolvedRegion, as_region
from napari_xfelsort.core.representations.azimuth import AZIMUTHAL_NAMES, PANEL_NAMES

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack


class FeatureExtractor:
    """Turns frames, and what is stored with them, into features.

    Parameters
    ----------
    settings : FeatureSettings
        What to compute; its documentation has the formulas.
    pixels : ResolvedRegion
        The window to read and the pixels of it to use.
    raw_shape : tuple of int
        Shape of a raw frame.
    places : FeaturePlaces, optional
        In which bins the pixels are; made by `for_region`.

    Attributes
    ----------
    window : tuple of slice
        Part of the raw frame that is read.
    n_features : int
        Number of features.
    columns : dict of str to slice
        The features of each kind.

    Raises
    ------
    RegionError
        If the places lack what the settings need.
    """

    def __init__(
        self,
        settings: FeatureSettings,
        pixels: ResolvedRegion,
        raw_shape: tuple[int, ...],
        places: FeaturePlaces | None = None,
    ) -> None:
        self.settings = settings
        self.pixels = pixels
        self.raw_shape = tuple(raw_shape)
        self.places = places or FeaturePlaces()
        self.window = pixels.window
        self._index = None if pixels.inside is None else np.flatnonzero(pixels.inside)
        self._blocks = Pixels(settings, pixels)
        self._binned: dict[str, Binned] = {
            kind: Binned(self._bins(kind), pixels.inside)
            for kind in ("profile", "radial", "ring_vector")
            if kind in settings.kinds
        }
        self._around = None
        if set(settings.kinds) & set(VECTOR_KINDS):
            self._around = Around(settings, pixels, self._bins("ring_vector"), self.places)
        self._scattering = None
        if "scattering" in settings.kinds:
            self._scattering = Scattering(pixels, self._bins("scattering"), self.places)
        self._particle = None
        if "particle" in settings.kinds:
            bins, per_photon = self._bins("particle"), settings.adu_per_photon
            self._particle = Particle(pixels, bins, self.places, per_photon)
        self.columns: dict[str, slice] = {}
        self.n_features = 0
        for kind in settings.kinds:
            start, self.n_features = self.n_features, self.n_features + self._count(kind)
            self.columns[kind] = slice(start, self.n_features)

    @classmethod
    def for_region(
        cls,
        settings: FeatureSettings,
        region: Region,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None = None,
        mask: PixelMask | None = None,
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> FeatureExtractor:
        """Extractor of a region, without the pixels that the mask says are bad.

        Raises
        ------
        RegionError
            If the region cannot be resolved, all of it is masked, or a place is not known
            that features need.
        """
        beam = (photon_energy, camera_length)
        pixels = without_bad(region.resolve(raw_shape, geometry, *beam), mask, region)
        places = find_places(settings, region, pixels, raw_shape, geometry, *beam)
        return cls(settings, pixels, raw_shape, places)

    @classmethod
    def for_stack(
        cls, settings: FeatureSettings, region: Region | str | None, stack: EventStack
    ) -> FeatureExtractor:
        """Extractor of a region of a stack's events.

        Photon energy and camera length, where q needs them, are those of the first event.

        Raises
        ------
        RegionError
            As `for_region`.
        """
        region = as_region(region)
        rings = set(settings.kinds) & set(RING_KINDS)
        in_q = bool(rings) and settings.radial_axis == "q"
        needed = in_q or region.kind == "q"
        beam = (stack.photon_energy(0), stack.camera_length(0)) if needed else ()
        return cls.for_region(
            settings, region, tuple(stack.raw_shape), stack.geometry, stack.mask, *beam
        )

    # --- features -----------------------------------------------------------------------

    def extract(
        self,
        frames: NDArray[Any] | None,
        bad: NDArray[np.bool_] | None = None,
        stored: Sequence[StoredEvent] = (),
    ) -> NDArray[np.float32]:
        """Features of some events.

        Parameters
        ----------
        frames : ndarray, shape (events, ...window), or None
            Raw values of the window; None where ``settings.needs_pixels`` is not.
        bad : ndarray of bool, same shape, optional
            Values that must not be used; those that are not finite are left out anyway.
        stored : sequence of StoredEvent
            What is stored with each event, where ``settings.needs_stored``.

        Returns
        -------
        ndarray of float32, shape (events, n_features)
            A row of NaN for an event that has no good value, that lacks something stored,
            or whose divisor is not positive. May be a view of ``frames``.
        """
        n = len(stored) if frames is None else len(frames)
        if self.settings.needs_stored and len(stored) != n:
            raise ValueError(f"{len(stored)} stored values for {n} events")
        usable = np.array([not event.problem for event in stored] or [True] * n, bool)
        divisors = np.ones(n)
        if self.settings.normalise == "incoming":
            incoming = np.array([e.number(self.settings.incoming) for e in stored])
            divisors = _positive(incoming)
        found: dict[str, NDArray[Any]] = {}
        if frames is not None:
            divisors = self._of_frames(frames, bad, divisors, found)
        self._of_stored(stored, divisors, found)
        return self._together(found, usable & np.isfinite(divisors))

    def _of_frames(
        self,
        frames: NDArray[Any],
        bad: NDArray[np.bool_] | None,
        divisors: NDArray[np.float64],
        found: dict[str, NDArray[Any]],
    ) -> NDArray[np.float64]:
        """Add the features of frames; returns the divisors, NaN where there is no good value."""
        raw = self._select(frames)
        with np.errstate(over="ignore", invalid="ignore"):
            values = raw.astype(np.float32, copy=False)
        good = None if bad is None else ~self._select(np.broadcast_to(bad, frames.shape))
        if frames.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                good = finite if good is None else good & finite
        changes = good is not None or self.settings.normalise != "none"
        if changes and np.may_share_memory(values, frames):
            values = values.copy()
        needs_medians = "pixels" in self.settings.kinds or self.settings.normalise == "median"
        stand_in = impute(values, good) if good is not None and needs_medians else None
        if self.settings.normalise in ("mean", "median"):
            divisors = self._own_divisors(values, good)
        if good is not None:
            divisors = np.where(good.any(axis=1), divisors, np.nan)
        if "pixels" in self.settings.kinds:
            found["pixels"] = self._of_pixels(values, good, stand_in, divisors)
        of_all = ("intensity", "quantiles", "azimuthal", "scattering", "particle", *self._binned)
        others = [k for k in self.settings.kinds if k in of_all]
        for kind in others:
            found[kind] = np.empty((len(raw), self._count(kind)), np.float32)
        if others:
            for part, data in chunks(raw, good, divisors):
                for kind in others:
                    found[kind][part] = self._statistics(kind, data)
        return divisors

    def _select(self, frames: NDArray[Any]) -> NDArray[Any]:
        """The pixels of the region, one row an event; a view where it can be."""
        flat = frames.reshape(len(frames), -1)
        return flat if self._index is None else np.take(flat, self._index, axis=1)

    def _own_divisors(
        self, values: NDArray[np.float32], good: NDArray[np.bool_] | None
    ) -> NDArray[np.float64]:
        if self.settings.normalise == "median":  # which stands in for what is not good
            found = np.median(values, axis=1).astype(np.float64)
        elif good is None:
            found = values.mean(axis=1, dtype=np.float64)
        else:
            sums = np.where(good, values, np.float32(0)).sum(axis=1, dtype=np.float64)
            found = sums / np.maximum(good.sum(axis=1), 1)
        return _positive(found)

    def _of_pixels(
        self,
        values: NDArray[np.float32],
        good: NDArray[np.bool_] | None,
        stand_in: NDArray[np.float32] | None,
        divisors: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        features = self._blocks.of(values, good, stand_in)
        if self.settings.normalise != "none":
            with np.errstate(over="ignore"):
                features /= divisors.astype(np.float32)[:, np.newaxis]
        return features

    def _statistics(self, kind: str, data: Values) -> NDArray[np.float64]:
        if kind == "intensity":
            return intensity_statistics(data, self.settings.above)
        if kind == "quantiles":
            return quantile_values(data, self.settings.quantiles)
        if self._scattering is not None and kind == "scattering":
            return self._scattering.of(data)
        if self._particle is not None and kind == "particle":
            return self._particle.of(data)
        if kind in VECTOR_KINDS:
            assert self._around is not None
            if kind == "azimuthal":
                return self._around.features(data)
            data = self._around.without_beam_stop(data)
        statistics = bin_statistics_of(self.settings, kind)
        return self._binned[kind].of(data, statistics, self.settings.above)

    def _of_stored(
        self,
        stored: Sequence[StoredEvent],
        divisors: NDArray[np.float64],
        found: dict[str, NDArray[Any]],
    ) -> None:
        if "metadata" in self.settings.kinds:
            found["metadata"] = metadata_features(stored, self.settings.metadata)
        if "peaks" in self.settings.kinds:
            peaks = peak_features(stored, self.pixels, self.raw_shape, self.places.radius)
            peaks[:, 1:4] /= divisors[:, np.newaxis]
            found["peaks"] = peaks

    def _together(
        self, found: dict[str, NDArray[Any]], usable: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """The features of all kinds beside one another; rows of NaN where not usable."""
        if list(found) == ["pixels"]:
            matrix: NDArray[np.float32] = found["pixels"]
        else:
            matrix = np.empty((len(usable), self.n_features), np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                for kind, values in found.items():
                    matrix[:, self.columns[kind]] = values
        if list(found) != ["pixels"] or self.settings.normalise != "none":
            usable = usable & _finite_rows(matrix)
        if not usable.all():
            matrix[~usable] = np.nan
        return matrix

    # --- what they are ------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """What each feature is, in words."""
        return [name for kind in self.settings.kinds for name in self._described(kind).names()]

    @property
    def units(self) -> list[str]:
        """The unit of each feature, empty where it has none or the file does not say."""
        return [unit for kind in self.settings.kinds for unit in self._described(kind).units()]

    def _described(self, kind: str) -> Described:
        binned = kind in self._binned or kind in RING_KINDS
        positions = self._bins(kind).positions if binned else np.empty(0)
        corners = self._blocks.corners() if kind == "pixels" else np.empty((0, 0), np.int64)
        has_radius = self.places.radius is not None
        return Described(self.settings, kind, positions, corners, has_radius)

    @property
    def pixel_kinds(self) -> tuple[str, ...]:
        """The kinds of which `pixel_map` can be drawn."""
        return tuple(kind for kind in self.settings.kinds if kind in PIXEL_KINDS)

    def pixel_map(self, values: NDArray[Any], kind: str | None = None) -> NDArray[np.float64]:
        """Numbers of the features, importances for example, put where their pixels are.

        Parameters
        ----------
        values : ndarray, shape (n_features,)
            A number for each feature.
        kind : str, optional
            Only features of this kind of `pixel_kinds`; of all of them when omitted.

        Returns
        -------
        ndarray of float64, shape raw_shape
            For each pixel the sum over the features it is in; NaN where it is in none.

        Raises
        ------
        ValueError
            If the numbers are not as many as the features, or the kind has no pixels here.
        """
        values = np.asarray(values, np.float64)
        if values.shape != (self.n_features,):
            raise ValueError(f"{values.shape} numbers for {self.n_features} features")
        if kind is not None and kind not in self.pixel_kinds:
            raise ValueError(f"features of the kind {kind!r} belong to no pixels here")
        result = np.full(self.raw_shape, np.nan)
        part = result[self.window]
        for each in self.pixel_kinds if kind is None else (kind,):
            number = self._feature_of_pixel(each)
            rows = values[self.columns[each]].reshape(-1, int(number.max()) + 1)
            for row in rows:
                there = number >= 0
                part[there] = np.nan_to_num(part[there]) + row[number[there]]
        return result

    def _feature_of_pixel(self, kind: str) -> NDArray[np.int32]:
        return self._blocks.feature_of_pixel() if kind == "pixels" else self._bins(kind).index

    def _bins(self, kind: str) -> PixelBins:
        places = self.places
        known = {
            "profile": places.profile,
            "radial": places.radial,
            "scattering": places.scattering,
            "particle": places.scattering,
        }
        bins = known.get(kind, places.vector)
        if bins is None or bins.index.shape != self.pixels.shape:
            raise RegionError(f"It is not known where the pixels are in features of {kind!r}.")
        return bins

    def _count(self, kind: str) -> int:
        if kind == "pixels":
            return self._blocks.n
        if kind in self._binned:
            return self._binned[kind].n * len(bin_statistics_of(self.settings, kind))
        if kind == "azimuthal":
            return len(AZIMUTHAL_NAMES) * self.settings.azimuthal_groups + len(PANEL_NAMES)
        if kind == "scattering":
            return len(SCATTERING_STATISTICS) * len(self._bins(kind).positions)
        if kind == "particle":
            return len(PARTICLE_STATISTICS) * len(self._bins(kind).positions)
        if kind == "intensity":
            return len(INTENSITY_NAMES) + 1
        if kind == "peaks":
            return len(PEAK_NAMES) + (self.places.radius is not None)
        return len(self.settings.quantiles if kind == "quantiles" else self.settings.metadata)


def _positive(divisors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.where(divisors > 0, divisors, np.nan)


def _finite_rows(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows of finite numbers only."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.asarray(np.isfinite(matrix.sum(axis=1)))
    for k in np.flatnonzero(~finite):  # where large numbers add up to infinity, look at each
        finite[k] = np.isfinite(matrix[k]).all()
    return finite


def no_value(settings: FeatureSettings) -> str:
    """Why an event that was read has no features."""
    if settings.normalise not in ("mean", "median"):
        return "All pixels of the region are bad in this event."
    return (
        f"All pixels of the region are bad in this event, or their {settings.normalise} is not "
        "positive and cannot be divided by."
    )
