"""Labels by rules, written in the background: single labels can be given meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from qtpy.QtCore import Signal

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_journal import LabelEntry, no_cycles_sought
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.labelling import has_labels
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report

#: Writes labels through a store and its history, in a thread: one step to undo.
Labeller = Callable[[LabelStore, LabelHistory], Any]


class Written(NamedTuple):
    """What was written through a copy of a store.

    Attributes
    ----------
    outcome : object
        What the function returned.
    copy : LabelStore
        Through which it wrote.
    history : LabelHistory
        Of the copy.
    labels : list of str or None
        Those of the events of the run's stack, by the copy.
    """

    outcome: Any
    copy: LabelStore
    history: LabelHistory
    labels: list[str | None]


class LabelJob(Job):
    """Labels many events of a run beside the window.

    The function gets a copy of the store and a history for it (`LabelStore.aside`); pass
    both on to ``apply_rule``, ``withdraw``, ``store_labels`` or the like. When it is done the
    run's own store, history and tally are told, and other docks through ``run.labelled``.
    What is labelled by hand meanwhile came later, and counts. Make and start the job in the
    main thread, with `Dock.run_job`; a failure is told by ``failed`` as by any job.

    Parameters
    ----------
    name : str
        What it does, for the user.
    run : Run
        Its labels are kept where they are; in ``folder`` from now on, if nowhere yet.
    function : callable
        Called with the copy and its history, in the thread.
    folder : str, optional
        Where to keep labels; not needed if the run has a store.
    create : bool
        Make the folder if it does not exist.

    Raises
    ------
    LabelError
        If nobody said where labels are kept.
    """

    #: It is done, and the run knows of it: what the function returned, and the run's store.
    labelled = Signal(object, object)

    def __init__(
        self,
        name: str,
        run: Run,
        function: Labeller,
        folder: str | None = None,
        create: bool = True,
    ) -> None:
        super().__init__(name, self._write)
        if run.labels is None and not folder:
            raise LabelError("Choose a folder for the labels first.")
        self._run, self._stack, self._label = run, run.stack, function
        self._store = run.labels
        self._copy: LabelStore | None = None
        self._history: LabelHistory | None = None
        if run.labels is not None and run.history is not None:
            self._copy = run.labels.aside()
            self._history = run.history.aside(self._copy)
        self._folder = os.path.abspath(os.path.expanduser(folder or ""))
        self._create, self._classes = create, run.classes
        self.succeeded.connect(self._take_over)

    def _write(self, report: Report) -> Written:
        """In the thread."""
        copy = self._copy
        if copy is None:
            new = not has_labels(self._folder)
            self._store = LabelStore(self._folder, create=self._create)
            if new and self._classes != ClassSet():
                self._classes.save(self._store.folder)
            copy = self._store.aside()
        history = LabelHistory(copy) if self._history is None else self._history
        with no_cycles_sought():  # that stops the window, for half a second among 100 000 labels
            outcome = self._label(copy, history)
            return Written(outcome, copy, history, copy.aligned(self._stack))

    def _take_over(self, written: Written) -> None:
        """In the main thread, in a time that hardly grows with the number of labels."""
        store, run = self._store, self._run
        assert store is not None
        try:
            since = store.take_over(written.copy)
            if run.labels is None and self._copy is None:
                run.use_labels(store, LabelTally(written.labels))
                since = []
            elif run.labels is not store and run.labels is not None:
                since = None  # folders were read anew meanwhile, or others are in use
                if run.labels.folder == store.folder:
                    run.labels.reload()
        except LabelError as error:
            self.failed.emit(str(error))
            return
        self._tell_run(run, written, since)
        self.labelled.emit(written.outcome, store)

    def _tell_run(self, run: Run, written: Written, since: list[LabelEntry] | None) -> None:
        """Let the run know of the labels, and of those given meanwhile."""
        kept, history = run.labels, run.history
        if kept is None or history is None or kept.folder != written.copy.folder:
            return
        if kept.labeller == written.copy.labeller:
            history.take_over(written.history)
        if run.tally is None:
            return
        if since is None or run.stack is not self._stack:
            run.tally.set_all(kept.aligned(run.stack))
            since = []
        else:
            run.tally.set_all(written.labels)
        run.note_labels([entry.event for entry in since])
