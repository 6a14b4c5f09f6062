"""Plots of peaks: signal to noise and distance from the beam, and a run's hit rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal

from napari_xfelsort.core.peaks.comparing import HitCourse, hit_course
from napari_xfelsort.widgets.plot import Plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_xfelsort.core.peaks import PeakList

_BARS, _RATE, _HERE = "#4cc3ff", "#ff9f0a", "#3fae5a"
_BINS = 24
#: The axis is logarithmic where values differ by more than this factor.
_LONG = 8.0
#: Pixels of the screen.
_SPREAD_HEIGHT, _COURSE_HEIGHT = 135, 190
#: Milliseconds from a step to the mark at the event.
_DELAY = 60


class SpreadPlot(Plot):
    """How many peaks have which signal to noise, and are how far from the beam."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "peak_spread")
        self._snr: NDArray[np.float64] = np.zeros(0)
        self._radius: NDArray[np.float64] = np.zeros(0)

    def show_peaks(self, lists: Sequence[PeakList]) -> None:
        """Draw the peaks of one or of many events; nothing where there is none."""
        self._snr = np.concatenate([np.zeros(0), *(peaks.snr for peaks in lists)])
        radius = np.concatenate([np.zeros(0), *(peaks.radius for peaks in lists)])
        self._radius = radius[np.isfinite(radius)]
        if len(self._snr):
            self.draw(self._draw, _SPREAD_HEIGHT)
        else:
            self.clear()

    def _draw(self, figure: Figure) -> None:
        known = bool(len(self._radius))
        places = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
        _histogram(places[0], self._snr, "signal to noise")
        places[0].set_ylabel("peaks")
        if known:
            _histogram(places[1], self._radius, "pixels from the beam", start=0.0)


def _histogram(
    axes: Axes, values: NDArray[np.float64], what: str, start: float | None = None
) -> None:
    first = float(values.min()) if start is None else start
    last = max(float(values.max()), first + 1e-6)
    if first > 0 and last > _LONG * first:
        axes.hist(values, bins=np.geomspace(first, last, _BINS + 1).tolist(), color=_BARS)
        axes.set_xscale("log")
    else:
        axes.hist(values, bins=_BINS, range=(first, last), color=_BARS)
        axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(what)
    axes.locator_params(axis="y", nbins=4, integer=True)


class HitPlot(Plot):
    """Peaks and hit rate over a run; a click goes to an event."""

    #: An event to show.
    clicked = Signal(int)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "hit_rate")
        self.setToolTip("Click to see an event. Right-click to save the picture")
        self.counts: NDArray[np.float64] = np.zeros(0)
        self._min_peaks = 1
        self._event: int | None = None
        self._mark: Any = None
        self._connected: Any = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DELAY)
        self._soon.timeout.connect(self._move_mark)

    def show_counts(self, counts: NDArray[np.float64], min_peaks: int) -> None:
        """Draw the peaks of each event, NaN where not known, and the rate of hits.

        Parameters
        ----------
        counts : ndarray, shape (events,)
        min_peaks : int
            Events with so many are hits.
        """
        self.counts, self._min_peaks = counts, min_peaks
        if not np.isfinite(counts).any():
            self._mark = None
            self.clear()
            return
        self.draw(self._draw, _COURSE_HEIGHT)
        assert self.figure is not None
        canvas = self.figure.canvas
        if canvas is not self._connected:
            self._connected = canvas
            canvas.mpl_connect("button_press_event", self._press)

    def show_event(self, event: int | None) -> None:
        """Mark the event that is shown."""
        self._event = event
        self._soon.start()

    def release(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        super().release()

    def event_at(self, x: float) -> int | None:
        """The event near a place of the axis that has most peaks; None without any."""
        if not np.isfinite(self.counts).any():
            return None
        course = self._course()
        known = np.flatnonzero(np.isfinite(course.most))
        middle = (course.ends[:-1] + course.ends[1:]) / 2
        column = known[np.abs(middle[known] - x).argmin()]
        low, high = course.ends[column], course.ends[column + 1]
        return int(low + np.nanargmax(self.counts[low:high]))

    def _course(self) -> HitCourse:
        return hit_course(self.counts, self._min_peaks)

    def _draw(self, figure: Figure) -> None:
        course = self._course()
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        middle = (course.ends[:-1] + course.ends[1:]) / 2
        upper.plot(middle, 100 * course.rate, color=_RATE, linewidth=1.6)
        upper.set_ylim(-4, 104)
        upper.set_ylabel("hits (%)")
        upper.grid(alpha=0.4)
        lower.stairs(np.nan_to_num(course.most), course.ends, fill=True, color=_BARS)
        lower.axhline(self._min_peaks, linewidth=0.8, linestyle=(0, (4, 3)), color="#d06a6a")
        lower.set_ylim(0, 1.1 * max(1.0, self._min_peaks, float(np.nanmax(course.most))))
        lower.set_ylabel("peaks")
        lower.set_xlabel("event")
        lower.set_xlim(0, max(1, len(self.counts)))
        lower.locator_params(axis="y", nbins=4, integer=True)
        marks = [
            axes.axvline(
                0 if self._event is None else self._event + 0.5,
                color=_HERE,
                linewidth=1.2,
                visible=self._event is not None,
            )
            for axes in (upper, lower)
        ]
        if figure is self.figure:  # not when a picture is saved
            self._mark = marks

    def _move_mark(self) -> None:
        if self._mark is None or self.figure is None or self.isHidden():
            return
        for line in self._mark:
            line.set_visible(self._event is not None)
            if self._event is not None:
                line.set_xdata([self._event + 0.5] * 2)
        self.figure.canvas.draw_idle()

    def _press(self, event: Any) -> None:
        if event.inaxes is None or event.button != 1:
            return
        found = self.event_at(float(event.xdata))
        if found is not None:
            self.clicked.emit(found)
