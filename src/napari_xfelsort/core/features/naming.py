"""What features are called, and their units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.features.statistics import INTENSITY_NAMES
from napari_xfelsort.core.features.stored import PEAK_NAMES, RADIUS_NAME


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
        if self.kind == "radial":
            return self._ring_names()
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
        if self.kind == "radial":
            n = len(self.positions)
            parts = [[value if s != "fraction" else ""] * n for s in settings.radial_statistics]
            return [unit for part in parts for unit in part]
        if self.kind == "peaks":
            return ["peaks", *[value] * 3, *(["pixels"] * self.has_radius)]
        if self.kind == "metadata":
            known = {"photon_energy": "eV", "camera_length": "m"}
            return [known.get(name, "") for name in settings.metadata]
        if self.kind == "quantiles":
            return [value] * len(settings.quantiles)
        return [value] * (len(self.corners) if self.kind == "pixels" else len(self.positions))

    def _ring_names(self) -> list[str]:
        settings = self.settings
        unit = "pixels" if settings.radial_axis == "pixels" else "1/angstrom"
        words = {"sd": "standard deviation", "fraction": f"fraction above {settings.above:g}"}
        return [
            f"{words.get(statistic, statistic)} of ring {position:.4g} {unit}"
            for statistic in settings.radial_statistics
            for position in self.positions.tolist()
        ]
