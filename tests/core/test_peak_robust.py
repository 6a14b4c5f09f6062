"""Peaks above robust planes: backgrounds of any kind, planted peaks, windows."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.peaks import PeakFinder, PeakSettings, find_peaks, robust
from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.robust import RobustLook
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

ROBUST = PeakSettings(finder="robust")
SHAPE = (260, 300)


def spot(row, column, photons, shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.2**2))
    return photons * picture / picture.sum()


def uneven(bright):
    """Light that falls off to one side, and a shadow: no rings around any place."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = bright * np.exp(-(x + 0.5 * y) / 120)
    expected[170:, :80] *= 0.2
    return expected


@pytest.mark.parametrize("level", [0.001, 0.05, 0.4, 0.9, 6.0, 200.0])
def test_nothing_is_found_where_there_is_nothing(level):
    frame = np.random.default_rng(1).poisson(level, (400, 400)).astype(np.int32)
    assert len(PeakFinder((400, 400), None, ROBUST).find(frame)) == 0


@pytest.mark.parametrize("bright", [0.02, 2.0, 400.0])
def test_peaks_above_light_that_is_not_round(bright):
    rng = np.random.default_rng(2)
    expected = uneven(bright)
    places = [(40.2, 50.1), (60.4, 200.3), (130.0, 120.6), (200.5, 240.0), (210.1, 40.3)]
    wanted = expected.copy()
    for row, column in places:
        around = 21 * expected[round(row), round(column)]
        wanted += spot(row, column, 15 * math.sqrt(around) + 15)
    finder = PeakFinder(SHAPE, None, ROBUST)
    assert len(finder.find(rng.poisson(expected).astype(np.int32))) == 0
    peaks = finder.find(rng.poisson(wanted).astype(np.int32))
    assert len(peaks) == len(places)
    for row, column in places:
        assert np.hypot(peaks.ss - row, peaks.fs - column).min() < 1.5
    assert (peaks.snr >= 6.5).all()


def test_signal_to_noise_is_the_usual_one_for_many_photons():
    rng = np.random.default_rng(3)
    frame = rng.poisson(900.0 + spot(130, 150, 4000)).astype(np.int32)
    peaks = PeakFinder(SHAPE, None, ROBUST).find(frame)
    assert len(peaks) == 1
    n, signal = peaks.n_pixels[0], peaks.intensity[0]
    # Signal over the deviation of the background, but for the skewness of Poisson's.
    assert peaks.snr[0] == pytest.approx(signal / math.sqrt(900 * n), rel=0.06)
    part = 1 - math.exp(-n / (2 * math.pi * 1.2**2))  # of the spot in a disc of n pixels
    assert signal == pytest.approx(4000 * part, rel=0.1)


def test_half_a_window_may_be_in_a_shadow_or_under_peaks():
    rng = np.random.default_rng(4)
    expected = np.full(SHAPE, 50.0)
    expected[:, :80] = 3.0  # an edge through the middle of windows
    for row in range(64, 96, 8):
        for column in range(128, 160, 8):
            expected += spot(row, column, 500)
    peaks = PeakFinder(SHAPE, None, ROBUST).find(rng.poisson(expected).astype(np.int32))
    assert len(peaks) >= 15
    assert peaks.fs.min() > 100


def test_bad_pixels_nan_and_noise_of_the_detector():
    rng = np.random.default_rng(5)
    light = rng.poisson(uneven(20.0) + spot(100, 100, 300) + spot(40, 240, 300))
    frame = (25.0 * light + rng.normal(0, 10, SHAPE)).astype(np.float32)
    frame[90:110, 200:220] = np.nan
    bad = np.zeros(SHAPE, bool)
    bad[30:50, 230:250] = True
    settings = PeakSettings(finder="robust", adu_per_photon=25.0)
    peaks = PeakFinder(SHAPE, None, settings).find(frame, bad)
    assert len(peaks) == 1
    assert (peaks.ss[0], peaks.fs[0]) == (pytest.approx(100, abs=0.5), pytest.approx(100, abs=0.5))
    nothing = np.full(SHAPE, np.nan, np.float32)
    assert len(PeakFinder(SHAPE, None, ROBUST).find(nothing)) == 0
    assert len(PeakFinder(SHAPE, None, ROBUST).find(frame, np.ones(SHAPE, bool))) == 0


TWO = """
clen = 0.1
photon_energy = 9000
res = 10000
a/min_fs = 0
a/max_fs = 39
a/min_ss = 0
a/max_ss = 69
a/corner_x = -50
a/corner_y = -30
a/fs = +1.0x
a/ss = +1.0y
b/min_fs = 45
b/max_fs = 54
b/min_ss = 3
b/max_ss = 67
b/corner_x = 5
b/corner_y = -30
b/fs = +1.0x
b/ss = +1.0y
"""


def test_windows_hold_each_pixel_of_a_panel_once():
    geometry = Geometry.from_crystfel_text(TWO).fit((70, 60))
    layout = FrameLayout((70, 60), geometry)
    bins = RobustLook(layout, ROBUST).bins(None)
    inside = np.zeros((70, 60), bool)
    inside[:, :40] = inside[3:68, 45:55] = True
    np.testing.assert_array_equal(bins.numbers != bins.n - 1, inside)
    # Panel a: 70 x 40 pixels in windows of 32; panel b is narrower than one.
    sizes = np.bincount(bins.numbers[inside])
    assert sizes.tolist() == [1024, 256, 1024, 256, 192, 48, 320, 320, 10]
    for planes in bins.planes:
        for top, left, own_top, own_left in planes.windows:
            window = bins.numbers[
                own_top : top + planes.window[0], own_left : left + planes.window[1]
            ]
            assert len(np.unique(window)) == 1


def test_too_many_windows_are_refused(monkeypatch):
    monkeypatch.setattr(robust, "_MOST_WINDOWS", 50)
    small = PeakSettings(finder="robust", window=16)
    with pytest.raises(SettingsError, match="too small: a frame has 323 of them"):
        PeakFinder(SHAPE, None, small).find(np.zeros(SHAPE, np.int32))
    with pytest.raises(SettingsError, match="window"):
        PeakSettings(finder="robust", window=4)


def test_of_a_run_and_in_another_process():
    rng = np.random.default_rng(6)
    frames = rng.poisson(0.2, (6, *SHAPE))
    frames[:] += rng.poisson(spot(30, 30, 150))  # stays where it is
    frames[::2] += rng.poisson(spot(120, 200, 150))
    frames = frames.astype(np.uint16)
    finder = pickle.loads(pickle.dumps(PeakFinder(SHAPE, None, ROBUST)))
    assert len(finder.find(frames[0])) == 2
    run = find_peaks(EventStack([ArraySource(frames)]), ROBUST)
    assert run.left_out >= 6
    assert find_peaks(
        EventStack([ArraySource(frames)]), PeakSettings(finder="robust", repeats=1.0)
    ).counts.tolist() == [2, 1, 2, 1, 2, 1]
