"""Training: each fault of the tool before, and sentences instead of crashes."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import napari_xfelsort as xs
from napari_xfelsort.core import estimators
from napari_xfelsort.core.errors import RegionError, SettingsError, TrainingError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.train_settings import ALGORITHMS, TrainSettings

SHAPE = (6, 8)


def run(n_files=4, n=40, seed=0, step=8.0, shape=SHAPE):
    """Files of noise; every third event is darker in its upper half, and is bad."""
    rng = np.random.default_rng(seed)
    sources, labels = [], []
    for k in range(n_files):
        frames = rng.normal(100, 5, (n, *shape)).astype(np.float32)
        bad = np.arange(n) % 3 == k % 3
        frames[bad, : shape[0] // 2] -= step
        sources.append(ArraySource(frames, f"run{k}.cxi"))
        labels += ["bad" if b else "good" for b in bad]
    return EventStack(sources), labels


@pytest.mark.parametrize("model", ALGORITHMS)
def test_every_algorithm_learns_and_repeats_itself(model):
    stack, labels = run()
    first, again = (xs.train(stack, labels, model=model, seed=3) for _ in range(2))
    assert first.metrics["accuracy"] > (0.75 if model == "decision_tree" else 0.95)
    assert first.digest == again.digest
    assert first.metrics == again.metrics
    assert first.provenance["training_set"] == again.provenance["training_set"]
    fresh, truth = run(seed=1)
    decided = first.predict(fresh)
    assert np.array_equal(decided.probabilities, again.predict(fresh).probabilities)
    assert np.mean(decided.classes == np.array(truth)) > 0.75
    assert decided.class_names == ("bad", "good")


def test_the_report_tells_what_was_done():
    stack, labels = run()
    model = xs.train(stack, labels, region="window:0:3,0:8", model="logistic_regression")
    m = model.metrics
    assert m["split"]["by"] == "file"
    assert m["n_train"] + m["n"] == 160
    assert m["split"]["test_share"] == pytest.approx(0.25)
    assert np.array(m["confusion"]).sum(axis=1).tolist() == list(m["test_counts"].values())
    assert np.trace(m["confusion"]) / m["n"] == m["accuracy"]
    text = model.report_text()
    for part in ("logistic regression on window:0:3,0:8", "24 features", "by file", "precision"):
        assert part in text
    versions = model.provenance["versions"]
    assert set(versions) == {"napari-xfelsort", "scikit-learn", "numpy", "python"}
    assert model.provenance["settings"]["seed"] == 0
    assert model.provenance["files"] == [f"run{k}.cxi" for k in range(4)]


# -- the faults of the tool before


def test_no_event_of_a_list_is_lost_and_each_is_read_from_its_own_file(tmp_path):
    """There the first event of a list was a header, and all were read from its first file."""

    class Watched(ArraySource):
        def read_many(self, indices, window=None):
            read.extend((self.path, i) for i in indices)
            return super().read_many(indices, window)

    read: list[tuple[str, int]] = []
    stack, labels = run(2, 12)
    stack = EventStack([Watched(s._frames, s.path) for s in stack.sources])
    good = [(f, i) for f in range(2) for i in range(12) if labels[12 * f + i] == "good"]
    bad = [(f, i) for f in range(2) for i in range(12) if labels[12 * f + i] == "bad"]
    for name, events in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.lst").write_text("".join(f"run{f}.cxi //{i}\n" for f, i in events))
    store = LabelStore(tmp_path / "labels", "anna")
    store.import_lists({name: tmp_path / f"{name}.lst" for name in ("good", "bad")})
    model = xs.train(stack, store, model="logistic_regression", split="event")
    assert sorted(read) == sorted((f"run{f}.cxi", i) for f, i in good + bad)
    assert model.metrics["n_train"] + model.metrics["n"] == 24
    assert model.metrics["accuracy"] == 1  # pixels of other events could not be told apart


def test_an_event_listed_twice_is_on_one_side_only():
    stack, labels = run(1, 40)
    doubled = stack.subset([*range(40), *range(40)])
    model = xs.train(doubled, [*labels, *labels], model="decision_tree")
    assert model.metrics["n_train"] + model.metrics["n"] == 40
    assert any("in the stack more than once: 40" in w for w in model.warnings)


def test_contradictory_labels_are_refused_by_name():
    stack, labels = run(1, 10)
    doubled = stack.subset([*range(10), 4])
    other = "good" if labels[4] == "bad" else "bad"
    with pytest.raises(TrainingError, match=r"run0\.cxi //4 is labelled both"):
        xs.train(doubled, [*labels, other])


@pytest.mark.parametrize(
    "shares",
    [
        {"train_share": 0.7, "test_share": 0.2},
        {"train_share": 0.7, "test_share": 0.4},
        {"train_share": 0.6},
        {"train_share": 0.7, "test_share": 0.3 + 1e-6},
    ],
)
def test_shares_that_do_not_make_100_per_cent_are_an_error(shares):
    stack, labels = run(1, 30)
    with pytest.raises(SettingsError, match="must add to 100 %"):
        xs.train(stack, labels, **shares)


def test_shares():
    for settings in ({}, {"test_share": 0.1, "train_share": 0.9}):
        assert TrainSettings(**settings).train_share == 1 - TrainSettings(**settings).test_share
    TrainSettings(train_share=33.3 / 100, test_share=66.7 / 100)
    stack, labels = run(1, 60)
    model = xs.train(stack, labels, model="decision_tree", test_share=0.5)
    assert model.metrics["n"] == 30
    assert model.provenance["settings"]["train_share"] == 0.5
    with pytest.raises(SettingsError):
        xs.train(stack, labels, test_share=30)


@pytest.mark.parametrize("cores", [1, 2])
def test_few_cores_are_enough(monkeypatch, cores):
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert estimators.usable_cores() == cores
    stack, labels = run(1, 30)
    model = xs.train(stack, labels, n_estimators=7)
    assert model.estimator.n_jobs == 1
    assert len(model.estimator.estimators_) == 7


# -- splits and labels


def test_files_are_not_on_both_sides_even_under_two_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = run(1, 40)[0].sources[0]._frames
    (tmp_path / "run.cxi").write_text("")
    names = ("run.cxi", str(tmp_path / "run.cxi"))
    stack = EventStack([ArraySource(frames, name) for name in names])
    labels = ["bad" if i % 3 == 0 else "good" for i in range(40)]
    model = xs.train(stack, labels * 2, model="decision_tree")
    assert model.metrics["split"]["by"] == "event"
    assert model.metrics["n_train"] + model.metrics["n"] == 40
    assert any("both sides" in w for w in model.warnings)


def test_labels_from_a_folder_and_what_matched_nothing(tmp_path):
    stack, labels = run(2, 20)
    store = LabelStore(tmp_path / "labels", "anna")
    store.set_many((stack.event_id(i), label) for i, label in enumerate(labels))
    store.set(EventId("elsewhere.cxi", "//0"), "good")
    store.set(stack.event_id(0), "ignore")
    for given in (store, tmp_path / "labels", str(tmp_path / "labels")):
        model = xs.train(stack, given, model="decision_tree")
        assert model.metrics["n_train"] + model.metrics["n"] == 39
        assert any("match no event of the stack: 1, " in w for w in model.warnings)
        assert any("elsewhere.cxi //0" in w for w in model.warnings)


def test_unlabelled_events_are_not_read():
    class Broken(ArraySource):
        def read(self, i, window=None, out=None):
            if i >= 20:
                raise AssertionError("read an event without a label")
            return super().read(i, window, out)

    frames = run(1, 30)[0].sources[0]._frames
    labels = ["bad" if i % 3 == 0 else "good" for i in range(20)] + [None] * 5 + ["ignore"] * 5
    model = xs.train(EventStack([Broken(frames)]), labels, model="decision_tree")
    assert model.metrics["n_train"] + model.metrics["n"] == 20


def test_warnings_of_a_careful_colleague():
    stack, labels = run(3, 12)
    frames = np.concatenate([s._frames for s in stack.sources])
    frames[:, 0, 0] = 7
    stack = EventStack([ArraySource(frames, "run.cxi")])
    text = " ".join(xs.train(stack, labels, model="k_nearest_neighbours").warnings)
    assert "The class 'bad' has few events to train with: 8" in text
    assert "The class 'bad' has few events to test with (4)" in text
    assert "no class weights" in text
    assert "the same in all labelled events: 1 of 48" in text
    two_files, labels = run(2, 60)
    text = " ".join(xs.train(two_files, labels, model="decision_tree").warnings)
    assert "a test share of 50 % instead of 30 %" in text


def test_a_test_share_without_a_class_is_said():
    stack, labels = run(3, 30)
    labels[60:] = ["good"] * 30
    labels[:30] = ["good"] * 30
    only_one = [*labels[:30], *(x if x == "bad" else None for x in labels[30:60]), *labels[60:]]
    model = xs.train(stack, only_one, model="decision_tree", split="file")
    assert any("no event of the class 'bad'" in w for w in model.warnings)
    assert model.metrics["per_class"]["bad"]["recall"] is None


def test_unreadable_and_blank_events_are_left_out_and_said():
    stack, labels = run(1, 40)
    frames = stack.sources[0]._frames.copy()
    frames[3] = np.nan

    class Broken(ArraySource):
        def read(self, i, window=None, out=None):
            if i == 5:
                raise xs.XfelsortError("Event 5 is gone.")
            return super().read(i, window, out)

    model = xs.train(EventStack([Broken(frames)]), labels, model="decision_tree")
    assert model.metrics["n_train"] + model.metrics["n"] == 38
    assert any("Labelled events left out: 2" in w for w in model.warnings)


# -- thresholds


def test_thresholds_are_chosen_without_the_test_share():
    stack, labels = run(4, 60, step=3)
    default = xs.train(stack, labels)
    assert default.threshold is None
    assert default.positive == "good"
    for rule in ("max_f1", "high_recall"):
        model = xs.train(stack, labels, threshold=rule, recall=0.98)
        assert 0 < model.threshold < 1
        # Other pixels in the test file must not move it.
        test_files = [k for k in range(4) if not _trains(stack, labels, k, model.threshold, rule)]
        assert len(test_files) == 1
    assert model.metrics["per_class"]["good"]["recall"] >= (
        default.metrics["per_class"]["good"]["recall"] or 0
    )


def _trains(stack, labels, k, threshold, rule):
    """Whether the pixels of file k have a part in the threshold."""
    sources = list(stack.sources)
    sources[k] = ArraySource(sources[k]._frames[::-1] + 1, sources[k].path)
    other = xs.train(EventStack(sources), labels, threshold=rule, recall=0.98)
    return other.threshold != threshold


def test_threshold_numbers():
    stack, labels = run(2, 40)
    low, high = (xs.train(stack, labels, threshold=t) for t in (0.05, "0.95"))
    assert (low.threshold, high.threshold) == (0.05, 0.95)
    n_low, n_high = (m.predict(stack).counts()["good"] for m in (low, high))
    assert n_low > n_high


def test_three_classes():
    stack, labels = run(3, 40)
    three = [x if i % 2 else x + "2" for i, x in enumerate(labels)]
    model = xs.train(stack, three, threshold=0.6, model="decision_tree", max_depth=2)
    assert model.class_names == ("bad", "bad2", "good", "good2")
    assert model.positive is None
    assert model.metrics["columns"][-1] == "unsure"
    assert model.predict(stack).counts()["unsure"] > 0
    assert "else unsure" in model.report_text()
    for rule in ("max_f1", "high_recall"):
        with pytest.raises(SettingsError, match="is for two classes"):
            xs.train(stack, three, threshold=rule)


# -- what cannot be


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "svm"},
        {"split": "shot"},
        {"threshold": "best"},
        {"threshold": 1.5},
        {"threshold": 0},
        {"bin": 0},
        {"n_estimators": "many"},
        {"max_depth": 2.5},
        {"seed": -1},
        {"class_weight": "heavy"},
        {"colour": "red"},
    ],
)
def test_settings_are_checked(wrong):
    stack, labels = run(1, 20)
    with pytest.raises(SettingsError):
        xs.train(stack, labels, **wrong)


def test_settings_survive_toml(tmp_path):
    settings = TrainSettings(threshold=0.4, max_depth=3, bin=4, normalise="median")
    path = tmp_path / "train.toml"
    path.write_text(settings.to_toml())
    assert TrainSettings.from_toml(path) == settings
    assert settings.features.bin == 4


def test_labels_that_cannot_train(tmp_path):
    stack, labels = run(1, 20)
    with pytest.raises(TrainingError, match="No event of the stack has a label"):
        xs.train(stack, [None] * 20)
    with pytest.raises(TrainingError, match="All 20 labelled events are 'good'"):
        xs.train(stack, ["good"] * 20)
    with pytest.raises(TrainingError, match="3 labels for 20 events"):
        xs.train(stack, labels[:3])
    with pytest.raises(TrainingError, match="cannot name a class"):
        xs.train(stack, ["../x" if x == "bad" else x for x in labels])
    with pytest.raises(TrainingError, match="'bad' has 3 labelled events"):
        xs.train(stack, ["bad"] * 3 + ["good"] * 17)
    store = LabelStore(tmp_path, "anna")
    store.set(EventId("elsewhere.cxi", "//0"), "good")
    with pytest.raises(TrainingError, match="elsewhere"):
        xs.train(stack, store)


def test_regions_and_pixels_that_cannot_train():
    stack, labels = run(1, 20)
    with pytest.raises(RegionError, match="geometry"):
        xs.train(stack, labels, region="panel:p0")
    blank = EventStack([ArraySource(np.ones((20, 4, 4)))])
    with pytest.raises(TrainingError, match="same values in the region window:0:2,0:2"):
        xs.train(blank, labels, region="window:0:2,0:2")
    with pytest.raises(TrainingError, match="n_neighbors is 50"):
        xs.train(stack, labels, model="k_nearest_neighbours", n_neighbors=50)
    masked = stack.with_mask(PixelMask.from_bad(np.ones(SHAPE, bool)))
    with pytest.raises(RegionError, match="masked"):
        xs.train(masked, labels)
    nothing = EventStack([ArraySource(np.full((20, 4, 4), np.nan))])
    with pytest.raises(TrainingError, match="None of the labelled events"):
        xs.train(nothing, labels)


def test_a_matrix_beyond_memory_is_refused_before_it_is_made():
    class Huge(ArraySource):
        def __init__(self):
            super().__init__(np.zeros((1, 2, 2), np.uint8))
            self.raw_shape = (2**16, 2**15)

        def __len__(self):
            return 10_000

    labels = ["good", "bad"] * 5000
    with pytest.raises(TrainingError, match=r"GB; choose a smaller region"):
        xs.train(EventStack([Huge()]), labels)


def test_a_regression_that_does_not_converge_says_so():
    matrix = np.random.default_rng(0).normal(size=(60, 9)).astype(np.float32)
    classes = np.arange(60) % 2
    assert estimators.fit(LogisticRegression(), matrix, classes) == []
    (note,) = estimators.fit(LogisticRegression(max_iter=1), matrix, classes)
    assert "did not converge" in note


def test_progress_may_stop_the_training():
    class StopError(Exception):
        pass

    def stop(done, n):
        raise StopError

    stack, labels = run(1, 20)
    with pytest.raises(StopError):
        xs.train(stack, labels, progress=stop)
