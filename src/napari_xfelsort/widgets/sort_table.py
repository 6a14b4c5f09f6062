"""What becomes of each file while it is sorted, as a Qt table that can be sorted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QHeaderView, QTableView, QWidget

from napari_xfelsort.core.sorting import FileResult
from napari_xfelsort.widgets.dock import choose_whole_rows

_BEFORE_COUNTS = ("File", "State", "Events")
_RATE = "events/s"
_PROBLEM_COLOUR = QColor("#ff9f0a")
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_TIPS = {
    "State": "How far the file is, or what came of it",
    _RATE: "Events of the file that one worker decides on in a second",
}
#: Of a file that cannot be read yet.
WAITING = "waiting"


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
    counts : mapping of int
        Events of each class, unsure and failed, as far as they are known.
    what : str
        What is wrong, in a sentence.
    rate : float
        Events a second and worker; 0 where it is not known.
    table : str
        Its table of decisions, relative to the folder of the results.
    """

    path: str
    n_events: int | None
    state: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    what: str = ""
    rate: float = 0.0
    table: str = ""

    @classmethod
    def of(cls, result: FileResult, rate: float = 0.0) -> SortRow:
        """The line of a file when all is done."""
        n_events = result.events if result.table else None
        counts, what = result.counts, result.what
        return cls(result.file, n_events, result.status, counts, what, rate, result.table)

    def cell(self, column: int, count_names: Sequence[str]) -> Any:
        """What a column holds: text, a number, or None for nothing."""
        if column == 0:
            return os.path.basename(os.path.normpath(self.path)) or self.path
        if column < len(_BEFORE_COUNTS):
            return (self.state, self.n_events)[column - 1]
        column -= len(_BEFORE_COUNTS)
        if column < len(count_names):
            return self.counts.get(count_names[column])
        return self.rate or None


class SortModel(QAbstractTableModel):
    """Lines of files for Qt; asked only for what is seen, and sorted by any column.

    Attributes
    ----------
    rows : list of SortRow
        In the order of the files, however they are shown.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[SortRow] = []
        self.count_names: tuple[str, ...] = ()
        #: Row that each line shows, and the line that each row is shown in.
        self._shown: list[int] = []
        self._lines: list[int] = []
        self._sorted_by: tuple[int, Qt.SortOrder] | None = None

    def show_rows(self, rows: Sequence[SortRow], count_names: Sequence[str]) -> None:
        """Show other files; the names are those of the classes, unsure and failed."""
        self.beginResetModel()
        self.rows, self.count_names = list(rows), tuple(count_names)
        self._put_in_order()
        self.endResetModel()

    def change(self, changes: Mapping[int, SortRow]) -> None:
        """Show other lines for some files; they stay where they are."""
        last = self.columnCount() - 1
        for k, row in changes.items():
            self.rows[k] = row
            line = self._lines[k]
            self.dataChanged.emit(self.index(line, 0), self.index(line, last))

    def follow(self, rows: Sequence[SortRow], count_names: Sequence[str]) -> None:
        """Show these files where others may be new: what is shown stays where it is."""
        paths = [row.path for row in rows]
        n = len(self.rows)
        same = self.count_names == tuple(count_names)
        if not same or paths[:n] != [row.path for row in self.rows]:
            chosen = {row.path: row for row in rows}
            known = [chosen.pop(row.path) for row in self.rows if row.path in chosen]
            if not same or len(known) < n or len(set(paths)) < len(paths):
                self.show_rows(rows, count_names)
                return
            rows = [*known, *chosen.values()]
        changed = {
            k: row
            for k, row in enumerate(rows[:n])
            if row is not self.rows[k] and row != self.rows[k]
        }
        self.change(changed)
        if len(rows) > n:
            self.beginInsertRows(QModelIndex(), n, len(rows) - 1)
            self.rows += rows[n:]
            self._shown += range(n, len(rows))
            self._lines += range(n, len(rows))
            self.endInsertRows()

    def row_of(self, index: QModelIndex) -> SortRow:
        """The row that a line shows."""
        return self.rows[self._shown[index.row()]]

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Show the lines in the order of a column; a negative one: of the files."""
        self._sorted_by = None if column < 0 else (column, order)
        self.sort_again()

    def sort_again(self) -> None:
        """Put lines in order that changed since."""
        self.layoutAboutToBeChanged.emit()
        before, held = self._shown, self.persistentIndexList()
        self._put_in_order()
        after = [self.index(self._lines[before[at.row()]], at.column()) for at in held]
        self.changePersistentIndexList(held, after)
        self.layoutChanged.emit()

    def _put_in_order(self) -> None:
        shown = list(range(len(self.rows)))
        if self._sorted_by is not None:
            column, order = self._sorted_by
            falling = order == Qt.SortOrder.DescendingOrder
            # What is not known is last, whichever way.
            cells = [row.cell(column, self.count_names) for row in self.rows]
            known = sorted((k for k in shown if cells[k] is not None), key=cells.__getitem__)
            shown = (known[::-1] if falling else known) + [k for k in shown if cells[k] is None]
        self._shown = shown
        self._lines = [0] * len(shown)
        for line, k in enumerate(shown):
            self._lines[k] = line

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of files."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        if parent is not None and parent.isValid():
            return 0
        return len(_BEFORE_COUNTS) + len(self.count_names) + 1

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = (*_BEFORE_COUNTS, *self.count_names, _RATE)[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{_TIPS.get(name, name)}. Click sorts the lines."
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        row, column = self.row_of(index), index.column()
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
        cell = row.cell(column, self.count_names)
        if cell is None:
            return "none" if column == 2 else ""
        return rate_text(cell) if isinstance(cell, float) else str(cell)


def rate_text(rate: float) -> str:
    """Events a second, with as many digits as matter."""
    return f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"


class SortView(QTableView):
    """The table of files in a narrow dock; a click or Enter chooses a file."""

    #: A file was chosen: its SortRow.
    file_chosen = Signal(object)

    def __init__(self, model: SortModel) -> None:
        super().__init__()
        self.files = model
        self.setObjectName("sorted_files")
        self.setModel(model)
        self.setToolTip(
            "What becomes of each file; rest the pointer on a line for what is wrong, click it "
            "to open the file in the viewer"
        )
        choose_whole_rows(self)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        # Not by contents: that would ask for every row.
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setMinimumSectionSize(36)
        header.setDefaultSectionSize(52)
        header.setHighlightSections(False)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setMinimumHeight(132)
        self.clicked.connect(self._choose)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter chooses the file of the line that is selected."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            self.file_chosen.emit(self.files.row_of(index))

    def fit_columns(self) -> None:
        """Give every column the width of its title, names and states more."""
        metrics = self.horizontalHeader().fontMetrics()
        for column in range(self.files.columnCount()):
            title = str(self.files.headerData(column, Qt.Orientation.Horizontal))
            least = (84, 70, 46)[column] if column < 3 else 34
            self.setColumnWidth(column, max(metrics.horizontalAdvance(title) + 14, least))
