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

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.lists import list_line
from napari_xfelsort.core.sorting.folder import (
    REPORT,
    RUN,
    SUMMARY,
    Identity,
    OutFolder,
    list_names,
)
from napari_xfelsort.core.sorting.options import SortSettings, events_per_block
from napari_xfelsort.core.sorting.plan import FilePlan, Task, by_identity, plan_files, tasks_of
from napari_xfelsort.core.sorting.pools import open_pool, usable_cores
from napari_xfelsort.core.sorting.results import Sorted, write_results
from napari_xfelsort.core.sorting.summary import SortProgress, SortSummary
from napari_xfelsort.core.sorting.tables import Table
from napari_xfelsort.core.sorting.tally import Tally
from napari_xfelsort.core.sorting.work import Context, PartResult, lost_part
from napari_xfelsort.core.stack import EventStack

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model


def sort(
    stack: EventStack,
    model: Model,
    out: str | os.PathLike[str],
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    absolute: bool = False,
    progress: Callable[[SortProgress], None] | None = None,
    **settings: Any,
) -> SortSummary:
    """Decide on every event of a stack and write lists, tables, summary and report.

    The same call again goes on where it was stopped, whatever stopped it: files that
    are complete are not read again, and the result is the same as without the stop.

    Parameters
    ----------
    stack : EventStack
        The events.
    model : Model
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
        If the model does not suit the frames.
    OutputError
        If ``out`` holds results of something else, or cannot be written.
    ClusterError
        If workers or scheduler cannot be reached.
    """
    options = SortSettings.from_dict({**settings, "absolute": absolute})
    _check_workers(workers, scheduler)
    begun = time.monotonic()
    warnings = model.check(stack)
    folder = OutFolder(out)
    with folder.locked():
        run = _Run(stack, model, options, folder, overwrite, progress)
        run.find_complete()
        run.work(workers, scheduler)
        result = Sorted(
            stack=stack,
            model=model,
            options=options,
            folder=folder,
            plans=run.plans,
            tables=run.tables,
            list_names=run.list_names,
            warnings=warnings,
            key=run.key,
            started=run.started,
            sorted_now=run.done - run.found,
            begun=begun,
        )
        return write_results(result)


def _check_workers(workers: int | None, scheduler: str | None) -> None:
    if workers is not None and scheduler is not None:
        raise SettingsError("Give either a number of workers or a scheduler, not both.")
    if workers is not None and workers < 0:
        raise SettingsError(f"workers is {workers} but must be at least 0.")


@dataclass
class _Growing:
    """A table being made: blocks that are done but wait for an earlier one."""

    table: Table
    waiting: dict[int, PartResult] = field(default_factory=dict)


class _Run:
    """One call of `sort`."""

    def __init__(
        self,
        stack: EventStack,
        model: Model,
        options: SortSettings,
        folder: OutFolder,
        overwrite: bool,
        progress: Callable[[SortProgress], None] | None,
    ) -> None:
        self.model = model
        self.plans = plan_files(stack)
        for plan in self.plans:
            if len(plan):  # a name that no list can hold is told before the work, not after
                list_line(plan.source.event_id(int(plan.indices[0])), options.absolute)
        self._stack = stack
        self._options = options
        self._progress = progress
        self.list_names = list_names(model.class_names)
        self._block = events_per_block(options, len(stack), _event_bytes(stack, model))
        self.key = _run_key(stack, model, options)
        outputs = [*self.list_names.values(), SUMMARY, RUN, *([REPORT] * options.report)]
        plans = by_identity(self.plans)
        names, self.started = folder.prepare(
            self.key,
            [plan.name for plan in self.plans],
            outputs,
            lambda identity, n: plans[identity].first(n),
            overwrite,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.tables = [self._table(folder, plan, names) for plan in self.plans]
        self._growing: dict[int, _Growing] = {}
        self._retries: deque[Task] = deque()
        self.done = self.found = self._files_done = self._failed = 0

    def _table(self, folder: OutFolder, plan: FilePlan, names: dict[Identity, str]) -> Table:
        name = plan.name
        key = {
            **{part: self.key[part] for part in ("model", "geometry", "mask")},
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
            if table.find_complete():
                self._count(table.state.tally)
                self._files_done += 1
                self.found = self.done
                self._tell(k)

    def work(self, workers: int | None, scheduler: str | None) -> None:
        """Decide on what is left."""
        left = [k for k, table in enumerate(self.tables) if not table.state.complete]
        if not left:
            return
        if workers is None:
            n_blocks = sum(-(-len(self.plans[k]) // self._block) for k in left)
            workers = min(usable_cores(), n_blocks) if n_blocks > 1 else 0
        sources = [plan.source for plan in self.plans]
        fresh = tasks_of(self._begin(left), self._block)
        with open_pool(self._context(), sources, workers, scheduler) as pool:
            try:
                for task, results in pool.run(lambda: self._next(fresh)):
                    for result in results:
                        self._take(task, result)
            finally:
                for growing in self._growing.values():
                    growing.table.leave()

    def _begin(self, left: list[int]) -> Iterator[tuple[FilePlan, int]]:
        for k in left:
            table = self.tables[k]
            table.start()
            if table.state.rows:
                self._count(table.state.tally)
                self.found += table.state.rows
                self._tell(k)
            self._growing[k] = _Growing(table)
            if table.state.rows == len(self.plans[k]):
                self._finish(k)
            else:
                yield self.plans[k], table.state.rows

    def _next(self, fresh: Iterator[Task]) -> Task | None:
        return self._retries.popleft() if self._retries else next(fresh, None)

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


def _run_key(stack: EventStack, model: Model, options: SortSettings) -> dict[str, str]:
    mask = stack.user_mask
    return {
        "model": model.digest,
        "geometry": "" if stack.geometry is None else stack.geometry.digest,
        "mask": "" if mask is None else hashlib.sha256(mask.reasons.tobytes()).hexdigest(),
        "choice of absolute file names": str(options.absolute),
    }


def _event_bytes(stack: EventStack, model: Model) -> int:
    """Bytes of an event that the model reads."""
    return math.prod(model.pixels.shape) * int(stack.dtype.itemsize)
