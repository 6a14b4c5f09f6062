"""Class averages as pictures to click in the SPI dock."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem

from napari_xfelsort.core.spi.em_classes import EmClasses
from napari_xfelsort.core.spi.em_files import shown

#: Side of a picture and size of its cell, in pixels of the screen.
_SIDE, _CELL = 84, QSize(94, 108)
#: Where nothing is known.
_UNKNOWN = (40, 44, 52)
#: Orders: words, and what they sort by.
ORDERS = ("most events first", "roundest first")


class ClassGallery(QListWidget):
    """Averages of classes; those that are selected are kept."""

    #: Other classes are kept.
    picked = Signal()
    #: A class is to be looked at: its number.
    opened = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("averages")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListWidget.SelectionMode.MultiSelection)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(_SIDE, _SIDE))
        self.setGridSize(_CELL)
        self.setMinimumHeight(2 * _CELL.height() + 12)
        self.setStyleSheet("QListWidget::item:selected { background: #2f7d4a; }")
        self.setToolTip(
            "Click the classes to keep; a second click lets one go; double-click shows its events"
        )
        self.itemSelectionChanged.connect(self.picked)
        self.itemDoubleClicked.connect(self._opened)

    @property
    def classes(self) -> list[int]:
        """The classes that are selected, in order."""
        return sorted(int(item.data(Qt.ItemDataRole.UserRole)) for item in self.selectedItems())

    def show_classes(self, found: EmClasses | None, order: str = ORDERS[0]) -> None:
        """Show the averages of the classes that have events; those selected stay so."""
        before = set(self.classes)
        self.blockSignals(True)
        self.clear()
        if found is not None:
            for k in ordered(found, order):
                item = QListWidgetItem(_icon(found.models[k]), f"{k}: {found.counts[k]}")
                item.setData(Qt.ItemDataRole.UserRole, k)
                item.setToolTip(about(found, k))
                self.addItem(item)
                item.setSelected(k in before)
        self.blockSignals(False)
        self.picked.emit()

    def _opened(self, item: QListWidgetItem) -> None:
        self.opened.emit(int(item.data(Qt.ItemDataRole.UserRole)))

    def forget(self) -> None:
        """Show nothing, with nothing selected."""
        self.clearSelection()
        self.show_classes(None)

    def select(self, classes: list[int]) -> None:
        """Select these classes and no others."""
        self.blockSignals(True)
        for n in range(self.count()):
            item = self.item(n)
            item.setSelected(int(item.data(Qt.ItemDataRole.UserRole)) in classes)
        self.blockSignals(False)
        self.picked.emit()


def ordered(found: EmClasses, order: str) -> list[int]:
    """The classes that have events, in an order of `ORDERS`."""
    there = np.flatnonzero(found.counts)
    if order == ORDERS[1]:
        there = there[np.argsort(found.symmetry.anisotropy[there], kind="stable")]
    return [int(k) for k in there]


def about(found: EmClasses, k: int) -> str:
    """What is to be said of a class, in some lines."""
    own = found.labels == k
    symmetry = found.symmetry
    lines = [
        f"Class {k}: {int(own.sum())} events",
        f"{100 * float(found.agreement[own].mean()):.0f} % of the runs agree",
        f"Anisotropy {float(symmetry.anisotropy[k]):.2f}: low where patterns are round",
    ]
    order = symmetry.order(k)
    if order:
        share = float(np.nanmax(symmetry.scores[k]))
        lines.append(f"Most symmetric of order {order} (score {share:.2f})")
    return "\n".join(lines)


@functools.cache
def _table() -> NDArray[np.uint8]:
    from matplotlib import colormaps

    colours = np.asarray(colormaps["inferno"](np.arange(256)))
    return np.asarray(255 * colours[:, :3], np.uint8)


def _icon(model: NDArray[Any]) -> QIcon:
    """Looks the same when it is selected."""
    pixmap, icon = picture(model), QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(pixmap, mode)
    return icon


def picture(model: NDArray[Any]) -> QPixmap:
    """An average as a picture, on a logarithmic scale of its own."""
    values = shown(model)
    known = np.isfinite(values)
    rgb = _table()[np.asarray(255 * np.where(known, values, 0), np.uint8)]
    rgb[~known] = _UNKNOWN
    height, width = values.shape
    data = np.ascontiguousarray(rgb).tobytes()
    image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
    smooth = Qt.TransformationMode.SmoothTransformation
    pixmap = QPixmap(_SIDE, _SIDE)
    pixmap.fill(QColor(*_UNKNOWN))
    scaled = QPixmap.fromImage(image).scaled(
        _SIDE, _SIDE, Qt.AspectRatioMode.KeepAspectRatio, smooth
    )
    return scaled if not scaled.isNull() else pixmap
