"""Rings, directions and pictures against plain numpy and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.representations import (
    BIN_STATISTICS,
    VECTOR_STATISTICS,
    BinTable,
    cartesian,
    equal_rings,
    frame_table,
    grey_picture,
    polar,
    polar_reach,
)

NUMPY = {
    "minimum": np.min,
    "maximum": np.max,
    "mean": np.mean,
    "median": np.median,
    "variance": np.var,
    "p5": lambda v: np.percentile(v, 5),
    "p95": lambda v: np.percentile(v, 95),
    "fraction": lambda v: (v > 0.3).mean(),
}


def radii(shape, center):
    return np.array(
        [
            [math.hypot(i - center[0], j - center[1]) for j in range(shape[1])]
            for i in range(shape[0])
        ]
    )


shapes = st.tuples(st.integers(1, 23), st.integers(1, 31))
places = st.tuples(st.floats(-40, 60), st.floats(-40, 60))


@settings(max_examples=60, deadline=None)
@given(shapes, places, st.integers(1, 40), st.integers(0, 10**6), st.sampled_from([0, 0.2, 0.8]))
def test_rings_divide_all_pixels_once_and_hold_their_statistics(shape, center, n, seed, share):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask.flat[rng.integers(mask.size)] = False
    frame = rng.choice([rng.normal(0, 9, shape), rng.poisson(1, shape)])
    table = frame_table(shape, center, mask, rings=n)
    away = radii(shape, center)
    width = (away.max() - away.min()) / n
    assert np.array_equal(table.index >= 0, ~mask)  # each good pixel once, no other
    low = away.min() + table.index * width
    slack = 1e-9 * (1 + away.max())
    inside = (away >= low - slack) & (away <= low + width + slack)
    assert inside[~mask].all()
    found = table.ring_vector(frame, beam_stop_sigma=0)
    assert found.shape == (n, 7)
    last = None
    for k in range(n):
        values = frame[table.index == k]
        if values.size:
            last = [NUMPY[name](values) for name in VECTOR_STATISTICS]
            assert table.radii[k] == pytest.approx(away[table.index == k].mean(), abs=1e-9)
        if last is not None:
            assert np.allclose(found[k], last, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 5), st.integers(0, 10**6), st.integers(1, 50))
def test_all_statistics_of_bins_against_numpy(n, bins, seed, kinds):
    rng = np.random.default_rng(seed)
    index = rng.integers(-1, bins, n)
    values = rng.integers(0, kinds, (3, n)) / kinds  # many equal values
    values[1, rng.random(n) < 0.3] = np.nan
    values[2, rng.random(n) < 0.1] = np.inf
    found = BinTable(index, bins).statistics(values, BIN_STATISTICS, above=0.3)
    for e in range(3):
        for b in range(bins):
            own = values[e][(index == b) & np.isfinite(values[e])]
            expected = [NUMPY[s](own) if own.size else np.nan for s in BIN_STATISTICS]
            assert np.allclose(found[e, b], expected, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_statistics_do_not_depend_on_the_type(dtype):
    values = np.random.default_rng(1).integers(0, 200, (2, 999))
    table = BinTable(np.arange(999) % 7, 7)
    wanted = table.statistics(values.astype(np.float64), BIN_STATISTICS)
    assert np.array_equal(table.statistics(values.astype(dtype), BIN_STATISTICS), wanted)


def test_values_are_not_cut_to_eight_bits():
    frame = np.zeros((9, 9))
    frame[4, 4] = 1e6
    found = frame_table((9, 9), (4.0, 4.0), rings=1).ring_vector(frame, 0)[0]
    mean = 1e6 / 81
    assert found[VECTOR_STATISTICS.index("variance")] == pytest.approx(1e12 / 81 - mean**2)


def test_equal_distances_are_one_ring():
    index, positions = equal_rings(np.full((2, 3), 5.0), np.ones((2, 3), bool), 4)
    assert (index == 0).all()
    assert positions[0] == 5
    assert np.isnan(positions[1:]).all()


def test_shadow_of_a_beam_stop_is_left_out_of_rings():
    rng = np.random.default_rng(2)
    y, x = np.indices((201, 221)) - np.array([95.0, 120.0])[:, None, None]
    clean = rng.poisson(200 * np.exp(-np.hypot(y, x) / 60) + 20).astype(float)
    stopped = np.where((np.abs(y) < 6) & (x > 0), 2.0, clean)
    table = frame_table(clean.shape, (95.0, 120.0), rings=50)
    kept = table.ring_vector(stopped)[8:26]
    whole = table.ring_vector(stopped, 0)[8:26]
    truth = table.ring_vector(clean, 0)[8:26]
    low = VECTOR_STATISTICS.index("minimum")
    assert (whole[:, low] == 2).all()
    assert np.allclose(kept[:, low], truth[:, low], rtol=0.25)
    assert np.allclose(table.ring_vector(clean)[8:26], truth, rtol=0.02)  # nothing to leave out


def named(table, frame):
    return dict(zip(table.azimuthal_names, table.azimuthal(frame).tolist(), strict=True))


@pytest.mark.parametrize("m", range(1, 7))
def test_moments_of_a_known_modulation(m):
    y, x = np.indices((161, 161)) - 80.0
    frame = 1000 * (1 + 0.2 * np.cos(m * (np.arctan2(y, x) - 0.4)))
    table = frame_table(frame.shape, (80.0, 80.0), rings=40, groups=1)
    found = named(table, frame)
    moments = [v for name, v in found.items() if name.startswith("moment")]
    # Values are cut to the middle 90 % of their ring, which flattens the wave by little.
    assert moments[m - 1] == pytest.approx(0.2, rel=0.05)
    assert max(v for k, v in enumerate(moments, 1) if k != m) < 0.05
    symmetry = next(v for name, v in found.items() if name.startswith("two-fold"))
    assert symmetry == pytest.approx(1 if m % 2 == 0 else -1, abs=0.1)


def test_rings_alone_have_no_direction_and_arcs_do():
    rng = np.random.default_rng(5)
    y, x = np.indices((200, 240)) - np.array([90.0, 130.0])[:, None, None]
    r, phi = np.hypot(y, x), np.arctan2(y, x)
    level = 300 * np.exp(-r / 80) + 30 * np.exp(-(((r - 60) / 3) ** 2))
    arcs = level * (1 + 0.5 * (np.abs(np.sin(phi)) > 0.95) * np.exp(-(((r - 50) / 8) ** 2)))
    table = frame_table(r.shape, (90.0, 130.0), groups=4)
    flat, bent = (named(table, rng.poisson(f)) for f in (level, arcs))
    group = [name.removeprefix("moment 2 ") for name in flat if name.startswith("moment 2")][1]
    assert flat[f"significance of directions {group}"] < 1.6
    assert bent[f"significance of directions {group}"] > 4
    assert bent[f"moment 2 {group}"] > 4 * flat[f"moment 2 {group}"]
    assert bent[f"two-fold symmetry {group}"] > 0.6 > flat[f"two-fold symmetry {group}"]


def test_panels_of_another_gain_stand_out():
    rng = np.random.default_rng(6)
    frame = rng.poisson(100, (120, 130)).astype(float)
    mask = np.zeros(frame.shape, bool)
    mask[58:62], mask[:, 63:67] = True, True
    table = frame_table(frame.shape, (60.0, 65.0), mask)
    even = named(table, frame)
    frame[:58, :63] *= 1.1
    uneven = named(table, frame)
    assert even["significance of panels"] < 1.6
    assert uneven["significance of panels"] > 4
    assert uneven["spread over panels"] > 3 * even["spread over panels"]
    assert 0.04 < uneven["largest difference of a panel"] < 0.16


def test_azimuth_of_nothing_is_zero():
    table = frame_table((20, 20), (10.0, 10.0))
    for frame in (np.zeros((20, 20)), np.full((20, 20), np.nan), np.full((20, 20), 7)):
        assert (table.azimuthal(frame) == 0).all()
    assert np.isnan(table.ring_vector(np.full((20, 20), np.nan))).all()
    assert len(table.azimuthal_names) == len(table.azimuthal(np.zeros((20, 20))))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (((3, 4, 5), (1, 1)), "no picture"),
        (((4, 5), (math.nan, 1)), "no place"),
        (((4, 5), (1, 1), np.zeros((5, 4), bool)), "The mask has shape"),
        (((4, 5), (1, 1), np.ones((4, 5), bool)), "Every pixel"),
        (((4, 5), (1, 1), None, 0), "at least one ring"),
    ],
)
def test_bad_input_of_tables(arguments, what):
    with pytest.raises(SettingsError, match=what):
        frame_table(*arguments)


def test_a_frame_of_another_shape_is_refused():
    with pytest.raises(SettingsError, match="frames of"):
        frame_table((4, 5), (1, 1)).ring_vector(np.zeros((5, 4)))


# --- pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("reach", ["min", "max", 33.3])
@pytest.mark.parametrize("center", [(40.2, 61.7), (55.0, 20.0)])
def test_polar_is_that_of_scikit_image(order, reach, center):
    transform = pytest.importorskip("skimage.transform")
    y, x = np.indices((101, 130))
    frame = (np.sin(y / 7) * np.cos(x / 9) * 100 + y + x).astype(np.float32)
    far = polar_reach(frame.shape, center, reach)
    theirs = transform.warp_polar(
        frame, center, radius=far, output_shape=(180, 90), order=order, cval=np.nan
    )
    ours = polar(frame, center, reach=reach, size=(180, 90), order=order)
    assert ours.shape == (180, 90)
    both = np.isfinite(theirs) & np.isfinite(ours)
    assert both.mean() > (0.97 if reach == "min" else 0.4)
    assert (np.isfinite(theirs) != np.isfinite(ours)).mean() < 0.02  # along the edges only
    away = np.abs(ours - theirs)[both]
    assert away.max() < (0.01 if order else 30)
    assert (away > 1e-3).mean() < 0.01  # nearest: where a place is as near to two pixels


def test_reaches():
    assert polar_reach((100, 200), (30.0, 150.0), "min") == 30
    assert polar_reach((100, 200), (80.0, 150.0), "min") == 19
    assert polar_reach((100, 200), (30.0, 150.0), "max") == pytest.approx(math.hypot(69, 150))
    assert polar_reach((100, 200), (-30.0, 150.0), "max") == pytest.approx(math.hypot(129, 150))
    assert polar_reach((100, 200), (0.0, 0.0), 12) == 12


def test_masked_pixels_do_not_leak_into_polar_pictures():
    frame = np.ones((60, 60))
    mask = np.zeros(frame.shape, bool)
    mask[20:24, 30:50] = True
    frame[mask] = 1e9
    frame[5, 5] = np.nan
    for order in (0, 1):
        found = polar(frame, (30.0, 30.0), mask, "max", 64, order)
        assert np.allclose(found[np.isfinite(found)], 1, rtol=1e-5)
        assert np.isnan(found).any()


def test_cartesian_scales_by_the_good_pixels():
    frame = np.arange(10000.0).reshape(100, 100)
    mask = np.zeros(frame.shape, bool)
    mask[50] = True
    frame[mask] = -1e9
    found = cartesian(frame, mask, 100)
    good = frame[~mask]
    low, high = np.percentile(good, (0.1, 95))
    expected = np.rint((np.clip(frame, low, high) - low) * 255 / (high - low))
    assert found.dtype == np.uint8
    assert np.array_equal(found[~mask], expected[~mask])
    for j in range(100):
        assert found[50, j] in (found[49, j], found[51, j])
    assert (cartesian(frame, mask, 100, "zero")[50] == 0).all()
    assert (grey_picture(frame, mask)[50] == 0).all()
    assert np.array_equal(grey_picture(frame, mask)[~mask], expected[~mask])


def test_cartesian_closes_gaps():
    frame = np.repeat(np.arange(8.0), 8).reshape(8, 8) * 10
    with_gap = np.insert(frame, [3, 3], np.nan, axis=0)
    assert with_gap.shape == (10, 8)
    assert np.array_equal(cartesian(with_gap, None, 8, "close"), cartesian(frame, None, 8))
    assert cartesian(with_gap).shape == (512, 512)
    assert cartesian(frame, None, (3, 16)).shape == (3, 16)


def test_resizing_takes_the_nearest_pixel():
    frame = np.array([[0.0, 100.0], [200.0, 300.0]])
    found = cartesian(frame, None, 6)
    for block in (found[:3, :3], found[:3, 3:], found[3:, :3], found[3:, 3:]):
        assert len(np.unique(block)) == 1
    assert len(np.unique(found)) >= 3


def test_flat_frames_are_black():
    assert (cartesian(np.full((9, 9), 5.0)) == 0).all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda f: cartesian(f, fill="x"), "fill is"),
        (lambda f: cartesian(f, size=0), "no pixel"),
        (lambda f: cartesian(f[0]), "no picture"),
        (lambda f: cartesian(f * np.nan), "masked"),
        (lambda f: cartesian(f, np.ones(f.shape, bool)), "masked"),
        (lambda f: cartesian(f, np.ones((2, 2), bool)), "mask has shape"),
        (lambda f: polar(f, (-3.0, 4.0)), "not inside"),
        (lambda f: polar(f, (math.inf, 4.0), reach="max"), "no place"),
        (lambda f: polar(f, (4.0, 4.0), reach="middle"), "reach is"),
        (lambda f: polar(f, (4.0, 4.0), reach=-2.0), "reach is"),
        (lambda f: polar(f, (4.0, 4.0), order=3), "order is"),
    ],
)
def test_bad_input_of_pictures(call, what):
    with pytest.raises(SettingsError, match=what):
        call(np.ones((9, 9)))
