"""A shift of the detector that is stored with the events."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort.readers import open_stack

#: One panel of 6 x 8 pixels of 0.1 mm, its corner at the beam.
GEOMETRY = """\
clen = 0.1
photon_energy = 9000
adu_per_photon = 1
res = 10000
data = /entry/data
dim0 = %
dim1 = ss
dim2 = fs
{shift}
p/min_fs = 0
p/max_fs = 7
p/min_ss = 0
p/max_ss = 5
p/corner_x = 0
p/corner_y = 0
p/fs = +x
p/ss = +y
"""
BOTH = "detector_shift_x = /entry/x mm\ndetector_shift_y = /entry/y"


def write(folder: Path, name: str, shift: str = BOTH, **stored: object) -> tuple[str, str]:
    with h5py.File(folder / name, "w") as file:
        file["/entry/data"] = np.zeros((4, 6, 8), np.float32)
        for key, value in stored.items():
            file[f"/entry/{key}"] = value
    (folder / "g.geom").write_text(GEOMETRY.format(shift=shift))
    return str(folder / name), str(folder / "g.geom")


def corner(stack):
    """x, y of the first pixel's centre in pixels, without the half pixel to its corner."""
    x, y, _ = stack.geometry.positions()
    return x[0, 0] * 1e4 - 0.5, y[0, 0] * 1e4 - 0.5


def test_the_detector_stands_where_the_file_says(tmp_path):
    data, geometry = write(tmp_path, "a.h5", x=np.full(4, 0.3), y=-0.0002)
    stack = open_stack(data, geometry=geometry)
    assert not stack.problems
    assert corner(stack) == pytest.approx((3, -2))  # 0.3 mm, and -0.2 mm told in m
    assert stack.geometry.panels["p"].corner == (0, 0)  # as the file says
    assert corner(pickle.loads(pickle.dumps(stack))) == pytest.approx((3, -2))
    assert stack.geometry.text == Path(geometry).read_text()
    plain = open_stack(data, geometry=write(tmp_path, "b.h5", shift="")[1])
    assert plain.geometry.digest != stack.geometry.digest


def test_one_axis_may_be_a_number(tmp_path):
    shift = "detector_shift_x = 0.5 mm\ndetector_shift_y = /entry/y"
    data, geometry = write(tmp_path, "a.h5", shift, y=np.full(4, 0.0001))
    assert corner(open_stack(data, geometry=geometry)) == pytest.approx((5, 1))


def test_a_detector_that_moves_is_told_and_shown_at_its_median(tmp_path):
    write(tmp_path, "a.h5", x=[0.1, 0.1, 0.3, 0.1], y=np.zeros(4))
    _, geometry = write(tmp_path, "b.h5", x=[0.1, 0.1, 0.4, 0.4], y=np.zeros(4))
    stack = open_stack([str(tmp_path / "a.h5"), str(tmp_path / "b.h5")], geometry=geometry)
    assert corner(stack) == pytest.approx((1, 0))
    (told,) = [p.what for p in stack.problems]
    assert "detector_shift_x = /entry/x" in told
    assert "from 0.1 to 0.4 mm" in told


def test_a_shift_that_is_not_there_counts_as_none_and_is_told(tmp_path):
    data, geometry = write(tmp_path, "a.h5", y=[np.nan, np.nan, 0.0003, np.nan])
    stack = open_stack(data, geometry=geometry)
    assert corner(stack) == pytest.approx((0, 3))
    (told,) = [p.what for p in stack.problems]
    assert "detector_shift_x = /entry/x" in told
    assert "without it" in told
