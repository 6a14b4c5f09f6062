"""Peaks of one frame: planted ones, numbers by hand, and peakfinder8 said again slowly."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import poisson

from napari_xfelsort.core.errors import GeometryError, SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.peaks import PeakFinder, PeakSettings

ONE_PANEL = """
clen = 0.1
photon_energy = 9000
res = 10000
adu_per_photon = 1
p0/min_fs = 0
p0/max_fs = {width}
p0/min_ss = 0
p0/max_ss = {height}
p0/corner_x = {x}
p0/corner_y = {y}
p0/fs = +1.0x
p0/ss = +1.0y
"""


def one_panel(height: int, width: int, x: float, y: float) -> Geometry:
    text = ONE_PANEL.format(height=height - 1, width=width - 1, x=x, y=y)
    return Geometry.from_crystfel_text(text).fit((height, width))


def spot(shape, row, column, photons, width=1.2):
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return photons * picture / picture.sum()


def slow_peakfinder8(frame, radius, bad, s):
    """The published description, pixel sets instead of loops."""
    ring = np.rint(radius).astype(int)
    good = ~bad & (radius <= s.largest_radius) & (radius >= s.min_res)
    limit = np.full(ring.max() + 1, np.inf)
    for _ in range(5):
        new = limit.copy()
        for k in np.unique(ring[good]):
            own = frame[good & (ring == k) & (frame <= limit[ring])]
            new[k] = max(own.mean() + s.min_snr * own.std(), s.threshold)
        limit = new
    above = good & (frame > limit[ring])
    labels, n = ndimage.label(above, np.ones((3, 3)))
    inner = np.zeros(frame.shape, bool)
    inner[1:-1, 1:-1] = True
    reach = 2 * s.local_bg_radius
    found = []
    for k in range(1, n + 1):
        rows, columns = np.nonzero(labels == k)
        if not inner[rows, columns].any():
            continue
        if not s.min_pix_count <= len(rows) <= s.max_pix_count:
            continue
        values = frame[rows, columns]
        row, column = (values @ rows) / values.sum(), (values @ columns) / values.sum()
        y, x = np.ogrid[: frame.shape[0], : frame.shape[1]]
        dy, dx = y - np.rint(row), x - np.rint(column)
        near = (dy**2 + dx**2 <= reach**2) & (dy < reach) & (dx < reach)
        around = frame[near & good & ~above]
        level, spread = around.mean(), around.std()
        total = (values - level).sum()
        if spread == 0 or total < s.min_snr * spread:
            continue
        if values.max() - level < min(around.max() - level, s.min_snr * spread):
            continue
        found.append((row, column, total, total / spread, len(rows)))
    return sorted(found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_peakfinder8_is_what_its_description_says(seed):
    rng = np.random.default_rng(seed)
    shape = (90, 110)
    expected = np.full(shape, 20.0)
    for _ in range(15):
        expected += spot(shape, *rng.uniform(5, 85, 2), rng.uniform(100, 900), 0.9)
    frame = rng.poisson(expected).astype(np.int32)
    bad = rng.random(shape) < 0.01
    geometry = one_panel(*shape, x=-20.0, y=-40.0)
    settings = PeakSettings(finder="peakfinder8", threshold=25, min_snr=5, max_res=70)
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(x - 20, y - 40)  # of the first corner of pixels, as in CrystFEL
    wanted = slow_peakfinder8(frame, radius, bad, settings)
    peaks = PeakFinder(shape, geometry, settings).find(frame, bad)
    assert len(wanted) > 3
    found = sorted(
        zip(peaks.ss, peaks.fs, peaks.intensity, peaks.snr, peaks.n_pixels, strict=True)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_defaults_of_peakfinder8_are_those_of_crystfel():
    s = PeakSettings(finder="peakfinder8")
    assert (s.threshold, s.min_snr, s.min_pix_count, s.max_pix_count) == (800, 5, 2, 200)
    assert (s.local_bg_radius, s.min_res, s.largest_radius, s.max_n_peaks) == (3, 0, 1200, 2048)
    assert math.isinf(PeakSettings().largest_radius)


def test_peakfinder8_stops_at_the_most_peaks():
    frame = np.random.default_rng(0).normal(10, 1, (240, 240))
    frame[5:235:20, 5:235:20] = frame[6:235:20, 5:235:20] = 100
    settings = PeakSettings(finder="peakfinder8", threshold=50, max_n_peaks=7)
    assert len(PeakFinder((240, 240), None, settings).find(frame)) == 7


@pytest.mark.parametrize("level", [5.0, 0.3, 0.02, 0.001])
def test_planted_peaks_are_found_at_any_background(level):
    rng = np.random.default_rng(4)
    shape = (500, 400)
    places = [(r + rng.uniform(-0.5, 0.5), c + rng.uniform(-0.5, 0.5)) for r, c in GRID]
    # Chosen so that each is at about 12 deviations: n photons in some 14 pixels.
    photons = next(n for n in range(5, 1000) if deviations(n, 14 * level) > 12)
    expected = np.full(shape, level)
    for row, column in places:
        expected += spot(shape, row, column, photons, 1.1)
    frame = rng.poisson(expected).astype(np.int32)
    peaks = PeakFinder(shape, one_panel(*shape, -200, -250)).find(frame)
    matched = 0
    for row, column in places:
        away = np.hypot(peaks.ss - row, peaks.fs - column)
        matched += bool((away < 1.5).any())
    assert matched >= len(places) - 1
    assert len(peaks) <= matched + 1


GRID = [(r, c) for r in range(40, 480, 60) for c in range(40, 380, 60)]


def deviations(n: float, expected: float) -> float:
    return math.sqrt(
        2 * (n * math.log(1 + n / expected) - n + expected * math.log1p(n / expected))
    )


@pytest.mark.parametrize("level", [20.0, 1.0, 0.03, 0.0005])
def test_nothing_is_found_where_there_is_nothing(level):
    rng = np.random.default_rng(5)
    frame = rng.poisson(level, (800, 800)).astype(np.int32)
    assert len(PeakFinder((800, 800)).find(frame)) == 0
    assert len(PeakFinder((800, 800), one_panel(800, 800, -400, -400)).find(frame)) == 0


def test_rings_hot_pixels_and_bad_pixels_are_no_peaks():
    rng = np.random.default_rng(6)
    shape = (600, 600)
    y, x = np.mgrid[:600, :600]
    radius = np.hypot(x + 0.5 - 300, y + 0.5 - 300)
    expected = 0.2 + 3 * np.exp(-((radius - 150) ** 2) / 8)
    frame = rng.poisson(expected).astype(np.int32)
    frame[100, 100] = frame[400, 320] = 500
    bad = np.zeros(shape, bool)
    bad[200:206, 300:306] = True
    frame[bad] = 100000
    finder = PeakFinder(shape, one_panel(*shape, -300, -300))
    assert len(finder.find(frame, bad)) == 0
    assert len(finder.find(frame)) == 1  # and the block is seen without its mask
    assert len(finder.find(frame.astype(np.float32), bad)) == 0


def obstructed(shape, bright):
    """Light with a shadow's sharp edges and corner, and with a streak that fades."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    expected = np.full(shape, bright)
    expected[60:150, :180] = 0
    away = (y - 260) - 0.3 * (x - 200)
    return expected + 4 * bright * np.exp(-(away**2) / 18) * np.exp(-np.abs(x - 200) / 80)


@pytest.mark.parametrize("bright", [0.5, 8.0, 150.0])
def test_edges_corners_and_streaks_are_no_peaks(bright):
    shape = (420, 420)
    rng = np.random.default_rng(11)
    expected = obstructed(shape, bright)
    finder = PeakFinder(shape, one_panel(*shape, -230, -200))
    assert len(finder.find(rng.poisson(expected).astype(np.int32))) <= 1
    # Peaks are, right beside an edge and in the streak too.
    places = [(54.0, 90.0), (154.6, 60.2), (100.3, 185.0), (56.5, 183.5), (275.0, 250.0)]
    photons = 30 * math.sqrt(20 * bright) + 30
    planted = expected + sum(spot(shape, *place, 2 * photons) for place in places)
    peaks = finder.find(rng.poisson(planted).astype(np.int32))
    away = np.hypot(
        *(
            np.subtract.outer(np.array(places)[:, k], own)
            for k, own in enumerate((peaks.ss, peaks.fs))
        )
    )
    assert (away.min(axis=1) < 1).all()
    assert len(peaks) <= len(places) + 1


def test_noise_of_the_detector_outweighs_photons_where_light_is_weak():
    shape = (500, 500)
    rng = np.random.default_rng(12)
    y, x = np.mgrid[:500, :500]
    expected = 40 * np.exp(-np.hypot(x - 250, y - 250) / 60)  # from 40 to 0.1 a pixel
    frame = 30.0 * rng.poisson(expected) + rng.normal(0, 8, shape)
    settings = PeakSettings(adu_per_photon=30.0)
    finder = PeakFinder(shape, one_panel(*shape, -250, -250), settings)
    assert len(finder.find(frame)) == 0
    frame += 30 * rng.poisson(spot(shape, 60, 400, 60))
    assert len(finder.find(frame)) == 1


def test_numbers_of_a_peak():
    shape = (300, 300)
    rng = np.random.default_rng(7)
    frame = rng.poisson(0.5 + spot(shape, 80.3, 150.6, 2000)).astype(np.int32)
    geometry = one_panel(*shape, -100, -120)
    peaks = PeakFinder(shape, geometry).find(frame, None, 9000.0, 0.1)
    assert len(peaks) == 1
    assert peaks.panel_names == ["p0"]
    assert peaks.ss[0] == pytest.approx(80.3, abs=0.2)
    assert peaks.fs[0] == pytest.approx(150.6, abs=0.2)
    assert peaks.intensity[0] == pytest.approx(2000, rel=0.1)
    x, y = peaks.fs[0] + 0.5 - 100, peaks.ss[0] + 0.5 - 120
    assert peaks.radius[0] == pytest.approx(math.hypot(x, y))
    two_theta = math.atan(peaks.radius[0] * 1e-4 / 0.1)
    wavelength = 12398.42 / 9000
    assert peaks.resolution[0] == pytest.approx(
        wavelength / (2 * math.sin(two_theta / 2)), rel=1e-4
    )
    # The picture is seen with y up: its rows run against ss.
    assert peaks.y[0] == pytest.approx(299 - peaks.ss[0])
    assert peaks.x[0] == pytest.approx(peaks.fs[0])
    unknown = PeakFinder(shape, geometry).find(frame)
    assert np.isnan(unknown.resolution).all()


def test_significance_is_that_of_poisson():
    from napari_xfelsort.core.peaks.count_peak_loops import tail
    from napari_xfelsort.core.peaks.poisson import least_counts

    for n, expected in [(4, 0.01), (30, 9.0), (3, 2.5), (900, 700.0)]:
        assert tail(n, expected) == pytest.approx(-poisson.logsf(n - 1, expected) / math.log(10))
    assert tail(2, 3.0) == 0
    least = least_counts(np.array([1e-4, 0.3, 10.0, 500.0]), 5.0)
    for n, expected in zip(least, [1e-4, 0.3, 10.0, 500.0], strict=True):
        assert poisson.sf(n - 1, expected) <= 1e-5 < poisson.sf(n - 2, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frames_in_analogue_units(dtype):
    rng = np.random.default_rng(8)
    shape = (400, 400)
    places = [(60.0, 60.0), (200.0, 120.0), (330.0, 300.0)]
    photons = rng.poisson(0.5 + sum(spot(shape, *place, 150.0) for place in places))
    frame = (30.0 * photons + rng.normal(0, 8, shape)).astype(dtype)
    for settings in (PeakSettings(adu_per_photon=30.0), PeakSettings()):
        peaks = PeakFinder(shape, None, settings).find(frame)
        assert len(peaks) == 3
        np.testing.assert_allclose(peaks.intensity, 30 * 150, rtol=0.35)


def test_modules_are_apart_and_below_one_another():
    rng = np.random.default_rng(9)
    frame = rng.poisson(0.1, (2, 120, 100))
    frame[1] += rng.poisson(spot((120, 100), 50.2, 30.1, 300))
    peaks = PeakFinder((2, 120, 100)).find(frame.astype(np.uint16))
    assert peaks.panel_names == ["module1"]
    assert (peaks.ss[0], peaks.fs[0]) == (
        pytest.approx(170.2, abs=0.3),
        pytest.approx(30, abs=0.4),
    )
    with pytest.raises(GeometryError, match="needs a geometry"):
        PeakFinder((2, 120, 100), None, PeakSettings(finder="peakfinder8"))


def test_frames_without_anything():
    for value in (0, 7, -3):
        frame = np.full((64, 80), value, np.int32)
        assert len(PeakFinder((64, 80)).find(frame)) == 0
        assert len(PeakFinder((64, 80)).find(frame, np.ones((64, 80), bool))) == 0
    assert len(PeakFinder((64, 80)).find(np.full((64, 80), np.nan))) == 0
    with pytest.raises(GeometryError, match="shape"):
        PeakFinder((64, 80)).find(np.zeros((64, 81)))
    with pytest.raises(SettingsError, match="finder"):
        PeakSettings(finder="best")


def test_a_finder_can_be_sent_and_lists_can_be_cut():
    rng = np.random.default_rng(10)
    frame = rng.poisson(0.2 + spot((200, 200), 60, 70, 300) + spot((200, 200), 150, 40, 100))
    finder = PeakFinder((200, 200))
    first = finder.find(frame)
    again = pickle.loads(pickle.dumps(finder)).find(frame)
    assert len(first) == 2
    np.testing.assert_array_equal(first.fs, again.fs)
    brighter = first[first.intensity > 200]
    assert len(brighter) == 1
    assert brighter.panel_names == ["frame"]
    np.testing.assert_array_equal(first.stored.intensity, first.intensity)
