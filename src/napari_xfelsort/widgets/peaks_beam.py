"""Photon energy and camera length of the event shown and of the run, read from the frames."""

from __future__ import annotations

from typing import NamedTuple

from qtpy.QtWidgets import QCheckBox, QGroupBox, QVBoxLayout

from napari_xfelsort.core.beam import (
    BeamEstimate,
    EventBeam,
    beam_of_run,
    contradiction,
    estimate_beam,
)
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.anomaly_ask import Asker
from napari_xfelsort.widgets.dock import Message, button, row
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Report, counted

#: Milliseconds from a step until the event is looked at: not each of many.
_DELAY = 250


class Told(NamedTuple):
    """What was found.

    Attributes
    ----------
    stack : EventStack
        Of the run it was asked for.
    event : int or None
        Which event; None for the run.
    work : EventBeam or None
        By which; to be used again.
    sentence : str
        For the user.
    wrong : bool
        Whether the file says something else.
    """

    stack: EventStack
    event: int | None
    work: EventBeam | None
    sentence: str
    wrong: bool


class BeamReadout(QGroupBox):
    """Photon energy and camera length, and whether the file says the same."""

    def __init__(self) -> None:
        super().__init__("Photon energy and camera length")
        self._run: Run | None = None
        self._work: EventBeam | None = None
        self._event = Asker("reading the beam from the event shown")
        self._event.answered.connect(self._take)
        self._event.failed.connect(self._fail_event)
        self._whole = Asker("reading the beam from the run")
        self._whole.answered.connect(self._take)
        self._whole.failed.connect(self._fail_run)
        self._whole.progressed.connect(self._progressed)
        self._whole.changed.connect(self._enable)
        self.follow = QCheckBox("of the event shown")
        self.follow.setObjectName("beam_live")
        self.follow.setToolTip(
            "Find both from what water and gas scatter, while you browse; needs a geometry"
        )
        self.follow.toggled.connect(self._toggled)
        tip = (
            "Find both from events all over the run, taken together; they must be the same in all"
        )
        self.button = button("Of the run", "beam_run", tip, self.ask_run)
        self.event_text, self.run_text = Message(), Message()
        self.event_text.setObjectName("beam_event_text")
        self.run_text.setObjectName("beam_run_text")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addLayout(row(self.follow, self.button))
        column.addWidget(self.event_text)
        column.addWidget(self.run_text)

    @property
    def busy(self) -> bool:
        """Whether something is yet to be told."""
        return self._event.busy or self._whole.busy

    def use(self, run: Run | None) -> None:
        """Be about this run, or about its stack anew."""
        self._event.forget()
        self._whole.forget()
        self._run, self._work = run, None
        for text in (self.event_text, self.run_text):
            text.tell("")
        self._enable()
        self.ask()

    def ask(self) -> None:
        """Tell of the event shown, soon, if that is wanted."""
        run = self._run
        if run is None or run.current is None or not self.follow.isChecked():
            return
        stack, event = run.stack, run.current
        work = self._work if self._work is not None and self._work.stack is stack else None

        def read(report: Report) -> Told:
            return read_event(stack, event, work)

        self._event.ask(read, _DELAY)

    def ask_run(self) -> None:
        """Tell of the run."""
        run = self._run
        if run is None or self._whole.busy:
            return
        stack = run.stack
        self.run_text.tell("Looking at the run…")

        def read(report: Report) -> Told:
            return read_run(stack, report)

        self._whole.ask(read, 0)

    def release(self) -> None:
        """Let go of the run and of work."""
        self.use(None)

    def _toggled(self, on: bool) -> None:
        self._event.forget()
        self.event_text.tell("")
        if on:
            self.ask()

    def _take(self, told: Told) -> None:
        run = self._run
        if run is None or told.stack is not run.stack:
            return
        self._work = told.work or self._work
        if told.event is None:
            self.run_text.tell_done(told.sentence, not told.wrong)
        elif told.event == run.current and self.follow.isChecked():
            self.event_text.tell_done(told.sentence, not told.wrong)

    def _progressed(self, counts: tuple[int, int]) -> None:
        self.run_text.tell("Looking at the run: {} of {} events…".format(*counts))

    def _fail_event(self, sentence: str) -> None:
        self.event_text.tell_error(sentence)

    def _fail_run(self, sentence: str) -> None:
        self.run_text.tell_error(sentence)

    def _enable(self) -> None:
        self.button.setEnabled(self._run is not None and not self._whole.busy)


def read_event(stack: EventStack, event: int, work: EventBeam | None = None) -> Told:
    """What an event tells; in a thread."""
    work = work or EventBeam(stack)
    look = work.look(event, peaks=False)
    if look.counts is None:
        return Told(stack, event, work, str(look.peaks), True)
    found = estimate_beam(look.counts)
    return Told(stack, event, work, *_sentence(f"Event {event}", found, stack, event))


def read_run(stack: EventStack, report: Report) -> Told:
    """What a run tells; in a thread."""
    found = beam_of_run(stack, progress=counted(report))
    name = "The run" if found.events == len(stack) else f"{found.events} events of the run"
    return Told(stack, None, None, *_sentence(name, found, stack, 0))


def _sentence(name: str, found: BeamEstimate, stack: EventStack, event: int) -> tuple[str, bool]:
    warning = contradiction(found, *known_beam(stack, event))
    told = f"{name}: {found.told()}."
    return (f"{told} {warning}", True) if warning else (told, False)
