"""Features of blocks of events by worker processes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.errors import ClusterError
from napari_xfelsort.core.features.extractor import FeatureExtractor
from napari_xfelsort.core.features.table import BlockFeatures, FeatureReader
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.stack import EventBlock, EventStack

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.source import EventSource


@dataclass(eq=False)
class _Shared:
    """What all blocks have in common; sent to each worker once, keeps the last file open."""

    extractor: FeatureExtractor
    geometry: Geometry | None
    mask: PixelMask | None
    dtype: np.dtype[Any]
    _kept: tuple[EventSource, FeatureReader] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": None}

    def reader(self, source: EventSource) -> FeatureReader:
        """The reader of the stack of this source alone."""
        kept = self._kept
        if kept is None or kept[0] is not source:
            stack = EventStack([source], geometry=self.geometry, mask=self.mask)
            stack.dtype = self.dtype
            kept = self._kept = (source, FeatureReader(stack, self.extractor))
        return kept[1]


def _read_block(shared: _Shared, source: EventSource, indices: Any) -> BlockFeatures:
    """What a worker does. The stack has this source alone, so indices are positions."""
    return shared.reader(source).read(EventBlock(source, indices, indices))


def blocks_by_workers(
    stack: EventStack,
    extractor: FeatureExtractor,
    blocks: Sequence[EventBlock],
    workers: int,
) -> Iterator[tuple[EventBlock, BlockFeatures]]:
    """Features of blocks, each as it is done.

    Parameters
    ----------
    stack : EventStack
        Where the blocks are from.
    extractor : FeatureExtractor
        What to compute.
    blocks : sequence of EventBlock
        File by file.
    workers : int
        Processes to start.

    Raises
    ------
    ClusterError
        If processes cannot be started, or die.
    """
    from napari_xfelsort.core.sorting.pools import start_local

    shared = _Shared(extractor, stack.geometry, stack.user_mask, stack.dtype)
    with ExitStack() as running:
        client = start_local(workers, running)
        yield from _run(client, shared, blocks, 2 * workers + 2)


def _run(
    client: Any, shared: _Shared, blocks: Sequence[EventBlock], most: int
) -> Iterator[tuple[EventBlock, BlockFeatures]]:
    from distributed import as_completed

    common = _sent(client, shared)
    waiting = iter(blocks)
    running: dict[Any, EventBlock] = {}
    sent: tuple[EventSource, Any] | None = None
    completed = as_completed(loop=client.loop)

    def submit() -> None:
        nonlocal sent
        block = next(waiting, None)
        if block is None:
            return
        if sent is None or sent[0] is not block.source:
            sent = (block.source, _sent(client, block.source))
        future = client.submit(_read_block, common, sent[1], block.indices, pure=False)
        running[future.key] = block
        completed.add(future)

    for _ in range(most):
        submit()
    while running:
        future = next(completed)
        block = running.pop(future.key)
        yield block, _outcome(future)
        submit()


def _sent(client: Any, value: Any) -> Any:
    """A value on the workers, made again from here when the one that holds it dies."""
    import dask

    # distributed advises against large arguments; sent once is what is wanted here.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        return client.submit(_itself, value, key=f"sent-{uuid.uuid4().hex}", pure=False)


def _itself(value: Any) -> Any:
    return value


def _outcome(future: Any) -> BlockFeatures:
    from distributed import KilledWorker

    try:
        result: BlockFeatures = future.result()
    # Also a finished task is cancelled when the worker that holds its result is gone.
    except (KilledWorker, CancelledError) as error:
        raise ClusterError(
            "Worker processes died while features were read; there may be too little memory. "
            "With workers=0 they are read without others."
        ) from error
    return result
