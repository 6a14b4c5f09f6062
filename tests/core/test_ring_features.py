"""Ring vectors and azimuthal features of a model: the same as of assembled frames."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError, RegionError, SettingsError
from napari_xfelsort.core.features import FeatureExtractor, FeaturePlaces, FeatureSettings
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.representations import VECTOR_STATISTICS, frame_table
from napari_xfelsort.core.representations.azimuth import AZIMUTHAL_NAMES, PANEL_NAMES
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE = (60, 70)
CENTER = (33.0, 20.0)  # y, x of the beam, in pixel centres


def geometry() -> Geometry:
    return Geometry.single_panel(SHAPE, 1e-4, beam_center=(CENTER[0], CENTER[1]))


def frames(n=5, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE) - np.array(CENTER)[:, None, None]
    level = 200 * np.exp(-np.hypot(y, x) / 25) + 5
    made = rng.poisson(level, (n, *SHAPE)).astype(np.float32)
    if n < 3:
        return made
    made[1][(np.abs(x) < 3) & (y < 0)] = 1.0  # a beam stop in one event
    made[2, 10, 12] = np.nan
    return made


def make(masked=None, region="whole", **values):
    mask = None if masked is None else PixelMask.from_bad(masked)
    which = FeatureSettings(**{"kinds": ("ring_vector",), "vector_rings": 30} | values)
    return FeatureExtractor.for_region(which, Region.parse(region), SHAPE, geometry(), mask)


def some_mask():
    masked = np.random.default_rng(9).random(SHAPE) < 0.05
    masked[:, 40:44] = True
    return masked


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_a_ring_vector_is_that_of_the_assembled_frame(sigma):
    masked, data = some_mask(), frames()
    which = make(masked, beam_stop_sigma=sigma)
    table = frame_table(SHAPE, CENTER, masked, rings=30)
    known = ~np.isnan(table.radii)
    unmasked = frame_table(SHAPE, CENTER, rings=30)  # masks do not move rings
    assert np.allclose(which.places.vector.positions, unmasked.radii[known])
    found = which.extract(data)
    for row, frame in zip(found, data, strict=True):
        assert np.allclose(row, table.ring_vector(frame, sigma)[known].T.ravel(), rtol=1e-5)
    assert which.n_features == len(which.names) == len(which.units) == 7 * known.sum()
    assert which.names[0].startswith("minimum of ring")
    assert which.names[-1].startswith("95th percentile of ring")
    assert set(which.units) == {"ADU", "(ADU)^2"}


def test_a_beam_stop_makes_a_difference_in_its_event_only():
    data = frames()
    kept, cut = (make(beam_stop_sigma=s).extract(data) for s in (0.0, 4.0))
    other = ~np.isclose(kept, cut, rtol=0.01).all(axis=1)
    assert other.tolist() == [False, True, False, False, False]


def test_azimuthal_features_are_those_of_the_assembled_frame():
    masked, data = some_mask(), frames()
    which = make(masked, kinds=("azimuthal",), azimuthal_groups=4)
    table = frame_table(SHAPE, CENTER, masked, rings=30, groups=4)
    found = which.extract(data)
    n = 4 * len(AZIMUTHAL_NAMES)
    assert found.shape == (5, n + len(PANEL_NAMES)) == (5, len(which.names))
    moments = [k for k, name in enumerate(which.names) if not name.startswith("two-fold")][: n - 4]
    for row, frame in zip(found, data, strict=True):
        # Up and down are exchanged in the laboratory: no moment or contrast changes by that,
        # but a pixel exactly between two sectors is in the other one.
        assert np.allclose(row[moments], table.azimuthal(frame)[moments], rtol=0.2, atol=0.05)
    assert set(which.units) == {""}
    assert which.pixel_kinds == ()


def test_an_event_has_the_same_features_whatever_stands_beside_it():
    data = frames()
    which = make(some_mask(), kinds=("azimuthal", "ring_vector", "intensity"))
    together = which.extract(data)
    assert np.array_equal(together, np.concatenate([which.extract(f[None]) for f in data]))
    assert list(which.columns) == ["azimuthal", "ring_vector", "intensity"]
    values = np.arange(which.n_features, dtype=float)
    drawn = which.pixel_map(values)
    assert which.pixel_kinds == ("ring_vector",)
    assert np.isnan(drawn[some_mask()]).all()


def test_bad_values_of_events_are_left_out():
    data = frames()
    bad = np.random.default_rng(4).random(data.shape) < 0.1
    spoilt = np.where(bad, np.float32(1e7), data)
    with_nan = np.where(bad, np.float32(np.nan), data)
    which = make(kinds=("ring_vector", "azimuthal"))
    assert np.array_equal(which.extract(spoilt, bad), which.extract(with_nan))
    assert np.isnan(which.extract(spoilt, np.ones(data.shape, bool))).all()


def test_a_ring_without_a_good_value_takes_that_of_the_region():
    data = frames(1)
    which = make(beam_stop_sigma=0.0)
    bad = (which.places.vector.index == 20)[np.newaxis]
    row = which.extract(data, bad)[0].reshape(7, -1)[:, 20]
    rest = data[0][~bad[0]]
    expected = [
        *(rest.min(), rest.max(), np.median(rest), np.median(rest), rest.var()),
        *np.percentile(rest, (5, 95)),
    ]
    assert np.allclose(row, expected, rtol=1e-4)
    assert VECTOR_STATISTICS[2:4] == ("mean", "median")


@pytest.mark.parametrize("statistic", ["minimum", "maximum", "variance", "p5", "p95"])
def test_more_statistics_of_radial_features(statistic):
    data = frames()
    common = {"kinds": ("radial",), "radial_bins": 12, "radial_statistics": (statistic,)}
    found = make(**common).extract(data)
    vector = make(vector_rings=12, beam_stop_sigma=0.0).extract(data).reshape(5, 7, 12)
    assert np.array_equal(found, vector[:, VECTOR_STATISTICS.index(statistic)])


def test_rings_need_a_geometry_and_settings_that_make_sense():
    for kind in ("ring_vector", "azimuthal"):
        with pytest.raises(RegionError, match="geometry"):
            FeatureExtractor.for_region(FeatureSettings(kinds=(kind,)), Region(), SHAPE)
    for wrong in ({"vector_rings": 0}, {"beam_stop_sigma": -1.0}, {"azimuthal_groups": 0}):
        with pytest.raises(SettingsError):
            FeatureSettings(**wrong)


@pytest.fixture(scope="module")
def model():
    data = np.concatenate([frames(20), 1.6 * frames(20, 1)])
    stack = EventStack([ArraySource(data)], geometry=geometry())
    labels = ["weak"] * 20 + ["strong"] * 20
    return stack, xs.train(
        stack,
        labels,
        kinds=("ring_vector", "azimuthal"),
        vector_rings=20,
        azimuthal_groups=3,
        model="logistic_regression",
        workers=0,
        cache=False,
    )


def test_a_model_file_keeps_all_that_sorting_needs(model, tmp_path):
    stack, made = model
    made.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel")
    assert again.features == made.features
    decisions = again.predict(stack)
    assert np.array_equal(decisions.probabilities, made.predict(stack).probabilities)
    assert (np.asarray(decisions.classes) == ["weak"] * 20 + ["strong"] * 20).mean() > 0.9
    # Sorting takes the places of the model: another geometry changes nothing.
    other = EventStack([ArraySource(np.asarray(frames(3)))])
    assert len(again.predict(other).classes) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"sector": None},
        {"cell": None},
        {"sector": np.full(SHAPE, 400, np.int32)},
        {"cell": np.full(SHAPE, 10**6, np.int32)},
        {"cell": np.zeros(SHAPE, np.int64)},
        {"sector": np.zeros((3, 3), np.int32)},
    ],
)
def test_damaged_places_are_refused(model, tmp_path, change):
    _, made = model
    broken = dataclasses.replace(made, places=dataclasses.replace(made.places, **change))
    broken.save(tmp_path / "m.xfelmodel")
    with pytest.raises(ModelError):
        xs.load_model(tmp_path / "m.xfelmodel")


def test_places_survive_their_arrays():
    which = make(some_mask())
    again = FeaturePlaces.from_arrays(which.places.to_arrays(), which.pixels)
    assert np.array_equal(again.cell, which.places.cell)
    assert np.array_equal(again.vector.index, which.places.vector.index)
