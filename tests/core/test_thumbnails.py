"""Thumbnails: the right part of the picture, averaged, gaps apart from zero."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.thumbnails import as_rgb, picture_box, thumbnail


@pytest.fixture
def stack():
    frames = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)
    return EventStack([ArraySource(frames, "a.h5")])


def test_the_whole_frame_is_averaged_over_blocks(stack):
    box = picture_box(stack, Region())
    assert box == (slice(0, 6), slice(0, 8))
    small = thumbnail(stack, 1, box, 4)
    frame = np.arange(48, 96, dtype=float).reshape(6, 8)
    wanted = frame.reshape(3, 2, 4, 2).mean(axis=(1, 3))
    assert np.array_equal(small, wanted)


def test_a_region_is_cut_out(stack):
    box = picture_box(stack, Region.raw_window([slice(2, 4), slice(3, 8)]))
    assert box == (slice(2, 4), slice(3, 8))
    small = thumbnail(stack, 0, box, 100)
    assert np.array_equal(small, np.arange(48).reshape(6, 8)[2:4, 3:8])


def test_a_panel_is_cut_out_of_the_assembled_picture(simulated_stack):
    stack = simulated_stack
    rows, columns = picture_box(stack, Region.parse("panel:p6a0"))
    corners = stack.geometry.outlines()["p6a0"]
    assert rows.start == pytest.approx(corners[:, 0].min(), abs=1.5)
    assert rows.stop == pytest.approx(corners[:, 0].max(), abs=1.5)
    assert columns.start == pytest.approx(corners[:, 1].min(), abs=1.5)
    assert columns.stop == pytest.approx(corners[:, 1].max(), abs=1.5)
    with pytest.raises(RegionError, match="nowhere"):
        picture_box(stack, Region.parse("panel:nowhere"))


@pytest.fixture(scope="module")
def simulated_stack(tmp_path_factory):
    from napari_xfelsort.core.simulate import simulate_detector
    from napari_xfelsort.readers import open_stack

    made = simulate_detector(tmp_path_factory.mktemp("sim"), n_events=2, seed=1)
    return open_stack(str(made.data), geometry=made.geometry)


def test_logarithms_are_of_averages(stack):
    box = picture_box(stack, Region())
    linear, log = thumbnail(stack, 1, box, 4), thumbnail(stack, 1, box, 4, log=True)
    assert log == pytest.approx(np.log10(1 + linear), rel=1e-5)


def test_colours_run_from_black_to_white_and_gaps_have_their_own():
    picture = np.array([[0.0, 5.0, 10.0], [-99.0, 99.0, np.nan]])
    rgb = as_rgb(picture, (0.0, 10.0), (0.0, 0.2, 1.0))
    assert rgb.dtype == np.uint8
    assert rgb[..., 0].tolist() == [[0, 128, 255], [0, 255, 0]]
    assert rgb[1, 2].tolist() == [0, 51, 255]
    assert as_rgb(np.full((2, 2), 3.0), (3.0, 3.0), (0, 0, 0)).max() == 0
