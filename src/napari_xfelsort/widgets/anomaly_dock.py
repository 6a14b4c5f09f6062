"""The Anomalies dock: what anomalies the events of a run have, when, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_xfelsort.core.anomalies.default import DEFAULT
from napari_xfelsort.core.anomalies.model_file import save_anomaly_model
from napari_xfelsort.core.deep import DeepModel
from napari_xfelsort.core.deep.applying import AnyModel, load_any
from napari_xfelsort.widgets.anomaly_ask import Asker
from napari_xfelsort.widgets.anomaly_bars import title_of
from napari_xfelsort.widgets.anomaly_form import AnomalyParts
from napari_xfelsort.widgets.anomaly_ranking import neighbour_in_rank, place_of
from napari_xfelsort.widgets.anomaly_train import NETWORK_SUFFIX, SUFFIX
from napari_xfelsort.widgets.anomaly_work import (
    EventJudgement,
    Judged,
    TrainedModel,
    TrainTask,
    about,
    judging,
    judging_event,
    training,
)
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.sort_order import plural
from napari_xfelsort.widgets.workers import Job, Report

#: Milliseconds between two looks at the run while it is judged.
_PAUSE = 700


class AnomalyDock(AnomalyParts):
    """Judges the open run for anomalies, and shows when and where they are.

    Attributes
    ----------
    model : AnomalyModel or DeepModel or None
        Who judges.
    judged : Judged or None
        What is known of the run; None without a run or model.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None
        self.model: AnyModel | None = None
        self.judged: Judged | None = None
        self._kept: dict[str, Judged] = {}
        self._trained: TrainedModel | None = None
        self._folder = self._counted = ""
        self._live = Asker("judging the event shown")
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(_PAUSE)
        self._look.timeout.connect(self._show_run)
        self._build(napari_viewer)
        self._connect()
        self._use_run(self.chooser.run)
        self._about_model("")
        self.load()

    def _connect(self) -> None:
        self.chooser.run_chosen.connect(self._use_run)
        self.model_file.chosen.connect(self.load)
        self.train_panel.train_wanted.connect(self.train)
        self.train_panel.save_wanted.connect(self.save_model)
        self.bars.chosen.connect(self._chosen)
        self.course.clicked.connect(self._clicked)
        self.course.told.connect(self.message.tell_done)
        self._live.answered.connect(self._take_event)
        self._live.failed.connect(self._event_failed)
        self.saving.wanted.connect(self._save)

    @property
    def busy(self) -> bool:
        """Whether anything is going on beside the window."""
        return self.job is not None or self._live.busy or self.where.busy

    def release(self) -> None:
        """Let go of callbacks and work, and take the map from the picture."""
        self._look.stop()
        self._live.forget()
        self.where.release()
        self.course.release()
        super().release()

    # --- run and model --------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._run = run
        self.follow_run(run, shown=self._on_event, changed=self._begin, labelled=self._labelled)
        self._labelled()
        self._begin()

    def _labelled(self) -> None:
        """Train on the folder that the run is labelled in, unless another was chosen."""
        store = None if self._run is None else self._run.labels
        if store is not None and (self.train_panel.labels.path() or "") == self._folder:
            self._folder = str(store.folder)
            self.train_panel.labels.set_paths(self._folder)

    def _begin(self) -> None:
        """Another run, model, geometry or mask: what is known of it by this model."""
        if self.job is not None:
            self.job.stop()
        self._live.forget()
        run, model = self._run, self.model
        self.judged = None
        if run is not None and model is not None:
            kept = self._kept.get(run.key)
            if kept is None or kept.model is not model or kept.stack is not run.stack:
                kept = Judged(model, run.stack)
            self.judged = self._kept[run.key] = kept
        self._kept = {r.key: self._kept[r.key] for r in self.runs.runs if r.key in self._kept}
        if model is None:
            self.bars.show_model((), np.zeros(0))
        elif self.bars.rows.names != model.class_names or (
            not np.array_equal(self.bars.rows.thresholds, model.thresholds)
        ):
            self.bars.show_model(model.class_names, model.thresholds)
        self.where.use(run, self.judged)
        self.saving.use(run, self.judged)
        for box in (self.event_box, self.run_box, self.saving):
            box.setVisible(self.judged is not None)
        self._show_run()
        self._on_event(-1 if run is None or run.current is None else run.current)
        self.set_busy(self.job is not None)

    def load(self, path: str = "") -> None:
        """Judge with the model of the file that was chosen; without one with the default."""
        path = self.model_file.path() or DEFAULT
        if self.job is not None:
            return
        if path != DEFAULT:
            path = os.path.abspath(os.path.expanduser(path))

        def work(report: Report) -> tuple[str, AnyModel]:
            return path, load_any(path)

        job = Job("loading a model", work)
        job.succeeded.connect(self._loaded)
        self._start(job, "Loading the model…")

    def _loaded(self, found: tuple[str, AnyModel]) -> None:
        path, self.model = found
        self._about_model(path)
        self._begin()

    def _about_model(self, path: str) -> None:
        if self.model is None:
            self.about_model.tell("Choose a model to judge with, or train one on labelled events.")
        else:
            self.about_model.tell(about(self.model, path))

    # --- training -------------------------------------------------------------------------

    def train(self) -> None:
        """Train a model on the labels that were entered."""
        panel, run = self.train_panel, self._run
        folder = panel.labels.path()
        if self.job is not None:
            return
        if run is None or folder is None:
            what = "Open a run" if run is None else "Choose the folder of labels to train with"
            self.message.tell_error(f"{what}.")
            return
        folder = os.path.abspath(os.path.expanduser(folder))
        learner, size = panel.learner.currentData(), panel.sides.currentData()
        task = TrainTask(run.stack, folder, learner, panel.clean.isChecked(), size)
        job = Job("training a model of anomalies", training(task))
        job.succeeded.connect(self._made)
        job.stopped.connect(self._train_stopped)
        self._start(job, "Reading labelled events…")

    def _train_stopped(self) -> None:
        self.message.tell("Stopped; no model was made.")

    def _made(self, made: TrainedModel) -> None:
        self._trained = made
        self.model = made.model
        self.model_file.set_paths()
        self.train_panel.show_made(made)
        self._about_model("")
        self._begin()
        self.message.tell("The model is trained, and judges here. Save it to use it again.")

    def save_model(self) -> None:
        """Save the model that was trained, asking before a file is replaced."""
        made, path = self._trained, self.train_panel.file.path()
        if self.job is not None or made is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to save the model in.")
            return
        model = made.model
        target = file_to_write(
            self, path, NETWORK_SUFFIX if isinstance(model, DeepModel) else SUFFIX
        )
        if target is None:
            return

        def work(report: Report) -> tuple[str, AnyModel]:
            if isinstance(model, DeepModel):
                model.save(*target)
            else:
                save_anomaly_model(model, *target)
            return target.path, model

        job = Job("saving a model", work)
        job.succeeded.connect(self._model_saved)
        self._start(job, "Saving the model…")

    def _model_saved(self, saved: tuple[str, AnyModel]) -> None:
        path, model = saved
        self.message.tell(f"The model is in {path}.")
        if model is self.model:
            self.model_file.set_paths(path)
            self._about_model(path)

    # --- judging --------------------------------------------------------------------------

    def judge(self) -> None:
        """Judge the events of the run that were not judged yet."""
        judged = self.judged
        if self.job is not None or judged is None:
            return
        if judged.done.all():
            self.message.tell("All events are judged.")
            return
        job = Job("judging a run for anomalies", judging(judged))
        job.succeeded.connect(self._all_judged)
        job.stopped.connect(self._judge_stopped)
        self._start(job, "Judging…")

    def _judge_stopped(self) -> None:
        judged = self.judged
        n = 0 if judged is None else judged.n_done
        self._show_run()
        self.message.tell(f"Stopped; {plural(n, 'event')} judged are kept. Judge run goes on.")

    def _all_judged(self, judged: Judged) -> None:
        if judged is not self.judged:
            return
        self._show_run()
        self._refresh_event()
        n, failed = len(judged.done), len(judged.failed)
        clean = n - failed - int(judged.model.choose(judged.probabilities).any(axis=1).sum())
        text = f"{plural(n, 'event')} judged, {clean} without any of them."
        if failed:
            text += f" {failed} could not be judged: {next(iter(judged.failed.values()))}"
        self.message.tell(text)

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self._counted = ""
        job.progressed.connect(self._progressed)
        self.progress.start(doing)
        self.run_job(job)

    def _progressed(self, state: tuple[str, int, int]) -> None:
        what, done, total = state
        if what != self._counted:  # other things take other time
            self._counted = what
            self.progress.start("")
        self.progress.show_counts((done, total), what)
        if self.judged is not None and self.judged.n_done:
            self._refresh_event()
            if not self._look.isActive():
                self._look.start()

    def _show_run(self) -> None:
        """Show what is known of the run now."""
        self._look.stop()
        judged = self.judged
        if judged is None or not judged.done.any():
            self.course.show_run((), np.zeros(0), np.zeros((0, 0)))
            self.bars.rows.set_counts(())
        else:
            names, values = judged.model.class_names, judged.probabilities
            self.course.show_run(names, judged.model.thresholds, values)
            self.bars.rows.set_counts(judged.having().tolist())
        self._allow()
        self._tell_rank()

    # --- the event shown ------------------------------------------------------------------

    def _on_event(self, i: int) -> None:
        judged, event = self.judged, self._event
        self.course.show_event(event)
        self._refresh_event()
        if judged is not None and event is not None and not judged.done[event]:
            self._live.ask(judging_event(judged, event))
        self.where.show_event(event, self.bars.chosen_name())

    @property
    def _event(self) -> int | None:
        return None if self._run is None else self._run.current

    def _refresh_event(self) -> None:
        """Show what is known of the event that is shown."""
        judged, event = self.judged, self._event
        if judged is None or event is None or not judged.done[event]:
            self.bars.rows.set_event(None)
            self.told_event.tell("" if judged is None else "This event is not judged yet.")
        elif event in judged.failed:
            self.bars.rows.set_event(None)
            self.told_event.tell_error(judged.failed[event])
        else:
            own = judged.probabilities[event]
            self.bars.rows.set_event(own)
            has = judged.model.choose(own[np.newaxis])[0]
            names = [title_of(n) for n, h in zip(judged.model.class_names, has, strict=True) if h]
            self.told_event.tell(f"Event {event}: {', '.join(names) or 'none of them'}.")
        self._tell_rank()

    def _take_event(self, found: EventJudgement) -> None:
        if found.judged is not self.judged:
            return
        if not found.judged.done[found.event]:
            found.judged.take(np.array([found.event]), found.table)
        self._refresh_event()
        if self.job is None:
            self._show_run()

    def _event_failed(self, sentence: str) -> None:
        self.told_event.tell_error(sentence)

    # --- from the worst on ----------------------------------------------------------------

    def worst(self) -> None:
        """Go to the event that has the chosen anomaly most clearly."""
        self._go(0)

    def next_worst(self) -> None:
        """Go to the next one."""
        self._go(1)

    def before_it(self) -> None:
        """Go to the one before."""
        self._go(-1)

    def _go(self, step: int) -> None:
        values, run = self._values(), self._run
        found = None if values is None else neighbour_in_rank(values, self._event, step)
        if run is not None and found is not None:
            run.go_to(found[0])

    def _values(self) -> NDArray[np.float64] | None:
        judged, name = self.judged, self.bars.chosen_name()
        if judged is None or not name:
            return None
        return judged.probabilities[:, judged.model.class_names.index(name)]

    def _tell_rank(self) -> None:
        values, event, judged = self._values(), self._event, self.judged
        text = ""
        if values is not None and judged is not None and judged.done.any():
            n = int(np.count_nonzero(np.isfinite(values)))
            text = f"{n} of {plural(len(values), 'event')} judged."
            if event is not None and np.isfinite(values[event]):
                name = title_of(self.bars.chosen_name())
                text = f"{name}: place {place_of(values, event) + 1}. {text}"
        self.place.setText(text)

    def _clicked(self, name: str, event: int) -> None:
        self.bars.choose(name)
        if self._run is not None:
            self._run.go_to(event)

    def _chosen(self, name: str) -> None:
        self.course.choose(name)
        self._tell_rank()
        self.where.show_event(self._event, name)

    def _save(self, work: Callable[[Report], str]) -> None:
        if self.job is not None:
            return
        job = Job("saving anomalies", work)
        job.succeeded.connect(self.saving.told.tell)
        self._start(job, "Saving…")

    # --- how it looks ---------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One work at a time; events can be looked at meanwhile."""
        self.cancel_button.setEnabled(busy)
        self.model_file.setEnabled(not busy)
        self.chooser.setEnabled(not busy and len(self.runs.runs) > 1)
        self._allow()
        if not busy:
            self.progress.stop()

    def _allow(self) -> None:
        free, judged = self.job is None, self.judged
        some = judged is not None and bool(judged.done.any())
        self.judge_button.setEnabled(free and judged is not None)
        self.train_panel.allow(free and self._run is not None, free and self._trained is not None)
        for each in (self.worst_button, self.next_button, self.back_button):
            each.setEnabled(some)
        self.saving.allow(free and some)
