"""The profile of the event that is shown, fitted beside the window: newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_xfelsort.core.profiles import EventProfile, Profiler, ProfileSettings
from napari_xfelsort.widgets.dock import Message
from napari_xfelsort.widgets.profile_plots import ProfilePlot
from napari_xfelsort.widgets.workers import Job, Report

if TYPE_CHECKING:
    from napari_xfelsort.core.profiles.ranges import Range
    from napari_xfelsort.core.region import Region
    from napari_xfelsort.core.stack import EventStack

#: Milliseconds that the slider must rest.
_REST = 60


class Asked(NamedTuple):
    """What is to be shown."""

    stack: EventStack
    region: Region
    settings: ProfileSettings
    event: int


class LiveProfile(QWidget):
    """Profile, fit and residual of one event.

    Events are read and fitted in a thread, one at a time; what was asked for meanwhile is
    forgotten but for the last.

    Attributes
    ----------
    shown : EventProfile or None
        What the plot shows.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.shown: EventProfile | None = None
        self.plot = ProfilePlot(napari_viewer, "profile")
        self.text = Message()
        self.text.setObjectName("profile_text")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        column.addWidget(self.text)
        self._accepted: list[Range] = []
        self._asked: Asked | None = None
        self._begun: Asked | None = None
        self._profiler: Profiler | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether something is yet to be shown."""
        return self._job is not None or self._timer.isActive()

    def ask(self, asked: Asked) -> None:
        """Show the profile of an event, soon."""
        self._asked = asked
        self._timer.start()

    def show_nothing(self, sentence: str = "", error: bool = False) -> None:
        """Show no profile, and say why."""
        self._asked = self.shown = None
        self._timer.stop()
        self.plot.clear()
        (self.text.tell_error if error else self.text.tell)(sentence)

    def shade(self, accepted: Sequence[Range]) -> None:
        """Shade these ranges in the plot."""
        if list(accepted) != self._accepted:
            self._accepted = list(accepted)
            self._draw()

    def release(self) -> None:
        """Let go of the viewer and of files."""
        self.show_nothing()
        self._profiler = self._begun = None
        self.plot.release()

    def _begin(self) -> None:
        asked = self._asked
        if asked is None or self._job is not None:
            return
        self._begun = asked
        known = self._profiler
        if known is not None and (known.stack, known.region, known.settings) != asked[:3]:
            known = None

        def work(report: Report) -> tuple[Profiler, EventProfile]:
            profiler = known or Profiler(*asked[:3])
            return profiler, profiler.event(asked.event)

        self._job = Job("fitting the profile shown", work)
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self._fail)
        self._job.ended.connect(self._end)
        self._job.start()

    def _take(self, made: tuple[Profiler, EventProfile]) -> None:
        if self._begun is not None:
            self._profiler = made[0]
        if self._asked is not None and self._asked == self._begun:
            self.shown = made[1]
            self.text.tell(_describe(self._asked.event, made[1]))
            self._draw()

    def _fail(self, sentence: str) -> None:
        if self._asked == self._begun:
            self.show_nothing(sentence, error=True)

    def _end(self) -> None:
        self._job = None
        if self._asked is not None and self._asked != self._begun and not self._timer.isActive():
            self._begin()

    def _draw(self) -> None:
        if self.shown is not None:
            self.plot.show_profile(self.shown, self._accepted)


def _describe(event: int, profile: EventProfile) -> str:
    """What the fit says of an event, in a line."""
    if profile.problem:
        return f"Event {event}: {profile.problem}"
    if profile.status != "ok":
        return f"Event {event} is undecided: {profile.status}."
    places = ", ".join(f"{place:.4g}" for place in profile.inflections)
    several = "points" if len(profile.inflections) > 1 else "point"
    return (
        f"Event {event}: inflection {several} {places} {profile.unit}, residual "
        f"{profile.residual:.3g} ADU, R² {profile.r2:.3f}"
    )
