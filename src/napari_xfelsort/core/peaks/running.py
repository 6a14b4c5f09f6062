"""`find_peaks`: the peaks of all events of a run."""

from __future__ import annotations

import copy
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import ClusterError, SettingsError
from napari_xfelsort.core.peaks.finding import PeakFinder
from napari_xfelsort.core.peaks.heaps import beam_place, heaped
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.repeats import repeated
from napari_xfelsort.core.peaks.run_peaks import RunPeaks
from napari_xfelsort.core.peaks.settings import PeakSettings
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventBlock, EventStack

#: Told the number of events done and of all.
Progress = Callable[[int, int], None]
#: Position of an event, and its peaks or why it could not be read.
Found = tuple[int, PeakList | str]
#: Told what was just found.
Partial = Callable[[list[Found]], None]

#: Events that a worker process is handed at once.
_HANDED = 8


class EventPeaks:
    """Finds the peaks of events of a stack; can be sent to another process.

    Parameters
    ----------
    stack : EventStack
        The run; its masks are used.
    settings : PeakSettings
        Which finder and how.

    Raises
    ------
    GeometryError
        As `PeakFinder`.
    """

    def __init__(self, stack: EventStack, settings: PeakSettings) -> None:
        self.stack = stack
        self.finder = PeakFinder(stack.raw_shape, stack.geometry, settings)
        self._reader = self._make_reader()

    def _make_reader(self) -> BlockReader:
        stack = self.stack
        whole = Region.raw_window([slice(0, n) for n in stack.raw_shape])
        return BlockReader(stack, whole.resolve(stack.raw_shape, stack.geometry))

    def __copy__(self) -> EventPeaks:
        other = EventPeaks.__new__(EventPeaks)
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {"stack": self.stack, "settings": self.finder.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["stack"], state["settings"])  # type: ignore[misc]

    def changed(self, settings: PeakSettings) -> EventPeaks:
        """The same with other settings; what does not depend on them is not made again."""
        if settings == self.finder.settings:
            return self
        other = copy.copy(self)
        other.finder = self.finder.changed(settings)
        return other

    def of(self, positions: Sequence[int]) -> list[Found]:
        """Peaks of some events, by their positions in the stack."""
        return [(i, self._one(i)) for i in positions]

    def _one(self, i: int) -> PeakList | str:
        source, index = self.stack.locate(i)
        block = EventBlock(source, np.array([index]), np.array([i]))
        read = self._reader.read(block)
        if read.failed:
            return read.failed[0]
        bad = None if read.bad is None else read.bad[0]
        energy, length = self.stack.photon_energy(i), self.stack.camera_length(i)
        return self.finder.find(read.frames[0], bad, energy, length)


def find_peaks(
    stack: EventStack,
    settings: PeakSettings | None = None,
    *,
    processes: int = 0,
    scheduler: str | None = None,
    progress: Progress | None = None,
    partial: Partial | None = None,
) -> RunPeaks:
    """Find the peaks of every event of a stack.

    Parameters
    ----------
    stack : EventStack
        The run; masks of its files, its geometry and its user are used.
    settings : PeakSettings, optional
        Which finder and how; the Poisson finder needs none.
    processes : int
        Worker processes; 0 works in this one. The result is the same.
    scheduler : str, optional
        Address of a dask scheduler to use instead.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.
    partial : callable, optional
        Called with what was just found, a list of positions and peaks (or why an event
        could not be read), in any order; peaks that repeat are still among them.

    Returns
    -------
    RunPeaks
        Every event of the stack once, in its order.

    Raises
    ------
    SettingsError
        If both processes and a scheduler are given.
    GeometryError
        If a geometry is needed or cannot be used.
    ClusterError
        If processes cannot be started, or the scheduler not be reached.
    """
    chosen = settings or PeakSettings()
    if processes and scheduler is not None:
        raise SettingsError("Give either a number of processes or a scheduler, not both.")
    work = EventPeaks(stack, chosen)
    n = len(stack)
    found_in: dict[int, PeakList | str] = {}
    elsewhere = processes > 0 or scheduler is not None
    each = _elsewhere(work, processes, scheduler) if elsewhere else _here(work)
    for found in each:
        found_in.update(found)
        if partial is not None:
            partial(found)
        if progress is not None:
            progress(len(found_in), n)
    return gathered(stack, chosen, found_in)


def gathered(
    stack: EventStack, settings: PeakSettings, found: Mapping[int, PeakList | str]
) -> RunPeaks:
    """The peaks of the events that were looked at, without those that repeat.

    Parameters
    ----------
    stack : EventStack
        The run.
    settings : PeakSettings
        How peaks were found.
    found : mapping of int to PeakList or str
        By position in the stack: peaks, or why an event could not be read.

    Returns
    -------
    RunPeaks
        Of the stack, or of the part of it that was looked at.
    """
    order = sorted(found)
    part = stack if len(order) == len(stack) else stack.subset(order)
    problems: dict[int, str] = {}
    lists: list[PeakList] = []
    for k, i in enumerate(order):
        peaks = found[i]
        if isinstance(peaks, str):
            problems[k] = peaks
            peaks = PeakList.empty()
        lists.append(peaks)
    left_out = 0
    if settings.finder != "peakfinder8" and settings.repeats < 1:
        read = [k for k in range(len(lists)) if k not in problems]
        flat = math.prod(stack.raw_shape[:-1]), stack.raw_shape[-1]
        again = repeated([lists[k] for k in read], flat, settings.repeats)
        for k, drop in zip(read, again, strict=True):
            left_out += int(drop.sum())
            lists[k] = lists[k][~drop]
        beam = None if stack.geometry is None else beam_place(stack.geometry)
        for k, drop in zip(read, heaped([lists[k] for k in read], beam), strict=True):
            left_out += int(drop.sum())
            lists[k] = lists[k][~drop]
    return RunPeaks(part, settings, lists, problems, left_out)


def _here(work: EventPeaks) -> Iterator[list[Found]]:
    for i in range(len(work.stack)):
        yield work.of([i])


def _elsewhere(work: EventPeaks, processes: int, scheduler: str | None) -> Iterator[list[Found]]:
    """On worker processes, in any order; few pieces are on their way at once."""
    from distributed import as_completed

    from napari_xfelsort.core.sorting.pools import connect, connected, start_local

    n = len(work.stack)
    pieces = [list(range(i, min(i + _HANDED, n))) for i in range(0, n, _HANDED)]
    run = uuid.uuid4().hex
    with ExitStack() as stack:
        if scheduler is not None:
            client = connect(scheduler, stack)
        else:
            client = start_local(min(processes, max(1, len(pieces))), stack)
        with connected():
            shared = client.submit(_itself, work, key=f"xfelsort_peaks-{run}", pure=False)
            room = 2 * sum(client.nthreads().values()) + 1
            completed = as_completed(loop=client.loop)
        waiting, pending = list(enumerate(pieces)), 0
        while waiting or pending:
            with connected():
                while waiting and pending < room:
                    number, piece = waiting.pop(0)
                    key = f"xfelsort_peaks-{run}-{number}"
                    completed.add(client.submit(_of, shared, piece, key=key, pure=False))
                    pending += 1
                future = next(completed)
            pending -= 1
            yield _result(future)


def _itself(work: EventPeaks) -> EventPeaks:
    return work


def _of(work: EventPeaks, positions: list[int]) -> list[Found]:
    return work.of(positions)


def _result(future: Any) -> list[Found]:
    from distributed import KilledWorker

    if future.status == "cancelled":
        raise ClusterError("The scheduler of the workers is gone; peaks were not all found.")
    try:
        found: list[Found] = future.result()
    except KilledWorker as error:
        raise ClusterError("The worker processes died; try fewer of them.") from error
    return found
