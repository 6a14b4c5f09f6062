"""Thresholds found anew: by the scores of a run, and by a few labels, on laws that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from learning_cases import labelled_run
from scipy.special import expit

from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.errors import ModelError, SettingsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.learning.rethreshold import (
    events_to_label,
    run_scores,
    threshold_from_labels,
    threshold_from_scores,
    trained_share,
    with_new_threshold,
)
from napari_xfelsort.core.model import load_model
from napari_xfelsort.core.training import train


def drawn(n=2000, share=0.05, at=(-9.0, -3.0), spread=(1.2, 1.2), seed=1):
    """Log odds of two normal laws, and which is which."""
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < share
    scores = np.where(
        positive, generator.normal(at[1], spread[1], n), generator.normal(at[0], spread[0], n)
    )
    return scores, positive


def f1(scores, positive, threshold):
    chosen = expit(scores) >= threshold
    return 2 * (chosen & positive).sum() / (chosen.sum() + positive.sum())


@pytest.mark.parametrize("shift", [-4.0, 0.0, 6.0])
@pytest.mark.parametrize("expected", [0.03, 0.05, 0.1])
def test_scores_alone_find_the_gap_wherever_it_is(shift, expected):
    scores, positive = drawn()
    found = threshold_from_scores(scores + shift, expected)
    assert f1(scores + shift, positive, found.threshold) > 0.93
    assert found.events == 2000
    assert found.passing == (expit(scores + shift) >= found.threshold).sum()
    assert found.method == "scores"
    assert found.labelled == 0


def test_the_division_is_otsus():
    # By hand: of 10 9 8 1 0 0 0 0 the first three differ most from the rest.
    scores = np.array([0, 10, 1, 0, 9, 8, 0, 0, np.nan], float)
    found = threshold_from_scores(scores, 0.4)
    assert found.threshold == pytest.approx(expit(4.5))
    assert found.passing == 3
    assert found.events == 8


def test_events_to_label_are_about_the_threshold():
    scores = np.append(np.linspace(5, -5, 1000), np.nan)
    threshold = expit(scores[100])
    chosen = events_to_label(scores, threshold, 20)
    assert len(set(chosen.tolist())) == 20
    assert (np.diff(scores[chosen]) < 0).all()
    ranks = chosen + 1  # they are in order here
    assert 20 <= ranks.min() <= 30
    assert 390 <= ranks.max() <= 410
    assert 8 <= (ranks < 101).sum() <= 12
    assert np.diff(np.log(ranks)) == pytest.approx(np.log(16) / 19, rel=0.3)
    assert events_to_label(scores[:7], threshold, 20).tolist() == list(range(7))
    assert len(events_to_label(np.full(5, np.nan), 0.5)) == 0
    assert len(events_to_label(scores, threshold, 0)) == 0


@pytest.mark.parametrize("seed", range(4))
def test_twenty_labels_find_the_threshold(seed):
    scores, positive = drawn(at=(-9.0, -5.0), spread=(1.0, 1.5), seed=seed)
    begun = threshold_from_scores(scores, 0.05)
    chosen = events_to_label(scores, begun.threshold, 20)
    labels = [None] * len(scores)
    for k in chosen.tolist():
        labels[k] = bool(positive[k])
    found = threshold_from_labels(scores, labels, 0.05)
    best = max(f1(scores, positive, expit(t)) for t in np.linspace(-9, -3, 100))
    assert f1(scores, positive, found.threshold) > best - 0.08
    assert found.labelled == 20
    assert found.expected == pytest.approx(positive.sum(), rel=0.6)
    more = threshold_from_labels(scores, labels, 0.05, "high_recall", 0.99)
    assert more.threshold < found.threshold
    assert (expit(scores[positive]) >= more.threshold).mean() > 0.8


def test_labels_move_a_threshold_that_scores_put_wrong():
    # A third group, of doublets for example, between the others.
    scores, positive = drawn(at=(-9.0, 2.0))
    scores = np.append(scores, np.random.default_rng(2).normal(-2, 0.7, 200))
    positive = np.append(positive, np.zeros(200, bool))
    begun = threshold_from_scores(scores, 0.05)
    assert f1(scores, positive, begun.threshold) < 0.75
    labels = [None] * len(scores)
    for k in events_to_label(scores, begun.threshold, 20).tolist():
        labels[k] = bool(positive[k])
    assert f1(scores, positive, threshold_from_labels(scores, labels, 0.05).threshold) > 0.85


@pytest.mark.parametrize(
    ("scores", "share", "words"),
    [
        (np.zeros(100), 0.05, "scores differ"),
        (np.arange(5.0), 0.05, "scores differ"),
        (np.full(50, np.nan), 0.05, "scores differ"),
        (np.arange(50.0), 0.0, "share"),
        (np.arange(50.0), np.nan, "share"),
    ],
)
def test_scores_without_a_threshold_are_told(scores, share, words):
    with pytest.raises(SettingsError, match=words):
        threshold_from_scores(scores, share)


def test_labels_that_cannot_be_used_are_told():
    scores = np.arange(50.0)
    scores[3] = np.nan
    only_unknown = [None] * 50
    only_unknown[3] = True
    with pytest.raises(SettingsError, match="No event with a score"):
        threshold_from_labels(scores, only_unknown, 0.1)
    with pytest.raises(SettingsError, match="49 labels for 50"):
        threshold_from_labels(scores, [True] * 49, 0.1)
    with pytest.raises(SettingsError, match="not one of max_f1"):
        threshold_from_labels(scores, [True] * 50, 0.1, "costs")
    with pytest.raises(SettingsError, match="recall"):
        threshold_from_labels(scores, [True] * 50, 0.1, "high_recall", 0.0)


@pytest.fixture(scope="module")
def model():
    stack, labels = labelled_run(n=60)
    return train(
        stack, labels, model="naive_bayes", split="event", cache=False, workers=0, unsure_low=0.4
    )


def test_a_model_decides_by_it_and_says_where_it_came_from(model, tmp_path):
    stack, labels = labelled_run(n=60, seed=5)
    scores = run_scores(model, model.predict(stack))
    share = trained_share(model)
    assert share == pytest.approx(labels.count("good") / len(labels), abs=0.03)
    found = threshold_from_labels(scores, [name == "good" for name in labels], share)
    made = with_new_threshold(model, found, ["run5.cxi"], share)
    made.save(tmp_path / "new.xfelmodel")
    again = load_model(tmp_path / "new.xfelmodel")
    assert again.threshold == pytest.approx(found.threshold)
    assert again.band is None
    rule = again.provenance["rule"]
    assert rule["by"] == "labels"
    assert rule["files"] == ["run5.cxi"]
    assert rule["labelled"] == 240
    assert rule["model"] == model.digest
    assert any("found on another run (240 events) by 240 labels" in w for w in again.warnings)
    decided = again.predict(stack).classes
    assert sum(name == "good" for name in decided) == found.passing
    twice = with_new_threshold(again, found._replace(method="scores"), ["b"], share)
    assert sum("found on another run" in w for w in twice.warnings) == 1
    assert "by its scores" in twice.warnings[-1]
    few = {**model.metrics, "tested": {**model.metrics["tested"], "complete": False}}
    bare = with_new_threshold(replace(model, metrics=few), found, [], share)
    assert bare.threshold == found.threshold


def test_only_models_of_two_classes_that_say_their_training_have_one(model):
    unknown = Decisions(
        [EventId("a", "//0")] * 3,
        model.class_names,
        np.array(["good", "bad", "failed"]),
        np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]]),
    )
    found = run_scores(model, unknown)
    assert found[0] > 20 > -20 > found[1]
    assert np.isnan(found[2])
    three = replace(model, positive=None)
    with pytest.raises(ModelError, match="two classes"):
        run_scores(three, unknown)
    with pytest.raises(ModelError, match="two classes"):
        with_new_threshold(three, threshold_from_scores(np.arange(50.0), 0.1), [], 0.1)
    with pytest.raises(ModelError, match="does not say"):
        trained_share(replace(model, metrics={}))
