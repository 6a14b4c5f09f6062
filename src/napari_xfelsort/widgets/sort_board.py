"""How far a sort is: written by its thread, read by the window."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from napari_xfelsort.core.sorting import SortProgress, SortSummary, WatchProgress
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.sort_table import WAITING, SortRow

#: Seconds before a rate can be told.
_SETTLED = 0.5


class Pace:
    """Events a second since the first of them came."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._first = self._fresh = 0

    def note(self, fresh: int) -> None:
        """Take in how many events were decided on."""
        if fresh < self._fresh:  # another round of a watch
            self._begun = 0.0
        if fresh and not self._begun:
            self._begun, self._first = time.monotonic(), fresh
        self._fresh = fresh

    def rate(self) -> float | None:
        """None when it cannot be told yet."""
        if not self._begun:
            return None
        seconds = time.monotonic() - self._begun
        done = self._fresh - self._first
        return done / seconds if seconds > _SETTLED and done > 0 else None


class SortBoard:
    """How far a sort of a stack is.

    Parameters
    ----------
    stack : EventStack
        What is sorted.
    names : sequence of str
        The classes, unsure and failed.

    Attributes
    ----------
    progress : SortProgress or None
        The last one that was told.
    places : dict of str
        Where each file is, by its path.
    rates : dict of float
        Events a second and worker of each file, by its path.
    """

    def __init__(self, stack: EventStack, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self.progress: SortProgress | None = None
        self.rates: dict[str, float] = {}
        self._pace = Pace()
        self._lock = threading.Lock()
        files = stack.files()
        self._totals = [n for _, n, _ in files]
        self._problems = [SortRow(p.file, None, "problem", {}, p.what) for p in stack.problems]
        self._paths = [source.path for source, _, _ in files]
        self.places = {source.path: source.place or source.path for source, _, _ in files}
        self._changed: dict[int, SortProgress] = {}

    def rows(self) -> list[SortRow]:
        """A line for each file before it is worked on, then what cannot be used."""
        rows = [SortRow(*each) for each in zip(self._paths, self._totals, strict=True)]
        return rows + self._problems

    def note(self, progress: SortProgress) -> None:
        """Take in what the sort tells; called by its thread."""
        with self._lock:
            self.progress = progress
            if progress.number < 0:
                return
            self._changed[progress.number] = progress
            if progress.rate:
                self.rates[progress.file] = progress.rate
            self._pace.note(progress.done_events - progress.kept_events)

    def take_changes(self) -> dict[int, SortRow]:
        """The lines of files that changed since it was last asked."""
        with self._lock:
            changed, self._changed = self._changed, {}
        return {k: self._row(k, progress) for k, progress in changed.items()}

    def _row(self, k: int, progress: SortProgress) -> SortRow:
        done, n = sum(progress.counts.values()), self._totals[k]
        state = "sorted" if done >= n else f"{done} of {n}"
        return SortRow(self._paths[k], n, state, dict(progress.counts), rate=progress.rate)

    def rate(self) -> float | None:
        """Events a second since the first block; None when it cannot be told yet."""
        with self._lock:
            return self._pace.rate()


class WatchBoard:
    """How far a watch is.

    Parameters
    ----------
    names : sequence of str
        The classes, unsure and failed.

    Attributes
    ----------
    progress : WatchProgress or None
        The last one that was told.
    kept : int
        Events that an earlier call had done.
    places, rates : dict
        As `SortBoard` has them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.progress: WatchProgress | None = None
        self.kept = 0
        self.places: dict[str, str] = {}
        self.rates: dict[str, float] = {}
        self._pace = Pace()
        self._lock = threading.Lock()
        self._at_work: dict[str, SortProgress] = {}
        self._round = -1
        self._summary: SortSummary | None = None
        self._done: dict[str, SortRow] = {}
        self._is_new = False

    def note(self, progress: WatchProgress) -> None:
        """Take in what the watch tells; called by its thread."""
        with self._lock:
            before, self.progress = self.progress, progress
            if progress.rounds != self._round:
                self._round, self._is_new = progress.rounds, True
                self._at_work.clear()
            self._is_new |= before is None or before.waiting != progress.waiting
            now = progress.sort
            if now is not None and not progress.rounds:
                self.kept = max(self.kept, now.kept_events)
            if now is not None and now.number >= 0:
                self._at_work[now.file] = now
                self._is_new = True
                if now.rate:
                    self.rates[now.file] = now.rate
                self._pace.note(now.done_events - now.kept_events)

    def take_rows(self) -> list[SortRow] | None:
        """The line of every file; None when nothing changed since it was last asked."""
        with self._lock:
            if not self._is_new or self.progress is None:
                return None
            self._is_new = False
            progress, at_work = self.progress, dict(self._at_work)
        rows = dict(self._rows_of(progress))
        for path, now in at_work.items():
            known = rows.get(path)
            n = sum(now.counts.values())
            before = 0 if known is None or known.n_events is None else known.n_events
            table = "" if known is None else known.table
            if n > before:
                counts, rate = dict(now.counts), self.rates.get(path, 0.0)
                rows[path] = SortRow(path, n, "at work", counts, "", rate, table)
        for problem in progress.waiting:
            if problem.file:
                known = rows.get(problem.file, SortRow(problem.file, None))
                rows[problem.file] = replace(known, state=WAITING, what=problem.what)
        return list(rows.values())

    def _rows_of(self, progress: WatchProgress) -> dict[str, SortRow]:
        """What came of the last complete round; made once, for thousands of files."""
        if progress.summary is not self._summary:
            self._summary = progress.summary
            results = [] if progress.summary is None else progress.summary.files
            rows = [SortRow.of(result, self.rates.get(result.file, 0.0)) for result in results]
            for row in rows:
                row.state = "sorted" if row.state == "done" else row.state
            self._done = {row.path: row for row in rows}
        return self._done

    def rate(self) -> float | None:
        """Events a second of the round at work; None when it cannot be told."""
        with self._lock:
            if self.progress is None or self.progress.sort is None:
                return None
            return self._pace.rate()
