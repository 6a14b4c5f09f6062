"""What tests of the SPI dock do in its Selections tab."""

from __future__ import annotations

from qtpy.QtWidgets import QTableWidget


def select(dock, *names):
    """Mark the rows of these selections, and no others."""
    table = dock.choosing.table
    table.clearSelection()
    table.setSelectionMode(QTableWidget.SelectionMode.MultiSelection)
    for k in range(table.rowCount()):
        if table.item(k, 0).text() in names:
            table.selectRow(k)
    table.setSelectionMode(QTableWidget.SelectionMode.ExtendedSelection)
