"""The histogram of a feature of all pixels, with the λ of a mask to drag."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_xfelsort.core.masks.making import ONE_SIDED, MadeMask
from napari_xfelsort.widgets.range_plot import AXIS_HEIGHT, BARS, DraggedRanges, RangeArtists

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_HEIGHT = 120
_BINS = 120
#: The axis ends at so many λ, and not before so many scales.
_AXIS, _LEAST_AXIS = 2.5, 15.0
#: Of λ, as the settings allow it.
_SMALLEST, _LARGEST = 1.0, 100.0


class FeatureHistogram(DraggedRanges):
    """How many scales each pixel is from the others; beyond λ it is bad."""

    #: λ is another.
    lambda_dragged = Signal(float)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "feature_histogram")
        self._feature, self._lambda = "", 0.0
        self._from: tuple[float, float] = (0.0, 0.0)
        self.dragged.connect(self._moved)
        self.dropped.connect(self._begin)
        self.setToolTip("Drag an end of the green range: pixels beyond λ are bad")

    def show_feature(self, made: MadeMask, feature: str) -> None:
        """Draw the ratios of a feature."""
        self._feature, self._lambda = feature, made.settings.mask_lambda
        ratio = made.features[feature].ratio
        known = ratio[~np.isnan(ratio)]
        end = max(_LEAST_AXIS, _AXIS * self._lambda)
        first = -end if known.size and known.min() < 0 else 0.0
        # What lies beyond the axis is counted in its last bars.
        counted = np.histogram(np.clip(known, first, end), _BINS, (first, end))
        drawing = functools.partial(self._draw, counted=counted, feature=feature)
        self.show_with([self._range()], drawing, _HEIGHT + AXIS_HEIGHT)
        self._begin()

    def _range(self) -> tuple[float, float]:
        low = -np.inf if self._feature in ONE_SIDED else -self._lambda
        return low, self._lambda

    def _begin(self) -> None:
        if self.parts:
            self._from = self.parts[0].drawn(*self._range())

    def _moved(self, _: int, low: float, high: float) -> None:
        """Both ends move as one; all of the range cannot."""
        before = self._from
        found = self._lambda
        if low == before[0] and high != before[1]:
            found = high
        elif high == before[1] and low != before[0] and self._feature not in ONE_SIDED:
            found = -low
        self._lambda = round(float(np.clip(found, _SMALLEST, _LARGEST)), 2)
        self.move_range(0, *self._range())
        self.lambda_dragged.emit(self._lambda)

    def _draw(
        self,
        figure: Figure,
        counted: tuple[NDArray[np.int64], NDArray[np.float64]],
        feature: str,
    ) -> None:
        axes = figure.subplots()
        counts, edges = counted
        axes.stairs(np.maximum(counts, 0.5), edges, baseline=0.5, fill=True, color=BARS)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yscale("log")
        axes.set_ylim(0.5, max(1, counts.max()) * 2)
        axes.set_ylabel("pixels")
        axes.set_xlabel(f"{feature.replace('_', ' ')}: scales from the others")
        part = RangeArtists(axes, *self.ranges[0])
        if figure is self.figure:  # not when a picture is saved
            self.parts = [part]
