"""The histogram of a number of each event, with the range of a rule to drag."""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.event_scores import score_histogram
from napari_xfelsort.widgets.range_plot import (
    AXIS_HEIGHT,
    BARS,
    DraggedRanges,
    RangeArtists,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    #: Both ends of a range.
    Range = tuple[float, float]

#: Pixels of the screen for the bars.
_HEIGHT = 130
#: Of the line at the event that is shown.
_HERE = "#f2483a"
#: Beyond the first and the last number, as a part of their distance.
_MARGIN = 0.04
#: Finest step of a dragged end, as a part of that distance.
_STEP = 1e-4


class ScoreScale:
    """How numbers are shown: over which axis, in which steps they are dragged and typed.

    Attributes
    ----------
    whole : bool
        Whether all are whole numbers; a bar then is a number, and ends lie between bars.
    decimals : int
        After the point, of a number that is dragged.
    first, last : float
        Ends of the axis.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        self.whole = bool(len(known)) and bool((known == np.rint(known)).all())
        span = high - low or max(abs(low), 1.0) * (0.0 if self.whole else 0.1)
        margin = max(span * _MARGIN, 0.5 * self.whole) or 0.5
        self.first, self.last = low - 2 * margin, high + 2 * margin
        step = (self.last - self.first) * _STEP
        self.decimals = 0 if self.whole else min(15, max(0, math.ceil(-math.log10(step))))

    @property
    def step(self) -> float:
        """A fine step of a number that is typed."""
        return 1.0 if self.whole else 10.0**-self.decimals * 100

    def drawn(self, low: float, high: float) -> Range:
        """Where ends are drawn, so that what is in the range is between them."""
        half = 0.5 * self.whole
        return low - half, high + half

    def dragged(self, low: float, high: float) -> Range:
        """What ends mean that were dragged to these places; at the axis's end there is none."""
        half = 0.5 * self.whole
        start = -math.inf if low <= self.first else round(low + half, self.decimals)
        end = math.inf if high >= self.last else round(high - half, self.decimals)
        return (start, end) if start <= end else (start, start)

    def with_place_for(self, end: float) -> ScoreScale:
        """This scale, its axis longer if an end would not be on it."""
        if self.holds(end):
            return self
        longer = copy.copy(self)
        margin = _MARGIN * abs(end - (self.first if end < self.first else self.last))
        margin = max(margin, 1.0 * self.whole)
        longer.first, longer.last = min(self.first, end - margin), max(self.last, end + margin)
        return longer

    def holds(self, value: float) -> bool:
        """Whether an end is on the axis, or there is none."""
        return math.isinf(value) or self.first <= value <= self.last


class ScoreHistogram(DraggedRanges):
    """A histogram with one range, and a mark at the event that is shown."""

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__(napari_viewer, name)
        self._log = False
        self._here = math.nan
        self._mark: Any = None
        self._shown: tuple[NDArray[np.float64], ScoreScale, str] | None = None
        self.setToolTip(
            "Drag the ends of the green range, or all of it; dragged to the end of the axis "
            "there is no limit. Right-click to save"
        )

    def show_scores(
        self, values: NDArray[np.float64], scale: ScoreScale, accepted: Range, what: str
    ) -> None:
        """Draw the histogram of these numbers."""
        self._shown = (values, scale, what)
        drawing = functools.partial(
            self._draw, counted=score_histogram(values), scale=scale, what=what
        )
        self.show_with([scale.drawn(*accepted)], drawing, _HEIGHT + AXIS_HEIGHT)

    def set_log(self, log: bool) -> None:
        """Count on a logarithmic axis, or not."""
        self._log = log
        if self._shown is not None and self.ranges:
            self._redraw()

    def mark(self, value: float) -> None:
        """Mark the number of the event that is shown; NaN for none."""
        self._here = value
        if self._mark is not None and self.figure is not None:
            self._mark.set_xdata([value, value])
            self._mark.set_visible(math.isfinite(value))
            self.figure.canvas.draw_idle()

    def clear(self) -> None:
        """Show nothing."""
        super().clear()
        self._shown = self._mark = None
        self.ranges, self.parts = [], []

    def _draw(
        self,
        figure: Figure,
        counted: tuple[NDArray[np.int64], NDArray[np.float64]],
        scale: ScoreScale,
        what: str,
    ) -> None:
        axes = figure.subplots()
        counts, edges = counted
        bottom = 0.5 if self._log else 0.0
        # A bar of no event would go below the end of a logarithmic axis.
        axes.stairs(np.maximum(counts, bottom), edges, baseline=bottom, fill=True, color=BARS)
        axes.set_xlim(scale.first, scale.last)
        if self._log:
            axes.set_yscale("log")
            axes.set_ylim(bottom, max(1, counts.max()) * 2)
        else:
            axes.locator_params(axis="y", nbins=4, integer=True)
        axes.locator_params(axis="x", nbins=5)
        part = RangeArtists(axes, *self.ranges[0])
        here = self._here
        mark = axes.axvline(
            here if math.isfinite(here) else scale.first,
            color=_HERE,
            linewidth=1.4,
            linestyle="--",
        )
        mark.set_visible(math.isfinite(here))
        axes.set_ylabel("events")
        axes.set_xlabel(what)
        if figure is self.figure:  # not when a picture is saved
            self.parts, self._mark = [part], mark
