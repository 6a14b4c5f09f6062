"""The dock that trains a model on labelled events, and shows how well it does."""

from __future__ import annotations

import os
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QGroupBox, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import RegionError, SettingsError
from napari_xfelsort.core.learning.comparison import Compared
from napari_xfelsort.core.learning.judging import DecisionRule
from napari_xfelsort.core.learning.learning_curve import LearningPoint
from napari_xfelsort.core.learning.overview import changed_labels
from napari_xfelsort.core.learning.rule_choice import with_rule_by_hand
from napari_xfelsort.core.model import Model, load_model
from napari_xfelsort.widgets.dock import Dock, PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.train_form import TrainForm
from napari_xfelsort.widgets.train_relabel import RelabellingDock
from napari_xfelsort.widgets.train_results import COMPARED, REPORT, ResultsPanel
from napari_xfelsort.widgets.train_summary import SummaryPanel
from napari_xfelsort.widgets.train_work import (
    EPOCHS,
    EVENTS,
    Step,
    Summary,
    Task,
    Trained,
    learning,
    training,
)
from napari_xfelsort.widgets.workers import Job, Report

_SUFFIX = ".xfelmodel"
_FILTER = f"Model (*{_SUFFIX})"
#: What is not stopped half way, by what is counted.
_ONE = {EPOCHS: "epoch"}


class TrainDock(RelabellingDock):
    """Trains a model on the labelled events of a run.

    Attributes
    ----------
    model : Model or None
        The one that was trained or loaded last.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.model: Model | None = None
        self._folder = ""
        self._trained: Trained | None = None
        self._step, self._kept = Step(), False
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)
        self.set_busy(False)

    def release(self) -> None:
        super().release()
        self._use_run(None)
        self.summary.release()
        self.region.release()
        self.results_panel.release()
        self._trained = None

    # --- the run and its labels -----------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self._run is not None:
            self._run.labelled.disconnect(self._labelled)
            self._run.changed.disconnect(self._run_changed)
        self._run = run
        if run is not None:
            run.labelled.connect(self._labelled)
            run.changed.connect(self._run_changed)
            self._folder = self.labels.path() or ""
        self.region.set_run(run)
        self.results_panel.follow_run(run)
        self._labelled()
        self.set_busy(self.job is not None)

    def _run_changed(self) -> None:
        """Other files, or the same with another geometry."""
        self.results_panel.follow_run(self._run)
        self._look()

    def _labelled(self) -> None:
        """Use the folder that the run is labelled in, unless another was chosen for it."""
        store = None if self._run is None else self._run.labels
        if store is not None and (self.labels.path() or "") == self._folder:
            self._folder = str(store.folder)
            self.labels.set_paths(self._folder)
        self.results_panel.labels_changed()
        self._look()

    def _look(self, *_: Any) -> None:
        """Have the training set looked at, as it is entered now."""
        try:
            settings, region = self.form.settings(), self.region.region()
        except (SettingsError, RegionError):
            settings, region = None, None
        stack = None if self._run is None else self._run.stack
        self.summary.ask(stack, self.labels.path(), settings, region)

    def _looked(self, summary: Summary) -> None:
        self.form.offer_targets(summary.classes, summary.several)
        trained, now = self._trained, summary.overview
        text = ""
        if trained is not None and now is not None and trained.task.folder == self.labels.path():
            n = len(changed_labels(trained.labels, now.labels))
            same = self.form.inputs["target"].value() == trained.task.settings.target
            if n and same and trained.task.stack is self._stack:
                text = f"{n} label{'s' * (n != 1)} changed since training: train again to use "
                text += "them." if n != 1 else "it."
        self.changes.setText(text)
        self.changes.setVisible(bool(text))

    @property
    def _stack(self) -> Any:
        return None if self._run is None else self._run.stack

    # --- training -----------------------------------------------------------------------

    def train(self) -> None:
        """Train a model with what was entered."""
        self._train(compare=False)

    def compare(self) -> None:
        """Train every model on the same events."""
        self._train(compare=True)

    def _train(self, compare: bool) -> None:
        if self.job is not None or self._run is None:
            return
        folder = self.labels.path()
        if folder is None:
            self.message.tell_error("Choose the folder of labels to train with.")
            return
        try:
            settings = self.form.settings()
            network = None if compare else self.form.network_settings()
            task = Task(self._run.stack, folder, settings, self.region.region(), network)
        except (SettingsError, RegionError) as error:
            self.message.tell_error(str(error))
            return
        if network is not None and self.form.missing:
            self.message.tell_error(self.form.missing)
            return
        self._kept = getattr(network, "resume", False)
        job = Job("training a model", training(task, compare))
        job.succeeded.connect(self._made)
        job.stopped.connect(self._stopped)
        self._start(job, "Reading labelled events…")

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self._step = Step(EVENTS)
        job.progressed.connect(self._show_progress)
        self.progress.start(doing)
        self.run_job(job)

    def cancel(self) -> None:
        """Ask the work to stop."""
        what, done, total, _ = self._step
        reading = what == EVENTS and done < total
        self.finishing = Dock.finishing if reading else f"this {_ONE.get(what, 'fit')}"
        super().cancel()

    def _show_progress(self, state: Step | None) -> None:
        before, self._step = self._step, state or Step()
        what, done, total, note = self._step
        if note and note != before.note:
            self.message.tell(note)
        if what != EVENTS and total > 1:
            self.progress.show_counts((done, total), what)
        elif what == EVENTS and done < total:
            self.progress.show_counts((done, total))
        else:
            self.progress.start("Fitting the model…")

    def _stopped(self) -> None:
        kept = ""
        if self._kept and self._step.what == EPOCHS:
            kept = " What the networks learnt is kept; Train goes on from there."
        self.message.tell(f"Stopped; no model was made.{kept}")

    def _made(self, made: Trained) -> None:
        self._trained = made
        if made.comparison is None:
            assert made.model is not None
            if self.results_panel.view.currentText() == COMPARED:
                self.results_panel.show_view(REPORT)
            self._show_model(made.model, [])
            self.message.tell("The model is trained. Save it to sort with it.")
        else:
            self.results_panel.show_comparison(made.comparison)
            self.results_panel.show_view(COMPARED)
            self._show_model(made.comparison.best, [])
            self.message.tell(
                "All models are trained; the best by cross-validation is shown. Keep it or "
                "another, and save it to sort with it."
            )
        self._look()

    def _keep(self, compared: Compared) -> None:
        """Go on with a model of the comparison."""
        name = compared.name.replace("_", " ")
        if compared.model is None:
            self.message.tell_error(f"There is no {name}: {compared.why_not}")
            return
        self.results_panel.show_view(REPORT)
        self._show_model(compared.model, [])
        self.message.tell(f"The model is the {name} now. Save it to sort with it.")

    def learn(self) -> None:
        """Train with more and more of the labels."""
        trained, model = self._trained, self.model
        if self.job is not None or trained is None or model is None:
            return
        settings = type(trained.task.settings).from_dict(model.provenance["settings"])
        job = Job("finding the learning curve", learning(trained, settings))
        job.succeeded.connect(self._learnt)
        job.stopped.connect(self._stopped_learning)
        self._start(job, "Training with more and more labels…")

    def _learnt(self, points: list[LearningPoint]) -> None:
        self.results_panel.show_learning(points)

    def _stopped_learning(self) -> None:
        self.message.tell("Stopped; there is no learning curve.")

    def set_busy(self, busy: bool) -> None:
        for each in (self.train_button, self.compare_button):
            each.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(busy)
        self.load_button.setEnabled(not busy)
        self.save_button.setEnabled(not busy and self.model is not None)
        for part in (self.chooser, self.region, self.form, self.labels, self.results_panel):
            part.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    # --- the model ----------------------------------------------------------------------

    def _show_model(self, model: Model, cautions: list[str]) -> None:
        earlier, self.model = self.model, model
        at_hand = self._is_at_hand(model)
        self.results_panel.show_model(model, self._run, cautions, earlier, at_hand)
        self.results.setVisible(True)
        self.set_busy(self.job is not None)
        QTimer.singleShot(0, self._scroll_to_results)

    def _is_at_hand(self, model: Model) -> bool:
        """Whether the training set of the model is the one that was read last."""
        made = self._trained
        if made is None:
            return False
        rows = [] if made.comparison is None else made.comparison.rows
        estimators = [row.model.estimator for row in rows if row.model is not None]
        if made.model is not None:
            estimators.append(made.model.estimator)
        return any(model.estimator is each for each in estimators)

    def _scroll_to_results(self) -> None:
        self.verticalScrollBar().setValue(self.results.y())

    def _use_rule(self, rule: DecisionRule, where: str) -> None:
        """Store a threshold that was chosen by hand."""
        model = self.model
        if self.job is not None or model is None:
            return

        def work(report: Report) -> Model:
            return with_rule_by_hand(model, rule, where)

        job = Job("judging the threshold", work)
        job.succeeded.connect(self._ruled)
        self._start(job, "Judging the threshold…")

    def _ruled(self, model: Model) -> None:
        self._show_model(model, [])
        self.message.tell("The model has this threshold now. Save it to sort with it.")

    # --- files ------------------------------------------------------------------------------

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
        stack = self._stack

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

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.labels = PathField("labels", "folder", "Folder of labels", placeholder="folder")
        self.labels.line.setToolTip("The folder that the Label dock keeps labels in")
        self.labels.chosen.connect(self._look)
        self.summary = SummaryPanel()
        self.summary.found.connect(self._looked)
        self.region = RegionPicker(self.runs)
        self.region.changed.connect(self._look)
        self.form = TrainForm()
        self.form.changed.connect(self._look)
        self.progress = EventProgress()
        tip = "Train a model on the labelled events, and test it on those it has not seen"
        self.train_button = button("Train", "train", tip, self.train)
        tip = "Train every model on the same events, and show them side by side"
        self.compare_button = button("Compare all", "compare", tip, self.compare)
        tip = "Stop training; of networks what they learnt is kept, of others nothing"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        tip = "Load a model file and see how well that model does"
        self.load_button = button("Load model…", "load_model", tip, self.load)
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        about.addRow("Labels", self.labels)
        about.addRow("Region", self.region)
        self.body.addLayout(about)
        self.body.addWidget(_group("Settings", self.form))
        self.body.addWidget(_group("Training set", self.summary))
        self.changes = QLabel()
        self.changes.setObjectName("label_changes")
        self.changes.setWordWrap(True)
        self.changes.setVisible(False)
        self.body.addLayout(row(self.train_button, self.compare_button))
        self.body.addLayout(row(self.cancel_button, self.load_button))
        for widget in (self.progress, self.message, self.changes, self._results(napari_viewer)):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _results(self, napari_viewer: Any) -> QWidget:
        panel = self.results_panel = ResultsPanel(napari_viewer, self.runs)
        self.plot = panel.plot
        for plot in panel.plots:
            plot.told.connect(self.message.tell_done)
        panel.important.told.connect(self.message.tell_done)
        panel.curve_wanted.connect(self.learn)
        panel.threshold.wanted.connect(self._use_rule)
        panel.mistakes.relabel.connect(self._relabel)
        panel.mistakes.train_again.connect(self.train)
        panel.compared.kept.connect(self._keep)
        self.model_file = PathField(
            "model_file", "new file", "Save the model", _FILTER, f"NAME{_SUFFIX}"
        )
        self.model_file.line.setToolTip("The file to save the model in")
        tip = "Save the model, to sort with it here or with the command line"
        self.save_button = button("Save model", "save_model", tip, self.save)
        file = QWidget()
        file.setLayout(row("File", self.model_file, self.save_button))
        self.results = _group("Model", panel, file)
        self.results.setVisible(False)
        return self.results


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    column = QVBoxLayout(group)
    column.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        column.addWidget(widget)
    return group
