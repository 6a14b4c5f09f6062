"""The Label dock: one key or button an event, on disk before the next event shows."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QLineEdit, QMessageBox

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_journal import check_labeller
from napari_xfelsort.core.labels import LabelStore, login_name
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.dock import Dock, PathField, RunChooser
from napari_xfelsort.widgets.keys import KeyBinder
from napari_xfelsort.widgets.label_panel import (
    EventPanel,
    LabelButtons,
    StepButtons,
    TallyPanel,
    lay_out,
)
from napari_xfelsort.widgets.labelling import (
    Labelling,
    ReadLabels,
    event_to_label,
    has_labels,
    labels_reader,
    lists_of,
    lists_writer,
)
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job

#: What to show after an event was labelled, as the user reads it.
NEXT, UNLABELLED, RANDOM, STAY = "next event", "next unlabelled", "random unlabelled", "stay"


class LabelDock(Dock):
    """Labels the events of the active run.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.chooser = RunChooser(self.runs)
        self.folder = PathField(
            "label_folder", "new folder", "Where labels are kept", placeholder="a folder"
        )
        self.folder.line.setToolTip("Folder that the labels are kept in, one journal a labeller")
        self.labeller = QLineEdit(login_name())
        self.labeller.setObjectName("labeller")
        self.labeller.setToolTip("Who labels: names the journal in the label folder")
        self.event_panel = EventPanel()
        self.buttons = LabelButtons(self.carry_out)
        self.steps = StepButtons(self.carry_out)
        self._last: str | None = None
        self.advance = QComboBox()
        self.advance.setObjectName("advance")
        self.advance.setToolTip("What to show after an event was labelled")
        self.advance.addItems([NEXT, UNLABELLED, RANDOM, STAY])
        self.tally_panel = TallyPanel(self.next_unlabelled, self.write_lists, self.reload)
        self._random = np.random.default_rng()
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
        lay_out(self)
        self.folder.chosen.connect(self._folder_chosen)
        self.folder.line.returnPressed.connect(self.setFocus)  # keys label again
        self.labeller.editingFinished.connect(self._labeller_changed)
        self.labeller.returnPressed.connect(self.setFocus)
        self.chooser.run_chosen.connect(self._show_run)
        self._keys = KeyBinder(self.runs, keys.LABEL, self.carry_out)
        self._show_run(self.chooser.run)

    def release(self) -> None:
        """Let go of keys, callbacks and work."""
        self._released = True
        self._keys.close()
        self._painted.stop()
        self._watch(None)
        super().release()

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

    def _refresh(self) -> None:
        run = self._run
        history = None if run is None or self.job is not None else run.history
        undo, redo = ("", "") if history is None else (history.next_undo, history.next_redo)
        self.steps.show_steps(self._last or "", undo, redo)
        if run is None:
            self.event_panel.show_nothing("Open a run to label its events.")
            self.tally_panel.show_nothing()
            return
        known = self._of(run)
        if run.current is None:
            self.event_panel.show_nothing("The slider is past this run's last event.")
        else:
            label = known.tally.label(run.current)
            self.event_panel.show_event(
                run.stack.event_id(run.current), run.current, len(run), label
            )
        self.tally_panel.show_tally(known.tally, known.n_elsewhere, self._is_read(run))

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
        run.use_labels(read.store, self._of(run).tally)
        self._labelling = False

    def _adopt(self, run: Run, store: LabelStore | None) -> None:
        """Another dock chose where this run's labels are kept."""
        folder = "" if store is None else os.path.abspath(store.folder)
        known = self._known[run] = Labelling(folder, run.stack)
        if store is not None:
            known.take_store(store, store.match(run.stack), run.tally)
            self.labeller.setText(store.labeller)
        self.folder.set_paths(folder)

    def _job_ended(self) -> None:
        self._reading = None
        super()._job_ended()
        if not self._released:
            self._read_next()
            self._refresh()

    def set_busy(self, busy: bool) -> None:
        """Nothing is labelled while labels are read or written as lists."""
        ready = self._run is not None and not busy
        for widget in (self.folder, self.labeller, self.buttons):
            widget.setEnabled(ready)
        self.tally_panel.set_ready(ready)

    # --- labelling ----------------------------------------------------------------------

    def carry_out(self, action: str) -> None:
        """Carry out a shortcut: an action of `keys`, or a label."""
        if action == keys.UNLABELLED:
            self.next_unlabelled()
        elif action in (keys.UNDO, keys.REDO):
            self.undo(again=action == keys.REDO)
        elif action == keys.REPEAT:
            self.repeat()
        else:
            self.label(None if action == keys.CLEAR else action)

    def label(self, label: str | None) -> None:
        """Label the event shown (``good``, ``bad``, ``ignore``) and go on; None takes back."""
        try:
            run = self._ready_run()
            i = event_to_label(run, self.runs.runs, label)
            self._set(run, i, label)
        except LabelError as error:
            self._refuse(error)
            return
        self.message.tell("")
        if label is not None:
            self._last = label
            self._advance(run, i)
        self._refresh()

    def _refuse(self, error: LabelError) -> None:
        self.message.tell_error(str(error))
        if self.is_put_away:
            show_warning(str(error))

    def repeat(self) -> None:
        """Label the event shown as the last one was labelled."""
        if self._last is None:
            self.message.tell_error("There is no label to repeat yet.")
        else:
            self.label(self._last)

    def undo(self, again: bool = False) -> None:
        """Take the last label back, or do again what was undone, and show the event."""
        try:
            run = self._ready_run()
            self._labelling = True
            change = run.redo() if again else run.undo()
        except LabelError as error:
            self._refuse(error)
            return
        finally:
            self._labelling = False
        if change is None:
            self.message.tell(f"There is nothing to {'redo' if again else 'undo'}.")
            return
        places = [run.stack.find(event) for event in change.events[:1]]
        i = places[0] if places else None
        where = "" if i is not None else ", which is not in this run"
        if i is not None:
            run.go_to(i)
        self.message.tell(f"{'Done again' if again else 'Undone'}: {change.text}{where}.")
        self._refresh()

    def _ready_run(self) -> Run:
        """The run, when nothing speaks against labelling an event of it."""
        if self.is_put_away:
            raise LabelError(
                "Nothing was labelled: the Label dock is hidden; show it, or close it to have "
                "its keys back."
            )
        if self._run is None:
            raise LabelError("Open a run to label its events.")
        check_labeller(self.labeller.text())
        self._folder_chosen(self.folder.line.text())  # typed, but not left yet
        self._labeller_changed()
        if self.job is not None:
            raise LabelError("Nothing was labelled: the label folder is being read or written.")
        if self._painted.isActive():
            raise LabelError("Nothing was labelled: the picture is not drawn yet.")
        return self._run

    def _set(self, run: Run, i: int, label: str | None) -> None:
        known = self._of(run)
        if known.store is None:
            if not known.folder:
                raise LabelError("Choose a folder for the labels first.")
            store = LabelStore(known.folder, self.labeller.text())
            # Not empty if somebody began there meanwhile.
            self._use(run, ReadLabels(store, run.stack, store.match(run.stack)))
        if label is None and known.tally.label(i) is None:
            raise LabelError(f"Event {i} has no label to take back.")
        self._labelling = True
        try:
            run.set_label(i, label)
        finally:
            self._labelling = False

    def _advance(self, run: Run, i: int) -> None:
        way, tally = self.advance.currentText(), self._of(run).tally
        if way == STAY:
            return
        if way == NEXT:
            if i + 1 < len(run):
                run.go_to(i + 1)
            else:
                self.message.tell("This was the last event of the run.")
            return
        if way == UNLABELLED:
            self._go_to(run, tally.next_unlabelled(i))
        else:
            self._go_to(run, tally.random_unlabelled(i, self._random))

    def next_unlabelled(self) -> None:
        """Show the next event without a label; from the run's end go on at its start."""
        run = self._run
        if run is None:
            return
        if not self._is_read(run):
            self.message.tell("Wait a moment: the labels are being read.")
            return
        here = len(run) - 1 if run.current is None else run.current
        self.message.tell("")
        self._go_to(run, self._of(run).tally.next_unlabelled(here))

    def _go_to(self, run: Run, i: int | None) -> None:
        if i is None:
            self.message.tell(f"All {len(run)} events are labelled.")
        elif i == run.current:
            self.message.tell("This is the only event without a label.")
        else:
            run.go_to(i)

    # --- lists --------------------------------------------------------------------------

    def write_lists(self) -> None:
        """Write a list of events for each class into the label folder."""
        run = self._run
        store = None if run is None else self._of(run).store
        if store is None or self.job is not None:
            self.message.tell_error("Nothing is labelled yet, so there are no lists to write.")
            return
        there = [path for path in lists_of(store) if path.exists()]
        if there and not self._may_replace(there):
            return
        job = Job("writing lists", lists_writer(store, bool(there)))
        job.succeeded.connect(self.message.tell)
        self.run_job(job)

    def _may_replace(self, paths: list[Path]) -> bool:
        names = ", ".join(path.name for path in paths)
        answer = QMessageBox.question(
            self, "Write lists", f"Replace {names} in {paths[0].parent}?"
        )
        return bool(answer == QMessageBox.StandardButton.Yes)
