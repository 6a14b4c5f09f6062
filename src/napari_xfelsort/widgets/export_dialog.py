"""Selected events for other programs: what to write, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.export import export
from napari_xfelsort.core.export.exporting import ExportSettings, ExportSummary
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, PathField, button, row
from napari_xfelsort.widgets.forms import SettingsForm, file_to_write
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.workers import Job, Report, counted

_SUFFIXES = {"virtual": ".cxi", "copy": ".cxi", "list": ".lst", "csv": ".csv"}
_FILTER = "CXI (*.cxi);;List (*.lst);;Table (*.csv);;All files (*)"
_ABOUT = {
    "virtual": "A small CXI file that shows the frames where they are; no pixel is copied.",
    "copy": "A CXI file with the frames in it, which can be taken elsewhere.",
    "list": "A list of events, as CrystFEL reads it.",
    "csv": "A table: file, event, photon energy, camera length, number of stored peaks.",
}
#: What matters to the kinds of file, besides "absolute".
_MATTERS = {"compression": ("copy",), "masks": ("virtual", "copy"), "peaks": ("virtual", "copy")}


class ExportOrder(NamedTuple):
    """What was entered.

    Attributes
    ----------
    folder : str
        Of the sort.
    name : str
        The class.
    opened : Opened
        How the data were opened.
    target : str
    replaces : bool
        The user agreed that the file is replaced.
    settings : ExportSettings
    """

    folder: str
    name: str
    opened: Opened
    target: str
    replaces: bool
    settings: ExportSettings

    def carry_out(self, report: Report) -> ExportSummary:
        """Write the file; called in a job's thread."""
        from napari_xfelsort.readers import open_stack
        from napari_xfelsort.readers.selecting import select

        opened = self.opened

        def open_paths(names: list[str]) -> EventStack:
            return open_stack(names, opened.geometry, opened.mask, opened.dataset)

        stack = select([self.folder], self.name, None, open_paths)
        try:
            report(None)
            return export(
                stack,
                self.target,
                overwrite=self.replaces,
                progress=counted(report),
                **self.settings.to_dict(),
            )
        finally:
            stack.close()


class ExportDialog(QDialog):
    """Writes the events of a class of a sort; napari stays usable meanwhile.

    Parameters
    ----------
    parent : QWidget
        Over which it opens.
    folder : Path
        Of the sort.
    names : sequence of str
        Its classes, unsure among them.
    opened : Opened
        How the data were opened.
    """

    def __init__(
        self, parent: QWidget, folder: Path, names: Sequence[str], opened: Opened
    ) -> None:
        super().__init__(parent)
        self.setObjectName("export_dialog")
        self.setWindowTitle("Export events")
        self.job: Job | None = None
        self._folder, self._opened = folder, opened
        self._suggested = ""
        self.name = QComboBox()
        self.name.setObjectName("export_class")
        self.name.setToolTip("The events to write: those that the sort put into this class")
        self.name.addItems(list(names))
        needs_focus_for_wheel(self.name)
        self.form = SettingsForm(ExportSettings)
        self.about = QLabel()
        self.about.setObjectName("export_about")
        self.about.setWordWrap(True)
        self.target = PathField("export_target", "new file", "Write to", _FILTER, "file")
        self.target.line.setToolTip("The file to write; one that exists is replaced after asking")
        self.progress = EventProgress()
        self.message = Message()
        self.write_button = button("Write", "export_write", "Write the file", self.write)
        self.cancel_button = button(
            "Cancel", "export_cancel", "Stop writing; no file is left", self.cancel
        )
        close = button(
            "Close", "export_close", "Close; what is being written is stopped", self.reject
        )
        self._lay_out(close)
        if "good" in names:
            self.name.setCurrentText("good")
        self.name.currentTextChanged.connect(self._suggest)
        self.form.changed.connect(self._follow_kind)
        self._follow_kind()
        self._set_busy(False)

    def _lay_out(self, close: QWidget) -> None:
        self._inputs = QWidget()
        lines = QFormLayout(self._inputs)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        lines.addRow("Events", self.name)
        lines.addRow(self.form)
        lines.addRow(self.about)
        lines.addRow("File", self.target)
        column = QVBoxLayout(self)
        for widget in (self._inputs, self.progress, self.message):
            column.addWidget(widget)
        column.addStretch()
        column.addLayout(row(self.write_button, self.cancel_button, close))
        # Enter in a line must not press the button beside it.
        for each in self.findChildren(QPushButton):
            each.setAutoDefault(False)
        self.write_button.setDefault(True)
        self.resize(460, 400)

    # --- what is entered ------------------------------------------------------------------

    def _kind(self) -> str:
        return str(self.form.inputs["kind"].value())

    def _follow_kind(self) -> None:
        kind = self._kind()
        self.about.setText(_ABOUT[kind])
        for name, kinds in _MATTERS.items():
            self.form.enable(name, kind in kinds)
        self._suggest()

    def _suggest(self, *_: object) -> None:
        """Suggest a file beside the sort's folder, unless one was chosen."""
        if (self.target.path() or "") == self._suggested:
            name = f"{self._folder.name}-{self.name.currentText()}{_SUFFIXES[self._kind()]}"
            self._suggested = str(self._folder.parent / name.replace(os.sep, "_"))
            self.target.set_paths(self._suggested)

    # --- writing --------------------------------------------------------------------------

    def write(self) -> None:
        """Write what was entered, asking before a file is replaced."""
        if self.job is not None:
            return
        path = self.target.path()
        if path is None:
            self.message.tell_error("Choose the file to write.")
            return
        try:
            settings = self.form.settings()
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        assert isinstance(settings, ExportSettings)
        target = file_to_write(self, path)
        if target is None:
            self.message.tell("Nothing was written.")
            return
        order = ExportOrder(
            str(self._folder), self.name.currentText(), self._opened, *target, settings
        )
        self.message.tell("")
        self.progress.start("Opening the events…")
        self.job = Job(f"writing {target.path}", order.carry_out)
        self.job.progressed.connect(self._show_progress)
        self.job.succeeded.connect(self._written)
        self.job.failed.connect(self.message.tell_error)
        self.job.stopped.connect(self._stopped)
        self.job.ended.connect(self._ended)
        self._set_busy(True)
        self.job.start()

    def cancel(self) -> None:
        """Stop writing."""
        if self.job is not None:
            self.job.stop()
            self.message.tell("Stopping after the events that are being written…")

    def reject(self) -> None:
        """Close, and stop what is being written."""
        if self.job is not None:
            self.job.stop()
        super().reject()

    def _show_progress(self, counts: tuple[int, int] | None) -> None:
        if counts is None:
            self.progress.start("Writing…")
        else:
            self.progress.show_counts(counts)

    def _written(self, made: ExportSummary) -> None:
        events = f"{made.events} event{'s' * (made.events != 1)}"
        self.message.tell(" ".join([f"{events} written to {made.path}.", *made.notes]))

    def _stopped(self) -> None:
        self.message.tell("Stopped; no file was written.")

    def _ended(self) -> None:
        self.job = None
        self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self._inputs.setEnabled(not busy)
        self.write_button.setEnabled(not busy)
        self.cancel_button.setEnabled(busy)
        if not busy:
            self.progress.stop()
