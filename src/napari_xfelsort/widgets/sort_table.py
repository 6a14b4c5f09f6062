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
    resumed : bool
        The folder holds results. Progress then does not say which files are done.

    Attributes
    ----------
    n_kept : int
        Events in files that an earlier call completed.
    progress : SortProgress or None
        The last one that was told.
    """

    def __init__(self, stack: EventStack, resumed: bool) -> None:
        self.n_kept = 0
        self.progress: SortProgress | None = None
        self._begun = 0.0
        self._first = 0
        self._resumed = resumed
        self._lock = threading.Lock()
        files = stack.files()
        self._totals = [n for _, n, _ in files]
        self._problems = [SortRow(p.file, None, "problem", {}, p.what) for p in stack.problems]
        self._paths = [source.path for source, _, _ in files]
        self._done = [0] * len(files)
        self._failed = [0] * len(files)
        self._changed: set[int] = set()
        self._places: dict[str, list[int]] = {}
        for number in reversed(range(len(files))):
            self._places.setdefault(self._paths[number], []).append(number)

    def rows(self) -> list[SortRow]:
        """A line for each file before it is worked on, then what cannot be used."""
        rows = [SortRow(*each) for each in zip(self._paths, self._totals, strict=True)]
        return rows + self._problems

    def note(self, progress: SortProgress) -> None:
        """Take in what the sort tells; called by its thread."""
        with self._lock:
            last, self.progress = self.progress, progress
            if last is None:
                self.n_kept = progress.done_events
            if not progress.file:
                return
            if not self._begun:
                self._begun, self._first = time.monotonic(), progress.done_events
            places = self._places[progress.file]
            number = places[-1]
            self._changed.add(number)
            if self._resumed:
                return
            # Between two reports nothing but the named file grew, as nothing was there.
            self._done[number] += progress.done_events - (last.done_events if last else 0)
            self._failed[number] += progress.failed - (last.failed if last else 0)
            if self._done[number] >= self._totals[number] and len(places) > 1:
                places.pop()  # the next dataset of a file that has several

    def take_changes(self) -> dict[int, tuple[str, int | None]]:
        """State and number of failed events of files that changed since it was last asked."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return {k: (self._state(k), self._failed[k] or None) for k in changed}

    def _state(self, k: int) -> str:
        if self._resumed:
            return "sorting"
        if self._done[k] >= self._totals[k]:
            return "sorted"
        return f"{self._done[k]} of {self._totals[k]}"

    def rate(self) -> float | None:
        """Events a second since the first block; None when it cannot be told yet."""
        with self._lock:
            if self.progress is None or not self._begun:
                return None
            seconds = time.monotonic() - self._begun
            done = self.progress.done_events - self._first
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

    def change(self, changes: dict[int, tuple[str, int | None]]) -> None:
        """Show the state and the failed events of some files."""
        last = self.columnCount() - 1
        for k, (state, failed) in changes.items():
            self.rows[k].state = state
            if failed is not None:
                self.rows[k].counts["failed"] = failed
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
