"""Applying models: unreadable events, other geometries, equal results."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fake_geometry import FakeGeometry

import napari_xfelsort as xs
from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ModelError, OutputError, UnreadableFileError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.features import extract_stack
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.model_digest import add_state
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.train_settings import ALGORITHMS

N = 40


def frames_and_labels(seed=0, shape=(9, 6)):
    rng = np.random.default_rng(seed)
    frames = rng.normal(100, 5, (N, *shape)).astype(np.float32)
    bad = np.arange(N) % 3 == 0
    frames[bad, :3] -= 20
    return frames, ["bad" if b else "good" for b in bad]


def trained(geometry=None, **settings):
    frames, labels = frames_and_labels()
    stack = EventStack([ArraySource(frames, "train.cxi")], geometry=geometry)
    return xs.train(stack, labels, **{"model": "logistic_regression", **settings})


@pytest.mark.parametrize("model", ALGORITHMS)
@pytest.mark.parametrize("threshold", ["default", 0.7])
def test_a_reloaded_model_decides_the_same(tmp_path, model, threshold):
    made = trained(FakeGeometry(), model=model, threshold=threshold, region="panel:p0,p1", bin=2)
    path = tmp_path / "m.xfelmodel"
    made.save(path)
    again = xs.load_model(path)
    stack = EventStack([ArraySource(frames_and_labels(5)[0], "new.cxi")])
    first, second = made.predict(stack), again.predict(stack)
    assert first.probabilities.tobytes() == second.probabilities.tobytes()
    assert list(first.classes) == list(second.classes)
    assert again.digest == made.digest
    for name in ("class_names", "features", "region", "raw_shape", "threshold", "positive"):
        assert getattr(again, name) == getattr(made, name)
    for name in ("metrics", "provenance", "warnings", "geometry_digest"):
        assert getattr(again, name) == getattr(made, name)
    assert again.report_text() == made.report_text()
    with pytest.raises(OutputError, match="exists already"):
        made.save(path)
    made.save(path, overwrite=True)


def test_models_travel_to_other_processes():
    made = trained()
    stack = EventStack([ArraySource(frames_and_labels(5)[0], "new.cxi")])
    expected = made.predict(stack).probabilities
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.predict(stack).probabilities, expected)
    assert again.digest == made.digest


def test_digests_tell_models_apart():
    digests = {
        trained(**settings).digest
        for settings in (
            {},
            {"C": 2.0},
            {"threshold": 0.4},
            {"region": "window:0:8,0:6"},
            {"model": "random_forest"},
            {"model": "random_forest", "seed": 1},
            {"model": "k_nearest_neighbours"},
        )
    }
    assert len(digests) == 7
    with pytest.raises(TypeError):
        add_state(None, object())


class Holed(ArraySource):
    """Some events cannot be read."""

    def read(self, i, window=None, out=None):
        if i in (2, 11):
            raise UnreadableFileError(f"Event //{i} of {self.path} cannot be decompressed.")
        return super().read(i, window, out)


@pytest.mark.parametrize("model", ALGORITHMS)
def test_unreadable_events_fail_alone(model):
    frames, labels = frames_and_labels()
    whole = EventStack([ArraySource(frames, "a.cxi")])
    frames = frames.copy()
    frames[5] = np.nan
    holed = EventStack([Holed(frames, "a.cxi")])
    made = xs.train(whole, labels, model=model)
    decided = made.predict(holed)
    assert set(np.flatnonzero(decided.classes == "failed")) == {2, 11}
    assert set(np.flatnonzero(decided.classes == "unsure")) == {5}
    assert "Event //11 of a.cxi cannot be decompressed" in decided.flags[11]
    assert "All pixels of the region are bad" in decided.flags[5]
    assert np.isnan(decided.probabilities[[2, 5, 11]]).all()
    rest = np.setdiff1d(np.arange(N), [2, 5, 11])
    expected = made.predict(whole.subset(rest))
    assert np.allclose(decided.probabilities[rest], expected.probabilities, atol=1e-6)
    assert [decided.flags[k] for k in rest] == [""] * len(rest)
    assert sum(decided.counts().values()) == N
    assert decided.counts()["failed"] == 2


def test_predictions_follow_the_order_of_the_stack():
    frames, labels = frames_and_labels()
    made = trained()
    sources = [ArraySource(frames[:20], "a.cxi"), ArraySource(frames[20:], "b.cxi")]
    order = np.random.default_rng(0).permutation(N)
    stack = EventStack(sources).subset(order)
    seen = []
    decided = made.predict(stack, lambda done, n: seen.append((done, n)))
    assert decided.event_ids == [stack.event_id(i) for i in range(N)]
    assert np.mean(decided.classes == np.array(labels)[order]) == 1
    assert seen[-1] == (N, N)
    assert len(made.predict(stack.subset([]))) == 0


def test_blocks_decide_as_the_whole_does():
    made = trained(model="random_forest")
    stack = EventStack([ArraySource(frames_and_labels(5)[0], "new.cxi")])
    parts = Decisions.concatenate([made.predict_block(stack, b) for b in stack.blocks(7)])
    assert np.array_equal(parts.probabilities, made.predict(stack).probabilities)
    assert parts.event_ids == [EventId("new.cxi", f"//{i}") for i in range(N)]


def test_only_the_window_is_read_in_sorting():
    class Watched(ArraySource):
        def read_many(self, indices, window=None):
            windows.append(window)
            return super().read_many(indices, window)

    windows = []
    made = trained(FakeGeometry(), region="panel:p1")
    made.predict(EventStack([Watched(frames_and_labels(1)[0])]))
    assert windows == [(slice(5, 9), slice(0, 6))]


def test_sorting_uses_the_pixels_of_training():
    """Pixels bad in training stay out; pixels bad only now do not change the features."""
    frames, labels = frames_and_labels()
    bad = np.zeros((9, 6), bool)
    bad[0] = True
    stack = EventStack([ArraySource(frames, mask=PixelMask.from_bad(bad))])
    made = xs.train(stack, labels, model="logistic_regression")
    assert made.extractor.n_features == 48
    assert np.array_equal(made.pixels.inside, ~bad)
    spoilt = frames.copy()
    spoilt[:, 0] = 1e9
    expected = made.predict(stack).probabilities
    assert np.array_equal(made.predict(EventStack([ArraySource(spoilt)])).probabilities, expected)
    later = bad.copy()
    later[8, 5] = True
    spoilt[:, 8, 5] = 1e9
    masked = EventStack([ArraySource(spoilt, mask=PixelMask.from_bad(later))])
    assert np.mean(made.predict(masked).classes == np.array(labels)) == 1


def test_values_that_the_geometry_calls_bad_are_left_out():
    geometry = FakeGeometry()
    geometry.panels["p1"].flag_morethan = 2147483645.0
    frames = frames_and_labels()[0].astype(np.float64)
    made = trained(region="panel:p1", geometry=geometry)
    spoilt = frames.copy()
    spoilt[:, 6, 2] = 2147483646.0  # as a 32-bit float it would equal the limit
    stack = EventStack([ArraySource(spoilt)], geometry=geometry)
    table = made.extractor.extract(frames[:, 5:9])
    medians = np.median(np.delete(table, 8, axis=1), axis=1)
    assert np.isfinite(made.predict(stack).probabilities).all()
    found = extract_stack(stack, range(N), made.extractor).matrix
    assert np.allclose(found[:, 8], medians)


def test_models_refuse_other_detectors():
    made = trained(FakeGeometry(), region="panel:p0")
    with pytest.raises(
        ModelError, match=r"trained on frames of \(9, 6\), but these have \(5, 5\)"
    ):
        made.predict(EventStack([ArraySource(np.zeros((3, 5, 5)))]))
    stack = EventStack([ArraySource(frames_and_labels()[0])], geometry=FakeGeometry())
    assert made.check(stack) == []
    assert made.check(EventStack(stack.sources)) == []
    other = FakeGeometry()
    other.digest = "other"
    other.panels = {"q7": other.panels["p0"]}
    with pytest.raises(ModelError, match="no panel 'p0'"):
        made.check(EventStack(stack.sources, geometry=other))
    moved = FakeGeometry()
    moved.digest = "moved"
    (warning,) = made.check(EventStack(stack.sources, geometry=moved))
    assert "geometry differs" in warning
    moved.panels["p0"], moved.panels["p1"] = moved.panels["p1"], moved.panels["p0"]
    assert "other raw pixels" in made.check(EventStack(stack.sources, geometry=moved))[1]


# -- the table of decisions


def decisions():
    return Decisions(
        [EventId("a, b.cxi", "//0"), EventId('"x".h5', "tag-1//"), EventId("c.cbf")],
        ("bad", "good"),
        np.array(["good", "failed", "unsure"]),
        np.array([[0.1, 0.9], [np.nan, np.nan], [1 / 3, 2 / 3]]),
        ["", "Event is\nbroken, twice", ""],
    )


def test_tables_are_read_as_they_were_written(tmp_path):
    first = decisions()
    path = tmp_path / "d.csv"
    first.write_csv(path)
    again = Decisions.read_csv(path)
    assert again.event_ids == first.event_ids
    assert again.class_names == first.class_names
    assert again.flags == first.flags
    assert list(again.classes) == list(first.classes)
    assert again.probabilities.tobytes() == first.probabilities.tobytes()
    assert path.read_text().splitlines()[0] == "file,event,class,p_bad,p_good,flags"
    assert first.events_of("good") == [EventId("a, b.cxi", "//0")]
    assert first.counts() == {"bad": 0, "good": 1, "unsure": 1, "failed": 1}
    with pytest.raises(OutputError, match="exists"):
        first.write_csv(path)
    empty = Decisions([], ("a", "b"), np.empty(0, "<U1"), np.empty((0, 2)))
    empty.write_csv(path, overwrite=True)
    assert len(Decisions.read_csv(path)) == 0


def test_damaged_tables_are_told(tmp_path):
    path = tmp_path / "d.csv"
    decisions().write_csv(path)
    whole = path.read_text()
    for text, why in [
        ("", "no table"),
        ("a,b,c\n", "no table"),
        (whole.replace("0.9", "high"), "Row 2"),
        (whole.replace("unsure", "maybe"), "Row 4"),
        (whole[: whole.index("0.6")], "Row 4"),
    ]:
        path.write_text(text)
        with pytest.raises(UnreadableFileError, match=why) as error:
            Decisions.read_csv(path)
        assert str(path) in str(error.value)
    with pytest.raises(UnreadableFileError, match="No such file"):
        Decisions.read_csv(tmp_path / "none.csv")


def test_decisions_must_fit_together():
    with pytest.raises(ValueError, match="2 classes"):
        Decisions([EventId("a")], ("x", "y"), np.array(["x"]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="different models"):
        Decisions.concatenate([])
