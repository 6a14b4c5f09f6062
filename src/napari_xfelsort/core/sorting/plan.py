"""What is to be sorted: the events of each file, cut into blocks and tasks."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.sorting.folder import Identity, InputName
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventStack

#: Some events: consecutive numbers as a range, which costs nothing, others as they are.
Numbers = range | NDArray[np.int64]
#: Events taken from `EventStack.blocks` at once while planning.
_PLAN_EVENTS = 1 << 16
#: Most files of few events that make one task together.
_MAX_PARTS = 64


@dataclass(frozen=True)
class Part:
    """A block of events of one file.

    Attributes
    ----------
    file : int
        Number of the file.
    row : int
        Row of its first event in the file's table.
    indices : range or ndarray of int
        Indices in the source.
    whole : bool
        These are all events of the file.
    """

    file: int
    row: int
    indices: Numbers
    whole: bool


@dataclass(frozen=True)
class Task:
    """What a worker is given at once: a block, or several files of few events.

    Attributes
    ----------
    parts : tuple of Part
        At least one.
    retry : bool
        It failed once already.
    """

    parts: tuple[Part, ...]
    retry: bool = False


@dataclass(eq=False)
class FilePlan:
    """The events of one source that are to be sorted, in the order of the stack.

    Attributes
    ----------
    number : int
        Number of the file.
    source : EventSource
        The file.
    copy : int
        Number among sources of equal path and dataset.
    indices, positions : range or ndarray of int
        Indices in the source and in the stack.
    record : dict
        Size and time of the file when the plan was made.
    """

    number: int
    source: EventSource
    copy: int = 0
    indices: Numbers = range(0)
    positions: Numbers = range(0)
    record: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def name(self) -> InputName:
        """The file and its events, for the manifest."""
        return InputName(
            self.source.path, self.source.dataset, self.copy, len(self), self.first(len(self))
        )

    def first(self, n: int) -> str:
        """Digest of the first ``n`` events."""
        part = _compact(self.indices[:n])
        if isinstance(part, range):
            return f"{part.start}:{part.stop}"
        return hashlib.sha256(np.ascontiguousarray(part, "<i8").tobytes()).hexdigest()

    def parts(self, size: int, start_row: int = 0) -> Iterator[Part]:
        """The blocks from a row on."""
        for row in range(start_row, len(self), size):
            indices = _compact(self.indices[row : row + size])
            yield Part(self.number, row, indices, len(indices) == len(self))


def plan_files(stack: EventStack) -> list[FilePlan]:
    """The plan of every source of a stack, in their order."""
    plans = [
        FilePlan(number, source, copy, record=file_record(source))
        for number, (source, (_, _, copy)) in enumerate(
            zip(stack.sources, identities(stack.sources), strict=True)
        )
    ]
    number = 0
    for block in stack.blocks(_PLAN_EVENTS):
        # Blocks come file by file; a file of which no event is listed has none.
        while plans[number].source is not block.source:
            number += 1
        plan = plans[number]
        plan.indices = _joined(plan.indices, block.indices)
        plan.positions = _joined(plan.positions, block.positions)
    return plans


def identities(sources: Sequence[EventSource]) -> list[Identity]:
    """What tells each source from the others."""
    copies: Counter[tuple[str, str]] = Counter()
    found: list[Identity] = []
    for source in sources:
        same = (source.path, source.dataset)
        found.append((*same, copies[same]))
        copies[same] += 1
    return found


def by_identity(plans: list[FilePlan]) -> dict[Identity, FilePlan]:
    """Plans by what tells their sources apart."""
    return {plan.name.identity: plan for plan in plans}


def tasks_of(plans: Iterator[tuple[FilePlan, int]], size: int) -> Iterator[Task]:
    """Cut files into tasks of at most ``size`` events, each event in exactly one.

    A task is a block of one file; only files smaller than a block share a task.

    Parameters
    ----------
    plans : iterator of (FilePlan, int)
        Files and the row to start from.
    size : int
        Events of a block.
    """
    small: list[Part] = []
    waiting = 0
    for plan, row in plans:
        for part in plan.parts(size, row):
            n = len(part.indices)
            if not part.whole:
                yield Task((part,))
                continue
            if small and (waiting + n > size or len(small) == _MAX_PARTS):
                yield Task(tuple(small))
                small, waiting = [], 0
            small.append(part)
            waiting += n
    if small:
        yield Task(tuple(small))


def file_record(source: EventSource) -> dict[str, Any]:
    """Size in bytes and time of change of a source's file, where it is a file."""
    try:
        found = os.stat(source.path)
    except (OSError, ValueError):
        return {}
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _joined(first: Numbers, second: NDArray[np.int64]) -> Numbers:
    new = _compact(second)
    if not len(first):
        return new
    if isinstance(first, range) and isinstance(new, range) and first.stop == new.start:
        return range(first.start, new.stop)
    return np.concatenate([np.asarray(first, np.int64), np.asarray(new, np.int64)])


def _compact(numbers: Numbers) -> Numbers:
    if isinstance(numbers, range) or not len(numbers):
        return numbers if isinstance(numbers, range) else range(0)
    if len(numbers) == 1 or (np.diff(numbers) == 1).all():
        return range(int(numbers[0]), int(numbers[0]) + len(numbers))
    return numbers
