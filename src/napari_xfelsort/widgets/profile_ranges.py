"""Accepted ranges of inflection points: dragged or typed, counted at once, browsed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.profiles import RangeCounts, count_ranges, histogram, inside
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.profile_plots import RangePlot

if TYPE_CHECKING:
    from napari_xfelsort.core.profiles import Peak, ProfileTable
    from napari_xfelsort.core.profiles.ranges import Range

#: A histogram shows this many widths of its range to both sides, so that it can be dragged.
_AROUND = 3.0
INSIDE, OUTSIDE, UNDECIDED = "inside", "outside", "undecided"


@dataclass
class _Accepted:
    """One accepted range; its histogram is of the inflection points nearest to ``position``,
    or of all of them (None), over ``span``."""

    position: float | None
    low: float
    high: float
    span: Range = (0.0, 0.0)


class RangePanel(QWidget):
    """Histograms with accepted ranges, and which events are on which side of them.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme the plot follows.
    """

    #: Ranges or the good side were changed, and the mouse let go.
    settled = Signal()
    #: The user wants to see one of these events next: numbers, and which side they are.
    wanted = Signal(object, str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.table: ProfileTable | None = None
        self._accepted: list[_Accepted] = []
        self._sides: NDArray[np.bool_] | None = None
        self._boxes: list[tuple[QDoubleSpinBox, QDoubleSpinBox, QLabel]] = []
        self._build(napari_viewer)

    # --- what is decided ----------------------------------------------------------------

    @property
    def ranges(self) -> list[Range]:
        """The accepted ranges, as they are, not as the boxes round them."""
        return [(a.low, a.high) for a in self._accepted]

    @property
    def good(self) -> str:
        """Which side is taken for good."""
        return INSIDE if self.good_inside.isChecked() else OUTSIDE

    def side_of(self, i: int) -> str:
        """On which side event ``i`` is; empty when nothing was fitted."""
        if self.table is None or self._sides is None or i >= len(self.table):
            return ""
        if not self.table.ok[i]:
            return UNDECIDED
        return INSIDE if self._sides[i] else OUTSIDE

    def show_table(self, table: ProfileTable, peaks: Sequence[Peak]) -> None:
        """Show fits of all events, with the ranges that are proposed."""
        self.table = table
        self._accepted = [_Accepted(p.position, p.low, p.high) for p in peaks]
        if not peaks:
            self._add(table)
        self._lay_out_ranges()

    def clear(self) -> None:
        """Show nothing."""
        self.table = self._sides = None
        self._accepted = []

    # --- ranges -------------------------------------------------------------------------

    def add_range(self) -> None:
        """One more range, over the histogram of all inflection points."""
        if self.table is not None:
            self._add(self.table)
            self._lay_out_ranges()

    def _add(self, table: ProfileTable) -> None:
        low, high = table.domain
        third = (high - low) / 3
        self._accepted.append(_Accepted(None, low + third, high - third))

    def _remove(self) -> None:
        """Take away the range whose button was clicked."""
        if len(self._accepted) > 1:
            del self._accepted[int(self.sender().property("number"))]
            self._lay_out_ranges()

    def _lay_out_ranges(self) -> None:
        """A histogram and a line of boxes for each range."""
        assert self.table is not None
        while self._lines.count():
            widget = self._lines.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        self._boxes = []
        for number, accepted in enumerate(self._accepted):
            accepted.span = _span(accepted, self.table.domain)
            boxes = [_end_box(number, end, self.table) for end in ("low", "high")]
            for box in boxes:
                box.valueChanged.connect(self._typed)
            count = QLabel()
            count.setObjectName(f"range_{number + 1}_count")
            tip = "Decided by the other ranges alone"
            less = button("−", f"range_{number + 1}_remove", tip, self._remove)
            less.setProperty("number", number)
            less.setFixedWidth(28)
            less.setEnabled(len(self._accepted) > 1)
            widgets = (QLabel(f"{number + 1}"), *boxes, count, less)
            for column, widget in enumerate(widgets):
                self._lines.addWidget(widget, number, column)
            self._boxes.append((boxes[0], boxes[1], count))
        self._draw()
        self._show_values()
        self._count()
        self.settled.emit()

    def _draw(self) -> None:
        assert self.table is not None
        counted = [histogram(self.table, a.position, span=a.span) for a in self._accepted]
        self.plot.show_ranges(counted, self.ranges, self.table.unit)

    def _show_values(self) -> None:
        for (low, high, _), accepted in zip(self._boxes, self._accepted, strict=True):
            for box, value in ((low, accepted.low), (high, accepted.high)):
                with QSignalBlocker(box):
                    box.setValue(value)

    def _dragged(self, number: int, low: float, high: float) -> None:
        self._accepted[number].low, self._accepted[number].high = low, high
        self._show_values()
        self._count()

    def _typed(self, value: float) -> None:
        """A box has another value; the other ends stay exactly as they were."""
        box = self.sender()
        number = next(k for k, boxes in enumerate(self._boxes) if box in boxes[:2])
        accepted = self._accepted[number]
        if box is self._boxes[number][0]:
            accepted.low = value
        else:
            accepted.high = value
        if accepted.span[0] <= accepted.low <= accepted.high <= accepted.span[1]:
            self.plot.move_range(number, accepted.low, accepted.high)
        elif accepted.low <= accepted.high and self.table is not None:
            accepted.span = _span(accepted, self.table.domain)
            self._draw()
        self._count()
        self.settled.emit()

    # --- both sides ---------------------------------------------------------------------

    def _count(self, *_: Any) -> None:
        """Count both sides anew, and say in words what is taken for good."""
        if self.table is None:
            return
        try:
            self._sides = inside(self.table, self.ranges)
            counts = count_ranges(self.table, self.ranges)
        except LabelError as error:
            self._sides = None
            self.counts.tell_error(str(error))
            self.meaning.setText("")
            self._enable(RangeCounts(0, 0, 0, ()))
            return
        for (_low, _high, label), n in zip(self._boxes, counts.each, strict=True):
            label.setText(f"{n}")
            label.setToolTip(f"{n} events have an inflection point in this range")
        which = "the range" if len(counts.each) == 1 else "all ranges"
        self.counts.tell(
            f"{counts.inside} events are inside of {which}, {counts.outside} outside, "
            f"{counts.undecided} undecided."
        )
        self.meaning.setText(_meaning(counts, self.good))
        self._enable(counts)

    def _enable(self, counts: RangeCounts) -> None:
        numbers = (counts.inside, counts.outside, counts.undecided)
        for button_, n in zip(self._browse, numbers, strict=True):
            button_.setEnabled(n > 0)

    def _side_chosen(self, checked: bool) -> None:
        if checked:
            self._count()
            self.settled.emit()

    def next_inside(self) -> None:
        """Show the next event that is inside."""
        self._want(INSIDE)

    def next_outside(self) -> None:
        """Show the next event that is outside."""
        self._want(OUTSIDE)

    def next_undecided(self) -> None:
        """Show the next event that cannot be decided."""
        self._want(UNDECIDED)

    def _want(self, side: str) -> None:
        if self.table is None or self._sides is None:
            return
        ok = self.table.ok
        which = {INSIDE: self._sides, OUTSIDE: ok & ~self._sides, UNDECIDED: ~ok}[side]
        self.wanted.emit(np.flatnonzero(which), side)

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.plot = RangePlot(napari_viewer, "inflection_points")
        self.plot.dragged.connect(self._dragged)
        self.plot.dropped.connect(self.settled)
        lines = QWidget()
        self._lines = QGridLayout(lines)
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setColumnStretch(1, 1)
        self._lines.setColumnStretch(2, 1)
        tip = "One more range; an event is inside when it has a point in every range"
        self.add = button("Add range", "add_range", tip, self.add_range)
        self.counts = Message()
        self.counts.setObjectName("side_counts")
        self.good_inside = QRadioButton("good is inside")
        self.good_outside = QRadioButton("good is outside")
        group = QButtonGroup(self)
        for choice, side in ((self.good_inside, INSIDE), (self.good_outside, OUTSIDE)):
            choice.setObjectName(f"good_{side}")
            choice.setToolTip(f"Events {side} of the ranges are taken for good, others for bad")
            choice.toggled.connect(self._side_chosen)
            group.addButton(choice)
        with QSignalBlocker(self.good_inside):
            self.good_inside.setChecked(True)
        self.meaning = QLabel()
        self.meaning.setObjectName("meaning")
        self.meaning.setWordWrap(True)
        self._browse = [
            button(f"Next {side}", f"next_{side}", f"Show the next event that is {side}", act)
            for side, act in (
                (INSIDE, self.next_inside),
                (OUTSIDE, self.next_outside),
                (UNDECIDED, self.next_undecided),
            )
        ]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.plot, lines, self.add, self.counts):
            column.addWidget(widget)
        column.addLayout(row(*self._browse))
        column.addLayout(row(self.good_inside, self.good_outside))
        column.addWidget(self.meaning)


def _meaning(counts: RangeCounts, good: str) -> str:
    """Which side is taken for good, and how many that are."""
    n_good, n_bad = counts.inside, counts.outside
    bad = OUTSIDE
    if good == OUTSIDE:
        n_good, n_bad, bad = n_bad, n_good, INSIDE
    size = "the larger" if n_good > n_bad else "the smaller" if n_good < n_bad else "an equal"
    silent = f"The {counts.undecided} undecided get no label. " if counts.undecided else ""
    return (
        f"Good: the {n_good} events {good}, {size} part. Bad: the {n_bad} events {bad}. "
        f"{silent}Which side is good the data do not say; look at both."
    )


def _span(accepted: _Accepted, domain: Range) -> Range:
    """What the histogram of a range shows: all of the axis, or what is near the range."""
    if accepted.position is None:
        return min(domain[0], accepted.low), max(domain[1], accepted.high)
    around = _AROUND * (accepted.high - accepted.low) or (domain[1] - domain[0]) / 2
    low, high = accepted.low - around, accepted.high + around
    return max(low, min(domain[0], accepted.low)), min(high, max(domain[1], accepted.high))


def _end_box(number: int, end: str, table: ProfileTable) -> QDoubleSpinBox:
    low, high = table.domain
    step = (high - low) / 1000
    box = QDoubleSpinBox()
    box.setObjectName(f"range_{number + 1}_{end}")
    box.setToolTip(f"The {end} end of accepted range {number + 1} ({table.unit}), in it too")
    box.setDecimals(min(12, max(1, 1 - math.floor(math.log10(step)))))
    box.setRange(low - (high - low), high + (high - low))
    box.setSingleStep(step)
    box.setKeyboardTracking(False)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    needs_focus_for_wheel(box)
    return box
