"""Scores of the test share, ROC and precision-recall curve, with a threshold to drag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal

from napari_xfelsort.widgets.range_plot import ACCEPTED, DraggedRanges, RangeArtists
from napari_xfelsort.widgets.train_plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 330
_BINS = 40
#: Names of a curve's columns: along x, along y.
_ROC = ("false_positive_rate", "true_positive_rate")
_PR = ("recall", "precision")


class Scores:
    """What the plot shows.

    Attributes
    ----------
    title : str
        What the score is.
    groups : dict of str to ndarray
        Scores of events by what they are labelled, or whether they are right.
    curves : dict of str to dict
        ROC and precision-recall curve by class; see `curves.class_curves`.
    dragged : bool
        Whether the threshold is a point of the curves: with two classes.
    """

    def __init__(
        self,
        title: str,
        groups: Mapping[str, NDArray[np.float64]],
        curves: Mapping[str, Mapping[str, Any]],
        dragged: bool,
    ) -> None:
        self.title, self.groups = title, dict(groups)
        self.curves = {name: curve for name, curve in curves.items() if curve["roc"]}
        self.dragged = dragged and bool(self.curves)


class ThresholdPlot(DraggedRanges):
    """A threshold, or a band of what is unsure, that is dragged on histogram or curves.

    Without a band both ends of the range are the threshold, and move together.
    """

    #: The threshold, or an end of the band, is elsewhere: low and high.
    moved = Signal(float, float)

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__(napari_viewer, name)
        self.band = False
        self._scores: Scores | None = None
        self._curve: Axes | None = None
        self._line = False
        self._points: dict[Any, tuple[NDArray[np.float64], ...]] = {}
        self._marks: dict[Any, Any] = {}
        self.setToolTip(
            "Drag the green line, or the dot on a curve; with a band both ends of it. "
            "Right-click to save"
        )
        self.dragged.connect(self._dragged)

    def show_scores(self, scores: Scores, low: float, high: float) -> None:
        """Show scores and curves with a threshold, or a band."""
        self._scores, self._curve, self._line = scores, None, False
        self.band = high > low
        self.show_with([(low, high)], self._draw, _HEIGHT)

    def set_ends(self, low: float, high: float) -> None:
        """Show another threshold or band."""
        if self.parts:
            self.move_range(0, low, high)
            self._move_marks()

    def _dragged(self, number: int, low: float, high: float) -> None:
        self._move_marks()
        self.moved.emit(low, high)

    # --- mouse --------------------------------------------------------------------------

    def _press(self, event: Any) -> None:
        if event.button != 1 or event.inaxes is None:
            return
        if event.inaxes in self._marks:
            self._curve = event.inaxes
            self._move(event)
        elif self.parts and event.inaxes is self.parts[0].axes and not self.band:
            self._line = True
            self._move(event)
        else:
            super()._press(event)

    def _move(self, event: Any) -> None:
        if self._curve is not None:
            self._to(self._nearest(self._curve, event.x, event.y))
        elif self._line:
            axes = self.parts[0].axes
            place = axes.transData.inverted().transform((event.x, event.y))[0]
            self._to(float(np.clip(place, 0, 1)))
        else:
            super()._move(event)

    def _to(self, threshold: float) -> None:
        """One line goes there; of a band the nearer end, or all of it by its middle."""
        low, high = self.ranges[0]
        if not self.band:
            low = high = threshold
        elif threshold > (low + high) / 2:
            high = threshold
        else:
            low = threshold
        self.set_ends(low, high)
        self.moved.emit(low, high)

    def _release(self, event: Any) -> None:
        held = self._curve is not None or self._line
        self._curve, self._line = None, False
        if held:
            self.dropped.emit()
        else:
            super()._release(event)

    def _nearest(self, axes: Axes, x: float, y: float) -> float:
        """The threshold of the point of a curve that is nearest to the mouse."""
        across, up, threshold = self._points[axes]
        places = axes.transData.transform(np.stack([across, up], axis=1))
        return float(threshold[np.hypot(places[:, 0] - x, places[:, 1] - y).argmin()])

    # --- drawing ------------------------------------------------------------------------

    def _draw(self, figure: Figure) -> None:
        scores = self._scores
        assert scores is not None
        grid = figure.add_gridspec(2, 2, height_ratios=(2, 3))
        above = figure.add_subplot(grid[0, :])
        _draw_histogram(above, scores)
        part = RangeArtists(above, *self.ranges[0])
        points: dict[Any, tuple[NDArray[np.float64], ...]] = {}
        marks: dict[Any, Any] = {}
        below = ((grid[1, 0], "roc", _ROC), (grid[1, 1], "precision_recall", _PR))
        for place, kind, names in below if scores.curves else ():
            axes = figure.add_subplot(place)
            found = _draw_curves(axes, scores, kind, names)
            if scores.dragged and len(found[2]):
                points[axes] = found
                (marks[axes],) = axes.plot([], [], "o", color=ACCEPTED, markersize=7)
        if figure is not self.figure:  # saved to a file: what is dragged stays on the screen
            _place_marks(points, marks, self.ranges[0])
            return
        self.parts, self._points, self._marks = [part], points, marks
        self._move_marks()

    def _move_marks(self) -> None:
        _place_marks(self._points, self._marks, self.ranges[0])


def _draw_histogram(axes: Axes, scores: Scores) -> None:
    edges = np.linspace(0, 1, _BINS + 1)
    for k, (name, values) in enumerate(scores.groups.items()):
        axes.hist(values, edges, color=COLOURS[k % len(COLOURS)], alpha=0.65, label=name)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(top=1.45 * axes.get_ylim()[1])  # room for the legend
    axes.set_xlabel(scores.title)
    axes.set_ylabel("events")
    axes.legend(loc="upper center", ncols=2)


def _draw_curves(
    axes: Axes, scores: Scores, kind: str, names: tuple[str, str]
) -> tuple[NDArray[np.float64], ...]:
    """Draw a curve for each class; returns the last one's x, y and thresholds."""
    found: tuple[NDArray[np.float64], ...] = (np.empty(0),) * 3
    area = {"roc": "auc", "precision_recall": "average_precision"}[kind]
    for k, (name, curves) in enumerate(scores.curves.items()):
        curve = curves[kind]
        x, y = (np.array(curve[column], np.float64) for column in names)
        told = [np.nan if value is None else value for value in curve["threshold"]]
        threshold = np.array(told, np.float64)
        label = f"{curves[area]:.3f}" if len(scores.curves) == 1 else f"{name} {curves[area]:.3f}"
        axes.plot(x, y, color=COLOURS[k % len(COLOURS)], linewidth=1.4, label=label)
        known = np.isfinite(threshold)
        found = (x[known], y[known], threshold[known])
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.06)
    words = {
        "roc": ("false positives", "found", "area"),
        "precision_recall": ("found (recall)", "precision", "average"),
    }
    across, up, what = words[kind]
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(loc="lower right" if kind == "roc" else "lower left", title=what)
    axes.grid(alpha=0.3)
    return found


def _place_marks(
    points: Mapping[Any, tuple[NDArray[np.float64], ...]],
    marks: Mapping[Any, Any],
    ends: tuple[float, float],
) -> None:
    """Dots where a threshold, or both ends of a band, are on the curves."""
    for axes, mark in marks.items():
        x, y, threshold = points[axes]
        places = [_at(threshold, end) for end in dict.fromkeys(ends)]
        kept = [k for k in places if k is not None]
        mark.set_data(x[kept], y[kept])


def _at(threshold: NDArray[np.float64], value: float) -> int | None:
    """The point of a curve, whose thresholds fall, that decides as a threshold does."""
    reached = np.flatnonzero(threshold >= value)
    return int(reached[-1]) if len(reached) else None
