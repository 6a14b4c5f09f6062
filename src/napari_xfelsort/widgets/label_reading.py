"""The half of the Label dock that knows folders: which labels belong to the run shown."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLineEdit

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_journal import check_labeller
from napari_xfelsort.core.labels import LabelStore, login_name
from napari_xfelsort.widgets.dock import Dock, RunChooser, label_folder_field
from napari_xfelsort.widgets.labelling import Labelling, ReadLabels, has_labels, labels_reader
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job


class LabelReadingDock(Dock):
    """Chooses a run, its label folder and the labeller, and reads labels in the background.

    A subclass lays the inputs out, calls `_follow` when it is made, and shows what is known
    in `_refresh`.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.chooser = RunChooser(self.runs)
        self.folder = label_folder_field(
            "Folder that the labels are kept in, one journal a labeller"
        )
        self.labeller = QLineEdit(login_name())
        self.labeller.setObjectName("labeller")
        self.labeller.setToolTip("Who labels: names the journal in the label folder")
        self._run: Run | None = None
        self._known: weakref.WeakKeyDictionary[Run, Labelling] = weakref.WeakKeyDictionary()
        self._reading: Run | None = None
        self._read_before: LabelStore | None = None
        self._labelling = False
        self._released = False
        # Runs out when everything that waits, keys typed ahead and painting too, is done.
        self._painted = QTimer(self)
        self._painted.setSingleShot(True)
        self._painted.setInterval(0)

    def _follow(self) -> None:
        """Show the run that is chosen, and listen to the inputs."""
        self.folder.chosen.connect(self._folder_chosen)
        self.folder.line.returnPressed.connect(self.setFocus)  # keys label again
        self.labeller.editingFinished.connect(self._labeller_changed)
        self.labeller.returnPressed.connect(self.setFocus)
        self.chooser.run_chosen.connect(self._show_run)
        self._show_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work."""
        self._released = True
        self._painted.stop()
        self._watch(None)
        super().release()

    def _refresh(self) -> None:
        """Show what is known; for subclasses."""

    # --- the run ------------------------------------------------------------------------

    def _of(self, run: Run) -> Labelling:
        known = self._known.get(run)
        if known is None:
            known = self._known[run] = Labelling(run.suggested_labels(), run.stack)
        known.take_stack(run.stack)
        return known

    def _watch(self, run: Run | None) -> None:
        if self._run is not None:
            self._run.shown.disconnect(self._on_shown)
            self._run.labelled.disconnect(self._on_labelled)
            self._run.changed.disconnect(self._on_changed)
        self._run = run
        if run is not None:
            run.shown.connect(self._on_shown)
            run.labelled.connect(self._on_labelled)
            run.changed.connect(self._on_changed)

    def _show_run(self, run: Run | None) -> None:
        self._watch(run)
        self.message.tell("")
        if run is None:
            self.folder.set_paths("")
        else:
            known = self._of(run)
            self.folder.set_paths(known.folder)
            if run.labels is not known.store:
                self._adopt(run, run.labels)
            elif known.store is None:
                self._use_folder(run, known.folder)
            self._read_next()
        self._painted.start()
        self.set_busy(self.job is not None)
        self._refresh()

    def _on_shown(self, _: int) -> None:
        self._painted.start()
        self._refresh()

    def _on_changed(self) -> None:
        """Other files, or other events of them: labels are put beside them anew."""
        self._painted.start()
        self._read_next()
        self._refresh()

    def _on_labelled(self) -> None:
        """Somebody else labelled the event shown, or put another store in place."""
        run = self._run
        if self._labelling or run is None:
            return
        known = self._of(run)
        if run.labels is not known.store:
            self._adopt(run, run.labels)
        elif self._reading is run:
            known.unread = True
        self._refresh()

    def _is_read(self, run: Run) -> bool:
        return not self._of(run).unread and self._reading is not run

    # --- the label folder ---------------------------------------------------------------

    def _folder_chosen(self, text: str) -> None:
        run, folder = self._run, text.strip()
        if folder:
            folder = os.path.abspath(os.path.expanduser(folder))
        if run is None or folder == self._of(run).folder:
            return
        self.message.tell("")
        self._known[run] = Labelling(folder, run.stack)
        self.folder.set_paths(folder)
        run.use_labels(None)
        if folder:
            self._use_folder(run, folder)
            if self._is_read(run) and not Path(folder).is_dir():
                self.message.tell(f"{folder} is made with the first label.")
        self._refresh()

    def _use_folder(self, run: Run, folder: str) -> None:
        """Use a folder at once if it holds labels; else it is left alone until the first."""
        if folder and Path(folder).exists() and (os.path.isfile(folder) or has_labels(folder)):
            self._of(run).unread = True
            self._read_next()

    def _labeller_changed(self) -> None:
        name = self.labeller.text()
        try:
            check_labeller(name)
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self.message.tell("")
        for known in self._known.values():
            if known.store is not None and known.store.labeller != name:
                known.unread = True
        self._read_next()

    def reload(self) -> None:
        """Read the label folder again: others may have labelled meanwhile."""
        run = self._run
        if run is None or self.job is not None:
            return
        folder = self._of(run).folder
        if not folder:
            self.message.tell_error("Choose a folder for the labels first.")
        elif not Path(folder).exists():
            self._known[run] = Labelling(folder, run.stack)  # maybe it was deleted meanwhile
            run.use_labels(None)
            self.message.tell(f"There are no labels yet: {folder} is made with the first label.")
        else:
            self._of(run).unread = True
            self._read_next()

    def _read_next(self) -> None:
        """Read the labels of the run shown, unless that is done."""
        run = self._run
        if run is None or self.job is not None or self._released:
            return
        known = self._of(run)
        if not known.unread:
            return
        known.unread = False
        work = labels_reader(known.folder, self.labeller.text(), run.stack)
        job = Job(f"reading the labels in {known.folder}", work)
        job.succeeded.connect(self._take_labels)
        self._reading, self._read_before = run, run.labels
        self.run_job(job)
        self._refresh()

    def _take_labels(self, read: ReadLabels) -> None:
        run = self._reading
        if run is None or run not in self.runs.runs or self._released:
            return
        known = self._of(run)
        if run.labels is not self._read_before or known.unread:
            return  # others labelled or chose a folder meanwhile
        if run.stack is not read.stack or read.store.folder != Path(known.folder):
            known.unread = True
            return
        self._use(run, read)
        if read.warning and run is self._run:
            self.message.tell_error(read.warning)

    def _use(self, run: Run, read: ReadLabels) -> None:
        self._of(run).take_store(read.store, read.matched)
        self._labelling = True
        run.classes = read.classes
        run.use_labels(read.store, self._of(run).tally)
        self._labelling = False

    def _adopt(self, run: Run, store: LabelStore | None) -> None:
        """Another dock chose where this run's labels are kept."""
        folder = "" if store is None else os.path.abspath(store.folder)
        known = self._known[run] = Labelling(folder, run.stack)
        if store is not None:
            if run.tally is not None and run.tally.n_labelled == len(store):
                known.take_all(store, run.tally)
            else:
                known.take_store(store, store.match(run.stack), run.tally)
            self.labeller.setText(store.labeller)
        self.folder.set_paths(folder)

    def _job_ended(self) -> None:
        self._reading = None
        super()._job_ended()
        if not self._released:
            self._read_next()
            self._refresh()
