"""The course of each anomaly over a run: a line of peaks for each, quick for long runs too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal

from napari_xfelsort.widgets.anomaly_bars import HAS, HAS_NOT, title_of
from napari_xfelsort.widgets.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns that longer runs are drawn in, and from how many events on there is a mean.
COLUMNS, _MEAN_FROM = 320, 100
#: Share of the run that the running mean is over.
_WINDOW = 50
#: Pixels of the screen for a line, and for the axis.
_LINE, _AXIS = 42, 36
#: Part of a line that a probability of 1 fills.
_FULL = 0.6
#: Milliseconds from a step to the mark at the event.
_DELAY = 60


class Course(NamedTuple):
    """One anomaly over the columns of the plot.

    Attributes
    ----------
    ends : ndarray of int64, shape (columns + 1,)
        First event of each column, and the number of events.
    highest : ndarray, shape (columns,)
        Largest probability of each; NaN where none is known.
    mean : ndarray, shape (columns,)
        Running mean; NaN where not known, or where the run is short.
    """

    ends: NDArray[np.int64]
    highest: NDArray[np.float64]
    mean: NDArray[np.float64]


def course_of(values: NDArray[np.float64], columns: int = COLUMNS) -> Course:
    """The probabilities of one anomaly, drawn together where there are more than columns."""
    n = len(values)
    ends = np.linspace(0, n, min(n, columns) + 1).astype(np.int64)
    starts = ends[:-1]
    if not n:
        return Course(ends, np.zeros(0), np.zeros(0))
    highest = np.fmax.reduceat(values, starts)
    if n < _MEAN_FROM:
        return Course(ends, highest, np.full(len(starts), np.nan))
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    reach = max(1, len(starts) // _WINDOW)
    total = np.convolve(sums, np.ones(2 * reach + 1), mode="same")
    of = np.convolve(counts, np.ones(2 * reach + 1), mode="same")
    mean = np.divide(total, of, out=np.full(len(starts), np.nan), where=of > 0)
    return Course(ends, highest, mean)


class CoursePlot(Plot):
    """A line for each anomaly; a click goes to an event.

    Attributes
    ----------
    names : tuple of str
        The anomalies, from the top.
    """

    #: An anomaly was clicked at, and an event to show.
    clicked = Signal(str, int)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "anomaly_course")
        self.setToolTip("Click to see the event that has it most nearby. Right-click to save")
        self.names: tuple[str, ...] = ()
        self._thresholds: NDArray[np.float64] = np.zeros(0)
        self._values: NDArray[np.float64] = np.zeros((0, 0))
        self._chosen = ""
        self._event: int | None = None
        self._mark: Any = None
        self._connected: Any = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DELAY)
        self._soon.timeout.connect(self._move_mark)

    def show_run(
        self,
        names: Sequence[str],
        thresholds: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> None:
        """Show these probabilities (events, classes); they may still change.

        Parameters
        ----------
        names : sequence of str
        thresholds : ndarray, shape (classes,)
        values : ndarray, shape (events, classes)
            NaN where not known.
        """
        self.names, self._thresholds, self._values = tuple(names), thresholds, values
        self.redraw()

    def choose(self, name: str) -> None:
        """Make one line stand out."""
        if name != self._chosen:
            self._chosen = name
            self.redraw()

    def show_event(self, event: int | None) -> None:
        """Mark the event that is shown."""
        if event != self._event:
            self._event = event
            self._soon.start()

    def redraw(self) -> None:
        """Draw what is known now."""
        if not self.names or not len(self._values):
            self.clear()
            return
        self.draw(self._draw, _LINE * len(self.names) + _AXIS)
        assert self.figure is not None
        canvas = self.figure.canvas
        if canvas is not self._connected:
            self._connected = canvas
            canvas.mpl_connect("button_press_event", self._press)

    def release(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        super().release()

    def event_at(self, name: str, x: float) -> int | None:
        """The event near a place of the axis that has an anomaly most; None without any."""
        values = self._values[:, self.names.index(name)]
        ends = course_of(values).ends
        column = int(np.clip(np.searchsorted(ends, x, side="right") - 1, 0, len(ends) - 2))
        if len(values) <= COLUMNS:
            known = np.flatnonzero(np.isfinite(values))
            return int(known[np.abs(known + 0.5 - x).argmin()]) if len(known) else None
        for reach in (0, 1, 2):
            low = ends[max(column - reach, 0)]
            part = values[low : ends[min(column + reach + 1, len(ends) - 1)]]
            if np.isfinite(part).any():
                return int(low + np.nanargmax(part))
        return None

    def _draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        n = len(self._values)
        for k, name in enumerate(self.names):
            course = course_of(self._values[:, k])
            floor, own = -k - 1.0, name == self._chosen
            colour = HAS if own else HAS_NOT
            axes.stairs(
                floor + _FULL * np.nan_to_num(course.highest),
                course.ends,
                baseline=floor,
                fill=True,
                color=colour,
                alpha=0.9 if own else 0.65,
                linewidth=0,
            )
            middle = (course.ends[:-1] + course.ends[1:]) / 2
            axes.plot(middle, floor + _FULL * course.mean, color="#ffffff", linewidth=2.2)
            axes.plot(middle, floor + _FULL * course.mean, color="#303030", linewidth=1.2)
            axes.axhline(floor, linewidth=0.5, color=axes.spines["left"].get_edgecolor())
            level = floor + _FULL * float(np.clip(self._thresholds[k], 0, 1))
            axes.axhline(level, linewidth=0.8, linestyle=(0, (4, 3)), color="#d06a6a")
            weight = "bold" if own else "normal"
            axes.text(
                0.004 * n,
                floor + _FULL + 0.03,
                title_of(name),
                va="bottom",
                weight=weight,
                size=7.5,
            )
        self._mark = axes.axvline(
            0 if self._event is None else self._event + 0.5,
            color="#3fae5a",
            linewidth=1.2,
            visible=self._event is not None,
        )
        axes.set_xlim(0, n)
        axes.set_ylim(-len(self.names) - 0.02, 0.02)
        axes.set_yticks([])
        axes.set_xlabel("event")
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)

    def _move_mark(self) -> None:
        if self._mark is None or self.figure is None or self.isHidden():
            return
        self._mark.set_visible(self._event is not None)
        if self._event is not None:
            self._mark.set_xdata([self._event + 0.5] * 2)
        self.figure.canvas.draw_idle()

    def _press(self, event: Any) -> None:
        if event.inaxes is None or event.button != 1 or not self.names:
            return
        name = self.names[int(np.clip(-event.ydata, 0, len(self.names) - 1e-6))]
        found = self.event_at(name, float(event.xdata))
        if found is not None:
            self.clicked.emit(name, found)
