"""A dask array that a viewer cannot make load a whole run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from napari_xfelsort.core.browsing import BrowsedFrames


class BrowsedArray(da.Array):  # type: ignore[misc]
    """One event a chunk; refuses an index that takes more than a few dozen events.

    A viewer's 3-D switch, or another order of axes, asks for every event at once.

    Attributes
    ----------
    on_refused : callable or None
        Called before an index is refused, in whatever thread asked.
    """

    max_events = 64
    on_refused: Callable[[], None] | None = None

    def __getitem__(self, index: Any) -> Any:
        n_events = _events_in(index, self.shape[0])
        if n_events > self.max_events:
            if self.on_refused is not None:
                self.on_refused()
            raise MemoryError(
                f"Showing this needs {n_events} events at once, and at most "
                f"{self.max_events} are loaded together: keep the slider for events, and the "
                "display in 2-D."
            )
        return super().__getitem__(index)


def browsed_array(frames: BrowsedFrames, name: str) -> BrowsedArray:
    """The array over frames. Without `inline_array` a step costs time with the run's length."""
    made = da.from_array(
        frames,
        chunks=(1, *frames.shape[1:]),
        inline_array=True,
        name=name,
        meta=np.empty((0, 0, 0), frames.dtype),
    )
    return BrowsedArray(made.dask, made.name, made.chunks, dtype=made.dtype, meta=made._meta)


def _events_in(index: Any, n: int) -> int:
    first = index[0] if isinstance(index, tuple) and index else index
    if first is Ellipsis or first is None or (isinstance(index, tuple) and not index):
        return n
    if isinstance(first, (int, np.integer)):
        return 1
    if isinstance(first, slice):
        return len(range(*first.indices(n)))
    chosen = np.asarray(first)
    return int(chosen.sum()) if chosen.dtype == bool else int(chosen.size)
