"""Events of the test share that were decided wrongly: to look at, and to label anew."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QKeyEvent
from qtpy.QtWidgets import QHeaderView, QTableView, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import ListError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.learning.judging import Misjudged
from napari_xfelsort.core.model import Model
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.dock import Message, button, choose_whole_rows, row
from napari_xfelsort.widgets.label_panel import LabelButtons
from napari_xfelsort.widgets.overlay import label_colour
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.train_summary import CAUTION_COLOUR

COLUMNS = ("event", "labelled", "decided", "prob.")
_EVENT, _LABEL, _DECISION, _PROBABILITY = range(4)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class MistakesModel(QAbstractTableModel):
    """The mistakes of a model, the surest first, with what the events are labelled now."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.rows: list[Misjudged] = []
        self._target = ""
        self._places: list[int | None] = []

    def show_model(self, model: Model | None, run: Run | None) -> None:
        """Show the mistakes of a model, found among the events of a run."""
        self.beginResetModel()
        self.run = run
        self.rows = [] if model is None else model.misclassified()
        self._target = ""
        if model is not None:
            self._target = str((model.provenance.get("settings") or {}).get("target", ""))
        self._places = [_place(run, one.event) for one in self.rows]
        self.endResetModel()

    def place(self, k: int) -> int | None:
        """Number of the event in the run; None where the run does not have it."""
        return self._places[k]

    def label_now(self, k: int) -> str:
        """What the event is labelled now, in the classes of the model."""
        i = self._places[k]
        if self.run is None or i is None or self.run.tally is None:
            return self.rows[k].label
        label = self.run.label_of(i) or ""
        if self._target and label not in ("", "ignore"):
            return self._target if self._target in label.split("|") else f"not_{self._target}"
        return label

    def is_changed(self, k: int) -> bool:
        """Whether it was labelled anew since the model was trained."""
        return self.label_now(k) != self.rows[k].label

    def look_again(self) -> None:
        """Labels changed."""
        if self.rows:
            last = self.index(len(self.rows) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def rowCount(self, parent: Any = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: Any = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        k, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(k, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            one = self.rows[k]
            there = "" if self._places[k] is not None else "\nnot in the run that is shown"
            return f"{one.event}\nlabelled {one.label}, decided {one.decision}{there}"
        if role == Qt.ItemDataRole.TextAlignmentRole and column == _PROBABILITY:
            return int(_RIGHT)
        if role == Qt.ItemDataRole.FontRole and self.is_changed(k):
            font = QFont()
            font.setItalic(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._brush(k, column)
        return None

    def _text(self, k: int, column: int) -> str:
        one = self.rows[k]
        if column == _EVENT:
            i = self._places[k]
            return str(i) if i is not None else EventId.parse(one.event).short
        if column == _LABEL:
            if not self.is_changed(k):
                return one.label
            return f"{one.label} → {self.label_now(k) or 'none'}"
        return one.decision if column == _DECISION else f"{one.probability:.3f}"

    def _brush(self, k: int, column: int) -> Any:
        one, run = self.rows[k], self.run
        if column == _LABEL and self.is_changed(k):
            return QBrush(QColor(CAUTION_COLOUR))
        if run is not None and column in (_LABEL, _DECISION):
            name = one.label if column == _LABEL else one.decision
            if name in run.classes.names:
                return QBrush(QColor(label_colour(name, run.classes)))
        return None


class MistakesView(QTableView):
    """The table; keys of labels label the event of the row, and go to the next."""

    #: A key that labels was pressed: its action, see `keys`.
    asked = Signal(str)

    def __init__(self, model: MistakesModel) -> None:
        super().__init__()
        self._model = model
        self.setModel(model)
        self.setObjectName("mistakes")
        self.setToolTip(
            "Events of the test share decided otherwise than labelled, the surest mistakes first. "
            "Double-click or Enter shows the event; keys label it anew"
        )
        choose_whole_rows(self)
        self.setWordWrap(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_PROBABILITY, QHeaderView.ResizeMode.ResizeToContents)
        self.setMinimumHeight(220)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys of labels label; Enter shows; others move in the table."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.activated.emit(self.currentIndex())
            return
        run = self._model.run
        actions = {} if run is None else _actions(run)
        action = actions.get(event.text().upper()) if not event.modifiers() else None
        if action is None:
            super().keyPressEvent(event)
        else:
            self.asked.emit(action)


class MistakesPanel(QWidget):
    """The mistakes of a model, and buttons to label them anew."""

    #: Label event ``i`` of the run so: its number, and the action of `keys`.
    relabel = Signal(int, str)
    #: The user wants a model of the labels as they are now.
    train_again = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.model = MistakesModel()
        self.view = MistakesView(self.model)
        self.view.activated.connect(self._go)
        self.view.asked.connect(self._label)
        self.summary = Message()
        self.summary.setObjectName("mistakes_summary")
        self.buttons = LabelButtons(self._label)
        tip = "Show the mistake before this one"
        back = button("Previous", "previous_mistake", tip, self.previous)
        tip = "Show the next mistake"
        on = button("Next", "next_mistake", tip, self.next)
        tip = "Train a model with the labels as they are now"
        again = button("Train again", "train_again", tip, self.train_again)
        self._steps = (back, on)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.summary)
        column.addWidget(self.view)
        column.addLayout(row(back, on, again))
        column.addWidget(self.buttons)

    def show_model(self, model: Model | None, run: Run | None) -> None:
        """Show what a model decides wrongly."""
        self.model.show_model(model, run)
        if run is not None:
            self.buttons.show_classes(run.classes)
        self._tell(model)
        for each in (self.view, self.buttons, *self._steps):
            each.setVisible(bool(self.model.rows))

    def _tell(self, model: Model | None) -> None:
        n = len(self.model.rows)
        if model is None or n == 0:
            self.summary.tell("All events of the test share are decided as they are labelled.")
            return
        of = model.metrics["n"]
        here = sum(self.model.place(k) is not None for k in range(n))
        text = f"{n} of {of} test events are decided otherwise than they are labelled."
        if here < n:
            text += f" {n - here} of them are not in the run that is shown."
        changed = sum(self.model.is_changed(k) for k in range(n))
        if changed:
            text += f" {changed} of them {'is' if changed == 1 else 'are'} labelled anew."
        self.summary.tell(text)

    def labels_changed(self, model: Model | None) -> None:
        """Mark what was labelled anew."""
        self.model.look_again()
        if model is not None and self.model.rows:
            self._tell(model)

    @property
    def current(self) -> int | None:
        """The row that is chosen."""
        index = self.view.currentIndex()
        return index.row() if index.isValid() else None

    def next(self) -> None:
        """Show the next mistake."""
        self._step(1)

    def previous(self) -> None:
        """Show the mistake before this one."""
        self._step(-1)

    def _step(self, by: int) -> None:
        n, here = len(self.model.rows), self.current
        k = 0 if here is None else min(max(here + by, 0), n - 1)
        if n:
            self.view.selectRow(k)
            self._go(self.model.index(k, 0))

    def _go(self, index: QModelIndex) -> None:
        run = self.model.run
        place = self.model.place(index.row()) if index.isValid() else None
        if run is None or place is None:
            self.summary.tell_error("This event is not in the run that is shown; open its file.")
            return
        run.go_to(place)

    def _label(self, action: str) -> None:
        """Label the event of the chosen row: only when it is the one that is shown."""
        run, k = self.model.run, self.current
        place = None if k is None else self.model.place(k)
        if run is None or place is None:
            self.summary.tell_error("Choose an event of the run in the table first.")
        elif run.current != place or not run.is_drawn:
            run.go_to(place)
            self.summary.tell(f"Event {place} is shown now: look at it, then label it.")
        else:
            self.relabel.emit(place, action)


def _place(run: Run | None, name: str) -> int | None:
    if run is None:
        return None
    try:
        return run.stack.find(EventId.parse(name))
    except ListError:
        return None


def _actions(run: Run) -> dict[str, str]:
    """What keys label with: classes, ignore, taking back, undo and redo."""
    wanted = {*run.classes.names, "ignore", keys.CLEAR, keys.UNDO, keys.REDO}
    return {
        each.key: each.action
        for each in keys.label_shortcuts(run.classes)
        if each.action in wanted
    }
