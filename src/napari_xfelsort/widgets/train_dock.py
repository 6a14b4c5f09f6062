"""The dock that trains a model on labelled events, and shows how well it does."""

from __future__ import annotations

import functools
import os
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QGroupBox, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import RegionError, SettingsError, XfelsortError
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.model import Model, load_model
from napari_xfelsort.core.training import train_with
from napari_xfelsort.widgets.dock import Dock, PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.plot_metrics import draw_metrics, metrics_height
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.train_form import TrainForm
from napari_xfelsort.widgets.workers import Job, Report, counted

_SUFFIX = ".xfelmodel"
_FILTER = f"Model (*{_SUFFIX})"
#: Milliseconds until labels are counted again: not at each of many that are set.
_COUNT_DELAY = 200


class TrainDock(Dock):
    """Trains a model on the labelled events of a run.

    Attributes
    ----------
    model : Model or None
        The one that was trained or loaded last.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.model: Model | None = None
        self._run: Run | None = None
        self._followed = ""
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_COUNT_DELAY)
        self._timer.timeout.connect(self._count)
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)
        self.set_busy(False)

    def release(self) -> None:
        super().release()
        self._timer.stop()
        self._use_run(None)
        self.region.release()
        self.plot.release()

    # --- the run and its labels -----------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self._run is not None:
            self._run.labelled.disconnect(self._follow_labels)
        self._run = run
        if run is not None:
            run.labelled.connect(self._follow_labels)
            self._followed = self.labels.path() or ""
        self.region.set_run(run)
        self._follow_labels()
        self._count()
        self.set_busy(self.job is not None)

    def _follow_labels(self) -> None:
        """Use the folder that the run is labelled in, unless another was chosen for it."""
        store = None if self._run is None else self._run.labels
        if store is not None and (self.labels.path() or "") == self._followed:
            self._followed = str(store.folder)
            self.labels.set_paths(self._followed)
        self._timer.start()

    def _count(self, *_: Any) -> None:
        """Tell how many labels the folder has."""
        folder = self.labels.path()
        store = None if self._run is None else self._run.labels
        try:
            if folder is None:
                text = ""
            elif store is not None and str(store.folder) == folder:
                text = _counts(store)
            else:
                text = _counts(LabelStore(folder, create=False))
        except XfelsortError as error:
            text = str(error)
        self.counts.setText(text)
        self.counts.setVisible(bool(text))

    # --- training -----------------------------------------------------------------------

    def train(self) -> None:
        """Train a model with what was entered."""
        if self.job is not None or self._run is None:
            return
        folder = self.labels.path()
        if folder is None:
            self.message.tell_error("Choose the folder of labels to train with.")
            return
        try:
            settings, region = self.form.settings(), self.region.region()
        except (SettingsError, RegionError) as error:
            self.message.tell_error(str(error))
            return
        stack = self._run.stack

        def work(report: Report) -> Model:
            model = train_with(stack, folder, settings, region, counted(report))
            report(None)  # where a request to stop is heard that came during the fit
            return model

        job = Job("training a model", work)
        job.succeeded.connect(self._trained)
        self._start(job, "Reading labelled events…")

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        job.progressed.connect(self._show_progress)
        job.stopped.connect(self._stopped)
        self.progress.start(doing)
        self.run_job(job)

    def cancel(self) -> None:
        """Ask the work to stop."""
        if self.job is not None:
            self.job.stop()
            self.message.tell("Stopping after the events that are being read…")

    def _show_progress(self, counts: tuple[int, int] | None) -> None:
        if counts is None or counts[0] >= counts[1]:
            self.progress.start("Fitting the model…")
        else:
            self.progress.show_counts(counts)

    def _stopped(self) -> None:
        self.message.tell("Stopped; no model was made.")

    def _trained(self, model: Model) -> None:
        self._show_model(model, [])
        self.message.tell("The model is trained. Save it to sort with it.")

    def set_busy(self, busy: bool) -> None:
        self.train_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(busy)
        self.load_button.setEnabled(not busy)
        self.save_button.setEnabled(not busy and self.model is not None)
        for part in (self.chooser, self.region, self.form, self.labels):
            part.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    # --- the model ----------------------------------------------------------------------

    def _show_model(self, model: Model, cautions: list[str]) -> None:
        self.model = model
        self.plot.draw(
            functools.partial(draw_metrics, metrics=model.metrics), metrics_height(model.metrics)
        )
        # The tables of the report are in the picture.
        summary = model.report_text().split("\n\n")[0].splitlines()
        notes = [f"Note: {note}" for note in (*cautions, *model.warnings)]
        self.notes.setText("\n".join([*summary, *notes]))
        self.results.setVisible(True)
        self.set_busy(self.job is not None)
        QTimer.singleShot(0, self._scroll_to_results)

    def _scroll_to_results(self) -> None:
        self.ensureWidgetVisible(self.results, 0, 0)

    def save(self) -> None:
        """Save the model to the file that was entered, asking before one is replaced."""
        path, model = self.model_file.path(), self.model
        if self.job is not None or model is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to save the model in.")
            return
        target = file_to_write(self, path, _SUFFIX)
        if target is None:
            return

        def work(report: Report) -> str:
            model.save(target.path, overwrite=target.replaces)
            return target.path

        job = Job("saving a model", work)
        job.succeeded.connect(self._saved)
        self._start(job, "Saving the model…")

    def _saved(self, path: str) -> None:
        self.model_file.set_paths(path)
        self.message.tell(f"The model is in {path}.")
        self.runs.use_model(path)

    def load(self) -> None:
        """Ask for a model file and show how well that model does."""
        path = QFileDialog.getOpenFileName(self, "Load a model", "", _FILTER)[0]
        if path:
            self.load_path(path)

    def load_path(self, path: str) -> None:
        """Load a model file, and check that the model suits the run."""
        if self.job is not None:
            return
        stack = None if self._run is None else self._run.stack

        def work(report: Report) -> tuple[str, Model, list[str]]:
            model = load_model(path)
            return path, model, [] if stack is None else model.check(stack)

        job = Job("loading a model", work)
        job.succeeded.connect(self._loaded)
        self._start(job, "Loading the model…")

    def _loaded(self, found: tuple[str, Model, list[str]]) -> None:
        path, model, cautions = found
        self._show_model(model, cautions)
        self.model_file.set_paths(path)
        self.message.tell(f"The model of {os.path.basename(path)} is loaded.")
        self.runs.use_model(path)

    def _tell_picture(self, sentence: str, done: bool) -> None:
        (self.message.tell if done else self.message.tell_error)(sentence)

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.labels = PathField("labels", "folder", "Folder of labels", placeholder="folder")
        self.labels.line.setToolTip("The folder that the Label dock keeps labels in")
        self.labels.chosen.connect(self._count)
        self.counts = _text("label_counts")
        self.region = RegionPicker(self.runs)
        self.form = TrainForm()
        self.progress = EventProgress()
        tip = "Train a model on the labelled events, and test it on those it has not seen"
        self.train_button = button("Train", "train", tip, self.train)
        tip = "Stop training; nothing is kept of it"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        tip = "Load a model file and see how well that model does"
        self.load_button = button("Load model…", "load_model", tip, self.load)
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        about.addRow("Labels", self.labels)
        about.addRow("", self.counts)
        about.addRow("Region", self.region)
        self.body.addLayout(about)
        self.body.addWidget(_group("Settings", self.form))
        self.body.addLayout(row(self.train_button, self.cancel_button, self.load_button))
        for widget in (self.progress, self.message, self._results(napari_viewer)):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _results(self, napari_viewer: Any) -> QWidget:
        self.plot = Plot(napari_viewer, "metrics")
        self.plot.told.connect(self._tell_picture)
        self.notes = _text("notes")
        self.model_file = PathField(
            "model_file", "new file", "Save the model", _FILTER, f"NAME{_SUFFIX}"
        )
        self.model_file.line.setToolTip("The file to save the model in")
        tip = "Save the model, to sort with it here or with the command line"
        self.save_button = button("Save model", "save_model", tip, self.save)
        tip = "Save the picture as PNG, SVG or PDF, on white"
        picture = button("Save picture…", "save_picture", tip, self.plot.save)
        file = QWidget()
        file.setLayout(row("File", self.model_file))
        buttons = QWidget()
        buttons.setLayout(row(self.save_button, picture))
        self.results = _group("Model", self.plot, self.notes, file, buttons)
        self.results.setVisible(False)
        return self.results


def _counts(store: LabelStore) -> str:
    counts = store.counts()
    if not counts:
        return "no labels yet"
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    return label


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    column = QVBoxLayout(group)
    column.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        column.addWidget(widget)
    return group
