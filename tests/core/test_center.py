"""The beam centre: frames whose centre is known, of formulas, the simulator and real detectors."""

from __future__ import annotations

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.center import METHODS
from napari_xfelsort.core.center.cells import check_frame, prepare
from napari_xfelsort.core.center.friedel import center_of_pairs
from napari_xfelsort.core.center.radial_loops import spline
from napari_xfelsort.core.center.shadows import shadowed
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.simulate.scene import simulate_scene

SIDE = 256


def halo(center, shape=(SIDE, SIDE), counts=40.0, seed=0):
    """A water-like halo on a falling background, with Poisson noise."""
    rows, columns = np.indices(shape)
    r = np.hypot(rows - center[0], columns - center[1])
    light = 1 / (1 + r / 40) + 0.6 * np.exp(-(((r - 75) / 22) ** 2))
    return np.random.default_rng(seed).poisson(counts * light / light.mean()).astype(np.int32)


def miss(result, center):
    assert result.known, result.reason
    return float(np.hypot(result.y - center[0], result.x - center[1]))


@pytest.mark.parametrize("center", [(127.5, 127.5), (110.3, 151.8)])
def test_a_halo_is_found_to_a_fraction_of_a_pixel(center):
    result = xs.find_center(halo(center))
    assert miss(result, center) < 0.5
    assert miss(result, center) <= result.uncertainty < 5


def test_gaps_and_a_missing_quadrant_do_not_pull():
    center = (117.4, 139.7)
    image = halo(center)
    bad = np.zeros(image.shape, bool)
    bad[60:66], bad[:, 120:126], bad[128:, :128] = True, True, True
    image[bad] = 10_000
    assert miss(xs.find_center(image, bad), center) < 1
    as_nan = np.where(bad, np.nan, image)
    assert miss(xs.find_center(as_nan), center) < 1


@pytest.mark.parametrize("center", [(-30.0, 100.0), (140.0, 285.0)])
def test_rings_tell_a_centre_off_the_detector(center):
    result = xs.find_center(halo(center, counts=200))
    assert miss(result, center) < 5
    assert miss(result, center) <= result.uncertainty


def test_a_shadow_a_beam_stop_and_bad_pixels_need_no_mask():
    center = (121.0, 133.5)
    image = halo(center, counts=100)
    rows, columns = np.indices(image.shape)
    image[np.hypot(rows - 122, columns - 134) < 7] = 0
    image[120:124, :134] = 1
    image[rows + 0.4 * columns > 250] //= 10
    image[::37, ::29] = 50_000
    image[:, 200] = 0
    assert miss(xs.find_center(image), center) < 1.5


def test_a_hard_shadow_is_taken_out_and_a_ring_is_not():
    image = halo((127.5, 127.5), counts=100)
    rows, columns = np.indices(image.shape)
    dark = rows + 0.4 * columns > 250
    shadow = np.where(dark, image // 10, image)
    frame = prepare(shadow)
    cells = frame.levels[1]
    taken = np.kron(shadowed(frame, cells), np.ones((cells.size,) * 2, bool))[:SIDE, :SIDE]
    assert taken[dark].mean() > 0.9
    assert taken[rows + 0.4 * columns < 230].mean() < 0.02
    ring = np.hypot(rows - 127.5, columns - 127.5)
    bright = image + (np.exp(-(((ring - 90) / 3) ** 2)) * 800).astype(int)
    frame = prepare(bright)
    assert not shadowed(frame, frame.levels[1]).any()


@pytest.mark.parametrize("seed", [21, 22, 24, 26])
def test_simulated_frames_on_all_detectors(seed):
    kinds = ("ccd", "plate", "pilatus", "eiger", "agipd", "jungfrau")
    scene = simulate_scene(seed, 256, kinds[seed % 6], "reflex")
    result = xs.find_center(scene.image, scene.mask)
    assert miss(result, scene.center) <= 2 * result.uncertainty
    assert miss(result, scene.center) < 4


# --- turned, mirrored, moved ----------------------------------------------------------------


@pytest.fixture(scope="module")
def lopsided():
    """A frame without symmetry but that of its halo, and its answer."""
    image = halo((118.2, 141.6), counts=60, seed=3)
    image[:, 30:] = image[:, 30:] * 0.95
    bad = np.zeros(image.shape, bool)
    bad[200:207], bad[:40, :60] = True, True
    return image, bad, xs.find_center(image, bad)


@pytest.mark.parametrize("turns", [1, 2])
def test_a_turned_frame_has_the_turned_centre(lopsided, turns):
    image, bad, result = lopsided
    last = SIDE - 1
    y, x = {
        1: (last - result.x, result.y),
        2: (last - result.y, last - result.x),
    }[turns]
    turned = xs.find_center(np.rot90(image, turns), np.rot90(bad, turns))
    assert miss(turned, (y, x)) < 0.3


def test_a_mirrored_frame_has_the_mirrored_centre(lopsided):
    image, bad, result = lopsided
    flipped = xs.find_center(image[:, ::-1], bad[:, ::-1])
    assert miss(flipped, (result.y, SIDE - 1 - result.x)) < 0.3


def test_a_cropped_frame_has_the_moved_centre(lopsided):
    image, bad, result = lopsided
    cropped = xs.find_center(image[16:, 8:], bad[16:, 8:])
    assert miss(cropped, (result.y - 16, result.x - 8)) < 0.7


@pytest.mark.parametrize("scale", [0.01, 37.0])
def test_the_unit_of_the_values_does_not_matter(lopsided, scale):
    image, bad, result = lopsided
    scaled = xs.find_center(image * scale, bad)
    assert miss(scaled, (result.y, result.x)) < 0.2


@pytest.mark.parametrize("dtype", [np.uint16, np.float64, ">i4"])
def test_types_of_numbers(dtype):
    center = (120.0, 130.0)
    assert miss(xs.find_center(halo(center).astype(dtype)), center) < 0.6


def test_an_oblong_frame():
    center = (70.3, 210.9)
    assert miss(xs.find_center(halo(center, (160, 400), counts=80)), center) < 1


# --- what cannot be answered ----------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint16),
        np.full((200, 200), 7.0),
        np.full((64, 64), np.nan),
        np.full((64, 64), -1, np.int32),
        np.ones((3, 3)),
        np.ones((1, 500)),
        np.zeros((0, 0)),
        np.random.default_rng(1).poisson(5.0, (200, 200)),
        np.full((100, 100), 3, bool),
    ],
    ids=["dark", "flat", "nan", "negative", "tiny", "line", "empty", "noise", "bool"],
)
def test_nothing_to_see_is_not_known(image):
    result = xs.find_center(image)
    assert (result.y, result.x, result.uncertainty, result.known) == (None, None, None, False)
    assert result.reason.endswith(".")


def test_all_masked_is_not_known():
    image = halo((100, 100))
    assert not xs.find_center(image, np.ones(image.shape, bool)).known


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_or_says_why(method):
    result = xs.find_center(halo((120.0, 135.0)), method=method)
    assert result.method == method
    assert result.known or result.reason
    nothing = xs.find_center(np.zeros((80, 80)), method=method)
    assert not nothing.known
    assert nothing.reason


@pytest.mark.parametrize(
    ("image", "mask", "method", "words"),
    [
        (np.ones(10), None, "auto", "one picture"),
        (np.ones((2, 5, 5)), None, "auto", "one picture"),
        (np.full((5, 5), "a"), None, "auto", "one picture"),
        (np.ones((5, 5), complex), None, "auto", "one picture"),
        (np.ones((50, 50)), np.ones((50, 51), bool), "auto", "must agree"),
        (np.ones((50, 50)), None, "guess", "auto, radial"),
    ],
)
def test_bad_input_is_one_sentence(image, mask, method, words):
    with pytest.raises(SettingsError, match=words):
        xs.find_center(image, mask, method)


def test_the_image_is_left_alone():
    image = halo((120.0, 130.0)).astype(np.float32)
    image[5, 5] = np.nan
    before = image.copy()
    xs.find_center(image)
    np.testing.assert_array_equal(image, before)


# --- gaps of frames without a mask ------------------------------------------------------------


@pytest.mark.parametrize("counts", [1.5, 40.0])
def test_gaps_that_are_zeros_are_found_at_few_counts(counts):
    image = halo((121.0, 133.5), counts=counts)
    gaps = np.zeros(image.shape, bool)
    gaps[60:67], gaps[:, 120:127], gaps[190:197] = True, True, True
    image[gaps] = 0
    blank = prepare(image).blank
    assert blank[gaps].mean() > 0.99
    assert blank[~gaps].mean() < 0.02
    # Nothing but counts: no gaps.
    assert prepare(halo((121.0, 133.5), counts=counts)).blank.mean() < 0.002


@pytest.mark.parametrize("size", [(3, 5), (3, 8), (6, 3)])
def test_strips_are_openings(size):
    from scipy.ndimage import binary_opening

    from napari_xfelsort.core.center.cells import _strips

    flags = np.random.default_rng(4).random((80, 90)) < 0.9
    expected = binary_opening(flags, np.ones(size, bool))
    np.testing.assert_array_equal(_strips(flags, size), expected)
    assert expected.any()


def test_negative_codes_of_floats_are_bad_and_negative_differences_are_not():
    image = halo((121.0, 133.5)).astype(np.float32)
    coded = image.copy()
    coded[60:66], coded[5, 5] = -1, -2
    assert not check_frame(coded, None)[1][60:66].any()
    assert not check_frame(coded, None)[1][5, 5]
    assert check_frame(coded, None)[1].sum() == image.size - 6 * SIDE - 1
    assert check_frame(coded + np.float32(0.5), None)[1].all()
    assert check_frame(image - 40, None)[1].all()


# --- parts ------------------------------------------------------------------------------------


def test_splines_are_those_of_scipy():
    from scipy.interpolate import BSpline

    found = np.empty(8)
    for t in (0.0, 0.3, 0.99):
        spline(t, found)
        for k in range(4):
            base = BSpline.basis_element(np.arange(5.0))
            assert found[k] == pytest.approx(float(base(t + 3 - k)), abs=1e-12)
            assert found[4 + k] == pytest.approx(float(base.derivative()(t + 3 - k)), abs=1e-12)


def test_point_symmetry_of_what_is_not_round():
    rng = np.random.default_rng(5)
    offsets = rng.normal(0, 45, (60, 2))
    center = np.array([120.0, 134.0])
    rows, columns = np.indices((SIDE, SIDE))
    image = np.full((SIDE, SIDE), 10.0)
    for dy, dx in np.concatenate([offsets, -offsets]):
        image += 30 * np.exp(
            -((rows - center[0] - dy) ** 2 + (columns - center[1] - dx) ** 2) / (2 * 4**2)
        )
    assert miss(xs.find_center(rng.poisson(image), method="symmetry"), center) < 1


def test_the_shadow_of_a_beam_stop():
    image = halo((126.0, 131.0), counts=100)
    rows, columns = np.indices(image.shape)
    image[np.hypot(rows - 120, columns - 140) < 8] = 0
    image[118:122, 140:] = 0
    result = xs.find_center(image, method="beam_stop")
    assert miss(result, (120, 140)) < 3


def test_friedel_pairs_of_many_events():
    rng = np.random.default_rng(2)
    center = np.array([512.3, 498.7])
    events = []
    for _ in range(40):
        own = rng.normal(0, 120, (8, 2))
        opposite = -own[:3] + rng.normal(0, 0.5, (3, 2))
        others = rng.uniform(0, 1024, (6, 2)) - center
        events.append(np.concatenate([own, opposite, others, [[30.0, 40.0] - center]]) + center)
    result = center_of_pairs(events)
    assert miss(result, center) < 0.5
    assert miss(result, center) <= result.uncertainty < 3


def test_peaks_without_pairs_tell_nothing():
    rng = np.random.default_rng(3)
    assert not center_of_pairs([rng.uniform(0, 1000, (12, 2)) for _ in range(30)]).known
    assert not center_of_pairs([]).known
    assert not center_of_pairs([np.array([[1.0, 2.0]])]).known
    assert not center_of_pairs([np.full((5, 2), np.nan)]).known


def test_patches_that_a_fit_misses_are_left_out():
    from napari_xfelsort.core.center.patches import missed, without

    center = np.array([121.0, 133.5])
    image = halo(center, counts=400)
    frame = prepare(image)
    assert missed(frame, _fitted(frame, center)).mean() < 0.02
    rows, columns = np.indices(image.shape)
    stream = (np.abs(columns - 90) < 16) & (rows > 150)
    image = np.where(stream, (0.88 * image).astype(int), image)
    frame = prepare(image)
    fit = _fitted(frame, center)
    off = missed(frame, fit)
    size = fit.cells.size
    taken = np.kron(off, np.ones((size, size), bool))[:SIDE, :SIDE]
    # The rim, where the error of the model is larger, may stay.
    assert taken[stream].mean() > 0.5
    assert taken[stream & (rows < 200)].mean() > 0.7
    assert taken[~stream].mean() < 0.1
    fewer = without(frame.levels[2], off, size)
    inside = stream[tuple(np.rint(fewer.table[:, 2:]).astype(int).T)]
    assert inside.mean() < 0.5 * stream.mean()


def _fitted(frame, center):
    from napari_xfelsort.core.center.radial import STRICT, fit_radial

    fit = fit_radial(frame, frame.levels[0], center)
    return fit_radial(frame, frame.levels[1], fit, 64, STRICT)


# --- real detectors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("ceria_p2m_hexrd", 0.5),
        ("rayonix340_mfx", 3.0),
        ("thau_grid_0001", 3.0),
        ("thau_grid_0015", 3.0),
    ],
)
def test_real_frames(shared_data, name, pixels):
    with np.load(shared_data / "centers" / f"{name}.npz") as frame:
        result = xs.find_center(frame["image"], ~frame["mask"])
        assert miss(result, frame["center"]) < pixels
        assert miss(result, frame["center"]) <= result.uncertainty


def test_a_real_frame_of_few_counts_without_its_mask(shared_data):
    """Gaps are -1 in floats, or 0, where one pixel of three has no count."""
    with np.load(shared_data / "centers" / "thau_grid_0015.npz") as frame:
        image, good, center = frame["image"], frame["mask"], frame["center"]
    np.testing.assert_array_equal(check_frame(image, None)[1], good)
    result = xs.find_center(np.maximum(image, 0).astype(np.int32))
    assert miss(result, center) < 3
    assert miss(result, center) <= result.uncertainty


def test_a_real_frame_turned_has_the_turned_centre(shared_data):
    """Cells of pixels begin at another edge; lobes about the stop, steep, are cut anew."""
    with np.load(shared_data / "centers" / "thau_grid_0001.npz") as frame:
        image, good, (y, x) = frame["image"], frame["mask"], frame["center"]
    result = xs.find_center(np.rot90(image), np.rot90(~good))
    assert miss(result, (image.shape[1] - 1 - x, y)) < 3
