"""Features of the events of a stack, read in bounded blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.features.blocks import Progress, block_events
from napari_xfelsort.core.features.extractor import FeatureExtractor, no_value
from napari_xfelsort.core.features.stored import StoredEvent, read_stored

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventBlock, EventStack

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
    """

    matrix: NDArray[np.float32]
    failed: dict[int, str]


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

    @property
    def block_events(self) -> int:
        """How many events to hand to `read` at once so that memory stays bounded."""
        if not self.extractor.settings.needs_pixels:
            return _STORED_BLOCK
        return block_events(self.extractor.window, self.stack.dtype.itemsize)

    def read(self, block: EventBlock) -> BlockFeatures:
        """Features of a block; an unreadable event costs only itself."""
        settings = self.extractor.settings
        stored: list[StoredEvent] = []
        if settings.needs_stored:
            stored = [read_stored(self.stack, i, settings) for i in block.positions.tolist()]
        failed = {k: event.problem for k, event in enumerate(stored) if event.failed}
        frames = bad = None
        if settings.needs_pixels:
            frames, bad, unread = self._reader.read(block)
            failed.update(unread)
        matrix = self.extractor.extract(frames, bad, stored)
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
) -> FeatureTable:
    """Features of chosen events of a stack, read file by file in bounded blocks.

    Parameters
    ----------
    stack : EventStack
        The events.
    positions : sequence of int
        Which of them; rows of the result are in this order.
    extractor : FeatureExtractor
        What to compute.
    progress : callable, optional
        Called with events done and events in all.
    """
    chosen = stack.subset(positions)
    reader = FeatureReader(chosen, extractor)
    matrix = np.empty((len(chosen), extractor.n_features), np.float32)
    failed: dict[int, str] = {}
    done = 0
    for block in chosen.blocks(reader.block_events):
        read = reader.read(block)
        matrix[block.positions] = read.matrix
        for k, why in (read.failed | read.unusable).items():
            failed[int(block.positions[k])] = why
        done += len(block.positions)
        if progress is not None:
            progress(done, len(chosen))
    return FeatureTable(matrix, failed)
