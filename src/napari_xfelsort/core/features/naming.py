"""What features are called, and their units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features.scattering import particle_names, scattering_names
from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.features.statistics import INTENSITY_NAMES
from napari_xfelsort.core.features.stored import PEAK_NAMES, RADIUS_NAME
from napari_xfelsort.core.representations.azimuth import azimuthal_names, group_starts
from napari_xfelsort.core.representations.rings import VECTOR_STATISTICS


class Described(NamedTuple):
    """The features of one kind.

    Attributes
    ----------
    settings : FeatureSettings
        With this kind among its kinds.
    kind : str
        Which.
    positions : ndarray, shape (bins,)
        Of places or rings.
    corners : ndarray of int, shape (blocks, axes)
        Raw indices of pixels, or of the first pixels of blocks.
    has_radius : bool
        The distance of peaks from the beam is known.
    """

    settings: FeatureSettings
    kind: str
    positions: NDArray[np.float64]
    corners: NDArray[np.int64]
    has_radius: bool

    def names(self) -> list[str]:
        """What each feature is, in words."""
        settings = self.settings
        if self.kind == "pixels":
            side, what = settings.bin, "pixel"
            if side > 1:
                what = f"{settings.bin_statistic} of {side} x {side} pixels from"
            return [f"{what} {','.join(map(str, at))}" for at in self.corners.tolist()]
        if self.kind == "profile":
            axis, what = settings.profile_axis, settings.profile_statistic
            return [f"{what} at {axis} {position:g}" for position in self.positions.tolist()]
        if self.kind in ("radial", "ring_vector"):
            return self._ring_names()
        if self.kind == "azimuthal":
            starts = group_starts(self.positions, settings.azimuthal_groups)
            return azimuthal_names(starts, self._ring_unit)
        if self.kind == "scattering":
            return scattering_names(self.positions, self._ring_unit)
        if self.kind == "particle":
            return particle_names(self.positions, self._ring_unit)
        if self.kind == "intensity":
            return [*INTENSITY_NAMES, f"fraction above {settings.above:g}"]
        if self.kind == "quantiles":
            return [f"quantile {q:g}" for q in settings.quantiles]
        if self.kind == "peaks":
            return [*PEAK_NAMES, *([RADIUS_NAME] * self.has_radius)]
        return list(settings.metadata)

    def units(self) -> list[str]:
        """The unit of each feature, empty where it has none or the file does not say."""
        settings = self.settings
        value = {"none": "ADU", "incoming": f"ADU / {settings.incoming}"}.get(
            settings.normalise, f"event's {settings.normalise}"
        )
        if self.kind == "intensity":
            return [value] * 4 + [""] * 3
        if self.kind in ("radial", "ring_vector"):
            units = {"fraction": "", "variance": f"({value})^2"}
            return [units.get(s, value) for s in self._ring_statistics for _ in self.positions]
        if self.kind in ("azimuthal", "particle"):
            return [""] * len(self.names())
        if self.kind == "scattering":
            n = len(self.positions)
            return [""] * n + [value] * n + [""] * n
        if self.kind == "peaks":
            return ["peaks", *[value] * 3, *(["pixels"] * self.has_radius)]
        if self.kind == "metadata":
            known = {"photon_energy": "eV", "camera_length": "m"}
            return [known.get(name, "") for name in settings.metadata]
        if self.kind == "quantiles":
            return [value] * len(settings.quantiles)
        return [value] * (len(self.corners) if self.kind == "pixels" else len(self.positions))

    @property
    def _ring_statistics(self) -> tuple[str, ...]:
        return bin_statistics_of(self.settings, self.kind)

    @property
    def _ring_unit(self) -> str:
        return "pixels" if self.settings.radial_axis == "pixels" else "1/angstrom"

    def _ring_names(self) -> list[str]:
        words = {
            "sd": "standard deviation",
            "fraction": f"fraction above {self.settings.above:g}",
            "p5": "5th percentile",
            "p95": "95th percentile",
        }
        return [
            f"{words.get(statistic, statistic)} of ring {position:.4g} {self._ring_unit}"
            for statistic in self._ring_statistics
            for position in self.positions.tolist()
        ]


def bin_statistics_of(settings: FeatureSettings, kind: str) -> tuple[str, ...]:
    """What is taken of each place or ring."""
    if kind == "profile":
        return (settings.profile_statistic,)
    return settings.radial_statistics if kind == "radial" else VECTOR_STATISTICS
