"""Pictures of the Profile dock: a profile with its fit, and histograms with ranges to drag."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_xfelsort.widgets.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_xfelsort.core.profiles import EventProfile, Histogram
    from napari_xfelsort.core.profiles.ranges import Range

PROFILE_HEIGHT = 230
#: Pixels of the screen for one histogram, and for the axis below the last.
HISTOGRAM_HEIGHT, AXIS_HEIGHT = 78, 40
#: Colours that can be told apart by everybody, on dark and on light.
POINTS, FIT, INFLECTION, ACCEPTED = "#5aa9e6", "#f28e2b", "#f2483a", "#3fae5a"
#: Pixels of the screen within which the mouse takes hold of an end.
_REACH = 7
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
        frame = {"left": 0.17, "right": 0.98, "top": 0.96, "bottom": 0.17, "hspace": 0.08}
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw=frame)
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
) -> list[list[Any]]:
    """Draw histograms below one another, the accepted range of each shaded.

    Returns
    -------
    list of list
        For each its axes, the shade, and the lines at both ends.
    """
    parts = []
    rows = figure.subplots(len(counted), 1, squeeze=False)[:, 0]
    for number, (axes, found, (low, high)) in enumerate(
        zip(rows, counted, ranges, strict=True), 1
    ):
        axes.stairs(found.counts, found.edges, fill=True, color=POINTS)
        shade = axes.axvspan(low, high, color=ACCEPTED, alpha=0.3, linewidth=0)
        ends = [axes.axvline(end, color=ACCEPTED, linewidth=1.8) for end in (low, high)]
        axes.set_xlim(found.edges[0], found.edges[-1])
        axes.set_ylabel("events")
        axes.locator_params(axis="y", nbins=3)
        beyond = f"  ({found.beyond} beyond)" if found.beyond else ""
        text = axes.text(0.01, 0.95, f"{number}{beyond}", transform=axes.transAxes, va="top")
        text.set_in_layout(False)
        parts.append([axes, shade, *ends])
    rows[-1].set_xlabel(f"inflection point ({unit})")
    return parts


class RangePlot(Plot):
    """Histograms whose accepted ranges are dragged with the mouse.

    An end is dragged by its line, the whole range from between its ends.
    """

    #: A range is being dragged: its number, and its ends now.
    dragged = Signal(int, float, float)
    #: The mouse button went up after a range was dragged.
    dropped = Signal()

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__(napari_viewer, name)
        self._parts: list[list[Any]] = []
        self._connected: Any = None
        self._ranges: list[Range] = []
        self._held: tuple[int, str, float, Range] | None = None
        self.setToolTip("Drag the ends of a green range, or all of it. Right-click to save")

    def show_ranges(
        self, counted: Sequence[Histogram], ranges: Sequence[Range], unit: str
    ) -> None:
        """Draw histograms, each with its range."""
        self._held, self._ranges = None, list(ranges)
        drawing = functools.partial(self._draw, counted=counted, unit=unit)
        self.draw(drawing, len(counted) * HISTOGRAM_HEIGHT + AXIS_HEIGHT)
        assert self.figure is not None
        canvas = self.figure.canvas
        if canvas is not self._connected:
            self._connected = canvas
            canvas.mpl_connect("button_press_event", self._press)
            canvas.mpl_connect("motion_notify_event", self._move)
            canvas.mpl_connect("button_release_event", self._release)

    def move_range(self, number: int, low: float, high: float) -> None:
        """Show other ends of a range."""
        self._ranges[number] = (low, high)
        _, shade, first, last = self._parts[number]
        shade.set_x(low)
        shade.set_width(high - low)
        first.set_xdata([low, low])
        last.set_xdata([high, high])
        if self.figure is not None:
            self.figure.canvas.draw_idle()

    def _draw(self, figure: Figure, counted: Sequence[Histogram], unit: str) -> None:
        parts = draw_histograms(figure, counted, self._ranges, unit)
        if figure is self.figure:  # not when a picture is saved
            self._parts = parts

    def _press(self, event: Any) -> None:
        number = self._number_of(event.inaxes)
        if number is None or event.button != 1:
            return
        axes, low, high = event.inaxes, *self._ranges[number]
        at = event.x
        ends = {end: abs(at - _pixel(axes, x)) for end, x in (("low", low), ("high", high))}
        nearest = min(ends, key=lambda end: ends[end])
        if ends[nearest] <= _REACH:
            self._held = (number, nearest, event.xdata, (low, high))
        elif low < event.xdata < high:
            self._held = (number, "both", event.xdata, (low, high))

    def _move(self, event: Any) -> None:
        if self._held is None:
            return
        number, end, start, (low, high) = self._held
        axes = self._parts[number][0]
        first, last = axes.get_xlim()
        here = float(
            np.clip(axes.transData.inverted().transform((event.x, event.y))[0], first, last)
        )
        by = here - start
        if end != "high":
            low += by
        if end != "low":
            high += by
        if low > high:  # dragged past the other end
            low = high = high if end == "low" else low
        self.move_range(number, low, high)
        self.dragged.emit(number, low, high)

    def _release(self, event: Any) -> None:
        if self._held is not None:
            self._held = None
            self.dropped.emit()

    def _number_of(self, axes: Any) -> int | None:
        return next((k for k, part in enumerate(self._parts) if part[0] is axes), None)


def _pixel(axes: Axes, x: float) -> float:
    return float(axes.transData.transform((x, 0))[0])
