"""The grid of a gallery: thumbnails made when they are seen, and no more kept than fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractListModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QListView, QStyledItemDelegate, QStyleOptionViewItem, QWidget

#: Side of a thumbnail and of its cell in pixels of the screen.
SIDE, CELL = 86, 97
#: Thumbnails kept, and asked for at once: those that are seen last come first.
_KEPT, _WANTED = 1200, 200
#: Role under which an item has the colours of its label.
COLOURS_ROLE = int(Qt.ItemDataRole.UserRole) + 1


class GalleryModel(QAbstractListModel):
    """Some events of a run, in some order.

    Parameters
    ----------
    parent : QWidget
    describe : callable
        Text of an event for its tooltip.
    colours_of : callable
        Colours of an event's label; empty without a label.
    """

    #: Thumbnails are wanted that are not there.
    wanted = Signal()

    def __init__(
        self,
        parent: QWidget,
        describe: Callable[[int], str],
        colours_of: Callable[[int], Sequence[str]],
    ) -> None:
        super().__init__(parent)
        self._describe, self._colours_of = describe, colours_of
        self._events = np.empty(0, np.int64)
        self._rows: dict[int, int] = {}
        self._pictures: OrderedDict[int, QPixmap] = OrderedDict()
        self._asked: OrderedDict[int, None] = OrderedDict()
        self._empty = QPixmap(SIDE, SIDE)
        self._empty.fill(QColor(40, 44, 52))

    def show_events(self, events: NDArray[np.int64]) -> None:
        """Show these events, in this order."""
        self.beginResetModel()
        self._events = events
        self._rows = {int(i): row for row, i in enumerate(events.tolist())}
        self._asked.clear()
        self.endResetModel()

    def event_at(self, row: int) -> int:
        """Number of the event in a row."""
        return int(self._events[row])

    def forget_pictures(self) -> None:
        """Thumbnails are to be made anew: another region, contrast or geometry."""
        self._pictures.clear()
        self._asked.clear()
        self._redraw(self._events.tolist())

    def take_wanted(self, n: int) -> list[int]:
        """Up to n events whose thumbnails are wanted most."""
        taken = [i for i in reversed(self._asked) if i in self._rows][:n]
        for i in taken:
            del self._asked[i]
        return taken

    def put(self, i: int, rgb: NDArray[np.uint8]) -> None:
        """A thumbnail was made."""
        height, width, _ = rgb.shape
        data = np.ascontiguousarray(rgb).tobytes()
        image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._pictures[i] = QPixmap.fromImage(image).scaled(
            SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio
        )
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        self._redraw([i])

    def show_labels(self) -> None:
        """Labels changed."""
        self._redraw(self._events.tolist())

    def _redraw(self, events: Sequence[int]) -> None:
        rows = [self._rows[i] for i in events if i in self._rows]
        if rows:
            self.dataChanged.emit(self.index(min(rows)), self.index(max(rows)))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of events."""
        return 0 if parent is not None and parent.isValid() else len(self._events)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What an item shows."""
        i = self.event_at(index.row())
        if role == Qt.ItemDataRole.DecorationRole:
            return self._picture(i)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._describe(i)
        if role == COLOURS_ROLE:
            return list(self._colours_of(i))
        if role == Qt.ItemDataRole.SizeHintRole:
            return QSize(CELL, CELL)
        return None

    def _picture(self, i: int) -> QPixmap:
        found = self._pictures.get(i)
        if found is not None:
            self._pictures.move_to_end(i)
            return found
        self._asked[i] = None
        self._asked.move_to_end(i)
        while len(self._asked) > _WANTED:
            self._asked.popitem(last=False)
        self.wanted.emit()
        return self._empty


class GalleryDelegate(QStyledItemDelegate):
    """Draws a thumbnail in a frame of its label's colours."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one item."""
        picture = index.data(Qt.ItemDataRole.DecorationRole)
        place = option.rect
        if option.state & option.state.State_Selected:
            painter.fillRect(place, QColor("#4cc3ff"))
        left = place.x() + (place.width() - picture.width()) // 2
        top = place.y() + (place.height() - picture.height()) // 2
        painter.drawPixmap(left, top, picture)
        colours = index.data(COLOURS_ROLE)
        for number, colour in enumerate(colours):
            pen = QPen(QColor(colour), 3)
            painter.setPen(pen)
            inset = 3 + 3 * number
            painter.drawRect(place.adjusted(inset, inset, -inset, -inset))


class GalleryView(QListView):
    """A grid to select in by clicks, rubber band and keys."""

    #: A key was typed that may be a label's.
    typed = Signal(str)

    def __init__(self, model: GalleryModel) -> None:
        super().__init__()
        self.setObjectName("gallery")
        self.setModel(model)
        self.setItemDelegate(GalleryDelegate(self))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setUniformItemSizes(True)
        self.setGridSize(QSize(CELL, CELL))
        self.setMinimumHeight(3 * CELL + 8)
        self.setToolTip(
            "Click, Ctrl-click or drag a rectangle to select; the labels' keys label what is "
            "selected; double-click goes to the event"
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Labels' keys are told; all others move the selection."""
        text = event.text().upper()
        if text.isalnum() and not event.modifiers() and not event.isAutoRepeat():
            self.typed.emit(text)
            event.accept()
            return
        super().keyPressEvent(event)

    def selected_events(self) -> list[int]:
        """The events that are selected, in the order shown."""
        model = self.model()
        assert isinstance(model, GalleryModel)
        rows = sorted(index.row() for index in self.selectedIndexes())
        return [model.event_at(row) for row in rows]
