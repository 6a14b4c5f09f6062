"""The second detector of a CXI file, chosen by the user; masks of panels with own datasets."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort import open_stack


@pytest.mark.parametrize(
    "dataset", ["/entry_1/data_2/data", "/entry_1/instrument_1/detector_2/data"]
)
def test_distance_and_mask_are_those_of_the_chosen_detector(dataset: str, tmp_path: Path) -> None:
    path = tmp_path / "two.cxi"
    with h5py.File(path, "w") as file:
        for number in (1, 2):
            detector = file.create_group(f"/entry_1/instrument_1/detector_{number}")
            detector["data"] = np.full((3, 8, 10), number, "f4")
            detector["distance"] = np.full(3, 0.1 * number)
            mask = np.zeros((8, 10), "u2")
            mask[:number] = 1
            detector["mask"] = mask
            file[f"/entry_1/data_{number}"] = h5py.SoftLink(detector.name)
    first, second = open_stack(path), open_stack(path, dataset=dataset)
    assert first.camera_length(0) == pytest.approx(0.1)
    assert second.camera_length(0) == pytest.approx(0.2)
    assert (first.mask.n_bad, second.mask.n_bad) == (10, 20)
    assert second.raw(2).min() == 2


def test_event_masks_of_panels_with_datasets_of_their_own(tmp_path: Path) -> None:
    """Two events and two panels: (event, ss, fs) must not be taken for (panel, ss, fs)."""
    lines = ["photon_energy = 9500", "clen = 0.1", "res = 10000", "adu_per_photon = 1"]
    lines += ["dim0 = %", "dim1 = ss", "dim2 = fs", "mask_good = 0", "mask_bad = 0xff"]
    path, geometry = tmp_path / "panels.h5", tmp_path / "panels.geom"
    with h5py.File(path, "w") as file:
        for k in range(2):
            file[f"/p{k}/data"] = np.zeros((2, 8, 10), "f4")
            mask = np.zeros((2, 8, 10), "u1")
            mask[0, : k + 1] = 1
            file[f"/p{k}/mask"] = mask
            lines += [f"p{k}/data = /p{k}/data", f"p{k}/mask = /p{k}/mask"]
            lines += [f"p{k}/min_fs = 0", f"p{k}/max_fs = 9", f"p{k}/min_ss = 0"]
            lines += [f"p{k}/max_ss = 7", f"p{k}/fs = x", f"p{k}/ss = y"]
            lines += [f"p{k}/corner_x = {12 * k}", f"p{k}/corner_y = 0"]
    geometry.write_text("\n".join(lines) + "\n")
    stack = open_stack(path, geometry=geometry)
    assert not stack.problems
    assert [stack.event_mask(i).n_bad for i in range(2)] == [30, 0]


def test_linked_folders_are_looked_into_once(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    with h5py.File(real / "a.h5", "w") as file:
        file["/entry/data/data"] = np.zeros((3, 8, 10), "u2")
    run = tmp_path / "run"
    run.mkdir()
    (run / "linked").symlink_to(real)
    (real / "back").symlink_to(run)
    assert len(open_stack(run)) == 3
