"""Stacks in other processes and many threads, and what they cost in memory and handles."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from mock_layouts import LAYOUTS, frames, traced_peak
from napari_xfelsort.core import errors
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

SHAPE = (12, 16)
#: One of each kind of source.
KINDS = [
    "a1_cheetah_slab",
    "b2_btx_master",
    "c1_agipd_proc_run",
    "c3_jungfrau_burst_run",
    "c4_virtual_cxi",
    "d1_eiger_master",
    "e1_sacla_rayonix",
    "e3_pal_rayonix",
    "f4_path_placeholder",
    "f5_path_and_dim_placeholders",
    "g2_multi_entry",
    "n14_list_of_events",
    "n20_giant_chunk",
]


def write_run(path: Path, events: range, shape: tuple[int, ...] = SHAPE) -> Path:
    with h5py.File(path, "w") as f:
        f["entry_1/data_1/data"] = frames(events, shape, "u2")
    return path


def mock_stack(name: str, folder: Path) -> EventStack:
    mock = LAYOUTS[name](folder)
    return open_stack(mock.paths, **mock.options)


def digest(stack: EventStack, i: int) -> tuple[str, float, float, str]:
    """What a worker would use of one event."""
    energy = stack.photon_energy(i)
    mask = stack.event_mask(i)
    return (
        stack.raw(i).tobytes().hex()[:4000],
        float(np.nansum(stack.raw(i), dtype="f8")),
        -1.0 if np.isnan(energy) else energy,
        f"{stack.event_id(i)} {None if mask is None else mask.n_bad}",
    )


def all_digests(stack: EventStack) -> list[tuple[str, float, float, str]]:
    return [digest(stack, i) for i in range(len(stack))]


@pytest.fixture(scope="module")
def spawned() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", KINDS)
def test_another_process_reads_the_same(
    name: str, tmp_path: Path, spawned: ProcessPoolExecutor
) -> None:
    stack = mock_stack(name, tmp_path)
    here = all_digests(stack)
    assert spawned.submit(all_digests, stack).result() == here


@pytest.mark.parametrize("name", KINDS)
def test_pickling_holds_no_pixels(name: str, tmp_path: Path) -> None:
    stack = mock_stack(name, tmp_path)
    frame_bytes = stack.raw(0).nbytes
    content = pickle.dumps(stack)
    assert len(content) < max(100_000, frame_bytes)
    copy = pickle.loads(content)
    np.testing.assert_array_equal(copy.raw(0), stack.raw(0))
    assert copy.event_id(0) == stack.event_id(0)
    assert copy.token == stack.token


@pytest.mark.parametrize("name", KINDS)
def test_eight_threads_read_the_same(name: str, tmp_path: Path) -> None:
    stack = mock_stack(name, tmp_path)
    alone = all_digests(stack)
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(len(stack)), 4))[:48]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: digest(stack, int(i)), order))
    assert together == [alone[i] for i in order]


def run_script(text: str, *arguments: str) -> str:
    """Run Python in a process of its own, warnings as errors; give what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
import multiprocessing, sys
from napari_xfelsort.readers import open_stack
def total(i):
    return int(stack.raw(i).sum())
stack = open_stack(sys.argv[1])
here = [total(i) for i in range(len(stack))]
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(total, range(len(stack)), chunksize=1) == here)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_processes_read_the_same(tmp_path: Path) -> None:
    """A parent that has read leaves its children nothing they share by accident."""
    path = tmp_path / "run.cxi"
    with h5py.File(path, "w") as f:
        f.create_dataset(
            "entry_1/data_1/data",
            data=frames(range(40), (64, 64), "u2"),
            chunks=(1, 64, 64),
            compression="gzip",
        )
    assert run_script(FORK, str(path)).split() == ["True"]


FEW_HANDLES = """
import resource, sys
from pathlib import Path
from napari_xfelsort.readers import open_stack
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (96, limit))
stack = open_stack(sys.argv[1])
assert not stack.problems, stack.problems[:3]
for turn in range(2):
    assert [int(stack.raw(i)[0, 0]) for i in range(len(stack))] == list(range(0, 250_000, 1000))
print(len(list(Path("/proc/self/fd").iterdir())))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_more_files_than_handles(tmp_path: Path) -> None:
    """250 files are read where the system allows 96 to be open."""
    for k in range(250):
        with h5py.File(tmp_path / f"run_{k:03d}.cxi", "w") as f:
            f["entry_1/data_1/data"] = frames([k], SHAPE, "u4")
    assert int(run_script(FEW_HANDLES, str(tmp_path))) < 96


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_dropped_stacks_keep_no_files_open(tmp_path: Path) -> None:
    """A program that opens many runs one after the other does not run out of handles."""
    before = len(os.listdir("/proc/self/fd"))
    for k in range(200):
        stack = open_stack(write_run(tmp_path / f"run_{k}.cxi", range(2)))
        stack.raw(1)
    del stack
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) - before < 100


def test_500_files_open_in_little_memory(tmp_path: Path) -> None:
    for k in range(500):
        write_run(tmp_path / f"run_{k:03d}.cxi", range(4))
    open_stack(tmp_path / "run_000.cxi")
    with traced_peak() as peak:
        stack = open_stack(tmp_path)
    assert len(stack) == 2000
    assert peak[0] < 30e6
    assert stack.raw(1999)[0, 0] == 3000


def test_100_000_virtual_events_open_in_little_memory(tmp_path: Path) -> None:
    """A virtual dataset over 100 files; its sources are checked once each at most."""
    joined = h5py.VirtualLayout((100_000, 4, 6), "u2")
    for k in range(100):
        with h5py.File(tmp_path / f"part_{k:03d}.h5", "w") as f:
            f["data"] = np.full((1000, 4, 6), k, "u2")
        source = h5py.VirtualSource(f"part_{k:03d}.h5", "data", (1000, 4, 6))
        joined[1000 * k : 1000 * (k + 1)] = source
    path = tmp_path / "run_vds.cxi"
    with h5py.File(path, "w", libver="latest") as f:
        f.create_virtual_dataset("entry_1/data_1/data", joined)
    with traced_peak() as peak:
        stack = open_stack(path)
    assert len(stack) == 100_000
    assert peak[0] < 30e6
    assert [int(stack.raw(i)[0, 0]) for i in (0, 999, 1000, 99_999)] == [0, 0, 1, 99]
    assert stack.find(stack.event_id(99_999)) == 99_999


GIANT_CHUNKS = """
import resource, sys
from napari_xfelsort.readers import open_stack
stack = open_stack(sys.argv[1])
stack.raw(0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(len(stack)):
    assert int(stack.raw(i)[0, 0]) == i % 16
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_giant_chunks_of_many_files_stay_bounded(tmp_path: Path) -> None:
    """Each of 40 files is one 16 MB chunk; decompressed chunks of past files are let go."""
    values = np.zeros((16, 512, 1024), "u2") + np.arange(16, dtype="u2")[:, None, None]
    for k in range(40):
        with h5py.File(tmp_path / f"run_{k:02d}.h5", "w") as f:
            f.create_dataset(
                "entry/data/data",
                data=values,
                chunks=values.shape,
                compression="gzip",
                compression_opts=1,
            )
    assert int(run_script(GIANT_CHUNKS, str(tmp_path))) < 300_000, "kilobytes"


def test_huge_frame_claim_costs_nothing(tmp_path: Path) -> None:
    """A header that claims frames of 32 GB: opening allocates none of it."""
    path = tmp_path / "claim.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("entry/data/data", (3, 2**17, 2**17), "u2", chunks=(1, 64, 64))
    with traced_peak() as peak:
        try:
            stack = open_stack(path)
            assert len(stack) == 3
        except errors.XfelsortError:
            pass
    assert peak[0] < 30e6
