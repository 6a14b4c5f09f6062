"""The Label by rule dock: a number for each event, and a range of it that labels events."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QLineEdit, QVBoxLayout

from napari_xfelsort.core.errors import LabelError, RegionError, SettingsError
from napari_xfelsort.core.event_scores import EventScores, event_scores
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import (
    LabelRule,
    RuleOutcome,
    apply_rule,
    is_by_rule,
    rules_of,
    withdraw,
)
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore, login_name
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, RunChooser, button, row
from napari_xfelsort.widgets.labelling import (
    ReadLabels,
    go_to_next_of,
    has_labels,
    labels_reader,
)
from napari_xfelsort.widgets.rule_form import Score, ScoreForm
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.rule_list import RuleList
from napari_xfelsort.widgets.rule_panel import WITHOUT, RulePanel, n_events
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.whole_run import WholeRunDock
from napari_xfelsort.widgets.workers import Job, Report, counted

#: Milliseconds of rest after a label before labels by rules are counted.
_REST = 200


class Computed(NamedTuple):
    """Numbers of all events of a stack, and how they were asked for."""

    stack: EventStack
    score: Score
    scores: EventScores


class RuleDock(WholeRunDock):
    """Looks at a number of each event of a run, and labels by a range of it.

    Attributes
    ----------
    computed : Computed or None
        Numbers of all events of the run.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "Label by this number")
        self.computed: Computed | None = None
        self._unread = self._released = False
        self._counted = QTimer(self)
        self._counted.setSingleShot(True)
        self._counted.setInterval(_REST)
        self._counted.timeout.connect(self._show_rules)
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work."""
        self._released = True
        super().release()
        self._use_run(None)
        self._counted.stop()
        self.form.release()
        self.panel.histogram.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._run = run
        self.message.tell("")
        self.follow_run(
            run,
            shown=self._tell_event,
            changed=self._run_changed,
            labelled=self._follow_labels,
        )
        if run is not None:
            self.folder.set_paths(os.path.abspath(run.suggested_labels()))
        self.form.set_run(run)
        self._run_changed()
        self._folder_chosen()

    def _forget(self) -> None:
        self.computed = None
        self.panel.clear()
        self.form.set_stack(self._stack)

    def _follow_labels(self) -> None:
        super()._follow_labels()
        if self._run is not None:
            self.panel.show_classes(self._run.classes)
        self._tell_event()
        self._counted.start()

    def _folder_chosen(self, *_: Any) -> None:
        """Read the labels that are there already, for their classes and rules."""
        run, folder = self._run, self.folder.path()
        self._unread = bool(
            run is not None and run.labels is None and folder and has_labels(_full(folder))
        )
        self._read_next()

    def _read_next(self) -> None:
        run, folder = self._run, self.folder.path()
        if not self._unread or self.job is not None or run is None or self._released:
            return
        self._unread = False
        if run.labels is None and folder:
            work = labels_reader(_full(folder), login_name(), run.stack)
            job = Job(f"reading the labels in {folder}", work)
            job.succeeded.connect(self._take_labels)
            self.run_job(job)

    def _take_labels(self, read: ReadLabels) -> None:
        run = self._run
        if run is None or run.labels is not None or run.stack is not read.stack:
            return  # others read or chose a folder meanwhile
        if read.warning:
            self.outcome.tell_error(read.warning)
        run.classes = read.classes
        run.use_labels(read.store, LabelTally(read.matched.labels))

    def _job_ended(self) -> None:
        super()._job_ended()
        self._read_next()

    def _show_rules(self) -> None:
        store = None if self._run is None else self._run.labels
        self.rules.show_rules({} if store is None else rules_of(store))

    # --- numbers of all events ----------------------------------------------------------

    def compute(self) -> None:
        """Look at all events of the run."""
        run = self._run
        if self.job is not None or run is None:
            return
        try:
            score = self.form.score()
        except (RegionError, SettingsError) as error:
            self.message.tell_error(str(error))
            return
        stack = run.stack

        def work(report: Report) -> Computed:
            return Computed(stack, score, event_scores(stack, *score, counted(report)))

        job = Job("looking at all events", work)
        job.succeeded.connect(self._take)
        job.stopped.connect(self._stopped)
        job.progressed.connect(self.progress.show_counts)
        self.message.tell("")
        self.outcome.tell("")
        self.progress.start("Looking at all events…")
        self.run_job(job)
        self.cancel_button.setEnabled(True)

    def _take(self, computed: Computed) -> None:
        if computed.stack is not self._stack:
            return  # another run was chosen meanwhile
        values, failed = computed.scores
        self.computed = computed
        found = int(np.isfinite(values).sum())
        self.results.setVisible(bool(found))
        if found:
            self.name.setPlaceholderText(computed.score.settings.kind)
            self.panel.show_scores(values, str(computed.score.settings))
            self._tell_computed()
            QTimer.singleShot(0, self._scroll_to_results)
        else:
            self.panel.clear()
        if failed or not found:
            self.message.tell_error(_missing(values, failed))

    def _tell_computed(self) -> None:
        """Of what the numbers are, and whether that is what is chosen above."""
        computed = self.computed
        if computed is None:
            return
        text = f"{computed.score} of {n_events(len(computed.stack))}."
        if not self.form.is_chosen(computed.score):
            text += " Something else is chosen above; compute again to use it."
        self.about_scores.tell(text)

    # --- the event shown ----------------------------------------------------------------

    def _tell_event(self, *_: Any) -> None:
        """The number of the event shown, and what it would be labelled."""
        run, values = self._run, self.panel.values
        i = None if run is None else run.current
        if run is None or values is None or i is None or i >= len(values):
            self.panel.histogram.mark(math.nan)
            self.preview.tell("")
            return
        self.panel.histogram.mark(float(values[i]))
        self.preview.tell(_preview(i, values, self.panel, run, self.relabel.isChecked()))

    def _go_to_one(self, numbers: NDArray[np.int64], side: str) -> None:
        if self._run is not None and len(numbers):
            later = go_to_next_of(self._run, numbers)
            self.outcome.tell("" if later else f"From the first event {side} again.")

    # --- labels -------------------------------------------------------------------------

    def apply(self) -> None:
        """Label the events of the run by the range."""
        run, computed = self._run, self.computed
        if self.job is not None or run is None or computed is None:
            return
        settings, values = computed.score.settings, computed.scores.values
        relabel = self.relabel.isChecked()
        try:
            rule = self.panel.rule(self.name.text().strip() or settings.kind, str(settings))
            work = functools.partial(_apply, computed.stack, values, rule, relabel)
            job = LabelJob("labelling by a rule", run, work, self.folder.path())
        except LabelError as error:
            self.outcome.tell_error(str(error))
            return
        job.labelled.connect(self._applied)
        self._start(job, "Labelling…")

    def withdraw(self, source: str) -> None:
        """Take all labels of a rule back."""
        run = self._run
        if self.job is not None or run is None or run.labels is None:
            return
        job = LabelJob("withdrawing a rule", run, functools.partial(_withdraw, source))
        job.labelled.connect(self._withdrawn)
        self._start(job, "Taking labels back…")

    def _start(self, job: LabelJob, doing: str) -> None:
        self.outcome.tell("")
        self.progress.start(doing)
        self.run_job(job)
        job.failed.connect(self._refused)

    def _refused(self, sentence: str) -> None:
        """Said beside the buttons, not above."""
        self.message.tell("")
        self.outcome.tell_error(sentence)

    def _applied(self, made: tuple[LabelRule, RuleOutcome], store: LabelStore) -> None:
        rule, done = made
        what = ", ".join(f"{n} {name}" for name, n in done.counts.items()) or "nothing"
        kept = ""
        if done.kept:
            kept = f" Labelled by hand and left so: {n_events(done.kept)}."
        silent = f" Undecided: {n_events(done.undecided)}." if done.undecided else ""
        self.outcome.tell(
            f"Labelled {what} as {rule.source} in {store.folder}.{kept}{silent} Withdraw it "
            "below, or undo it in the Label dock."
        )
        QTimer.singleShot(_REST + 50, self._scroll_to_outcome)  # rules are listed by then

    def _scroll_to_outcome(self) -> None:
        self.ensureWidgetVisible(self.rules)

    def _withdrawn(self, made: tuple[str, int], store: LabelStore) -> None:
        source, n = made
        self.outcome.tell(
            f"Took {n} labels of {source} back in {store.folder}. The Label dock can undo it."
        )

    def set_busy(self, busy: bool) -> None:
        """What is computed or written is not changed meanwhile; browsing goes on."""
        self.compute_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(False)
        for part in (self.form, self.results, self.rules):
            part.setEnabled(not busy)
        self.folder.setEnabled(not busy and (self._run is None or self._run.labels is None))
        if not busy:
            self.progress.stop()

    # --- widgets ------------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.form = ScoreForm(self.runs)
        self.form.changed.connect(self._tell_computed)
        self.form.lacking.connect(self.message.tell_error)
        tip = "Look at all events of the run; you can browse meanwhile"
        self.compute_button = button("Compute", "compute", tip, self.compute)
        tip = "Stop looking; nothing is kept of it"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        about = QFormLayout()
        about.addRow("Run", self.chooser)
        self.body.addLayout(about)
        self.body.addWidget(self.form)
        self.body.addLayout(row(self.compute_button, self.cancel_button))
        self.rules = RuleList()
        self.rules.withdrawn.connect(self.withdraw)
        self._build_results(napari_viewer)
        for widget in (self.progress, self.message, self.results, self.outcome, self.rules):
            self.body.addWidget(widget)
        self.body.addStretch()

    def _build_results(self, napari_viewer: Any) -> None:
        self.about_scores = Message()
        self.about_scores.setObjectName("about_scores")
        self.panel = RulePanel(napari_viewer)
        self.panel.changed.connect(self._tell_event)
        self.panel.wanted.connect(self._go_to_one)
        self.panel.histogram.told.connect(self.outcome.tell_done)
        self.preview = Message()
        self.preview.setObjectName("preview")
        self.name = QLineEdit()
        self.name.setObjectName("rule_name")
        self.name.setToolTip(
            "Labels have the source rule:NAME; a rule of the same name is replaced"
        )
        self.folder.chosen.connect(self._folder_chosen)
        self.relabel.toggled.connect(self._tell_event)
        tip = "Label all events of the run by the range; you can go on labelling by hand"
        apply = button("Apply to the whole run", "apply", tip, self.apply)
        column = QVBoxLayout(self.results)
        column.setContentsMargins(6, 6, 6, 6)
        for widget in (self.about_scores, self.panel, self.preview):
            column.addWidget(widget)
        written = QFormLayout()
        written.addRow("Rule", self.name)
        written.addRow("Labels", self.folder)
        column.addLayout(written)
        column.addWidget(self.relabel)
        column.addWidget(apply)


def _apply(
    stack: EventStack,
    values: NDArray[np.float64],
    rule: LabelRule,
    relabel: bool,
    store: LabelStore,
    history: LabelHistory,
) -> tuple[LabelRule, RuleOutcome]:
    """In a thread."""
    return rule, apply_rule(store, stack, values, rule, relabel, history)


def _withdraw(source: str, store: LabelStore, history: LabelHistory) -> tuple[str, int]:
    """In a thread."""
    return source, withdraw(store, source, history)


def _full(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder))


def _missing(values: NDArray[np.float64], failed: dict[int, str]) -> str:
    """Why events have no number, in a sentence or two."""
    if not len(values):
        return "The run has no events."
    first = next(iter(failed.values()), "")
    if not np.isfinite(values).any():
        return f"No event has such a number, so there is nothing to put a range on. {first}"
    more = f" ({len(failed) - 1} more such events)" if len(failed) > 1 else ""
    return f"{first}{more} Events without a number get no label."


def _preview(
    i: int, values: NDArray[np.float64], panel: RulePanel, run: Run, relabel: bool
) -> str:
    """The number of an event, on which side it is, and what it would be labelled."""
    side = panel.side_of(i)
    if side == WITHOUT:
        return f"Event {i} has no number and would get no label."
    if not side:
        return f"Event {i}: {values[i]:.6g}."
    label = panel.labels[0 if side == "inside" else 1]
    would = f"would be labelled {label}" if label else "would get no label"
    now = None if run.labels is None else run.labels.entry(run.stack.event_id(i))
    if label and not relabel and now is not None and not is_by_rule(now):
        would = f"stays {now.label}, as it was labelled by hand"
    return f"Event {i}: {values[i]:.6g}, {side}; {would}."
