"""The Suggest dock: which events are worth labelling next, and what a quick model thinks."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFormLayout, QLabel

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.suggest import MIN_FOR_ACCURACY, CurvePoint, Suggester
from napari_xfelsort.widgets.dock import Dock, RunChooser, button, row
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.suggesting import Suggesting, suggesting_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOT_HEIGHT = 170


class SuggestDock(Dock):
    """Proposes events to label, and tells what the labels so far say of each event.

    Attributes
    ----------
    suggesting : Suggesting or None
        What is known of the run; None without a run.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.suggesting: Suggesting | None = None
        self._run: Run | None = None
        self._go_on = self._asked = False
        self._drawn: list[CurvePoint] = []
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self.region.changed.connect(self._use_region)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and of work that nobody else waits for."""
        super().release()
        self._use_run(None)
        self.region.release()
        self.plot.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._unfollow()
        self._run = run
        self._go_on = False
        self.message.tell("")
        self.region.set_run(run)
        if run is not None:
            run.shown.connect(self._show_opinion)
            run.labelled.connect(self._show_state)
            suggesting = self.suggesting = suggesting_of(run)
            suggesting.changed.connect(self._follow)
            suggesting.progressed.connect(self.progress.show_counts)
            suggesting.told.connect(self._tell)
            suggesting.learn_if_due()
            if suggesting.suggester is None and not suggesting.looking:
                self._use_region()
            elif not suggesting.region.polygons:  # they would be drawn once more
                with suppress(RegionError):
                    self.region.set_region(suggesting.region)
        self._follow()

    def _unfollow(self) -> None:
        run, suggesting = self._run, self.suggesting
        self.suggesting = None
        if run is not None and suggesting is not None:
            run.shown.disconnect(self._show_opinion)
            run.labelled.disconnect(self._show_state)
            suggesting.changed.disconnect(self._follow)
            suggesting.progressed.disconnect(self.progress.show_counts)
            suggesting.told.disconnect(self._tell)
            suggesting.let_go()

    def _use_region(self) -> None:
        """Look at this region next; what is no region is told when it is asked for."""
        if self.suggesting is not None:
            with suppress(RegionError):
                self.suggesting.region = self.region.region()

    def _tell(self, sentence: str, is_error: bool) -> None:
        (self.message.tell_error if is_error else self.message.tell)(sentence)

    def _follow(self) -> None:
        """Show what is known now, and go on to an event if that was waited for."""
        suggesting = self.suggesting
        self.progress.setVisible(False)
        if suggesting is not None and suggesting.looking:
            self.progress.start("Reading events…")
        if self._go_on and suggesting is not None and not suggesting.looking:
            self._go_when_ready(suggesting)
        self._draw()
        self._show_state()
        self.set_busy(suggesting is not None and suggesting.looking)

    # --- what the buttons do --------------------------------------------------------------

    def look(self) -> None:
        """Read the region of all events, in the background."""
        if self.suggesting is None:
            return
        try:
            self.suggesting.region = self.region.region()
        except RegionError as error:
            self.message.tell_error(str(error))
            return
        self.message.tell("")
        self._go_on = self._asked = True  # to look leads to proposals
        self.suggesting.look()

    def cancel(self) -> None:
        """Stop reading."""
        if self.suggesting is not None:
            self._go_on = False
            self.suggesting.cancel()

    def next_suggested(self) -> None:
        """Show the event that is most worth labelling now."""
        suggesting = self.suggesting
        if suggesting is None:
            return
        if suggesting.suggester is None:
            self.message.tell_error("Look at all events first; that is needed once.")
            return
        self.message.tell("")
        if not suggesting.show_next():
            self._go_on, self._asked = True, False
            self._asked = suggesting.learn()

    def _go_when_ready(self, suggesting: Suggesting) -> None:
        if suggesting.show_next():
            self._go_on = False
        elif not suggesting.busy and not self._asked:
            self._asked = suggesting.learn()
        elif not suggesting.busy:
            self._go_on = False
            run = self._run
            if run is not None and suggesting.suggester is not None:
                here = run.current
                alone = here is not None and run.label_of(here) is None
                self.message.tell(
                    "There is no other event to suggest."
                    if alone
                    else "Every event that can be used has a label."
                )

    # --- what is shown ----------------------------------------------------------------------

    def _draw(self) -> None:
        suggester = None if self.suggesting is None else self.suggesting.suggester
        points = [] if suggester is None else suggester.curve
        curve = [point for point in points if not math.isnan(point.accuracy)]
        if curve == self._drawn:
            return
        self._drawn = curve
        if curve:
            self.plot.draw(functools.partial(draw_curve, curve=curve), _PLOT_HEIGHT)
        else:
            self.plot.clear()

    def _show_opinion(self, _: int = 0) -> None:
        """What the model thinks of the event shown."""
        run = self._run
        suggester = None if self.suggesting is None else self.suggesting.suggester
        text = ""
        if run is not None and suggester is not None and run.current is not None:
            text = opinion(suggester, run.current)
        self.opinion.setText(text)

    def _show_state(self) -> None:
        run, suggesting = self._run, self.suggesting
        if run is None or suggesting is None:
            text = "Open a run to label its events."
        elif suggesting.suggester is None:
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
        """Nothing else is begun while events are read."""
        suggesting = self.suggesting
        known = suggesting is not None and suggesting.suggester is not None
        self.look_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(busy)
        self.next_button.setEnabled(not busy and known)
        for part in (self.chooser, self.region):
            part.setEnabled(not busy)

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
    found = suggester.opinion(i)
    return "" if found is None else f"The labels so far say: {found[0]} ({100 * found[1]:.0f} %)"


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
