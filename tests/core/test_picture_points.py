"""Where points of the raw frame, stored peaks above all, lie in the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geometries import panel, text

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHARED = (
    "cheetah-gui__src__cheetah__resources__epix10k2M.geom",
    "cheetah-gui__src__cheetah__resources__jungfrau4M.geom",
    "LCLSGeom__tests__data__geom__ePix10k2M_0-end.geom",
    "extra_geom_written__AGIPD-1M_3d.geom",
    "cfel_work__geometry_converter__agipd_training_2934_r0017_v3.geom",
    "crystfel__doc__examples__cspad-cxiformat.geom",
)


@pytest.fixture(scope="module", params=SHARED)
def geometry(request, shared_data: Path) -> Geometry:
    return Geometry.from_crystfel(shared_data / "geoms" / request.param)


def flat_points(geometry: Geometry, fs: np.ndarray, ss: np.ndarray) -> np.ndarray:
    return np.asarray(ss, int) * geometry.raw_shape[-1] + np.asarray(fs, int)


def chosen(geometry: Geometry, which: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(fs, ss) of ``n`` of these raw pixels, modules below one another."""
    flat = np.random.default_rng(5).permutation(np.flatnonzero(which.ravel()))[:n]
    ss, fs = np.divmod(flat, geometry.raw_shape[-1])
    return fs, ss


def test_bright_pixels_are_found_where_they_are_said_to_be(geometry):
    fs, ss = chosen(geometry, geometry.covered & ~geometry.overlaid, 300)
    raw = np.zeros(geometry.raw_shape, np.float32)
    raw.reshape(-1)[flat_points(geometry, fs, ss)] = np.arange(1, 301)
    picture = geometry.assemble(raw)
    rows, columns = geometry.picture_points(fs, ss).astype(int).T
    np.testing.assert_array_equal(picture[rows, columns], np.arange(1, 301))


@pytest.mark.parametrize("hidden", [False, True])
def test_points_are_beside_the_true_places_of_the_pixels(geometry, hidden):
    which = geometry.overlaid if hidden else geometry.covered
    fs, ss = chosen(geometry, which, 2000)
    if not len(fs):
        pytest.skip("every pixel of this geometry is shown")
    x, y, _ = (a.ravel()[flat_points(geometry, fs, ss)] for a in geometry.positions())
    row, column = geometry.beam_position
    true = np.stack([row - y / geometry.pixel_size, column + x / geometry.pixel_size], axis=1)
    points = geometry.picture_points(fs, ss)
    # half a pixel to the nearest cell; 0.75 where panels are set as blocks
    assert np.hypot(*(points - true).T).max() < 0.76
    np.testing.assert_array_equal(points, np.round(points))


def test_points_outside_of_the_frame_and_numbers_that_are_none(geometry):
    height, width = np.prod(geometry.raw_shape[:-1]), geometry.raw_shape[-1]
    bad = [-1, width, -0.51, width - 0.5, np.nan, np.inf, -np.inf, 1e300]
    assert np.isnan(geometry.picture_points(np.array(bad), np.full(8, 3.0))).all()
    bad = [-1, height, -0.51, height - 0.5, np.nan, np.inf, -np.inf, 1e300]
    assert np.isnan(geometry.picture_points(np.full(8, 3.0), np.array(bad))).all()
    assert geometry.picture_points(np.empty(0), np.empty(0)).shape == (0, 2)


def test_pixels_between_panels_have_no_place_and_fractions_go_to_the_nearest():
    geometry = Geometry.from_crystfel_text(
        text({"p0": panel(4, 3, (-4, 0)), "p1": panel(4, 3, (1, 0), first=(0, 5))})
    ).fit((8, 4))
    # looking into the beam with y up: the last rows of the panels are the first of the picture
    points = geometry.picture_points(np.array([0, 3, 0, 2]), np.array([0, 2, 5, 3]))
    np.testing.assert_array_equal(points, [[2, 0], [0, 3], [2, 5], [np.nan, np.nan]])
    near = geometry.picture_points(np.array([-0.5, 0.49, 1.4]), np.array([0.2, -0.4, 5.3]))
    np.testing.assert_array_equal(near, [[2, 0], [2, 0], [2, 6]])


def test_without_a_geometry_points_are_those_of_the_modules_below_one_another():
    stack = EventStack([ArraySource(np.zeros((1, 2, 3, 4)))])
    fs = np.array([0.0, 3.49, 1.25, 4.0, -1.0, np.nan, 1.0])
    ss = np.array([0.0, 5.49, 3.75, 0.0, 0.0, 1.0, 6.0])
    points = stack.picture_points(fs, ss)
    np.testing.assert_array_equal(points[:3], [[0, 0], [5.49, 3.49], [3.75, 1.25]])
    assert np.isnan(points[3:]).all()


def test_a_stack_uses_its_geometry(geometry):
    stack = EventStack([ArraySource(np.zeros((1, *geometry.raw_shape)))], geometry=geometry)
    fs, ss = chosen(geometry, geometry.covered, 50)
    np.testing.assert_array_equal(stack.picture_points(fs, ss), geometry.picture_points(fs, ss))
