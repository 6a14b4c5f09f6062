"""Lists of events to take labels from: which class each is of."""

from __future__ import annotations

import os
from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_import import class_of_list
from napari_xfelsort.core.label_journal import check_class_name
from napari_xfelsort.widgets.dock import Message

_CLASS, _LIST = range(2)


class ListDialog(QDialog):
    """Tells the class of each list, to be changed before labels are taken from them.

    Parameters
    ----------
    parent : QWidget
        Over which it opens.
    paths : sequence of str
        The lists.
    """

    #: The user is done: a list of (class, path).
    chosen = Signal(object)

    def __init__(self, parent: QWidget, paths: Sequence[str]) -> None:
        super().__init__(parent)
        self.setObjectName("import_lists_dialog")
        self.setWindowTitle("Import lists")
        self._paths = list(paths)
        about = QLabel(
            "Every event of a list gets the class named beside it. Events that people labelled "
            "keep their labels. Double click a class to change it."
        )
        about.setWordWrap(True)
        self.table = QTableWidget(len(self._paths), 2)
        self.table.setObjectName("lists")
        self.table.setToolTip("Double click a class to change it")
        self.table.setHorizontalHeaderLabels(["class", "list"])
        self.table.verticalHeader().hide()
        self.table.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.table.horizontalHeader().setSectionResizeMode(_LIST, QHeaderView.ResizeMode.Stretch)
        for k, path in enumerate(self._paths):
            self.table.setItem(k, _CLASS, QTableWidgetItem(class_of_list(path)))
            shown = QTableWidgetItem(os.path.abspath(path))
            shown.setToolTip(shown.text())
            shown.setFlags(shown.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.table.setItem(k, _LIST, shown)
        self.message = Message()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton("Import", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (about, self.table, self.message, buttons):
            column.addWidget(widget)
        self.resize(560, 300)

    def accept(self) -> None:
        """Take the classes, if all can be."""
        names = [self.table.item(k, _CLASS).text().strip() for k in range(len(self._paths))]
        try:
            for name in names:
                check_class_name(name)
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self.chosen.emit(list(zip(names, self._paths, strict=True)))
        super().accept()
