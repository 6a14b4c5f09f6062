"""The share of a class over time, while files appear."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_xfelsort.core.decisions import FAILED
from napari_xfelsort.core.sorting import HitPoint
from napari_xfelsort.widgets.dock import row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT = 170
#: Moments that get a mark each.
_MARKED = 60


class Moment(NamedTuple):
    """What was decided at a time, and until then; shares are of events that could be read.

    Attributes
    ----------
    time : float
        In seconds since 1970.
    share, so_far : float
        Of the class among the events of this moment, and among all until then.
    """

    time: float
    share: float
    so_far: float


def moments(points: Iterable[HitPoint], name: str) -> list[Moment]:
    """The share of a class at each time at which events were decided on."""
    found: list[Moment] = []
    times: dict[float, list[int]] = {}
    for point in points:
        sums = times.setdefault(point.time, [0, 0])
        sums[0] += point.counts.get(name, 0)
        sums[1] += sum(point.counts.values()) - point.counts.get(FAILED, 0)
    hits = read = 0
    for time, (more_hits, more_read) in times.items():
        if more_read:
            hits, read = hits + more_hits, read + more_read
            found.append(Moment(time, more_hits / more_read, hits / read))
    return found


def draw_course(figure: Figure, course: Sequence[Moment], name: str) -> None:
    """Draw the share of each moment and that of all events until then."""
    axes = figure.add_subplot()
    start = course[0].time if course else 0.0
    span = course[-1].time - start if course else 0.0
    unit, seconds = ("h", 3600) if span > 7200 else ("min", 60) if span > 120 else ("s", 1)
    x = [(moment.time - start) / seconds for moment in course]
    marker = "o" if len(course) <= _MARKED else ""
    axes.plot(
        x,
        [100 * moment.share for moment in course],
        color="#4cc3ff",
        marker=marker,
        markersize=3,
        linewidth=0.8,
        label="of each look",
    )
    axes.plot(
        x,
        [100 * moment.so_far for moment in course],
        color="#ff9f0a",
        marker="o" if len(course) == 1 else "",
        markersize=3,
        linewidth=1.8,
        label="so far",
    )
    axes.set_ylim(-3, 103)
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel(f"{name} (%)")
    axes.grid(alpha=0.4)
    axes.legend(loc="best", frameon=False, ncols=2)


class CoursePanel(QWidget):
    """The plot, and the class that it is about.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme is followed.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._points: tuple[HitPoint, ...] = ()
        self._chosen = ""
        self.course: list[Moment] = []
        self.name = QComboBox()
        self.name.setObjectName("course_class")
        self.name.setToolTip("The class whose share is shown over time")
        needs_focus_for_wheel(self.name)
        self.plot = Plot(napari_viewer, "hit_fraction")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        line = row("Share of", self.name)
        line.setStretch(1, 1)
        column.addLayout(line)
        column.addWidget(self.plot)
        self.name.currentTextChanged.connect(self._draw)
        self.setVisible(False)

    def start(self) -> None:
        """Another watch begins."""
        self._points, self.course = (), []
        self.name.clear()
        self.plot.clear()
        self.setVisible(False)

    def show_points(self, points: tuple[HitPoint, ...], names: Sequence[str], hits: str) -> None:
        """Show what was decided when; ``hits`` is the class shown until one is chosen."""
        if points == self._points or not points:
            return
        self._points = points
        if not self.name.count():
            with QSignalBlocker(self.name):
                self.name.addItems([name for name in names if name != FAILED])
                self.name.setCurrentText(hits)
        self._draw()
        self.setVisible(True)

    def _draw(self, *_: Any) -> None:
        name = self.name.currentText()
        if not (name and self._points):
            return
        self.course = moments(self._points, name)
        self.plot.draw(functools.partial(draw_course, course=self.course, name=name), _HEIGHT)

    def release(self) -> None:
        """Let go of the viewer."""
        self.plot.release()
