"""Robust planes in windows: planted planes, breakdown, masks, and signal to noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.robust import (
    RobustSettings,
    SignalToNoise,
    fit_background,
    windows_of,
)

SHAPE = (512, 128)


def noise(seed: int = 0, level: float = 5000, scale: float = 25) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, scale, SHAPE)


def test_a_plane_without_noise_is_found_exactly():
    y, x = np.mgrid[:64, :64]
    plane = 100 + 0.5 * x - 0.25 * y
    image = plane.copy()
    image[np.random.default_rng(0).random(image.shape) < 0.3] += 1000
    found = fit_background(image)
    assert found.level == pytest.approx(plane, abs=1e-3)
    assert (found.inliers == np.count_nonzero(image < 500)).all()
    assert found.scale.max() < 1e-3


def test_planes_equal_least_squares_where_there_are_no_outliers():
    image = noise()
    found = fit_background(image, settings=RobustSettings(scale_lambda=20))  # all are inliers
    y, x = np.mgrid[:64, :64]
    basis = np.column_stack([x.ravel(), y.ravel(), np.ones(64 * 64)])
    for top in range(0, 512, 64):
        part = image[top : top + 64, :64]
        fit, residual, *_ = np.linalg.lstsq(basis, part.ravel(), rcond=None)
        assert found.level[top : top + 64, :64].ravel() == pytest.approx(basis @ fit, abs=0.01)
        scale = np.sqrt(residual[0] / (64 * 64 - 1))
        assert found.scale[top, 0] == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize("shift", [20, 200, -20, -100])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.4, 0.46])
def test_up_to_nearly_half_may_be_bad_on_either_side(share, shift):
    image = noise()
    defects = np.random.default_rng(1).random(SHAPE) < share
    image[defects] += shift * 25
    found = fit_background(image)
    ratio = np.abs(image - found.level) / found.scale
    assert (ratio[defects] > 6).mean() > 0.999
    assert not (ratio[~defects] > 6).any()


@pytest.mark.parametrize(("share", "recall"), [(0.3, 0.95), (0.4, 0.95), (0.5, 0.95)])
def test_junk_that_is_spread_evenly(share, recall):
    image = noise()
    rng = np.random.default_rng(1)
    defects = rng.random(SHAPE) < share
    image[defects] += 25 * rng.uniform(-200, 200, defects.sum())
    found = fit_background(image)
    bad = np.abs(image - found.level) > 6 * found.scale
    assert bad[defects].mean() >= recall
    assert not bad[~defects].any()


def test_bad_and_missing_pixels_are_left_out():
    image = noise()
    bad = np.random.default_rng(2).random(SHAPE) < 0.6
    image[bad] = 1e6
    image[0, :5] = np.nan
    found = fit_background(image, bad)
    assert found.level == pytest.approx(5000, abs=6)
    assert found.inliers.max() < 0.5 * 64 * 64


def test_windows_without_enough_pixels_are_told():
    image = noise()
    bad = np.zeros(SHAPE, bool)
    bad[:64, :64] = True
    bad[:1, :19] = False
    found = fit_background(image, bad)
    assert np.isnan(found.level[:64, :64]).all()
    assert (found.inliers[:64, :64] == 0).all()
    assert (found.inliers[64:] > 0).all()


def test_constant_and_counting_images():
    found = fit_background(np.full((64, 64), 7, np.uint16))
    assert (found.level == 7).all()
    assert (found.scale == 0).all()
    photons = np.random.default_rng(0).poisson(0.01, (64, 64))
    found = fit_background(photons, settings=RobustSettings(floor=1 / 6))
    assert (found.scale >= 1 / 6).all()
    assert np.abs(found.level).max() < 0.2


def test_threads_change_nothing():
    image = noise()
    image[:, 100:] += 300
    one, three = (fit_background(image, window=(15, 15), workers=n) for n in (1, 3))
    for first, second in zip(one, three, strict=True):
        assert np.array_equal(first, second)


@settings(max_examples=50)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_every_pixel_is_the_own_of_one_window(shape, window):
    rows, columns = min(window[0], shape[0]), min(window[1], shape[1])
    owned = np.zeros(shape, int)
    for top, left, own_top, own_left in windows_of(shape, (rows, columns)):
        assert 0 <= top <= own_top
        assert 0 <= left <= own_left
        assert top + rows <= shape[0]
        assert left + columns <= shape[1]
        owned[own_top : top + rows, own_left : left + columns] += 1
    assert (owned == 1).all()


def bright(n_frames: int, seed: int = 0) -> np.ndarray:
    """20 photons of 60 ADU, noise 10 ADU, as whole numbers."""
    rng = np.random.default_rng(seed)
    frames = rng.poisson(20, (n_frames, *SHAPE)) * 60 + rng.normal(0, 10, (n_frames, *SHAPE))
    return np.rint(frames.clip(0)).astype(np.uint16)


def test_signal_to_noise_of_good_pixels_is_that_of_a_gaussian():
    found = SignalToNoise(SHAPE)
    frames = bright(40)
    found.add(frames[:15])
    found.add(frames[15:])
    assert abs(found.mean.mean()) < 0.02  # the library's plane is off by 0.16
    assert found.spread.mean() == pytest.approx(1, abs=0.03)
    assert (found.counts == 40).all()


def test_bright_dark_and_flickering_pixels_stand_out_against_the_offset():
    offset = np.random.default_rng(3).normal(3000, 300, SHAPE)
    frames = bright(40).astype(np.float32)
    frames[:, 10, 10] += 3 * 270
    frames[:, 200, 64] -= 3 * 270
    frames[::2, 300, 30] += 6 * 270
    frames[1::2, 300, 30] -= 6 * 270
    found = SignalToNoise(SHAPE, offset)
    found.add(frames + offset.astype(np.float32))
    assert found.mean[10, 10] == pytest.approx(3, abs=0.7)
    assert found.mean[200, 64] == pytest.approx(-3, abs=0.7)
    assert abs(found.mean[300, 30]) < 1
    assert found.spread[300, 30] == pytest.approx(6, abs=1)


def test_signal_to_noise_does_not_depend_on_blocks_threads_or_bad_neighbours():
    frames = bright(10)
    bad = np.zeros(SHAPE, bool)
    bad[5, 5] = True
    whole, parts = SignalToNoise(SHAPE, bad=bad), SignalToNoise(SHAPE, bad=bad, workers=3)
    whole.add(frames)
    spoilt = frames.copy()
    spoilt[:, 5, 5] = 65_535
    for t in range(10):
        parts.add(spoilt[t : t + 1])
    assert np.array_equal(whole.mean, parts.mean, equal_nan=True)
    assert np.array_equal(whole.spread, parts.spread, equal_nan=True)
    assert whole.counts[5, 5] == 0
    assert np.isnan(whole.mean[5, 5])


def test_wrong_shapes_are_refused():
    with pytest.raises(SettingsError, match="image of real numbers"):
        fit_background(np.zeros((2, 64, 64)))
    with pytest.raises(SettingsError, match="mask"):
        fit_background(np.zeros((64, 64)), np.zeros((64, 63), bool))
    with pytest.raises(SettingsError, match="too small"):
        fit_background(np.zeros((64, 64)), window=(3, 5))
    with pytest.raises(SettingsError, match="were expected"):
        SignalToNoise(SHAPE).add(np.zeros((3, 64, 64)))
