"""The Profile dock: a profile of every event, a polynomial in it, labels by inflection points."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QVBoxLayout

from napari_xfelsort.core.errors import LabelError, RegionError, SettingsError
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import RuleOutcome, withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.profiles import (
    RULE_NAME,
    Peak,
    Profiler,
    ProfileSettings,
    ProfileTable,
    find_peaks,
    labels_of,
    store_labels,
)
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import SettingsForm, file_to_write
from napari_xfelsort.widgets.labelling import go_to_next_of
from napari_xfelsort.widgets.profile_live import Asked, LiveProfile
from napari_xfelsort.widgets.profile_ranges import RangePanel
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.whole_run import WholeRunDock
from napari_xfelsort.widgets.workers import Job, Report, counted

_TABLE = "Table (*.csv)"
_SOURCE = f"rule:{RULE_NAME}"


class ProfileDock(WholeRunDock):
    """Fits profiles of a run, and labels its events by where they turn.

    Attributes
    ----------
    table : ProfileTable or None
        Fits of all events of the run.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "All events")
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    @property
    def table(self) -> ProfileTable | None:
        return self.ranges.table

    def release(self) -> None:
        """Let go of callbacks and work."""
        super().release()
        self._use_run(None)
        self.region.release()
        self.live.release()
        self.ranges.plot.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._run = run
        self.message.tell("")
        self.follow_run(
            run,
            shown=self._show_event,
            changed=self._run_changed,
            labelled=self._follow_labels,
        )
        if run is not None:
            folder = os.path.abspath(run.suggested_labels())
            self.folder.set_paths(folder)
            self.table_file.set_paths(str(Path(folder).parent / "profiles.csv"))
        self.region.set_run(run)
        self._run_changed()

    def _run_changed(self) -> None:
        super()._run_changed()
        self._look()

    def _forget(self) -> None:
        self.ranges.clear()

    # --- the event shown ----------------------------------------------------------------

    def _entered(self) -> None:
        """Region or settings are others."""
        self._look()
        self._tell_fitted()

    def _show_event(self, _: int) -> None:
        self._look()
        self._tell_side()

    def _look(self) -> None:
        """Ask for the profile of the event shown, as it would be fitted now."""
        run = self._run
        if run is None or run.current is None:
            text = "Open a run first." if run is None else "The slider is past the last event."
            self.live.show_nothing(text)
            return
        try:
            asked = Asked(run.stack, self.region.region(), self._settings(), run.current)
        except (RegionError, SettingsError) as error:
            self.live.show_nothing(str(error), error=isinstance(error, RegionError))
            return
        self.live.ask(asked)
        self._shade()

    def _settings(self) -> ProfileSettings:
        settings = self.form.settings()
        assert isinstance(settings, ProfileSettings)
        return settings

    def _is_as_fitted(self) -> bool:
        """Whether region and settings are those of the table."""
        if self.table is None:
            return False
        try:
            now = self.region.region(), self._settings()
        except (RegionError, SettingsError):
            return False
        return now == (self.table.region, self.table.settings)

    def _shade(self) -> None:
        self.live.shade(self.ranges.ranges if self._is_as_fitted() else [])

    def _settled(self) -> None:
        self._shade()
        self._tell_side()

    def _tell_side(self) -> None:
        i = None if self._run is None else self._run.current
        side = "" if i is None else self.ranges.side_of(i)
        self.side.tell(f"Event {i} is {side}." if side else "")

    # --- all events ---------------------------------------------------------------------

    def fit(self) -> None:
        """Fit the profiles of all events."""
        run = self._run
        if self.job is not None or run is None:
            return
        try:
            region, settings = self.region.region(), self._settings()
        except (RegionError, SettingsError) as error:
            self.message.tell_error(str(error))
            return
        stack = run.stack

        def work(report: Report) -> tuple[EventStack, ProfileTable, list[Peak]]:
            table = Profiler(stack, region, settings).table(counted(report))
            return stack, table, find_peaks(table)

        job = Job("fitting profiles", work)
        job.succeeded.connect(self._fitted)
        job.stopped.connect(self._stopped)
        job.progressed.connect(self.progress.show_counts)
        self._start(job, "Fitting profiles…")
        self.cancel_button.setEnabled(True)

    def _start(self, job: Job, doing: str) -> None:
        """Start work; what fails is told below the results, too, which may be all one sees."""
        self.message.tell("")
        self.outcome.tell("")
        job.failed.connect(self.outcome.tell_error)
        self.progress.start(doing)
        self.run_job(job)

    def _fitted(self, made: tuple[EventStack, ProfileTable, list[Peak]]) -> None:
        stack, table, peaks = made
        if stack is not self._stack:
            return  # another run was chosen meanwhile
        self.results.setVisible(True)
        self.ranges.show_table(table, peaks)
        self._tell_fitted()
        if not peaks:
            self.message.tell_error(
                "No inflection point is common to the events: try another region, axis or "
                "order, or drag a range yourself."
            )
        elif table.problems:
            first = next(iter(table.problems.values()))
            more = len(table.problems) - 1
            self.message.tell_error(first + (f" ({more} more such events)" if more else ""))
        QTimer.singleShot(0, self._scroll_to_results)

    def _tell_fitted(self) -> None:
        """Of what the table is, and whether that is what is chosen above."""
        table = self.table
        if table is None:
            return
        settings = table.settings
        states = ", ".join(f"{name} {n}" for name, n in table.status_counts().items())
        text = (
            f"{table.region} along {settings.axis}, {settings.statistic}, order "
            f"{settings.order}: {states}."
        )
        if not self._is_as_fitted():
            text += " Region or settings were changed since; fit again to use them."
        self.fitted.tell(text)

    def _go_to_one(self, numbers: NDArray[np.int64], side: str) -> None:
        if self._run is not None and len(numbers):
            later = go_to_next_of(self._run, numbers)
            self.message.tell("" if later else f"From the first event {side} again.")

    # --- labels and table ---------------------------------------------------------------

    def apply(self) -> None:
        """Label the events of the run by the ranges."""
        run, table = self._run, self.table
        if self.job is not None or run is None or table is None:
            return
        chosen, relabel = (self.ranges.ranges, self.ranges.good), self.relabel.isChecked()
        stack = run.stack

        def work(store: LabelStore, history: LabelHistory) -> RuleOutcome:
            return store_labels(store, stack, table, *chosen, relabel, history)

        try:
            labels_of(table, *chosen)  # no folder is made for what cannot be decided
            job = LabelJob("labelling by profile", run, work, self.folder.path())
        except LabelError as error:
            self.outcome.tell_error(str(error))
            return
        job.labelled.connect(self._applied)
        self._start(job, "Labelling…")

    def _applied(self, done: RuleOutcome, store: LabelStore) -> None:
        what = ", ".join(f"{n} {name}" for name, n in sorted(done.counts.items(), reverse=True))
        kept = f" {done.kept} kept a label that no rule gave." if done.kept else ""
        self.outcome.tell(
            f"Labelled {what or 'nothing'} as {_SOURCE} in {store.folder}; {done.undecided} "
            f"undecided.{kept}"
        )

    def withdraw(self) -> None:
        """Take back all labels that profiles gave in the folder."""
        run = self._run
        if self.job is not None or run is None:
            return

        def work(store: LabelStore, history: LabelHistory) -> int:
            return withdraw(store, _SOURCE, history)

        try:
            job = LabelJob(
                "withdrawing labels by profile", run, work, self.folder.path(), create=False
            )
        except LabelError as error:
            self.outcome.tell_error(str(error))
            return
        job.labelled.connect(self._withdrawn)
        self._start(job, "Taking labels back…")

    def _withdrawn(self, n: int, store: LabelStore) -> None:
        self.outcome.tell(f"Took {n} labels by {_SOURCE} back in {store.folder}.")

    def save(self) -> None:
        """Save the table, asking before a file is replaced."""
        table, path = self.table, self.table_file.path()
        if self.job is not None or table is None:
            return
        if path is None:
            self.outcome.tell_error("Choose a file to save the table in.")
            return
        target = file_to_write(self, path, ".csv")
        if target is None:
            return

        def work(report: Report) -> str:
            table.write_csv(target.path, overwrite=target.replaces)
            return target.path

        job = Job("saving the table of profiles", work)
        job.succeeded.connect(self._saved)
        self._start(job, "Saving the table…")

    def _saved(self, path: str) -> None:
        self.table_file.set_paths(path)
        self.outcome.tell(f"The table of {self.table and len(self.table)} events is in {path}.")

    def set_busy(self, busy: bool) -> None:
        """What is fitted or saved is not changed meanwhile; browsing goes on."""
        self.fit_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(False)  # only fitting can be stopped
        for part in (self.chooser, self.region, self.form, self.results):
            part.setEnabled(not busy)
        self._follow_labels()
        if not busy:
            self.progress.stop()

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.region = RegionPicker(self.runs)
        self.region.changed.connect(self._entered)
        self.form = SettingsForm(ProfileSettings, first=("axis", "order", "statistic"))
        self.form.changed.connect(self._entered)
        self.live = LiveProfile(napari_viewer)
        self.live.plot.told.connect(self.message.tell_done)
        tip = "Fit the profile of every event of the run"
        self.fit_button = button("Fit all events", "fit", tip, self.fit)
        tip = "Stop fitting; nothing is kept of it"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        about.addRow("Region", self.region)
        self.body.addLayout(about)
        for widget in (self.form, self.live):
            self.body.addWidget(widget)
        self.body.addLayout(row(self.fit_button, self.cancel_button))
        self._build_results(napari_viewer)
        for widget in (self.progress, self.message, self.results):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _build_results(self, napari_viewer: Any) -> None:
        self.fitted = Message()
        self.fitted.setObjectName("fitted")
        self.ranges = RangePanel(napari_viewer)
        self.ranges.settled.connect(self._settled)
        self.ranges.wanted.connect(self._go_to_one)
        self.ranges.plot.told.connect(self.message.tell_done)
        self.side = Message()
        self.side.setObjectName("side")
        tip = "Write good and bad of all decided events to the label folder"
        apply = button("Apply as labels", "apply", tip, self.apply)
        tip = "Take back all labels that profiles gave; what was there before counts again"
        back = button("Withdraw", "withdraw", tip, self.withdraw)
        self.table_file = PathField("table", "new file", "Save the table", _TABLE, "NAME.csv")
        self.table_file.line.setToolTip("File for positions, coefficients, residual and R²")
        tip = "Save one row an event: status, residual, R², inflection points, coefficients"
        save = button("Save table", "save_table", tip, self.save)
        column = QVBoxLayout(self.results)
        column.setContentsMargins(6, 6, 6, 6)
        for widget in (self.fitted, self.ranges, self.side):
            column.addWidget(widget)
        column.addLayout(row("Labels", self.folder))
        column.addWidget(self.relabel)
        column.addLayout(row(apply, back))
        column.addLayout(row("Table", self.table_file))
        column.addWidget(save)
        column.addWidget(self.outcome)
