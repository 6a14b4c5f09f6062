"""A master whose data file is still being written by another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from napari_xfelsort import XfelsortError, open_stack
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
