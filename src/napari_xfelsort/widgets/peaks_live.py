"""The peaks of the event that is shown, found beside the window: the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QGroupBox, QVBoxLayout

from napari_xfelsort.core.peaks import EventPeaks, PeakList, PeakSettings, RunPeaks
from napari_xfelsort.core.peaks.comparing import pairs_within
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.anomaly_ask import Asker
from napari_xfelsort.widgets.dock import Message, row
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.peaks_layers import remove_found, show_found
from napari_xfelsort.widgets.peaks_plots import SpreadPlot
from napari_xfelsort.widgets.sort_order import plural
from napari_xfelsort.widgets.workers import Report

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.widgets.run import Run

#: Milliseconds from a step, or a change of settings, until peaks are looked for.
_DELAY, _SETTLE = 20, 100
#: Pixels within which a found and a stored peak are one.
_WITHIN = 3.0
#: What the plots are of.
EVENT, RUN = "event", "run"


class Wanted(NamedTuple):
    """What is to be shown: of which event, found how, and what is known of the run."""

    stack: EventStack
    settings: PeakSettings
    event: int
    known: RunPeaks | None


class Seen(NamedTuple):
    """What was found.

    Attributes
    ----------
    wanted : Wanted
    finder : EventPeaks
        By which; to be used again.
    peaks : PeakList or str
        Those of the event, or why it could not be read.
    stored : ndarray, shape (peaks, 2), or None
        (y, x) of the peaks that the file has; None where files store none.
    """

    wanted: Wanted
    finder: EventPeaks
    peaks: PeakList | str
    stored: NDArray[np.float64] | None


class LivePeaks(QGroupBox):
    """Found peaks of the event shown, beside the stored ones.

    Attributes
    ----------
    seen : Seen or None
        What is shown.
    """

    #: Finding was turned on or off.
    toggled_live = Signal()

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__("Event shown")
        self.seen: Seen | None = None
        self._run: Run | None = None
        self._known: RunPeaks | None = None
        self._wanted: Wanted | None = None
        self._finder: EventPeaks | None = None
        self._asker = Asker("finding the peaks of the event shown")
        self._asker.answered.connect(self._take)
        self._asker.failed.connect(self._fail)
        self._entered: Wanted | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SETTLE)
        self._soon.timeout.connect(self._ask_entered)
        self.follow = QCheckBox("find peaks of the event shown")
        self.follow.setObjectName("live")
        self.follow.setToolTip("Squares around the peaks of each event, while you browse")
        self.follow.setChecked(True)
        self.follow.toggled.connect(self._toggled)
        self.within = QDoubleSpinBox()
        self.within.setObjectName("within")
        self.within.setRange(0.5, 50)
        self.within.setSingleStep(0.5)
        self.within.setDecimals(1)
        self.within.setSuffix(" px")
        self.within.setValue(_WITHIN)
        self.within.setToolTip("A found and a stored peak are the same if they are so near")
        self.within.valueChanged.connect(self._tell)
        self.text = Message()
        self.text.setObjectName("event_text")
        self.scope = QComboBox()
        self.scope.setObjectName("scope")
        self.scope.addItem("peaks of this event", EVENT)
        self.scope.addItem("peaks of the whole run", RUN)
        self.scope.setToolTip("What the plots are of")
        self.scope.currentIndexChanged.connect(self._draw)
        for box in (self.within, self.scope):
            needs_focus_for_wheel(box)
        self.plot = SpreadPlot(napari_viewer)
        self.plot.told.connect(self.text.tell_done)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.follow)
        column.addWidget(self.text)
        line = row("same as stored within", self.within)
        line.addStretch()
        column.addLayout(line)
        column.addWidget(self.scope)
        column.addWidget(self.plot)

    @property
    def busy(self) -> bool:
        """Whether something is yet to be shown."""
        return self._asker.busy or self._soon.isActive()

    def use(self, run: Run | None) -> None:
        """Be about this run, or about its stack anew."""
        if self._run is not None:
            remove_found(self._run)
        self._run, self._finder = run, None
        self.show_nothing()

    def know(self, known: RunPeaks | None) -> None:
        """What was found in the whole run; None for nothing yet."""
        self._known = known
        self.scope.setVisible(known is not None)
        self._draw()

    def ask(self, wanted: Wanted, settle: bool = False) -> None:
        """Show the peaks of an event, soon; what was asked for before is forgotten.

        Parameters
        ----------
        wanted : Wanted
            What to show.
        settle : bool
            Settings are being dragged: what is being looked for is shown first, so that
            something is to be seen meanwhile.
        """
        if not self.follow.isChecked():
            return
        if settle:
            self._entered = wanted
            if not self._soon.isActive():
                self._soon.start()
            return
        self._soon.stop()
        self._wanted = wanted
        finder = self._finder
        if finder is not None and finder.stack is not wanted.stack:
            finder = None

        def work(report: Report) -> Seen:
            return find_event(wanted, finder)

        self._asker.ask(work, _DELAY)

    def _ask_entered(self) -> None:
        if self._asker.busy:
            self._soon.start()
        elif self._entered is not None:
            self.ask(self._entered)

    def show_nothing(self, sentence: str = "", error: bool = False) -> None:
        """Show no peaks, and say why."""
        self._soon.stop()
        self._asker.forget()
        self.seen = self._wanted = self._entered = None
        if self._run is not None:
            remove_found(self._run)
        (self.text.tell_error if error else self.text.tell)(sentence)
        self._draw()

    def release(self) -> None:
        """Let go of the viewer, of files and of the layer."""
        self.use(None)
        self._known = None
        self.plot.release()

    def _toggled(self, on: bool) -> None:
        if not on:
            self.show_nothing()
        self.toggled_live.emit()

    def _take(self, seen: Seen) -> None:
        self._finder = seen.finder
        run = self._run
        if run is None or seen.wanted is not self._wanted:
            return
        if isinstance(seen.peaks, str):
            self.show_nothing(seen.peaks, error=True)
            return
        self.seen = seen
        show_found(run, points_of(seen.peaks))
        self._tell()
        self._draw()

    def _fail(self, sentence: str) -> None:
        self.show_nothing(sentence, error=True)

    def _tell(self, *_: Any) -> None:
        if self.seen is not None:
            self.text.tell(described(self.seen, self.within.value()))

    def _draw(self, *_: Any) -> None:
        known, seen = self._known, self.seen
        if known is not None and self.scope.currentData() == RUN:
            self.plot.show_peaks(known.lists)
        elif seen is not None and isinstance(seen.peaks, PeakList):
            self.plot.show_peaks([seen.peaks])
        else:
            self.plot.clear()


def find_event(wanted: Wanted, finder: EventPeaks | None = None) -> Seen:
    """Find the peaks of an event, or take them from what is known of the run; in a thread."""
    stack, settings, i, known = wanted
    finder = EventPeaks(stack, settings) if finder is None else finder.changed(settings)
    if known is not None and i < len(known):
        peaks = known.problems.get(i, known.lists[i])
    else:
        peaks = finder.of([i])[0][1]
    stored = None if stack.peaks(i) is None else drawn.peak_points(stack, i)
    return Seen(wanted, finder, peaks, stored)


def points_of(peaks: PeakList) -> NDArray[np.float64]:
    """(y, x) of peaks in the picture, shape (peaks, 2)."""
    points = np.column_stack([peaks.y, peaks.x])
    return points[np.isfinite(points).all(axis=1)]


def described(seen: Seen, within: float) -> str:
    """How many peaks were found, are stored, and are both."""
    peaks, settings = seen.peaks, seen.wanted.settings
    assert isinstance(peaks, PeakList)
    text = f"Event {seen.wanted.event}: {plural(len(peaks), 'peak')} found"
    if seen.stored is not None:
        both = len(pairs_within(points_of(peaks), seen.stored, within))
        text += f", {len(seen.stored)} stored, {both} of them the same"
    side = "a hit" if len(peaks) >= settings.min_peaks else "no hit"
    return f"{text}; {side}."
