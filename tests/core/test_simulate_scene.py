"""Simulated frames with a known centre against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.simulate.bragg import (
    bragg_spots,
    draw_spots,
    ewald_points,
    random_cell,
    random_rotation,
)
from napari_xfelsort.core.simulate.detectors import LAYOUTS, plane_detector
from napari_xfelsort.core.simulate.obstacles import BeamStop, hard_shadow, vignette
from napari_xfelsort.core.simulate.optics import Optics, distance_for
from napari_xfelsort.core.simulate.scattering import IceRings
from napari_xfelsort.core.simulate.scene import draw_layout, simulate_scene

#: Scenes that shares are counted of.
N = 160
FLAT = Optics(center=(80.0, 120.0), wavelength=1.0, distance=1000.0)


@pytest.mark.parametrize("side", [128, 256, 512, 1024])
@pytest.mark.parametrize(
    ("name", "panels"),
    [("ccd", 9), ("plate", 1), ("pilatus", 60), ("eiger", 8), ("agipd", 128), ("jungfrau", 64)],
)
def test_panels_lie_on_the_plane_apart_from_each_other(name, panels, side):
    detector = plane_detector(name, side)
    assert detector.n_panels == panels
    assert detector.shape == (side, side)
    covered = np.zeros(detector.shape, int)
    for top, bottom, left, right in detector.windows:
        assert 0 <= top < bottom <= side
        assert 0 <= left < right <= side
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    if name == "plate":
        # A disc as wide as the plane.
        assert detector.active.mean() == pytest.approx(np.pi / 4, abs=0.01)
    else:
        np.testing.assert_array_equal(covered == 1, detector.active)
        assert detector.active.mean() > 0.6


def test_gaps_of_pilatus_have_the_width_of_the_real_ones():
    # 2463 x 2527 pixels with gaps of 7 and 17, brought to 1024 x 1024.
    gaps = ~plane_detector("pilatus", 1024).active
    assert gaps.all(axis=0).sum() == pytest.approx(4 * 7 * 1024 / 2463, abs=3)
    assert gaps.all(axis=1).sum() == pytest.approx(11 * 17 * 1024 / 2527, abs=3)


def test_agipd_is_a_windmill_round_a_hole():
    active = plane_detector("agipd", 512).active
    hole = round(36 / 1160 * 512)
    assert not active[256 - hole : 256 + hole, 256 - hole : 256 + hole].any()
    # A quarter turn brings every quadrant onto the next one, but for their inner gaps.
    filled = [np.argwhere(part).mean(axis=0) for part in _quadrants(active)]
    turned = [np.argwhere(part).mean(axis=0) for part in _quadrants(np.rot90(active))]
    np.testing.assert_allclose(filled, turned, atol=3)


def _quadrants(active: np.ndarray) -> list[np.ndarray]:
    half = active.shape[0] // 2
    return [active[:half, :half], active[:half, half:], active[half:, :half], active[half:, half:]]


def test_q_of_pixels_is_that_of_braggs_law():
    maps = FLAT.pixels((200, 300))
    for row, column in [(80, 120), (80, 219), (3, 7), (199, 120)]:
        radius = np.hypot(row - 80, column - 120)
        two_theta = np.arctan(radius / 1000.0)
        assert maps.q[row, column] == pytest.approx(2 * np.sin(two_theta / 2), rel=2e-6, abs=1e-9)
    assert maps.azimuth[80, 200] == 0.0
    assert maps.azimuth[180, 120] == pytest.approx(np.pi / 2)


def test_solid_angle_and_polarisation():
    maps = FLAT.pixels((200, 300))
    cos = 1000.0 / np.hypot(1000.0, 100.0)
    # Fully polarised along the rows: cos^2 along them, nothing lost across.
    assert maps.factor[80, 220] == pytest.approx(cos**3 * cos**2, rel=1e-5)
    assert maps.factor[180, 120] == pytest.approx(cos**3, rel=1e-5)


def test_rays_meet_a_tilted_plane_where_its_pixels_see_them():
    optics = Optics((50.0, 60.0), 1.2, 400.0, tilt=(0.004, -0.005))
    maps = optics.pixels((120, 140))
    random = np.random.default_rng(0)
    places = random.uniform(5, 115, (50, 2)).round()
    # The pixels' own positions by the plane's axes, as directions of rays.
    step = places - np.asarray(optics.center)
    column, row, normal = optics.axes
    points = step[:, 1:] * column + step[:, :1] * row + np.array([0.0, 0.0, 400.0])
    np.testing.assert_allclose(optics.hits(points), places, atol=1e-9)
    np.testing.assert_allclose(
        np.stack([column, row, normal]) @ np.stack([column, row, normal]).T, np.eye(3), atol=1e-12
    )
    angle = np.arccos(points[:, 2] / np.linalg.norm(points, axis=1))
    at = tuple(places.astype(int).T)
    np.testing.assert_allclose(maps.q[at], 2 * np.sin(angle / 2) / 1.2, rtol=1e-5)


def test_camera_length_brings_the_edge_to_its_resolution():
    distance = distance_for(2.0, 512.0, 1.3)
    optics = Optics((0.0, 0.0), 1.3, distance)
    assert optics.radius(0.5) == pytest.approx(512.0)
    assert optics.q_at(512.0) == pytest.approx(0.5)
    assert optics.radius(1.5) == float("inf")


def test_ice_rings_lie_where_their_spacing_says():
    # 3.90 angstrom at 1.0 angstrom and 1000 px: 2 theta = 2 asin(1/7.8) = 14.732 degrees.
    optics = Optics((0.0, 0.0), 1.0, 1000.0)
    maps = optics.pixels((3, 700))
    ice = IceRings(2.0, 0.002, cubic=False, texture="smooth", seed=0)
    excess = ice.excess(maps.q, maps.azimuth)[0]
    hand = [1000 * np.tan(2 * np.arcsin(1 / (2 * d))) for d in (3.90, 3.67, 3.44, 2.25, 2.07)]
    assert hand[0] == pytest.approx(262.9, abs=0.1)
    strength = [1.0, 0.75, 0.55, 0.45, 0.35]
    for radius, part in zip(hand, strength, strict=True):
        crest = round(radius)
        window = excess[crest - 4 : crest + 5]
        assert abs(np.argmax(window) - 4) <= 1
        assert window.max() == pytest.approx(2.0 * part, rel=0.06)
    assert excess[round(1000 * np.tan(2 * np.arcsin(1 / 6)))] == 0.0  # 3.0 angstrom


def test_cubic_ice_has_three_of_the_rings():
    cubic = IceRings(1.0, 0.002, cubic=True, texture="smooth", seed=0)
    assert [d for d, _ in cubic.rings()] == [3.67, 2.25, 1.92]
    assert cubic.rings()[0][1] == 1.0


def test_textures_keep_the_mean_strength():
    maps = Optics((200.0, 200.0), 1.0, 500.0).pixels((401, 401))
    sums = [
        np.mean(
            [
                IceRings(1.0, 0.004, False, texture, seed).excess(maps.q, maps.azimuth).sum()
                for seed in range(30)
            ]
        )
        for texture in ("smooth", "textured", "spotty")
    ]
    # Clipping at nothing lifts the textured rings a little.
    assert sums[1] == pytest.approx(sums[0], rel=0.15)
    assert sums[2] == pytest.approx(sums[0], rel=0.15)


def test_ewald_points_are_all_and_only_those_near_the_sphere():
    random = np.random.default_rng(3)
    axes = random_cell(random, 12.0, 20.0)
    found, partial = ewald_points(axes, 1.1, 0.6, 0.003)
    # By brute force over a box of indices.
    n = np.arange(-14, 15)
    hkl = np.stack(np.meshgrid(n, n, n), -1).reshape(-1, 3)
    vectors = hkl @ axes
    length = np.linalg.norm(vectors, axis=1)
    error = np.linalg.norm(vectors + np.array([0, 0, 1 / 1.1]), axis=1) - 1 / 1.1
    weight = np.exp(-0.5 * (error / 0.003) ** 2)
    wanted = (length <= 0.6) & (length > 0) & (weight > 0.01)
    assert len(found) == wanted.sum() > 20
    order, other = np.lexsort(found.T.round(9)), np.lexsort(vectors[wanted].T.round(9))
    np.testing.assert_allclose(found[order], vectors[wanted][other], atol=1e-9)
    np.testing.assert_allclose(partial[order], weight[wanted][other], atol=1e-9)


def test_spots_fulfil_braggs_law_on_the_plane():
    random = np.random.default_rng(5)
    optics = Optics((100.0, 100.0), 1.0, 200.0)
    spots = bragg_spots(optics, random, 0.5)
    radius = np.hypot(spots[:, 0] - 100.0, spots[:, 1] - 100.0)
    # Within the resolution limit, given the width of the points.
    assert radius.max() < 200 * np.tan(2 * np.arcsin(0.51 / 2))
    assert (np.diff(spots[:, 2]) <= 0).all()
    cell = random_cell(np.random.default_rng(1), 30.0, 60.0)
    edges = np.linalg.norm(np.linalg.inv(cell), axis=0)
    assert (edges > 29.9).all()
    assert (edges < 60.1).all()
    turn = random_rotation(random)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_spots_are_drawn_at_their_place_and_cut_at_the_edge():
    image = np.zeros((40, 50), np.float32)
    draw_spots(image, np.array([[20.3, 10.6, 5.0], [-0.4, 49.0, 1.0]]), 0.9)
    spot = image[14:27, 4:18]
    rows, columns = np.mgrid[14:27, 4:18]
    assert (spot * rows).sum() / spot.sum() == pytest.approx(20.3, abs=0.01)
    assert (spot * columns).sum() / spot.sum() == pytest.approx(10.6, abs=0.01)
    assert spot.sum() == pytest.approx(5.0 * 2 * np.pi * 0.81, rel=0.01)
    assert image[0, 49] == pytest.approx(np.exp(-0.5 * (0.4 / 0.9) ** 2), rel=1e-5)


def test_beam_stop_and_its_arm():
    stop = BeamStop("arm", (50.0, 60.0), 8.0, 0.0, 4.0, 200.0, 0.01)
    passes = stop.passes((100, 150))
    assert passes[50, 60] == pytest.approx(0.01, abs=1e-4)
    assert passes[50, 140] == pytest.approx(0.01, abs=0.05)  # the arm, along columns
    assert passes[50, 20] > 0.999
    assert passes[60, 60] > 0.9
    assert (BeamStop("none", (0.0, 0.0), 0.0).passes((4, 5)) == 1).all()


def test_vignetting_is_about_the_detector():
    response = vignette((101, 101), 0.3)
    assert response[50, 50] == 1.0
    assert response[0, 0] == pytest.approx(0.7, abs=0.01)


def test_hard_shadows_are_dark_and_leave_light():
    for seed in range(30):
        _, passes = hard_shadow(np.random.default_rng(seed), (200, 200), (100.0, 100.0))
        assert passes.min() < 0.35
        assert (passes > 0.9).mean() > 0.2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scene_is_a_sound_frame_on_every_detector(layout):
    scene = simulate_scene(11, 160, layout)
    active = plane_detector(layout, 160).active
    assert scene.image.shape == scene.mask.shape == (160, 160)
    assert scene.image.dtype == np.int32
    assert scene.detector == layout
    assert scene.mask[~active].all()
    assert (scene.image[~active] == 0).all()
    assert scene.mask[active].mean() < 0.05
    assert np.isfinite(scene.expected).all()
    assert (scene.expected >= 0).all()


def test_equal_seeds_give_equal_frames_and_others_do_not():
    one, two, other = (simulate_scene(seed, 128) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.mask, two.mask)
    assert one.center == two.center
    assert one.truth == two.truth
    assert one.center != other.center


def test_counts_are_those_of_poisson():
    # Away from the few bad pixels (image - expected) / sqrt(expected) is of variance 1.
    scene = simulate_scene(4, 512)
    seen = scene.expected > 5.0
    z = (scene.image[seen] - scene.expected[seen]) / np.sqrt(scene.expected[seen])
    z = z[np.abs(z) < 6]
    assert len(z) > 1e5
    assert z.var() == pytest.approx(1.0, abs=0.02)
    assert z.mean() == pytest.approx(0.0, abs=0.02)


@pytest.fixture(scope="module")
def many() -> list:
    return [simulate_scene(seed, 128) for seed in range(N)]


@pytest.mark.parametrize(
    ("share", "is_so"),
    [
        (0.05, lambda t: t["off_detector"]),
        (0.15, lambda t: t["long_distance"]),
        (0.3 * 0.85, lambda t: t["ice"]),
        (0.35, lambda t: t["absorption"] > 0),
        (0.12, lambda t: t["shadow"] != ""),
        (0.58 * 0.95, lambda t: t["stop"] == "arm"),
    ],
)
def test_shares_of_what_is_drawn(many, share, is_so):
    found = sum(is_so(scene.truth) for scene in many)
    # Four standard deviations of a binomial number.
    assert abs(found - N * share) < 4 * np.sqrt(N * share * (1 - share))


def test_centres_lie_in_the_disc_or_a_little_off_the_detector(many):
    for scene in many:
        y, x = scene.center
        beyond = max(-0.5 - y, -0.5 - x, y - 127.5, x - 127.5)
        if scene.truth["off_detector"]:
            assert 0.02 * 128 <= beyond <= 0.15 * 128 + 1e-6
        else:
            assert np.hypot(y - 63.5, x - 63.5) <= 0.15 * 128 + 1e-6
        assert max(abs(t) for t in scene.truth["tilt"]) <= 0.3
        assert 0.25 <= scene.truth["counts"] <= 500


def test_half_of_the_bad_columns_and_no_stop_are_in_the_mask(many):
    known = [s.mask[plane_detector(s.detector, 128).active].sum() for s in many]
    assert np.mean(known) > 1
    arms = [s for s in many if s.truth["stop"] == "arm" and not s.truth["off_detector"]]
    # A masked stop would hide a disc of about 1 % of the side and more round the beam.
    hidden = 0
    for scene in arms:
        y, x = (round(v) for v in scene.truth["stop_center"])
        active = plane_detector(scene.detector, 128).active[y - 1 : y + 2, x - 1 : x + 2]
        hidden += bool(active.any() and scene.mask[y - 1 : y + 2, x - 1 : x + 2][active].all())
    assert hidden < 0.05 * len(arms)


def test_the_true_centre_is_the_centre_of_the_noiseless_rings():
    """Rings of the expected image, fitted by circles without the simulator's own maps."""
    tried = 0
    for seed in range(25):
        scene = simulate_scene(seed, 256, "plate")
        truth = scene.truth
        if not truth["ice"] or truth["ice_contrast"] < 1 or truth["off_detector"]:
            continue
        radius = truth["distance"] * np.tan(2 * np.arcsin(truth["wavelength"] / 2 / 3.67))
        points = _crests(scene.expected, scene.center, radius)
        if len(points) < 60:
            continue
        tried += 1
        # Circle by linear least squares: x^2 + y^2 = 2 a x + 2 b y + c.
        system = np.column_stack([2 * points, np.ones(len(points))])
        (y, x, _), *_ = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)
        assert np.hypot(y - scene.center[0], x - scene.center[1]) < 1.0
    assert tried >= 3


def _crests(image: np.ndarray, center: tuple[float, float], radius: float) -> np.ndarray:
    """Places of the highest value within 5 px of a circle, for rays where it is inside them."""
    found = []
    steps = np.arange(-5, 5.01, 0.25)
    for angle in np.arange(0, 2 * np.pi, 0.02):
        rows = center[0] + (radius + steps) * np.sin(angle)
        columns = center[1] + (radius + steps) * np.cos(angle)
        i, j = np.rint(rows).astype(int), np.rint(columns).astype(int)
        if min(i.min(), j.min()) < 0 or max(i.max(), j.max()) > 255:
            continue
        best = int(np.argmax(image[i, j]))
        if 4 < best < len(steps) - 5 and image[i, j].min() > 0:
            found.append((rows[best], columns[best]))
    return np.array(found).reshape(-1, 2)


def test_reflex_regime_has_centres_like_the_published_images():
    """Mean 12.7 and root mean square 27.9 px of 1024 (Czyzewski et al. 2021, naive rows)."""
    scenes = [simulate_scene(seed, 128, regime="reflex") for seed in range(N)]
    distance = np.array([np.hypot(*(np.array(s.center) - 63.5)) for s in scenes]) * 8
    assert distance.mean() == pytest.approx(14.0, abs=5)
    assert np.sqrt((distance**2).mean()) == pytest.approx(28, abs=9)
    assert {s.detector for s in scenes} == {"ccd", "plate", "pilatus"}


def test_all_five_types_are_drawn():
    random = np.random.default_rng(0)
    assert {draw_layout(random) for _ in range(300)} == set(LAYOUTS)


def test_bad_settings_are_refused():
    with pytest.raises(SettingsError, match="no detector 'film'; the detectors are ccd"):
        simulate_scene(0, 256, "film")
    with pytest.raises(SettingsError, match="64 px but must be from 128 to 8192"):
        simulate_scene(0, 64)
    with pytest.raises(SettingsError, match="regime is 'narrow' but must be one of wide"):
        simulate_scene(0, 256, regime="narrow")
