"""The probability of each anomaly in the event shown: bars with the thresholds marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from napari_xfelsort.core.anomalies.names import ANOMALY_TITLES
from napari_xfelsort.widgets.dock import choose_whole_rows

#: Of an anomaly that an event has, that it does not have, and of its threshold.
HAS, HAS_NOT, MARK = "#ff9f0a", "#5aa9e6", "#ffffff"
#: Pixels of the screen: of a line, of the last column, and of a number beside a bar.
_ROW, _COUNT_WIDTH, _NUMBER = 22, 50, 32.0
_NAME, _BAR, _COUNT = range(3)
_HEADINGS = ("anomaly", "probability", "events")


def title_of(name: str) -> str:
    """An anomaly, for people."""
    return ANOMALY_TITLES.get(name, name)


def _short(n: int) -> str:
    """A number of events in at most five letters."""
    return f"{n}" if n < 100_000 else f"{n // 1000}k"


class BarModel(QAbstractTableModel):
    """A line an anomaly.

    Attributes
    ----------
    names : tuple of str
        The anomalies.
    thresholds : ndarray
        Probability from which on an event has each.
    probabilities : ndarray
        In the event shown; NaN where not known.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.names: tuple[str, ...] = ()
        self.thresholds = self.probabilities = np.zeros(0)
        self._counts: tuple[int, ...] = ()

    def set_names(self, names: Sequence[str], thresholds: NDArray[np.float64]) -> None:
        """Show these anomalies; nothing is known of the event."""
        self.beginResetModel()
        self.names, self.thresholds = tuple(names), np.asarray(thresholds, np.float64)
        self.probabilities = np.full(len(self.names), np.nan)
        self._counts = ()
        self.endResetModel()

    def set_event(self, probabilities: NDArray[np.float64] | None) -> None:
        """Show these probabilities; None when they are not known."""
        n = len(self.names)
        self.probabilities = np.full(n, np.nan) if probabilities is None else probabilities
        self._changed(_BAR)

    def set_counts(self, counts: Sequence[int]) -> None:
        """Show how many events have each; empty while that is not known."""
        self._counts = tuple(counts)
        self._changed(_COUNT)

    def _changed(self, column: int) -> None:
        if self.names:
            self.dataChanged.emit(self.index(0, column), self.index(len(self.names) - 1, column))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.names)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(_HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _HEADINGS[section]
        return None

    def has(self, k: int) -> bool:
        """Whether the event has an anomaly."""
        return bool(self.probabilities[k] >= self.thresholds[k])

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        k, column = index.row(), index.column()
        known = bool(np.isfinite(self.probabilities[k]))
        if role == Qt.ItemDataRole.TextAlignmentRole and column == _COUNT:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            text = f"{title_of(self.names[k])}: an event has it from {self.thresholds[k]:.2f} on"
            return f"{text}; this one has {self.probabilities[k]:.3f}" if known else text
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if column == _NAME:
            return title_of(self.names[k])
        if column == _COUNT:
            return _short(self._counts[k]) if self._counts else "–"
        return f"{self.probabilities[k]:.2f}" if known else "–"


class _BarDelegate(QStyledItemDelegate):
    """Draws a probability as a bar from 0 to 1, with a mark at the threshold."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        model: Any = index.model()
        k = index.row()
        area = QRectF(option.rect)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, option.palette.brush(QPalette.ColorRole.Highlight))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = area.adjusted(4, 5, -_NUMBER, -5)
        ground = option.palette.color(QPalette.ColorRole.Text)
        ground.setAlpha(45)
        painter.fillRect(whole, ground)
        value = float(model.probabilities[k])
        if np.isfinite(value):
            bar = QRectF(whole)
            bar.setWidth(whole.width() * min(max(value, 0.0), 1.0))
            painter.fillRect(bar, QColor(HAS if model.has(k) else HAS_NOT))
        at = whole.left() + whole.width() * min(max(float(model.thresholds[k]), 0.0), 1.0)
        mark = QRectF(at - 1, whole.top() - 3, 2, whole.height() + 6)
        painter.fillRect(mark, option.palette.color(QPalette.ColorRole.Text))
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        text = area.adjusted(area.width() - _NUMBER, 0, -4, 0)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(text, int(right), index.data() or "")
        painter.restore()


class BarView(QTableView):
    """The lines; one is chosen, and is what is looked for."""

    #: Another anomaly is chosen, by its name.
    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("probabilities")
        self.setToolTip("The mark on a bar is the threshold; choose the anomaly to look at")
        self.rows = BarModel(self)
        self.setModel(self.rows)
        self.setItemDelegateForColumn(_BAR, _BarDelegate(self))
        choose_whole_rows(self)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_BAR, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(_COUNT, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(_COUNT, _COUNT_WIDTH)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.selectionModel().currentRowChanged.connect(self._row_changed)
        self._fit()

    def show_model(self, names: Sequence[str], thresholds: NDArray[np.float64]) -> None:
        """Show the anomalies of a model, and choose the one that was, or the first."""
        before = self.chosen_name()
        self.rows.set_names(names, thresholds)
        self._fit()
        if names:
            self.choose(before if before in names else names[0])

    def chosen_name(self) -> str:
        """The anomaly that is chosen; empty when there is none."""
        k = self.currentIndex().row()
        return self.rows.names[k] if 0 <= k < len(self.rows.names) else ""

    def choose(self, name: str) -> None:
        """Choose an anomaly."""
        self.selectRow(self.rows.names.index(name))

    def _row_changed(self, now: QModelIndex, _: QModelIndex) -> None:
        if now.isValid():
            self.chosen.emit(self.rows.names[now.row()])

    def _fit(self) -> None:
        rows = max(1, len(self.rows.names))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * _ROW + 4)
