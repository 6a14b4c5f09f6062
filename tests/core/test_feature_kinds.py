"""Each kind of feature against its formula, written out for single frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geometries import HEAD, panel, text
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xfelsort.core.errors import RegionError, SettingsError, UnreadableFileError
from napari_xfelsort.core.events import Peaks
from napari_xfelsort.core.features import (
    FeatureExtractor,
    FeatureReader,
    FeatureSettings,
    StoredEvent,
    extract_stack,
    principal_components,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE = (2, 5, 7)
BEAM = (2.25, 1.5)  # x, y of the corner of module 0, in pixels


def two_modules() -> Geometry:
    """Modules of 5 x 7 pixels of 0.1 mm, the second right of the first, fs along +x."""
    head = {**HEAD, "dim2": "ss", "dim3": "fs"} | {"dim1": 0}
    panels = {
        f"m{k}": panel(7, 5, (-BEAM[0] + 9 * k, -BEAM[1]), dim0="%", dim1=k) for k in range(2)
    }
    return Geometry.from_crystfel_text(text(panels, head))


def laboratory() -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel's centre in pixels, from the numbers above."""
    module, ss, fs = np.indices(SHAPE)
    return fs + 0.5 - BEAM[0] + 9 * module, ss + 0.5 - BEAM[1]


def q_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """4 pi sin(theta) / wavelength at 9300 eV and 0.1 m, pixels of 0.1 mm."""
    wavelength = 12398.419843320026 / 9300
    return 4 * np.pi / wavelength * np.sin(np.arctan(np.hypot(x, y) * 1e-4 / 0.1) / 2)


def some_frames(dtype, shape=SHAPE, n=6, seed=0):
    """Frames, values that are bad in single events, and pixels masked in all."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(200, 60, (n, *shape)).astype(dtype)
    bad = rng.random(frames.shape) < 0.1
    if np.dtype(dtype).kind == "f":
        frames[rng.random(frames.shape) < 0.05] = np.nan
        frames[1].flat[3] = np.inf
    bad[2] = True  # an event without a good value
    masked = rng.random(shape) < 0.1
    return frames, bad, masked


def good_of(frames, bad, masked):
    return ~bad & ~masked & np.isfinite(frames.astype(np.float64))


def make(shape=SHAPE, region="whole", masked=None, geometry=None, beam=(), **values):
    mask = None if masked is None else PixelMask.from_bad(masked)
    return FeatureExtractor.for_region(
        FeatureSettings(**values), Region.parse(region), shape, geometry, mask, *beam
    )


def divisor(values, how):
    return {"none": 1.0, "mean": values.mean(), "median": np.median(values)}[how]


DTYPES = [np.int16, np.uint16, np.int32, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["none", "mean", "median"])
def test_intensity(dtype, how):
    frames, bad, masked = some_frames(dtype)
    which = make(masked=masked, kinds=("intensity",), normalise=how, above=0.9)
    found = which.extract(frames, bad)
    assert found.shape == (6, 7)
    assert found.dtype == np.float32
    assert np.isnan(found[2]).all()
    for k in (0, 1, 3, 4, 5):
        v = frames[k][good_of(frames, bad, masked)[k]].astype(np.float64)
        v = v / divisor(v, how)
        m = sum(v) / len(v)
        s = math.sqrt(sum((v - m) ** 2) / len(v))
        expected = [
            m,
            s,
            min(v),
            max(v),
            sum((v - m) ** 3) / len(v) / s**3,
            sum((v - m) ** 4) / len(v) / s**4 - 3,
            sum(v > 0.9) / len(v),
        ]
        assert np.allclose(found[k], expected, rtol=1e-5, atol=1e-6)


def test_skewness_and_kurtosis_agree_with_scipy():
    from scipy.stats import kurtosis, skew

    frames = np.random.default_rng(3).gamma(2, 50, (4, 30, 20))
    found = make((30, 20), kinds=("intensity",)).extract(frames)
    assert np.allclose(found[:, 4], skew(frames.reshape(4, -1), axis=1), rtol=1e-5)
    assert np.allclose(found[:, 5], kurtosis(frames.reshape(4, -1), axis=1), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e30, 65535])
def test_equal_values_have_no_spread(value):
    frames = np.full((2, 6, 5), value)
    found = make((6, 5), kinds=("intensity",)).extract(frames)
    assert np.allclose(found[:, [0, 2, 3]], value, rtol=1e-6)
    assert (found[:, [1, 4, 5]] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantiles(dtype):
    frames, bad, masked = some_frames(dtype)
    wanted = (0.0, 0.013, 0.25, 0.5, 0.9, 1.0)
    found = make(masked=masked, kinds=("quantiles",), quantiles=wanted).extract(frames, bad)
    for k in (0, 1, 3, 4, 5):
        v = sorted(frames[k][good_of(frames, bad, masked)[k]].tolist())
        for column, q in enumerate(wanted):
            place = q * (len(v) - 1)
            low = v[math.floor(place)]
            high = v[math.ceil(place)]
            expected = low + (place - math.floor(place)) * (high - low)
            assert found[k, column] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("axis", ["fs", "ss", "x", "y"])
def test_profile(dtype, statistic, axis):
    frames, bad, masked = some_frames(dtype)
    masked[:, 2] = True  # a row of both modules has no good pixel: no feature
    masked[1, :, 4] = True
    bad[0, :, 1] = True  # no good value in one event: the median of all stands in
    x, y = laboratory()
    _module, ss, fs = np.indices(SHAPE)
    along = {"fs": fs, "ss": ss, "x": x, "y": y}[axis]
    which = make(
        masked=masked,
        geometry=two_modules(),
        kinds=("profile",),
        profile_axis=axis,
        profile_statistic=statistic,
    )
    found = which.extract(frames, bad)
    good = good_of(frames, bad, masked)
    places = sorted(set(np.round(along[~masked], 6).tolist()))
    assert which.n_features == len(places)
    assert np.allclose(which.places.profile.positions, places)
    for k in (0, 1, 3, 4, 5):
        for column, place in enumerate(places):
            there = good[k] & (np.abs(along - place) < 1e-5)
            use = there if there.any() else good[k]
            v = frames[k][use].astype(np.float64)
            plain = there.any() and statistic == "mean"
            expected = v.mean() if plain else np.median(v)
            assert found[k, column] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("axis", ["pixels", "q"])
@pytest.mark.parametrize("how", ["none", "mean"])
@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_rings(axis, how, dtype):
    frames, bad, masked = some_frames(dtype)
    x, y = laboratory()
    away = np.hypot(x, y) if axis == "pixels" else q_of(x, y)
    n = 6
    edges = away.min() + np.arange(n + 1) * (away.max() - away.min()) / n
    ring = np.clip(np.searchsorted(edges, away, side="right") - 1, 0, n - 1)
    bad[0][ring == 3] = True
    statistics = ("mean", "sd", "median", "fraction")
    which = make(
        masked=masked,
        geometry=two_modules(),
        beam=(9300.0, 0.1),
        kinds=("radial",),
        radial_axis=axis,
        radial_bins=n,
        radial_statistics=statistics,
        above=1.05 if how == "mean" else 210,
        normalise=how,
    )
    found = which.extract(frames, bad)
    kept = sorted(set(ring[~masked].tolist()))
    assert found.shape == (6, 4 * len(kept))
    good = good_of(frames, bad, masked)
    for k in (0, 1, 3, 4, 5):
        everything = frames[k][good[k]].astype(np.float64)
        by = divisor(everything, how)
        expected = []
        for statistic in statistics:
            for number in kept:
                there = good[k] & (ring == number)
                v = (frames[k][there].astype(np.float64) if there.any() else everything) / by
                formulas = {
                    "mean": v.mean() if there.any() else np.median(v),
                    "sd": math.sqrt(((v - v.mean()) ** 2).mean()),
                    "median": np.median(v),
                    "fraction": (v > which.settings.above).mean(),
                }
                expected.append(formulas[statistic])
        assert np.allclose(found[k], expected, rtol=1e-4, atol=1e-5)
    assert np.isnan(found[2]).all()


def test_rings_are_at_the_mean_of_their_pixels_and_masks_do_not_move_them():
    x, y = laboratory()
    away = np.hypot(x, y)
    masked = away > 0.8 * away.max()
    options = {"geometry": two_modules(), "kinds": ("radial",), "radial_bins": 5}
    whole, part = make(**options), make(masked=masked, **options)
    assert len(part.places.radial.positions) == 4
    assert np.array_equal(part.places.radial.positions, whole.places.radial.positions[:4])
    outer = away >= away.min() + 0.8 * np.ptp(away)
    assert whole.places.radial.positions[4] == pytest.approx(away[outer].mean())


def test_median_blocks_against_loops():
    frames, bad, masked = some_frames(np.float32)
    which = make(masked=masked, kinds=("pixels",), bin=3, bin_statistic="median")
    found = which.extract(frames, bad)
    good = good_of(frames, bad, masked)
    for k in (0, 1, 3, 4, 5):
        expected = []
        for module in range(2):
            for ss in range(0, 5, 3):
                for fs in range(0, 7, 3):
                    block = (module, slice(ss, ss + 3), slice(fs, fs + 3))
                    v = frames[k][block][good[k][block]]
                    expected.append(np.median(v if len(v) else frames[k][good[k]]))
        assert np.allclose(found[k], expected, rtol=1e-6)


def test_kinds_stand_beside_one_another_in_their_order():
    frames, bad, masked = some_frames(np.int16)
    kinds = ("quantiles", "pixels", "intensity")
    which = make(masked=masked, kinds=kinds, bin=2)
    parts = [make(masked=masked, kinds=(kind,), bin=2) for kind in kinds]
    found = which.extract(frames, bad)
    alone = np.concatenate([part.extract(frames, bad) for part in parts], axis=1)
    assert np.array_equal(found, alone, equal_nan=True)
    assert which.names == [name for part in parts for name in part.names]
    assert len(which.units) == len(which.names) == which.n_features == found.shape[1]
    assert list(which.columns) == list(kinds)
    assert np.array_equal(
        found[:, which.columns["intensity"]], parts[2].extract(frames, bad), equal_nan=True
    )


@pytest.mark.parametrize("kinds", [("intensity", "quantiles"), ("radial", "profile", "pixels")])
@pytest.mark.parametrize("how", ["none", "mean", "median"])
def test_an_event_has_the_same_features_whatever_stands_beside_it(kinds, how, monkeypatch):
    frames, bad, masked = some_frames(np.float32, n=9)
    statistics = ("mean", "sd", "median", "fraction")
    which = make(
        masked=masked,
        geometry=two_modules(),
        kinds=kinds,
        normalise=how,
        radial_statistics=statistics,
    )
    together = which.extract(frames, bad)
    alone = np.concatenate([which.extract(frames[k : k + 1], bad[k : k + 1]) for k in range(9)])
    assert together.tobytes() == alone.tobytes()
    monkeypatch.setattr("napari_xfelsort.core.features.statistics._CHUNK", 150)
    assert which.extract(frames, bad).tobytes() == together.tobytes()


def test_pulse_energy_does_not_decide():
    frames = np.random.default_rng(4).uniform(50, 90, (3, *SHAPE))
    kinds = ("pixels", "profile", "radial", "intensity", "quantiles")
    for how in ("mean", "median"):
        which = make(kinds=kinds, normalise=how, geometry=two_modules(), above=1.0)
        assert np.allclose(which.extract(frames), which.extract(frames * 7.5), rtol=1e-4)


# -- what is stored with events


class StoredSource(ArraySource):
    """Frames with peaks and numbers."""

    def __init__(self, frames, peaks=None, numbers=None, broken=(), **rest):
        super().__init__(frames, "run.cxi", **rest)
        self._peaks, self._numbers, self.broken = peaks, numbers, broken
        self.reads = 0

    def read_many(self, indices, window=None):
        self.reads += 1
        return super().read_many(indices, window)

    def peaks(self, i):
        if i in self.broken:
            raise UnreadableFileError(f"Peaks of event {i} of run.cxi are broken.")
        return None if self._peaks is None else self._peaks[i]

    def metadata(self, i):
        return {} if self._numbers is None else {k: v[i] for k, v in self._numbers.items()}


def peaks_at(*triples):
    return Peaks(*(np.array(column, float) for column in zip(*triples, strict=True)))


NO_PEAKS = Peaks(np.empty(0), np.empty(0), np.empty(0))


def test_peaks_in_the_region():
    """fs, ss through the modules; ss = 7 is row 2 of module 1."""
    masked = np.zeros(SHAPE, bool)
    masked[1, 2, 3] = True
    peaks = [
        peaks_at((0, 0, 10), (2.4, 1.6, 30), (6, 9, 20)),
        NO_PEAKS,
        peaks_at((3, 7, 99), (-0.6, 0, 5), (7, 0, 5), (0, 10, 5), (np.nan, 1, 5), (1, 1, 4)),
        peaks_at((1, 1, np.nan), (2, 1, 6)),
    ]
    source = StoredSource(np.ones((4, *SHAPE)), peaks, mask=PixelMask.from_bad(masked))
    stack = EventStack([source], geometry=two_modules())
    which = FeatureExtractor.for_stack(FeatureSettings(kinds=("peaks",)), None, stack)
    table = extract_stack(stack, range(4), which)
    x, y = laboratory()
    r = np.hypot(x, y)
    expected = [
        [3, 20, 20, 30, (r[0, 0, 0] + r[0, 2, 2] + r[1, 4, 6]) / 3],
        [0, 0, 0, 0, 0],
        [1, 4, 4, 4, r[0, 1, 1]],
        [2, 6, 6, 6, (r[0, 1, 1] + r[0, 1, 2]) / 2],
    ]
    assert np.allclose(table.matrix, expected, rtol=1e-6)
    assert table.failed == {}
    assert source.reads == 0  # no frame is needed
    assert which.names[0] == "peaks"
    assert which.units == ["peaks", "ADU", "ADU", "ADU", "pixels"]
    window = FeatureExtractor.for_stack(
        FeatureSettings(kinds=("peaks",)), "window:1:2,0:5,4:7", stack
    )
    assert extract_stack(stack, range(4), window).matrix[:, 0].tolist() == [1, 0, 0, 0]


def test_peaks_without_a_geometry_have_no_radius():
    stack = EventStack([StoredSource(np.ones((1, 4, 5)), [peaks_at((1, 2, 8), (3, 3, 5))])])
    which = FeatureExtractor.for_stack(FeatureSettings(kinds=("peaks",)), None, stack)
    assert which.n_features == len(which.names) == len(which.units) == 4
    assert extract_stack(stack, [0], which).matrix.tolist() == [[2, 6.5, 6.5, 8]]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-2, 8), st.integers(-2, 12), st.integers(-5, 50))),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=50, deadline=None)
def test_peak_statistics_against_numpy(events):
    stored = [StoredEvent(Peaks(*np.array(rows, float).reshape(-1, 3).T)) for rows in events]
    found = make(kinds=("peaks",)).extract(None, stored=stored)
    for row, rows in zip(found, events, strict=True):
        v = [i for fs, ss, i in rows if 0 <= fs < 7 and 0 <= ss < 10]
        expected = [len(v), np.mean(v), np.median(v), max(v)] if v else [0] * 4
        assert np.allclose(row, expected, rtol=1e-6)


def test_peaks_that_are_not_there_or_broken():
    source = StoredSource(np.ones((3, 4, 5)), [NO_PEAKS, None, NO_PEAKS], broken=(2,))
    stack = EventStack([source])
    which = FeatureExtractor.for_stack(FeatureSettings(kinds=("peaks", "intensity")), None, stack)
    read = FeatureReader(stack, which).read(next(iter(stack.blocks(10))))
    assert np.isnan(read.matrix).all(axis=1).tolist() == [False, True, True]
    assert read.unusable == {1: "No peaks are stored with this event."}
    assert list(read.failed) == [2]
    assert "broken" in read.failed[2]


def test_metadata():
    numbers = {
        "pulse_energy": [1.5, "x", 2, None, np.float32(0.25)],
        "motor": [1, 2, 3, 4, math.nan],
    }
    source = StoredSource(np.ones((5, 4, 5)), numbers=numbers, photon_energy=9300.0)
    stack = EventStack([source])
    spec = FeatureSettings(kinds=("metadata",), metadata=("pulse_energy", "photon_energy"))
    which = FeatureExtractor.for_stack(spec, None, stack)
    table = extract_stack(stack, range(5), which)
    assert table.matrix[[0, 2, 4]].tolist() == [[1.5, 9300], [2, 9300], [0.25, 9300]]
    assert np.isnan(table.matrix[[1, 3]]).all()
    assert table.failed == dict.fromkeys(
        (1, 3), "No number 'pulse_energy' is stored with this event."
    )
    assert source.reads == 0
    assert which.names == ["pulse_energy", "photon_energy"]
    assert which.units == ["", "eV"]


@pytest.mark.parametrize("kinds", [("pixels",), ("intensity", "peaks"), ("radial",)])
def test_incoming_intensity(kinds):
    rng = np.random.default_rng(0)
    frames = rng.uniform(1, 9, (6, *SHAPE))
    energy = [2.0, 0.0, -1.0, math.nan, "off", 4.0]
    peaks = [peaks_at((1, 1, 8.0))] * 6
    stack = EventStack([StoredSource(frames, peaks, {"i0": energy})], geometry=two_modules())
    plain = FeatureExtractor.for_stack(FeatureSettings(kinds=kinds), None, stack)
    spec = FeatureSettings(kinds=kinds, normalise="incoming", incoming="i0")
    which = FeatureExtractor.for_stack(spec, None, stack)
    table = extract_stack(stack, range(6), which)
    undivided = extract_stack(stack, range(6), plain).matrix
    assert set(table.failed) == {1, 2, 3, 4}
    assert "'i0' of this event is 0; it must be positive" in table.failed[1]
    assert "is -1" in table.failed[2]
    assert table.failed[3] == table.failed[4] == "No number 'i0' is stored with this event."
    assert np.isnan(table.matrix[1:5]).all()
    divided = np.array([unit.startswith("ADU") for unit in which.units])
    assert {unit for unit in which.units if unit.startswith("ADU")} == {"ADU / i0"}
    for k, by in ((0, 2.0), (5, 4.0)):
        assert np.allclose(table.matrix[k, divided], undivided[k, divided] / by, rtol=1e-6)
        assert np.allclose(table.matrix[k, ~divided], undivided[k, ~divided], rtol=1e-5)


def test_an_unreadable_frame_is_told_before_what_is_not_stored():
    class Broken(StoredSource):
        def read(self, i, window=None, out=None):
            if i == 1:
                raise UnreadableFileError("Event 1 of run.cxi is torn.")
            return super().read(i, window, out)

    stack = EventStack([Broken(np.ones((3, 2, 3)), numbers={"i0": [1.0, 0.0, 0.0]})])
    spec = FeatureSettings(normalise="incoming", incoming="i0")
    which = FeatureExtractor.for_stack(spec, None, stack)
    read = FeatureReader(stack, which).read(next(iter(stack.blocks(10))))
    assert read.failed == {1: "Event 1 of run.cxi is torn."}
    assert list(read.unusable) == [2]


# -- maps


@given(
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["mean", "median"]),
)
@settings(max_examples=40, deadline=None)
def test_a_map_gives_each_pixel_its_feature(side, three_axes, seed, statistic):
    """Moving one pixel changes exactly the features that the map draws there."""
    rng = np.random.default_rng(seed)
    shape = (2, 5, 7) if three_axes else (6, 5)
    masked = rng.random(shape) < 0.3
    if masked.all():
        return
    which = make(shape, masked=masked, bin=side, bin_statistic=statistic)
    numbers = rng.permutation(which.n_features).astype(float)
    drawn = which.pixel_map(numbers)
    assert drawn.shape == shape
    assert np.array_equal(np.isnan(drawn), masked)
    frame = np.zeros((1, *shape), np.float32)
    for index in np.argwhere(~masked)[:8]:
        at = tuple(index)
        block = tuple(
            slice(i, i + 1)
            if axis < len(shape) - 2
            else slice(i // side * side, i // side * side + side)
            for axis, i in enumerate(at)
        )
        changed = frame.copy()
        changed[0][block] = 1
        feature = np.flatnonzero(which.extract(changed)[0] != which.extract(frame)[0])
        assert numbers[feature].tolist() == [drawn[at]]
        corner = which.names[feature[0]].split()[-1].split(",")
        assert all(b.start <= int(c) < b.stop for b, c in zip(block, corner, strict=True))


def test_maps_of_profiles_and_rings():
    x, y = laboratory()
    geometry = two_modules()
    which = make(
        geometry=geometry,
        kinds=("profile", "radial", "intensity"),
        profile_axis="y",
        radial_bins=4,
        radial_statistics=("mean", "sd"),
    )
    numbers = np.arange(which.n_features, dtype=float)
    rows = np.round(y + BEAM[1] - 0.5)
    assert np.array_equal(which.pixel_map(numbers, "profile"), rows)
    away = np.hypot(x, y)
    ring = np.minimum(np.floor((away - away.min()) / np.ptp(away) * 4), 3)
    first = which.columns["radial"].start
    assert np.array_equal(which.pixel_map(numbers, "radial"), 2 * (first + ring) + 4)
    both = which.pixel_map(numbers)
    assert np.array_equal(both, rows + 2 * (first + ring) + 4)
    assert which.pixel_kinds == ("profile", "radial")


def test_maps_are_nan_where_there_is_no_feature():
    which = make((4, 6), "window:1:3,2:5")
    drawn = which.pixel_map(np.arange(6.0))
    expected = np.full((4, 6), np.nan)
    expected[1:3, 2:5] = [[0, 1, 2], [3, 4, 5]]
    assert np.array_equal(drawn, expected, equal_nan=True)
    assert which.names == [f"pixel {ss},{fs}" for ss in (1, 2) for fs in (2, 3, 4)]
    none = make((4, 6), kinds=("intensity",))
    assert np.isnan(none.pixel_map(np.zeros(7))).all()
    with pytest.raises(ValueError, match="6 features"):
        which.pixel_map(np.zeros(7))
    with pytest.raises(ValueError, match="no pixels"):
        which.pixel_map(np.zeros(6), "radial")


# -- what cannot be


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kinds": ()}, "kinds is empty"),
        ({"kinds": ("pixels", "pixels")}, "twice"),
        ({"kinds": "pixels"}, "must be a list"),
        ({"kinds": ("voxels",)}, "must be one of"),
        ({"kinds": (5,)}, "must be a text"),
        ({"bin": 1.5}, "whole number"),
        ({"bin": True}, "whole number"),
        ({"bin": "2"}, "whole number"),
        ({"bin": 10**9}, "at most"),
        ({"bin_statistic": "mode"}, "one of"),
        ({"radial_bins": 0}, "at least"),
        ({"radial_bins": 10**9}, "at most"),
        ({"radial_statistics": ()}, "empty"),
        ({"quantiles": (0.5, 1.5)}, "at most"),
        ({"quantiles": (math.nan,)}, "at least"),
        ({"quantiles": tuple(k / 2000 for k in range(2000))}, "too many"),
        ({"above": math.inf}, "above"),
        ({"above": 10**400}, "above"),
        ({"above": "1"}, "number"),
        ({"metadata": ("a", "a")}, "twice"),
        ({"metadata": ("",)}, "no name"),
        ({"metadata": ("x" * 300,)}, "no name"),
        ({"kinds": ("metadata",)}, "need names"),
        ({"normalise": "incoming"}, "needs the name"),
        ({"normalise": "max"}, "one of"),
        ({"components": -1}, "at least"),
        ({"run": "x"}, "Unknown setting"),
    ],
)
def test_settings_that_are_wrong(values, why):
    with pytest.raises(SettingsError, match=why):
        FeatureSettings.from_dict(values)


def test_settings_survive_a_file_and_older_ones_are_read():
    made = FeatureSettings(
        kinds=("radial", "peaks"), quantiles=(0.5,), metadata=("a",), bin=np.int64(3), above=2
    )
    assert FeatureSettings.from_dict(made.to_dict()) == made
    assert type(made.bin) is int
    assert type(made.above) is float
    old = FeatureSettings.from_dict({"kind": "pixels", "bin": 2, "normalise": "mean"})
    assert old == FeatureSettings(bin=2, normalise="mean")


def test_toml_keeps_lists(tmp_path):
    made = FeatureSettings(kinds=("intensity", "metadata"), metadata=("i0",), quantiles=(0.25,))
    path = tmp_path / "features.toml"
    path.write_text(made.to_toml())
    assert FeatureSettings.from_toml(path) == made


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kinds": ("radial",)}, "need a geometry"),
        ({"kinds": ("profile",), "profile_axis": "x"}, "needs a geometry"),
    ],
)
def test_places_that_are_not_known(values, why):
    with pytest.raises(RegionError, match=why):
        make(**values)


def test_rings_in_q_need_energy_and_length():
    geometry = Geometry.single_panel((4, 5), 1e-4)
    with pytest.raises(RegionError, match="photon energy"):
        make((4, 5), geometry=geometry, kinds=("radial",), radial_axis="q")


def test_stored_values_must_be_given():
    with pytest.raises(ValueError, match="0 stored values for 2 events"):
        make(kinds=("peaks", "pixels")).extract(np.zeros((2, *SHAPE)))


def test_principal_components_are_directions_of_variance():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 8)).astype(np.float32) * np.arange(8, 0, -1)
    found = principal_components(3).fit_transform(rows)
    centred = rows - rows.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(found), np.abs(centred @ directions[:3].T), atol=1e-3)
