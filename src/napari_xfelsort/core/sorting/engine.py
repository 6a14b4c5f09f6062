"""Sorting: plan, run, and write what came of it."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_xfelsort.core.cascade import Cascade, CascadeSettings, with_first
from napari_xfelsort.core.lists import list_line
from napari_xfelsort.core.sorting.clusters import ClusterSettings
from napari_xfelsort.core.sorting.folder import (
    APPEARANCE,
    HITS,
    REPORT,
    RUN,
    SUMMARY,
    Identity,
    OutFolder,
    list_names,
)
from napari_xfelsort.core.sorting.hits import Appearance
from napari_xfelsort.core.sorting.options import SortSettings, events_per_block
from napari_xfelsort.core.sorting.plan import FilePlan, Task, by_identity, plan_files, tasks_of
from napari_xfelsort.core.sorting.pools import Workers
from napari_xfelsort.core.sorting.results import Sorted, write_results
from napari_xfelsort.core.sorting.summary import SortProgress, SortSummary
from napari_xfelsort.core.sorting.tables import Table
from napari_xfelsort.core.sorting.tally import Tally
from napari_xfelsort.core.sorting.work import Context, PartResult, lost_part
from napari_xfelsort.core.stack import EventStack

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

#: Seconds of work that a task is to hold: handing one out and taking its results back
#: takes about twenty milliseconds.
_TASK_SECONDS = 0.5
#: Blocks that are handed out together at most.
_MAX_AT_ONCE = 8
#: The part of a run's key that changes no table.
_NAMES = "choice of absolute file names"


def sort(
    stack: EventStack,
    model: Model | Cascade,
    out: str | os.PathLike[str],
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    absolute: bool = False,
    progress: Callable[[SortProgress], None] | None = None,
    cluster: ClusterSettings | None = None,
    first: Model | None = None,
    loss: float = CascadeSettings.loss,
    precision: float = CascadeSettings.precision,
    **settings: Any,
) -> SortSummary:
    """Decide on every event of a stack and write lists, tables, summary and report.

    The same call again goes on where it was stopped, whatever stopped it: files that
    are complete are not read again, and the result is the same as without the stop.

    Parameters
    ----------
    stack : EventStack
        The events.
    model : Model or Cascade
        Decides on them.
    out : path
        Folder for the results; made when it is not there.
    workers : int, optional
        Local worker processes; by default one a core, 0 to work in this process.
    scheduler : str, optional
        Address of a dask scheduler (``tcp://host:port``) whose workers to use instead.
        They must see the files under the same names.
    overwrite : bool
        Replace results in ``out`` of other input or another model. Files that a sort
        did not write are never replaced.
    absolute : bool
        Write absolute file names to the lists.
    progress : callable, optional
        Called with a `SortProgress` on the calling thread; what it raises stops the
        sort as Ctrl-C does, and the same call goes on from there.
    cluster : ClusterSettings, optional
        Workers of a batch system or of MPI to use instead.
    first : Model, optional
        A quicker model of the same two classes. It decides first, and ``model`` only on
        what it leaves open; tables say who did.
    loss, precision : float
        What the first model may decide by itself; see `CascadeSettings`.
    **settings
        See `SortSettings`.

    Returns
    -------
    SortSummary
        Its ``ok`` is False when an event or file failed.

    Raises
    ------
    SettingsError
        If a setting is unknown or out of range.
    ModelError
        If the model does not suit the frames, or the first model not the other.
    OutputError
        If ``out`` holds results of something else, or cannot be written.
    ClusterError
        If workers or scheduler cannot be reached.
    """
    options = SortSettings.from_dict({**settings, "absolute": absolute})
    model = with_first(model, first, loss, precision)
    with Workers(workers, scheduler, cluster) as team:
        warnings = model.check(stack)
        folder = OutFolder(out)
        with folder.locked():
            job = Job(model, options, folder, team, progress)
            return job.run(stack, warnings, overwrite)


@dataclass(frozen=True, eq=False)
class Growth:
    """What a watch knows of the files of a stack.

    Attributes
    ----------
    grown : set of Identity
        Files that grew at their end only since they were sorted.
    tried : set of Identity
        Files whose failed events were tried again already.
    ends : bool
        No more will be looked for after this.
    continues : bool
        What the folder holds is of an earlier look of the same watch: files may be gone.
    appearance : callable, optional
        Given plans and tables before results are written; what was decided when.
    """

    grown: frozenset[Identity] = frozenset()
    tried: frozenset[Identity] = frozenset()
    ends: bool = True
    continues: bool = False
    appearance: Callable[[list[FilePlan], list[Table]], Appearance] | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """What a sort, or all rounds of a watch, have in common.

    Attributes
    ----------
    model, options, folder, workers, progress
        As `sort` has them.
    """

    model: Model | Cascade
    options: SortSettings
    folder: OutFolder
    workers: Workers
    progress: Callable[[SortProgress], None] | None = None

    def run(
        self,
        stack: EventStack,
        warnings: list[str],
        overwrite: bool = False,
        growth: Growth | None = None,
    ) -> SortSummary:
        """Decide on what a stack holds now, and write the results."""
        begun = time.monotonic()
        run = _Run(self, stack, overwrite, growth or Growth())
        run.find_complete()
        run.work()
        appearance = run.growth.appearance
        result = Sorted(
            stack=stack,
            model=self.model,
            options=self.options,
            folder=self.folder,
            plans=run.plans,
            tables=run.tables,
            list_names=run.list_names,
            warnings=warnings,
            key=run.key,
            started=run.started,
            sorted_now=run.done - run.found,
            begun=begun,
            appearance=appearance and appearance(run.plans, run.tables),
        )
        return write_results(result)


@dataclass
class _Growing:
    """A table being made: blocks that are done but wait for an earlier one."""

    table: Table
    waiting: dict[int, PartResult] = field(default_factory=dict)


class _Run:
    """One call of `sort`, or one round of a watch."""

    def __init__(self, job: Job, stack: EventStack, overwrite: bool, growth: Growth) -> None:
        model, options, folder = job.model, job.options, job.folder
        self.model = model
        self.growth = growth
        self._workers = job.workers
        self.plans = plan_files(stack)
        for plan in self.plans:
            if len(plan):  # a name that no list can hold is told before the work, not after
                list_line(plan.source.event_id(int(plan.indices[0])), options.absolute)
        self._stack = stack
        self._options = options
        self._progress = job.progress
        self.list_names = list_names(model.class_names)
        self._block = events_per_block(options, event_bytes(stack, model))
        self.key = run_key(stack, model, options)
        outputs = [*self.list_names.values(), SUMMARY, HITS, APPEARANCE, RUN]
        outputs += [REPORT] * options.report
        plans = by_identity(self.plans)
        names, self.started = folder.prepare(
            self.key,
            [plan.name for plan in self.plans],
            outputs,
            self.list_names,
            lambda identity, n: plans[identity].first(n),
            overwrite or growth.continues,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.tables = [self._table(folder, plan, names) for plan in self.plans]
        self._growing: dict[int, _Growing] = {}
        self._retries: deque[Task] = deque()
        # Of each file: events decided on by this call, and the seconds that it took.
        self._pace = [(0, 0.0)] * len(self.plans)
        self._at_once = 1
        self.done = self.found = self._files_done = self._failed = 0

    def _table(self, folder: OutFolder, plan: FilePlan, names: dict[Identity, str]) -> Table:
        name = plan.name
        key = {
            **{part: value for part, value in self.key.items() if part != _NAMES},
            "file": plan.source.path,
            "dataset": plan.source.dataset,
            "token": plan.source.token,
            "events": name.events,
            "selection": name.selection,
            **plan.record,
        }
        empty = Tally(self.model.class_names, self._options.report_thumbnails)
        return Table(folder.tables, names[name.identity], key, empty, self._block)

    def find_complete(self) -> None:
        """Count the files that an earlier call completed."""
        self._tell()
        for k, table in enumerate(self.tables):
            again = self.plans[k].name.identity not in self.growth.tried
            if table.find_complete(again):
                self._count(table.state.tally)
                self._files_done += 1
                self.found = self.done
                self._tell(k)

    def work(self) -> None:
        """Decide on what is left."""
        left = [k for k, table in enumerate(self.tables) if not table.state.complete]
        if not left:
            return
        n_blocks = sum(-(-len(self.plans[k]) // self._block) for k in left)
        sources = [plan.source for plan in self.plans]
        fresh = tasks_of(self._begin(left), self._block)
        pool = self._workers.pool(self._context(), sources, n_blocks, self.growth.ends)
        try:
            for task, results in pool.run(lambda: self._next(fresh, pool.costs)):
                for result in results:
                    self._note_time(result)
                    self._take(task, result)
        finally:
            for growing in self._growing.values():
                growing.table.leave()

    def _begin(self, left: list[int]) -> Iterator[tuple[FilePlan, int]]:
        for k in left:
            table = self.tables[k]
            table.start(self.plans[k].name.identity in self.growth.grown)
            if table.state.rows:
                self._count(table.state.tally)
                self.found += table.state.rows
                self._tell(k)
            self._growing[k] = _Growing(table)
            if table.state.rows == len(self.plans[k]):
                self._finish(k)
            else:
                yield self.plans[k], table.state.rows

    def _next(self, fresh: Iterator[Task], together: bool) -> Task | None:
        """The next task; quick blocks go together where that saves time."""
        if self._retries:
            return self._retries.popleft()
        task = next(fresh, None)
        if task is None or not together or len(task.parts) > 1:
            return task
        parts = list(task.parts)
        while len(parts) < self._at_once and (more := next(fresh, None)) is not None:
            parts += more.parts
        return Task(tuple(parts))

    def _note_time(self, result: PartResult) -> None:
        """Let more blocks make a task while they are quick."""
        if result.seconds > 0 and len(result.part.indices) == self._block:
            wanted = int(_TASK_SECONDS / result.seconds)
            self._at_once = max(1, min(wanted, 2 * self._at_once, _MAX_AT_ONCE))

    def _take(self, task: Task, result: PartResult) -> None:
        """Add a block to its table, in order; one that failed is tried once more."""
        part = result.part
        plan = self.plans[part.file]
        if result.error:
            if not task.retry:
                self._retries.append(Task((part,), retry=True))
                return
            result = lost_part(plan.source, part, self.model.class_names, result.error)
        growing = self._growing[part.file]
        growing.waiting[part.row] = result
        while (ready := growing.waiting.pop(growing.table.state.rows, None)) is not None:
            assert ready.tally is not None
            growing.table.append(ready.text, ready.tally, lost=bool(ready.error))
            self._count(ready.tally)
            events, seconds = self._pace[part.file]
            self._pace[part.file] = events + ready.tally.events, seconds + ready.seconds
        if growing.table.state.rows == len(plan):
            self._finish(part.file)
        self._tell(part.file)

    def _finish(self, k: int) -> None:
        self.tables[k].finish()
        del self._growing[k]
        self._files_done += 1

    def _count(self, tally: Tally) -> None:
        self.done += tally.events
        self._failed += tally.failed

    def _tell(self, k: int = -1) -> None:
        """Tell how far the sort is, and the file with this number."""
        if self._progress is None:
            return
        worked_on = k >= 0
        events, seconds = self._pace[k] if worked_on else (0, 0.0)
        self._progress(
            SortProgress(
                self.done,
                len(self._stack),
                self._files_done,
                len(self.plans),
                self.plans[k].source.path if worked_on else "",
                self._failed,
                self.found,
                k,
                self.tables[k].state.tally.by_name() if worked_on else {},
                events / seconds if seconds else 0.0,
            )
        )

    def _context(self) -> Context:
        stack = self._stack
        return Context(
            self.model,
            stack.geometry,
            stack.user_mask,
            stack.dtype,
            self._options.report_thumbnails,
        )


def run_key(stack: EventStack, model: Model | Cascade, options: SortSettings) -> dict[str, str]:
    """What must not change between calls that continue each other, each in words."""
    mask = stack.user_mask
    return {
        **(model.key() if isinstance(model, Cascade) else {"model": model.digest}),
        "geometry": "" if stack.geometry is None else stack.geometry.digest,
        "mask": "" if mask is None else hashlib.sha256(mask.reasons.tobytes()).hexdigest(),
        _NAMES: str(options.absolute),
    }


def event_bytes(stack: EventStack, model: Model | Cascade) -> int:
    """Bytes of an event that the model reads."""
    return math.prod(model.pixels.shape) * int(stack.dtype.itemsize)
