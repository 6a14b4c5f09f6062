"""Features kept on disk and read by several processes: always those that one would compute."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core import feature_cache
from napari_xfelsort.core.errors import ClusterError, UnreadableFileError
from napari_xfelsort.core.feature_cache import (
    FOLDER_VARIABLE,
    FeatureCache,
    cache_folder,
    cached_table,
    table_key,
)
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings, extract_stack
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from programs import wait_for

KINDS = ("pixels", "radial", "intensity", "peaks")


def write(path: Path, n: int = 30, seed: int = 0) -> Path:
    """A CXI file with peaks; some values are NaN, all of event 3 are."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(10, 3, (n, 12, 10)).astype(np.float32)
    frames[rng.random(frames.shape) < 0.02] = np.nan
    frames[3] = np.nan
    with h5py.File(path, "w") as file:
        file["/entry_1/data_1/data"] = frames
        file["/entry_1/result_1/nPeaks"] = np.arange(n) % 5
        for name, most in (("peakXPosRaw", 10), ("peakYPosRaw", 12), ("peakTotalIntensity", 99)):
            file[f"/entry_1/result_1/{name}"] = rng.integers(0, most, (n, 8)).astype(float)
    return settled(path)


def settled(path: Path) -> Path:
    """As if it had been written a while ago."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10 * 10**9))
    return path


@pytest.fixture
def run(tmp_path):
    return [write(tmp_path / f"run{k}.cxi", seed=k) for k in range(2)]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def opened(run, **more):
    geometry = xs.Geometry.single_panel((12, 10), 1e-4)
    return xs.open_stack([str(path) for path in run], geometry=geometry, **more)


def extractor(stack, region="whole", **values):
    spec = FeatureSettings(**{"kinds": KINDS, "radial_bins": 4, **values})
    return FeatureExtractor.for_stack(spec, region, stack)


def files(cache: FeatureCache) -> list[Path]:
    return sorted(cache.folder.glob("*")) if cache.folder.is_dir() else []


def same(first, second) -> bool:
    return first.matrix.tobytes() == second.matrix.tobytes() and first.failed == second.failed


def no_reading(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("features were read again")

    monkeypatch.setattr(feature_cache, "extract_stack", fail)


def test_what_is_kept_is_what_was_computed(run, cache, monkeypatch):
    stack = opened(run)
    which = extractor(stack)
    positions = [40, 3, 0, 59, 33]
    plain = extract_stack(stack, positions, which)
    assert list(plain.failed) == [1, 4]  # events 3 and 33 are NaN
    first = cached_table(stack, positions, which, cache=cache)
    assert len(files(cache)) == 1
    no_reading(monkeypatch)
    told = []
    again = opened(run)
    second = cached_table(
        again, positions, extractor(again), lambda *now: told.append(now), cache=cache
    )
    assert same(plain, first)
    assert same(plain, second)
    assert told == [(5, 5)]


def test_the_key_depends_on_all_that_matters(run, tmp_path):
    stack = opened(run)

    def key(stack=stack, positions=range(20), region="whole", **values):
        return table_key(stack.subset(positions), extractor(stack, region, **values))

    bad = np.zeros((12, 10), bool)
    bad[3, 3] = True
    masked = stack.with_mask(PixelMask.from_bad(bad))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run:
        settled(Path(shutil.copy2(path, copy)))
    moved = xs.Geometry.single_panel((12, 10), 1e-4, beam_center=(1, 2))
    keys = [
        key(),
        key(positions=range(21)),
        key(positions=[*range(1, 20), 0]),
        key(positions=range(30, 50)),
        key(region="window:0:12,0:9"),
        key(kinds=("pixels",)),
        key(bin=2),
        key(normalise="mean"),
        key(masked),
        key(opened(sorted(copy.iterdir()))),
        key(xs.open_stack([str(path) for path in run], geometry=moved)),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert key() == key(opened(run)) == keys[0]
    assert key(components=5) == keys[0]  # found later, from the same features


def test_a_changed_file_is_read_again(run, cache):
    stack = opened(run)
    before = cached_table(stack, range(60), extractor(stack), cache=cache)
    with h5py.File(run[1], "r+") as file:
        file["/entry_1/data_1/data"][5] += 1
    settled(run[1])
    stack = opened(run)
    after = cached_table(stack, range(60), extractor(stack), cache=cache)
    changed = np.flatnonzero((before.matrix != after.matrix).any(axis=1))
    assert 35 in changed
    assert same(after, extract_stack(stack, range(60), extractor(stack)))
    # a file that has nothing to do with the events does not matter
    assert len(files(cache)) == 2
    first = table_key(stack.subset(range(30)), extractor(stack))
    os.utime(run[1], (0, 0))
    assert table_key(opened(run).subset(range(30)), extractor(stack)) == first


def test_a_virtual_file_depends_on_its_sources(run, tmp_path):
    layout = h5py.VirtualLayout((60, 12, 10), np.float32)
    for k, path in enumerate(run):
        part = h5py.VirtualSource(path.name, "/entry_1/data_1/data", (30, 12, 10))
        layout[30 * k : 30 * k + 30] = part
    with h5py.File(tmp_path / "all.cxi", "w", libver="latest") as file:
        file.create_virtual_dataset("/entry_1/data_1/data", layout)
    settled(tmp_path / "all.cxi")

    def key():
        stack = opened([tmp_path / "all.cxi"])
        return table_key(stack, extractor(stack, kinds=("pixels",)))

    before = key()
    os.utime(run[1], (1, 1))
    assert None not in (before, key())
    assert key() != before


def test_what_may_change_unseen_is_not_kept(run, cache):
    memory = EventStack([ArraySource(np.ones((4, 3, 2)), str(run[0]))])
    which = FeatureExtractor.for_stack(FeatureSettings(), None, memory)
    assert table_key(memory, which) is None
    run[0].touch()
    stack = opened(run)
    assert table_key(stack, extractor(stack)) is None
    cached_table(stack, range(5), extractor(stack), cache=cache)
    assert files(cache) == []


def test_a_file_that_changes_while_it_is_read_is_not_kept(run, cache):
    stack = opened(run)

    def change(done, n):
        os.utime(run[0], (7, 7))

    cached_table(stack, range(5), extractor(stack), change, cache=cache)
    assert files(cache) == []


def test_events_that_could_not_be_read_are_tried_again(run, cache, monkeypatch):
    stack = opened(run)
    which = extractor(stack)
    source = stack.sources[0]
    original = type(source).read

    def read(self, i, window=None, out=None):
        if i == 7:
            raise UnreadableFileError("The network is gone.")
        return original(self, i, window, out)

    with monkeypatch.context() as broken:
        broken.setattr(type(source), "read", read)
        broken.setattr(type(source), "read_many", lambda self, indices, window=None: read(self, 7))
        table = cached_table(stack, range(10), which, cache=cache)
    assert table.unread == {7}
    assert files(cache) == []
    assert 7 not in cached_table(stack, range(10), which, cache=cache).failed


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = bytearray()
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "bit":
        data[len(data) // 3] ^= 1
    elif how == "other":
        data = bytearray(pickle.dumps({"matrix": 1}))
    elif how == "shape":
        with zipfile.ZipFile(path, "w") as kept:
            with kept.open("matrix.npy", "w") as target:
                np.lib.format.write_array(target, np.zeros((2, 2), np.float32))
            kept.writestr("failed.json", "{}")
        return
    elif how == "objects":
        with zipfile.ZipFile(path, "w") as kept:
            with kept.open("matrix.npy", "w") as target:
                np.lib.format.write_array(target, np.array([object]), allow_pickle=True)
            kept.writestr("failed.json", "{}")
        return
    elif how == "failures":
        with zipfile.ZipFile(path, "a") as kept, pytest.warns(UserWarning, match="Duplicate"):
            kept.writestr("failed.json", '{"99": "x"}')
        return
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["empty", "cut", "bit", "other", "shape", "objects", "failures"])
def test_damaged_tables_are_made_anew(run, cache, how):
    stack = opened(run)
    which = extractor(stack)
    good = cached_table(stack, range(20), which, cache=cache)
    (kept,) = files(cache)
    whole = kept.read_bytes()
    damage(kept, how)
    assert cache.get(kept.stem, 20, which.n_features) is None
    assert same(cached_table(stack, range(20), which, cache=cache), good)
    assert cache.get(kept.stem, 20, which.n_features) is not None
    assert len(kept.read_bytes()) == len(whole)


def test_the_cache_is_bounded_and_the_longest_unused_goes_first(run, tmp_path):
    stack = opened(run)
    one = extractor(stack, kinds=("pixels",)).n_features * 4 * 20
    cache = FeatureCache(tmp_path / "cache", max_bytes=4 * one)
    kept = []
    for side in range(3):
        which = extractor(stack, f"window:0:12,0:{10 - side}", kinds=("pixels",))
        cached_table(stack, range(20), which, cache=cache)
        (new,) = set(files(cache)) - set(kept)
        kept.append(new)
        os.utime(new, (100 + side, 100 + side))
    first = extractor(stack, kinds=("pixels",))
    assert cache.get(kept[0].stem, 20, first.n_features) is not None  # used: not the oldest now
    left_behind = cache.folder / ".x.features.0123"
    left_behind.write_bytes(b"torn")
    os.utime(left_behind, (1, 1))
    for side in (3, 4):
        which = extractor(stack, f"window:0:12,0:{10 - side}", kinds=("pixels",))
        cached_table(stack, range(20), which, cache=cache)
    left = files(cache)
    assert kept[0] in left
    assert kept[1] not in left
    assert left_behind not in left
    assert sum(path.stat().st_size for path in left) <= cache.max_bytes
    # a table that would push out nearly everything else is not kept
    cached_table(stack, range(60), first, cache=cache)
    assert files(cache) == left


def test_a_folder_that_cannot_be_used_costs_nothing(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    stack = opened(run)
    which = extractor(stack)
    found = cached_table(stack, range(5), which, cache=FeatureCache(tmp_path / "file" / "cache"))
    assert same(found, extract_stack(stack, range(5), which))


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "napari-xfelsort" in str(cache_folder())


# -- several processes


def test_workers_give_the_same_features(run, monkeypatch):
    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 7)
    bad = np.zeros((12, 10), bool)
    bad[2, 2] = True
    stack = opened(run).with_mask(PixelMask.from_bad(bad))
    which = extractor(stack, normalise="mean", radial_statistics=("mean", "sd", "median"))
    positions = np.random.default_rng(0).permutation(60)[:50]
    told: list[tuple[int, int]] = []
    one = extract_stack(stack, positions, which)
    two = extract_stack(stack, positions, which, lambda *now: told.append(now), workers=2)
    assert same(one, two)
    assert list(two.failed) == sorted(two.failed)
    assert told[-1] == (50, 50)
    assert [n for n, _ in told] == sorted(n for n, _ in told)


def test_stopping_ends_the_workers(run, monkeypatch):
    import psutil

    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 5)
    stack = opened(run)

    def stop(done, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_stack(stack, range(60), extractor(stack), stop, workers=2)

    def is_worker(process):
        with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and "spawn_main" in " ".join(process.cmdline())
        return False

    wait_for(lambda: not any(map(is_worker, psutil.Process().children(recursive=True))))


def test_workers_that_die(run, monkeypatch):
    """What they did is done again, or it is said; never is anything missing or wrong."""
    import psutil

    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 2)
    stack = opened(run)
    which = extractor(stack)
    told = []

    def kill(done, n):
        told.append(done)
        if len(told) == 2:
            for process in psutil.Process().children(recursive=True):
                if "spawn_main" in " ".join(process.cmdline()):
                    process.kill()

    found: Any = None
    with suppress(ClusterError):
        found = extract_stack(stack, range(60), which, kill, workers=2)
    assert found is None or same(found, extract_stack(stack, range(60), which))
    assert len(told) >= 2


def test_long_work_goes_on_in_processes(run, monkeypatch):
    from napari_xfelsort.core.features import parallel, table

    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 10)
    monkeypatch.setattr(table, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(table, "_START_SECONDS", -1.0)
    calls = []

    def recorded(stack, extractor, blocks, workers):
        calls.append(len(blocks))
        reader = table.FeatureReader(stack, extractor)
        for block in reversed(blocks):
            yield block, reader.read(block)

    monkeypatch.setattr(parallel, "blocks_by_workers", recorded)
    stack = opened(run)
    which = extractor(stack)
    assert same(
        extract_stack(stack, range(60), which, workers=None),
        extract_stack(stack, range(60), which),
    )
    assert calls == [5]


def test_without_processes_long_work_goes_on_here(run, monkeypatch, caplog):
    from napari_xfelsort.core.features import parallel, table

    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 10)
    monkeypatch.setattr(table, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(table, "_START_SECONDS", -1.0)

    def broken(stack, extractor, blocks, workers):
        yield blocks[2], table.FeatureReader(stack, extractor).read(blocks[2])
        raise ClusterError("No processes.")

    monkeypatch.setattr(parallel, "blocks_by_workers", broken)
    stack = opened(run)
    which = extractor(stack)
    told = []
    found = extract_stack(stack, range(60), which, lambda n, of: told.append(n), workers=None)
    assert same(found, extract_stack(stack, range(60), which))
    assert told == [10, 20, 30, 40, 50, 60]
    assert "No processes" in caplog.text
