"""The fast model of single particles: features against loops and laws, copies, training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError, RegionError, SettingsError
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings
from napari_xfelsort.core.features.moved import moved_extractor
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.learning.tuning import Share
from napari_xfelsort.core.learning.varied import with_copies
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.spi.augmenting import Variation, augmented_features, vary
from napari_xfelsort.core.spi.centring import with_beam_at
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import prepare
from napari_xfelsort.readers import open_stack

SHAPE, CENTER, RINGS = (50, 60), (21.3, 30.2), 8


def geometry(center=CENTER):
    return Geometry.single_panel(SHAPE, 1e-4, beam_center=center)


def make(masked=None, center=CENTER, **values):
    mask = None if masked is None else PixelMask.from_bad(masked)
    which = FeatureSettings(kinds=("particle",), scattering_rings=RINGS, **values)
    return FeatureExtractor.for_region(which, Region.parse("whole"), SHAPE, geometry(center), mask)


def rings_and_ways():
    y, x = np.indices(SHAPE)
    dy, dx = CENTER[0] - y, x - CENTER[1]  # y upwards
    away = np.hypot(dy, dx)
    ring = np.floor((away - away.min()) / (np.ptp(away) / RINGS)).astype(int)
    way = np.floor(np.degrees(np.arctan2(dy, dx)) % 360 / 30).astype(int)
    return np.clip(ring, 0, RINGS - 1), way


def expected(frame, good):
    """The three statistics from their definitions."""
    ring, way = rings_and_ways()
    n = np.array([(good & (ring == r)).sum() for r in range(RINGS)])
    first = max(r for r in range(RINGS) if n[r:].sum() >= 0.1 * n.sum())
    outer = good & (ring >= first)
    level, photons = frame[outer].mean(), frame[good].sum()
    excess = max(photons - level * n.sum(), 3 * np.sqrt(photons) + 1) / n.sum()
    found = np.zeros((3, RINGS))
    for r in range(RINGS):
        values = frame[good & (ring == r)]
        mean, s = values.mean(), max(values.mean() - level, 0)
        error = np.sqrt(max(mean, 0.5 / n[r]) / n[r] + level / outer.sum())
        found[0, r] = np.log((s + error) / excess)
        noise = mean * np.sqrt(2 / n[r]) + np.sqrt(mean / n[r])
        found[1, r] = (values.var() - mean) / (s * s + noise)
        parts = [frame[good & (ring == r) & (way == d)] for d in range(12)]
        parts = [p for p in parts if len(p) >= 3]
        counting = np.mean([mean / len(p) for p in parts])
        spread = np.var([p.mean() for p in parts], ddof=1)
        size = s * s + counting * np.sqrt(2 / (len(parts) - 1))
        found[2, r] = (spread - counting) / size
    return found.ravel()


def test_particle_features_are_those_of_their_definition():
    generator = np.random.default_rng(4)
    frames = generator.poisson(3.0, (2, *SHAPE)).astype(np.float32)
    frames[1, :20, 20:45] += 9
    masked = generator.random(SHAPE) < 0.05
    frames[:, masked] = 1e6
    which = make(masked)
    found = which.extract(frames, np.broadcast_to(masked, frames.shape))
    for frame, row in zip(frames, found, strict=True):
        assert row == pytest.approx(expected(frame, ~masked), rel=1e-4, abs=1e-5)
    assert which.n_features == len(which.names) == len(which.units) == 3 * RINGS
    assert which.names[0].startswith("strength of ring")
    assert which.names[-1].startswith("contrast over directions of ring")
    shown = which.pixel_map(np.arange(3.0 * RINGS))
    ring, _ = rings_and_ways()
    assert shown[(ring == 2) & ~masked] == pytest.approx(2 + (2 + RINGS) + (2 + 2 * RINGS))
    adu = make(masked, adu_per_photon=25.0).extract(
        frames * 25, np.broadcast_to(masked, (2, *SHAPE))
    )
    assert adu == pytest.approx(found, rel=1e-4, abs=1e-5)


def test_contrast_is_that_of_the_light_whatever_brightness_and_background():
    # In each ring half of the pixels have 1.5 and half 0.5 of the mean: variance / s^2 is 0.25.
    generator = np.random.default_rng(5)
    ring, _ = rings_and_ways()
    light = np.where(np.indices(SHAPE).sum(axis=0) % 2, 1.5, 0.5) * (ring < RINGS - 3)
    found = []
    for brightness, background in ((40.0, 0.0), (40.0, 3.0), (15.0, 1.0)):
        frames = generator.poisson(brightness * light + background, (60, *SHAPE))
        rows = make().extract(frames.astype(np.float32)).reshape(60, 3, RINGS).mean(axis=0)
        found.append(rows)
        assert rows[1, 1 : RINGS - 3] == pytest.approx(0.25, abs=0.05)
        assert rows[1:, RINGS - 2 :] == pytest.approx(0, abs=0.5)
    for other in found[1:]:
        assert other[0, : RINGS - 3] == pytest.approx(found[0][0, : RINGS - 3], abs=0.15)


def test_dark_events_have_features_and_empty_ones_none():
    frames = np.zeros((2, *SHAPE), np.float32)
    frames[1] = np.nan
    found = make().extract(frames)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    with pytest.raises(RegionError, match="need a geometry"):
        FeatureExtractor.for_region(
            FeatureSettings(kinds=("particle",)), Region.parse("whole"), SHAPE
        )


def test_moved_rings_are_those_of_a_geometry_with_the_beam_there():
    which = make()
    same = moved_extractor(which, geometry())
    assert np.array_equal(same.places.scattering.index, which.places.scattering.index)
    # x to the right as columns, y up against rows.
    moved = moved_extractor(which, geometry(), shift=(3.0, -2.0))
    y, x = np.indices(SHAPE)
    away = np.hypot(y - (CENTER[0] + 2), x - (CENTER[1] + 3))
    ring, _ = rings_and_ways()
    before = np.hypot(y - CENTER[0], x - CENTER[1])
    inside = (away >= before.min()) & (away <= before.max())
    edges = [before[ring == r].min() for r in range(RINGS)]
    index = moved.places.scattering.index
    wanted = np.where(inside, np.searchsorted(edges, away, side="right") - 1, -1)
    assert (index == wanted).mean() > 0.999  # pixels on an edge may be on either side
    there = make(center=(CENTER[0] + 2, CENTER[1] + 3)).places.sector
    assert np.array_equal(moved.places.sector, there)
    half = moved_extractor(which, geometry(), scale=0.5).places.scattering.index
    wanted = (before * 0.5 >= edges[3]) & (before * 0.5 < edges[4])
    assert ((half == 3) == wanted).mean() > 0.999
    with pytest.raises(RegionError, match="need a geometry"):
        moved_extractor(which, None)


def test_a_varied_frame_has_the_law_of_fewer_photons_and_more_background():
    random = np.random.default_rng(6)
    frame = np.full((300, 300), 4.0)
    frame[:, :10] = np.nan
    frame[:, 10:20] = -0.25
    frame = np.where(frame == 4.0, random.poisson(4.0, frame.shape), frame)
    found = vary(frame, Variation(0.3, 0.5), random)
    assert np.isnan(found[:, :10]).all()
    assert found[:, 10:20].mean() == pytest.approx(0.25, abs=0.06)
    counts = np.bincount(found[:, 20:].astype(int).ravel(), minlength=12)[:12]
    law = stats.poisson.pmf(np.arange(12), 4 * 0.3 + 0.5) * 280 * 300
    assert stats.chisquare(counts[:8], law[:8] * counts[:8].sum() / law[:8].sum()).pvalue > 1e-3
    assert vary(frame, Variation(1.0, 0.0), random) == pytest.approx(frame, nan_ok=True)


SMALL = {"side": 64, "shape": "sphere", "deformed": 0, "streak": 0, "doublet": 0, "cluster": 0}
SHARES = {"single": 0.4, "wrong_size": 0.3, "blank": 0.3}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spi")
    run = simulate_spi(folder, n_events=60, seed=3, **SMALL, **SHARES)
    labels = ["single" if name == "single" else "other" for name in run.names]
    return open_stack(run.data, geometry=run.geometry), labels


def test_copies_depend_on_seed_and_event_alone(simulated):
    stack, _ = simulated
    extractor = FeatureExtractor.for_stack(
        FeatureSettings(kinds=("particle",), scattering_rings=12), None, stack
    )
    found = augmented_features(stack, np.arange(8), extractor, 2, seed=1)
    assert found.shape == (8, 2, extractor.n_features)
    assert np.isfinite(found).all()
    some = augmented_features(stack, np.array([5, 2]), extractor, 1, seed=1)
    assert np.array_equal(some[:, 0], found[[5, 2], 0])
    assert not np.array_equal(found[:, 0], found[:, 1])
    assert not np.array_equal(augmented_features(stack, np.arange(8), extractor, 2, 2), found)


def test_copies_are_made_of_events_that_train_and_left_out_with_them(simulated):
    stack, labels = simulated
    settings = TrainSettings(
        model="spi", split="event", cache=False, workers=0, scattering_rings=12, target="single"
    )
    assert settings.kinds == ("particle",)
    assert settings.copies == 2
    prepared = prepare(stack, labels, settings)
    assert prepared.copies.shape == (60, 2, prepared.extractor.n_features)
    known = np.isfinite(prepared.copies).all(axis=(1, 2))
    assert np.array_equal(known, ~prepared.division.test)
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    copies = np.stack([matrix + 10, matrix + 20], axis=1)
    copies[2, 0] = np.nan
    share = Share(matrix, np.array([0, 1, 1]), np.array([0, 1, 2]), copies)
    rows, classes = share.training(np.array([True, False, True]))
    assert rows[:, 0].tolist() == [0, 4, 10, 20, 24]
    assert classes.tolist() == [0, 1, 0, 0, 1]
    assert with_copies(matrix, np.array([0, 1, 1]), None)[0] is matrix


def test_the_fast_model_finds_single_particles_of_another_beam(simulated, tmp_path):
    stack, labels = simulated
    model = xs.train(
        stack,
        labels,
        model="spi",
        target="single",
        scattering_rings=16,
        split="event",
        n_estimators=40,
        workers=0,
        cache=False,
    )
    model.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel")
    assert again.digest == model.digest
    assert again.provenance["settings"]["model"] == "spi"
    other = simulate_spi(
        tmp_path / "run", n_events=60, seed=8, background=0.06, jitter=1.0, **SMALL, **SHARES
    )
    truth = np.array([name == "single" for name in other.names])
    decided = again.predict(open_stack(other.data))  # it keeps its places: no geometry needed
    single = decided.probabilities[:, again.class_names.index("single")]
    assert single[truth].mean() > 0.5 > single[~truth].mean()
    assert ((np.asarray(decided.classes) == "single") == truth).mean() > 0.8


def test_a_model_follows_the_beam(tmp_path):
    run = simulate_spi(tmp_path / "a", n_events=60, seed=3, **SMALL, **SHARES, hole=0, gap=0)
    stack = open_stack(run.data, geometry=run.geometry)
    truth = np.array([name == "single" for name in run.names])
    labels = ["single" if single else "other" for single in truth]
    options = {"split": "event", "cache": False, "workers": 0, "n_estimators": 20}
    model = xs.train(
        stack, labels, model="spi", target="single", scattering_rings=12, augmented=0, **options
    )
    # The same frames, but the beam 5 rows lower and 4 columns further.
    frames = np.stack([stack.raw(i) for i in range(60)])
    moved = EventStack([ArraySource(np.roll(frames, (5, 4), axis=(1, 2)), "moved.cxi")])
    beam = stack.geometry.beam_position
    made = with_beam_at(model, stack.geometry, (beam[0] + 5, beam[1] + 4))
    column = model.class_names.index("single")
    before = model.predict(stack).probabilities[:, column]
    without = model.predict(moved).probabilities[:, column]
    followed = made.predict(moved).probabilities[:, column]
    assert np.abs(followed - before).mean() < 0.5 * np.abs(without - before).mean()
    assert ((followed > 0.5) == truth).mean() > 0.9
    assert made.provenance["beam"]["shift_pixels"] == pytest.approx([4, -5], abs=1e-6)
    made.save(tmp_path / "m.xfelmodel")
    assert xs.load_model(tmp_path / "m.xfelmodel").digest == made.digest != model.digest
    with pytest.raises(ModelError, match="moved before"):
        with_beam_at(made, stack.geometry, beam)
    with pytest.raises(ModelError, match="trained with"):
        with_beam_at(model, geometry(), beam)
    with pytest.raises(ModelError, match="trained with"):
        with_beam_at(model, None, beam)
    pixels = dataclasses.replace(model, features=FeatureSettings(kinds=("intensity",)))
    with pytest.raises(ModelError, match="particle and scattering"):
        with_beam_at(pixels, stack.geometry, beam)


def test_settings_of_the_fast_model():
    chosen = TrainSettings(model="spi", kinds=("scattering", "intensity"))
    assert chosen.kinds == ("scattering", "intensity")
    assert chosen.copies == 0
    assert TrainSettings(model="spi", augmented=0).copies == 0
    assert TrainSettings(model="random_forest").copies == 0
    assert TrainSettings(model="random_forest", kinds=("particle",), augmented=3).copies == 3
    with pytest.raises(SettingsError, match="particle and scattering alone"):
        TrainSettings(augmented=1)
    spi = TrainSettings(model="spi")
    assert TrainSettings.from_dict(spi.to_dict()) == spi
    assert TrainSettings(model="spi", search="small").search_fits == 4 * spi.folds
    assert dataclasses.replace(spi, seed=3).kinds == ("particle",)
