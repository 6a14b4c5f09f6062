"""Thresholds chosen after training, differences of models, and what is told before."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.errors import ModelError, TrainingError
from napari_xfelsort.core.learning.judging import DecisionRule
from napari_xfelsort.core.learning.model_differences import model_differences
from napari_xfelsort.core.learning.overview import changed_labels, class_list, overview
from napari_xfelsort.core.learning.rule_choice import (
    TEST,
    TRAINING,
    preset_threshold,
    with_rule_by_hand,
)
from napari_xfelsort.core.model import load_model
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import train
from napari_xfelsort.readers import open_stack

SETTINGS = {"bin": 8, "normalise": "median", "n_estimators": 15, "cache": False, "workers": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = simulate_detector(tmp_path_factory.mktemp("run") / "r", n_events=80, seed=3)
    return open_stack(str(made.data), geometry=made.geometry), made


@pytest.fixture(scope="module")
def labels(stack):
    """The truth, but wrong for every seventh event."""
    events, made = stack
    good = {line.rpartition(" ")[2] for line in made.good_list.read_text().splitlines()}
    return [
        "good" if (events.event_id(i).event in good) != (i % 7 == 3) else "bad"
        for i in range(len(events))
    ]


def trained(stack, labels, **settings):
    return train(stack[0], labels, region="panel:p6a0", **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def model(stack, labels):
    return trained(stack, labels)


def judged(model):
    kept = model.metrics["tested"]
    column = model.class_names.index("good")
    return np.array(kept["probabilities"])[:, column], np.array(kept["labels"]) == column


@pytest.mark.parametrize("rule", ["max_f1", "high_recall", "costs"])
def test_after_cross_validation_rules_choose_what_training_chooses(stack, labels, rule):
    options = {"recall": 0.8, "cost_false_good": 1.0, "cost_lost_good": 2.5}
    crossed = trained(stack, labels, cross_validate=True)
    chosen = preset_threshold(crossed, rule, recall=0.8, cost_false=1.0, cost_lost=2.5)
    assert chosen.where == TRAINING
    expected = trained(stack, labels, threshold=rule, **options)
    assert chosen.threshold == pytest.approx(expected.threshold, abs=1e-12)


def test_without_it_they_look_at_the_test_share(model):
    score, good = judged(model)

    def cost(line):
        return np.sum((score >= line) & ~good) + 4 * np.sum((score < line) & good)

    chosen = preset_threshold(model, "costs", cost_lost=4.0)
    assert chosen.where == TEST
    assert cost(chosen.threshold) == min(cost(line) for line in np.linspace(0, 1, 501))
    found = preset_threshold(model, "high_recall", recall=1.0)
    assert np.all(score[good] >= found.threshold)


def test_a_threshold_by_hand_is_told_once_and_kept(model, tmp_path):
    once = with_rule_by_hand(model, DecisionRule(0.3, "good"), TEST)
    twice = with_rule_by_hand(once, DecisionRule(0.5, "good", (0.2, 0.9)), TRAINING)
    told = [warning for warning in twice.warnings if "set by hand" in warning]
    assert len(told) == 1
    assert "hopeful" not in told[0]
    twice.save(tmp_path / "m.xfelmodel")
    kept = load_model(tmp_path / "m.xfelmodel")
    assert kept.provenance["rule"]["band"] == [0.2, 0.9]
    assert kept.band == (0.2, 0.9)
    score, good = judged(model)
    unsure = (score >= 0.2) & (score < 0.9)
    assert kept.metrics["unsure_rate"] == pytest.approx(unsure.mean())
    right = (score >= 0.9) & good | (score < 0.2) & ~good
    assert kept.metrics["accuracy"] == pytest.approx(right.mean())
    assert "set by hand" not in " ".join(model.warnings)


def test_a_rule_for_other_classes_is_refused(stack, labels, model):
    with pytest.raises(ModelError, match="about 'good'"):
        with_rule_by_hand(model, DecisionRule(0.3, "bad"), TEST)
    three = ["ring" if i % 3 == 0 else label for i, label in enumerate(labels)]
    with pytest.raises(ModelError, match="two classes"):
        preset_threshold(trained(stack, three), "max_f1")


def test_differences_are_named(stack, labels, model):
    assert model_differences(model, model) == ["Both models decide the same."]
    said = "\n".join(model_differences(trained(stack, labels, n_estimators=3), model))
    assert "n estimators: 3 (was 15)" in said
    assert "On the same test events" in said
    assert "region" not in said
    said = "\n".join(model_differences(trained(stack, labels, seed=1), model))
    assert "not tested with the same events" in said
    other = train(stack[0], labels, region="panel:p6a1", **SETTINGS)
    assert "region: panel:p6a1 (was panel:p6a0)" in model_differences(other, model)


def test_the_overview_is_what_training_then_uses(stack, labels, model):
    found = overview(stack[0], labels, TrainSettings.from_dict(SETTINGS), "panel:p6a0")
    assert found.train == model.metrics["train_counts"]
    assert found.test == model.metrics["test_counts"]
    assert found.n_events == 80
    assert found.n_features == model.extractor.n_features
    assert found.n_bytes == 80 * 4 * found.n_features
    assert (found.n_files, found.n_runs) == (1, 1)
    assert set(found.notes) <= set(model.warnings)
    with pytest.raises(TrainingError, match="at least two classes"):
        overview(stack[0], ["good"] * 80, TrainSettings.from_dict(SETTINGS))


def test_classes_and_changes():
    assert class_list(["a|b", "b", None, "c"]) == (("a", "b", "c"), True)
    assert class_list(["a", "b"]) == (("a", "b"), False)
    assert changed_labels({"1": "a", "2": "b", "3": "a"}, {"1": "a", "2": "a", "4": "b"}) == [
        "2",
        "3",
        "4",
    ]
