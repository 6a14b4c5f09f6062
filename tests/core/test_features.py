"""Features against direct formulas, and that only what is needed is read."""

from __future__ import annotations

import numpy as np
import pytest
from fake_geometry import FakeGeometry
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import RegionError, SettingsError, UnreadableFileError
from napari_xfelsort.core.features import (
    FeatureExtractor,
    FeatureSettings,
    block_events,
    extract_stack,
)
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

RNG = np.random.default_rng(1)


def extractor(shape=(4, 6), region="whole", mask=None, geometry=None, **settings):
    return FeatureExtractor.for_region(
        FeatureSettings(**settings), Region.parse(region), shape, geometry, mask
    )


def test_pixels_are_features_in_raw_order():
    frames = np.arange(48, dtype=np.uint16).reshape(2, 4, 6)
    found = extractor().extract(frames)
    assert found.dtype == np.float32
    assert np.array_equal(found, frames.reshape(2, 24))
    found[:] = 0
    assert frames[1, 0, 0] == 24


def test_masked_pixels_are_no_features():
    bad = np.zeros((9, 6), bool)
    bad[0, 1] = bad[6] = True
    which = extractor((9, 6), "panel:p0,p1", PixelMask.from_bad(bad), FakeGeometry())
    frame = np.arange(54).reshape(1, 9, 6)
    rows = [r for r in range(54) if not bad.ravel()[r] and r // 6 != 4]
    assert which.n_features == len(rows) == 41
    assert list(which.extract(frame[:, which.window[0], which.window[1]])[0]) == rows


def test_all_masked():
    with pytest.raises(RegionError, match="masked"):
        extractor(mask=PixelMask.from_bad(np.ones((4, 6), bool)))


def test_a_bad_value_is_the_median_of_the_good_ones():
    frames = np.array([[[1.0, 2, np.nan], [9, np.inf, 4]], [[0, 1, 2], [3, 4, 5]]])
    bad = np.zeros(frames.shape, bool)
    bad[0, 1, 0] = bad[1, 1, 2] = True
    found = extractor((2, 3)).extract(frames, bad)
    # good values of event 0: 1, 2, 4; of event 1: 0, 1, 2, 3, 4
    assert found.tolist() == [[1, 2, 2, 2, 2, 4], [0, 1, 2, 3, 4, 2]]


def test_an_event_without_good_value_is_nan_and_the_others_are_not():
    frames = np.ones((3, 2, 3), np.float32)
    frames[1] = np.nan
    for settings in ({}, {"bin": 2}, {"normalise": "median"}, {"normalise": "mean", "bin": 3}):
        found = extractor((2, 3), **settings).extract(frames)
        assert np.isnan(found[1]).all()
        assert (found[[0, 2]] == 1).all()


def test_values_beyond_float32_are_bad():
    frames = np.array([[[1.0, 1e300, 3.0]]])
    assert extractor((1, 3)).extract(frames).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(("how", "divisor"), [("mean", 3.5), ("median", 2.0)])
def test_normalising(how, divisor):
    frames = np.array([[[1.0, 2, 2], [9, 100, np.nan]]])
    bad = frames == 100
    found = extractor((2, 3), normalise=how).extract(frames, bad)
    expected = np.array([1, 2, 2, 9, 2, 2]) / divisor
    assert np.allclose(found[0], expected, rtol=1e-6)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_dividing_by_nothing_is_said_not_done(how):
    frames = np.array([[[-1.0, 1.0]], [[1.0, 1.0]], [[-3.0, 1.0]]])
    found = extractor((1, 2), normalise=how).extract(frames)
    assert np.isnan(found[[0, 2]]).all()
    assert (found[1] == 1).all()


def test_pulse_energy_does_not_decide():
    frames = RNG.uniform(10, 20, (1, 4, 6))
    for how in ("mean", "median"):
        which = extractor(normalise=how, bin=2)
        assert np.allclose(which.extract(frames), which.extract(frames * 7.5), rtol=1e-5)


@given(
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_block_means_against_loops(size, n_ss, n_fs, seed, three_axes):
    rng = np.random.default_rng(seed)
    shape = (2, n_ss, n_fs) if three_axes else (n_ss, n_fs)
    frames = rng.integers(0, 1000, (3, *shape)).astype(np.float64)
    masked = rng.random(shape) < 0.2
    bad = rng.random(frames.shape) < 0.2
    frames[rng.random(frames.shape) < 0.1] = np.nan
    if masked.all():
        return
    which = extractor(shape, mask=PixelMask.from_bad(masked), bin=size)
    found = which.extract(frames, bad)
    good = ~bad & ~masked & np.isfinite(frames)
    for event in range(3):
        expected = []
        median = np.median(frames[event][good[event]]) if good[event].any() else np.nan
        for plane in np.ndindex(*shape[:-2]):
            for ss in range(0, n_ss, size):
                for fs in range(0, n_fs, size):
                    block = (*plane, slice(ss, ss + size), slice(fs, fs + size))
                    if masked[block].all():
                        continue
                    values = frames[event][block][good[event][block]]
                    expected.append(values.mean() if len(values) else median)
        assert np.allclose(found[event], expected, rtol=1e-5, equal_nan=True)
    assert which.n_features == len(expected)


class WatchedSource(ArraySource):
    """Counts what is read, and fails on some events."""

    def __init__(self, frames, path="run.cxi", broken=(), **rest):
        super().__init__(frames, path, **rest)
        self.broken = broken
        self.windows = []
        self.most = 0

    def read_many(self, indices, window=None):
        self.most = max(self.most, len(indices))
        return super().read_many(indices, window)

    def read(self, i, window=None, out=None):
        self.windows.append(window)
        if i in self.broken:
            raise UnreadableFileError(f"Event {i} of {self.path} is broken.")
        return super().read(i, window, out)


def test_a_region_reads_only_its_window_and_each_event_once():
    sources = [WatchedSource(RNG.normal(size=(5, 9, 6)), f"run{k}.cxi") for k in range(2)]
    stack = EventStack(sources)
    seen = []
    which = extractor((9, 6), "window:5:9,2:4")
    table = extract_stack(stack, [7, 1, 0, 9], which, lambda done, n: seen.append((done, n)))
    expected = np.concatenate([s._frames for s in sources])[[7, 1, 0, 9], 5:9, 2:4]
    assert np.array_equal(table.matrix, expected.reshape(4, 8).astype(np.float32))
    assert table.failed == {}
    assert seen[-1] == (4, 4)
    for source in sources:
        assert source.windows == [(slice(5, 9), slice(2, 4))] * 2


def test_blocks_are_bounded_in_bytes():
    whole = (slice(0, 4096), slice(0, 4096))
    assert block_events(whole, 4) == 1
    assert block_events((slice(0, 176), slice(0, 192)), 4) == 248
    assert block_events((slice(0, 1), slice(0, 1)), 1) == 256


def test_an_unreadable_event_costs_only_itself():
    frames = RNG.normal(size=(6, 2, 3)).astype(np.float32)
    frames[4] = np.nan
    stack = EventStack([WatchedSource(frames, broken=(2,))])
    table = extract_stack(stack, range(6), extractor((2, 3)))
    assert set(table.failed) == {2, 4}
    assert "Event 2 of run.cxi is broken" in table.failed[2]
    assert "bad" in table.failed[4]
    assert np.isnan(table.matrix[[2, 4]]).all()
    rest = [0, 1, 3, 5]
    assert np.array_equal(table.matrix[rest], frames[rest].reshape(4, 6))


def test_masks_that_the_training_did_not_have_are_filled_in():
    """Sorting uses the same pixels as training; pixels bad only now are imputed."""
    frames = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    later = PixelMask.from_bad(np.array([[0, 0, 1], [0, 0, 0]], bool))
    stack = EventStack([ArraySource(frames[:1], "a"), ArraySource(frames[1:], "b", mask=later)])
    table = extract_stack(stack, [0, 1], extractor((2, 3)))
    assert table.matrix.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 9, 9, 10, 11]]


class EventMaskSource(ArraySource):
    has_event_masks = True

    def event_mask(self, i):
        bad = np.zeros(self.raw_shape, bool)
        bad.flat[i] = True
        return PixelMask.from_bad(bad)


def test_masks_of_single_events():
    frames = np.array([[[0.0, 1, 2]], [[0.0, 1, 2]]])
    table = extract_stack(EventStack([EventMaskSource(frames)]), [0, 1], extractor((1, 3)))
    assert table.matrix.tolist() == [[1.5, 1, 2], [0, 1, 2]]
    table = extract_stack(
        EventStack([EventMaskSource(frames)]), [1], extractor((1, 3), "window:0:1,0:2")
    )
    assert table.matrix.tolist() == [[0, 0]]


class SentinelSource(ArraySource):
    """-1 says that a pixel was not measured; masks must not be asked an event."""

    def flagged(self, values):
        return values == -1

    def event_mask(self, i):
        raise AssertionError("would read the frame again")


def test_values_that_were_not_measured():
    frames = np.array([[[0, 1, -1]], [[-1, 4, 8]]], np.int16)
    table = extract_stack(EventStack([SentinelSource(frames)]), [0, 1], extractor((1, 3)))
    assert table.matrix.tolist() == [[0, 1, 0.5], [6, 4, 8]]


@pytest.mark.parametrize("wrong", [{"bin": 0}, {"normalise": "max"}, {"kinds": ("voxels",)}])
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError):
        FeatureSettings(**wrong)
