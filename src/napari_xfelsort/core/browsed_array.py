"""A dask array that a viewer cannot make load a whole run, and that reads an event at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_xfelsort.core.browsing import BrowsedFrames


class BrowsedArray(da.Array):  # type: ignore[misc]
    """One event a chunk; refuses an index that takes many events, or much memory.

    A viewer's 3-D switch, or another order of axes, asks for every event at once.

    Attributes
    ----------
    frames : BrowsedFrames
        What it is made of.
    on_refused : callable or None
        Called before an index is refused, in whatever thread asked.
    """

    max_events = 64
    #: Of several events together; one is always given.
    max_bytes = 2**29
    frames: BrowsedFrames
    on_refused: Callable[[], None] | None = None

    def __getitem__(self, index: Any) -> Any:
        n_events = _events_in(index, self.shape)
        if n_events > 1 and n_events > (most := self._most_together()):
            if self.on_refused is not None:
                self.on_refused()
            raise MemoryError(
                f"Showing this needs {n_events} events at once, and at most "
                f"{most} are loaded together: keep the slider for events, and the "
                "display in 2-D."
            )
        made = super().__getitem__(index)
        if n_events != 1 or not _is_plain(index):
            return made
        event = OneEvent(made.dask, made.name, made.chunks, dtype=made.dtype, meta=made._meta)
        event.read = self.frames.__getitem__
        event.index = index
        return event

    def _most_together(self) -> int:
        n_bytes: int = math.prod(self.shape[1:]) * self.dtype.itemsize
        return min(self.max_events, max(1, self.max_bytes // max(1, n_bytes)))

    def __reduce__(self) -> tuple[Any, ...]:  # copies are guarded too
        return browsed_array, (self.frames, self.name)

    def copy(self) -> BrowsedArray:
        """The array itself, as another object."""
        return browsed_array(self.frames, self.name)


class OneEvent(da.Array):  # type: ignore[misc]
    """A part of one event. As a NumPy array it is read without dask's scheduler.

    The scheduler and its threads would cost more than a millisecond at every step.

    Attributes
    ----------
    read : callable
        Gives what the index stands for.
    index : int or tuple
        Index expression in the array of all events.
    """

    read: Callable[[Any], NDArray[Any]]
    index: Any

    def __array__(
        self, dtype: Any = None, copy: bool | None = None, **kwargs: Any
    ) -> NDArray[Any]:
        return np.array(self.read(self.index), dtype=dtype, copy=copy or None)


def browsed_array(frames: BrowsedFrames, name: str) -> BrowsedArray:
    """The array over frames. Without `inline_array` a step costs time with the run's length."""
    made = da.from_array(
        frames,
        chunks=(1, *frames.shape[1:]),
        inline_array=True,
        name=name,
        meta=np.empty((0, 0, 0), frames.dtype),
    )
    array = BrowsedArray(made.dask, made.name, made.chunks, dtype=made.dtype, meta=made._meta)
    array.frames = frames
    return array


def _is_plain(index: Any) -> bool:
    """Whether it consists of numbers and slices."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(part, (int, np.integer, slice)) for part in parts)


def _events_in(index: Any, shape: tuple[int, ...]) -> int:
    """How many events an index takes; all of them when that is not plain."""
    n = shape[0]
    given = index if isinstance(index, tuple) else (index,)
    parts = [part for part in given if part is not None]
    if parts and parts[0] is Ellipsis and len(parts) == 1 + len(shape):
        parts = parts[1:]  # it stands for no axis
    if not parts or parts[0] is Ellipsis or isinstance(parts[0], da.Array):
        return n
    first = parts[0]
    if isinstance(first, (int, np.integer)) and not isinstance(first, bool):
        return 1
    if isinstance(first, slice):
        return len(range(*first.indices(n)))
    chosen = np.asarray(first)
    if chosen.dtype != bool:
        return int(chosen.size)
    return int(np.count_nonzero(chosen.reshape(len(chosen), -1).any(axis=1))) if chosen.ndim else n
