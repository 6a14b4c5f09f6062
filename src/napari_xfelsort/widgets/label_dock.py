"""The Label dock: one key or button an event, on disk before the next event shows."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QComboBox, QLabel, QMessageBox

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_history import Change, LabelHistory
from napari_xfelsort.core.label_journal import check_labeller
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.class_dialog import ClassDialog
from napari_xfelsort.widgets.dock import button
from napari_xfelsort.widgets.keys import KeyBinder
from napari_xfelsort.widgets.label_panel import (
    EventPanel,
    LabelButtons,
    StepButtons,
    SuggestingState,
    TallyPanel,
    lay_out,
)
from napari_xfelsort.widgets.label_reading import LabelReadingDock
from napari_xfelsort.widgets.labelling import (
    ReadLabels,
    event_to_label,
    has_labels,
    lists_of,
    lists_writer,
)
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.suggesting import suggesting_of
from napari_xfelsort.widgets.workers import Job

#: What to show after an event was labelled, as the user reads it.
NEXT, UNLABELLED, RANDOM, STAY = "next event", "next unlabelled", "random unlabelled", "stay"
UNCERTAIN = "most uncertain"

#: A step of more events than this is undone in the background.
_MANY = 2000


class LabelDock(LabelReadingDock):
    """Labels the events of the active run.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.event_panel = EventPanel()
        self.buttons = LabelButtons(self.carry_out)
        self.steps = StepButtons(self.carry_out)
        self.classes_button = button(
            "Classes …",
            "edit_classes",
            "Names, colours and keys of the classes",
            self.edit_classes,
        )
        self.shortcuts = QLabel(keys.help_text(keys.TABLE))
        self._classes = ClassSet()
        self._last: str | None = None
        self.advance = QComboBox()
        self.advance.setObjectName("advance")
        self.advance.setToolTip("What to show after an event was labelled")
        self.advance.addItems([NEXT, UNLABELLED, RANDOM, UNCERTAIN, STAY])
        self.suggesting = SuggestingState()
        self.tally_panel = TallyPanel(self.next_unlabelled, self.write_lists, self.reload)
        self._random = np.random.default_rng()
        lay_out(self)
        self._keys = KeyBinder(self.runs, keys.LABEL, self.carry_out)
        self.advance.currentIndexChanged.connect(self._order_chosen)
        self.advance.activated.connect(self._order_chosen)  # also when it is chosen again
        self._follow()

    def release(self) -> None:
        """Let go of keys, callbacks and work."""
        self._keys.close()
        self.suggesting.follow(None)
        super().release()

    # --- what is shown ------------------------------------------------------------------

    def _refresh(self) -> None:
        run = self._run
        wanted = run is not None and self._uncertain_first
        self.suggesting.follow(suggesting_of(run) if wanted else None)
        self._follow_classes(ClassSet() if run is None else run.classes)
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
                run.stack.event_id(run.current), run.current, len(run), label, run.classes
            )
        self.tally_panel.show_tally(
            known.tally, known.n_elsewhere, self._is_read(run), run.classes
        )

    # --- classes ------------------------------------------------------------------------

    def _follow_classes(self, classes: ClassSet) -> None:
        """Buttons and keys are those of the classes."""
        if classes == self._classes:
            return
        self._classes = classes
        self._keys.close()
        shortcuts = keys.label_shortcuts(classes)
        self._keys = KeyBinder(self.runs, shortcuts, self.carry_out)
        self.buttons.show_classes(classes)
        self.shortcuts.setText(keys.help_text((*keys.BROWSE, *shortcuts)))

    def edit_classes(self) -> None:
        """Let the user change the classes."""
        if self._run is not None:
            dialog = ClassDialog(self, self._run.classes)
            dialog.chosen.connect(self.use_classes)
            dialog.finished.connect(dialog.deleteLater)
            dialog.open()

    def use_classes(self, classes: ClassSet) -> None:
        """Label with these classes, and keep them with the labels."""
        run = self._run
        if run is None:
            return
        store = self._of(run).store
        kept = classes if store is None else classes.with_used(store.classes, keys.RESERVED)
        try:
            if store is not None:
                kept.save(store.folder)
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self.message.tell("")
        names = ", ".join(name for name in kept.names if name not in classes.names)
        if names:
            self.message.tell(f"Some events are still labelled {names}, so this stays a class.")
        run.use_classes(kept)
        self._refresh()

    def set_busy(self, busy: bool) -> None:
        """Nothing is labelled while labels are read or written as lists."""
        ready = self._run is not None and not busy
        for widget in (self.folder, self.labeller, self.classes_button, self.buttons):
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

    def label(self, label: str | None, whole: bool = False) -> None:
        """Label the event shown with a class or ``ignore`` and go on; None takes back.

        Where events may have several classes, a class is put on or taken off, unless this
        is the whole label, and the slider stays.
        """
        try:
            run = self._ready_run()
            i = event_to_label(run, self.runs.runs, label)
            if label in run.classes.names and not whole:
                label = run.classes.toggled(run.label_of(i), label) or None
            self._set(run, i, label)
        except LabelError as error:
            self._refuse(error)
            return
        self.message.tell("")
        if label is not None:
            self._last = label
            if not run.classes.multi_label:
                self._advance(run, i)
        if run.current == i or self._uncertain_first:  # else done when the next was shown
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
            self.label(self._last, whole=True)

    def undo(self, again: bool = False) -> None:
        """Take the last label back, or do again what was undone, and show the event."""
        try:
            run = self._ready_run()
            if run.history is not None and run.history.size(again) > _MANY:
                self._undo_many(run, again)
                return
            self._labelling = True
            change = run.redo() if again else run.undo()
        except LabelError as error:
            self._refuse(error)
            return
        finally:
            self._labelling = False
        self._tell_undone(run, change, again)

    def _undo_many(self, run: Run, again: bool) -> None:
        """In the background: a rule may have labelled 100 000 events."""
        job = LabelJob("undoing labels", run, functools.partial(_undo_aside, again))
        job.labelled.connect(self._undone_many)
        self.message.tell("Doing it again…" if again else "Undoing…")
        self.run_job(job)

    def _undone_many(self, made: tuple[Change | None, bool], _: LabelStore) -> None:
        if self._run is not None:
            self._tell_undone(self._run, *made)

    def _tell_undone(self, run: Run, change: Change | None, again: bool) -> None:
        """Show an event of what was undone, or done again, and say what it was."""
        if change is None:
            self.message.tell(f"There is nothing to {'redo' if again else 'undo'}.")
            return
        shown = run.current
        places = [run.stack.find(event) for event in change.events[:1]]
        i = places[0] if places else None
        where = "" if i is not None else ", which is not in this run"
        if i is not None:
            run.go_to(i)
        if self._uncertain_first and shown is not None and shown != run.current:
            suggesting_of(run).put_back(shown)
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
            if run.classes != ClassSet() and not has_labels(known.folder):
                run.classes.save(store.folder)
            # Not empty if somebody began there meanwhile.
            self._use(run, ReadLabels.of(store, run.stack))
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
        elif way != UNCERTAIN or not self._go_to_uncertain(run, tally):
            self._go_to(run, tally.random_unlabelled(i, self._random))

    @property
    def _uncertain_first(self) -> bool:
        return self.advance.currentText() == UNCERTAIN

    def _order_chosen(self, _: int) -> None:
        self._refresh()
        if self._run is not None and self._uncertain_first:
            self._look(self._run)
            suggesting_of(self._run).learn_if_due()

    def _look(self, run: Run) -> None:
        """Look at the events beside the window, unless that was done."""
        if suggesting_of(run).suggester is None:
            suggesting_of(run).look()

    def _go_to_uncertain(self, run: Run, tally: LabelTally) -> bool:
        """Show the event that is most worth labelling, if one is known at this moment."""
        suggesting = suggesting_of(run)
        if not suggesting.problem:
            self._look(run)
        return tally.n_labelled < len(tally) and suggesting.show_next()

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


def _undo_aside(
    again: bool, store: LabelStore, history: LabelHistory
) -> tuple[Change | None, bool]:
    """In a thread."""
    return history.redo() if again else history.undo(), again
