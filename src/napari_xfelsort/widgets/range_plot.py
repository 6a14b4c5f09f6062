"""Plots in which ranges are dragged with the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_xfelsort.widgets.plot import Drawing, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels of the screen for the axis below the last histogram.
AXIS_HEIGHT = 40
#: Colours that can be told apart by everybody, on dark and on light.
BARS, ACCEPTED = "#5aa9e6", "#3fae5a"
#: Pixels of the screen within which the mouse takes hold of an end.
_REACH = 7


class RangeArtists:
    """The shade of a range in its axes, and a line at both ends.

    An infinite end is drawn at the edge of the axes; their limits must be set before.
    """

    def __init__(self, axes: Axes, low: float, high: float) -> None:
        self.axes = axes
        low, high = self.drawn(low, high)
        self._shade = axes.axvspan(low, high, color=ACCEPTED, alpha=0.3, linewidth=0)
        self._ends = [axes.axvline(end, color=ACCEPTED, linewidth=1.8) for end in (low, high)]

    def drawn(self, low: float, high: float) -> tuple[float, float]:
        """Where ends are drawn."""
        first, last = self.axes.get_xlim()
        return (first if low == -np.inf else low), (last if high == np.inf else high)

    def move(self, low: float, high: float) -> None:
        """Show other ends."""
        low, high = self.drawn(low, high)
        self._shade.set_x(low)
        self._shade.set_width(high - low)
        for line, end in zip(self._ends, (low, high), strict=True):
            line.set_xdata([end, end])


class DraggedRanges(Plot):
    """Histograms or the like, each with one range that is dragged.

    An end is dragged by its line, the whole range from between its ends. Subclasses call
    `show_with`, and in what they draw keep one `RangeArtists` for each range in ``parts``.

    Attributes
    ----------
    ranges : list of pair of float
        What is shown.
    parts : list of RangeArtists
        What they are drawn by.
    """

    #: A range is being dragged: its number, and its ends now.
    dragged = Signal(int, float, float)
    #: The mouse button went up after a range was dragged.
    dropped = Signal()

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__(napari_viewer, name)
        self.parts: list[RangeArtists] = []
        self.ranges: list[tuple[float, float]] = []
        self._connected: Any = None
        self._held: tuple[int, str, float, tuple[float, float]] | None = None
        self.setToolTip("Drag the ends of a green range, or all of it. Right-click to save")

    def show_with(
        self, ranges: Sequence[tuple[float, float]], drawing: Drawing, height: int
    ) -> None:
        """Draw, with these ranges."""
        self._held, self.ranges = None, list(ranges)
        self.draw(drawing, height)
        assert self.figure is not None
        canvas = self.figure.canvas
        if canvas is not self._connected:
            self._connected = canvas
            canvas.mpl_connect("button_press_event", self._press)
            canvas.mpl_connect("motion_notify_event", self._move)
            canvas.mpl_connect("button_release_event", self._release)

    def move_range(self, number: int, low: float, high: float) -> None:
        """Show other ends of a range."""
        self.ranges[number] = (low, high)
        self.parts[number].move(low, high)
        if self.figure is not None:
            self.figure.canvas.draw_idle()

    def _press(self, event: Any) -> None:
        number = self._number_of(event.inaxes)
        if number is None or event.button != 1:
            return
        axes = event.inaxes
        low, high = self.parts[number].drawn(*self.ranges[number])
        at = event.x
        ends = {end: abs(at - _pixel(axes, x)) for end, x in (("low", low), ("high", high))}
        nearest = min(ends, key=lambda end: ends[end])
        if ends["low"] == ends["high"]:  # both at one place: the one that can go there
            nearest = "low" if event.xdata < low else "high"
        if ends[nearest] <= _REACH:
            self._held = (number, nearest, event.xdata, (low, high))
        elif low < event.xdata < high:
            self._held = (number, "both", event.xdata, (low, high))

    def _move(self, event: Any) -> None:
        if self._held is None:
            return
        number, end, start, (low, high) = self._held
        axes = self.parts[number].axes
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
        return next((k for k, part in enumerate(self.parts) if part.axes is axes), None)


def _pixel(axes: Axes, x: float) -> float:
    return float(axes.transData.transform((x, 0))[0])
