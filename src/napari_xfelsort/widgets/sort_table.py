"""What becomes of each file while it is sorted, as a Qt table."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_xfelsort.core.sorting import FileResult, SortProgress
from napari_xfelsort.core.stack import EventStack

_BEFORE_COUNTS = ("File", "State", "Events")
_PROBLEM_COLOUR = QColor("#ff9f0a")
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
#: Seconds before a rate can be told.
_SETTLED = 0.5


@dataclass
class SortRow:
    """A line of the table.

    Attributes
    ----------
    path : str
    n_events : int or None
        None for a file that could not be used.
    state : str
        ``64 of 150``, ``sorted``, at the end the status; empty before it is worked on.
    counts : dict of int
        Events of each class, unsure and failed, as far as they are known.
    what : str
        What is wrong, in a sentence.
    """

    path: str
    n_events: int | None
    state: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    what: str = ""

    @classmethod
    def of(cls, result: FileResult) -> SortRow:
        """The line of a file when all is done."""
        n_events = result.events if result.table else None
        return cls(result.file, n_events, result.status, result.counts, result.what)


class SortBoard:
    """How far a sort is: written by its thread, read by the window.

    Parameters
    ----------
    stack : EventStack
        What is sorted.

    Attributes
    ----------
    progress : SortProgress or None
        The last one that was told.
    """

    def __init__(self, stack: EventStack) -> None:
        self.progress: SortProgress | None = None
        self._begun = 0.0
        self._first = 0
        self._lock = threading.Lock()
        files = stack.files()
        self._totals = [n for _, n, _ in files]
        self._problems = [SortRow(p.file, None, "problem", {}, p.what) for p in stack.problems]
        self._paths = [source.path for source, _, _ in files]
        self._changed: dict[int, dict[str, int]] = {}

    def rows(self) -> list[SortRow]:
        """A line for each file before it is worked on, then what cannot be used."""
        rows = [SortRow(*each) for each in zip(self._paths, self._totals, strict=True)]
        return rows + self._problems

    def note(self, progress: SortProgress) -> None:
        """Take in what the sort tells; called by its thread."""
        with self._lock:
            self.progress = progress
            if progress.number < 0:
                return
            self._changed[progress.number] = dict(progress.counts)
            fresh = progress.done_events - progress.kept_events
            if fresh and not self._begun:
                self._begun = time.monotonic()
                self._first = fresh

    def take_changes(self) -> dict[int, tuple[str, dict[str, int]]]:
        """State and counts of files that changed since it was last asked."""
        with self._lock:
            changed, self._changed = self._changed, {}
        return {k: (self._state(k, sum(counts.values())), counts) for k, counts in changed.items()}

    def _state(self, k: int, done: int) -> str:
        return "sorted" if done >= self._totals[k] else f"{done} of {self._totals[k]}"

    def rate(self) -> float | None:
        """Events a second since the first block; None when it cannot be told yet."""
        with self._lock:
            if self.progress is None or not self._begun:
                return None
            seconds = time.monotonic() - self._begun
            fresh = self.progress.done_events - self.progress.kept_events
            done = fresh - self._first
            return done / seconds if seconds > _SETTLED and done > 0 else None


class SortModel(QAbstractTableModel):
    """Lines of files for Qt; asked only for what is seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[SortRow] = []
        self.count_names: tuple[str, ...] = ()

    def show_rows(self, rows: Sequence[SortRow], count_names: Sequence[str]) -> None:
        """Show other files; the names are those of the classes, unsure and failed."""
        self.beginResetModel()
        self.rows, self.count_names = list(rows), tuple(count_names)
        self.endResetModel()

    def change(self, changes: dict[int, tuple[str, dict[str, int]]]) -> None:
        """Show the state and the counts of some files."""
        last = self.columnCount() - 1
        for k, (state, counts) in changes.items():
            self.rows[k].state = state
            self.rows[k].counts = counts
            self.dataChanged.emit(self.index(k, 0), self.index(k, last))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of files."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        if parent is not None and parent.isValid():
            return 0
        return len(_BEFORE_COUNTS) + len(self.count_names)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return (*_BEFORE_COUNTS, *self.count_names)[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (row.path, row.what)))
        if role == Qt.ItemDataRole.ForegroundRole and (row.what or row.counts.get("failed")):
            return _PROBLEM_COLOUR
        if role == Qt.ItemDataRole.TextAlignmentRole and column >= 2:
            return _RIGHT
        return None

    def _text(self, row: SortRow, column: int) -> str:
        if column == 0:
            return os.path.basename(os.path.normpath(row.path)) or row.path
        if column == 1:
            return row.state
        if column == 2:
            return "none" if row.n_events is None else str(row.n_events)
        count = row.counts.get(self.count_names[column - len(_BEFORE_COUNTS)])
        return "" if count is None else str(count)


def sort_view(model: SortModel) -> QTableView:
    """A table view that suits a narrow dock."""
    view = QTableView()
    view.setObjectName("sorted_files")
    view.setModel(model)
    view.setToolTip("What becomes of each file; rest the pointer on a line for what is wrong")
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setWordWrap(False)
    view.verticalHeader().setVisible(False)
    view.verticalHeader().setDefaultSectionSize(22)
    header = view.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setMinimumSectionSize(36)
    header.setDefaultSectionSize(52)
    view.setMinimumHeight(110)
    return view


def fit_columns(view: QTableView) -> None:
    """Give every column the width of its title, names and states more."""
    for column in range(view.model().columnCount()):
        title = view.horizontalHeader().sectionSizeHint(column)
        view.setColumnWidth(column, max(title, (88, 70)[column] if column < 2 else 40))
