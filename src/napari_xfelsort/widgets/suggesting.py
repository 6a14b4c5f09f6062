"""Which events of a run are worth labelling next, known once for all docks of its viewer."""

from __future__ import annotations

import math
import weakref
from typing import NamedTuple

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_xfelsort.core.event_looks import describe_events
from napari_xfelsort.core.features import FeatureTable
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.suggest import CurvePoint, Suggester
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report, counted

#: Events proposed at once, and new labels after which others are proposed.
BATCH, RELEARN = 10, 5
#: So few proposals in hand let the model learn after any label.
_FEW = 2
#: Milliseconds from a label until the model may learn: not in the way of the next picture.
_LEARN_DELAY = 300


class _Proposals(NamedTuple):
    """What a model that learnt so many labels proposes."""

    suggester: Suggester
    n_learnt: int
    events: list[int]
    #: Whether those that were shown and left without a label are proposed once more.
    again: bool


class Suggesting:
    """Looks at all events of a run, learns from its labels, and proposes events to label.

    Made by `suggesting_of`, once for a run, and let go with it. Work goes on beside the
    window; a run with other frames (geometry, mask, files) makes it forget what it saw.

    Parameters
    ----------
    run : Run
        Held weakly.

    Attributes
    ----------
    region : Region
        The pixels that are looked at.
    suggester : Suggester or None
        None until all events were looked at.
    proposed : list of int
        Events proposed by the newest model that were not shown yet.
    n_learnt : int
        Labels that the newest model rests on.
    last : int or None
        The event that was shown last because it was proposed.
    problem : str
        Why the events were not looked at, if the user stopped it or it failed; else empty.
    """

    #: It began or ended work, or knows more, or forgot.
    changed = Signal()
    #: How far looking is: events done and in all.
    progressed = Signal(object)
    #: A sentence for the user, and whether it is an error.
    told = Signal(str, bool)

    def __init__(self, run: Run) -> None:
        self._run = weakref.ref(run)
        self.region = Region()
        self.suggester: Suggester | None = None
        self.proposed: list[int] = []
        self.n_learnt = 0
        self.last: int | None = None
        self.problem = ""
        self._put_back: list[int] = []
        self._shown: set[int] = set()
        self._changes = 0
        self._labels_learnt: object = None
        self._job: Job | None = None
        self._looking_at: EventStack | None = None
        self._look_next = self._learn_next = False
        self._newest: _Proposals | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_LEARN_DELAY)
        self._timer.timeout.connect(self.learn_if_due)
        run.labelled.connect(self._on_labelled)
        run.changed.connect(self.forget)
        run.closed.connect(self._close)

    @property
    def looking(self) -> bool:
        """Whether the events of the run are being looked at."""
        return self._looking_at is not None

    @property
    def busy(self) -> bool:
        """Whether some work goes on."""
        return self._job is not None

    @property
    def in_hand(self) -> list[int]:
        """Events to show next, the first first; some may have a label meanwhile."""
        return [*self._put_back, *self.proposed]

    @property
    def state(self) -> str:
        """How it stands, for who is taken from one proposal to the next."""
        if self.looking:
            return "All events are being looked at, once; until then random ones are shown."
        if self.suggester is None:
            begin = "Choose this order again to look at them; until then random ones are shown."
            return f"{self.problem or 'The events were not looked at yet.'} {begin}"
        if not self.in_hand and (self.busy or self._changes):
            return "Suggestions are being chosen; until then random events are shown."
        if not self.in_hand:
            return "No event is left to suggest; random ones are shown."
        if not self.n_learnt:
            return "Typical events come first, until there are labels."
        return f"Suggestions rest on {self.n_learnt} labels."

    def forget(self) -> None:
        """What was seen of the events holds no more."""
        self._stop()
        self._clear(None)
        self.problem = ""
        self.changed.emit()

    def _clear(self, suggester: Suggester | None) -> None:
        self.suggester = suggester
        self.proposed.clear()
        self._put_back.clear()
        self._shown.clear()
        self.n_learnt, self.last, self._labels_learnt = 0, None, None

    def _close(self) -> None:
        self.forget()
        self._timer.stop()

    def _stop(self) -> None:
        self._looking_at, self._look_next = None, False
        if self._job is not None:
            self._job.stop()

    # --- looking at all events ------------------------------------------------------------

    def look(self) -> None:
        """Read the region of all events in the background, unless that is going on."""
        run = self._run()
        if run is None or self.looking:
            return
        self.problem = ""
        if self._job is not None:  # learning, or about to stop
            self._look_next = True
            return
        stack, region = run.stack, self.region

        def work(report: Report) -> tuple[EventStack, FeatureTable]:
            return stack, describe_events(stack, region, progress=counted(report))

        job = Job("looking at all events", work)
        job.progressed.connect(self._progressed)
        job.succeeded.connect(self._looked)
        self._looking_at = stack
        self._start(job)

    def cancel(self) -> None:
        """The user stops looking."""
        if self.looking:
            self._stop()
            self.problem = "Stopped; the events were not all looked at."
            self.told.emit(self.problem, False)
            self.changed.emit()

    def let_go(self) -> None:
        """A dock turned away: without another one, what nobody waits for is not read."""
        if self.looking and not len(self.changed):
            self._stop()

    def _start(self, job: Job) -> None:
        self._job = job
        job.failed.connect(self._failed)
        job.ended.connect(self._ended)
        job.start()
        self.changed.emit()

    def _progressed(self, counts: object) -> None:
        if self.looking:
            self.progressed.emit(counts)

    def _looked(self, seen: tuple[EventStack, FeatureTable]) -> None:
        stack, table = seen
        run = self._run()
        if run is None or run.stack is not stack or self._looking_at is not stack:
            return  # other events meanwhile
        self._clear(Suggester(table.matrix))
        self._learn_next = True
        if table.failed:
            example = next(iter(table.failed.values()))
            sentence = f"{len(table.failed)} events cannot be used; the first: {example}"
            self.told.emit(sentence, False)

    def _failed(self, sentence: str) -> None:
        if self.suggester is None:
            self.problem = sentence
        self.told.emit(sentence, True)

    def _ended(self) -> None:
        self._job, self._looking_at = None, None
        if self._look_next:
            self._look_next = False
            self.look()
        elif self._learn_next:
            self.learn()
        else:
            self.learn_if_due()
        self.changed.emit()

    # --- learning -------------------------------------------------------------------------

    def _on_labelled(self) -> None:
        self._changes += 1
        # Not put off by the next label: a fast labeller is served, too.
        if self.suggester is not None and not self._timer.isActive():
            self._timer.start()

    def learn_if_due(self) -> None:
        """Learn from labels that were changed, if they are enough and some dock listens."""
        run = self._run()
        if run is None or not self._changes or not len(self.changed):
            return
        n_labelled = 0 if run.tally is None else run.tally.n_labelled
        others = self._labels_learnt is not None and run.labels is not self._labels_learnt
        if (
            others
            or self._changes >= RELEARN
            or abs(n_labelled - self.n_learnt) >= RELEARN
            or len(self.in_hand) <= _FEW
        ):
            self.learn()

    def learn(self) -> bool:
        """Learn from the labels so far and propose events, in the background.

        Returns whether this was begun: not while other work goes on.
        """
        run, suggester = self._run(), self.suggester
        if run is None or suggester is None or self._job is not None:
            return False
        labels = _labels(run)
        shown = frozenset(self._shown)
        self._changes, self._labels_learnt, self._learn_next = 0, run.labels, False

        def work(report: Report) -> _Proposals:
            suggester.update(labels, accuracy=False)
            events = suggester.propose(BATCH, shown).tolist()
            again = not events and bool(shown)
            if again:
                events = suggester.propose(BATCH).tolist()
            n_learnt = sum(label is not None for label in labels)
            proposals = _Proposals(suggester, n_learnt, events, again)
            report(proposals)  # before it is known how good they are
            if _is_to_be_judged(suggester.curve):
                suggester.judge()
            return proposals

        job = Job("choosing events to label", work)
        job.progressed.connect(self._propose)
        job.succeeded.connect(self._propose)
        self._start(job)
        return True

    def _propose(self, found: _Proposals) -> None:
        if found.suggester is not self.suggester or found is self._newest:
            return  # other events meanwhile; or told before
        self._newest = found
        if found.again:
            self._shown.clear()
        self.proposed[:] = [i for i in found.events if i not in self._shown]
        self.n_learnt = found.n_learnt
        run = self._run()
        if run is not None and run.current == self.last:
            self._fetch(run)
        self.changed.emit()

    # --- showing --------------------------------------------------------------------------

    def show_next(self) -> bool:
        """Show the event most worth labelling of those in hand; False when there is none."""
        run = self._run()
        i = None if run is None else self._take(run)
        if run is None or i is None:
            return False
        self.last = i
        self._shown.add(i)
        run.go_to(i)
        self._fetch(run)
        return True

    def _take(self, run: Run) -> int | None:
        while queue := self._put_back or self.proposed:
            i = queue.pop(0)
            if run.label_of(i) is None and i != run.current:
                return i
        return None

    def _fetch(self, run: Run) -> None:
        """Fetch what is shown next, so that it comes at once."""
        if self.in_hand:
            run.frames.store.fetch_ahead(self.in_hand[:2])

    def put_back(self, i: int) -> None:
        """Event ``i`` was shown, but undoing led away from it: it comes next again."""
        run = self._run()
        if run is not None and i in self._shown and run.label_of(i) is None:
            self._shown.discard(i)
            self._put_back.insert(0, i)


def _is_to_be_judged(curve: list[CurvePoint]) -> bool:
    """Whether labels grew by so many that another point of the curve is worth its time."""
    judged = [point.n_labels for point in curve if not math.isnan(point.accuracy)]
    last = judged[-1] if judged else 0
    return abs(curve[-1].n_labels - last) >= max(RELEARN, last // 10)


def _labels(run: Run) -> list[str | None]:
    tally = run.tally
    return [None] * len(run) if tally is None else [tally.label(i) for i in range(len(run))]


_SUGGESTING: weakref.WeakKeyDictionary[Run, Suggesting] = weakref.WeakKeyDictionary()


def suggesting_of(run: Run) -> Suggesting:
    """What is known of which events of a run are worth labelling."""
    found = _SUGGESTING.get(run)
    if found is None:
        found = _SUGGESTING[run] = Suggesting(run)
    return found
