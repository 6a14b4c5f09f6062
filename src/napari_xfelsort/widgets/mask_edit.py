"""The page of the Mask dock on which a mask is edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QShortcut,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.edits import Edit, Grow, Invert, Mirror, Shrink
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.mask_drawing import MODES, PAINT, MaskDrawing
from napari_xfelsort.widgets.mask_threshold import ThresholdPanel
from napari_xfelsort.widgets.open_dock import section

if TYPE_CHECKING:
    from napari_xfelsort.widgets.mask_state import MaskState

_TIPS = {
    PAINT: "Paint with a round brush; [ and ] change its size",
    "rectangle": "Drag a rectangle",
    "ellipse": "Drag an ellipse",
    "polygon": "Click corners; double-click or Esc ends the polygon",
    "lasso": "Drag around what is meant",
    "line": "Drag a line, as wide as the width says",
    "path": "Click points of a path, as wide as the width says; double-click ends it",
}
_LIST_HEIGHT = 150


class EditPage(QWidget):
    """Tools, what is done to a whole mask, and the list of edits.

    Parameters
    ----------
    state : MaskState
        What is edited.
    """

    #: Something cannot be done: a sentence.
    refused = Signal(str)
    #: The brush is taken: the mask must be seen.
    painting = Signal()

    def __init__(self, state: MaskState) -> None:
        super().__init__()
        self.state = state
        self.drawing = MaskDrawing()
        self.threshold = ThresholdPanel(state)
        self._build()
        self.drawing.drawn.connect(self._drawn)
        self.drawing.undo_wanted.connect(state.undo)
        self.drawing.redo_wanted.connect(state.redo)
        self.threshold.refused.connect(self.refused)
        state.changed.connect(self._list)
        state.replaced.connect(self._fill)
        self._fill()
        self._list()

    def release(self) -> None:
        """Let go of the picture and of work."""
        self.put_down()
        self.threshold.release()

    # --- tools --------------------------------------------------------------------------

    def put_down(self) -> None:
        """Draw no more."""
        chosen = self.tools.checkedButton()
        if chosen is not None:
            self.tools.setExclusive(False)
            chosen.setChecked(False)
            self.tools.setExclusive(True)
        self.drawing.stop()

    def _pick(self, *_: Any) -> None:
        """A tool, its width or what it does was chosen."""
        chosen = self.tools.checkedButton()
        if chosen is None or self.state.run is None:
            self.drawing.stop()
            return
        self.state.begin_with_own()
        tool = chosen.objectName()[5:]
        if tool == PAINT:
            self.painting.emit()
        self.drawing.start(self.state.run, tool, self.width_box.value(), self.erase.isChecked())

    def _toggle(self, clicked: Any) -> None:
        """A second click on a tool puts it down."""
        if clicked.objectName() == self._held:
            self._held = ""
            self.put_down()
        else:
            self._held = clicked.objectName()
            self._pick()

    def _drawn(self, edit: Edit) -> None:
        before = self.state.mask
        self.state.add(edit)
        after, edits = self.state.mask, self.state.edits
        if before is not None and after is not None and len(edits):
            counts = self.state.counts(len(edits) - 1)
            if counts == (0, 0):
                self.state.remove(len(edits) - 1)
                self.refused.emit(f"The {edit.kind} changes no pixel.")

    # --- the whole mask -----------------------------------------------------------------

    def _grow(self) -> None:
        self._add(Grow, n=self.steps.value(), square=self.square.isChecked())

    def _shrink(self) -> None:
        self._add(Shrink, n=self.steps.value(), square=self.square.isChecked())

    def _invert(self) -> None:
        self._add(Invert)

    def _mirror(self) -> None:
        source = self.source.currentText() if self.source.currentIndex() else None
        self._add(Mirror, along=self.along.currentData(), source=source)

    def _add(self, kind: type[Edit], **values: Any) -> None:
        try:
            self.state.add(kind(within=self.within.currentText(), **values))  # type: ignore[call-arg]
        except SettingsError as error:
            self.refused.emit(str(error))

    def _fill(self, *_: Any) -> None:
        """Offer the panels or modules of the run."""
        run = self.state.run
        with QSignalBlocker(self.source):
            self.source.clear()
            self.source.addItem("each by itself")
            if run is not None:
                geometry, within = run.stack.geometry, self.within.currentText()
                if geometry is not None and within == "panel":
                    self.source.addItems(list(geometry.panels))
                else:
                    n = 1
                    for size in run.stack.raw_shape[:-2]:
                        n *= size
                    self.source.addItems([str(k) for k in range(n)])
        self.threshold.fill()

    # --- the list -----------------------------------------------------------------------

    def _list(self) -> None:
        edits = self.state.edits
        with QSignalBlocker(self.list):
            here = self.list.currentRow()
            self.list.clear()
            for number, edit in enumerate(edits.edits):
                item = QListWidgetItem(edit_text(edit, self.state.counts(number)))
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                done = number not in edits.undone
                item.setCheckState(Qt.CheckState.Checked if done else Qt.CheckState.Unchecked)
                self.list.addItem(item)
            self.list.setCurrentRow(min(here, len(edits) - 1))
        self.list.scrollToBottom()
        self.undo_button.setEnabled(len(edits.undone) < len(edits))
        self.redo_button.setEnabled(edits.redo() != edits)
        self._chosen()

    def _chosen(self, *_: Any) -> None:
        self.remove_button.setEnabled(self.list.currentRow() >= 0)
        self.clear_button.setEnabled(len(self.state.edits) > 0)

    def _switched(self, item: QListWidgetItem) -> None:
        on = item.checkState() == Qt.CheckState.Checked
        self.state.switch(self.list.row(item), on)

    def _remove(self) -> None:
        if self.list.currentRow() >= 0:
            self.state.remove(self.list.currentRow())

    # --- how it looks -------------------------------------------------------------------

    def _build(self) -> None:
        self._held = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._tool_rows())
        column.addWidget(section("Threshold", self.threshold, expanded=False))
        column.addWidget(section("Grow, invert, mirror", self._whole_rows(), expanded=False))
        self.list = QListWidget()
        self.list.setObjectName("edits")
        self.list.setToolTip("What was done to the mask, in order; untick to leave one out")
        self.list.setFixedHeight(_LIST_HEIGHT)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.itemChanged.connect(self._switched)
        self.list.currentRowChanged.connect(self._chosen)
        self.undo_button = button("Undo", "undo", "Take the last edit back (Ctrl+Z)", self._undo)
        self.redo_button = button(
            "Redo", "redo", "Do again what was taken back (Ctrl+Shift+Z)", self._redo
        )
        self.remove_button = button(
            "Remove", "remove", "Take the chosen edit out of the list (Del)", self._remove
        )
        self.clear_button = button(
            "Remove all", "clear", "Take all edits out of the list", self._clear
        )
        column.addWidget(self.list)
        column.addLayout(
            row(self.undo_button, self.redo_button, self.remove_button, self.clear_button)
        )
        for keys, slot in (
            (QKeySequence.StandardKey.Undo, self._undo),
            (QKeySequence.StandardKey.Redo, self._redo),
            (QKeySequence.StandardKey.Delete, self._remove),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)

    def _undo(self) -> None:
        self.state.undo()

    def _redo(self) -> None:
        self.state.redo()

    def _clear(self) -> None:
        self.state.clear()

    def _tool_rows(self) -> QWidget:
        held = QWidget()
        grid = QGridLayout(held)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        self.tools = QButtonGroup(self)
        for number, name in enumerate((PAINT, *MODES)):
            made = QPushButton(name.capitalize())
            made.setObjectName(f"tool_{name}")
            made.setCheckable(True)
            made.setToolTip(f"{_TIPS[name]}. Click again to put it down")
            self.tools.addButton(made)
            grid.addWidget(made, number // 4, number % 4)
        self.tools.buttonClicked.connect(self._toggle)
        self.erase = QCheckBox("erase")
        self.erase.setObjectName("erase")
        self.erase.setToolTip("What is drawn becomes good instead of bad")
        self.erase.toggled.connect(self._pick)
        self.width_box = _number("width", 1, 999, 10, "Of the brush and of lines")
        self.width_box.setSuffix(" px")
        self.width_box.valueChanged.connect(self._pick)
        grid.addWidget(self.erase, 1, 3)
        grid.addLayout(row("Width of brush and lines", self.width_box), 2, 0, 1, 4)
        return held

    def _whole_rows(self) -> QWidget:
        held = QWidget()
        column = QVBoxLayout(held)
        column.setContentsMargins(0, 0, 0, 0)
        self.steps = _number("steps", 1, 1000, 1, "By so many pixels")
        self.steps.setSuffix(" px")
        self.square = QCheckBox("corners")
        self.square.setObjectName("square")
        self.square.setToolTip("Pixels that touch at a corner are neighbours too")
        self.within = QComboBox()
        self.within.setObjectName("within")
        self.within.addItems(["panel", "module"])
        self.within.setToolTip("Where it stops: at borders of panels, or of whole modules")
        self.within.currentIndexChanged.connect(self._fill)
        self.along = QComboBox()
        self.along.setObjectName("along")
        for text, value in (
            ("fast axis", "fs"),
            ("slow axis", "ss"),
            ("both axes", "both"),
            ("copied as it is", "none"),
        ):
            self.along.addItem(text, value)
        self.along.setToolTip("Along which axis pixels change places")
        self.source = QComboBox()
        self.source.setObjectName("source")
        self.source.setToolTip("What is mirrored: every one by itself, or one onto all like it")
        for box in (self.within, self.along, self.source):
            needs_focus_for_wheel(box)
        grow = button("Grow", "grow", "Neighbours of bad pixels become bad", self._grow)
        shrink = button("Shrink", "shrink", "Bad pixels at good ones become good", self._shrink)
        invert = button("Invert", "invert", "Bad becomes good and good bad", self._invert)
        mirror = button("Mirror", "mirror", "Add the mirror image of what is bad", self._mirror)
        column.addLayout(row("Within each", self.within))
        column.addLayout(row(self.steps, self.square, grow, shrink, invert))
        column.addLayout(row(self.source, self.along, mirror))
        return held


def edit_text(edit: Edit, counts: tuple[int, int] | None) -> str:
    """An edit as it stands in the list, with what it changes."""
    name = edit.kind
    if getattr(edit, "erase", False):
        name = f"erase {name}"
    if hasattr(edit, "image"):
        ends = [edit.low, edit.high]
        low, high = ("" if end is None else f"{end:g}" for end in ends)
        name = f"{name} {edit.image}: {low} to {high}"
    elif hasattr(edit, "n"):
        name = f"{name} by {edit.n}"
    elif isinstance(edit, Mirror):
        name = f"{name} {edit.source or 'each'} ({edit.along})"
    if counts is None:
        return f"{name} (left out)"
    added, removed = counts
    parts = [f"+{added:,}"] * (added > 0) + [f"−{removed:,}"] * (removed > 0)
    return f"{name}   {' '.join(parts) or 'no pixel'}"


def _number(name: str, low: int, high: int, value: int, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setObjectName(name)
    box.setRange(low, high)
    box.setValue(value)
    box.setToolTip(tip)
    needs_focus_for_wheel(box)
    return box
