"""Mean and deviation over time against two passes in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.temporal import TemporalStatistics


def two_passes(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = frames.astype(np.longdouble)
    return wide.mean(0).astype(float), wide.std(0, ddof=1).astype(float)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "i4", "u4", "f4", "f8"])
def test_equal_to_two_passes(kind):
    rng = np.random.default_rng(0)
    scale = 100 if kind.endswith("1") else 20_000
    frames = rng.normal(scale, 10, (203, 33, 130)).astype(kind)
    frames[0, 0] = np.iinfo(kind).max if kind[0] in "iu" else 1e6  # a first frame that is off
    found = TemporalStatistics((33, 130))
    for start in range(0, 203, 50):
        found.add(frames[start : start + 50])
    mean, std = two_passes(frames)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.std == pytest.approx(std, rel=1e-9)
    assert found.n_frames == 203
    assert (found.counts == 203).all()


def test_a_stuck_pixel_has_no_deviation_at_all():
    frames = np.random.default_rng(0).normal(5000, 10, (100, 20)).astype(np.float32)
    frames[:, 3] = 4999.3
    found = TemporalStatistics((20,))
    found.add(frames)
    assert found.std[3] == 0
    assert (np.delete(found.std, 3) > 5).all()


def test_values_that_are_not_finite_are_left_out():
    frames = np.arange(24, dtype=np.float32).reshape(6, 4) ** 1.5
    frames[0, 0] = np.nan
    frames[2:4, 1] = np.inf
    frames[:, 2] = np.nan
    frames[1:, 3] = np.nan
    found = TemporalStatistics((4,))
    found.add(frames[:1])
    found.add(frames[1:])
    assert found.counts.tolist() == [5, 4, 0, 1]
    for pixel in (0, 1):
        good = frames[np.isfinite(frames[:, pixel]), pixel].astype(float)
        assert found.mean[pixel] == pytest.approx(good.mean(), rel=1e-12)
        assert found.std[pixel] == pytest.approx(good.std(ddof=1), rel=1e-12)
    assert np.isnan(found.mean[2])
    assert found.mean[3] == frames[0, 3]
    assert np.isnan(found.std[2:]).all()


def test_blocks_of_other_types_go_on():
    found = TemporalStatistics((2,))
    found.add(np.array([[1, 2], [3, 4]], np.uint16))
    found.add(np.array([[5.5, np.nan]], np.float64))
    assert found.mean == pytest.approx([9.5 / 3, 3])
    assert found.counts.tolist() == [3, 2]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 65_535), min_size=3, max_size=3), min_size=2, max_size=30),
    st.integers(1, 29),
)
def test_any_division_into_blocks_gives_the_same(rows, cut):
    frames = np.array(rows, np.uint16)
    whole, parts = TemporalStatistics((3,)), TemporalStatistics((3,))
    whole.add(frames)
    parts.add(frames[:cut])
    parts.add(frames[cut:])
    mean, std = two_passes(frames)
    assert np.array_equal(whole.mean, parts.mean)
    assert np.array_equal(whole.std, parts.std)
    assert whole.mean == pytest.approx(mean, rel=1e-13)
    assert whole.std == pytest.approx(std, rel=1e-9, abs=1e-9)


def test_no_frames_and_wrong_frames():
    found = TemporalStatistics((2, 3))
    assert np.isnan(found.mean).all()
    found.add(np.zeros((0, 2, 3)))
    assert found.n_frames == 0
    with pytest.raises(SettingsError, match="were expected"):
        found.add(np.zeros((4, 3, 2)))
    with pytest.raises(SettingsError, match="were expected"):
        found.add(np.zeros((4, 2, 3), complex))
