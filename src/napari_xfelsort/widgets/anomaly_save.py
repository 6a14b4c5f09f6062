"""What is known of a run's anomalies, written as a table or as lists of events."""

from __future__ import annotations

import os
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QGroupBox, QMessageBox, QVBoxLayout, QWidget

from napari_xfelsort.widgets.anomaly_bars import title_of
from napari_xfelsort.widgets.anomaly_work import Judged, list_paths, write_lists
from napari_xfelsort.widgets.dock import Message, PathField, button, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.sort_order import plural
from napari_xfelsort.widgets.workers import Report


class SavePanel(QGroupBox):
    """A file for the table, a folder for the lists; asks before anything is replaced."""

    #: Work for a job: writes, and returns a sentence about what was written.
    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__("Save")
        self._run: Run | None = None
        self._judged: Judged | None = None
        self.table = PathField(
            "table_file", "new file", "Save a table", "Table (*.csv)", "NAME.csv"
        )
        self.table.line.setToolTip("As xfelsort anomalies apply writes: a line an event")
        tip = "Write the probabilities of the judged events as a table"
        self.table_button = button("Save", "save_table", tip, self.save_table)
        self.folder = PathField(
            "list_folder", "new folder", "Folder for lists of events", "", "a folder"
        )
        tip = "Gets a list of events for each anomaly, as CrystFEL and the Event table read them"
        self.folder.line.setToolTip(tip)
        tip = "Write the events that have each anomaly as a list"
        self.list_button = button("Save", "save_lists", tip, self.save_lists)
        self.told = Message()
        self.told.setObjectName("outcome")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Table", _beside(self.table, self.table_button))
        form.addRow("Lists", _beside(self.folder, self.list_button))
        column.addLayout(form)
        column.addWidget(self.told)

    def use(self, run: Run | None, judged: Judged | None) -> None:
        """Be about this run and what is known of it."""
        self._run, self._judged = run, judged
        self.told.tell("")

    def allow(self, allowed: bool) -> None:
        """Whether there is something to write, and nothing else is going on."""
        for each in (self.table_button, self.list_button):
            each.setEnabled(allowed)

    def save_table(self) -> None:
        """Write the table of ``xfelsort anomalies apply``."""
        judged, path = self._judged, self.table.path()
        if judged is None:
            return
        if path is None:
            self.told.tell_error("Choose a file for the table.")
            return
        target = file_to_write(self, path, ".csv")
        if target is None:
            return

        def work(report: Report) -> str:
            table = judged.table()
            table.write_csv(*target)
            n, of = len(table.events), len(judged.stack)
            what = plural(n, "event") if n == of else f"{n} of {of} events, those judged,"
            return f"The table of {what} is in {target.path}."

        self.told.tell("")
        self.wanted.emit(work)

    def save_lists(self) -> None:
        """Write a list of events for each anomaly."""
        judged, folder, run = self._judged, self.folder.path(), self._run
        if judged is None or run is None:
            return
        if folder is None:
            self.told.tell_error("Choose a folder for the lists.")
            return
        folder = os.path.abspath(os.path.expanduser(folder))
        stem = Path(run.name.replace(os.sep, "-")).stem or "run"
        paths = list_paths(folder, stem, judged.model.class_names)
        there = [path.name for path in paths.values() if path.exists()]
        if there and not self._may_replace(there, folder):
            return

        def work(report: Report) -> str:
            counts = write_lists(judged.table(), paths, bool(there))
            found = ", ".join(f"{title_of(name)} {n}" for name, n in counts.items())
            return f"Lists are in {folder}: {found}."

        self.told.tell("")
        self.wanted.emit(work)

    def _may_replace(self, names: list[str], folder: str) -> bool:
        answer = QMessageBox.question(
            self,
            "Replace lists?",
            f"{', '.join(names)} exist{'s' * (len(names) == 1)} already in {folder}. Replace?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)


def _beside(field: QWidget, push: QWidget) -> QWidget:
    held = QWidget()
    held.setLayout(row(field, push))
    return held
