"""Where anomalies are: rings and panels that were planted must light up, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_xfelsort.core.anomalies import attribution, default_model
from napari_xfelsort.core.anomalies.attribution import attribute
from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.errors import ModelError, RegionError, SettingsError

SHAPE, CENTER = (128, 132), (60.0, 70.0)
#: The dead panel of some frames, and the radius of the ring of others.
PANEL, RADIUS = (slice(16, 40), slice(84, 120)), 34.0
OPTICS = Optics(1.0, 130.0)


class Sees:
    """A classifier of one column: the further above a level, the likelier.

    Classifiers are given the inverse hyperbolic sine of features.
    """

    def __init__(self, column, level, scale):
        self.column, self.level, self.scale = column, level, scale

    def predict_proba(self, matrix):
        odds = (np.sinh(matrix[:, self.column].astype(float)) - self.level) / self.scale
        p = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return np.stack([1 - p, p], axis=1)


def radius(shape=SHAPE, center=CENTER):
    y, x = np.indices(shape) - np.array(center)[:, None, None]
    return np.hypot(y, x)


def frame(seed=0, ring=0.0, at=RADIUS, panel=False):
    """Counts that fall off smoothly, with a narrow ring or an empty panel."""
    r = radius()
    level = 120 * np.exp(-r / 40) + 20
    level *= 1 + ring * np.exp(-(((r - at) / 1.3) ** 2))
    made = np.random.default_rng(seed).poisson(level).astype(np.float32)
    if panel:
        made[PANEL] = 0
    return made


NAMES = ("rise", "empty", "level")


def looked_at(given, center, mask=None, optics=None):
    """Largest rise of the median at a radius, share of empty pixels, level: plain and quick."""
    number = np.rint(np.hypot(*(np.indices(given.shape) - np.array(center)[:, None, None])))
    good = np.isfinite(given) if mask is None else np.isfinite(given) & ~mask
    number = number[good].astype(int)
    counts = np.bincount(number, minlength=120)
    values = given[good][np.lexsort((given[good], number))]
    starts = np.cumsum(counts) - counts
    median = values[np.minimum(starts + counts // 2, len(values) - 1)]
    sides = (np.roll(median, 8) + np.roll(median, -8)) / 2
    rise = (median / np.maximum(sides, 1))[10:55]
    return {
        "rise": float(rise[counts[10:55] > 0].max(initial=0)),
        "empty": float((given[good] <= 0).mean()),
        "level": float(given[good].mean()),
    }


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Models look at three numbers here; one test is about the real ones."""
    monkeypatch.setattr(attribution, "frame_features", looked_at)


def model_of(names=NAMES, **classifiers):
    """A model of such classifiers, by class: ``(feature, level, scale)``."""
    return AnomalyModel(
        tuple(classifiers),
        "frame_features",
        names,
        len(names),
        tuple(Sees(names.index(which[0]), *which[1:]) for which in classifiers.values()),
        ("logistic_regression",) * len(classifiers),
        np.full(len(classifiers), 0.5),
    )


RING_MODEL = model_of(ice_ring=("rise", 1.5, 0.08))
PANEL_MODEL = model_of(strong_background=("level", 20.0, 3.0), artifact=("empty", 0.01, 0.003))


def test_a_ring_lights_up_at_its_radius():
    found = attribute(RING_MODEL, frame(ring=1.5), "ice_ring", CENTER)
    assert found.class_name == "ice_ring"
    assert found.probability > 0.95
    assert found.smooth < 0.1
    low, high = found.strongest
    assert low - 1 < RADIUS < high + 1
    assert found.heat.shape == SHAPE
    r = radius()
    on = np.abs(r - RADIUS) < 2
    off = np.abs(r - RADIUS) > 12
    assert np.isfinite(found.heat).all()
    assert found.heat[on].mean() > 2
    assert np.abs(found.heat[off]).mean() < 0.25 * found.heat[on].mean()
    # All around, not on one side only.
    y, x = np.indices(SHAPE) - np.array(CENTER)[:, None, None]
    for side in (y > 5, y < -5, x > 5, x < -5):
        assert found.heat[(np.abs(r - RADIUS) < 1) & side].min() > 1


def test_two_rings_light_up_though_each_would_do():
    both = frame(ring=1.5)
    both += frame(1, ring=1.5, at=52.0)
    found = attribute(RING_MODEL, both, "ice_ring", CENTER)
    r = radius()
    for at in (RADIUS, 52.0):
        assert found.heat[np.abs(r - at) < 1.5].mean() > 0.8
    assert np.abs(found.heat[np.abs(r - 14) < 2]).mean() < 0.3


def test_a_dead_panel_lights_up_where_it_is():
    found = attribute(PANEL_MODEL, frame(panel=True), "artifact", CENTER)
    assert found.probability > 0.9
    inside = np.zeros(SHAPE, bool)
    inside[PANEL] = True
    highest = np.unravel_index(np.nanargmax(found.heat), SHAPE)
    assert inside[highest]
    heat = np.clip(found.heat, 0, None)
    assert heat[inside].mean() > 8 * heat[~inside].mean()
    assert heat[inside].mean() > 0.5
    far = (np.indices(SHAPE)[0] > 70) & (np.indices(SHAPE)[1] < 60)
    assert heat[far].max() < 0.1 * heat.max()


def test_what_is_of_the_whole_frame_has_no_place():
    found = attribute(PANEL_MODEL, frame(), "strong_background", CENTER)
    assert found.probability > 0.9
    assert found.smooth > 0.9
    assert np.abs(found.heat).max() < 0.2 * 9
    # A frame without the anomaly has none of it anywhere.
    clean = attribute(RING_MODEL, frame(3), "ice_ring", CENTER)
    assert clean.probability < 0.2
    assert clean.heat.max() < 1


def test_pixels_without_a_value_have_none():
    given = frame(ring=1.5)
    bad = np.zeros(SHAPE, bool)
    bad[50:54] = True
    given[100:, :10] = np.nan
    found = attribute(RING_MODEL, given, "ice_ring", CENTER, bad, OPTICS)
    assert np.array_equal(np.isnan(found.heat), bad | np.isnan(given))
    low, high = found.strongest
    assert low - 1 < RADIUS < high + 1
    assert found.edges.shape == (len(found.rings), 2)
    assert (found.edges[:, 0] >= 0).all()
    assert (found.edges[:, 0] < found.edges[:, 1]).all()
    assert found.edges.max() <= radius().max() + 1e-3


def test_equal_seeds_give_equal_maps_and_the_frame_stays():
    given = frame(ring=1.5, panel=True)
    before = given.copy()
    first, second = (
        attribute(RING_MODEL, given, "ice_ring", CENTER, seed=4).heat for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert np.array_equal(given, before)


def test_progress_is_told_and_can_stop_it():
    told = []
    attribute(RING_MODEL, frame(ring=1.5), "ice_ring", CENTER, progress=lambda *n: told.append(n))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][0] == told[-1][1]
    assert all(done <= total for done, total in told)

    class Enough(Exception):
        pass

    def stop(done, total):
        if done == 5:
            raise Enough

    with pytest.raises(Enough):
        attribute(RING_MODEL, frame(ring=1.5), "ice_ring", CENTER, progress=stop)


def test_the_numbers_of_real_models_show_it_too(monkeypatch):
    monkeypatch.setattr(attribution, "frame_features", frame_features)
    names = tuple(frame_features(frame(), CENTER))
    model = model_of(names, ice_ring=("wide rise of ring median", 0.7, 0.08))
    part = frame(ring=1.5, at=18.0)[28:92, 38:102]
    found = attribute(model, part, "ice_ring", (32.0, 32.0))
    low, high = found.strongest
    assert low - 2 < 18 < high + 2


@pytest.mark.parametrize(("contrast", "spacings"), [(1.0, [3.90]), (6.0, [3.90, 2.25, 1.92])])
def test_the_default_model_shows_rings_of_ice_however_strong(monkeypatch, contrast, spacings):
    monkeypatch.setattr(attribution, "frame_features", frame_features)
    monkeypatch.setattr(attribution, "_DIVISIONS", 0)  # quicker: no finer parts are asked for
    shape, center, optics = (192, 192), (90.0, 101.0), Optics(1.0, 190.0)
    r = radius(shape, center)
    # Bragg: where rings of ice are.
    at = optics.distance * np.tan(2 * np.arcsin(optics.wavelength / (2 * np.array(spacings))))
    level = 600 * np.exp(-r / 35) + 60
    heights = contrast * np.array([1.0, 0.5, 0.2][: len(at)])
    excess = (heights * np.exp(-0.5 * ((r[..., None] - at) / 1.2) ** 2)).sum(axis=-1)
    given = np.random.default_rng(5).poisson(level * (1 + excess))
    found = attribute(default_model(), given, "ice_ring", center, optics=optics)
    features = np.array([list(frame_features(given, center, None, optics).values())], np.float32)
    own = default_model().probabilities(features)[0, ANOMALIES.index("ice_ring")]
    assert found.probability == pytest.approx(own, rel=1e-4)
    low, high = found.strongest
    assert ((low - 1 < at) & (at < high + 1)).any()
    assert high - low < 15
    away = np.arange(5, 85)
    profile = np.array([found.heat[np.abs(r - each) < 1].mean() for each in away])
    assert np.abs(away[profile.argmax()] - at).min() < 4
    for each in at[at < 80]:
        assert profile[np.abs(away - each).argmin()] > 0.4 * profile.max()
    beside = np.abs(r[..., None] - at).min(axis=-1) > 9
    assert np.abs(found.heat[beside]).mean() < 0.2 * profile.max()


def test_only_what_rises_is_a_ring():
    for seed in range(3):
        none = attribute(RING_MODEL, frame(seed), "ice_ring", CENTER)
        assert none.edges.shape == (len(none.rings), 2)
        assert not (none.edges[:, 0] < 55).any()  # of the corners there are few pixels
    found = attribute(
        RING_MODEL, frame(ring=1.5) + frame(1, ring=1.5, at=52.0), "ice_ring", CENTER
    )
    inside = [(found.edges[:, 0] < at) & (at < found.edges[:, 1]) for at in (RADIUS, 52.0)]
    assert all(each.any() for each in inside)
    assert found.edges[:, 1].max() <= radius().max() + 1


def test_models_of_ring_vectors_are_asked_in_their_way():
    n = len(grey_ring_vector(frame(), CENTER))
    number = int(RADIUS / radius().max() * 240)  # rings of equal width from the centre on

    class Ring:
        def predict_proba(self, matrix):
            rings = matrix.reshape(len(matrix), 240, 7)[..., 3]
            rise = rings[:, number] - (rings[:, number - 10] + rings[:, number + 10]) / 2
            p = 1 / (1 + np.exp(-(rise - 20.0) / 5))
            return np.stack([1 - p, p], axis=1)

    model = AnomalyModel(("ice_ring",), "ring_vector", (), n, (Ring(),), ("svm",), np.array([0.5]))
    found = attribute(model, frame(ring=1.5), "ice_ring", CENTER)
    low, high = found.strongest
    assert low - 4 < RADIUS < high + 4


def test_single_photons_are_no_trouble():
    few = np.random.default_rng(2).poisson(0.05, SHAPE).astype(np.float32)
    found = attribute(RING_MODEL, few, "ice_ring", CENTER)
    assert np.isfinite(found.heat).all()
    nothing = attribute(RING_MODEL, np.zeros(SHAPE, np.float32), "ice_ring", (-40.0, 300.0))
    assert np.isfinite(nothing.heat).all()


def test_what_cannot_be_done_is_told(monkeypatch):
    given = frame()
    monkeypatch.setattr(attribution, "frame_features", frame_features)
    with pytest.raises(ModelError, match="knows no 'artifact'; it knows ice_ring"):
        attribute(RING_MODEL, given, "artifact", CENTER)
    with pytest.raises(RegionError, match="All pixels are bad"):
        attribute(RING_MODEL, np.full(SHAPE, np.nan), "ice_ring", CENTER)
    with pytest.raises(RegionError, match="All pixels are bad"):
        attribute(RING_MODEL, given, "ice_ring", CENTER, np.ones(SHAPE, bool))
    with pytest.raises(SettingsError, match="mask has shape"):
        attribute(RING_MODEL, given, "ice_ring", CENTER, np.zeros((3, 3), bool))
    with pytest.raises(SettingsError, match="is no place"):
        attribute(RING_MODEL, given, "ice_ring", (np.nan, 4.0))
    with pytest.raises(SettingsError, match="no picture"):
        attribute(RING_MODEL, given[np.newaxis], "ice_ring", CENTER)
    other = dataclasses.replace(RING_MODEL, feature_names=NAMES[::-1])
    with pytest.raises(ModelError, match="other features"):
        attribute(other, given, "ice_ring", CENTER)


def test_a_model_that_is_sure_still_shows_where():
    class Sure(Sees):
        def predict_proba(self, matrix):
            return np.stack([np.zeros(len(matrix)), np.ones(len(matrix))], axis=1)

        def decision_function(self, matrix):
            return 900 + 100 * np.sinh(matrix[:, self.column].astype(float))

    model = dataclasses.replace(RING_MODEL, classifiers=(Sure(0, 0, 1),))
    found = attribute(model, frame(ring=1.5), "ice_ring", CENTER)
    assert found.probability == found.smooth == 1
    low, high = found.strongest
    assert low - 1 < RADIUS < high + 1
