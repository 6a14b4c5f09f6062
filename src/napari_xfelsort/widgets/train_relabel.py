"""The half of the Train dock that labels anew what a model decided wrongly."""

from __future__ import annotations

import os
from typing import Any

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.dock import Dock, PathField
from napari_xfelsort.widgets.labelling import event_to_label
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.train_results import ResultsPanel
from napari_xfelsort.widgets.workers import Job


class RelabellingDock(Dock):
    """Labels events of a run into the folder that a model is trained with.

    Attributes
    ----------
    labels : PathField
        That folder.
    results_panel : ResultsPanel
        Where mistakes are listed.
    """

    labels: PathField
    results_panel: ResultsPanel

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None

    def _start(self, job: Job, doing: str) -> None:
        """Start work and say so; for subclasses."""
        raise NotImplementedError

    def _relabel(self, i: int, action: str) -> None:
        """Label an event of the run that the model decided wrongly."""
        run = self._run
        if run is None or self.job is not None:
            return
        folder = self.labels.path() or ""
        try:
            if run.labels is not None and os.path.abspath(folder) != os.path.abspath(
                run.labels.folder
            ):
                raise LabelError(
                    f"Labels of this run go to {run.labels.folder}, and the model was trained "
                    f"with {folder}; choose one of them in both docks."
                )
            self._label(run, i, action)
        except LabelError as error:
            self.message.tell_error(str(error))

    def _label(self, run: Run, i: int, action: str) -> None:
        self.message.tell("")
        if action in (keys.UNDO, keys.REDO):
            change = run.redo() if action == keys.REDO else run.undo()
            what = "nothing" if change is None else change.text
            self.message.tell(f"{'Done again' if action == keys.REDO else 'Undone'}: {what}.")
            return
        label = None if action == keys.CLEAR else action
        if event_to_label(run, self.runs.runs, label) != i:
            return
        if run.history is None:
            self._label_first(run, i, label)
            return
        if label in run.classes.names:
            label = run.classes.toggled(run.label_of(i), label) or None
        run.set_label(i, label)
        self._labelled_one(i, label)

    def _label_first(self, run: Run, i: int, label: str | None) -> None:
        """The labels of the folder are to be read first; then it is the run's."""
        event = run.stack.event_id(i)

        def work(store: LabelStore, history: LabelHistory) -> str | None:
            if label is None:
                history.clear(event)
            else:
                history.set(event, label)
            return label

        job = LabelJob("labelling", run, work, self.labels.path(), create=False)
        job.labelled.connect(self._labelled_first)
        self._start(job, "Reading the labels…")

    def _labelled_first(self, label: str | None, _: LabelStore) -> None:
        if self._run is not None and self._run.current is not None:
            self._labelled_one(self._run.current, label)

    def _labelled_one(self, i: int, label: str | None) -> None:
        done = "The label of event" if label is None else "Event"
        self.message.tell(f"{done} {i} is {'taken back' if label is None else f'{label} now'}.")
        if label is not None and self._run is not None and not self._run.classes.multi_label:
            self.results_panel.mistakes.next()
