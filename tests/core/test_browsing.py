"""Frames as a viewer shows them: gaps, flags, failures, cache, fetching ahead, dask."""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest
from geometries import panel, text
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mock_layouts.euxfel_files import COUNTS, write_run
from napari_xfelsort.core import browsing
from napari_xfelsort.core.browsed_array import BrowsedArray
from napari_xfelsort.core.browsing import (
    CACHE,
    BrowsedFrames,
    FrameStore,
    log_scaled,
    log_unscaled,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

#: Seconds after which a test that hangs has failed; nothing waits so long.
PATIENCE = 120
NAN = math.nan
DATASET = "entry_1/data_1/data"


@pytest.fixture(autouse=True)
def cache() -> Iterator[None]:
    """The cache that all runs share, empty before and as large as it was after."""
    limit = CACHE.limit
    CACHE.drop(lambda key: True)
    yield
    CACHE.limit = limit


@pytest.fixture
def still(monkeypatch) -> None:
    """Nothing is fetched ahead."""
    monkeypatch.setattr(FrameStore, "fetch_ahead", lambda *_: None)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


class CountingSource(ArraySource):
    """Notes which events are read, and may fail at some."""

    def __init__(self, frames: Any, **known: Any) -> None:
        super().__init__(np.asarray(frames), **known)
        self.reads: list[int] = []
        self.version = 0
        self.changed = threading.Condition()

    def read(self, i, window=None, out=None):
        with self.changed:
            self.reads.append(i)
            self.changed.notify_all()
        return super().read(i, window, out)

    @property
    def token(self) -> str:
        return f"{self.path}:{self.version}"

    def wait_for(self, events: set[int]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: events <= set(self.reads), PATIENCE)


def counted(n: int = 20, shape: tuple[int, ...] = (4, 5)) -> CountingSource:
    return CountingSource(np.arange(n)[:, None, None] * np.ones(shape, np.float32))


def two_panels(**more: Any) -> Geometry:
    """p0 left, p1 right, two columns between them; the last row of each is at the top."""
    panels = {
        "p0": panel(3, 2, (-4, 0), **more),
        "p1": panel(3, 2, (1, 0), first=(0, 2)),
    }
    return Geometry.from_crystfel_text(text(panels), "two.geom")


def write(path: Path, frames: Any) -> Path:
    with h5py.File(path, "w") as file:
        file[DATASET] = frames
    return path


def handles(path: Path) -> int:
    """How often this process has the file open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}") == os.path.realpath(path)
        except OSError:
            continue
    return found


needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="open files cannot be counted here"
)


# --- what is shown ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint16, np.int64, bool])
def test_pictures_worked_out_by_hand(dtype):
    raw = np.arange(1, 25).reshape(2, 4, 3).astype(dtype)
    stack = EventStack([ArraySource(raw)], geometry=two_panels())
    frames = BrowsedFrames(stack)
    a = raw[1].astype(float)
    by_hand = [
        [*a[1], NAN, NAN, *a[3]],
        [*a[0], NAN, NAN, *a[2]],
    ]
    assert frames.shape == (2, 2, 8)
    assert frames.dtype == frames[1].dtype == np.float32
    np.testing.assert_array_equal(frames[1], by_hand)
    np.testing.assert_array_equal(frames[-1], by_hand)
    np.testing.assert_array_equal(
        frames[0:2, 0, ::7], [[raw[k, 1, 0], raw[k, 3, 2]] for k in (0, 1)]
    )
    if dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(frames[0], stack.assembled(0).astype(np.float32))
    frames.store.close()


def test_frames_without_a_geometry_are_modules_below_one_another():
    raw = np.arange(48, dtype=np.uint16).reshape(2, 2, 3, 4)
    frames = BrowsedFrames(EventStack([ArraySource(raw)]))
    np.testing.assert_array_equal(frames[1], np.arange(24, 48).reshape(6, 4))


def test_what_is_in_the_cache_is_not_the_readers_buffer():
    raw = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
    for geometry in (None, two_panels()):
        frames = BrowsedFrames(EventStack([ArraySource(raw)], geometry=geometry))
        first = frames[0].copy()
        for k in range(1, 6):
            frames[k]
        np.testing.assert_array_equal(frames[0], first)
        with pytest.raises(ValueError, match="read-only"):
            frames[0][0, 0] = 3  # it would stay in the cache
        frames.store.close()


def test_values_that_the_geometry_calls_flags_are_not_shown():
    raw = np.arange(1, 13).reshape(1, 4, 3)
    stack = EventStack([ArraySource(raw)], geometry=two_panels(flag_morethan=4))
    picture = BrowsedFrames(stack)[0]
    np.testing.assert_array_equal(
        picture, [[4, NAN, NAN, NAN, NAN, 10, 11, 12], [1, 2, 3, NAN, NAN, 7, 8, 9]]
    )


def test_values_that_the_detector_uses_as_flags_are_not_shown(tmp_path):
    pixels = np.arange(2 * 6 * 5, dtype=np.uint16).reshape(2, 6, 5)
    pixels[1, 2, 3] = 65535  # how a Rayonix marks what it could not measure
    with h5py.File(tmp_path / "pal.h5", "w") as file:
        file["R0001/scan_dat/raymx_data"] = pixels
    frames = BrowsedFrames(open_stack(tmp_path / "pal.h5"))
    expected = pixels[1].astype(float)
    expected[2, 3] = NAN
    np.testing.assert_array_equal(frames[1], expected)
    np.testing.assert_array_equal(frames[0], pixels[0])
    frames.store.close()


@pytest.mark.parametrize("raw", [True, False])
def test_modules_that_are_missing_are_not_shown_as_zero(tmp_path, raw):
    lost = {3: [10002]}
    modules = [m for m in range(16) if m != 7]
    run = write_run(tmp_path / "r0238", raw=raw, lost=lost, modules=modules)
    stack = open_stack(run)
    assert stack.dtype.kind == ("u" if raw else "f")
    frames = BrowsedFrames(stack)
    in_lost_train = range(COUNTS[10000], COUNTS[10000] + COUNTS[10002])
    for i in range(len(stack)):
        gone = np.isnan(frames[i].reshape(16, 512, 128)).all(axis=(1, 2))
        assert set(np.flatnonzero(gone)) == ({3, 7} if i in in_lost_train else {7})
        there = ~gone[:, None, None] & np.isfinite(stack.raw(i))
        picture = frames[i].reshape(16, 512, 128)
        np.testing.assert_array_equal(picture[there], stack.raw(i)[there])
    frames.store.close()


@given(arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_logarithm_and_back(values):
    there = log_scaled(values.copy())
    for value, shown in zip(values.tolist(), there.tolist(), strict=True):
        expected = math.copysign(math.log1p(abs(value)) / math.log(10), value)
        assert shown == pytest.approx(expected, rel=1e-5, abs=1e-37)
    assert log_unscaled(there) == pytest.approx(values, rel=1e-4, abs=1e-37)


def test_logarithm_keeps_the_order_and_what_was_not_measured():
    values = np.array([-1e5, -99, -1, 0, 1e-3, 9, 99, 1e9, NAN], np.float32)
    shown = log_scaled(values)
    assert (np.diff(shown[:-1]) > 0).all()
    assert shown[1] == pytest.approx(-2)
    assert shown[5] == pytest.approx(1)
    assert math.isnan(shown[-1])


def test_the_logarithm_is_another_view_of_the_same_pictures(still):
    source = counted()
    frames = BrowsedFrames(EventStack([source]))
    log = frames.with_scale("log")
    assert frames[9][0, 0] == 9
    assert log[9][0, 0] == pytest.approx(1)
    assert frames[9][0, 0] == 9
    assert source.reads == [9]
    with pytest.raises(ValueError, match="'sqrt' is not one of linear, log"):
        frames.with_scale("sqrt")


@pytest.mark.parametrize("i", [3, -4])
def test_events_that_do_not_exist(i):
    frames = BrowsedFrames(EventStack([ArraySource(np.zeros((3, 4, 4)))]))
    with pytest.raises(IndexError, match="of 3 does not exist"):
        frames[i]


# --- files that cannot be read, or change -----------------------------------------------


def test_an_event_that_cannot_be_read_is_blank_until_it_can(tmp_path):
    path = write(tmp_path / "a.h5", np.ones((3, 4, 5), np.int16))
    frames = BrowsedFrames(open_stack(path))
    assert frames[0].sum() == 20
    path.rename(tmp_path / "away.h5")
    for _ in range(2):
        assert np.isnan(frames[1]).all()
        assert "a.h5" in frames.store.failures[1]
        assert frames.store.changed(1)
    path.write_bytes(b"not HDF5")
    assert np.isnan(frames[0]).all()
    assert "not an HDF5 file" in frames.store.failures[0]
    os.replace(tmp_path / "away.h5", path)
    for i in range(3):
        assert frames[i].sum() == 20
    assert frames.store.failures == {}
    assert not frames.store.changed(0)
    frames.store.close()


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path = write(tmp_path / "a.h5", np.full((3, 4, 5), 1.0))
    frames = BrowsedFrames(open_stack(path))
    assert frames[1].max() == 1
    assert not frames.store.changed(1)
    os.replace(write(tmp_path / "b.h5", np.full((3, 4, 5), 2.0)), path)
    os.utime(path, (1, 1))
    assert frames.store.changed(1)
    assert frames[1].max() == frames[2].max() == 2
    frames.store.close()


def test_a_file_replaced_while_it_is_read_is_read_anew_by_the_next(tmp_path):
    from napari_xfelsort.readers.hdf5 import POOL

    path = write(tmp_path / "a.h5", np.full((3, 4, 5), 1.0))
    frames = BrowsedFrames(open_stack(path))
    with POOL.borrow(str(path)) as opened:  # as another thread does
        os.replace(write(tmp_path / "b.h5", np.full((3, 4, 5), 2.0)), path)
        assert frames[1].max() == 2
        assert opened.h5[DATASET][0].max() == 1
    assert not opened.h5
    frames.store.close()


def test_an_event_of_another_shape_than_the_rest_is_told(tmp_path):
    path = write(tmp_path / "a.h5", np.ones((3, 4, 5)))
    frames = BrowsedFrames(open_stack(path))
    os.replace(write(tmp_path / "b.h5", np.ones((3, 4, 6))), path)
    assert frames[0].shape == (4, 5)
    assert np.isnan(frames[0]).all()
    assert frames.store.failures[0]
    frames.store.close()


# --- cache and fetching ahead -----------------------------------------------------------


def test_an_event_seen_before_is_not_read_again(still):
    source = counted()
    frames = BrowsedFrames(EventStack([source]))
    for i in (3, 4, 3, 4, -17, 3):
        assert frames[i][0, 0] == i % 20
    assert source.reads == [3, 4]


def test_a_changed_source_is_read_again(still):
    source = counted()
    frames = BrowsedFrames(EventStack([source]))
    frames[3]
    source.version = 1
    frames[3]
    assert source.reads == [3, 3]


def test_runs_do_not_mix_up_their_events(still):
    one, other = counted(), CountingSource(np.full((20, 4, 5), 7.0))
    frames = [BrowsedFrames(EventStack([source])) for source in (one, other)]
    assert frames[0][3].max() == 3
    assert frames[1][3].max() == 7
    frames[0].store.close()
    frames[1][3]
    assert other.reads == [3]


def test_frames_stay_within_the_budget(still):
    source = counted()
    CACHE.limit = 3 * 4 * 20  # three pictures
    frames = BrowsedFrames(EventStack([source]))
    for i in range(8):
        frames[i]
        assert CACHE.n_bytes <= CACHE.limit
    assert len(CACHE) == 3
    for i in (7, 6, 5):
        frames[i]
    assert source.reads == list(range(8))
    frames[0]
    assert source.reads[-1] == 0


def test_neighbours_are_fetched_in_the_direction_of_travel(monkeypatch):
    monkeypatch.setattr(browsing, "_AFTER_JUMP", 10_000.0)
    source = counted(40)
    frames = BrowsedFrames(EventStack([source]))
    frames[20]
    frames[21]
    source.wait_for({22, 23, 24, 25})
    until(lambda: len(CACHE) == 6)
    assert source.reads == [20, 21, 22, 23, 24, 25]
    frames[20]
    source.wait_for({19, 18, 17, 16})
    until(lambda: len(CACHE) == 10)
    assert source.reads[6:] == [19, 18, 17, 16]
    for i in range(16, 26):  # none of these is read again
        frames.store.get(i)
    assert len(source.reads) == 10
    frames.store.close()
    assert not frames.store.fetching


def test_nothing_is_fetched_beyond_the_ends(monkeypatch):
    monkeypatch.setattr(browsing, "_AFTER_JUMP", 10_000.0)
    source = counted(6)
    frames = BrowsedFrames(EventStack([source]))
    frames[3]
    frames[4]
    source.wait_for({5})
    frames.store.close()
    assert set(source.reads) == {3, 4, 5}
    assert frames.store.failures == {}


def test_after_a_jump_neighbours_are_fetched_only_when_it_rests(monkeypatch):
    source = counted(40)
    frames = BrowsedFrames(EventStack([source]))
    monkeypatch.setattr(browsing, "_AFTER_JUMP", 10_000.0)
    for i in (5, 30, 10, 35):
        frames[i]
    frames.store.close()
    assert source.reads == [5, 30, 10, 35]
    monkeypatch.setattr(browsing, "_AFTER_JUMP", 0.01)
    again = BrowsedFrames(EventStack([source]))
    source.reads.clear()
    again[5]
    source.wait_for({6, 7, 8, 9, 4})
    again.store.close()


def test_looking_at_the_same_event_again_fetches_nothing_else(monkeypatch):
    wishes = []
    monkeypatch.setattr(FrameStore, "fetch_ahead", lambda self, *wish: wishes.append(wish))
    frames = BrowsedFrames(EventStack([counted()]))
    for i in (5, 5, 5, -15):
        frames[i]
    assert len(wishes) == 1


def test_no_more_is_fetched_ahead_than_the_budget_holds(monkeypatch):
    CACHE.limit = 4 * 4 * 20  # four pictures: two of them ahead
    source = counted(40)
    frames = BrowsedFrames(EventStack([source]))
    frames.store.fetch_ahead([10, 11, 12, 13, 14])
    source.wait_for({10, 11})
    until(lambda: len(CACHE) == 2)
    frames.store.close()
    assert source.reads == [10, 11]


def test_an_event_that_cannot_be_fetched_ahead_does_not_stop_the_next():
    class Torn(CountingSource):
        def read(self, i, window=None, out=None):
            frame = super().read(i, window, out)
            if i == 7:
                raise OSError("torn")
            return frame

    source = Torn(counted().read_many(range(20)))
    frames = BrowsedFrames(EventStack([source]))
    frames.store.fetch_ahead([6, 7, 8])
    source.wait_for({6, 7, 8})
    frames.store.close()
    assert frames.store.failures == {7: "torn"}


# --- letting go -------------------------------------------------------------------------


@needs_proc
def test_closing_gives_up_files_and_pictures(tmp_path):
    path = write(tmp_path / "a.h5", np.ones((9, 4, 5)))
    frames = BrowsedFrames(open_stack(path))
    frames[3]
    frames[4]
    assert handles(path) == 1
    assert len(CACHE) >= 2
    frames.store.close()
    assert handles(path) == 0
    assert len(CACHE) == 0
    assert not frames.store.fetching
    frames.store.close()
    # a late question is answered, and nothing of it stays in the cache
    assert frames[3].sum() == 20
    assert len(CACHE) == 0
    frames.stack.close()
    assert handles(path) == 0


@needs_proc
def test_a_file_that_is_being_read_is_closed_afterwards(tmp_path):
    from napari_xfelsort.readers.hdf5 import POOL

    path = write(tmp_path / "a.h5", np.ones((9, 4, 5)))
    frames = BrowsedFrames(open_stack(path))
    with POOL.borrow(str(path)) as opened:
        frames.store.close()
        assert opened.h5[DATASET].shape == (9, 4, 5)
    assert handles(path) == 0


@needs_proc
def test_frames_that_nobody_closes_are_collected_with_all_they_hold(tmp_path):
    path = write(tmp_path / "a.h5", np.ones((9, 4, 5)))
    frames = BrowsedFrames(open_stack(path))
    frames.to_dask()[4].compute()
    frames[5]
    frames.cycle = frames  # so that only the collector finds them
    del frames
    gc.collect()
    until(lambda: handles(path) == 0 and len(CACHE) == 0)
    until(lambda: not [t for t in threading.enumerate() if t.name == "xfelsort-prefetch"])


def test_collecting_does_not_wait_for_locks_that_the_collecting_thread_holds():
    frames = BrowsedFrames(EventStack([counted()]))
    frames[1]
    done = threading.Event()

    def collect():
        nonlocal frames
        with CACHE._lock:  # garbage may be collected at any line of the cache
            frames = None
            gc.collect()
        done.set()

    threading.Thread(target=collect, daemon=True).start()
    assert done.wait(PATIENCE)
    until(lambda: len(CACHE) == 0)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda f: pickle.loads(pickle.dumps(f))]
)
def test_copies_show_the_same_and_live_their_own_life(tmp_path, duplicate):
    pixels = np.arange(9 * 4 * 3, dtype=np.int32).reshape(9, 4, 3)
    stack = open_stack(write(tmp_path / "a.h5", pixels), geometry=two_panels())
    frames = BrowsedFrames(stack, "log")
    frames[2]
    twin = duplicate(frames)
    assert twin.store is not frames.store
    assert twin.scale == "log"
    np.testing.assert_array_equal(twin[5], frames[5])
    frames.store.close()
    np.testing.assert_array_equal(twin[5], frames[5])
    twin.store.close()


# --- the dask array ---------------------------------------------------------------------

REFUSED: list[Any] = [
    slice(None),
    Ellipsis,
    (),
    None,
    (None, slice(None)),
    (None, Ellipsis, 0),
    (Ellipsis, 0),
    (Ellipsis, 1, 2),
    (slice(None), 2, slice(None)),
    slice(10, 75),
    slice(None, None, -1),
    list(range(65)),
    np.arange(65),
    (np.arange(100) < 65, slice(None)),
    [True] * 70 + [False] * 30,
    (slice(0, 100), slice(0, 1), slice(0, 1)),
]
LET_THROUGH: list[Any] = [
    0,
    -1,
    np.int64(7),
    (5, slice(None), slice(None)),
    (slice(5, 6), slice(None), slice(None)),
    (5, slice(1, 3), 2),
    (Ellipsis, 5, 1, 2),
    (None, 5),
    (5, None, slice(None)),
    (5, Ellipsis),
    slice(10, 74),
    slice(None, None, 10),
    list(range(64)),
    np.arange(100) % 10 == 0,
    [3, 5],
    slice(50, 50),
    (5, [0, 1]),
]


@pytest.fixture
def hundred(still) -> BrowsedArray:
    values = np.random.default_rng(3).normal(size=(100, 4, 5)).astype(np.float32)
    array = BrowsedFrames(EventStack([CountingSource(values)])).to_dask()
    assert isinstance(array, BrowsedArray)
    return array


def source_of(array: BrowsedArray) -> CountingSource:
    return array.frames.stack.sources[0]


@pytest.mark.parametrize("index", REFUSED, ids=str)
def test_too_many_events_are_refused_unread(hundred, index):
    told = []
    hundred.on_refused = lambda: told.append(1)
    with pytest.raises(MemoryError, match="at most 64 are loaded together"):
        hundred[index]
    assert told == [1]
    assert source_of(hundred).reads == []
    hundred.on_refused = None
    with pytest.raises(MemoryError):
        hundred[index]


def test_few_but_large_events_are_refused_and_one_is_given(hundred):
    hundred.max_bytes = 3 * 4 * 5 * 4  # bytes of three events
    assert hundred[:3].shape == (3, 4, 5)
    with pytest.raises(MemoryError, match="at most 3 are loaded together"):
        hundred[:4]
    hundred.max_bytes = 1
    assert hundred[7].shape == (4, 5)
    assert source_of(hundred).reads == []


def test_a_condition_on_all_pixels_is_refused_uncomputed(hundred):
    with pytest.raises(MemoryError):
        hundred[hundred > 2]
    assert source_of(hundred).reads == []


@pytest.mark.parametrize("index", LET_THROUGH, ids=str)
def test_few_events_are_what_numpy_would_give(hundred, index):
    values = source_of(hundred)._frames
    hundred.on_refused = pytest.fail
    for found in (np.asarray(hundred[index]), hundred[index].compute()):
        np.testing.assert_array_equal(found, values[index])


def test_one_event_reads_one_event_and_is_still_lazy(hundred):
    event = hundred[7]
    assert isinstance(event, da.Array)
    assert source_of(hundred).reads == []
    assert (event.shape, event.dtype) == ((4, 5), np.float32)
    np.asarray(event)
    assert source_of(hundred).reads == [7]
    assert float((event * 2).sum()) == pytest.approx(2 * float(np.asarray(event).sum()), rel=1e-5)
    assert np.asarray(event, np.float64).dtype == np.float64


def test_an_index_past_the_end_is_an_error(hundred):
    with pytest.raises(IndexError):
        hundred[100]


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_copies_of_the_array_are_guarded_too(duplicate):
    values = np.arange(100 * 20, dtype=np.float32).reshape(100, 4, 5)
    array = BrowsedFrames(EventStack([ArraySource(values)])).to_dask()
    twin = duplicate(array)
    with pytest.raises(MemoryError):
        twin[:]
    np.testing.assert_array_equal(np.asarray(twin[4]), values[4])
    for frames in (array.frames, twin.frames):
        frames.store.close()


def test_the_array_is_named_by_all_that_decides_its_pixels(tmp_path):
    def wide(**more: Any) -> Geometry:
        return Geometry.from_crystfel_text(text({"p": panel(4, 4, **more)}))

    path = write(tmp_path / "a.h5", np.ones((6, 4, 4)))
    os.utime(path, (100, 100))
    stack = open_stack(path)

    def name(stack: EventStack, scale: str = "linear") -> str:
        return BrowsedFrames(stack, scale).to_dask().name

    first = name(stack)
    assert name(open_stack(path)) == first
    assert name(stack.subset(range(6))) != first
    others = {
        "geometry": name(open_stack(path, geometry=wide())),
        "other geometry": name(open_stack(path, geometry=wide(flag_morethan=3))),
        "scale": name(stack, "log"),
        "selection": name(stack.subset([1, 2])),
        "order": name(stack.subset([2, 1])),
    }
    os.utime(path, (100, 101))
    others["touched"] = name(open_stack(path))
    write(path, np.ones((7, 4, 4)))
    os.utime(path, (100, 100))
    others["grown"] = name(open_stack(path))
    assert len({first, *others.values()}) == 1 + len(others)
