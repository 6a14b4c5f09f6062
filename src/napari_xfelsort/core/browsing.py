"""The frames of a stack as a viewer shows them: assembled, gaps as NaN, cached, fetched ahead."""

from __future__ import annotations

import _thread
import itertools
import math
import weakref
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.frame_cache import FrameCache, FrameLoader, Prefetcher, memory_budget
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventStack, LazyFrames, scratch_frame

if TYPE_CHECKING:
    from napari_xfelsort.core.browsed_array import BrowsedArray

#: Ways to show pixel values.
SCALES = ("linear", "log")
#: The budget is one for all runs that are open.
CACHE = FrameCache(memory_budget())
#: Events fetched ahead of the one shown, in the direction of travel, and behind it.
AHEAD, BEHIND = 4, 1
#: Seconds without a step before neighbours are fetched after a jump: whoever jumps from
#: event to event must not wait for neighbours that nobody looks at.
_AFTER_JUMP = 0.15

_numbers = itertools.count()


class FrameStore:
    """The assembled pictures of a stack: read once, cached, neighbours fetched ahead.

    Parameters
    ----------
    stack : EventStack
        The events.

    Attributes
    ----------
    failures : dict of int to str
        Sentences on events that could not be read when last tried.
    """

    def __init__(self, stack: EventStack) -> None:
        self.stack = stack
        self.failures: dict[int, str] = {}
        self._number = next(_numbers)
        self._opened_as = {id(source): _token(source) for source in stack.sources}
        self._loader = FrameLoader(_weak(self._load), CACHE)
        self._prefetcher = Prefetcher(_weak(self.get))
        self._shown: int | None = None
        holdings = (self._number, self._loader, self._prefetcher, stack.sources)
        self._finalizer = weakref.finalize(self, _forget_beside, *holdings)
        self._finalizer.atexit = False

    def close(self) -> None:
        """Give up cached frames, open files and the background thread; safe to repeat.

        Frames asked for later are read again, and not kept.
        """
        if (found := self._finalizer.detach()) is not None:
            _forget(*found[2])

    @property
    def fetching(self) -> bool:
        """Whether the background thread is there."""
        return self._prefetcher.working

    def get(self, i: int) -> NDArray[np.float32]:
        """The picture of event ``i``; not to be written to."""
        source, _ = self.stack.locate(i)
        key = (self._number, i, _token(source))
        kept = CACHE.get(key)
        if kept is not None:
            self.failures.pop(i, None)  # the file was away for a while
            return kept
        return self._loader.get(key)

    def changed(self, i: int) -> bool:
        """Whether the file of event ``i`` changed on disk since it was opened."""
        source, _ = self.stack.locate(i)
        return _token(source) != self._opened_as[id(source)]

    def note_shown(self, i: int) -> None:
        """Choose what is fetched ahead now that event ``i`` is shown."""
        before, self._shown = self._shown, i
        if before == i:
            return
        step = 0 if before is None else i - before
        way = -1 if step == -1 else 1
        order = [i + way * k for k in range(1, AHEAD + 1)]
        order += [i - way * k for k in range(1, BEHIND + 1)]
        self.fetch_ahead(order, 0.0 if abs(step) == 1 else _AFTER_JUMP)

    def fetch_ahead(self, events: Sequence[int], delay: float = 0.0) -> None:
        """Fetch these events in the background, instead of what was to be fetched."""
        room = CACHE.limit // (2 * 4 * math.prod(self.stack.assembled_shape))
        wanted = [k for k in events if 0 <= k < len(self.stack)]
        self._prefetcher.want(wanted[:room], delay)

    def _load(self, key: Hashable) -> tuple[NDArray[np.float32], bool]:
        assert isinstance(key, tuple)
        i = key[1]
        try:
            frame = shown_frame(self.stack, i)
        except (XfelsortError, OSError, MemoryError) as error:
            # Without a picture the one before would stay, and be taken for this event.
            self.failures[i] = str(error)
            return np.full(self.stack.assembled_shape, np.nan, np.float32), False
        self.failures.pop(i, None)
        frame.flags.writeable = False
        return frame, True


class BrowsedFrames(LazyFrames):
    """Array-like (events, y, x) of float32 for a viewer.

    NaN stands for what was not measured: gaps between panels, missing modules, values
    that are flags of the detector, events that cannot be read. Frames shown before come
    from a cache; neighbours of the one shown are fetched in the background. An event
    whose file changed on disk is read again.

    Parameters
    ----------
    stack : EventStack
        The events.
    scale : str
        ``linear``, or ``log`` for sign(v) log10(1 + abs(v)).
    store : FrameStore, optional
        Pictures of this stack, shared with other views of it.
    """

    def __init__(
        self, stack: EventStack, scale: str = "linear", store: FrameStore | None = None
    ) -> None:
        super().__init__(stack, assembled=True)
        if scale not in SCALES:
            raise ValueError(f"The scale {scale!r} is not one of {', '.join(SCALES)}.")
        self.dtype = np.dtype(np.float32)
        self.scale = scale
        self.store = FrameStore(stack) if store is None else store

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has threads and a cache of its own
        return BrowsedFrames, (self.stack, self.scale)

    def with_scale(self, scale: str) -> BrowsedFrames:
        """The same events with values shown in another way."""
        return BrowsedFrames(self.stack, scale, self.store)

    def to_dask(self) -> BrowsedArray:
        """The dask array for a viewer's layer: one event a chunk, guarded.

        Its name changes when files, geometry, selection or scale do.
        """
        from napari_xfelsort.core.browsed_array import browsed_array

        return browsed_array(self, f"xfelsort-shown-{self.stack.token}-{self.scale}")

    def _frame(self, i: int) -> NDArray[Any]:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"Event {i} of {n} does not exist.")
        frame = self.store.get(i % n)
        self.store.note_shown(i % n)
        return log_scaled(frame) if self.scale == "log" else frame


def shown_frame(stack: EventStack, i: int) -> NDArray[np.float32]:
    """The assembled picture of an event as float32, NaN where nothing was measured.

    Raises
    ------
    UnreadableFileError
        If the event cannot be read.
    """
    source, index = stack.locate(i)
    raw = stack.raw(i, scratch_frame(stack.raw_shape, stack.dtype))
    bad = source.flagged(raw)
    geometry = stack.geometry
    if geometry is not None and geometry.has_flags:
        flagged = geometry.value_mask(raw)
        bad = flagged if bad is None else bad if flagged is None else bad | flagged
    frame = raw if raw.dtype == np.float32 else _as_float32(raw)
    if bad is not None:
        np.copyto(frame, np.float32(np.nan), where=bad)
    for part in source.missing_parts(index):
        frame[part] = np.nan
    if geometry is None:
        return np.array(frame.reshape(-1, frame.shape[-1]))
    return geometry.assemble(frame)


def _as_float32(raw: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.abs(raw) if raw.dtype.kind == "c" else raw
        return values.astype(np.float32)


def log_scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """sign(v) log10(1 + abs(v)): decades far from zero, and still in order near it."""
    size = np.abs(values)
    np.log1p(size, out=size)
    size *= np.float32(1 / np.log(10))
    return np.copysign(size, values, out=size)


def log_unscaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `log_scaled`."""
    sizes = np.expm1(np.abs(values) * np.float32(np.log(10)))
    return np.asarray(np.copysign(sizes, values))


def _token(source: EventSource) -> str:
    try:
        return source.token
    except OSError:
        return "gone"


def _weak(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The method without holding its object: threads must not keep a closed run alive."""
    held = weakref.WeakMethod(method)

    def call(argument: Any) -> Any:
        found = held()
        if found is None:
            raise ReferenceError("the frames were closed")
        return found(argument)

    return call


def _forget(
    number: int, loader: FrameLoader, prefetcher: Prefetcher, sources: Sequence[EventSource]
) -> None:
    prefetcher.close()
    loader.close()
    CACHE.drop(lambda key: key[0] == number)
    for source in sources:
        source.close()


def _forget_beside(*holdings: Any) -> None:
    """The same for a store that nobody closed: in a thread that holds no lock.

    Garbage is collected in whatever thread runs, maybe one that holds the lock of the
    cache, of the open files or of HDF5. `threading.Thread` would take a lock itself.
    """
    with suppress(RuntimeError):  # the process ends
        _thread.start_new_thread(_forget, holdings)
