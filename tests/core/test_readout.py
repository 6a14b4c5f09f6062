"""What lies under a point of the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from geometries import panel, text

from napari_xfelsort.core.browsing import BrowsedFrames
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.readout import known_beam, read_out
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

ANGSTROM_EV = 12398.419843320026


def browse(frames, geometry=None, **known) -> BrowsedFrames:
    return BrowsedFrames(EventStack([ArraySource(frames, **known)], geometry=geometry))


@pytest.fixture(
    params=[
        "cheetah-gui__src__cheetah__resources__epix10k2M.geom",
        "extra_geom_written__AGIPD-1M_3d.geom",
        "cfel_work__geometry_converter__agipd_training_2934_r0017_v3.geom",
    ]
)
def geometry(request, shared_data: Path) -> Geometry:
    return Geometry.from_crystfel(shared_data / "geoms" / request.param)


def test_points_of_real_detectors(geometry):
    rng = np.random.default_rng(7)
    raw = rng.integers(0, 60000, (1, *geometry.raw_shape)).astype(np.int32)
    frames = browse(raw, geometry, photon_energy=9000.0)
    x, y, z = geometry.positions()
    theta = np.arctan2(np.hypot(x, y), z) / 2  # these geometries say how far the panels are
    q = 4 * np.pi * np.sin(theta) / (ANGSTROM_EV / 9000)
    shown, points = frames[0], []
    for row, column in zip(*(rng.integers(0, n, 400) for n in geometry.shape), strict=True):
        dy, dx = rng.uniform(-0.49, 0.49, 2)
        found = read_out(frames, 0, row + dy, column + dx)
        assert found.event == 0
        assert found.name == "array //0"
        if np.isnan(shown[row, column]):
            assert found.pixel is None
            assert found.panel == ""
            assert math.isnan(found.value + found.q + found.resolution)
            continue
        points.append(found)
        assert found.value == raw[0][found.pixel] == shown[row, column]
        # the raw pixel lies where it is shown
        place = (
            geometry.beam_position[0] - y[found.pixel] / geometry.pixel_size,
            geometry.beam_position[1] + x[found.pixel] / geometry.pixel_size,
        )
        assert math.dist(place, (row, column)) < 0.8
        index = geometry.panels[found.panel].raw_index
        assert all(
            i in range(*part.indices(10**6)) if isinstance(part, slice) else i == part
            for i, part in zip(found.pixel, index, strict=True)
        )
        assert found.q == pytest.approx(q[found.pixel], rel=1e-6)
        assert found.resolution == pytest.approx(2 * math.pi / found.q)
    assert len(points) > 100
    frames.store.close()


def flat_panel() -> Geometry:
    head = {"photon_energy": ANGSTROM_EV, "clen": 0.1, "res": 10000}
    head |= {"data": "/data", "dim0": "%", "dim1": "ss", "dim2": "fs"}
    return Geometry.from_crystfel_text(text({"p0": panel(9, 7, (-4.5, -3.5))}, head))


def test_momentum_transfer_worked_out_by_hand():
    geometry = flat_panel()
    frames = browse(np.zeros((1, 7, 9)), geometry)
    y, x = geometry.beam_position
    found = read_out(frames, 0, y - 3, x + 4)  # a 3-4-5 triangle: 5 pixels of 0.1 mm
    theta = math.atan(5e-4 / 0.1) / 2
    assert found.q == pytest.approx(4 * math.pi * math.sin(theta), rel=1e-6)  # 1 angstrom
    assert found.resolution == pytest.approx(1 / (2 * math.sin(theta)), rel=1e-6)
    assert found.pixel == (6, 8)
    assert found.panel == "p0"
    centre = read_out(frames, 0, y, x)
    assert centre.q == 0
    assert centre.resolution == math.inf


def test_what_the_file_says_goes_before_what_the_geometry_says():
    geometry = flat_panel()
    said = EventStack([ArraySource(np.zeros((1, 7, 9)), photon_energy=5000.0)], geometry=geometry)
    assert known_beam(said, 0)[0] == 5000.0
    silent = EventStack([ArraySource(np.zeros((1, 7, 9)))], geometry=geometry)
    assert known_beam(silent, 0) == pytest.approx((ANGSTROM_EV, 0.1))
    alone = EventStack([ArraySource(np.zeros((1, 7, 9)), camera_length=0.3)])
    energy, length = known_beam(alone, 0)
    assert math.isnan(energy)
    assert length == 0.3


def test_frames_of_modules_without_a_geometry():
    raw = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    frames = browse(raw, photon_energy=9000.0, camera_length=0.1)
    for row, column in np.ndindex(12, 5):
        found = read_out(frames, 1, row, column)
        assert found.pixel == (row // 4, row % 4, column)
        assert found.value == raw[1][found.pixel]
        assert found.panel == ""
        assert math.isnan(found.q)
        assert math.isnan(found.resolution)
    frames.store.close()


@pytest.mark.parametrize(
    ("y", "x"),
    [(-0.51, 0), (0, -0.51), (6.5, 0), (0, 8.5), (math.nan, 0), (0, math.inf), (-math.inf, 0)],
)
def test_points_outside_of_the_picture(y, x):
    for geometry in (None, flat_panel()):
        found = read_out(browse(np.ones((1, 7, 9)), geometry), 0, y, x)
        assert found.pixel is None
        assert math.isnan(found.value)
        assert found.name == "array //0"


def test_no_such_event():
    with pytest.raises(IndexError):
        read_out(browse(np.ones((1, 7, 9))), 1, 0, 0)
