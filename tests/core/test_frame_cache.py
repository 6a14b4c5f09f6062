"""Frames kept for browsing: the budget, loading once, fetching ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core import frame_cache
from napari_xfelsort.core.frame_cache import FrameCache, FrameLoader, Prefetcher, memory_budget

#: Seconds after which a test that hangs has failed; nothing waits so long.
PATIENCE = 120

KEYS = st.integers(0, 6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 12)),
        st.tuples(st.just("get"), KEYS, st.just(0)),
        st.tuples(st.just("drop"), KEYS, st.just(0)),
        st.tuples(st.just("limit"), st.just(0), st.integers(0, 30)),
    ),
    max_size=60,
)


def prefetch_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "xfelsort-prefetch"]


# --- cache ------------------------------------------------------------------------------


@given(STEPS)
def test_the_cache_does_what_a_plain_list_of_frames_would(steps):
    cache, limit = FrameCache(20), 20
    model: OrderedDict[int, int] = OrderedDict()  # sizes, least recently used first
    for what, key, size in steps:
        if what == "put":
            cache.put(key, np.zeros(size, np.uint8))
            model.pop(key, None)
            if size <= limit:
                model[key] = size
        elif what == "get":
            frame = cache.get(key)
            assert (frame is not None) == (key in model)
            if frame is not None:
                assert frame.size == model[key]
                model.move_to_end(key)
        elif what == "drop":
            cache.drop(lambda k, key=key: k >= key)
            model = OrderedDict((k, n) for k, n in model.items() if k < key)
        else:
            cache.limit = limit = size
        while sum(model.values()) > limit:
            model.popitem(last=False)
        assert cache.n_bytes == sum(model.values()) <= cache.limit == limit
        assert len(cache) == len(model)
        assert all((k in cache) == (k in model) for k in range(7))


def test_a_frame_larger_than_the_budget_does_not_leave_an_older_one_in_its_place():
    cache = FrameCache(10)
    cache.put("a", np.zeros(4, np.uint8))
    cache.put("a", np.zeros(11, np.uint8))
    assert cache.get("a") is None
    assert cache.n_bytes == 0


def test_the_budget_is_a_part_of_the_memory_that_is_there(monkeypatch):
    told = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**21}  # 8 GiB
    monkeypatch.setattr(frame_cache.os, "sysconf", told.get, raising=False)
    assert memory_budget() == 2**30
    told["SC_PHYS_PAGES"] = 2**28  # a terabyte
    assert memory_budget() == 4 * 2**30
    monkeypatch.delattr(frame_cache.os, "sysconf")
    assert memory_budget() == 2**30


# --- loading ----------------------------------------------------------------------------


def test_a_frame_that_many_want_is_loaded_once():
    started, go = threading.Barrier(5), threading.Event()
    loads = []

    def load(key):
        loads.append(key)
        assert go.wait(PATIENCE)
        return np.full(3, key), True

    loader = FrameLoader(load, FrameCache(1000))

    def want():
        started.wait(PATIENCE)
        return loader.get(7)

    with ThreadPoolExecutor(4) as pool:
        wanted = [pool.submit(want) for _ in range(4)]
        started.wait(PATIENCE)
        go.set()
        frames = [future.result(PATIENCE) for future in wanted]
    assert loads == [7]
    assert all(frame is frames[0] for frame in frames)
    np.testing.assert_array_equal(frames[0], [7, 7, 7])


def test_different_frames_are_loaded_at_the_same_time():
    both = threading.Barrier(2)  # passed only if neither waits for the other

    def load(key):
        both.wait(PATIENCE)
        return np.full(1, key), True

    loader = FrameLoader(load, FrameCache(1000))
    with ThreadPoolExecutor(2) as pool:
        assert [int(f[0]) for f in pool.map(loader.get, (1, 2))] == [1, 2]


def test_an_error_reaches_all_who_wait_and_the_next_try_is_a_new_one():
    class Key:
        """Tells when somebody looks it up."""

        looks = threading.Semaphore(0)

        def __hash__(self):
            self.looks.release()
            return 1

    go, tries = threading.Event(), []

    def load(key):
        tries.append(key)
        if len(tries) == 1:
            assert go.wait(PATIENCE)
            raise OSError("torn")
        return np.ones(1), True

    cache, key = FrameCache(1000), Key()
    loader = FrameLoader(load, cache)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(loader.get, key)
        for _ in range(3):  # in the cache, among those being loaded, put among them
            assert key.looks.acquire(timeout=PATIENCE)
        second = pool.submit(loader.get, key)
        for _ in range(2):  # in the cache, among those being loaded: it waits from now on
            assert key.looks.acquire(timeout=PATIENCE)
        go.set()
        for future in (first, second):
            with pytest.raises(OSError, match="torn"):
                future.result(PATIENCE)
    assert len(tries) == 1
    assert len(cache) == 0
    assert loader.get(key)[0] == 1


def test_a_frame_that_is_not_to_be_kept_is_loaded_anew():
    loads = []
    loader = FrameLoader(lambda key: (np.full(1, loads.append(key) or 5), False), FrameCache(99))
    assert loader.get(1)[0] == loader.get(1)[0] == 5
    assert loads == [1, 1]


def test_a_closed_loader_keeps_nothing_not_even_what_was_being_loaded():
    begun, go, cache = threading.Event(), threading.Event(), FrameCache(1000)

    def load(key):
        begun.set()
        assert go.wait(PATIENCE)
        return np.zeros(1), True

    loader = FrameLoader(load, cache)
    with ThreadPoolExecutor(1) as pool:
        wanted = pool.submit(loader.get, 1)
        assert begun.wait(PATIENCE)
        loader.close()
        go.set()
        assert wanted.result(PATIENCE)[0] == 0
    assert len(cache) == 0


# --- fetching ahead ---------------------------------------------------------------------


class Fetcher:
    """Notes what is fetched; the first item waits until it is let go."""

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.more = threading.Condition()

    def __call__(self, item: int) -> None:
        with self.more:
            self.fetched.append(item)
            self.more.notify_all()
        self.begun.set()
        if len(self.fetched) == 1:
            assert self.go.wait(PATIENCE)
        if item < 0:
            raise OSError("torn")

    def wait_for(self, n: int) -> None:
        with self.more:
            assert self.more.wait_for(lambda: len(self.fetched) >= n, PATIENCE)


@pytest.fixture
def fetcher():
    made = Fetcher()
    yield made
    made.go.set()


@pytest.fixture
def prefetcher(fetcher):
    before = prefetch_threads()
    made = Prefetcher(fetcher)
    yield made
    fetcher.go.set()
    made.close()
    # Those of earlier tests may end meanwhile.
    assert set(prefetch_threads()) <= set(before)


def test_only_the_newest_wish_counts(prefetcher, fetcher):
    prefetcher.want([1, 2, 3])
    assert fetcher.begun.wait(PATIENCE)
    prefetcher.want([4, 5])
    prefetcher.want([7, 8])
    fetcher.go.set()
    fetcher.wait_for(3)
    assert fetcher.fetched == [1, 7, 8]


def test_an_item_that_cannot_be_fetched_does_not_stop_the_others(prefetcher, fetcher):
    fetcher.go.set()
    prefetcher.want([-1, -2, 3])
    fetcher.wait_for(3)
    assert fetcher.fetched == [-1, -2, 3]


def test_what_is_to_wait_is_not_fetched_before_its_time(prefetcher, fetcher):
    fetcher.go.set()
    prefetcher.want([1], delay=10_000)
    prefetcher.want([2])
    fetcher.wait_for(1)
    prefetcher.want([3], delay=10_000)
    prefetcher.close()
    assert fetcher.fetched == [2]


def test_a_short_delay_ends(prefetcher, fetcher):
    fetcher.go.set()
    prefetcher.want([1], delay=0.01)
    fetcher.wait_for(1)
    assert fetcher.fetched == [1]


def test_no_thread_without_a_wish(prefetcher):
    prefetcher.want([])
    assert not prefetcher.working


def test_the_thread_ends_when_there_is_nothing_to_do_and_starts_again(
    prefetcher, fetcher, monkeypatch
):
    monkeypatch.setattr(frame_cache, "_IDLE_SECONDS", 0.0)
    fetcher.go.set()
    before = set(prefetch_threads())
    for n in (1, 2):
        prefetcher.want([n])
        for thread in set(prefetch_threads()) - before:
            thread.join(PATIENCE)
        assert not prefetcher.working
        assert len(fetcher.fetched) == n


def test_closing_waits_for_what_was_begun_and_nothing_runs_after(prefetcher, fetcher):
    before = set(prefetch_threads())
    prefetcher.want([1, 2, 3])
    assert fetcher.begun.wait(PATIENCE)
    (thread,) = set(prefetch_threads()) - before
    closed = threading.Thread(target=prefetcher.close)
    closed.start()
    closed.join(0.05)
    assert closed.is_alive()  # it waits for the first item
    fetcher.go.set()
    closed.join(PATIENCE)
    assert not thread.is_alive()
    assert fetcher.fetched == [1]
    prefetcher.want([4])
    assert not prefetcher.working
    prefetcher.close()
    assert fetcher.fetched == [1]


def test_it_may_be_closed_from_its_own_thread():
    ended, before = threading.Event(), set(prefetch_threads())

    def fetch(item):
        made.close()
        ended.set()

    made = Prefetcher(fetch)
    made.want([1, 2])
    assert ended.wait(PATIENCE)
    for thread in set(prefetch_threads()) - before:
        thread.join(PATIENCE)
    assert not made.working
