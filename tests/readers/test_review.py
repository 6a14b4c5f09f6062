"""Virtual datasets whose sources are gone in part, and headers that claim too much."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from mock_layouts.base import frames
from napari_xfelsort.core import errors
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

SHAPE = (8, 10)


def source(path: Path, events: Sequence[int]) -> Path:
    with h5py.File(path, "w") as f:
        f["/d"] = frames(events, SHAPE)
    return path


def virtual(path: Path, layout: h5py.VirtualLayout, name: str = "/entry/data/data") -> Path:
    with h5py.File(path, "w") as f:
        f.create_virtual_dataset(name, layout, fillvalue=-1)
    return path


def whole(path: Path | str, n: int, name: str = "/d") -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((n, *SHAPE), "f4")
    layout[:] = h5py.VirtualSource(str(path), name, (n, *SHAPE))
    return layout


def first_pixels(stack: EventStack) -> list[float]:
    return [float(stack.raw(i)[0, 0]) for i in range(len(stack))]


def test_frames_dealt_out_in_turn(tmp_path: Path) -> None:
    """Sources that hold every second frame: only those of the lost one are left out."""
    layout = h5py.VirtualLayout((6, *SHAPE), "f4")
    for k in range(2):
        path = source(tmp_path / f"s{k}.h5", [k, k + 2, k + 4])
        layout[k::2] = h5py.VirtualSource(str(path), "/d", (3, *SHAPE))
    master = virtual(tmp_path / "m.h5", layout)
    assert first_pixels(open_stack(master)) == [0, 1000, 2000, 3000, 4000, 5000]
    (tmp_path / "s1.h5").unlink()
    stack = open_stack(master)
    assert [stack.event_id(i).event for i in range(len(stack))] == ["//0", "//2", "//4"]
    assert first_pixels(stack) == [0, 2000, 4000]
    assert any("s1.h5" in str(problem) for problem in stack.problems)


def test_source_shorter_than_mapped(tmp_path: Path) -> None:
    master = virtual(tmp_path / "m.h5", whole(source(tmp_path / "s.h5", range(2)), 5))
    stack = open_stack(master)
    assert first_pixels(stack) == [0, 1000]
    assert any("s.h5 has only 2" in str(problem) for problem in stack.problems)


def test_virtual_source_of_a_virtual_dataset_is_gone(tmp_path: Path) -> None:
    inner = virtual(tmp_path / "v.h5", whole(source(tmp_path / "s.h5", range(3)), 3), "/d")
    master = virtual(tmp_path / "m.h5", whole(inner, 3))
    assert first_pixels(open_stack(master)) == [0, 1000, 2000]
    (tmp_path / "s.h5").unlink()
    with pytest.raises(errors.UnreadableFileError, match=r"s\.h5"):
        open_stack(master)


def test_part_of_the_same_file_is_gone(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, *SHAPE), "f4")
    master = tmp_path / "m.h5"
    with h5py.File(master, "w") as f:
        for k, name in enumerate(("a", "b")):
            f[f"/raw/{name}"] = frames([2 * k, 2 * k + 1], SHAPE)
            layout[2 * k : 2 * k + 2] = h5py.VirtualSource(".", f"/raw/{name}", (2, *SHAPE))
        f.create_virtual_dataset("/entry/data/data", layout)
        del f["/raw/b"]
    stack = open_stack(master)
    assert first_pixels(stack) == [0, 1000]
    assert any("/raw/b" in str(problem) for problem in stack.problems)


def test_selection_without_end(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("/d", data=frames(range(4), SHAPE), maxshape=(None, *SHAPE))
    endless = h5py.h5s.UNLIMITED
    layout = h5py.VirtualLayout((4, *SHAPE), "f4", maxshape=(None, *SHAPE))
    mapped = h5py.VirtualSource(str(path), "/d", (4, *SHAPE), maxshape=(None, *SHAPE))
    layout[0:endless] = mapped[0:endless]
    stack = open_stack(virtual(tmp_path / "m.h5", layout))
    assert first_pixels(stack) == [0, 1000, 2000, 3000]
    assert not stack.problems


def test_series_of_files(tmp_path: Path) -> None:
    """``f_%b.h5``: HDF5 counts the files itself."""
    for k in range(3):
        source(tmp_path / f"f_{k}.h5", [2 * k, 2 * k + 1])
    endless = h5py.h5s.UNLIMITED
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple((6, *SHAPE), (endless, *SHAPE))
    space.select_hyperslab((0, 0, 0), (endless, 1, 1), (2, 1, 1), (2, *SHAPE))
    creation.set_virtual(space, b"f_%b.h5", b"/d", h5py.h5s.create_simple((2, *SHAPE)))
    with h5py.File(tmp_path / "m.h5", "w") as f:
        group = f.create_group("/entry/data")
        extent = h5py.h5s.create_simple((6, *SHAPE), (endless, *SHAPE))
        h5py.h5d.create(group.id, b"data", h5py.h5t.IEEE_F32LE, extent, creation)
    stack = open_stack(tmp_path / "m.h5")
    assert first_pixels(stack) == [0, 1000, 2000, 3000, 4000, 5000]
    assert not stack.problems


def test_link_to_a_virtual_dataset_of_another_folder(tmp_path: Path) -> None:
    """Its relative sources lie beside the file that maps them, not beside the link."""
    below = tmp_path / "sub"
    below.mkdir()
    source(below / "s.h5", range(3))
    virtual(below / "v.h5", whole("s.h5", 3), "/v")
    with h5py.File(tmp_path / "m.h5", "w") as f:
        f["/entry/data/data"] = h5py.ExternalLink("sub/v.h5", "/v")
    stack = open_stack(tmp_path / "m.h5")
    assert first_pixels(stack) == [0, 1000, 2000]
    assert not stack.problems


def test_file_that_links_itself_in_a_folder(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["/images"] = frames(range(3), SHAPE)
        f["/entry/data/data_000001"] = h5py.ExternalLink("a.h5", "/images")
    with h5py.File(tmp_path / "b.h5", "w") as f:
        f["/entry/data/data"] = frames(range(3, 6), SHAPE)
    assert first_pixels(open_stack(tmp_path)) == [0, 1000, 2000, 3000, 4000, 5000]


def test_claims_of_a_header_are_not_followed(tmp_path: Path) -> None:
    """10^9 rows of everything, none stored: opened without reading or holding them."""
    n = 10**9
    with h5py.File(tmp_path / "x.cxi", "w") as f:
        data = f.create_dataset("/entry_1/data_1/data", (n, *SHAPE), "f4", chunks=(1, *SHAPE))
        data.attrs["numEvents"] = np.array([4])
        detector = f.create_group("/entry_1/instrument_1/detector_1")
        detector.create_dataset("x_pixel_size", (n,), "f8", chunks=(1024,))
        f.create_dataset("/LCLS/photon_energy_eV", (n,), "f8", chunks=(1024,))
    stack = open_stack(tmp_path / "x.cxi")
    assert len(stack) == 5
    assert np.isnan(stack.photon_energy(0))


def test_photon_energy_that_was_not_measured(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.cxi", "w") as f:
        f["/entry_1/data_1/data"] = frames(range(2), SHAPE)
        f["/LCLS/photon_energy_eV"] = np.array([0.0, 9000.0])
    stack = open_stack(tmp_path / "x.cxi")
    assert np.isnan(stack.photon_energy(0))
    assert stack.photon_energy(1) == 9000


def test_list_through_a_link_of_the_file_system(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["/data/data"] = frames(range(3), SHAPE)
    os.symlink("a.h5", tmp_path / "b.h5")
    (tmp_path / "l.lst").write_text("a.h5 //1\nb.h5 //1\nb.h5 //2\n", encoding="utf-8")
    assert first_pixels(open_stack(tmp_path / "l.lst")) == [1000, 2000]
