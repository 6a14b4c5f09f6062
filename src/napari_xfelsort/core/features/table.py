"""Features of the events of a stack, read in bounded blocks."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import ClusterError
from napari_xfelsort.core.features.blocks import Progress, block_events
from napari_xfelsort.core.features.extractor import FeatureExtractor, no_value
from napari_xfelsort.core.features.pixels import Pixels
from napari_xfelsort.core.features.stored import StoredEvent, read_stored

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventBlock, EventStack

_log = logging.getLogger(__name__)
#: Workers are thought of after so long, and started when they save more than so much.
_LOOK_SECONDS, _START_SECONDS = 1.0, 8.0
#: Events that nothing is read of but what is stored with them, at once.
_STORED_BLOCK = 256


class FeatureTable(NamedTuple):
    """Features of some events.

    Attributes
    ----------
    matrix : ndarray of float32, shape (events, features)
        Rows of NaN for events without features.
    failed : dict of int to str
        Why an event (its row) has none.
    unread : frozenset of int
        Those of them that could not be read, which may be otherwise next time.
    """

    matrix: NDArray[np.float32]
    failed: dict[int, str]
    unread: frozenset[int] = frozenset()


class BlockFeatures(NamedTuple):
    """Features of a block of events.

    Attributes
    ----------
    matrix : ndarray of float32, shape (events, features)
        Rows of NaN for events without features.
    failed : dict of int to str
        Why an event (its number in the block) could not be read.
    unusable : dict of int to str
        Why an event that was read has no features.
    """

    matrix: NDArray[np.float32]
    failed: dict[int, str]
    unusable: dict[int, str]


class FeatureReader:
    """Reads features of a stack's events, each chunk of the files once.

    Parameters
    ----------
    stack : EventStack
        Where the blocks are from.
    extractor : FeatureExtractor
        What to compute.
    """

    def __init__(self, stack: EventStack, extractor: FeatureExtractor) -> None:
        self.stack = stack
        self.extractor = extractor
        self._reader = BlockReader(stack, extractor.pixels)
        settings = extractor.settings
        plain = settings.kinds == ("pixels",) and settings.normalise == "none"
        self._plain: Pixels | None = None  # where features are pixels as they are
        if plain and settings.bin == 1:
            self._plain = Pixels(settings, extractor.pixels)

    @property
    def block_events(self) -> int:
        """How many events to hand to `read` at once so that memory stays bounded."""
        if not self.extractor.settings.needs_pixels:
            return _STORED_BLOCK
        return block_events(self.extractor.window, self.stack.dtype.itemsize)

    def read(self, block: EventBlock, columns: NDArray[np.int64] | None = None) -> BlockFeatures:
        """Features of a block, or only some; an unreadable event costs only itself.

        Parameters
        ----------
        block : EventBlock
            Events of one file.
        columns : ndarray of int64, shape (some,), optional
            Numbers of the features; all of them when omitted.
        """
        settings = self.extractor.settings
        stored: list[StoredEvent] = []
        if settings.needs_stored:
            stored = [read_stored(self.stack, i, settings) for i in block.positions.tolist()]
        failed = {k: event.problem for k, event in enumerate(stored) if event.failed}
        frames = bad = None
        if settings.needs_pixels:
            frames, bad, unread = self._reader.read(block)
            failed.update(unread)
        matrix = None
        if columns is not None and frames is not None and self._plain is not None:
            matrix = self._plain.some(frames, bad, columns)
        if matrix is None:
            matrix = self.extractor.extract(frames, bad, stored)
            matrix = matrix if columns is None else matrix[:, columns]
        matrix[list(failed)] = np.nan
        unusable = {
            k: (stored[k].problem if stored else "") or no_value(settings)
            for k in np.flatnonzero(np.isnan(matrix[:, 0])).tolist()
            if k not in failed
        }
        return BlockFeatures(matrix, failed, unusable)


def extract_stack(
    stack: EventStack,
    positions: Sequence[int] | NDArray[np.integer[Any]],
    extractor: FeatureExtractor,
    progress: Progress | None = None,
    workers: int | None = 0,
) -> FeatureTable:
    """Features of chosen events of a stack, read file by file in bounded blocks.

    They are the same whatever the number of workers.

    Parameters
    ----------
    stack : EventStack
        The events.
    positions : sequence of int
        Which of them; rows of the result are in this order.
    extractor : FeatureExtractor
        What to compute.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.
    workers : int, optional
        Processes that read; 0 or 1 reads in this one. None starts one for each core when
        what is left to do takes longer than that.

    Raises
    ------
    ClusterError
        If a number of workers is given and they cannot be started, or die.
    """
    chosen = stack.subset(positions)
    matrix = np.empty((len(chosen), extractor.n_features), np.float32)
    failed: dict[int, str] = {}
    unread: set[int] = set()
    done = 0
    with closing(_read_blocks(chosen, extractor, workers)) as blocks:  # ends the workers
        for block, read in blocks:
            matrix[block.positions] = read.matrix
            for k, why in (read.failed | read.unusable).items():
                failed[int(block.positions[k])] = why
            unread.update(int(block.positions[k]) for k in read.failed)
            done += len(block.positions)
            if progress is not None:
                progress(done, len(chosen))
    # In the order of rows, whatever was done first.
    return FeatureTable(matrix, dict(sorted(failed.items())), frozenset(unread))


def _read_blocks(
    stack: EventStack, extractor: FeatureExtractor, workers: int | None
) -> Generator[tuple[EventBlock, BlockFeatures]]:
    """Features of all blocks of a stack; the cut does not depend on the workers."""
    from napari_xfelsort.core.features.parallel import blocks_by_workers

    reader = FeatureReader(stack, extractor)
    blocks = list(stack.blocks(reader.block_events))
    if workers is None:
        yield from _read_by_many_if_long(reader, blocks)
    elif workers > 1 and len(blocks) > 1:
        yield from blocks_by_workers(stack, extractor, blocks, min(workers, len(blocks)))
    else:
        for block in blocks:
            yield block, reader.read(block)


def _read_by_many_if_long(
    reader: FeatureReader, blocks: Sequence[EventBlock]
) -> Generator[tuple[EventBlock, BlockFeatures]]:
    """Begin here; start workers when they would save more time than they take to start."""
    from napari_xfelsort.core.features.parallel import blocks_by_workers
    from napari_xfelsort.core.sorting.pools import usable_cores

    cores, start = usable_cores(), time.monotonic()
    waiting = deque(blocks)
    while waiting:
        block = waiting.popleft()
        yield block, reader.read(block)
        spent = time.monotonic() - start
        left = spent / (len(blocks) - len(waiting)) * len(waiting)
        if spent > _LOOK_SECONDS and left * (1 - 1 / cores) > _START_SECONDS:
            break
    done = set()
    try:
        if waiting:
            workers = min(cores, len(waiting))
            for block, read in blocks_by_workers(
                reader.stack, reader.extractor, list(waiting), workers
            ):
                done.add(id(block))
                yield block, read
    except ClusterError as error:
        _log.warning("features are read without worker processes: %s", error)
        for block in waiting:
            if id(block) not in done:
                yield block, reader.read(block)
