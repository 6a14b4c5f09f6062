"""The Suggest dock: which events are worth labelling next, and what a quick model thinks."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QLabel

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.event_looks import describe_events
from napari_xfelsort.core.features import FeatureTable
from napari_xfelsort.core.suggest import MIN_FOR_ACCURACY, CurvePoint, Suggester
from napari_xfelsort.widgets.dock import Dock, RunChooser, button, row
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Events proposed at once, and new labels after which others are proposed.
BATCH, RELEARN = 10, 5
#: Milliseconds without a label before the model learns: not at each of many.
_LEARN_DELAY = 300
_PLOT_HEIGHT = 170


class SuggestDock(Dock):
    """Proposes events to label, and tells what the labels so far say of each event.

    Attributes
    ----------
    suggester : Suggester or None
        None until all events were looked at.
    proposed : list of int
        Events proposed that were not shown yet.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.suggester: Suggester | None = None
        self.proposed: list[int] = []
        self._run: Run | None = None
        self._stack: Any = None
        self._learnt = 0
        self._go_on = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_LEARN_DELAY)
        self._timer.timeout.connect(self._learn_if_due)
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work."""
        super().release()
        self._timer.stop()
        self._use_run(None)
        self.region.release()
        self.plot.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self._run is not None:
            self._run.shown.disconnect(self._show_opinion)
            self._run.labelled.disconnect(self._on_labelled)
            self._run.changed.disconnect(self._on_changed)
        self._run = run
        self.region.set_run(run)
        if run is not None:
            run.shown.connect(self._show_opinion)
            run.labelled.connect(self._on_labelled)
            run.changed.connect(self._on_changed)
        self._forget()

    def _on_changed(self) -> None:
        """Other frames: what was seen of the events holds no more."""
        self._forget()

    def _forget(self) -> None:
        self.suggester = None
        self.proposed.clear()
        self._learnt = 0
        if self.job is not None:
            self.job.stop()
        self.plot.clear()
        self._show_state()
        self.set_busy(self.job is not None)

    def _labels(self) -> list[str | None]:
        run = self._run
        assert run is not None
        if run.tally is None:
            return [None] * len(run)
        return [run.tally.label(i) for i in range(len(run))]

    # --- looking at all events ------------------------------------------------------------

    def look(self) -> None:
        """Read the region of all events, in the background."""
        run = self._run
        if run is None or self.job is not None:
            return
        try:
            region = self.region.region()
        except RegionError as error:
            self.message.tell_error(str(error))
            return
        stack = self._stack = run.stack

        def work(report: Report) -> FeatureTable:
            return describe_events(stack, region, progress=counted(report))

        job = Job("looking at all events", work)
        job.progressed.connect(self.progress.show_counts)
        job.succeeded.connect(self._looked)
        job.stopped.connect(self._stopped)
        self.message.tell("")
        self.progress.start("Reading events…")
        self.run_job(job)

    def cancel(self) -> None:
        """Stop reading."""
        if self.job is not None:
            self.job.stop()

    def _stopped(self) -> None:
        self.message.tell("Stopped; the events were not all looked at.")

    def _looked(self, table: FeatureTable) -> None:
        run = self._run
        if run is None or run.stack is not self._stack:
            return  # another run meanwhile
        self.suggester = Suggester(table.matrix)
        n_failed = len(table.failed)
        if n_failed:
            example = next(iter(table.failed.values()))
            self.message.tell(f"{n_failed} events cannot be used; the first: {example}")
        self._go_on = True

    # --- learning -------------------------------------------------------------------------

    def _on_labelled(self) -> None:
        self._show_state()
        self._timer.start()

    def _learn_if_due(self) -> None:
        run = self._run
        if run is None or self.suggester is None or self.job is not None:
            return
        n_labelled = 0 if run.tally is None else run.tally.n_labelled
        if abs(n_labelled - self._learnt) >= RELEARN:
            self._learn(go_on=False)
        self._show_state()

    def _learn(self, go_on: bool) -> None:
        """Learn from the labels so far and propose events; then go to one, if asked."""
        suggester, labels = self.suggester, self._labels()
        if suggester is None or self.job is not None:
            return
        self._go_on = go_on

        def work(report: Report) -> list[int]:
            suggester.update(labels)
            return [int(i) for i in suggester.propose(BATCH)]

        job = Job("choosing events to label", work)
        job.succeeded.connect(functools.partial(self._proposed, suggester, labels))
        self.run_job(job)

    def _proposed(
        self, suggester: Suggester, labels: Sequence[str | None], proposed: list[int]
    ) -> None:
        if suggester is not self.suggester:
            return
        self.proposed[:] = proposed
        self._learnt = sum(label is not None for label in labels)
        curve = [point for point in suggester.curve if not math.isnan(point.accuracy)]
        if curve:
            self.plot.draw(functools.partial(draw_curve, curve=curve), _PLOT_HEIGHT)
        if self._go_on:
            self._go_on = False
            if not proposed:
                self.message.tell("Every event that can be used has a label.")
            self._go_to_proposed()
        self._show_state()

    def _job_ended(self) -> None:
        super()._job_ended()
        if self._go_on and self.suggester is not None and self._run is not None:
            self._learn(go_on=True)

    # --- going to events ------------------------------------------------------------------

    def next_suggested(self) -> None:
        """Show the event that is most worth labelling now."""
        if self._run is None or self.job is not None:
            return
        if self.suggester is None:
            self.message.tell_error("Look at all events first; that is needed once.")
            return
        self.message.tell("")
        if not self._go_to_proposed():
            self._learn(go_on=True)

    def _go_to_proposed(self) -> bool:
        run = self._run
        while run is not None and self.proposed:
            i = self.proposed.pop(0)
            if run.label_of(i) is None and i != run.current:
                run.go_to(i)
                if self.proposed:  # so that the one after it comes at once
                    run.frames.store.fetch_ahead(self.proposed[:2])
                return True
        return False

    # --- what is shown ----------------------------------------------------------------------

    def _show_opinion(self, _: int = 0) -> None:
        """What the model thinks of the event shown."""
        run, suggester = self._run, self.suggester
        text = ""
        if run is not None and suggester is not None and run.current is not None:
            text = opinion(suggester, run.current)
        self.opinion.setText(text)

    def _show_state(self) -> None:
        run = self._run
        if run is None:
            text = "Open a run to label its events."
        elif self.suggester is None:
            text = (
                "Look at all events once; then those most worth labelling are suggested: "
                "uncertain ones that differ from each other."
            )
        else:
            n_labelled = 0 if run.tally is None else run.tally.n_labelled
            text = f"{n_labelled} of {len(run)} events are labelled."
            if n_labelled < MIN_FOR_ACCURACY:
                text += " Label a handful of each class."
        self.state.setText(text)
        self._show_opinion()

    def set_busy(self, busy: bool) -> None:
        """Nothing else is begun while work goes on."""
        self.look_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(busy)
        self.next_button.setEnabled(not busy and self.suggester is not None)
        for part in (self.chooser, self.region):
            part.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.region = RegionPicker(self.runs)
        self.progress = EventProgress()
        self.state, self.opinion = QLabel(), QLabel()
        for label, name in ((self.state, "state"), (self.opinion, "opinion")):
            label.setObjectName(name)
            label.setWordWrap(True)
        self.plot = Plot(napari_viewer, "accuracy")
        tip = "Read the region of all events once, in the background"
        self.look_button = button("Look at all events", "look", tip, self.look)
        self.cancel_button = button("Cancel", "cancel", "Stop reading", self.cancel)
        tip = "Show the event that is most worth labelling now"
        self.next_button = button("Next suggested", "next_suggested", tip, self.next_suggested)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Run", self.chooser)
        form.addRow("Region", self.region)
        self.body.addLayout(form)
        self.body.addLayout(row(self.look_button, self.cancel_button))
        for widget in (self.progress, self.message, self.state, self.next_button):
            self.body.addWidget(widget)
        self.body.addWidget(self.opinion)
        self.body.addWidget(self.plot)
        self.body.addStretch(1)


def opinion(suggester: Suggester, i: int) -> str:
    """What a model thinks of event ``i``, in words; empty when it cannot say."""
    if not suggester.classes or math.isnan(suggester.probabilities[i][0]):
        return ""
    best = int(suggester.probabilities[i].argmax())
    share = 100 * suggester.probabilities[i][best]
    return f"The labels so far say: {suggester.classes[best]} ({share:.0f} %)"


def draw_curve(figure: Figure, curve: Sequence[CurvePoint]) -> None:
    """Accuracy on labelled events left out in turn, against the number of labels."""
    axes = figure.add_subplot()
    axes.plot(
        [point.n_labels for point in curve],
        [100 * point.accuracy for point in curve],
        marker="o",
        markersize=3,
    )
    axes.set_xlabel("labels")
    axes.set_ylabel("right (%)")
    axes.set_ylim(top=101)
    axes.grid(alpha=0.3)
