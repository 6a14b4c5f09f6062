"""What each method found, as a Qt table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_xfelsort.widgets.dock import choose_whole_rows

if TYPE_CHECKING:
    from napari_xfelsort.core.center.result import CenterResult

_HEADERS = ("Looked at", "Method", "x", "y", "± px")
_UNKNOWN_COLOUR = QColor("#ff9f0a")
NOT_KNOWN = "not known"
#: What the table says of the geometry and of what was dragged.
GEOMETRY, BY_HAND = "geometry", "by hand"


class Found(NamedTuple):
    """A line of the table.

    Attributes
    ----------
    looked_at : str
        The event, or what was made of how many.
    result : CenterResult
        What was found.
    """

    looked_at: str
    result: CenterResult

    @property
    def center(self) -> tuple[float, float] | None:
        """Row and column; None when not known."""
        y, x = self.result.y, self.result.x
        return None if y is None or x is None else (y, x)

    def sentence(self) -> str:
        """What was found, or why nothing was."""
        center, result = self.center, self.result
        if center is None:
            return f"{result.method}, {self.looked_at}: the centre is not known. {result.reason}"
        within = "" if result.uncertainty is None else f", within {result.uncertainty:.2g} px"
        return f"{result.method}, {self.looked_at}: x {center[1]:.2f}, y {center[0]:.2f}{within}."


class FoundModel(QAbstractTableModel):
    """What was found, the newest of each method and what it looked at."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Found] = []

    def set_rows(self, rows: list[Found]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def put(self, found: Found) -> int:
        """Show a row, in the place of one of the same method and event; its number."""
        rows, key = list(self.rows), (found.looked_at, found.result.method)
        keys = [(row.looked_at, row.result.method) for row in rows]
        place = keys.index(key) if key in keys else len(rows)
        rows[place : place + 1] = [found]
        self.set_rows(rows)
        return place

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
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
            return _cells(row)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.sentence()
        if role == Qt.ItemDataRole.ForegroundRole and row.center is None:
            return _UNKNOWN_COLOUR
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() >= 2:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def _cells(row: Found) -> tuple[str, ...]:
    center, result = row.center, row.result
    if center is None:
        return row.looked_at, result.method, NOT_KNOWN, "", ""
    within = "" if result.uncertainty is None else f"{result.uncertainty:.2g}"
    return row.looked_at, result.method, f"{center[1]:.2f}", f"{center[0]:.2f}", within


class FoundView(QTableView):
    """The table, as high as its rows up to some."""

    def __init__(self, model: FoundModel) -> None:
        super().__init__()
        self.setObjectName("found")
        self.setToolTip("What each method found; click a line to take it")
        self.setModel(model)
        choose_whole_rows(self)
        self.setWordWrap(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.horizontalHeader()
        for column in range(len(_HEADERS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        model.modelReset.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        n = min(max(2, self.model().rowCount()), 8)
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + n * self.verticalHeader().defaultSectionSize() + 4)
        self.clearSpans()
        for row, found in enumerate(self.model().rows):
            if found.center is None:
                self.setSpan(row, 2, 1, 3)
