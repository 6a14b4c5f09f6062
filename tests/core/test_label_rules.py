"""Scores against direct formulas; rules never over labels made by hand, withdrawn as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_geometry import FakeGeometry

from napari_xfelsort.core.agreement import opinions_of
from napari_xfelsort.core.errors import (
    LabelError,
    RegionError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.event_scores import (
    ScoreSettings,
    event_scores,
    metadata_columns,
    score_histogram,
)
from napari_xfelsort.core.events import Peaks
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import LabelRule, apply_rule, withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

RNG = np.random.default_rng(4)


class RichSource(ArraySource):
    """Frames with peaks and metadata; event 2 cannot be read, nor its peaks."""

    def read(self, i, window=None, out=None):
        if i == 2:
            raise UnreadableFileError("Event 2 is torn.")
        return super().read(i, window, out)

    def peaks(self, i):
        if i == 2:
            raise UnreadableFileError("Event 2 is torn.")
        if i == 3:
            return None
        places = np.arange(float(10 * i))
        return Peaks(places, places, places)

    def metadata(self, i):
        return {"pulse_energy": 1.5 * i, "pulse": np.int64(7), "name": "x", "many": [1, 2]}


def rich(n=6, dtype=np.int16, **about) -> EventStack:
    frames = RNG.integers(0, 1000, (n, 9, 6)).astype(dtype)
    return EventStack([RichSource(frames, "run.cxi", **about)])


def scores(stack, region=None, progress=None, **settings):
    return event_scores(stack, ScoreSettings(**settings), region, progress)


def test_stored_peaks_are_counted():
    told = []
    found = scores(rich(), progress=lambda done, n: told.append((done, n)))
    assert found.values.tolist()[:2] == [0, 10]
    assert np.isnan(found.values[2:4]).all()
    assert found.values.tolist()[4:] == [40, 50]
    assert found.failed == {2: "Event 2 is torn.", 3: "No peaks stored with run.cxi //3."}
    assert told == [(6, 6)]


def test_metadata():
    stack = rich(photon_energy=9500.0)
    assert scores(stack, kind="metadata", column="pulse_energy").values[5] == 7.5
    assert scores(stack, kind="metadata", column="photon_energy").values.tolist() == [9500] * 6
    assert metadata_columns(stack) == ("photon_energy", "pulse", "pulse_energy")
    for column in ("name", "many", "absent"):
        found = scores(stack, kind="metadata", column=column)
        assert np.isnan(found.values).all()
        assert found.failed[0] == f"No number {column!r} stored with run.cxi //0."
    with pytest.raises(SettingsError, match="name of a column"):
        ScoreSettings(kind="metadata")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_pixels_of_a_region_without_bad_ones(dtype):
    bad = np.zeros((9, 6), bool)
    bad[0, 1] = bad[6] = True
    frames = RNG.integers(0, 1000, (70, 9, 6)).astype(dtype)
    stack = EventStack([ArraySource(frames[:30], "a"), ArraySource(frames[30:], "b")])
    stack = stack.with_mask(PixelMask.from_bad(bad))
    window = "window:0:7,1:5"
    good = ~bad[:7, 1:5]
    rows = frames[:, :7, 1:5][:, good].astype(np.float64)
    assert np.allclose(scores(stack, window, kind="mean").values, rows.mean(axis=1), rtol=1e-12)
    for q in (0, 50, 99, 100):
        found = scores(stack, window, kind="percentile", percentile=q).values
        assert np.allclose(found, [np.percentile(r, q) for r in rows], rtol=1e-6)
    found = scores(stack, window, kind="saturated", saturation=700).values
    assert found.tolist() == [sum(v > 700 for v in r) for r in rows]
    part = stack.subset([65, 3])  # in the order of the stack
    assert scores(part, window, kind="mean").values.tolist() == [
        pytest.approx(rows[65].mean()),
        pytest.approx(rows[3].mean()),
    ]


def test_values_that_are_none():
    frames = np.ones((3, 2, 3), np.float32)
    frames[0, 0, 0] = np.nan
    frames[0, 1, 2] = 4
    frames[1] = np.inf
    stack = EventStack([ArraySource(frames)])
    for kind, first in (("mean", 8 / 5), ("percentile", 1)):
        found = scores(stack, kind=kind)
        assert found.values[[0, 2]] == pytest.approx([first, 1])
        assert np.isnan(found.values[1])
        assert list(found.failed) == [1]
    assert scores(stack, kind="saturated", saturation=2).values.tolist() == [1, 6, 0]


def test_an_unreadable_event_costs_itself():
    for kind in ("mean", "percentile", "saturated"):
        found = scores(rich(), kind=kind)
        assert np.flatnonzero(np.isnan(found.values)).tolist() == [2]
        assert found.failed == {2: "Event 2 is torn."}


def test_regions_that_hold_nothing():
    stack = rich()
    with pytest.raises(RegionError, match="needs a geometry"):
        scores(stack, "panel:p0", kind="mean")
    with pytest.raises(RegionError, match="masked"):
        scores(stack.with_mask(PixelMask.from_bad(np.ones((9, 6), bool))), kind="mean")
    assert len(scores(stack, "window:0:1,0:1", kind="mean").values) == 6


def test_a_panel_of_a_geometry():
    frames = RNG.integers(0, 1000, (4, 9, 6))
    stack = EventStack([ArraySource(frames)])
    stack.geometry = FakeGeometry()
    inside = np.zeros((9, 6), bool)
    inside[stack.geometry.panels["p0"].raw_index] = True
    found = scores(stack, "panel:p0", kind="mean").values
    assert found == pytest.approx([f[inside].mean() for f in frames])


def test_histograms():
    counts, edges = score_histogram(np.array([3.0, 5.0, 5.0, np.nan]))
    assert (counts.tolist(), edges.tolist()) == ([1, 0, 2], [2.5, 3.5, 4.5, 5.5])
    values = RNG.normal(size=1000)
    counts, edges = score_histogram(values, bins=7)
    assert (len(counts), counts.sum()) == (7, 1000)
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert score_histogram(np.full(3, np.nan))[0].tolist() == [0]
    counts, edges = score_histogram(np.full(3, 0.25))
    assert (counts.tolist(), edges.tolist()) == ([3], [-0.25, 0.75])


# -- rules


@pytest.fixture
def stack() -> EventStack:
    return EventStack([ArraySource(np.zeros((6, 2, 2)), "run.cxi")])


VALUES = np.array([0.0, 10.0, np.nan, 20.0, 30.0, 40.0])


def test_both_ends_belong_to_the_range():
    assert LabelRule("r", 10, 30).labels(VALUES) == ["bad", "good", "", "good", "good", "bad"]
    assert LabelRule("r", 20).labels(VALUES) == ["bad", "bad", "", "good", "good", "good"]
    rule = LabelRule("r", high=10, inside="ice|salt", outside="", what="peaks")
    assert rule.labels(VALUES) == ["ice|salt", "ice|salt", "", "", "", ""]
    assert rule.note == "peaks up to 10: ice|salt; else no label"
    assert LabelRule("r", 1, 2).note == "r from 1 to 2: good; else bad"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"low": 3, "high": 2}, "is empty"),
        ({"low": math.nan}, "is empty"),
        ({"inside": "", "outside": ""}, "no label at all"),
        ({"inside": "undecided"}, "meaning of its own"),
        ({"name": "a\nb"}, "cannot name"),
    ],
)
def test_rules_that_are_none(values, why):
    with pytest.raises(LabelError, match=why):
        LabelRule(**{"name": "r", **values})


def test_never_over_hand_and_withdrawn_as_a_whole(tmp_path, stack):
    store = LabelStore(tmp_path, "anna")
    names = [stack.event_id(i) for i in range(6)]
    store.set(names[0], "ignore")
    store.set(names[3], "ice", note="seen")
    store.set(names[5], "bad", source="rule:other")
    before = store.aligned(stack)
    rule = LabelRule("peaks", 20, what="peaks")
    done = apply_rule(store, stack, VALUES, rule)
    assert done == ({"bad": 1, "good": 2}, 2, 1)
    for known in (store, LabelStore(tmp_path, "bert")):
        assert known.aligned(stack) == ["ignore", "bad", None, "ice", "good", "good"]
    assert store.entry(names[4]).source == "rule:peaks"
    assert store.entry(names[4]).note == "peaks from 20: good; else bad"
    # Applied again with another range: events it says nothing of now lose its label.
    done = apply_rule(store, stack, VALUES, LabelRule("peaks", 35, outside=""))
    assert done == ({"good": 1}, 0, 5)
    assert store.aligned(stack) == ["ignore", None, None, "ice", None, "good"]
    assert apply_rule(store, stack, VALUES, rule, over_hand=True).kept == 0
    assert store.aligned(stack) == ["bad", "bad", None, "good", "good", "good"]
    store.set(names[4], "salt")
    n_lines = len(list(store.entries()))
    assert withdraw(LabelStore(tmp_path, "bert"), "rule:peaks") == 5
    store.reload()
    assert store.aligned(stack) == [*before[:4], "salt", *before[5:]]
    assert opinions_of(store, names[3]).said == {"anna": "ice"}  # not bert's, who withdrew
    assert len(list(store.entries())) > n_lines
    assert withdraw(store, "rule:peaks") == 0


def test_only_this_run_is_gone_over(tmp_path, stack):
    other = EventStack([ArraySource(np.zeros((6, 2, 2)), "other.cxi")])
    store = LabelStore(tmp_path, "anna")
    apply_rule(store, stack, VALUES, LabelRule("r", 20))
    apply_rule(store, other, VALUES, LabelRule("r", 20, outside=""))
    assert store.aligned(stack) == ["bad", "bad", None, "good", "good", "good"]
    assert withdraw(store, "rule:r") == 8
    assert len(store) == 0


def test_a_rule_is_one_step_of_the_history(tmp_path, stack):
    store = LabelStore(tmp_path, "anna")
    history = LabelHistory(store)
    history.set(stack.event_id(4), "bad")
    apply_rule(store, stack, VALUES, LabelRule("r", 20), over_hand=True, history=history)
    after = store.aligned(stack)
    assert history.next_undo == "rule r"
    withdraw(store, "rule:r", history)
    assert store.aligned(stack) == [None] * 4 + ["bad", None]
    history.undo()
    assert store.aligned(stack) == after
    history.undo()
    assert store.aligned(stack) == [None] * 4 + ["bad", None]
    assert opinions_of(store, stack.event_id(4)).said == {"anna": "bad"}
    history.redo()
    assert store.aligned(stack) == after
    with pytest.raises(LabelError, match="another label folder"):
        withdraw(LabelStore(tmp_path, "bert"), "rule:r", history)


def test_what_cannot_be_withdrawn(tmp_path, stack):
    store = LabelStore(tmp_path, "anna")
    store.set(stack.event_id(0), "good")
    with pytest.raises(LabelError, match="no rule has"):
        withdraw(store, "rule:peaks")
    apply_rule(store, stack, VALUES, LabelRule("mean", 20))
    with pytest.raises(LabelError, match="there are rule:mean"):
        withdraw(store, "anna")
    with pytest.raises(LabelError, match="2 scores for 6 events"):
        apply_rule(store, stack, VALUES[:2], LabelRule("mean", 20))
    assert store.get(stack.event_id(0)) == "good"
