"""Simulated anomalies against hand-made numbers and what was planted."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.anomalies.names import ANOMALIES, ANOMALY_TITLES
from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.simulate.anomalies import (
    AnomalyEvent,
    AnomalyMaker,
    AnomalySimulationSettings,
    artifacts,
    diffuse,
    events,
    rings,
    simulate_anomalies,
    simulate_anomaly_event,
    simulate_anomaly_pictures,
    uneven,
)
from napari_xfelsort.core.simulate.anomalies.ground import ABSENT, UNSURE, VISIBLE, Ground
from napari_xfelsort.core.simulate.detectors import LAYOUTS

NOTHING = dict.fromkeys(ANOMALIES, 0.0)
SIDE = 160


def only(*names: str, **changes: object) -> AnomalyMaker:
    """Events that have these anomalies and no others."""
    values = {**NOTHING, **dict.fromkeys(names, 1.0), "side": SIDE, "detector": "plate"}
    return AnomalyMaker(AnomalySimulationSettings.from_dict({**values, **changes}))


def q_of(event: AnomalyEvent) -> np.ndarray:
    """1/d of every pixel by Bragg's law on an upright plane."""
    setup = event.truth["setup"]
    rows, columns = np.indices(event.image.shape)
    radius = np.hypot(rows - event.center[0], columns - event.center[1])
    angle = np.arctan(radius / setup["distance"])
    return 2.0 * np.sin(0.5 * angle) / setup["wavelength"]


def test_names_are_in_the_order_of_the_published_labels():
    head = "loop_scattering,background_ring,strong_background,diffuse_scattering,artifact"
    assert ",".join(ANOMALIES) == head + ",ice_ring,non_uniform_detector"
    assert [ANOMALY_TITLES[name].lower().replace(" ", "_") for name in ANOMALIES] == [
        name.replace("non_", "non-") for name in ANOMALIES
    ]


def test_shares_are_those_of_the_published_test_set():
    maker = AnomalyMaker(AnomalySimulationSettings(n_events=1500))
    labels = np.stack([maker.labels(i) for i in range(1500)])
    wanted = np.array([0.42, 0.62, 0.475, 0.07, 0.20, 0.07, 0.35])
    error = 4 * np.sqrt(wanted * (1 - wanted) / 1500)
    assert (np.abs((labels == 1).mean(axis=0) - wanted) < error).all()
    assert not (labels == UNSURE).any()
    # Each is drawn for itself: loops among the events with and without rings.
    loop, ring = labels[:, 0] == 1, labels[:, 1] == 1
    assert abs(loop[ring].mean() - loop[~ring].mean()) < 0.12


def test_unsure_events_are_a_share_of_those_without():
    maker = AnomalyMaker(AnomalySimulationSettings(unsure=0.25))
    labels = np.stack([maker.labels(i) for i in range(800)])
    absent = labels != VISIBLE
    share = (labels == UNSURE)[absent].mean()
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.1875 / absent.sum()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_event_is_a_sound_frame_with_any_anomalies_on_every_detector(layout):
    maker = only(*ANOMALIES, detector=layout, unsure=0.5)
    event = maker.event(2)
    assert event.image.shape == event.mask.shape == (SIDE, SIDE)
    assert event.image.dtype == np.int32
    assert event.detector == layout
    active = maker.ground(2).plane.active
    assert event.mask[~active].all()
    assert (event.image[~active] == 0).all()
    assert (event.image >= 0).all()
    assert np.isfinite(event.expected).all()
    assert event.labels.tolist() == [1] * 7
    json.dumps(event.truth)


def test_equal_settings_give_equal_events_and_the_number_matters():
    one, two = only("artifact", seed=4).event(3), only("artifact", seed=4).event(3)
    np.testing.assert_array_equal(one.image, two.image)
    assert one.truth == two.truth
    assert (only("artifact", seed=4).event(4).image != one.image).any()
    assert (only("artifact", seed=5).event(3).image != one.image).any()


def test_a_run_has_one_setup_or_one_for_each_event():
    run, events = only(seed=1), only(seed=1, setups="event", detector="any")
    assert len({run.event(i).center for i in range(4)}) == 1
    assert len({events.event(i).center for i in range(4)}) == 4
    assert len({events.ground(i).plane.name for i in range(60)}) == len(LAYOUTS)
    bad = [run.event(i).mask for i in range(3)]
    np.testing.assert_array_equal(bad[0], bad[2])  # of a run, always the same pixels


def test_beams_are_near_the_middle_and_the_solvent_ring_is_on_the_detector():
    maker = only(setups="event", detector="any")
    for i in range(100):
        ground = maker.ground(i)
        assert np.hypot(*(np.array(ground.optics.center) - 79.5)) < 0.06 * SIDE
        assert ground.optics.radius(0.33 + 0.06) < 0.5 * SIDE


def test_background_ring_is_the_excess_it_says_over_air():
    # Counts of a thin annulus at the crest against one inside the ring, where there is air.
    maker = only("background_ring", "strong_background", side=512)
    checked = 0
    for i in range(6):
        event = maker.event(i)
        ring, air = event.truth["background_ring"], event.truth["air"]
        assert 0.25 <= ring["contrast"] <= 2.5
        assert 3.0 <= 1 / ring["q"] <= 3.51
        if "lipid" in ring or "absorption" in event.truth:
            continue
        checked += 1
        ground, q = maker.ground(i), q_of(event)
        law = np.exp(-q / air["fall"]) + air["floor"]
        relative = event.image / (ground.maps.factor * law)
        good = ~event.mask & (ground.stop_passes > 0.999)
        inner, crest = (
            float(np.median(relative[good & (np.abs(q - at) < 0.005)])) for at in (0.11, ring["q"])
        )
        at = np.array([0.11, ring["q"]])
        model = 1 + ring["contrast"] * (
            np.exp(-0.5 * ((at - ring["q"]) / ring["width"]) ** 2)
            + ring["shoulder"] * np.exp(-0.5 * ((at - 0.47) / 0.08) ** 2)
        )
        assert crest / inner == pytest.approx(model[1] / model[0], rel=0.03)
        if checked == 3:
            break
    assert checked == 3


def test_events_without_a_ring_have_one_that_nobody_sees():
    maker = only()
    assert max(maker.event(i).truth["background_ring"]["contrast"] for i in range(8)) <= 0.03


def test_ice_rings_lie_at_the_radius_of_their_spacing():
    checked = 0
    maker = only("ice_ring", "strong_background", side=512, setups="event")
    for i in range(12):
        event = maker.event(i)
        ice = event.truth["ice_ring"]
        if ice["contrast"] < 1 or ice["texture"] != "smooth" or event.truth.get("absorption"):
            continue
        setup = event.truth["setup"]
        radius = setup["distance"] * np.tan(2 * np.arcsin(setup["wavelength"] / (2 * 3.67)))
        rows, columns = np.indices(event.image.shape)
        shell = np.rint(np.hypot(rows - event.center[0], columns - event.center[1])).astype(int)
        good = ~event.mask
        means = np.array(
            [
                np.median(event.image[good & (shell == r)])
                for r in range(round(radius) - 4, round(radius) + 5)
            ]
        )
        # The tilt of up to 0.3 degrees moves a ring by less than a pixel here.
        assert abs(int(np.argmax(means)) - 4) <= 1
        checked += 1
        if checked == 2:
            break
    assert checked == 2


def test_loops_are_the_same_on_both_sides_of_the_beam():
    maker = only("loop_scattering", side=256)
    for i in range(4):
        ground = maker.ground(i)
        random = np.random.default_rng(i)
        excess, _, drawn = rings.loop_scattering(random, VISIBLE, ground)
        assert excess is not None
        y, x = ground.optics.center
        angles = np.radians(np.arange(0.0, 360.0, 15.0))
        radius = ground.optics.radius(1 / 4.40)
        at = np.array([y + radius * np.sin(angles), x + radius * np.cos(angles)])
        found = _between(excess, at)
        opposite = np.roll(found, 12)
        np.testing.assert_allclose(found, opposite, atol=0.15 * found.max() + 1e-3)
        assert found.max() >= 0.5 * drawn["contrast"]
        assert {2, 4} >= {drawn["arcs"]}
        assert 4.35 <= drawn["rings"][0][0] <= 4.45


def _between(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    whole = np.floor(at).astype(int)
    y, x = at - whole
    i, j = whole
    upper = (1 - x) * picture[i, j] + x * picture[i, j + 1]
    return (1 - y) * upper + y * ((1 - x) * picture[i + 1, j] + x * picture[i + 1, j + 1])


def test_arcs_stand_where_their_direction_says():
    event = None
    maker = only("loop_scattering", side=256, setups="event")
    for i in range(27, 40):
        event = maker.event(i)
        loop = event.truth["loop_scattering"]
        strong = loop["contrast"] > 0.6 and loop["spread"] < 30 and loop["arcs"] == 2
        if strong and "wedge" not in loop and "absorption" not in event.truth:
            break
    assert event is not None
    direction = np.radians(loop["direction"])
    radius = maker.ground(i).optics.radius(1 / loop["rings"][0][0])
    sides = direction + np.array([0.0, np.pi])
    across = sides + 0.5 * np.pi

    def mean(angles: np.ndarray) -> float:
        places = event.center + radius * np.stack([np.sin(angles), np.cos(angles)], 1)
        rows, columns = np.rint(places).astype(int).T
        near = [
            event.expected[r - 2 : r + 3, c - 2 : c + 3]
            for r, c in zip(rows, columns, strict=True)
        ]
        return float(np.median(near))

    assert mean(sides) > (1 + 0.3 * loop["contrast"]) * mean(across)


def test_clouds_are_centrosymmetric_about_a_beam_between_pixels():
    ground = only(side=128, seed=3).ground(0)
    field = diffuse.centrosymmetric_field(np.random.default_rng(0), ground, 8.0)
    y, x = ground.optics.center
    random = np.random.default_rng(1)
    off = random.uniform(-50, 50, (2, 300))
    here = _between(field, np.array([[y], [x]]) + off)
    there = _between(field, np.array([[y], [x]]) - off)
    np.testing.assert_allclose(here, there, atol=0.05)
    assert field.std() == pytest.approx(1.0, abs=0.35)
    # Smooth: as correlated after two pixels as a Gaussian of 8 px says, exp(-d^2 / 4 s^2).
    assert np.corrcoef(field[:, 2:].ravel(), field[:, :-2].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("kind", diffuse.KINDS)
def test_diffuse_scattering_is_as_strong_as_it_says(kind):
    ground = only(side=256, seed=2).ground(0)
    spots = np.random.default_rng(0).uniform(40, 215, (60, 3))
    values = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        excess, drawn = diffuse.diffuse_scattering(random, VISIBLE, kind, ground, spots, 50.0)
        assert excess is not None
        low, high = diffuse.KINDS[kind][0]
        assert low <= drawn["contrast"] <= high
        if kind == "cloud":
            crest = np.abs(ground.maps.q - drawn["q"]) < 0.01
            values.append(excess[crest].std() / drawn["contrast"])
        else:
            rows, columns = np.rint(spots[:, :2]).astype(int).T
            values.append(np.quantile(excess[rows, columns], 0.75) / drawn["contrast"])
    # Clouds have few bumps along their crest, so that one may differ.
    assert np.median(values) == pytest.approx(1.0, rel=0.3 if kind == "cloud" else 1e-3)


def test_faint_diffuse_scattering_is_raised_above_the_noise():
    ground = only(side=256).ground(0)
    spots = np.random.default_rng(0).uniform(40, 215, (60, 3))
    random = np.random.default_rng(0)
    _, drawn = diffuse.diffuse_scattering(random, VISIBLE, "halo", ground, spots, 0.05)
    sigma = 3.0 * 256 / 512
    noise = 1 / np.sqrt(0.05 * 4 * np.pi * sigma**2)
    assert drawn["contrast"] >= 3 * noise - 1e-9


def test_strong_background_is_the_mean_level_and_hides_the_crystal():
    strong, weak = only("strong_background"), only()
    for i in range(10):
        high, low = (m.event(i).truth["strong_background"] for m in (strong, weak))
        assert 150 <= high["level"] <= 3000
        assert 4 <= low["level"] <= 120
        assert high.get("spot_height", 0.4) <= 3.0 < 6.0 <= low.get("spot_height", 6.0)
    event = strong.event(0)
    passes = strong.ground(0).stop_passes > 0.999
    seen = passes & ~event.mask
    level = event.truth["strong_background"]["level"]
    # Absorption of up to 12 % and the stopped middle are between the two.
    assert np.median(event.image[seen]) < 1.3 * level
    assert event.image[seen].mean() == pytest.approx(level, rel=0.25)


@pytest.mark.parametrize("kind", uneven.KINDS)
def test_uneven_detectors_have_the_strength_they_say(kind):
    low, high = uneven.KINDS[kind][0]
    ground = only(detector="ccd", side=256).ground(0)
    for seed in range(4):
        random = np.random.default_rng(seed)
        response, drawn = uneven.detector_response(random, VISIBLE, ground, [kind])
        strength = drawn[kind]["strength"]
        assert low <= strength <= high
        panels = [
            float(np.median(response[t:b, left:r])) for t, b, left, r in ground.plane.windows
        ]
        if kind == "tile_gains":
            assert np.std(panels) == pytest.approx(strength, rel=1e-3)
        elif kind == "seams":
            sign = drawn[kind]["sign"]
            assert response[0, 0] == pytest.approx(1 + sign * strength, rel=0.02)
        elif kind == "vignette":
            assert response[0, 0] == pytest.approx(1 - strength, rel=0.03)
        elif kind == "quadrants":
            offsets = uneven.quadrant_offsets(ground, drawn, 40.0)
            assert np.abs(offsets).max() == pytest.approx(40 * strength, rel=1e-6)
            assert np.ptp(offsets) > 0
            assert np.ptp(offsets[:128, :128]) == 0
        elif kind == "blobs":
            assert 1 - strength - 0.4 <= response.min() <= 1 - 0.6 * strength
        else:
            assert np.quantile(np.abs(response - 1), 0.5) == pytest.approx(strength, abs=0.012)


def test_good_detectors_are_even():
    ground = only(detector="pilatus").ground(0)
    response, drawn = uneven.detector_response(np.random.default_rng(0), ABSENT, ground)
    gains = np.unique(response[ground.plane.active])
    assert gains.std() == pytest.approx(0.004, rel=0.35)
    assert drawn == {}


@pytest.mark.parametrize("layout", ["plate", "agipd"])
@pytest.mark.parametrize("kind", artifacts.KINDS)
def test_artifacts_change_what_they_say(kind, layout):
    ground = only(detector=layout, side=256).ground(0)
    random = np.random.default_rng(1)
    clean = random.poisson(20.0, (256, 256)).astype(np.int32)
    image = clean.copy()
    told = artifacts.KINDS[kind](random, image, ground, 20.0, True)
    changed = image != clean
    assert changed.any()
    assert (image >= 0).all()
    if kind == "lines":
        whole = max(changed.mean(axis=1).max(), changed.mean(axis=0).max())
        assert whole > 0.9
    elif kind == "wrap":
        assert image.max() == told["limit"] - 1
        np.testing.assert_array_equal(image, clean % told["limit"])
    elif kind == "packets":
        assert (image[changed] == 0).all()
    elif kind == "shifted":
        rows = np.flatnonzero(changed.any(axis=1))
        np.testing.assert_array_equal(np.sort(image[rows], axis=1), np.sort(clean[rows], axis=1))
    elif kind == "ghost":
        assert image.sum() == pytest.approx(clean.sum() * (1 + told["part"]), rel=0.02)
    elif kind == "tile":
        assert image[changed].mean() == pytest.approx(400 if told["hot"] else 0, rel=0.02)
    else:
        assert (image >= clean).all()
        assert changed.mean() < 0.2


def test_labels_agree_with_what_was_planted():
    settings = AnomalySimulationSettings(
        side=128, detector="any", setups="event", unsure=0.3, seed=9, ice_ring=0.4,
        diffuse_scattering=0.4,
    )  # fmt: skip
    maker = AnomalyMaker(settings)
    for i in range(20):
        event = maker.event(i)
        truth = event.truth
        np.testing.assert_array_equal(event.labels, maker.labels(i))
        label = dict(zip(ANOMALIES, event.labels.tolist(), strict=True))
        for name in ("loop_scattering", "diffuse_scattering", "ice_ring"):
            assert bool(truth[name]) == (label[name] != ABSENT)
        for name in ("artifact", "non_uniform_detector"):
            assert bool(truth[name]) == (label[name] != ABSENT)
        bounds = {
            "loop_scattering": (0.18, 0.12, truth["loop_scattering"].get("contrast", 0.0)),
            "background_ring": (0.25, 0.2, truth["background_ring"]["contrast"]),
            "ice_ring": (0.3, 0.2, truth["ice_ring"].get("contrast", 0.0)),
            "strong_background": (150, 150, truth["strong_background"]["level"]),
        }
        for name, (visible, most_unsure, value) in bounds.items():
            assert (value >= visible) == (label[name] == VISIBLE)
            assert label[name] == VISIBLE or value <= most_unsure


def test_visible_is_stronger_than_unsure_everywhere():
    ranges = [rings.RING, rings.ARCS, events.ICE, *uneven.KINDS.values(), *diffuse.KINDS.values()]
    for visible, unsure in ranges:
        assert 0 < unsure[0] < unsure[1] < visible[0] < visible[1]
    assert rings.RING[1][0] > rings.UNSEEN_RING


def test_noise_is_poissons():
    event = only("background_ring", "strong_background", side=256).event(1)
    seen = ~event.mask & (event.expected > 20)
    z = (event.image[seen] - event.expected[seen]) / np.sqrt(event.expected[seen])
    z = z[np.abs(z) < 6]
    assert len(z) > 2e4
    assert z.var() == pytest.approx(1.0, abs=0.04)


def test_cxi_run(tmp_path: Path):
    run = simulate_anomalies(
        tmp_path / "out", n_events=12, side=128, detector="jungfrau", seed=3, artifact=0.5, run=7
    )
    assert run.data.name == "run0007.cxi"
    maker = AnomalyMaker(
        AnomalySimulationSettings(
            n_events=12, side=128, detector="jungfrau", seed=3, artifact=0.5, run=7
        )
    )
    with h5py.File(run.data) as file:
        data = file["entry_1/data_1/data"]
        assert data.shape == (12, 128, 128)
        assert data.chunks == (1, 128, 128)
        assert data.compression == "gzip"
        event = maker.event(5)
        np.testing.assert_array_equal(data[5], event.image)
        np.testing.assert_array_equal(file["entry_1/data_1/mask"][()] != 0, event.mask)
        assert [str(n) for n in file["truth/labels"].attrs["classes"]] == list(ANOMALIES)
        labels = file["truth/labels"][()]
        assert tuple(file["truth/center"][5]) == event.center
        told = json.loads(file["truth/parameters"][5])
        assert told["strong_background"]["level"] == event.truth["strong_background"]["level"]
        energy = file["LCLS/photon_energy_eV"][0]
        assert energy == pytest.approx(12398.4198 / event.optics.wavelength)
    np.testing.assert_array_equal(labels, run.labels)
    for k, name in enumerate(ANOMALIES):
        listed = run.lists[name].read_text()
        numbers = [int(n) for n in re.findall(r"//(\d+)$", listed, re.MULTILINE)]
        assert numbers == np.flatnonzero(labels[:, k] == 1).tolist()
        if numbers:
            assert len(read_list(run.lists[name])) == len(numbers)


def test_geometry_places_the_pixels_where_the_simulation_has_them(tmp_path: Path):
    run = simulate_anomalies(tmp_path, n_events=1, side=128, detector="agipd", seed=8)
    ground = AnomalyMaker(
        AnomalySimulationSettings(n_events=1, side=128, detector="agipd", seed=8)
    ).ground(0)
    text = run.geometry.read_text()
    number = r"[-+]?[0-9.]+"
    with h5py.File(run.data) as file:
        clen = file["LCLS/detector_1/EncoderValue"][0] * 1e-3
    res = float(re.search(rf"^res = ({number})", text, re.MULTILINE)[1])
    q = np.full((128, 128), np.nan)
    for name in {m[1] for m in re.finditer(r"^(p\d+)/", text, re.MULTILINE)}:
        lines = dict(re.findall(rf"^{name}/(\w+) = (.*)$", text, re.MULTILINE))
        low_fs, high_fs, low_ss, high_ss = (
            int(lines[k]) for k in ("min_fs", "max_fs", "min_ss", "max_ss")
        )
        fs, ss = (
            [float(v) for v in re.findall(rf"({number})[xyz]", lines[k])] for k in ("fs", "ss")
        )
        start = [float(lines["corner_x"]), float(lines["corner_y"]), 0.0]
        i = np.arange(high_ss - low_ss + 1)[:, None] + 0.5
        j = np.arange(high_fs - low_fs + 1) + 0.5
        x, y, z = ((start[k] + j * fs[k] + i * ss[k]) / res for k in range(3))
        z = z + clen + float(lines["coffset"])
        angle = np.arctan2(np.hypot(x, y), z)
        wavelength = ground.optics.wavelength
        q[low_ss : high_ss + 1, low_fs : high_fs + 1] = 2 * np.sin(angle / 2) / wavelength
    np.testing.assert_array_equal(np.isfinite(q), ground.plane.active)
    active = ground.plane.active
    np.testing.assert_allclose(q[active], ground.maps.q[active], rtol=2e-4, atol=2e-6)


def test_equal_runs_are_equal_files(tmp_path: Path):
    for name in ("a", "b"):
        simulate_anomalies(tmp_path / name, n_events=3, side=128, detector="ccd")
    for inner in ("truth/labels", "entry_1/data_1/data", "truth/center"):
        with (
            h5py.File(tmp_path / "a/run0001.cxi") as a,
            h5py.File(tmp_path / "b/run0001.cxi") as b,
        ):
            np.testing.assert_array_equal(a[inner][()], b[inner][()])


def test_pictures_like_the_published_ones(tmp_path: Path):
    from PIL import Image

    run = simulate_anomaly_pictures(
        tmp_path, n_events=5, side=128, detector="any", setups="event", unsure=0.5, seed=2
    )
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", *ANOMALIES]
    assert len(rows) == 6
    said = np.array([[float(v) for v in row[1:]] for row in rows[1:]])
    np.testing.assert_array_equal(said, np.where(run.labels == -1, 0.5, run.labels))
    assert (said == 0.5).any()
    maker = AnomalyMaker(
        AnomalySimulationSettings(
            n_events=5, side=128, detector="any", setups="event", unsure=0.5, seed=2
        )
    )
    event = maker.event(1)
    with Image.open(tmp_path / "images" / f"{rows[2][0]}.png") as picture:
        assert picture.size == (512, 512)
        assert picture.mode == "L"
        greys = np.asarray(picture)
    # Dark where there is much: the other way round than the counts.
    small = greys.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    good = ~event.mask
    ranks = [np.argsort(np.argsort(v)) for v in (small[good], event.image[good])]
    assert np.corrcoef(*ranks)[0, 1] < -0.9
    with (tmp_path / "truth/centers.csv").open(newline="") as file:
        center = list(csv.reader(file))[2]
    # A pixel of 128 is four of 512, and pixel centres are whole numbers.
    assert float(center[1]) == pytest.approx(4 * event.center[0] + 1.5, abs=0.006)


def test_pictures_are_read_by_the_import(tmp_path: Path):
    from napari_xfelsort.core.anomalies.dataset import read_centers, read_labelled_pictures

    run = simulate_anomaly_pictures(tmp_path, n_events=4, side=128, detector="ccd")
    found = read_labelled_pictures(tmp_path)
    assert found.class_names == ANOMALIES
    np.testing.assert_array_equal(found.labels, run.labels == 1)
    assert len(read_centers(tmp_path / "truth/centers.csv")) == 4
    assert not found.problems


def test_nothing_is_replaced_unasked(tmp_path: Path):
    for write in (simulate_anomalies, simulate_anomaly_pictures):
        out = tmp_path / write.__name__
        write(out, n_events=1, side=128)
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        with pytest.raises(OutputError, match="exists already"):
            write(out, n_events=1, side=128)
        assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        write(out, n_events=1, side=128, overwrite=True)


def test_progress_is_told(tmp_path: Path):
    told: list[tuple[int, int]] = []
    simulate_anomalies(tmp_path, n_events=3, side=128, progress=lambda i, n: told.append((i, n)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detector": "film"}, "detector is 'film' but must be one of ccd, plate"),
        ({"ice_ring": 1.5}, "ice_ring is 1.5 fraction but must be at most 1"),
        ({"unsure": -0.1}, "unsure is -0.1"),
        ({"side": 64}, "side is 64 px but must be at least 128"),
        ({"n_events": 0}, "n_events is 0"),
        ({"detector": "any"}, "A run has one detector"),
        ({"rings": 1}, "Unknown setting 'rings'"),
        ({"setups": "event"}, "A CXI run has one geometry"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message):
        simulate_anomalies(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_single_event_by_default():
    event = simulate_anomaly_event()
    assert event.image.shape == (512, 512)
    assert event.detector == "pilatus"
    ground = Ground.draw(np.random.default_rng(0), AnomalySimulationSettings())
    assert ground.scale == 1.0
