"""Pictures of the Profile dock: a profile with its fit, and histograms with ranges to drag."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.range_plot import (
    ACCEPTED,
    AXIS_HEIGHT,
    BARS,
    DraggedRanges,
    RangeArtists,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_xfelsort.core.profiles import EventProfile, Histogram
    from napari_xfelsort.core.profiles.ranges import Range

PROFILE_HEIGHT = 240
#: Pixels of the screen for one histogram.
HISTOGRAM_HEIGHT = 78
#: Colours that can be told apart by everybody, on dark and on light.
POINTS, FIT, INFLECTION = BARS, "#f28e2b", "#f2483a"
_CURVE_POINTS = 300


class ProfileArtists:
    """A profile, its polynomial and inflection points, and what is left of them beneath.

    Another event is drawn by moving these: that is several times as fast as drawing anew,
    and so the slider stays smooth.

    Parameters
    ----------
    figure : Figure
        Empty.
    profile : EventProfile
        Of one event.
    accepted : sequence of pair of float
        Ranges that are shaded.
    """

    def __init__(
        self, figure: Figure, profile: EventProfile, accepted: Sequence[Range] = ()
    ) -> None:
        # Margins that do not depend on what is drawn: to find them takes longer than drawing.
        figure.set_layout_engine("none")
        frame = {"left": 0.21, "right": 0.98, "top": 0.97, "bottom": 0.18, "hspace": 0.08}
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2), gridspec_kw=frame)
        for low, high in accepted:
            above.axvspan(low, high, color=ACCEPTED, alpha=0.25, linewidth=0)
        (self._points,) = above.plot([], [], ".", color=POINTS, markersize=3)
        (self._curve,) = above.plot([], [], color=FIT, linewidth=1.4)
        (self._places,) = above.plot([], [], "D", color=INFLECTION, markersize=5)
        (self._left,) = below.plot([], [], ".", color=POINTS, markersize=2)
        below.axhline(0, color=FIT, linewidth=0.8)
        above.set_ylabel("ADU")
        below.set_ylabel("residual")
        below.set_xlabel(profile.unit)
        for axes in (above, below):
            axes.locator_params(axis="y", nbins=4)
            axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        figure.align_ylabels()
        self._axes = (above, below)
        self.show(profile)

    def show(self, profile: EventProfile) -> None:
        """Show another profile along the same axis."""
        where = places = np.empty(0)
        if np.isfinite(profile.coefficients).all():
            where, places = np.linspace(*profile.domain, _CURVE_POINTS), profile.inflections
        self._points.set_data(profile.positions, profile.values)
        self._curve.set_data(where, profile.curve(where))
        self._places.set_data(places, profile.curve(places))
        self._left.set_data(profile.positions, profile.values - profile.fitted)
        for axes in self._axes:
            axes.relim()
            axes.autoscale_view(scalex=False)
        self._axes[1].set_xlim(*profile.domain)


class ProfilePlot(Plot):
    """The profile of one event after another."""

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__(napari_viewer, name)
        self._artists: ProfileArtists | None = None
        self._profile: EventProfile | None = None
        self._as_before: tuple[Any, ...] = ()

    def show_profile(self, profile: EventProfile, accepted: Sequence[Range]) -> None:
        """Show a profile, with these ranges shaded."""
        self._profile = profile
        like = (profile.unit, profile.domain, tuple(accepted))
        if like == self._as_before and self._artists is not None and self.figure is not None:
            self._artists.show(profile)
            self.figure.canvas.draw_idle()
            self.setVisible(True)
            return
        self._as_before = like
        self.draw(functools.partial(self._draw, accepted=tuple(accepted)), PROFILE_HEIGHT)

    def clear(self) -> None:
        """Show nothing."""
        super().clear()
        self._artists, self._as_before = None, ()

    def _draw(self, figure: Figure, accepted: Sequence[Range]) -> None:
        assert self._profile is not None
        artists = ProfileArtists(figure, self._profile, accepted)
        if figure is self.figure:  # not when a picture is saved
            self._artists = artists


def draw_histograms(
    figure: Figure, counted: Sequence[Histogram], ranges: Sequence[Range], unit: str
) -> list[RangeArtists]:
    """Draw histograms below one another, the accepted range of each shaded."""
    parts = []
    rows = figure.subplots(len(counted), 1, squeeze=False)[:, 0]
    for number, (axes, found, (low, high)) in enumerate(
        zip(rows, counted, ranges, strict=True), 1
    ):
        axes.stairs(found.counts, found.edges, fill=True, color=POINTS)
        axes.set_xlim(found.edges[0], found.edges[-1])
        parts.append(RangeArtists(axes, low, high))
        axes.set_ylabel("events")
        axes.locator_params(axis="y", nbins=3)
        beyond = f"  ({found.beyond} beyond)" if found.beyond else ""
        text = axes.text(0.01, 0.95, f"{number}{beyond}", transform=axes.transAxes, va="top")
        text.set_in_layout(False)
    rows[-1].set_xlabel(f"inflection point ({unit})")
    return parts


class RangePlot(DraggedRanges):
    """Histograms of inflection points whose accepted ranges are dragged with the mouse."""

    def show_ranges(
        self, counted: Sequence[Histogram], ranges: Sequence[Range], unit: str
    ) -> None:
        """Draw histograms, each with its range."""
        drawing = functools.partial(self._draw, counted=counted, unit=unit)
        self.show_with(ranges, drawing, len(counted) * HISTOGRAM_HEIGHT + AXIS_HEIGHT)

    def _draw(self, figure: Figure, counted: Sequence[Histogram], unit: str) -> None:
        parts = draw_histograms(figure, counted, self.ranges, unit)
        if figure is self.figure:  # not when a picture is saved
            self.parts = parts
