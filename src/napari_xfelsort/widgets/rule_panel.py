"""The range of a rule: dragged or typed, counted at once, and what both its sides get."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.event_scores import ScoreSides, score_sides
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_journal import IGNORE
from napari_xfelsort.core.label_rules import LabelRule
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.rule_histogram import ScoreHistogram, ScoreScale

if TYPE_CHECKING:
    from collections.abc import Callable

INSIDE, OUTSIDE, WITHOUT = "inside", "outside", "without a number"
#: No label, as the user reads it.
NOTHING = "nothing"
_LARGEST = 1e18
#: Decimals that may be typed beyond those of a dragged end.
_FINER = 3


class RulePanel(QWidget):
    """A histogram with a range, its ends to type, both sides counted, and their classes.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme the plot follows.

    Attributes
    ----------
    values : ndarray of float, shape (events,), or None
        The number of each event.
    low, high : float
        The range; infinite for no end.
    """

    #: Range or classes were changed.
    changed = Signal()
    #: The user wants to see one of these events next: numbers, and which side they are.
    wanted = Signal(object, str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.values: NDArray[np.float64] | None = None
        self.low, self.high = -math.inf, math.inf
        self._scale = ScoreScale(np.empty(0))
        self._sides: ScoreSides | None = None
        self._what = ""
        self._build(napari_viewer)
        self.show_classes(ClassSet())

    # --- numbers ------------------------------------------------------------------------

    def show_scores(self, values: NDArray[np.float64], what: str) -> None:
        """Show other numbers; the range stays if they are of the same kind.

        Else it is from the median on, for something to drag.
        """
        same = what == self._what
        self.values, self._what = values, what
        self._scale = ScoreScale(values)
        known = values[np.isfinite(values)]
        if not same:
            middle = float(np.median(known)) if len(known) else -math.inf
            self.low = math.ceil(middle) if self._scale.whole else middle
            self.high = math.inf
        for box in (self._low, self._high):
            with QSignalBlocker(box):
                box.setDecimals(0 if self._scale.whole else self._scale.decimals + _FINER)
                box.setSingleStep(self._scale.step)
        if len(known):
            for box, value in ((self._low, known.min()), (self._high, known.max())):
                with QSignalBlocker(box):
                    box.setValue(float(value))
        if not same and math.isfinite(self.low):
            self.low = round(self.low, self._scale.decimals)
        self._draw()
        self._show_ends()
        self._count()

    def clear(self) -> None:
        """Show nothing, and forget the range."""
        self.values = self._sides = None
        self._what = ""
        self.histogram.clear()

    def side_of(self, i: int) -> str:
        """On which side event ``i`` is; empty when that is not known."""
        if self._sides is None or self.values is None or not 0 <= i < len(self.values):
            return ""
        if self._sides.without[i]:
            return WITHOUT
        return INSIDE if self._sides.inside[i] else OUTSIDE

    def _draw(self) -> None:
        assert self.values is not None
        for end in (self.low, self.high):
            self._scale = self._scale.with_place_for(end)
        self.histogram.show_scores(self.values, self._scale, (self.low, self.high), self._what)

    # --- the range ----------------------------------------------------------------------

    def _show_ends(self) -> None:
        for has, box, end in (
            (self._has_low, self._low, self.low),
            (self._has_high, self._high, self.high),
        ):
            with QSignalBlocker(has), QSignalBlocker(box):
                has.setChecked(math.isfinite(end))
                box.setEnabled(math.isfinite(end))
                if math.isfinite(end):
                    box.setValue(end)

    def _dragged(self, _: int, low: float, high: float) -> None:
        self.low, self.high = self._scale.dragged(low, high)
        self.histogram.move_range(0, *self._scale.drawn(self.low, self.high))
        self._show_ends()
        self._count()

    def _typed(self, *_: Any) -> None:
        """A box has another value, or an end is to be or not; the other stays as it was."""
        sender = self.sender()
        if sender in (self._low, self._has_low):
            self.low = self._low.value() if self._has_low.isChecked() else -math.inf
        else:
            self.high = self._high.value() if self._has_high.isChecked() else math.inf
        self._show_ends()
        if self.values is not None and self.low <= self.high:
            if self._scale.holds(self.low) and self._scale.holds(self.high):
                self.histogram.move_range(0, *self._scale.drawn(self.low, self.high))
            else:
                self._draw()
        self._count()

    def _count(self) -> None:
        if self.values is None:
            return
        if not self.low <= self.high:
            self._sides = None
            self.counts.tell_error(f"The range {self.low:g} to {self.high:g} is empty.")
        else:
            self._sides = score_sides(self.values, self.low, self.high)
        numbers = [0, 0, 0] if self._sides is None else [int(s.sum()) for s in self._sides]
        if self._sides is not None:
            without = f", {numbers[2]} without a number" if numbers[2] else ""
            self.counts.tell(f"{n_events(numbers[0])} inside, {numbers[1]} outside{without}.")
        for browse, n in zip(self._browse, numbers, strict=True):
            browse.setEnabled(bool(n))
        self.changed.emit()

    # --- both sides ---------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, str]:
        """Label of events inside and outside; empty for none."""
        return self._inside.currentData(), self._outside.currentData()

    def rule(self, name: str, what: str) -> LabelRule:
        """The rule as it was entered.

        Raises
        ------
        LabelError
            If its range is empty, its name cannot be part of a file name, or no side gets
            a label.
        """
        return LabelRule(name, self.low, self.high, *self.labels, what)

    def show_classes(self, classes: ClassSet) -> None:
        """Offer these classes; those that were chosen stay if they are among them."""
        names = [*classes.names, IGNORE]
        first = (names[0], names[1] if len(names) > 2 else "")
        for box, default in zip((self._inside, self._outside), first, strict=True):
            chosen = box.currentData() if box.count() else default
            with QSignalBlocker(box):
                box.clear()
                for name in names:
                    box.addItem(name, name)
                box.addItem(NOTHING, "")
                place = box.findData(chosen)
                box.setCurrentIndex(place if place >= 0 else box.findData(default))
        self._classes_chosen()

    def swap(self) -> None:
        """Events inside get what those outside got, and the other way round."""
        places = self._inside.currentIndex(), self._outside.currentIndex()
        for box, place in zip((self._outside, self._inside), places, strict=True):
            with QSignalBlocker(box):
                box.setCurrentIndex(place)
        self._classes_chosen()

    def _classes_chosen(self, *_: Any) -> None:
        self.changed.emit()

    def next_inside(self) -> None:
        """Show the next event that is inside."""
        self._want(INSIDE)

    def next_outside(self) -> None:
        """Show the next event that is outside."""
        self._want(OUTSIDE)

    def next_without(self) -> None:
        """Show the next event that has no number."""
        self._want(WITHOUT)

    def _want(self, side: str) -> None:
        if self._sides is not None:
            which = dict(zip((INSIDE, OUTSIDE, WITHOUT), self._sides, strict=True))[side]
            self.wanted.emit(np.flatnonzero(which), side)

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.histogram = ScoreHistogram(napari_viewer, "rule_histogram")
        self.histogram.dragged.connect(self._dragged)
        self.log = QCheckBox("log counts")
        self.log.setObjectName("log_counts")
        self.log.setToolTip("Count on a logarithmic axis, to see few events beside many")
        self.log.toggled.connect(self.histogram.set_log)
        self._has_low, self._low = self._end("low", "from")
        self._has_high, self._high = self._end("high", "to")
        self.counts = Message()
        self.counts.setObjectName("side_counts")
        tips = {
            "inside": ("Next inside", self.next_inside),
            "outside": ("Next outside", self.next_outside),
            "without": ("Next without", self.next_without),
        }
        self._browse = [_next_button(name, *made) for name, made in tips.items()]
        self._inside, self._outside = self._class_box(INSIDE), self._class_box(OUTSIDE)
        tip = "Events inside get what those outside got, and the other way round"
        swap = button("⇄", "swap", tip, self.swap)
        swap.setFixedWidth(30)
        self._lay_out(swap)

    def _lay_out(self, swap: QWidget) -> None:
        ends = QHBoxLayout()
        for widget in (self._has_low, self._low, self._has_high, self._high):
            ends.addWidget(widget, 1 if isinstance(widget, QDoubleSpinBox) else 0)
        classes = QGridLayout()
        classes.setColumnStretch(1, 1)
        for line, (text, box) in enumerate(
            (("Inside gets", self._inside), ("Outside gets", self._outside))
        ):
            classes.addWidget(QLabel(text), line, 0)
            classes.addWidget(box, line, 1)
        classes.addWidget(swap, 0, 2, 2, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.histogram)
        column.addWidget(self.log)
        column.addLayout(ends)
        column.addWidget(self.counts)
        column.addLayout(row(*self._browse))
        column.addLayout(classes)

    def _end(self, name: str, text: str) -> tuple[QCheckBox, QDoubleSpinBox]:
        has = QCheckBox(text)
        has.setObjectName(f"has_{name}")
        has.setToolTip(f"Whether the range has a {name} end")
        has.toggled.connect(self._typed)
        box = _EndBox()
        box.setObjectName(name)
        box.setToolTip(f"The {name} end of the range, in it too")
        box.setRange(-_LARGEST, _LARGEST)
        box.setKeyboardTracking(False)
        box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setMinimumWidth(70)
        box.valueChanged.connect(self._typed)
        needs_focus_for_wheel(box)
        return has, box

    def _class_box(self, side: str) -> QComboBox:
        box = QComboBox()
        box.setObjectName(f"{side}_class")
        box.setToolTip(f"Label of events {side} the range")
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.currentIndexChanged.connect(self._classes_chosen)
        needs_focus_for_wheel(box)
        return box


def n_events(n: int) -> str:
    """A number of events in words."""
    return f"{n} event{'s' * (n != 1)}"


class _EndBox(QDoubleSpinBox):
    """A number without the noughts at its end."""

    def textFromValue(self, value: float) -> str:
        text, point = super().textFromValue(value), self.locale().decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text


def _next_button(name: str, text: str, clicked: Callable[[], None]) -> QPushButton:
    tip = "that has no number" if name == "without" else f"that is {name} the range"
    return button(text, f"next_{name}", f"Show the next event {tip}", clicked)
