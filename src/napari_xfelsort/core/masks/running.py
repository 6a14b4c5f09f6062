"""Where the pieces of making a mask run: here, on worker processes, or on a dask scheduler."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from napari_xfelsort.core.errors import ClusterError, SettingsError
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.making import Collector, Found, Look, look_at

Progress = Callable[[int, int], None]
Partial = Callable[[MadeMask, tuple[str, ...]], None]


def run_looks(
    looks: Sequence[Look],
    collector: Collector,
    workers: int = 1,
    processes: int = 0,
    scheduler: str | None = None,
    progress: Progress | None = None,
    partial: Partial | None = None,
) -> None:
    """Do all pieces of work and collect what they find; parameters are `make_mask`'s.

    Raises
    ------
    SettingsError
        If both processes and a scheduler are given, or panels are too small.
    ClusterError
        If processes cannot be started, or the scheduler not be reached.
    """
    if processes and scheduler is not None:
        raise SettingsError("Give either a number of processes or a scheduler, not both.")
    counter = _Counter(looks, progress)
    if looks and all(frames.in_memory for look in looks for frames in look.inputs.given()):
        processes, scheduler = 0, None  # sending frames takes longer than looking at them
    done = (
        _elsewhere(looks, processes, scheduler, counter)
        if processes or scheduler is not None
        else _here(looks, workers, counter)
    )
    left = Counter(look.unit.names for look in looks)
    together = len(left) == 1
    for look, found, last in done:
        names = look.unit.names
        collector.put(look, found)
        if last:
            collector.put_group(look, found)
            left[names] -= 1
        if partial is not None and (together or not left[names]):
            partial(collector.mask(), names)


class _Counter:
    """Frames done: a frame of which one of two modules is read is half a frame."""

    def __init__(self, looks: Sequence[Look], progress: Progress | None) -> None:
        self._progress = progress
        self._units = len({look.unit.names for look in looks})
        self._all = sum(map(frames_of, looks)) // max(1, self._units)
        self._read = 0

    def __call__(self, n: int) -> None:
        self._read += n
        if self._progress is not None:
            self._progress(self._read // self._units, self._all)


def frames_of(look: Look) -> int:
    """Frames that a piece of work reads."""
    return sum(map(len, look.inputs.given()))


def _here(
    looks: Sequence[Look], workers: int, counter: _Counter
) -> Iterator[tuple[Look, list[Found], bool]]:
    """One after another in this process; a single piece tells what it has on the way."""
    for look in looks:
        before: list[Found] | None = None
        for found in look_at(look, workers, counter):
            if before is not None and len(looks) == 1:
                yield look, before, False
            before = found
        yield look, before or [], True


def _elsewhere(
    looks: Sequence[Look], processes: int, scheduler: str | None, counter: _Counter
) -> Iterator[tuple[Look, list[Found], bool]]:
    """On worker processes, in any order."""
    from napari_xfelsort.core.sorting.pools import connect, connected, start_local

    with ExitStack() as stack:
        if scheduler is not None:
            client = connect(scheduler, stack)
        else:
            client = start_local(min(processes, len(looks)), stack)
        yield from _by_client(client, looks, connected, counter)


def _by_client(
    client: Any, looks: Sequence[Look], connected: Any, counter: _Counter
) -> Iterator[tuple[Look, list[Found], bool]]:
    from distributed import as_completed

    run, waiting = uuid.uuid4().hex, list(enumerate(looks))
    pending: dict[Any, Look] = {}
    with connected():
        # No more at once than are worked on: results and inputs take memory.
        room = sum(client.nthreads().values()) + 1
        completed = as_completed(loop=client.loop)
    while waiting or pending:
        with connected():
            while waiting and len(pending) < room:
                number, look = waiting.pop(0)
                key = f"xfelsort_mask-{run}-{number}"
                future = client.submit(last_look, look, key=key, pure=False)
                pending[future.key] = look
                completed.add(future)
            future = next(completed)
        look = pending.pop(future.key)
        found = _result(future, look)
        counter(frames_of(look))
        yield look, found, True


def _result(future: Any, look: Look) -> list[Found]:
    from distributed import KilledWorker

    names = ", ".join(look.unit.names[:3])
    if future.status == "cancelled":
        raise ClusterError(f"The scheduler of the workers is gone; {names} was not finished.")
    try:
        found: list[Found] = future.result()
    except KilledWorker as error:
        raise ClusterError(f"The worker processes died on {names}; try fewer of them.") from error
    return found


def last_look(look: Look) -> list[Found]:
    """All that a piece of work finds."""
    *_, found = look_at(look)
    return found
