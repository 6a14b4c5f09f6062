"""Frames kept for browsing: a cache within a memory budget, loaded once, fetched ahead."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

#: Share of the computer's memory that frames may take, and the most that is useful.
_MEMORY_SHARE, _MOST_BYTES = 0.125, 4 * 2**30
#: Seconds after which a background thread without work ends.
_IDLE_SECONDS = 2.0

Frame = NDArray[Any]


def memory_budget() -> int:
    """Bytes that frames kept for browsing may take on this computer."""
    try:
        present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return 2**30
    return int(min(_MEMORY_SHARE * present, _MOST_BYTES))


class FrameCache:
    """Frames by key, the least recently used given up first.

    Parameters
    ----------
    limit : int
        Bytes that all frames together may take.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: OrderedDict[Hashable, Frame] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Bytes that all frames together may take."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
            self._trim()

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._frames

    def get(self, key: Hashable) -> Frame | None:
        """The frame, None when it is not here."""
        with self._lock:
            frame = self._frames.get(key)
            if frame is not None:
                self._frames.move_to_end(key)
            return frame

    def put(self, key: Hashable, frame: Frame) -> None:
        """Keep a frame; one that is larger than the budget is not kept."""
        with self._lock:
            before = self._frames.pop(key, None)
            if before is not None:
                self._bytes -= before.nbytes
            if frame.nbytes <= self._limit:
                self._frames[key] = frame
                self._bytes += frame.nbytes
                self._trim()

    def drop(self, wanted: Callable[[Any], bool]) -> None:
        """Give up the frames whose key is wanted to go."""
        with self._lock:
            for key in [key for key in self._frames if wanted(key)]:
                self._bytes -= self._frames.pop(key).nbytes

    def _trim(self) -> None:
        while self._bytes > self._limit:
            _, frame = self._frames.popitem(last=False)
            self._bytes -= frame.nbytes


class FrameLoader:
    """Frames through a cache; none is loaded twice at the same time.

    Parameters
    ----------
    load : callable
        Makes the frame of a key; its second value says whether to keep the frame.
    cache : FrameCache
        Where frames are kept.
    """

    def __init__(self, load: Callable[[Hashable], tuple[Frame, bool]], cache: FrameCache) -> None:
        self._load = load
        self._cache = cache
        self._lock = threading.Lock()
        self._loading: dict[Hashable, Future[Frame]] = {}
        self._closed = False

    def close(self) -> None:
        """Put nothing into the cache any more, not even what is being loaded now."""
        with self._lock:
            self._closed = True

    def get(self, key: Hashable) -> Frame:
        """The frame, from the cache, from a load in progress, or loaded now."""
        with self._lock:
            frame = self._cache.get(key)
            if frame is not None:
                return frame
            running = self._loading.get(key)
            if running is None:
                mine: Future[Frame] = Future()
                self._loading[key] = mine
        if running is not None:
            return running.result()
        try:
            frame, keep = self._load(key)
            with self._lock:
                if keep and not self._closed:
                    self._cache.put(key, frame)
            mine.set_result(frame)
            return frame
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._loading[key]


#: Those that had a thread; it must not read while the process ends.
_PREFETCHERS: weakref.WeakSet[Prefetcher] = weakref.WeakSet()


@atexit.register
def _end_threads() -> None:
    for prefetcher in list(_PREFETCHERS):
        prefetcher.close()


class Prefetcher:
    """Fetches in the background what is likely to be wanted next.

    Only the newest wish counts: what an older one had not begun is forgotten. The
    thread starts when there is work and ends when there is none.

    Parameters
    ----------
    fetch : callable
        Fetches one item; what it raises is not told, for whoever wants the item will
        meet it.
    """

    def __init__(self, fetch: Callable[[int], object]) -> None:
        self._fetch = fetch
        self._changed = threading.Condition()
        self._wanted: list[int] = []
        self._not_before = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    def want(self, items: Sequence[int], delay: float = 0.0) -> None:
        """Fetch these items, in this order, and no others; begin after ``delay`` seconds."""
        with self._changed:
            if self._closed:
                return
            self._wanted = list(items)
            self._not_before = time.monotonic() + delay
            if self._thread is None and self._wanted:
                thread = threading.Thread(target=self._work, name="xfelsort-prefetch", daemon=True)
                thread.start()
                self._thread = thread
                _PREFETCHERS.add(self)
            self._changed.notify_all()

    @property
    def working(self) -> bool:
        """Whether the background thread is there."""
        return self._thread is not None

    def close(self) -> None:
        """Fetch nothing more; returns when what was begun is done."""
        with self._changed:
            self._closed = True
            self._wanted = []
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _next(self) -> int | None:
        with self._changed:
            idle_until = time.monotonic() + _IDLE_SECONDS
            while not self._closed:
                now = time.monotonic()
                if self._wanted and now >= self._not_before:
                    return self._wanted.pop(0)
                if not self._wanted and now >= idle_until:
                    break
                until = self._not_before if self._wanted else idle_until
                self._changed.wait(max(until - now, 0.0) + 1e-3)
            self._thread = None
            return None

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._fetch(item)
            except Exception:  # noqa: BLE001  (see the class)
                continue
