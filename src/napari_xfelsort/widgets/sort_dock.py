"""The dock that sorts events with a trained model: lists, tables and a report."""

from __future__ import annotations

import functools
import os
from typing import Any

from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.sorting import SortProgress, SortSettings, SortSummary
from napari_xfelsort.core.sorting.folder import REPORT
from napari_xfelsort.widgets.dock import Dock, PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.sort_order import (
    SortOrder,
    SortOutcome,
    plural,
    suggested_folder,
    told,
)
from napari_xfelsort.widgets.sort_table import (
    SortBoard,
    SortModel,
    SortRow,
    fit_columns,
    sort_view,
)
from napari_xfelsort.widgets.source_form import SourceForm
from napari_xfelsort.widgets.workers import Job

_MODELS = "Model (*.xfelmodel);;All files (*)"
_OPEN_RUN, _OTHER_DATA = 0, 1
_AUTOMATIC = -1


class SortDock(Dock):
    """Sorts the open run, or other data, with a model file."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._board: SortBoard | None = None
        self._refused: SortOutcome | None = None
        self._summary: SortSummary | None = None
        self._kept = 0
        self._suggested = ""
        self._followed = ""
        self._build()
        self.chooser.run_chosen.connect(self._use_run)
        self.source.data.chosen.connect(self._suggest)
        self.what.currentIndexChanged.connect(self._choose_what)
        self.scheduler.textChanged.connect(self._enable_workers)
        self.runs.model_saved.connect(self._follow_model)
        self._follow_model(self.runs.model_path or "")
        self.what.setCurrentIndex(_OTHER_DATA if self.chooser.run is None else _OPEN_RUN)
        self._choose_what()
        self.set_busy(False)

    def release(self) -> None:
        super().release()
        self.runs.model_saved.disconnect(self._follow_model, missing_ok=True)

    # --- what is entered ------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if run is not None and not self.source.data.path():
            self.what.setCurrentIndex(_OPEN_RUN)
        self._suggest()

    def _choose_what(self, *_: Any) -> None:
        of_run = self.what.currentIndex() == _OPEN_RUN
        self.chooser.setVisible(of_run)
        self.source.setVisible(not of_run)
        self._suggest()

    def _follow_model(self, path: str) -> None:
        """Use the model that was saved last, unless another was chosen."""
        if (self.model_file.path() or "") == self._followed:
            self._followed = path
            self.model_file.set_paths(*filter(None, [path]))

    def _suggest(self, *_: Any) -> None:
        """Suggest a folder for the results, unless one was chosen."""
        if (self.out.path() or "") == self._suggested:
            paths = self._data_paths()
            self._suggested = suggested_folder(paths[0]) if paths else ""
            self.out.set_paths(*filter(None, [self._suggested]))

    def _data_paths(self) -> tuple[str, ...]:
        if self.what.currentIndex() == _OPEN_RUN:
            return () if self.chooser.run is None else self.chooser.run.opened.paths
        opened = self.source.opened()
        return () if opened is None else opened.paths

    def _enable_workers(self, *_: Any) -> None:
        self.workers.setEnabled(not self.scheduler.text().strip())

    def order(self) -> SortOrder:
        """What was entered.

        Raises
        ------
        SettingsError
            A sentence about what is missing or wrong.
        """
        run = self.chooser.run
        of_run = self.what.currentIndex() == _OPEN_RUN
        data = (run and run.stack) if of_run else self.source.opened()
        if data is None:
            raise SettingsError(
                "Open a run, or choose other data to sort."
                if of_run
                else "Choose the files, folder or list to sort."
            )
        model, out = self.model_file.path(), self.out.path()
        if model is None:
            raise SettingsError("Choose the model to sort with; the Train dock makes one.")
        if out is None:
            raise SettingsError("Choose a folder for the results.")
        settings = self.settings.settings()
        assert isinstance(settings, SortSettings)
        scheduler = self.scheduler.text().strip() or None
        workers = self.workers.value()
        use_workers = scheduler is None and workers != _AUTOMATIC
        return SortOrder(
            data,
            os.path.expanduser(model),
            os.path.abspath(os.path.expanduser(out)),
            workers if use_workers else None,
            scheduler,
            settings,
        )

    # --- sorting --------------------------------------------------------------------------

    def sort(self) -> None:
        """Sort as was entered; the same folder again goes on where it was stopped."""
        if self.job is not None:
            return
        try:
            order = self.order()
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        self._start(order, overwrite=False)

    def _start(self, order: SortOrder, overwrite: bool) -> None:
        self._board = self._refused = self._summary = None
        self._kept = 0
        self.results.setVisible(False)
        self.message.tell("")
        self._show_rate("")
        self.view.setVisible(False)
        self.progress.start("Opening data and model…")
        job = Job(f"sorting into {order.out}", functools.partial(order.carry_out, overwrite))
        job.progressed.connect(self._show_progress)
        job.succeeded.connect(self._finished)
        job.stopped.connect(self._stopped)
        self.run_job(job)

    def cancel(self) -> None:
        """Stop after the events in work; what is done is kept."""
        if self.job is not None:
            self.job.stop()
            self.message.tell("Stopping after the events that are in work…")

    def _show_progress(self, told: tuple[SortBoard, tuple[str, ...]] | None) -> None:
        if told is None:
            return
        board, names = told
        progress = board.progress
        assert progress is not None
        if board is not self._board:
            self._board = board
            self._show_table(board.rows(), names)
        if progress.kept_events != self._kept:
            self._kept = progress.kept_events
            self.message.tell(f"Resumes: {progress.kept_events} events were done before.")
        self.table.change(board.take_changes())
        if progress.file or progress.done_events:
            self._show_counts(board, progress)
        else:
            self.progress.start("Starting…")

    def _show_counts(self, board: SortBoard, progress: SortProgress) -> None:
        if progress.done_events >= progress.total_events:
            self.progress.start("Writing lists and report…")
        else:
            self.progress.show_counts((progress.done_events, progress.total_events))
        rate = board.rate()
        parts = (
            []
            if rate is None
            else [f"{rate:.3g} events/s" if rate < 100 else f"{rate:.0f} events/s"]
        )
        parts.append(f"{progress.done_files} of {plural(progress.total_files, 'file')}")
        parts.append(f"{progress.failed} failed")
        self._show_rate(", ".join(parts))

    def _show_rate(self, text: str) -> None:
        self.rate.setText(text)
        self.rate.setVisible(bool(text))

    def _show_table(self, rows: list[SortRow], names: tuple[str, ...]) -> None:
        self.table.show_rows(rows, names)
        self.view.setVisible(True)
        fit_columns(self.view)

    def _stopped(self) -> None:
        self.message.tell(
            "Stopped. What was sorted is kept; Sort with the same folder goes on from there."
        )

    def _finished(self, outcome: SortOutcome) -> None:
        summary = outcome.summary
        if summary is None:
            self._refused = outcome
            return
        self._summary = summary
        self._show_table([SortRow.of(result) for result in summary.files], tuple(summary.totals))
        self._show_rate("")
        self.message.tell(told(summary))
        self.lists.setPlainText("\n".join(outcome.lists))
        self.open_report.setEnabled((summary.out / REPORT).is_file())
        self.results.setVisible(True)
        QTimer.singleShot(0, self._scroll_to_results)

    def _scroll_to_results(self) -> None:
        self.ensureWidgetVisible(self.results, 0, 0)

    def _job_ended(self) -> None:
        super()._job_ended()
        if self._refused is not None:
            QTimer.singleShot(0, self._ask_to_replace)

    def _ask_to_replace(self) -> None:
        outcome, self._refused = self._refused, None
        if outcome is None or self.job is not None:
            return
        why = outcome.refused.split("; choose")[0]
        answer = QMessageBox.question(
            self,
            "Replace results?",
            f"{why}. Replace them?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._start(outcome.order, overwrite=True)
        else:
            self.message.tell_error(f"{why}. They are kept; choose another folder.")

    def set_busy(self, busy: bool) -> None:
        self.sort_button.setEnabled(not busy)
        self.cancel_button.setEnabled(busy)
        for part in (self.inputs, self.more):
            part.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    def show_report(self) -> None:
        """Open the report in the browser."""
        self._open(REPORT)

    def show_folder(self) -> None:
        """Open the folder of the results."""
        self._open("")

    def _open(self, name: str) -> None:
        if self._summary is None:
            return
        path = str(self._summary.out / name)
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(path)):
            self.message.tell_error(f"No program was found that opens {path}.")

    # --- widgets --------------------------------------------------------------------------

    def _build(self) -> None:
        self.body.addWidget(self._inputs())
        self.body.addWidget(self._more())
        self.progress = EventProgress()
        self.rate = _text("rate", "Events a second, files done, events that failed")
        self.rate.setVisible(False)
        self.table = SortModel(self)
        self.view = sort_view(self.table)
        self.view.setVisible(False)
        tip = "Sort; the same folder again goes on where it was stopped"
        self.sort_button = button("Sort", "sort", tip, self.sort)
        tip = "Stop sorting; what is done is kept, and the same folder goes on from there"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        self.body.addLayout(row(self.sort_button, self.cancel_button))
        for widget in (self.progress, self.rate, self.message, self.view, self._results()):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _inputs(self) -> QWidget:
        self.what = QComboBox()
        self.what.setObjectName("what")
        self.what.setToolTip("The run that is open, as it is shown, or data that are not open")
        self.what.addItems(["the open run", "other data"])
        self.chooser = RunChooser(self.runs)
        self.source = SourceForm()
        self.model_file = PathField("model", "file", "Choose a model", _MODELS, "model file")
        self.model_file.line.setToolTip("The model that decides: a file NAME.xfelmodel")
        self.out = PathField(
            "out", "new folder", "Choose a folder for the results", placeholder="folder"
        )
        self.out.line.setToolTip("Folder for the results; it is made when it is not there")
        self.workers = QSpinBox()
        self.workers.setObjectName("workers")
        self.workers.setRange(_AUTOMATIC, 1024)
        self.workers.setSpecialValueText("automatic")
        self.workers.setValue(_AUTOMATIC)
        self.workers.setToolTip(
            "Processes that sort: automatic is one a core, 0 sorts in napari's own process"
        )
        for widget in (self.what, self.workers):
            needs_focus_for_wheel(widget)
        self.inputs = QWidget()
        form = QFormLayout(self.inputs)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Sort", self.what)
        form.addRow("", self.chooser)
        form.addRow(self.source)
        form.addRow("Model", self.model_file)
        form.addRow("Results", self.out)
        form.addRow("Workers", self.workers)
        return self.inputs

    def _more(self) -> QWidget:
        self.settings = SettingsForm(SortSettings)
        self.scheduler = QLineEdit()
        self.scheduler.setObjectName("scheduler")
        self.scheduler.setPlaceholderText("tcp://host:port")
        tip = "Dask scheduler whose workers sort instead; they must see the same files"
        self.scheduler.setToolTip(tip)
        self.settings.rows.addRow("scheduler", self.scheduler)
        self.more = QCollapsible("Settings", expandedIcon="▼", collapsedIcon="▶")
        self.more.setObjectName("more")
        self.more.setDuration(0)
        self.more.addWidget(self.settings)
        self.more.collapse(animate=False)
        return self.more

    def _results(self) -> QWidget:
        self.lists = QPlainTextEdit()
        self.lists.setObjectName("lists")
        self.lists.setReadOnly(True)
        self.lists.setFixedHeight(76)
        self.lists.setToolTip("Lists of events, as CrystFEL reads them")
        self.open_report = button(
            "Open report", "open_report", "Open the report in the browser", self.show_report
        )
        folder = button(
            "Open folder", "open_folder", "Open the folder of the results", self.show_folder
        )
        self.results = QGroupBox("Lists")
        column = QVBoxLayout(self.results)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.lists)
        column.addLayout(row(self.open_report, folder))
        self.results.setVisible(False)
        return self.results


def _text(name: str, tip: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setToolTip(tip)
    label.setWordWrap(True)
    return label
