"""Classes by expectation maximisation in the SPI dock: averages to look at and choose from."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QMessageBox, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.profiles.table import EventNames
from napari_xfelsort.core.spi.em_classes import EmClasses, classes_of
from napari_xfelsort.core.spi.em_counts import read_counts
from napari_xfelsort.core.spi.em_files import DATA, write_classes
from napari_xfelsort.core.spi.em_opening import OpenedClasses, open_classes
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, PathField, button, row
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.spi_gallery import ORDERS, ClassGallery
from napari_xfelsort.widgets.spi_tab import EventsBox, Numbers, Selections, SpiTab
from napari_xfelsort.widgets.workers import Job, Report

_FIRST = ("classes", "rotations", "runs")


def classifying(stack: EventStack, settings: EmSettings, report: Report) -> EmClasses:
    """Work: classes of events; reports counts and what is counted."""
    counts = read_counts(stack, settings, lambda n, of: report((n, of, "events")))
    return classes_of(
        counts, settings, EventNames(stack), lambda n, of: report((n, of, "iterations"))
    )


def writing(
    found: EmClasses, folder: str, keep: list[int], overwrite: bool, report: Report
) -> str:
    """Work: write classes; returns a sentence."""
    written = write_classes(found, folder, keep, overwrite)
    return f"{len(written)} files are in {folder}."


def opening(folder: str, stack: EventStack, report: Report) -> OpenedClasses:
    """Work: classes that were written."""
    return open_classes(folder, stack)


class ClassesTab(SpiTab):
    """Puts events into classes, and keeps those of chosen classes.

    Attributes
    ----------
    found : EmClasses or None
        The classes.
    numbers : ndarray of int
        Which events of the run they are of; -1 where an event of classes that were opened is
        not in it.
    """

    #: The averages are there.
    ready = Signal()

    def __init__(self, selections: Selections) -> None:
        super().__init__(selections)
        self.found: EmClasses | None = None
        self._on_disk = False
        self.numbers: Numbers = np.zeros(0, np.int64)
        self._build()
        self.forget()

    def forget(self) -> None:
        """Forget the classes."""
        self.found = None
        self.gallery.forget()
        self.results.setVisible(False)
        self.set_busy(False)

    def set_busy(self, busy: bool) -> None:
        """Classes are made once at a time."""
        self.find_button.setEnabled(not busy and self.stack is not None)
        self.open_button.setEnabled(not busy and self.stack is not None)
        self.write_button.setEnabled(not busy)

    def find(self) -> None:
        """Put the chosen events into classes."""
        if self.stack is None:
            return
        try:
            settings = self.form.settings()
        except SettingsError:
            self.told.emit("Correct the settings first.", False)
            return
        numbers = self.events_of(self.events)
        if numbers is None:
            return
        part = self.stack.subset(numbers)
        job = Job("classes of patterns", functools.partial(classifying, part, settings))
        job.succeeded.connect(functools.partial(self._take, self.stack, numbers))
        self.job_wanted.emit(job, "Reading events…")

    def _take(self, stack: EventStack, numbers: Numbers, found: EmClasses) -> None:
        if stack is not self.stack:
            return  # another run was chosen meanwhile
        self._show_found(found, numbers, on_disk=False)
        if found.problems:
            why = next(iter(found.problems.values()))
            self.told.emit(f"{len(found.problems)} events could not be read: {why}", False)
        elif not all(found.converged):
            self.told.emit(
                f"Events still changed classes after {found.settings.iterations} iterations; "
                "allow more under More.",
                False,
            )

    def _show_found(self, found: EmClasses, numbers: Numbers, on_disk: bool) -> None:
        self.gallery.forget()
        self.found, self.numbers, self._on_disk = found, numbers, on_disk
        self.results.setVisible(True)
        self._show()
        self.ready.emit()

    # --- classes that were written ------------------------------------------------------

    def open(self) -> None:
        """Ask for a folder of classes and open it."""
        if self.stack is None or not self._may_forget():
            return
        start = self.folder.path() or os.path.dirname(self.stack.sources[0].path)
        folder = QFileDialog.getExistingDirectory(self, "Open classes", start)
        if not folder:
            return
        job = Job("opening classes", functools.partial(opening, folder, self.stack))
        job.succeeded.connect(functools.partial(self._take_opened, self.stack))
        self.job_wanted.emit(job, "Opening classes…")

    def _may_forget(self) -> bool:
        """Ask before classes go that are in no folder: they took a while."""
        if self.found is None or self._on_disk:
            return True
        answer = QMessageBox.question(
            self,
            "Forget the classes?",
            "The classes shown were not written. Open others instead of them?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _take_opened(self, stack: EventStack, opened: OpenedClasses) -> None:
        if stack is not self.stack:
            return
        self._show_found(opened.found, opened.numbers, on_disk=True)
        self.gallery.select(opened.kept)
        self.folder.set_paths(str(opened.folder))
        found = opened.found
        text = f"{int((found.counts > 0).sum())} classes of {len(found.events)} events are open."
        self.told.emit(" ".join([text, *opened.notes]), not opened.notes)

    # --- what is kept -------------------------------------------------------------------

    def _show(self, _: int = 0) -> None:
        self.gallery.show_classes(self.found, self.order.currentText())

    def _picked(self) -> None:
        found, classes = self.found, self.gallery.classes
        for each in self._with_classes:
            each.setEnabled(bool(classes))
        if found is None:
            return
        if not classes:
            self.kept.tell("Click the classes to keep: those that look like single particles.")
            return
        own, sure = found.kept(classes), found.kept(classes, 1)
        self.kept.tell(
            f"Kept: {len(classes)} of {int((found.counts > 0).sum())} classes, {int(own.sum())} "
            f"of {len(own)} events; {int(sure.sum())} by all runs."
        )

    def _pick_round(self) -> None:
        if self.found is not None:
            self.gallery.select(self.found.round_classes())

    def _pick_voted(self) -> None:
        """Choose the classes that the selection below has something of."""
        whole = self.events_of(self.of)
        if self.found is not None and whole is not None:
            self.gallery.select(self.found.voted(np.isin(self.numbers, whole)))

    def _look_at(self, k: int) -> None:
        """Show the next event of one class."""
        if self.found is not None:
            self.browsed.emit(np.sort(self._numbers(self.found.labels == k)))

    def _numbers(self, chosen: Any) -> Numbers:
        numbers = self.numbers[np.flatnonzero(chosen)]
        return numbers[numbers >= 0]

    @property
    def _how(self) -> str:
        """Which classes are kept, in words."""
        n = 0 if self.found is None else len(self.found)
        return f"classes {', '.join(map(str, self.gallery.classes))} of {n}"

    def _to_selection(self) -> None:
        if self.found is not None:
            own = self._numbers(self.found.kept(self.gallery.classes))
            self.keep("classes", own, self._how)

    def _sure_to_selection(self) -> None:
        if self.found is not None:
            sure = self.found.kept(self.gallery.classes, 1)
            self.keep("classes of all runs", self._numbers(sure), f"{self._how}, by all runs")

    def _take_away(self) -> None:
        """A selection without the events that all runs put into classes not kept."""
        whole = self.events_of(self.of)
        if self.found is None or whole is None:
            return
        rejected = self._numbers(self.found.rejected(self.gallery.classes))
        how = f"{self.of.chosen!r} without what all runs put into others than {self._how}"
        self.keep(f"{self.of.chosen}, classes", np.setdiff1d(whole, rejected), how)

    def _next(self) -> None:
        if self.found is not None:
            self.browsed.emit(np.sort(self._numbers(self.found.kept(self.gallery.classes))))

    def _write(self) -> None:
        folder = self.folder.path()
        if self.found is None:
            return
        if folder is None:
            self.told.emit("Choose a folder to write into.", False)
            return
        folder = os.path.abspath(os.path.expanduser(folder))
        overwrite = os.path.exists(os.path.join(folder, DATA))
        if overwrite:
            answer = QMessageBox.question(
                self,
                "Replace classes?",
                f"{folder} has classes already. Replace them?",
                QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
                QMessageBox.StandardButton.No,
            )
            if answer != QMessageBox.StandardButton.Yes:
                return
        work = functools.partial(writing, self.found, folder, self.gallery.classes, overwrite)
        job = Job("writing classes", work)
        job.succeeded.connect(functools.partial(self._written, self.found))
        self.job_wanted.emit(job, "Writing…")

    def _written(self, found: EmClasses, sentence: str) -> None:
        self._on_disk = self._on_disk or found is self.found
        self.told.emit(sentence, True)

    # --- how it looks -------------------------------------------------------------------

    def _build(self) -> None:
        tip = "Which events are put into classes: best those of about the right size"
        self.events = EventsBox(self.selections, "em_events", tip)
        self.form = SettingsForm(EmSettings, _FIRST)
        tip = "Put the events into classes of patterns that are alike but for rotation"
        self.find_button = button("Find classes", "find_classes", tip, self.find)
        tip = "Open classes that were written here or by xfelsort spi classes"
        self.open_button = button("Open…", "open_classes", tip, self.open)
        above = QFormLayout()
        above.setContentsMargins(0, 0, 0, 0)
        above.addRow("Events", self.events)
        self.column.addLayout(above)
        self.column.addWidget(self.form)
        line = row(self.find_button, self.open_button)
        line.setStretch(0, 1)
        self.column.addLayout(line)
        self.results = self._build_results()
        self.column.addWidget(self.results)
        self.column.addStretch()
        self.gallery.picked.connect(self._picked)

    def _build_results(self) -> QWidget:
        self.order = QComboBox()
        self.order.setObjectName("class_order")
        self.order.addItems(ORDERS)
        self.order.setToolTip("Round averages, alike all around, are those of single particles")
        needs_focus_for_wheel(self.order)
        self.order.activated.connect(self._show)
        tip = "Select the classes that are alike all around: anisotropy below 0.25"
        self.round_button = button("Round ones", "round_classes", tip, self._pick_round)
        self.gallery = ClassGallery()
        self.gallery.opened.connect(self._look_at)
        self.kept = Message()
        self.kept.setObjectName("kept_classes")
        part = QWidget()
        column = QVBoxLayout(part)
        column.setContentsMargins(0, 0, 0, 0)
        line = row(self.order, self.round_button)
        line.setStretch(0, 1)
        column.addLayout(line)
        column.addWidget(self.gallery)
        column.addWidget(self.kept)
        tip = "Keep the events of these classes as a selection"
        keep = button("To selection", "keep_classes", tip, self._to_selection)
        tip = "Keep those of them that every run would keep"
        sure = button("By all runs", "keep_sure", tip, self._sure_to_selection)
        tip = "Show the next event of these classes"
        browse = button("Next event", "next_of_classes", tip, self._next)
        tip = (
            "A new selection: this one without the events that every run puts into the other "
            "classes"
        )
        less = button("Take the others from", "take_away", tip, self._take_away)
        self.of = EventsBox(self.selections, "take_away_from", "From which selection", "")
        self._with_classes = (keep, sure, browse, less)
        self.folder = PathField(
            "classes_folder", "new folder", "Folder for the classes", "", "a folder"
        )
        tip = "Write lists of all classes, tables and averages into the folder"
        self.write_button = button("Write", "write_classes", tip, self._write)
        column.addLayout(row(keep, sure, browse))
        tip = "Choose the classes of whose events the selection has a tenth, or more"
        voted = button("Voted ones", "voted_classes", tip, self._pick_voted)
        other = QFormLayout()
        other.setContentsMargins(0, 0, 0, 0)
        other.addRow("Selection", self.of)
        column.addLayout(other)
        for line in (row(voted, less), row(self.folder, self.write_button)):
            column.addLayout(line)
        line.setStretch(0, 1)
        return part
