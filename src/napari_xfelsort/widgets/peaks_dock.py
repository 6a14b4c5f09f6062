"""The Peaks dock: peaks of the event shown, and hits, powder and labels of the whole run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFormLayout, QGroupBox, QVBoxLayout

from napari_xfelsort.core.errors import LabelError, SettingsError
from napari_xfelsort.core.label_rules import RuleOutcome
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.peaks import PeakSettings, RunPeaks
from napari_xfelsort.widgets.dock import Message, RunChooser, button, row
from napari_xfelsort.widgets.labelling import go_to_next_of
from napari_xfelsort.widgets.peaks_beam import BeamReadout
from napari_xfelsort.widgets.peaks_form import PeakForm, processes_box
from napari_xfelsort.widgets.peaks_layers import remove_powder, show_powder
from napari_xfelsort.widgets.peaks_live import LivePeaks, Wanted
from napari_xfelsort.widgets.peaks_plots import HitPlot
from napari_xfelsort.widgets.peaks_save import PeakSaving
from napari_xfelsort.widgets.peaks_work import (
    Search,
    Searched,
    counts_of,
    label_hits,
    searching,
    take_back,
    told,
    told_labels,
    with_hits_from,
)
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.whole_run import WholeRunDock
from napari_xfelsort.widgets.workers import Job, Report

#: Milliseconds between two looks at a run that is being searched.
_LOOK = 700


class PeaksDock(WholeRunDock):
    """Finds Bragg peaks in the event shown and in all events of a run.

    Attributes
    ----------
    found : RunPeaks or None
        Peaks of the run, or of its first events; None until they were looked for.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "Hits of the run")
        self.found: RunPeaks | None = None
        self._search: Search | None = None
        self._powder: NDArray[np.float32] | None = None
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(_LOOK)
        self._look.timeout.connect(self._show_search)
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work, and take found peaks from the picture."""
        self._look.stop()
        self._search = None  # what it finds yet is not wanted
        super().release()
        if self._run is not None:
            remove_powder(self._run)
        self.live.release()
        self.beam.release()
        self.plot.release()
        self._run = None

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self._run is not None:
            remove_powder(self._run)
        self._run = run
        self.message.tell("")
        self.follow_run(
            run,
            shown=self._on_event,
            changed=self._run_changed,
            labelled=self._follow_labels,
        )
        if run is not None:
            self.folder.set_paths(os.path.abspath(run.suggested_labels()))
        self._run_changed()

    def _forget(self) -> None:
        self.found = self._search = self._powder = None
        self._look.stop()
        if self._run is not None:
            remove_powder(self._run)
        self.plot.show_counts(np.zeros(0), 1)
        self.saving.use(None)
        self.saving.told.tell("")
        self.live.know(None)
        self.live.use(self._run)
        self.beam.use(self._run)
        self._ask()
        self.plot.show_event(None if self._run is None else self._run.current)

    def _on_event(self, event: int) -> None:
        self.plot.show_event(event)
        self.beam.ask()
        self._ask()

    # --- the event shown ----------------------------------------------------------------

    def _settings(self) -> PeakSettings | None:
        """What was entered; None where it is wrong, as the form says."""
        try:
            return self.form.settings()
        except SettingsError:
            return None

    def _ask(self, settle: bool = False) -> None:
        run, settings = self._run, self._settings()
        if run is None or run.current is None or settings is None:
            self.live.show_nothing()
            return
        known = self.found if self._is_found_so(settings) else None
        self.live.ask(Wanted(run.stack, settings, run.current, known), settle)

    def _is_found_so(self, settings: PeakSettings) -> bool:
        """Whether the run's peaks were found with these settings."""
        found = self.found
        return found is not None and (
            with_hits_from(found, settings.min_peaks).settings == settings
        )

    def _entered(self) -> None:
        settings, found = self._settings(), self.found
        if settings is not None and found is not None:
            self.found = with_hits_from(found, settings.min_peaks)
            self._show_found(found.settings.min_peaks != settings.min_peaks)
        self._ask(settle=True)

    # --- the whole run ------------------------------------------------------------------

    def find(self) -> None:
        """Find the peaks of all events of the run."""
        run, settings = self._run, self._settings()
        if self.job is not None or run is None:
            return
        if settings is None:
            self.message.tell_error("Correct the settings first.")
            return
        self._search = search = Search(run.stack, settings, self.processes.value())
        job = Job("finding peaks", searching(search))
        job.succeeded.connect(self._take)
        job.stopped.connect(self._stopped)
        job.progressed.connect(self._progressed)
        self._start(job, "Finding peaks…")
        self.cancel_button.setEnabled(True)

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self.outcome.tell("")
        self.progress.start(doing)
        self.run_job(job)

    def _progressed(self, counts: tuple[int, int]) -> None:
        self.progress.show_counts(counts)
        if not self._look.isActive():
            self._look.start()

    def _show_search(self) -> None:
        """Peaks so far; those that repeat are still among them."""
        search = self._search
        if search is not None and self.job is not None and search.stack is self._stack:
            self.plot.show_counts(search.counts.copy(), search.settings.min_peaks)

    def _take(self, searched: Searched) -> None:
        if searched.search is not self._search:
            return  # another run was chosen meanwhile, or another geometry
        self._search, self._powder = None, searched.powder
        self.found = searched.found
        settings = self._settings()
        if settings is not None:
            self.found = with_hits_from(self.found, settings.min_peaks)
        if len(self.found) < len(searched.search.stack):
            self.message.tell("Stopped; what was found until then is kept.")
        self.results.setVisible(True)
        self._show_found()
        self._show_powder()
        self._ask()
        QTimer.singleShot(0, self._scroll_to_results)

    def _stopped(self) -> None:
        self._search = None
        self.message.tell("Stopped; nothing was kept.")

    def _show_found(self, plot: bool = True) -> None:
        found, stack, settings = self.found, self._stack, self._settings()
        if found is None or stack is None:
            return
        if plot:  # not for each step of a slider that changes nothing in it
            self.plot.show_counts(counts_of(found, len(stack)), found.settings.min_peaks)
            self.live.know(found)
        text = told(found, len(stack))
        if settings is not None and not self._is_found_so(settings):
            text += " Other settings are entered above; find again to use them."
        self.about.tell(text)
        self.saving.use(found)
        self.hit_button.setEnabled(bool(found.hits.any()))
        self.blank_button.setEnabled("blank" in found.statuses)

    def _show_powder(self, *_: Any) -> None:
        run, picture = self._run, self._powder
        if run is None:
            return
        if picture is None or not self.powder.isChecked():
            remove_powder(run)
        else:
            show_powder(run, picture)

    def next_hit(self) -> None:
        """Show the next hit; after the last comes the first."""
        self._next("hit")

    def next_blank(self) -> None:
        """Show the next event that is no hit."""
        self._next("blank")

    def _next(self, status: str) -> None:
        run, found = self._run, self.found
        if run is None or found is None:
            return
        numbers = np.flatnonzero(np.array(found.statuses) == status)
        if len(numbers):
            go_to_next_of(run, numbers)

    def _go_to(self, event: int) -> None:
        if self._run is not None:
            self._run.go_to(event)

    # --- labels and files ---------------------------------------------------------------

    def apply(self) -> None:
        """Label the events that were looked at as hits and blanks."""
        if self.found is not None:
            work = functools.partial(label_hits, self.found, self.relabel.isChecked())
            self._label("labelling hits", work, self._labelled)

    def withdraw(self) -> None:
        """Take the labels of found peaks back."""
        self._label("withdrawing labels of found peaks", take_back, self._withdrawn)

    def _label(
        self, name: str, work: Callable[..., Any], then: Callable[[Any, LabelStore], None]
    ) -> None:
        run = self._run
        if self.job is not None or run is None:
            return
        try:
            job = LabelJob(name, run, work, self.folder.path(), create=work is not take_back)
        except LabelError as error:
            self.outcome.tell_error(str(error))
            return
        job.labelled.connect(then)
        self._start_beside(job, "Labels…")

    def _labelled(self, outcome: RuleOutcome, store: LabelStore) -> None:
        self.outcome.tell(told_labels(outcome, str(store.folder)))

    def _withdrawn(self, n: int, store: LabelStore) -> None:
        self.outcome.tell(f"Took {n} labels back in {store.folder}. The Label dock can undo it.")

    def _write(self, work: Callable[[Report], str]) -> None:
        if self.job is not None:
            return
        job = Job("writing peaks", work)
        job.succeeded.connect(self.saving.told.tell)
        job.failed.connect(self.saving.told.tell_error)
        self._start_beside(job, "Writing…")

    def _start_beside(self, job: Job, doing: str) -> None:
        """Whose failure is said beside the buttons, not above."""
        self._start(job, doing)
        job.failed.connect(self._refused)

    def _refused(self, sentence: str) -> None:
        self.message.tell("")
        if isinstance(self.job, LabelJob):
            self.outcome.tell_error(sentence)

    # --- how it looks -------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One work at a time; browsing goes on, with peaks of each event."""
        self.find_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(False)
        for part in (self.labelling, self.saving):
            part.setEnabled(not busy)
        self.folder.setEnabled(not busy and (self._run is None or self._run.labels is None))
        if not busy:
            self.progress.stop()

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.form = PeakForm()
        self.form.changed.connect(self._entered)
        self.live = LivePeaks(napari_viewer)
        self.live.toggled_live.connect(self._ask)
        self.beam = BeamReadout()
        tip = "Find the peaks of all events; you can browse meanwhile"
        self.find_button = button("Find in the run", "find", tip, self.find)
        tip = "Stop; what was found until then is kept"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        self.processes = processes_box()
        self.plot = HitPlot(napari_viewer)
        self.plot.clicked.connect(self._go_to)
        self.plot.told.connect(self.message.tell_done)
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        self.body.addLayout(about)
        for widget in (self.form, self.live, self.beam):
            self.body.addWidget(widget)
        self.body.addLayout(row(self.find_button, self.cancel_button, "processes", self.processes))
        self._build_results()
        for widget in (self.progress, self.message, self.plot, self.results):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _build_results(self) -> None:
        self.about = Message()
        self.about.setObjectName("about_run")
        tip = "Go to the next event with enough peaks; after the last to the first"
        self.hit_button = button("Next hit", "next_hit", tip, self.next_hit)
        tip = "Go to the next event with fewer peaks"
        self.blank_button = button("Next blank", "next_blank", tip, self.next_blank)
        self.powder = QCheckBox("powder of all peaks")
        self.powder.setObjectName("powder")
        self.powder.setToolTip("Show over the picture how many peaks of the run are at each place")
        self.powder.toggled.connect(self._show_powder)
        column = QVBoxLayout(self.results)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.about)
        column.addLayout(row(self.hit_button, self.blank_button, self.powder))
        column.addWidget(self._build_labelling())
        self.saving = PeakSaving()
        self.saving.wanted.connect(self._write)
        column.addWidget(self.saving)

    def _build_labelling(self) -> QGroupBox:
        self.labelling = QGroupBox("Label hits and blanks")
        tip = "Label the events as hit and blank by their number of peaks"
        label = button("Label", "apply", tip, self.apply)
        tip = "Take these labels back; what was there before counts again"
        back = button("Withdraw", "withdraw", tip, self.withdraw)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Labels", self.folder)
        column = QVBoxLayout(self.labelling)
        column.setContentsMargins(6, 6, 6, 6)
        column.addLayout(form)
        column.addWidget(self.relabel)
        column.addLayout(row(label, back))
        column.addWidget(self.outcome)
        return self.labelling
