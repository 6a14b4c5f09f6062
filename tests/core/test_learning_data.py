"""Runs, targets, thresholds that cost, unsure events, and what a colleague warns of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from learning_cases import labelled_run

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError, SettingsError, TrainingError
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.learning.advice import twins
from napari_xfelsort.core.learning.judging import DecisionRule
from napari_xfelsort.core.learning.runs import run_of_file, run_of_metadata, runs_of
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.thresholds import cost_threshold, decide
from napari_xfelsort.core.train_settings import TrainSettings

# -- runs


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("r0012.cxi", "run 12"),
        ("cxilx1234-r0012_0.cxi", "run 12"),
        ("/data/RAW-R0012-AGIPD00-S00000.h5", "run 12"),
        ("CORR-R0238-JNGFR01-S00003.h5", "run 238"),
        ("run12.cxi", "run 12"),
        ("run_0007_part3.h5", "run 7"),
        ("lys-Run-3.cxi", "run 3"),
        ("r0012/data_000001.h5", "run 12"),
        ("/exp/run7/lysozyme.cxi", "run 7"),
        ("r0001/run9.cxi", "run 9"),
        ("run3\\frames.h5", "run 3"),
        ("run_a.cxi", None),
        ("lysozyme.cxi", None),
        ("rerun12.cxi", None),
        ("r12.cxi", None),
        ("over0012.cxi", None),
        ("prune12.cxi", None),
    ],
)
def test_runs_by_name(path, run):
    assert run_of_file(path) == run


@pytest.mark.parametrize(
    ("stored", "run"),
    [
        ({"run": 12}, "run 12"),
        ({"run_number": np.float64(7)}, "run 7"),
        ({"run_id": np.uint32(7)}, "run 7"),
        ({"runNumber": " 0012 "}, "run 12"),
        ({"run": "lys_3"}, "run lys_3"),
        ({"run": ""}, None),
        ({"run": True}, None),
        ({"run": 1.5}, None),
        ({"energy": 9}, None),
    ],
)
def test_runs_stored_with_events(stored, run):
    assert run_of_metadata(stored) == run


def test_files_that_say_no_run_are_their_own():
    paths = ["a.cxi", "run1.cxi", "b.cxi", "r0001-2.cxi", "a.cxi"]
    assert runs_of(paths) == ["a.cxi", "run 1", "b.cxi", "run 1", "a.cxi"]
    assert runs_of(paths[:2], [None, "run 9"]) == ["a.cxi", "run 9"]


def parts_of_runs():
    """Four runs of two files each."""
    stack, labels = labelled_run(8)
    sources = [
        ArraySource(s._frames, f"lys-r{k // 2:04d}-{k % 2}.cxi")
        for k, s in enumerate(stack.sources)
    ]
    return EventStack(sources), labels


def test_the_files_of_a_run_are_on_one_side_when_asked():
    stack, labels = parts_of_runs()
    for seed in range(4):
        model = xs.train(stack, labels, split="run", seed=seed, model="naive_bayes")
        assert model.metrics["split"]["by"] == "run"
        assert "each of the 4 runs" in model.metrics["split"]["why"]
        tested = {event.split("-")[1] for event in model.metrics["tested"]["events"]}
        assert len(tested) == 1
        assert model.metrics["n"] == 80


def test_files_of_one_run_on_both_sides_are_said():
    stack, labels = parts_of_runs()
    said = [
        any(
            "Files of one run are on both sides" in w
            for w in xs.train(stack, labels, seed=seed, model="naive_bayes").warnings
        )
        for seed in range(3)
    ]
    assert any(said)
    model = xs.train(stack, labels, split="run", model="naive_bayes")
    assert not any("one run" in w for w in model.warnings)


def test_runs_that_are_stored_with_events_win_over_names():
    class Stored(ArraySource):
        def metadata(self, i):
            return {"run": 5 if i < 20 else 6 + int(self.path[0])}

    stack, labels = labelled_run(2, name="{}.cxi")
    stack = EventStack([Stored(s._frames, s.path) for s in stack.sources])
    model = xs.train(stack, labels, split="run", model="naive_bayes")
    assert "each of the 3 runs" in model.metrics["split"]["why"]
    assert {"0.cxi //0", "1.cxi //0"} <= set(model.metrics["tested"]["events"]) or not (
        {"0.cxi //0", "1.cxi //0"} & set(model.metrics["tested"]["events"])
    )


def test_a_single_run_cannot_be_divided():
    stack, labels = labelled_run(3, name="run1-{}.cxi")
    with pytest.raises(TrainingError, match=r"in 1 run, which cannot.*more runs, or split by"):
        xs.train(stack, labels, split="run")


# -- several classes an event


def test_events_of_several_classes_need_a_target_and_get_one():
    stack, labels = labelled_run(2)
    joined = [f"{x}|ring" if i % 4 == 0 else x for i, x in enumerate(labels)]
    with pytest.raises(TrainingError, match=r"several classes, as bad and ring.*target class"):
        xs.train(stack, joined)
    model = xs.train(stack, joined, target="bad", model="logistic_regression", threshold="max_f1")
    assert model.class_names == ("bad", "not_bad")
    assert model.positive == "bad"
    counts = model.metrics["train_counts"], model.metrics["test_counts"]
    assert sum(c["bad"] for c in counts) == labels.count("bad")
    assert model.metrics["accuracy"] > 0.9
    with pytest.raises(TrainingError, match=r"No labelled event of the stack is 'blue'; .*ring"):
        xs.train(stack, joined, target="blue")
    with pytest.raises(SettingsError, match="is no class"):
        xs.train(stack, joined, target="../x")


def test_one_of_three_classes_against_the_rest():
    stack, labels = labelled_run(4, classes=3)
    model = xs.train(stack, labels, target="ice", model="random_forest", unsure_low=0.3)
    assert model.class_names == ("ice", "not_ice")
    assert model.band == (0.3, 0.5)
    assert model.metrics["curves"]["ice"]["auc"] > 0.9


# -- thresholds


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.floats(0.1, 10),
    st.floats(0.1, 10),
)
@example([(0.0, False), (5e-324, True)], 1.0, 1.0)  # with no number between them
def test_no_threshold_costs_less(pairs, cost_false, cost_lost):
    scores = np.array([score for score, _ in pairs])
    positive = np.array([label for _, label in pairs])

    def cost(threshold):
        chosen = scores >= threshold
        return cost_false * (chosen & ~positive).sum() + cost_lost * (~chosen & positive).sum()

    found = cost_threshold(scores, positive, cost_false, cost_lost)
    assert 0 <= found <= 1
    least = min(map(cost, [*scores, *([np.nextafter(1, 2)] if scores.max() < 1 else [])]))
    assert cost(found) <= least * (1 + 1e-9)


def test_costs_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    positive = np.array([0, 1, 0, 1, 0, 1], bool)
    assert cost_threshold(scores, positive, 10, 1) == pytest.approx(0.75)  # only sure ones
    assert cost_threshold(scores, positive, 1, 10) == pytest.approx(0.15)  # none lost
    assert cost_threshold(scores, ~positive, 1, 0) == pytest.approx(0.9)  # none at all


def test_what_a_false_good_costs_moves_the_threshold():
    stack, labels = labelled_run(4, 60, step=2.5)
    costs = {"threshold": "costs", "model": "logistic_regression", "C": 0.01}
    dear, cheap = (
        xs.train(stack, labels, cost_false_good=a, cost_lost_good=b, **costs)
        for a, b in ((20, 1), (1, 20))
    )
    assert cheap.threshold < dear.threshold
    assert cheap.predict(stack).counts()["good"] > dear.predict(stack).counts()["good"]
    with pytest.raises(SettingsError, match="Both costs are 0"):
        TrainSettings(threshold="costs", cost_false_good=0, cost_lost_good=0)


NAMES = ("bad", "good")


def test_a_band_between_two_thresholds_is_unsure():
    probabilities = np.array([[1 - p, p] for p in (0.1, 0.3, 0.5, 0.69, 0.7, 0.9, np.nan)])
    chosen = decide(probabilities, NAMES, 0.9, "good", band=(0.3, 0.7))
    assert chosen.tolist() == ["bad", "unsure", "unsure", "unsure", "good", "good", "unsure"]
    chosen = decide(probabilities, NAMES, None, "good", band=(0.5, 0.5))
    assert chosen.tolist() == ["bad", "bad", *["good"] * 4, "unsure"]
    chosen = decide(probabilities[:, ::-1], NAMES, None, "bad", band=(0.3, 0.7))
    assert chosen.tolist() == ["good", *["unsure"] * 3, "bad", "bad", "unsure"]


def test_of_many_classes_the_best_must_be_ahead():
    names = ("a", "b", "c")
    probabilities = np.array([[0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [1, 0, 0]])
    chosen = decide(probabilities, names, margin=0.2)
    assert chosen.tolist() == ["unsure", "a", "unsure", "a"]
    assert decide(probabilities, names, 0.9, margin=0.2).tolist() == [*["unsure"] * 3, "a"]


def test_unsure_events_are_counted_sorted_and_kept(tmp_path):
    stack, labels = labelled_run(4, 60, step=3)
    settings = {"model": "logistic_regression", "unsure_low": 0.2, "unsure_high": 0.8}
    model = xs.train(stack, labels, **settings)
    assert model.metrics["columns"] == ["bad", "good", "unsure"]
    assert model.metrics["unsure_rate"] > 0
    decided = model.predict(stack)
    good = decided.probabilities[:, 1]
    assert np.array_equal(decided.classes == "unsure", (good >= 0.2) & (good < 0.8))
    model.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel")
    assert again.band == (0.2, 0.8)
    assert again.digest == model.digest
    assert np.array_equal(again.predict(stack).classes, decided.classes)
    assert "unsure between" in again.report_text()
    plain = xs.train(stack, labels, model="logistic_regression")
    assert plain.digest != model.digest
    summary = xs.sort(stack, model, tmp_path / "out", workers=0)
    assert summary.totals["unsure"] == decided.counts()["unsure"] > 0


def test_margins(tmp_path):
    stack, labels = labelled_run(4, classes=3, step=4)
    model = xs.train(stack, labels, model="logistic_regression", unsure_margin=0.3)
    assert model.margin == 0.3
    assert model.metrics["unsure_rate"] > 0
    model.save(tmp_path / "m.xfelmodel")
    assert xs.load_model(tmp_path / "m.xfelmodel").margin == 0.3
    two = xs.train(*labelled_run(4), unsure_margin=0.3, threshold=0.1, model="naive_bayes")
    assert two.band == pytest.approx((0.0, 0.25))


@pytest.mark.parametrize(
    "wrong",
    [
        {"unsure_low": 0.6, "unsure_high": 0.4},
        {"unsure_low": 0.6},
        {"unsure_margin": 0.1, "unsure_low": 0.2},
        {"unsure_margin": 2},
        {"unsure_high": "x"},
        {"calibration": "platt"},
        {"folds": 1},
        {"search": "huge"},
        {"cross_validate": 1},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError):
        xs.train(*labelled_run(2), **wrong)


def test_bands_and_rules_for_two_classes_are_refused_for_three():
    stack, labels = labelled_run(3, classes=3)
    for wrong in ({"unsure_low": 0.2}, {"threshold": "costs"}):
        with pytest.raises(SettingsError, match="for two classes"):
            xs.train(stack, labels, **wrong)


def test_another_threshold_is_judged_anew_without_training(tmp_path):
    stack, labels = labelled_run(4, 60, step=3)
    model = xs.train(stack, labels, model="naive_bayes", cross_validate=True)
    moved = model.with_rule(DecisionRule(0.9, "good"))
    asked = xs.train(stack, labels, model="naive_bayes", threshold=0.9, cross_validate=True)
    assert moved.metrics == asked.metrics | {"out_of_fold": model.metrics["out_of_fold"]}
    assert moved.digest == asked.digest != model.digest
    assert model.threshold is None
    moved.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel").with_rule(DecisionRule(None, "good"))
    assert again.metrics == model.metrics
    with pytest.raises(ModelError, match="about 'good'"):
        model.with_rule(DecisionRule(0.5, "bad"))
    model.metrics["tested"]["complete"] = False
    with pytest.raises(ModelError, match="train again"):
        model.with_rule(DecisionRule(0.5, "good"))


def test_mistakes_can_be_looked_at():
    stack, labels = labelled_run(3, 40, step=2)
    model = xs.train(stack, labels, model="naive_bayes")
    wrong = model.misclassified()
    matrix = np.array(model.metrics["confusion"])
    assert len(wrong) == matrix.sum() - np.trace(matrix) > 0
    truth = {str(stack.event_id(i)): label for i, label in enumerate(labels)}
    decided = dict(zip(truth, model.predict(stack).classes, strict=True))
    assert all(truth[w.event] == w.label and decided[w.event] == w.decision for w in wrong)


# -- warnings


def test_frames_on_both_sides_are_found():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(80, 40)).astype(np.float32)
    test = np.arange(80) % 4 == 0
    assert twins(matrix, test)[:2] == (0, 0)
    matrix[4] = matrix[5]
    matrix[8] = matrix[9] + 1e-4
    same, near, (first, second) = twins(matrix, test)
    assert (same, near) == (1, 1)
    assert (first, second) == (4, 5)
    few = rng.normal(size=(80, 2)).astype(np.float32)
    assert twins(few, test)[:2] == (0, 0)
    many = rng.normal(size=(80, 5000)).astype(np.float32)
    many[0] = many[1] * (1 + 1e-4)
    assert twins(many, test) == (0, 1, (0, 1))


def test_a_run_that_was_copied_leaks_and_it_is_said():
    stack, labels = labelled_run(2)
    stack = EventStack([*stack.sources, ArraySource(stack.sources[0]._frames, "copy.cxi")])
    said = [
        w
        for seed in range(6)
        for w in xs.train(stack, [*labels, *labels[:40]], seed=seed, model="naive_bayes").warnings
    ]
    assert any("Of the events to test with, 40 the same as one to train with" in w for w in said)


def test_boosting_of_very_many_features_is_said_to_take_long():
    stack, labels = labelled_run(2, 20, shape=(60, 100))
    options = {"model": "gradient_boosting", "n_estimators": 1}
    slow = xs.train(stack, labels, **options)
    assert any("takes long on 6000 features" in w for w in slow.warnings)
    quick = xs.train(stack, labels, components=3, **options)
    assert not any("takes long" in w for w in quick.warnings)


def test_labels_that_rules_gave_are_said(tmp_path):
    stack, labels = labelled_run(2)
    store = LabelStore(tmp_path, "anna")
    events = [stack.event_id(i) for i in range(len(stack))]
    store.set_many(zip(events, labels, strict=True), source="rule:mean")
    by_rule = xs.train(stack, store, model="naive_bayes")
    assert any("All labels were given by rules" in w for w in by_rule.warnings)
    store.set(events[3], labels[3])
    mixed = xs.train(stack, store, model="naive_bayes")
    assert not any("rules" in w for w in mixed.warnings)


def test_all_settings_survive_toml(tmp_path):
    changed = TrainSettings(
        model="linear_svm", split="run", target="ice", threshold="costs", cost_false_good=3.0,
        unsure_low=0.2, unsure_high=0.7, calibration="isotonic", cross_validate=True, folds=3,
        search="small", search_score="accuracy", search_limit=50, learning_rate=0.3,
        var_smoothing=1e-5,
    )  # fmt: skip
    path = tmp_path / "train.toml"
    path.write_text(changed.to_toml())
    assert TrainSettings.from_toml(path) == changed
    assert TrainSettings.from_dict(changed.to_dict()) == changed
    assert dataclasses.replace(changed, folds=4).search_fits == 20
