"""The files of a run, with their events and problems, as a Qt table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHeaderView, QTableView, QWidget

from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import choose_whole_rows

_HEADERS = ("File", "Events", "Problem")
_PROBLEM_COLOUR = QColor("#ff9f0a")


class FileRow(NamedTuple):
    """A line of the table.

    Attributes
    ----------
    path : str
    n_events : int or None
        None for a file that could not be used.
    first : int or None
        Position of its first event in the run.
    layout : str
        What wrote it.
    problems : tuple of str
        Sentences.
    """

    path: str
    n_events: int | None
    first: int | None
    layout: str
    problems: tuple[str, ...]


def file_rows(stack: EventStack) -> list[FileRow]:
    """The files of a stack in their order, then those that could not be used."""
    told: dict[str, list[str]] = {}
    for problem in stack.problems:
        told.setdefault(problem.file, []).append(str(problem))
    rows = []
    for source, n_events, first in stack.files():
        problems = tuple(told.pop(source.path, ()))
        rows.append(FileRow(source.path, n_events, first, source.layout, problems))
    rows += [FileRow(path, None, None, "", tuple(said)) for path, said in told.items()]
    return rows


class FilesModel(QAbstractTableModel):
    """Rows of files for Qt; asked only for what is seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[FileRow] = []

    def set_rows(self, rows: Sequence[FileRow]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of files."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(_HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _HEADERS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (row.path, row.layout, *row.problems)))
        if role == Qt.ItemDataRole.ForegroundRole and row.problems:
            return _PROBLEM_COLOUR
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == 1:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    @staticmethod
    def _text(row: FileRow, column: int) -> str:
        if column == 0:
            return os.path.basename(os.path.normpath(row.path)) or row.path
        if column == 1:
            return "none" if row.n_events is None else str(row.n_events)
        if not row.problems:
            return ""
        more = len(row.problems) - 1
        return row.problems[0] + (f" (and {more} more)" if more else "")


def files_view(model: FilesModel) -> QTableView:
    """A table view that suits a narrow dock."""
    view = QTableView()
    view.setObjectName("files")
    view.setModel(model)
    choose_whole_rows(view)
    view.setWordWrap(False)
    header = view.horizontalHeader()
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
    header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    view.setColumnWidth(0, 130)
    view.setMinimumHeight(120)
    view.setToolTip("Double-click a file to go to its first event")
    return view


def summary(stack: EventStack, problems: Sequence[Problem]) -> str:
    """Events and files in one line."""
    files = len(stack.sources)
    text = f"{len(stack)} events in {files} file{'s' * (files != 1)}"
    return text + (f", {len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "")
