"""Curves and intervals against scikit-learn, scipy and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from napari_xfelsort.core.learning.curves import (
    MOST_POINTS,
    brier,
    class_curves,
    reliability,
    roc_auc,
)
from napari_xfelsort.core.learning.intervals import (
    bootstrap,
    macro_f1,
    mcnemar,
    resampled_groups,
    wilson,
)
from napari_xfelsort.core.learning.judging import (
    MOST_KEPT,
    DecisionRule,
    Judged,
    check_judged,
    judge,
    judged_of,
    misjudged,
)


def scored(n=150, seed=0, step=0.05):
    """Scores with many ties, and labels that agree with them more or less."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n) / step) * step
    return np.clip(scores, 0, 1), rng.random(n) < scores


@pytest.mark.parametrize("seed", range(5))
def test_curves_are_those_of_scikit_learn(seed):
    scores, positive = scored(seed=seed)
    curves = class_curves(scores, positive)
    false_rate, true_rate, thresholds = roc_curve(positive, scores, drop_intermediate=False)
    assert curves["roc"]["false_positive_rate"] == pytest.approx(false_rate)
    assert curves["roc"]["true_positive_rate"] == pytest.approx(true_rate)
    assert curves["roc"]["threshold"][0] is None
    assert curves["roc"]["threshold"][1:] == pytest.approx(thresholds[1:])
    assert curves["auc"] == pytest.approx(roc_auc_score(positive, scores))
    precision, recall, thresholds = precision_recall_curve(positive, scores)
    ours = curves["precision_recall"]
    assert ours["threshold"] == pytest.approx(thresholds[::-1])
    assert ours["precision"] == pytest.approx(precision[:-1][::-1])
    assert ours["recall"] == pytest.approx(recall[:-1][::-1])
    assert curves["average_precision"] == pytest.approx(average_precision_score(positive, scores))
    repeats = np.random.default_rng(seed).integers(0, 4, len(scores))
    expected = roc_auc_score(positive, scores, sample_weight=repeats)
    assert roc_auc(scores, positive, repeats) == pytest.approx(expected)


def test_curves_of_many_events_stay_small_and_exact():
    scores, positive = scored(5000, step=1e-6)
    curves = class_curves(scores, positive)
    assert len(curves["roc"]["threshold"]) == MOST_POINTS + 1
    assert curves["auc"] == pytest.approx(roc_auc_score(positive, scores))
    assert curves["roc"]["true_positive_rate"][-1] == 1
    assert curves["precision_recall"]["recall"][-1] == 1


def test_a_class_alone_has_no_curve():
    for positive in (np.ones(4, bool), np.zeros(4, bool)):
        curves = class_curves(np.linspace(0, 1, 4), positive)
        assert set(curves.values()) == {None}
    assert math.isnan(roc_auc(np.ones(3), np.ones(3, bool)))


def test_brier_and_reliability():
    scores, positive = scored()
    probabilities = np.stack([1 - scores, scores], axis=1)
    assert brier(probabilities, positive.astype(int)) == pytest.approx(
        brier_score_loss(positive, scores)
    )
    # Three classes by hand: (0.5^2 + 0.5^2 + 0) and (0 + 0 + 0), their mean.
    three = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert brier(three, np.array([0, 2])) == pytest.approx(0.25)
    assert brier(three[:0], np.array([], int)) is None
    rng = np.random.default_rng(1)
    fine = rng.random(400)
    really = rng.random(400) < fine
    share, mean = calibration_curve(really, fine, n_bins=10)
    steps = reliability(fine, really)
    assert steps["share"] == pytest.approx(share)
    assert steps["probability"] == pytest.approx(mean)
    assert sum(steps["n"]) == 400
    assert reliability(np.ones(3), np.ones(3, bool)) == {
        "probability": [1.0], "share": [1.0], "n": [3]
    }  # fmt: skip


def test_wilson_as_published():
    """R. G. Newcombe, Stat. Med. 17, 857 (1998), table I, method 3."""
    for part, whole, low, high in (
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718),
    ):  # fmt: skip
        assert wilson(part, whole) == pytest.approx([low, high], abs=6e-5)
    assert wilson(5, 5)[1] == 1
    assert wilson(0, 0) is None


@pytest.mark.parametrize("pair", [(0, 0), (1, 0), (3, 9), (10, 10), (40, 7)])
def test_mcnemar_is_an_exact_binomial_test(pair):
    n = sum(pair)
    expected = binomtest(pair[0], n).pvalue if n else 1.0
    assert mcnemar(*pair) == pytest.approx(expected)


def test_a_bootstrap_of_events_has_the_width_that_theory_says():
    values = np.random.default_rng(0).normal(size=400)

    def mean(weights):
        return float((weights * values).sum() / weights.sum())

    low, high = bootstrap(mean, np.arange(400), seed=0)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high
    assert bootstrap(lambda weights: math.nan, np.arange(4), seed=0) is None
    assert bootstrap(mean, np.arange(0), seed=0) is None
    assert bootstrap(lambda weights: 1.0, np.arange(40), seed=0) is None  # no mistake, no width


def test_a_bootstrap_of_groups_is_wider_where_groups_differ():
    groups = np.repeat(np.arange(10), 40)
    values = np.repeat(np.random.default_rng(0).normal(size=10), 40)

    def mean(weights):
        return float((weights * values).sum() / weights.sum())

    drawn, what = resampled_groups(groups * 7, 400)
    assert what == "groups"
    assert np.array_equal(drawn, groups)
    by_group, by_event = (bootstrap(mean, g, seed=0) for g in (drawn, np.arange(400)))
    assert by_group[1] - by_group[0] > 3 * (by_event[1] - by_event[0])
    for few in (None, np.repeat([3, 4], 200)):
        drawn, what = resampled_groups(few, 400)
        assert what == "events"
        assert len(np.unique(drawn)) == 400


def test_macro_f1_with_unsure_events():
    true, chosen = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 3, 2])  # 3: unsure
    confusion = np.zeros((3, 4))
    np.add.at(confusion, (true, chosen), 1)
    assert macro_f1(confusion) == pytest.approx(
        f1_score(true, chosen, labels=[0, 1, 2], average="macro")
    )
    assert math.isnan(macro_f1(np.zeros((2, 2))))


NAMES = ("bad", "good")


def judged(n=60, groups=True):
    scores, positive = scored(n)
    return Judged(
        [f"a.cxi //{k}" for k in range(n)],
        positive.astype(np.int64),
        np.stack([1 - scores, scores], axis=1),
        np.arange(n) // 10 if groups else None,
    )


def test_what_is_judged_is_kept_and_found_again():
    events, rule = judged(), DecisionRule(0.5, "good")
    metrics = judge(events, NAMES, rule, seed=0)
    check_judged(metrics, 2)
    again = judged_of(metrics, 2)
    assert again.events == events.events
    assert np.array_equal(again.probabilities, events.probabilities)
    assert np.array_equal(again.groups, events.groups)
    assert "over files or runs for F1" in metrics["intervals"]["method"]
    low, high = metrics["intervals"]["accuracy"]
    assert low < metrics["accuracy"] < high
    assert metrics["intervals"]["auc"][0] < metrics["curves"]["good"]["auc"]
    wrong = misjudged(metrics, NAMES, rule)
    scores, positive = events.probabilities[:, 1], events.classes == 1
    assert {w.event for w in wrong} == {
        f"a.cxi //{k}" for k in np.flatnonzero((scores >= 0.5) != positive)
    }
    assert [w.probability for w in wrong] == sorted((w.probability for w in wrong), reverse=True)
    assert all(w.label != w.decision for w in wrong)
    assert (
        "over events for F1" in judge(judged(groups=False), NAMES, rule, 0)["intervals"]["method"]
    )


def test_of_very_many_events_the_wrong_ones_are_kept():
    n = MOST_KEPT + 500
    probabilities = np.tile([0.1, 0.9], (n, 1))
    classes = np.ones(n, np.int64)
    classes[-40:] = 0
    events = Judged([str(k) for k in range(n)], classes, probabilities, None)
    metrics = judge(events, NAMES, DecisionRule(None, "good"), seed=0)
    assert len(metrics["tested"]["events"]) == MOST_KEPT
    assert judged_of(metrics, 2) is None
    assert len(misjudged(metrics, NAMES, DecisionRule(None, "good"))) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"tested": {}},
        {"tested": {"events": ["a"], "labels": [2], "probabilities": [[0, 1]], "complete": True}},
        {"tested": {"events": ["a"], "labels": [0], "probabilities": [[0, 7]], "complete": True}},
        {"tested": {"events": ["a"], "labels": [0, 1], "probabilities": [], "complete": True}},
        {"curves": {"good": {"roc": None}}},
        {"curves": {"good": {"roc": {"a": [1], "b": []}, "precision_recall": None}}},
        {"reliability": {"good": {"probability": ["x"], "share": [1]}}},
        {"out_of_fold": {"curves": {"good": {"roc": {"a": ["nan"]}, "precision_recall": None}}}},
    ],
)
def test_damaged_metrics_are_found(change):
    metrics = judge(judged(), NAMES, DecisionRule(None, "good"), seed=0)
    with pytest.raises((ValueError, KeyError, TypeError)):
        check_judged(metrics | change, 2)
