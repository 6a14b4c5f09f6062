"""Watching: sort what appears while an experiment runs, in rounds of one growing sort."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.errors import (
    ClusterError,
    ListError,
    NoEventsError,
    Problem,
    SettingsError,
    UnreadableFileError,
    XfelsortError,
)
from napari_xfelsort.core.sorting.clusters import ClusterSettings
from napari_xfelsort.core.sorting.engine import Growth, Job, event_bytes, run_key
from napari_xfelsort.core.sorting.folder import APPEARANCE, Identity, OutFolder
from napari_xfelsort.core.sorting.hits import Appearance, HitPoint, hit_class
from napari_xfelsort.core.sorting.options import SortSettings, WatchSettings, events_per_block
from napari_xfelsort.core.sorting.plan import FilePlan, file_record, identities
from napari_xfelsort.core.sorting.pools import Workers
from napari_xfelsort.core.sorting.summary import SortProgress, SortSummary
from napari_xfelsort.core.sorting.tables import Table
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventStack

if TYPE_CHECKING:
    from napari_xfelsort.core.cascade import Cascade
    from napari_xfelsort.core.model import Model

#: Opens what is there now.
Look = Callable[[], EventStack]
#: Pause after writing results, in units of the time that it took, while more is to come ...
_PAUSE = 3.0
#: ... but not more seconds than this.
_MAX_PAUSE = 120.0
#: Events of a growing file that are looked at again before it is believed that it only grew.
_MARKS = 6
#: Seconds between looks at whether to stop, while waiting.
_STEP = 0.1
#: What a look may raise that a later look may not.
_NOT_YET = (UnreadableFileError, NoEventsError, ListError)


@dataclass(frozen=True)
class WatchProgress:
    """How far a watch is.

    Attributes
    ----------
    rounds : int
        Rounds that are complete; after each of them lists and tables are up to date.
    sort : SortProgress, optional
        How far the round at work is; None while waiting.
    summary : SortSummary, optional
        What came of the last complete round.
    waiting : tuple of Problem
        What cannot be read yet.
    points : tuple of HitPoint
        What was decided when, in the order of time: the hit fraction over time.
    hits : str
        The class whose share is the hit fraction.
    quiet : float
        Seconds since anything changed.
    """

    rounds: int
    sort: SortProgress | None
    summary: SortSummary | None
    waiting: tuple[Problem, ...]
    points: tuple[HitPoint, ...]
    hits: str
    quiet: float


@dataclass(eq=False)
class _Seen:
    """What is known of a source from one look to the next.

    Attributes
    ----------
    source : EventSource
        As it was opened last.
    token : str
        Changes with the file.
    since : float
        ``time.monotonic`` of the last change.
    events : int
        Events that were there at both of the last two looks.
    grew : bool
        It was seen to grow.
    sorted_as : tuple of (int, str), optional
        Events that were sorted, and the token then.
    marks : dict of str
        Digests of some of these events while the file was growing.
    """

    source: EventSource
    token: str
    since: float
    events: int = 0
    grew: bool = False
    sorted_as: tuple[int, str] | None = None
    marks: dict[int, str] = field(default_factory=dict)

    def look(self, source: EventSource, now: float) -> bool:
        """Take what it looks like now; True when it changed."""
        token = _token(source)
        changed = token != self.token
        if changed:
            old = self.source
            same = (source.raw_shape, source.dtype, source.dataset)
            if same != (old.raw_shape, old.dtype, old.dataset) or len(source) < len(old):
                self.grew, self.marks = False, {}
            elif len(source) > len(old):
                self.grew = True
            self.token, self.since = token, now
        self.events = min(len(self.source), len(source))
        self.source = source
        return changed

    def only_grew(self) -> bool:
        """Whether the events that were sorted are still there as they were."""
        if not (self.grew and self.marks and self.sorted_as):
            return False
        return self.sorted_as[1] == self.token or self.marks == _marks(self.source, self.marks)

    def note_sorted(self, n: int, settled: bool) -> None:
        """Remember what was sorted; of a file that is growing, how it looks."""
        self.sorted_as = (n, self.token)
        growing = n and (self.grew or not settled)
        # The same events as before, and the last one.
        numbers = sorted({*np.linspace(0, n - 1, _MARKS).astype(int).tolist()}) if growing else []
        self.marks = _marks(self.source, numbers)


def _marks(source: EventSource, numbers: Iterable[int]) -> dict[int, str]:
    marks = {}
    for number in numbers:
        try:
            marks[number] = hashlib.sha256(source.read(number).tobytes()).hexdigest()
        except (XfelsortError, OSError, IndexError) as error:
            marks[number] = type(error).__name__
    return marks


def watch(
    look: Look,
    model: Model | Cascade,
    out: str | os.PathLike[str],
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    absolute: bool = False,
    progress: Callable[[WatchProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    cluster: ClusterSettings | None = None,
    watching: WatchSettings | None = None,
    **settings: Any,
) -> SortSummary:
    """Sort what is there and what appears, until told to stop.

    See `napari_xfelsort.readers.watching.watch`, which opens files; here ``look`` does,
    and may raise what opening files raises while there is nothing to open yet.
    """
    chosen = watching or WatchSettings()
    options = SortSettings.from_dict({**settings, "absolute": absolute})
    with Workers(workers, scheduler, cluster) as team:
        folder = OutFolder(out)
        with folder.locked():
            watcher = _Watch(look, Job(model, options, folder, team), chosen, progress, stop)
            return watcher.run(overwrite)


@dataclass(eq=False)
class _Watch:
    look: Look
    job: Job
    settings: WatchSettings
    progress: Callable[[WatchProgress], None] | None
    stop: Callable[[], bool] | None
    seen: dict[Identity, _Seen] = field(default_factory=dict)
    waiting: tuple[Problem, ...] = ()
    summary: SortSummary | None = None
    appearance: Appearance | None = None
    rounds: int = 0

    def __post_init__(self) -> None:
        model = self.job.model
        self._hits = hit_class(model.class_names, model.positive)
        self._done: object = None
        self._tried: dict[Identity, str] = {}
        self._changed = time.monotonic()
        self._writing_since = 0.0
        self._pause = 0.0
        self._lost_workers = False
        self._before: dict[Identity, int] | None = None
        self._points: tuple[HitPoint, ...] = ()

    def run(self, overwrite: bool) -> SortSummary:
        """Rounds until told to stop, then a last one that takes everything as it is."""
        try:
            self._rounds(overwrite)
        except KeyboardInterrupt:
            if self.stop is not None:
                self.stop()  # who remembers interrupts, to lose none, may forget this one
        stack, error = self._look()
        if stack is None:
            assert error is not None
            raise error
        self._round(stack, overwrite, last=True)
        self._tell(None)
        assert self.summary is not None
        return self.summary

    def _rounds(self, overwrite: bool) -> None:
        while True:
            stack, _ = self._look()
            if self._ends():
                return
            if stack is not None:
                self._round(stack, overwrite)
            self._tell(None)
            if not self._wait():
                return

    # -- looking -----------------------------------------------------------------------

    def _look(self) -> tuple[EventStack | None, Exception | None]:
        """What is there now, with sources that went away kept, and what hinders looking."""
        error: Exception | None = None
        stack: EventStack | None = None
        try:
            stack = self.look()
        except _NOT_YET as raised:
            error = raised
        problems = [Problem("", str(error))] if stack is None else list(stack.problems)
        waiting = tuple(problems)
        if waiting != self.waiting:
            self.waiting = waiting
            self._changed = time.monotonic()
        sources = [] if stack is None else stack.sources
        if stack is not None and stack.listed:
            raise SettingsError(
                "A watch takes all events of files, folders or patterns; sort a list, or single "
                "events, without watching."
            )
        self._note(sources)
        kept = self._kept(sources, problems)
        if kept or stack is None:
            if not (sources or kept):
                return None, error
            stack = self._joined(stack, [*sources, *kept])
        return stack, None

    def _note(self, sources: Sequence[EventSource]) -> None:
        """Remember what each source looks like, and since when."""
        now = time.monotonic()
        for identity, source in zip(identities(sources), sources, strict=True):
            seen = self.seen.get(identity)
            if seen is None:
                self.seen[identity] = _Seen(source, _token(source), now - _age(source))
                self._changed = now
            elif seen.look(source, now):
                self._changed = now

    def _kept(
        self, sources: Sequence[EventSource], problems: Sequence[Problem]
    ) -> list[EventSource]:
        """Sources that were sorted and cannot be opened at present, or were moved away."""
        present = set(identities(sources))
        named = {problem.file for problem in problems}
        kept = []
        for identity, seen in list(self.seen.items()):
            if identity in present:
                continue
            path = seen.source.path
            file = seen.source.place or path
            unreadable = path in named or (not sources and os.path.exists(file))
            renamed = os.path.exists(file.removesuffix(".inprogress"))
            if seen.sorted_as and (unreadable or not renamed):
                kept.append(seen.source)
            else:  # another file shows its events now
                del self.seen[identity]
        shape = sources[0].raw_shape if sources else None
        return [source for source in kept if shape in (None, source.raw_shape)]

    def _joined(self, stack: EventStack | None, sources: Sequence[EventSource]) -> EventStack:
        base = stack if stack is not None else self._last_stack
        joined = EventStack(sources, None, None, base.user_mask, list(self.waiting), base.notes)
        joined.geometry = base.geometry
        return joined

    # -- rounds ------------------------------------------------------------------------

    def _round(self, stack: EventStack, overwrite: bool, last: bool = False) -> None:
        """Sort what is new; nothing when nothing is."""
        self._last_stack = stack
        names = identities(stack.sources)
        block = events_per_block(self.job.options, event_bytes(stack, self.job.model))
        limits = [self._limit(name, block, last) for name in names]
        if not last and self._must_wait_for_earlier_results(names):
            return
        state = [
            (name, limit, self._token_at(name, limit))
            for name, limit in zip(names, limits, strict=True)
        ]
        if not last and (state == self._done or not any(limits)):
            return
        warnings = self.job.model.check(stack)
        shown = _first_events(stack, limits)
        if not last:
            shown.notes = [*stack.notes, *(Problem(p.file, f"Not yet: {p}") for p in self.waiting)]
            shown.problems = []
        growth = Growth(
            grown=frozenset(name for name in names if self.seen[name].only_grew()),
            tried=frozenset() if last else self._tried_already(names),
            ends=last,
            continues=self.rounds > 0,
            appearance=self._appearance,
        )
        job = replace(self.job, progress=self._tell)
        try:
            self.summary = job.run(shown, warnings, overwrite, growth)
        except ClusterError:
            # Looked for once more, at the next look; the second time it is an error.
            if self._lost_workers or last or not job.workers.from_elsewhere:
                raise
            self._lost_workers = True
            with suppress(Exception):
                job.workers.close()
            return
        # What takes long to write is written less often while more is to come.
        self._pause = min(_MAX_PAUSE, _PAUSE * (time.monotonic() - self._writing_since))
        self._lost_workers = False
        self.rounds += 1
        self._done = state
        for name, limit, _ in state:
            seen = self.seen[name]
            seen.note_sorted(limit, last or self._settled(seen))
            self._tried[name] = seen.token

    def _settled(self, seen: _Seen) -> bool:
        return time.monotonic() - seen.since >= self.settings.settle

    def _limit(self, name: Identity, block: int, last: bool) -> int:
        """Events of a source to sort now: whole blocks of those there at two looks."""
        seen = self.seen[name]
        n = len(seen.source)
        if last or self._settled(seen):
            return n
        whole = min(n, seen.events) // block * block
        before = seen.sorted_as[0] if seen.sorted_as else self._sorted_before().get(name, 0)
        return min(n, max(whole, before))

    def _token_at(self, name: Identity, limit: int) -> str:
        """What must change for a source to be sorted again with as many events."""
        seen = self.seen[name]
        return seen.token if limit == len(seen.source) else ""

    def _sorted_before(self) -> dict[Identity, int]:
        """Events of each source in the results of an earlier watch or sort."""
        if self._before is None:
            key = run_key(self._last_stack, self.job.model, self.job.options)
            self._before = self.job.folder.known_inputs(key)
        return self._before

    def _must_wait_for_earlier_results(self, names: Sequence[Identity]) -> bool:
        """Whether a file of earlier results cannot be read yet."""
        if self.rounds:
            return False
        gone = set(self._sorted_before()) - set(names)
        waited_for = {problem.file for problem in self.waiting}
        return any(path in waited_for for path, _, _ in gone)

    def _tried_already(self, names: Sequence[Identity]) -> frozenset[Identity]:
        return frozenset(n for n in names if self._tried.get(n) == self.seen[n].token)

    def _appearance(self, plans: list[FilePlan], tables: list[Table]) -> Appearance:
        if self.appearance is None:
            names = tuple(tables[0].state.tally.by_name())
            path = self.job.folder.path / APPEARANCE
            self.appearance = Appearance(names, self._hits)
            if self._sorted_before():
                self.appearance = Appearance.read(path, names, self._hits)
        self.appearance.update(plans, tables, time.time())
        self._points = tuple(self.appearance.points)
        self._writing_since = time.monotonic()
        return self.appearance

    # -- waiting and telling -----------------------------------------------------------

    def _ends(self) -> bool:
        idle = self.settings.idle
        if self.stop is not None and self.stop():
            return True
        return idle is not None and time.monotonic() - self._changed >= idle

    def _wait(self) -> bool:
        """Wait for the next look; False when it is time to stop."""
        until = time.monotonic() + max(self.settings.poll, self._pause)
        self._pause = 0.0
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(_STEP, left))
            if self.stop is not None and self.stop():
                return False
        return True

    def _tell(self, state: SortProgress | None) -> None:
        if self.progress is None:
            return
        quiet = time.monotonic() - self._changed
        self.progress(
            WatchProgress(
                self.rounds, state, self.summary, self.waiting, self._points, self._hits, quiet
            )
        )


def _token(source: EventSource) -> str:
    try:
        return f"{source.token}:{len(source)}"
    except OSError:
        return "gone"


def _age(source: EventSource) -> float:
    """Seconds since a file was changed, by its own account; 0 where that is not known."""
    changed = file_record(source).get("mtime_ns")
    return 0.0 if changed is None else max(0.0, time.time() - changed / 1e9)


def _first_events(stack: EventStack, limits: Sequence[int]) -> EventStack:
    """A copy of the stack with the first events of each source."""
    if all(n == len(source) for n, source in zip(limits, stack.sources, strict=True)):
        return copy(stack)
    numbers = np.repeat(np.arange(len(limits), dtype=np.int32), limits)
    indices = np.concatenate([np.arange(n, dtype=np.int32) for n in limits])
    return stack.selected(numbers, indices)
