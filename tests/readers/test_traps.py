"""What costs users data or days: files that grow, break, vanish or lie."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from mock_layouts import LAYOUTS, frame, frames, traced_peak
from napari_xfelsort.core import errors
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import hdf5, open_stack
from programs import program

SHAPE = (12, 16)


def write_run(path: Path, events: range, shape: tuple[int, ...] = SHAPE) -> Path:
    with h5py.File(path, "w") as f:
        f["entry_1/data_1/data"] = frames(events, shape, "u2")
    return path


def mock_stack(name: str, folder: Path) -> EventStack:
    mock = LAYOUTS[name](folder)
    return open_stack(mock.paths, **mock.options)


WRITER = """
import sys, h5py, numpy as np
path, mode = sys.argv[1:]
f = h5py.File(path, "w", libver="latest" if mode == "swmr" else "earliest")
d = f.create_dataset("entry_1/data_1/data", (0, 64, 64), "f4", maxshape=(None, 64, 64),
                     chunks=(1, 64, 64))
if mode == "swmr":
    f.swmr_mode = True
s, q = np.ogrid[:64, :64]
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        e = len(d)
        d.resize(e + 1, axis=0)
        d[e] = 1000 * e + (7 * s + 3 * q) % 251
    d.flush() if mode == "swmr" else f.flush()
    print(len(d), flush=True)
"""


@contextmanager
def growing_file(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the file open and adds events when told."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with program(sys.executable, "-c", WRITER, path, mode, **pipes) as writer:
        assert writer.stdout.readline() == "ready\n"
        yield writer


def add_events(writer: subprocess.Popen[str], n: int) -> int:
    assert writer.stdin is not None
    assert writer.stdout is not None
    print(n, file=writer.stdin, flush=True)
    return int(writer.stdout.readline())


@pytest.mark.parametrize("mode", ["swmr", "plain"])
def test_file_that_is_being_written(mode: str, tmp_path: Path) -> None:
    """Complete events are read while the writer holds the file; later ones on reopening."""
    path = tmp_path / "live.cxi"
    with growing_file(path, mode) as writer:
        assert add_events(writer, 2) == 2
        early = open_stack(path)
        assert len(early) == 2
        np.testing.assert_array_equal(early.raw(1), frame(1, (64, 64)))
        assert add_events(writer, 3) == 5
        late = open_stack(path)
        assert len(late) == 5
        np.testing.assert_array_equal(late.raw(4), frame(4, (64, 64)))
        np.testing.assert_array_equal(early.raw(0), frame(0, (64, 64)))
        assert len(early) == 2


def test_file_without_events_yet(tmp_path: Path) -> None:
    path = tmp_path / "live.cxi"
    with growing_file(path, "swmr"), pytest.raises(errors.NoEventsError, match=r"live\.cxi"):
        open_stack(path)


def test_file_left_by_a_killed_writer(tmp_path: Path) -> None:
    """Its consistency flag stays set: read what is complete, or say what to do."""
    path = tmp_path / "stale.cxi"
    with growing_file(path, "swmr") as writer:
        add_events(writer, 3)
    stack = open_stack(path)
    assert len(stack) == 3
    np.testing.assert_array_equal(stack.raw(2), frame(2, (64, 64)))


def test_one_bad_chunk_costs_one_event(tmp_path: Path) -> None:
    stack = mock_stack("n01_corrupted_chunk", tmp_path)
    with pytest.raises(errors.UnreadableFileError, match=r"rot\.cxi.*2"):
        stack.raw(2)
    for i in (0, 1, 3):
        np.testing.assert_array_equal(stack.raw(i), frame(i, (40, 50)))


def test_giant_chunk_is_decompressed_once(tmp_path: Path) -> None:
    """Events of one 16 MB chunk: the second needs nothing more from the disk.

    The chunk's bytes are spoilt behind the reader's back after the first event, so that
    decompressing it again (88 ms an event in a real file) would show.
    """
    path = tmp_path / "giant.h5"
    values = np.zeros((16, 512, 1024), "u2") + np.arange(16, dtype="u2")[:, None, None]
    with h5py.File(path, "w") as f:
        data = f.create_dataset(
            "entry/data/data", data=values, chunks=values.shape, compression="gzip"
        )
        info = data.id.get_chunk_info(0)
    stack = open_stack(path)
    assert stack.raw(0).max() == 0
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(info.byte_offset)
        stream.write(b"\xa5" * info.size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for i in range(1, 16):
        np.testing.assert_array_equal(stack.raw(i), values[i])


@pytest.mark.parametrize("change", ["removed", "cut", "text"])
def test_file_spoilt_after_opening(change: str, tmp_path: Path) -> None:
    """Reading says which file and event; the other file goes on."""
    paths = [write_run(tmp_path / f"{name}.cxi", range(3)) for name in "ab"]
    stack = open_stack(paths)
    if change == "removed":
        paths[0].unlink()
    else:
        spoilt = tmp_path / "spoilt"
        content = paths[0].read_bytes()
        spoilt.write_bytes(content[:900] if change == "cut" else b"no longer HDF5")
        spoilt.replace(paths[0])
    copy = pickle.loads(pickle.dumps(stack))
    with pytest.raises(errors.UnreadableFileError, match=r"a\.cxi"):
        copy.read_block(next(copy.blocks(3)))
    np.testing.assert_array_equal(copy.raw(4), frame(1, SHAPE, "u2"))


def test_linked_folders_in_a_circle(tmp_path: Path) -> None:
    """A folder that links back to itself is walked once."""
    run = tmp_path / "run"
    run.mkdir()
    write_run(run / "a.cxi", range(3))
    (run / "again").symlink_to(run, target_is_directory=True)
    assert len(open_stack(run)) == 3


def test_file_linked_under_two_names(tmp_path: Path) -> None:
    """A symbolic link to a data file in the same folder adds no events."""
    write_run(tmp_path / "a.cxi", range(3))
    (tmp_path / "latest.cxi").symlink_to(tmp_path / "a.cxi")
    assert len(open_stack(tmp_path)) == 3


@pytest.mark.parametrize("name", ["run7_dark.h5", "LaB6_powder_0001.h5", "unmasked_hits.cxi"])
def test_stacks_are_events_whatever_their_name(name: str, tmp_path: Path) -> None:
    """A folder of darks or of a powder's run holds events: names alone decide nothing."""
    write_run(tmp_path / name, range(3))
    write_run(tmp_path / "run8.cxi", range(2))
    assert len(open_stack(tmp_path)) == 5


def test_list_that_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "all.lst"
    path.write_text("all.lst\n")
    with pytest.raises(errors.XfelsortError, match=r"all\.lst"):
        open_stack(path)


def test_list_of_thousands_of_lines(tmp_path: Path) -> None:
    """30 000 lines over 20 files of 1500 events, shuffled."""
    for k in range(20):
        values = np.zeros((1500, 4, 6), "u4") + 10_000 * k
        values[:, 0, 0] += np.arange(1500, dtype="u4")
        with h5py.File(tmp_path / f"run_{k}.h5", "w") as f:
            f["entry/data/data"] = values
    chosen = np.random.default_rng(5).permutation(30_000)
    lines = [f"run_{c // 1500}.h5 //{c % 1500}" for c in chosen]
    (tmp_path / "long.lst").write_text("\n".join(lines) + "\n")
    stack = open_stack(tmp_path / "long.lst")
    assert len(stack) == 30_000
    for i in (0, 1, 777, 29_999):
        file, event = divmod(int(chosen[i]), 1500)
        assert stack.raw(i)[0, 0] == 10_000 * file + event
        assert stack.event_id(i).event == f"//{event}"


@pytest.mark.parametrize(("claimed", "wanted"), [(-1, 0), (0, 0), (5, 5), (10**6, 8)])
def test_peak_count_beyond_the_table(claimed: int, wanted: int, tmp_path: Path) -> None:
    """nPeaks of a lost rank is -1; after saturation it may exceed the columns."""
    path = write_run(tmp_path / "run.cxi", range(2))
    with h5py.File(path, "a") as f:
        f["entry_1/result_1/nPeaks"] = [claimed, 1]
        for name in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity"):
            f[f"entry_1/result_1/{name}"] = np.ones((2, 8))
    peaks = open_stack(path).peaks(0)
    assert (0 if peaks is None else len(peaks.fs)) == wanted


def test_mask_of_another_shape_is_told(tmp_path: Path) -> None:
    """A mask that does not fit costs the mask, not the frames."""
    path = write_run(tmp_path / "run.cxi", range(2))
    with h5py.File(path, "a") as f:
        f["entry_1/data_1/mask"] = np.ones((7, 9), "u2")
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.raw(1), frame(1, SHAPE, "u2"))
    assert stack.mask is None or stack.mask.n_bad == 0
    assert stack.event_mask(1) is None or stack.event_mask(1).n_bad == 0
    assert any("mask" in str(problem) for problem in (*stack.problems, *stack.notes))


def test_values_of_fewer_events_than_frames(tmp_path: Path) -> None:
    """Energies written for fewer events than frames: unknown, not an error."""
    path = write_run(tmp_path / "run.cxi", range(4))
    with h5py.File(path, "a") as f:
        f["LCLS/photon_energy_eV"] = [9000.0, 9100.0]
    stack = open_stack(path)
    assert len(stack) == 4
    assert np.isnan(stack.photon_energy(3)) or stack.photon_energy(3) > 0


@pytest.mark.parametrize(
    "counts", [(2**31 - 1, 100, 1), (-5, 100, 0), (4, -1, 1), (4, 0, 0), (4, 100, 9)]
)
def test_photon_file_with_a_false_header(counts: tuple[int, int, int], tmp_path: Path) -> None:
    path = tmp_path / "photons.emc"
    path.write_bytes(np.array(counts, "<i4").tobytes().ljust(1024, b"\0") + b"\0" * 64)
    with traced_peak() as peak, pytest.raises(errors.XfelsortError, match=r"photons\.emc"):
        open_stack(path)
    assert peak[0] < 30e6


def test_dataset_that_does_not_exist(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.cxi", range(2))
    with pytest.raises(errors.XfelsortError, match=r"run\.cxi") as refusal:
        open_stack(path, dataset="/entry_1/data_9/data")
    assert "/entry_1/data_9/data" in str(refusal.value)


def test_dataset_named_by_the_user_is_trusted(tmp_path: Path) -> None:
    """Frames of three rows look like a table, but the user says what they are."""
    path = tmp_path / "strip.h5"
    with h5py.File(path, "w") as f:
        f["strip/rows"] = frames(range(5), (3, 100), "u2")
    stack = open_stack(path, dataset="/strip/rows")
    assert (len(stack), tuple(stack.raw_shape)) == (5, (3, 100))


def test_dataset_that_is_no_stack(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.cxi", range(2))
    with h5py.File(path, "a") as f:
        f["LCLS/photon_energy_eV"] = [9000.0, 9100.0]
    with pytest.raises(errors.XfelsortError, match=r"run\.cxi"):
        open_stack(path, dataset="/LCLS/photon_energy_eV")


def test_nothing_given() -> None:
    with pytest.raises(errors.XfelsortError):
        open_stack([])


def test_no_file_stays_open_that_is_not_read(tmp_path):
    write_run(tmp_path / "a.h5", range(4))
    write_run(tmp_path / "b.h5", range(4, 8))
    h5py.File(tmp_path / "nothing.h5", "w").close()
    layout = h5py.VirtualLayout((8, *SHAPE), "u2")
    for number, name in enumerate("ab"):
        source = h5py.VirtualSource(f"{name}.h5", "entry_1/data_1/data", (4, *SHAPE))
        layout[4 * number : 4 * number + 4] = source
    with h5py.File(tmp_path / "both.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("entry_1/data_1/data", layout)
    before = set(hdf5.POOL.open_paths())
    with pytest.raises(errors.NoEventsError):
        open_stack(tmp_path / "nothing.h5")
    stack = open_stack([tmp_path / "both.h5", tmp_path / "nothing.h5"])
    assert len(stack.problems) == 1
    stack.raw(5)
    stack.close()
    assert set(hdf5.POOL.open_paths()) <= before
