"""Editing the classes of a label folder: names, colours, keys, one or several an event."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import COLOURS, MAX_CLASSES, ClassSet, LabelClass
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.keys import RESERVED, check_keys

_NAME, _COLOUR, _KEY = range(3)


class ClassDialog(QDialog):
    """A table of up to ten classes.

    Parameters
    ----------
    parent : QWidget
        Over which it opens.
    classes : ClassSet
        What the table shows at first.
    """

    #: The user is done: the ClassSet.
    chosen = Signal(object)

    def __init__(self, parent: QWidget, classes: ClassSet) -> None:
        super().__init__(parent)
        self.setObjectName("classes")
        self.setWindowTitle("Classes")
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("class_table")
        self.table.setToolTip("Double click a name or key to change it")
        self.table.setHorizontalHeaderLabels(["name", "colour", "key"])
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((_COLOUR, 80), (_KEY, 50)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        self.several = QCheckBox("an event may have several classes")
        self.several.setObjectName("multi_label")
        self.several.setToolTip(
            "Keys and buttons then put a class on the event shown or take it off, and do not go on"
        )
        self.several.setChecked(classes.multi_label)
        self.message = Message()
        self._fill(classes)
        ok = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        box = QDialogButtonBox(ok)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        add = button("Add", "class_add", f"One class more, {MAX_CLASSES} at most", self._add)
        remove = button("Remove", "class_remove", "Remove the class selected", self._remove)
        for made in (add, remove):
            made.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.addWidget(self.table)
        column.addLayout(row(add, remove))
        column.addWidget(self.several)
        column.addWidget(self.message)
        column.addWidget(box)
        self.resize(340, 380)

    def _fill(self, classes: ClassSet) -> None:
        self.table.setRowCount(0)
        for each in classes.classes:
            self._append(each)

    def _append(self, each: LabelClass) -> None:
        number = self.table.rowCount()
        self.table.insertRow(number)
        self.table.setItem(number, _NAME, QTableWidgetItem(each.name))
        self.table.setItem(number, _KEY, QTableWidgetItem(each.key))
        made = button("", "class_colour", "Choose the colour", self._pick_colour)
        made.setAutoDefault(False)
        _paint(made, each.colour)
        self.table.setCellWidget(number, _COLOUR, made)

    def _text(self, number: int, column: int) -> str:
        item = self.table.item(number, column)
        return "" if item is None else item.text().strip()

    def classes(self) -> ClassSet:
        """What the table says.

        Raises
        ------
        LabelError
            If this makes no set of classes, or a key means something else.
        """
        rows = []
        for number in range(self.table.rowCount()):
            colour = self.table.cellWidget(number, _COLOUR).property("colour")
            rows.append(LabelClass(self._text(number, _NAME), colour, self._text(number, _KEY)))
        found = ClassSet(tuple(rows), self.several.isChecked())
        check_keys(found)
        return found

    def _add(self) -> None:
        self.message.tell("")
        n = self.table.rowCount()
        taken = {self._text(number, _NAME) for number in range(n)}
        name = next(name for name in (f"class {k}" for k in range(n + 1, 99)) if name not in taken)
        try:
            if n == 0:
                new = LabelClass(name, COLOURS[0])
            else:
                new = self.classes().with_class(name, taken_keys=RESERVED).classes[-1]
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self._append(new)
        self.table.setCurrentCell(n, _NAME)

    def _remove(self) -> None:
        self.message.tell("")
        number = self.table.currentRow()
        if number < 0:
            self.message.tell_error("Select the class to remove first.")
        else:
            self.table.removeRow(number)

    def _pick_colour(self) -> None:
        made: Any = self.sender()
        colour = QColorDialog.getColor(QColor(made.property("colour")), self, "Colour of a class")
        if colour.isValid():
            _paint(made, colour.name())

    def accept(self) -> None:
        """Close and tell the classes, unless something is wrong with them."""
        try:
            found = self.classes()
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self.message.tell("")
        super().accept()
        self.chosen.emit(found)


def _paint(made: QPushButton, colour: str) -> None:
    made.setProperty("colour", colour)
    made.setStyleSheet(f"background-color: {colour};")
