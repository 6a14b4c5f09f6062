"""Features of frames: they see what they are for, and are always the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.anomalies.diffuse_features import diffuse_features
from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.profile_features import above_baseline
from napari_xfelsort.core.anomalies.residuals import Optics, Residuals
from napari_xfelsort.core.errors import SettingsError

SHAPE, CENTER = (240, 260), (110.0, 140.0)
OPTICS = Optics(1.3, 180.0)


def place():
    y, x = np.indices(SHAPE) - np.array(CENTER)[:, None, None]
    return np.hypot(y, x), np.arctan2(y, x)


def level():
    r, _ = place()
    return 150 * np.exp(-r / 70) + 20


def seen(expected, seed=0, mask=None, optics=OPTICS, change=None):
    frame = np.random.default_rng(seed).poisson(expected).astype(np.float32)
    if change is not None:
        change(frame)
    return frame_features(frame, CENTER, mask, optics)


@pytest.fixture(scope="module")
def plain():
    return seen(level())


def test_residuals_of_rings_alone_are_noise():
    frame = np.random.default_rng(3).poisson(level())
    left = Residuals(frame, CENTER)
    inner = left.good & (place()[0] < 100)
    assert abs(left.score[inner].mean()) < 0.1
    assert left.score[inner].std() == pytest.approx(1, abs=0.15)
    assert left.side == 1


def test_large_frames_are_averaged_and_the_centre_goes_along():
    frame = np.zeros((1500, 1300))
    frame[900:904, 600:604] = 100.0
    left = Residuals(frame, (901.5, 601.5))
    assert left.side == 3
    assert left.values.shape == (500, 434)
    assert np.unravel_index(left.values.argmax(), left.values.shape) == (300, 200)
    assert left.center == pytest.approx((300.5, 200.5), abs=0.34)
    assert Optics(1.0, 900.0).radius(np.array([2.0])) == pytest.approx(
        3
        * Residuals(frame, (901.5, 601.5), None, Optics(1.0, 900.0)).optics.radius(np.array([2.0]))
    )


def test_radius_of_a_spacing():
    # 2 theta = 2 asin(1 / 4) for wavelength 1 and spacing 2.
    found = Optics(1.0, 100.0).radius(np.array([2.0, 0.4]))
    assert found[0] == pytest.approx(100 * np.tan(2 * np.arcsin(0.25)))
    assert np.isnan(found[1])
    assert not Optics().known


def test_names_are_the_same_and_numbers_finite_for_any_frame(plain):
    rng = np.random.default_rng(0)
    mask = rng.random(SHAPE) < 0.3
    frames = [
        np.zeros(SHAPE),
        np.full(SHAPE, 7),
        np.full(SHAPE, np.nan),
        -level(),
        rng.poisson(0.02, SHAPE),
        np.where(mask, np.nan, 1e7 * rng.random(SHAPE)),
    ]
    for frame in frames:
        for center in (CENTER, (-90.0, 30.0)):
            for bad in (None, mask):
                found = frame_features(frame, center, bad)
                assert list(found) == list(plain)
                assert np.isfinite(list(found.values())).all()
    assert list(frame_features(np.ones((20, 17)), (4.0, 4.0))) == list(plain)
    assert list(frame_features(np.ones((3, 2)), (1.0, 4.0))) == list(plain)


def test_a_sharp_ring_is_ice_where_it_should_be(plain):
    r, _ = place()
    radii = OPTICS.radius(np.array([3.90, 3.67, 3.44, 2.25]))
    ice = sum(np.exp(-(((r - at) / 1.5) ** 2)) for at in radii)
    with_ice = seen(level() * (1 + ice))
    elsewhere = seen(level() * (1 + np.exp(-(((r - 97) / 1.5) ** 2))))
    assert with_ice["ice at its spacings mean"] > 5 > plain["ice at its spacings mean"]
    assert with_ice["ice at its spacings mean"] > 3 * elsewhere["ice at its spacings mean"]
    unknown = seen(level() * (1 + ice), optics=Optics())
    assert unknown["ice at its spacings mean"] == 0
    assert unknown["narrow rise of ring mean"] > 3 * plain["narrow rise of ring mean"]


def test_a_broad_ring_is_background(plain):
    r, _ = place()
    at = float(OPTICS.radius(np.array([3.2]))[0])
    broad = seen(level() * (1 + 0.8 * np.exp(-(((r - at) / 12) ** 2))))
    assert broad["broad rise 2.6-3.6"] > 0.2 > plain["broad rise 2.6-3.6"]
    assert broad["narrow rise of ring median"] < 0.25


def test_arcs_on_opposite_sides(plain):
    r, phi = place()
    arcs = np.exp(-(((r - 60) / 4) ** 2)) * np.exp(8 * (np.cos(2 * phi) - 1))
    bent = seen(level() * (1 + 0.8 * arcs))
    assert bent["two-sided arc"] > 3 * max(plain["two-sided arc"], 1)
    assert bent["arc two-fold"] > 0.3 > plain["arc two-fold"]
    one = seen(level() * (1 + 0.8 * arcs * (np.abs(phi) < 1.5)))
    assert one["two-sided arc"] < bent["two-sided arc"] / 2


def test_arcs_are_found_at_their_spacing_and_on_both_sides():
    r, phi = place()
    at = float(OPTICS.radius(np.array([4.4]))[0])
    shape = np.exp(-(((r - at) / 3) ** 2))
    flat = seen(level())
    both = seen(level() * (1 + 0.5 * shape * np.exp(8 * (np.cos(2 * phi) - 1))))
    one = seen(level() * (1 + 0.5 * shape * np.exp(8 * (np.cos(phi) - 1))))
    ring = seen(level() * (1 + 0.5 * shape))
    key = "arcs of 12 at 4.4"
    assert both[key] > 4 * max(each[key] for each in (flat, one, ring))
    assert both["size of arcs of 12 at 4.4"] == pytest.approx(0.4, abs=0.15)
    assert both["even orders at 4.4"] > 3 * both["odd orders at 4.4"]
    assert both["arcs of 12 at 2.4-3.3"] < both[key] / 3


def test_a_polarised_and_tilted_background_has_no_arcs():
    r, phi = place()
    flat = seen(level())
    turned = seen(level() * (1 - 0.3 * (r / 160) ** 2 * np.cos(phi) ** 2))
    key = "arcs of 30 at 4.4"
    assert turned[key] < flat[key] + 4


def test_clouds_are_alike_on_both_sides():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(2)
    # The beam is at a whole pixel, so that turning by 180 degrees is a reflection of indices.
    field = np.zeros(SHAPE)
    own = gaussian_filter(rng.standard_normal((221, 239)), 6)
    field[:221, 21:260] = own / own.std()
    even = field.copy()
    even[:221, 21:260] = (own + own[::-1, ::-1]) / (own + own[::-1, ::-1]).std()
    alike, unlike = (seen(level() * (1 + 0.2 * np.clip(f, -2.5, 2.5))) for f in (even, field))
    assert alike["clouds alike"] > 0.5 > unlike["clouds alike"] + 0.2
    key = "even over odd clouds 8-14"
    assert alike[key] > unlike[key] + 0.5


def test_panels_that_gaps_divide():
    gap = np.zeros(SHAPE, bool)
    gap[:, 63::65] = gap[:, 64::65] = gap[58::60] = gap[59::60] = True
    rng = np.random.default_rng(5)
    gains = np.kron(1 + 0.1 * rng.standard_normal((4, 4)), np.ones((60, 65)))
    flat, uneven = (seen(level() * g, mask=gap) for g in (1, gains))
    assert uneven["median step at gaps"] > 0.04 > flat["median step at gaps"]
    assert uneven["large steps at gaps"] > 0.5 > flat["large steps at gaps"] + 0.3
    edge = np.ones(SHAPE)
    edge[:, [62, 65, 127, 130, 192, 195]] = 1.3
    edge[[57, 60, 117, 120, 177, 180]] = 1.3
    bright = seen(level() * edge, mask=gap)
    assert bright["edges at 1"] > 0.15 > abs(flat["edges at 1"]) + 0.1
    assert abs(bright["edges at 3"]) < 0.05


def test_quadrants_stripes_of_any_width_and_blobs(plain):
    quarters = np.kron(np.array([[1.1, 0.9], [1.0, 1.1]]), np.ones((120, 130)))
    assert seen(level() * quarters)["median step at middle"] > 0.07
    assert plain["median step at middle"] < 0.03
    for width in (1, 2, 4, 8):
        stripes = 1 + 0.06 * (-1.0) ** (np.arange(260) // width)
        found = seen(level() * stripes)
        key = f"stripes of {width} columns in noise"
        assert found[key] > 2.5 * plain[key]
        assert found[f"stripes of {width} rows in noise"] < 2 * found[key] / 2.5
    y, x = np.indices(SHAPE)
    dark = 1 - 0.4 * (np.hypot(y - 160, x - 190) < 18)
    arm = np.where((np.abs(y - CENTER[0]) < 3) & (x > CENTER[1]), 0.3, 1)
    blob, stop = seen(level() * dark), seen(level() * arm)
    key = "score of the darkest round blob of 2"
    assert blob[key] < 3 * min(stop[key], plain[key])


def test_a_fall_off_to_the_corners():
    r, _ = place()
    y, x = np.indices(SHAPE)
    away = np.hypot(y - 119.5, x - 129.5)
    angle = np.arctan(r / OPTICS.distance)
    q = 2 * np.sin(angle / 2) / OPTICS.wavelength
    factor = np.cos(angle) ** 3 * (1 - 0.5 * np.sin(angle) ** 2)
    air = 400 * (np.exp(-q / 0.12) + 0.15) * factor
    faded = air * (1 - 0.5 * away**2 / (119.5**2 + 129.5**2))
    even, dim = seen(air, optics=OPTICS), seen(faded, optics=OPTICS)
    assert even["best vignette"] <= 0.1
    assert dim["best vignette"] == pytest.approx(0.5, abs=0.1)
    assert dim["gain by a vignette"] > even["gain by a vignette"] + 0.3


def test_panels_and_stripes(plain):
    gains = np.kron(1 + 0.15 * np.random.default_rng(4).standard_normal((6, 5)), np.ones((40, 52)))
    uneven = seen(level() * gains)
    key = "robust spread of blocks of 6 x 6"
    assert uneven[key] > 4 * plain[key]
    striped = seen(level() * (1 + 0.1 * (-1.0) ** (np.arange(260) // 2)))
    key = "fine spread of columns in noise"
    assert striped[key] > 3 * plain[key]
    assert striped["fine spread of rows in noise"] < 2 * plain["fine spread of rows in noise"]


def test_missing_blocks_lines_and_mirrored_ghosts(plain):
    def dropped(frame):
        frame[30:50, 40:130] = 0
        frame[180] = 0

    lost = seen(level(), change=dropped)
    assert lost["empty blocks"] > plain["empty blocks"] + 2
    assert lost["number of empty lines 1"] >= 1 > plain["number of empty lines 1"]
    assert lost["longest empty run 1"] == 1
    expected = level()
    expected[60:75, 180:200] *= 3
    ghost = seen(expected + 0.6 * expected[:, ::-1])
    assert abs(ghost["mirror left to right"]) > 0.2 > abs(plain["mirror left to right"])


def test_clouds_and_spots(plain):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(7)
    field = gaussian_filter(rng.standard_normal(SHAPE), 6)
    cloudy = seen(level() * (1 + 0.25 * field / field.std()))
    assert cloudy["correlation at 8"] > 0.05 > plain["correlation at 8"]
    assert cloudy["variation at 16, inner"] > plain["variation at 16, inner"] + 0.2
    spots = np.zeros(SHAPE)
    spots[rng.integers(20, 220, 60), rng.integers(20, 240, 60)] = 1
    sharp = seen(level() + 900 * gaussian_filter(spots, 0.8))
    soft = seen(level() + 900 * gaussian_filter(spots, 0.8) + 4000 * gaussian_filter(spots, 5))
    assert sharp["spots above 8"] > plain["spots above 8"] + 1
    assert soft["around spots 8"] > sharp["around spots 8"] + 0.3


def test_strength_is_that_of_counts(plain):
    strong = seen(20 * level())
    assert strong["log mean"] == pytest.approx(plain["log mean"] + np.log10(20), abs=0.02)


def test_grey_ring_vectors_see_no_counts():
    frame = np.random.default_rng(0).poisson(level())
    found = grey_ring_vector(frame, CENTER)
    assert found.shape == (1680,)
    assert np.allclose(found, grey_ring_vector(1000 * frame, CENTER))
    assert found.max() <= 255**2


def test_what_rises_above_a_baseline():
    x = np.arange(160.0)
    smooth = 100 * np.exp(-x / 40) + 10
    peak = smooth * (1 + 0.5 * np.exp(-(((x - 70) / 1.2) ** 2)))
    excess = above_baseline(peak, 3)
    assert excess.argmax() == 70
    assert excess[70] == pytest.approx(0.5, rel=0.2)
    assert np.abs(above_baseline(smooth, 3)[4:-4]).max() < 0.02


def test_bad_input():
    with pytest.raises(SettingsError):
        frame_features(np.zeros((3, 4, 5)), (1.0, 1.0))
    with pytest.raises(SettingsError):
        frame_features(np.zeros((4, 5)), (1.0, 1.0), np.ones((4, 5), bool))


def test_streaks_of_any_direction_but_those_of_lines():
    def streaks(angle):
        y, x = np.indices(SHAPE)
        light = level()
        for row, column in np.random.default_rng(5).uniform(20, 220, (60, 2)):
            along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
            across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
            light = light + 40 * np.exp(-((along / 14) ** 2) - (across / 1) ** 2)
        return light

    none = diffuse_features(Residuals(np.random.default_rng(0).poisson(level()), CENTER))
    for angle in (0.4, 1.0, 2.2):
        frame = np.random.default_rng(1).poisson(streaks(angle))
        found = diffuse_features(Residuals(frame, CENTER))
        for name in ("short", "long"):
            key = f"strongest off the axes of {name} streaks"
            assert found[key] > none[key] + 0.3
    rows = np.random.default_rng(2).poisson(level()).astype(float)
    rows[::9] *= 3
    key = "strongest off the axes of short streaks"
    assert diffuse_features(Residuals(rows, CENTER))[key] < none[key] + 0.2


def test_clouds_are_alike_on_both_sides_and_blobs_are_not():
    rng = np.random.default_rng(8)
    y, x = np.indices(SHAPE) - np.array(CENTER)[:, None, None]
    light, blobs = level(), level()
    for row, column in rng.uniform(-90, 90, (40, 2)):
        one = np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / 8**2)
        other = np.exp(-0.5 * ((y + row) ** 2 + (x + column) ** 2) / 8**2)
        light, blobs = light * (1 + 0.3 * one) * (1 + 0.3 * other), blobs * (1 + 0.3 * one)
    cloud, uneven = (
        diffuse_features(Residuals(rng.poisson(each), CENTER, None, OPTICS))
        for each in (light, blobs)
    )
    for shell in (0, 1):
        key = f"alike of all, smoothed 2.5, shell {shell}"
        assert cloud[key] > 0.9
        assert uneven[key] < 0.7
