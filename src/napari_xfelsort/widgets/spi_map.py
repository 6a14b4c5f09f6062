"""A map of events in two dimensions in the SPI dock: a lasso makes a selection."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout

from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.spi_tab import EventsBox, Numbers, Selections, SpiTab
from napari_xfelsort.widgets.workers import Job, Report, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What makes the map; the tab is left out where it is not there.
MODULE = "napari_xfelsort.core.spi.embedding"
_METHODS = {"diffusion map": "diffusion", "principal components": "pca"}
_POINT, _INSIDE, _HERE = "#5aa9e6", "#ff9f0a", "#f2483a"
#: Pixels of the screen.
_HEIGHT = 290
#: Fewest corners of a lasso; with fewer it was a click.
_CORNERS = 4


def is_there() -> bool:
    """Whether maps can be made."""
    return importlib.util.find_spec(MODULE) is not None


def mapping(stack: EventStack, method: str, report: Report) -> NDArray[np.float64]:
    """Work: places of events; NaN for those without one."""
    module: Any = importlib.import_module(MODULE)
    features = module.run_features(stack, progress=counted(report))
    places = module.embed_features(features, method)
    return np.asarray(places, np.float64)


class MapPlot(Plot):
    """Points, a lasso around some of them; a click goes to the nearest.

    Attributes
    ----------
    inside : ndarray of bool, shape (events,)
        Which points are in the lasso.
    """

    #: The lasso was closed.
    drawn = Signal()
    #: A point was clicked: its row.
    clicked = Signal(int)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "event_map")
        self.setToolTip("Draw around events to choose them; click one to see it")
        self.places = np.zeros((0, 2))
        self.inside = np.zeros(0, bool)
        self._here: int | None = None
        self._corners: list[tuple[float, float]] = []
        self._line: Any = None
        self._axes: Any = None
        self._connected: Any = None

    def show_places(self, places: NDArray[np.float64]) -> None:
        """Draw points; none is inside."""
        self.places, self.inside = places, np.zeros(len(places), bool)
        self._corners = []
        if not np.isfinite(places).all(axis=1).any():
            self.clear()
            return
        self.draw(self._draw, _HEIGHT)
        assert self.figure is not None
        canvas = self.figure.canvas
        if canvas is not self._connected:
            self._connected = canvas
            canvas.mpl_connect("button_press_event", self._press)
            canvas.mpl_connect("motion_notify_event", self._move)
            canvas.mpl_connect("button_release_event", self._release)

    def mark(self, row_number: int | None) -> None:
        """Mark the event that is shown."""
        if row_number != self._here:
            self._here = row_number
            if len(self.places):
                self._redraw()

    def _draw(self, figure: Figure) -> None:
        axes = figure.subplots()
        colours = np.where(self.inside, _INSIDE, _POINT)
        axes.scatter(*self.places.T, s=7, c=colours.tolist(), linewidths=0)
        if self._here is not None:
            axes.scatter(*self.places[[self._here]].T, s=60, facecolors="none", edgecolors=_HERE)
        axes.set_xticks([])
        axes.set_yticks([])
        if figure is self.figure:  # not when a picture is saved
            self._axes, self._line = axes, None

    def _press(self, event: Any) -> None:
        if event.button == 1 and event.inaxes is not None:
            self._corners = [(event.xdata, event.ydata)]

    def _move(self, event: Any) -> None:
        if not self._corners or event.inaxes is None:
            return
        self._corners.append((event.xdata, event.ydata))
        if self._line is None:
            (self._line,) = self._axes.plot([], [], color=_INSIDE, linewidth=1)
        self._line.set_data(*zip(*self._corners, strict=True))
        if self.figure is not None:
            self.figure.canvas.draw_idle()

    def _release(self, event: Any) -> None:
        corners, self._corners = self._corners, []
        if not corners:
            return
        if len(corners) < _CORNERS:
            self._click(event)
            return
        from matplotlib.path import Path

        known = np.isfinite(self.places).all(axis=1)
        self.inside = np.zeros(len(self.places), bool)
        self.inside[known] = Path(corners).contains_points(self.places[known])
        self._redraw()
        self.drawn.emit()

    def _click(self, event: Any) -> None:
        shown = self._axes.transData.transform(self.places)
        away = np.hypot(shown[:, 0] - event.x, shown[:, 1] - event.y)
        if np.isfinite(away).any() and np.nanmin(away) < 12:
            self.clicked.emit(int(np.nanargmin(away)))


class MapTab(SpiTab):
    """Makes a map without labels, and selections of what was drawn around.

    Attributes
    ----------
    numbers : ndarray of int
        Which events of the run are on the map.
    """

    def __init__(self, napari_viewer: Any, selections: Selections) -> None:
        super().__init__(selections)
        self.numbers: Numbers = np.zeros(0, np.int64)
        self._event: int | None = None
        self._build(napari_viewer)
        self.forget()

    def forget(self) -> None:
        """Forget the map."""
        self.numbers = np.zeros(0, np.int64)
        self.plot.show_places(np.zeros((0, 2)))
        self._count()
        self.set_busy(False)

    def release(self) -> None:
        """Let go of the viewer."""
        self.plot.release()

    def set_busy(self, busy: bool) -> None:
        """Maps are made once at a time."""
        self.find_button.setEnabled(not busy and self.stack is not None)

    def find(self) -> None:
        """Make the map."""
        numbers = self.events_of(self.events)
        if self.stack is None or numbers is None:
            return
        method = _METHODS[self.method.currentText()]
        work = functools.partial(mapping, self.stack.subset(numbers), method)
        job = Job("a map of events", work)
        job.succeeded.connect(functools.partial(self._take, self.stack, numbers))
        self.job_wanted.emit(job, "Reading events…")

    def _take(self, stack: EventStack, numbers: Numbers, places: NDArray[np.float64]) -> None:
        if stack is not self.stack:
            return
        self.numbers = numbers
        self.plot.show_places(places)
        self.show_event(self._event)
        self._count()

    def show_event(self, event: int | None) -> None:
        """Mark the event on the map."""
        self._event = event
        places = np.flatnonzero(self.numbers == event)
        self.plot.mark(int(places[0]) if len(places) else None)

    def _count(self) -> None:
        there, n = len(self.plot.places), int(self.plot.inside.sum())
        text = f"{n} of {there} events are inside." if n else "Draw around events to choose them."
        self.count.tell(text if there else "")
        for each in self._with_events:
            each.setEnabled(n > 0)

    def _chosen(self) -> Numbers:
        return np.sort(self.numbers[self.plot.inside])

    def _to_selection(self) -> None:
        self.keep("drawn around", self._chosen(), "drawn around on the map")

    def _next(self) -> None:
        self.browsed.emit(self._chosen())

    def _clicked(self, row_number: int) -> None:
        self.browsed.emit(self.numbers[[row_number]])

    def _build(self, napari_viewer: Any) -> None:
        self.events = EventsBox(self.selections, "map_events", "Which events are on the map")
        self.method = QComboBox()
        self.method.setObjectName("map_method")
        self.method.addItems(list(_METHODS))
        self.method.setToolTip("How events that are alike are brought together")
        needs_focus_for_wheel(self.method)
        tip = "Read the events and lay them out by how alike they are; no labels are needed"
        self.find_button = button("Make map", "make_map", tip, self.find)
        self.plot = MapPlot(napari_viewer)
        self.plot.drawn.connect(self._count)
        self.plot.clicked.connect(self._clicked)
        self.plot.told.connect(self.told)
        self.count = Message()
        self.count.setObjectName("map_count")
        tip = "Keep the events inside as a selection"
        keep = button("To selection", "keep_drawn", tip, self._to_selection)
        browse = button("Next inside", "next_drawn", "Show the next event inside", self._next)
        self._with_events = (keep, browse)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Events", self.events)
        form.addRow("Map", self.method)
        self.column.addLayout(form)
        for widget in (self.find_button, self.plot, self.count):
            self.column.addWidget(widget)
        self.column.addLayout(row(keep, browse))
        self.column.addStretch()
