"""The histogram of a feature of all pixels, its robust fit, and the λ of a mask to drag."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_xfelsort.core.masks.making import ONE_SIDED, Feature, MadeMask
from napari_xfelsort.core.masks.ratio_histogram import RatioHistogram, ratio_histogram
from napari_xfelsort.widgets.range_plot import (
    ACCEPTED,
    AXIS_HEIGHT,
    BARS,
    DraggedRanges,
    RangeArtists,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 160
_FIT = "#ff9f40"
#: Room above the highest bar, in its own height, for λ.
_ROOM = 8
#: The axis ends at so many λ, and not before so many scales.
_AXIS, _LEAST_AXIS = 2.5, 15.0
#: Of λ, as the settings allow it.
_SMALLEST, _LARGEST = 1.0, 100.0


class LambdaArtists(RangeArtists):
    """The range within λ, with λ written beside its upper end."""

    def __init__(self, axes: Axes, low: float, high: float, above: list[Artist]) -> None:
        super().__init__(axes, low, high)
        self._above = above
        self._ends[1].set_label("λ")
        self._text = axes.text(
            0, 0.97, "", transform=axes.get_xaxis_transform(), va="top", color=ACCEPTED
        )
        self._text.set_in_layout(False)
        self._write(high)

    @property
    def artists(self) -> list[Artist]:
        """What moves, and what lies above it, lowest first."""
        return [self._shade, *self._above, *self._ends, self._text]

    def move(self, low: float, high: float) -> None:
        """Show other ends."""
        super().move(low, high)
        self._write(high)

    def _write(self, high: float) -> None:
        first, last = self.axes.get_xlim()
        left = high > last - (last - first) / 5
        gap = (last - first) / 80
        self._text.set_text(f"λ = {high:g}")
        self._text.set_horizontalalignment("right" if left else "left")
        self._text.set_x(min(high, last) + (-gap if left else gap))


class FeatureHistogram(DraggedRanges):
    """How many scales each pixel is from the others; beyond λ it is bad.

    While λ is dragged nothing is counted, and only what moves is drawn.
    """

    #: λ is another.
    lambda_dragged = Signal(float)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "feature_histogram")
        self._feature, self._lambda = "", 0.0
        self._from: tuple[float, float] = (0.0, 0.0)
        self._counted: tuple[Feature, float, RatioHistogram] | None = None
        self._behind: Any = None
        self._watched: Any = None
        self.dragged.connect(self._moved)
        self.dropped.connect(self._begin)
        self.setToolTip("Drag an end of the green range: pixels beyond λ are bad")

    @property
    def histogram(self) -> RatioHistogram | None:
        """What is shown, with its fit; None before something is."""
        return None if self._counted is None else self._counted[2]

    def show_feature(self, made: MadeMask, feature: str) -> None:
        """Draw the ratios of a feature."""
        self._feature, self._lambda = feature, made.settings.mask_lambda
        self._behind = None
        counted = self._count(made.features[feature], max(_LEAST_AXIS, _AXIS * self._lambda))
        drawing = functools.partial(self._draw, counted=counted, feature=feature)
        self.show_with([self._range()], drawing, _HEIGHT + AXIS_HEIGHT)
        assert self.figure is not None
        if self._watched is not self.figure.canvas:
            self._watched = self.figure.canvas
            self._watched.mpl_connect("draw_event", self._drawn)
        self._begin()

    def clear(self) -> None:
        """Show nothing."""
        self._counted = None
        super().clear()

    def move_range(self, number: int, low: float, high: float) -> None:
        """Show other ends of the range; what lies behind is not drawn again."""
        if self._behind is None or self.figure is None:
            super().move_range(number, low, high)
            return
        self.ranges[number] = (low, high)
        self.parts[number].move(low, high)
        canvas: Any = self.figure.canvas
        canvas.restore_region(self._behind)
        self._draw_moving()
        canvas.blit(self.figure.bbox)

    def _count(self, feature: Feature, reach: float) -> RatioHistogram:
        before = self._counted
        if before is None or before[0] is not feature or before[1] != reach:
            self._counted = before = (feature, reach, ratio_histogram(feature.ratio, reach))
        return before[2]

    def _drawn(self, event: Any) -> None:
        """All was drawn but what moves: that is kept, and what moves is drawn upon it."""
        if self.figure is not None:
            canvas: Any = self.figure.canvas
            self._behind = canvas.copy_from_bbox(self.figure.bbox)
            self._draw_moving()

    def _draw_moving(self) -> None:
        for part in self.parts:
            assert isinstance(part, LambdaArtists)
            for artist in part.artists:
                part.axes.draw_artist(artist)

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

    def _draw(self, figure: Figure, counted: RatioHistogram, feature: str) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        counts, edges = counted.counts, counted.edges
        axes.stairs(np.maximum(counts, 0.5), edges, baseline=0.5, fill=True, color=BARS)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yscale("log")
        axes.set_ylim(0.5, max(1, counts.max()) * _ROOM)
        axes.set_ylabel("pixels")
        axes.set_xlabel(f"{feature.replace('_', ' ')}: scales from the others")
        x = np.linspace(edges[0], edges[-1], 1000)
        y, curves = counted.curve(x), []
        if not math.isnan(y[0]):
            # Rounded before it is written, and no -0.00.
            centre = f"{round(counted.centre, 2) + 0.0:.2f}".replace("-", "−")
            label = f"robust fit: {centre} ± {counted.scale:.2f}"
            curves = axes.plot(x, y, color=_FIT, linewidth=1.4, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(6, prune="both"))  # none is cut off
        part = LambdaArtists(axes, *self.ranges[0], above=[*curves])
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        if figure is self.figure:  # not when a picture is saved
            self.parts = [part]
            for artist in part.artists:
                artist.set_animated(True)
