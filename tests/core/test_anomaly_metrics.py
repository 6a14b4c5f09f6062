"""Metrics of several classes an event against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from napari_xfelsort.core.anomalies.metrics import (
    PER_CLASS,
    best_threshold,
    evaluate_labels,
    report_text,
    roc_auc,
)

NAMES = ("ice", "loop", "artifact")


def test_by_hand():
    truth = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
    told = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]]
    found = evaluate_labels(truth, told, NAMES)
    ice = found["per_class"]["ice"]
    # ice: 1 true and 1 false positive, 1 missed, 1 true negative.
    assert ice["support"] == 2
    for key in ("accuracy", "precision", "recall", "f1", "f2", "balanced_accuracy"):
        assert ice[key] == 0.5
    assert ice["mcc"] == 0
    assert found["per_class"]["loop"]["mcc"] == 1
    assert found["per_class"]["artifact"]["f1"] == 0  # none there, one told
    assert found["exact_match_ratio"] == 0.5
    assert found["jaccard_index"] == pytest.approx((1 + 1 / 2 + 1 + 1 / 3) / 4)
    # F2 of events: 1; p = 1, r = 1/2: 5/9; none; p = 1/3, r = 1: 5/7.
    assert found["sample_f2"] == pytest.approx((1 + 5 / 9 + 0 + 5 / 7) / 4)
    assert found["macro"]["f1"] == pytest.approx(0.5)
    assert ice["roc_auc"] is None


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_against_scikit_learn(n, seed, share):
    rng = np.random.default_rng(seed)
    truth, scores = rng.random((n, 3)) < share, rng.integers(0, 8, (n, 3)) / 8
    told = scores >= 0.5
    found = evaluate_labels(truth, told, NAMES, scores)
    for k, name in enumerate(NAMES):
        a, b, row = truth[:, k], told[:, k], found["per_class"][name]
        expected = {
            "accuracy": theirs.accuracy_score(a, b),
            "precision": theirs.precision_score(a, b, zero_division=0),
            "recall": theirs.recall_score(a, b, zero_division=0),
            "f1": theirs.f1_score(a, b, zero_division=0),
            "f2": theirs.fbeta_score(a, b, beta=2, zero_division=0),
        }
        if len(set(a.tolist())) == 2:
            expected["balanced_accuracy"] = theirs.balanced_accuracy_score(a, b)
            expected["roc_auc"] = theirs.roc_auc_score(a, scores[:, k])
        else:
            assert row["roc_auc"] is None
        if len({*a.tolist(), *b.tolist()}) == 2:
            expected["mcc"] = theirs.matthews_corrcoef(a, b)
        for key, value in expected.items():
            assert row[key] == pytest.approx(value, abs=1e-12)
    options = {"average": "macro", "zero_division": 0}
    assert found["macro"]["f1"] == pytest.approx(theirs.f1_score(truth, told, **options))
    assert found["macro"]["f2"] == pytest.approx(
        theirs.fbeta_score(truth, told, beta=2, **options)
    )
    samples = theirs.fbeta_score(truth, told, beta=2, average="samples", zero_division=0)
    assert found["sample_f2"] == pytest.approx(samples)
    jaccard = theirs.jaccard_score(truth, told, average="samples", zero_division=1)
    assert found["jaccard_index"] == pytest.approx(jaccard)
    assert found["exact_match_ratio"] == pytest.approx(theirs.accuracy_score(truth, told))


def test_balanced_accuracy_is_the_auc_of_decisions():
    """What the paper's tables call AUC: the ROC curve of decisions has one corner."""
    rng = np.random.default_rng(1)
    truth, told = rng.random((50, 1)) < 0.3, rng.random((50, 1)) < 0.4
    row = evaluate_labels(truth, told, ["a"])["per_class"]["a"]
    assert row["balanced_accuracy"] == pytest.approx(theirs.roc_auc_score(truth, told))


def test_area_under_the_curve_at_its_ends():
    assert roc_auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert roc_auc([1, 1, 0, 0], [1, 2, 3, 4]) == 0
    assert roc_auc([0, 1, 0, 1], [5, 5, 5, 5]) == 0.5
    assert math.isnan(roc_auc([1, 1], [0.2, 0.3]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=30))
def test_the_threshold_has_the_largest_f1(pairs):
    truth = np.array([a for a, _ in pairs])
    scores = np.array([b / 10 for _, b in pairs])
    threshold, f1 = best_threshold(truth, scores)
    if not truth.any():
        assert (threshold, f1) == (0.5, 0)
        return
    every = [theirs.f1_score(truth, scores >= t) for t in np.arange(-0.05, 1, 0.1)]
    assert f1 == pytest.approx(max(every))
    assert theirs.f1_score(truth, scores >= threshold) == pytest.approx(f1)


def test_the_threshold_for_another_share_is_that_of_a_set_with_it():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.5
    scores = np.round(rng.normal(truth, 1.0), 2)
    # As many times each event without the class as makes the share a tenth.
    times = 9 * truth.sum()
    own = np.repeat(truth, np.where(truth, (~truth).sum(), times))
    every = np.repeat(scores, np.where(truth, (~truth).sum(), times))
    assert best_threshold(truth, scores, 0.1) == pytest.approx(best_threshold(own, every))
    assert best_threshold(truth, scores, 0.1)[0] > best_threshold(truth, scores)[0]
    assert best_threshold(truth, scores, truth.mean()) == pytest.approx(
        best_threshold(truth, scores)
    )
    assert best_threshold(np.ones(3, bool), np.arange(3.0), 0.1)[1] == 1


def test_shapes_must_agree_and_text_has_all():
    with pytest.raises(ValueError, match="classes"):
        evaluate_labels([[1, 0]], [[1, 0]], NAMES)
    with pytest.raises(ValueError, match="scores"):
        evaluate_labels([[1, 0, 1]], [[1, 0, 1]], NAMES, [[0.1]])
    text = report_text(evaluate_labels([[1, 0, 1]], [[1, 0, 1]], NAMES))
    assert all(word in text for word in (*NAMES, "roc auc", "exact match ratio 1.000"))
    assert "-" in text  # no area without scores
    assert len(PER_CLASS) == 8
