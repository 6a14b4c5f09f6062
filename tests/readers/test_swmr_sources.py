"""A master whose data file is still being written by another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort import XfelsortError, open_stack
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import hdf5
from programs import program

WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset("entry/data/data", (3, 8, 10), "f4", chunks=(1, 8, 10))
    data[...] = 5
    file.swmr_mode = True
    data.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "live.h5"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with program(sys.executable, "-c", WRITER, path, **pipes) as writer:
        assert writer.stdout.readline() == b"ready\n"
        yield path
        writer.communicate()


def test_virtual_master_of_a_live_file_gives_no_fill_values(live: Path) -> None:
    master = live.with_name("master.h5")
    joined = h5py.VirtualLayout((3, 8, 10), "f4")
    joined[...] = h5py.VirtualSource(live.name, "entry/data/data", (3, 8, 10))
    with h5py.File(master, "w", libver="latest") as file:
        file.create_virtual_dataset("/entry/data/data", joined, fillvalue=-1)
    with pytest.raises(XfelsortError, match=r"still being written"):
        open_stack(master)
    assert open_stack(live).raw(2).max() == 5


def test_linking_master_of_a_live_file_says_so(live: Path) -> None:
    master = live.with_name("master.h5")
    with h5py.File(master, "w") as file:
        file["/entry/data/data_000001"] = h5py.ExternalLink(live.name, "/entry/data/data")
    with pytest.raises(XfelsortError, match=r"live\.h5 .* is still being written"):
        open_stack(master)


# --- what is read is not locked -----------------------------------------------------------

APPENDER = """
import sys, h5py
with h5py.File(sys.argv[1], "a") as file:
    data = file["entry/data/data"]
    data.resize(4, axis=0)
    data[3] = 7
"""


def append(path: Path) -> None:
    """In another process, as h5py opens a file unless it is told otherwise."""
    environment = {k: v for k, v in os.environ.items() if k != "HDF5_USE_FILE_LOCKING"}
    command = [sys.executable, "-c", APPENDER, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file of three frames that can get more."""
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", data=np.full((3, 8, 10), 5, "f4"), maxshape=(None, 8, 10)
        )
    yield path
    hdf5.POOL.close([str(path)])


def appended_while_open(path: Path, stack: EventStack) -> None:
    assert stack.raw(2).max() == 5
    assert str(path) in hdf5.POOL.open_paths()
    append(path)
    assert open_stack(path).raw(3).max() == 7


def test_a_file_that_is_open_can_be_appended_to(path: Path) -> None:
    appended_while_open(path, open_stack(path))


def test_so_can_one_that_became_whole(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(UnreadableFileError):
        open_stack(path)
    path.write_bytes(whole)
    appended_while_open(path, open_stack(path))


@pytest.mark.parametrize("failures", [1, 2])
def test_so_can_one_that_could_not_be_opened_in_the_first_way(
    path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """Its writer may be at work in the very moment in which the first ways are tried."""
    given: list[dict[str, object]] = []

    class Failing(h5py.File):
        def __init__(self, *args: object, **ways: object) -> None:
            given.append(ways)
            if len(given) <= failures:
                raise OSError("the file is already open for write")
            if ways.pop("swmr", False):  # not of a file that nobody writes in this mode
                ways.pop("libver")
            super().__init__(*args, **ways)

    monkeypatch.setattr(hdf5.h5py, "File", Failing)
    with hdf5.POOL.borrow(str(path)) as opened:
        assert len(opened.dataset("entry/data/data")) == 3
    monkeypatch.undo()
    assert len(given) == failures + 1
    append(path)
