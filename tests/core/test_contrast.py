"""Contrast limits from percentiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_xfelsort.core.contrast import percentile_limits

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(
    arrays(np.float32, (6, 5), elements=FLOATS),
    arrays(bool, (6, 5)),
    st.floats(0, 50),
    st.floats(51, 100),
)
def test_limits_are_numpys_percentiles_of_the_pixels_that_count(frame, bad, low, high):
    found = percentile_limits([frame], bad, low, high)
    counted = frame[~bad & np.isfinite(frame)].astype(np.float64)
    assert found[0] < found[1]
    if not counted.size:
        assert found == (0, 1)
        return
    bottom, top = np.percentile(counted, (low, high))
    assert found[0] == bottom
    if top > bottom:
        assert found[1] == top


def test_several_frames_count_together():
    frames = [np.arange(100).reshape(10, 10), np.arange(100, 200).reshape(10, 10)]
    assert percentile_limits(iter(frames), None, 0, 100) == (0, 199)
    assert percentile_limits(frames, None, 25, 75) == (49.75, 149.25)


def test_one_hot_pixel_changes_little():
    frame = np.tile(np.arange(100, dtype=np.float32), (100, 1))
    frame[3, 4] = 1e9
    assert percentile_limits([frame])[1] <= 99


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64, bool])
def test_any_type_of_pixels(dtype):
    frame = np.array([[0, 1], [0, 1]], dtype)
    assert percentile_limits([frame], None, 0, 100) == (0, 1)


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0, 1e12, -1e30])
def test_a_constant_frame_has_limits_that_differ(value):
    low, high = percentile_limits([np.full((4, 4), value)])
    assert low == value < high


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.empty((0, 5))],
        [np.full((3, 3), np.nan)],
        [np.full((3, 3), np.inf), np.full((3, 3), -np.inf)],
    ],
)
def test_nothing_to_judge_from(frames):
    assert percentile_limits(frames) == (0, 1)


def test_all_pixels_masked():
    assert percentile_limits([np.ones((3, 3))], np.ones((3, 3), bool)) == (0, 1)


def test_large_frames_are_judged_from_a_sample():
    frame = np.random.default_rng(0).normal(50, 10, (1000, 1000))
    low, high = percentile_limits([frame], None, 1, 99)
    # 2.326 standard deviations are the first percentile of a normal distribution
    assert low == pytest.approx(50 - 23.26, abs=0.4)
    assert high == pytest.approx(50 + 23.26, abs=0.4)
