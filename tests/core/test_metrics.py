"""Metrics and thresholds against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from napari_xfelsort.core.metrics import confusion_text, evaluate, report_text
from napari_xfelsort.core.thresholds import (
    best_f1_threshold,
    decide,
    positive_class,
    recall_threshold,
)


def test_two_classes_by_hand():
    true = ["good"] * 5 + ["bad"] * 3
    chosen = ["good"] * 4 + ["bad"] + ["good"] + ["bad"] * 2
    m = evaluate(true, chosen, ("bad", "good"))
    assert m["confusion"] == [[2, 1], [1, 4]]
    assert m["row_percent"] == [[pytest.approx(200 / 3), pytest.approx(100 / 3)], [20, 80]]
    assert m["per_class"]["good"] == {
        "precision": pytest.approx(4 / 5),
        "recall": pytest.approx(4 / 5),
        "f1": pytest.approx(4 / 5),
        "support": 5,
    }
    assert m["per_class"]["bad"]["precision"] == pytest.approx(2 / 3)
    assert m["accuracy"] == pytest.approx(6 / 8)
    assert m["misclassification_rate"] == pytest.approx(2 / 8)
    assert m["unsure_rate"] == 0
    assert m["n"] == 8


def test_unsure_is_neither_right_nor_wrong():
    m = evaluate(["a", "a", "b", "c"], ["a", "unsure", "a", "c"], ("a", "b", "c"))
    assert m["columns"] == ["a", "b", "c", "unsure"]
    assert m["confusion"] == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert m["accuracy"] == 0.5
    assert m["misclassification_rate"] == 0.25
    assert m["unsure_rate"] == 0.25
    assert m["per_class"]["b"]["precision"] is None  # nothing was decided as b
    assert m["per_class"]["b"]["recall"] == 0
    assert m["macro"]["precision"] is None
    assert "unsure 25.0 %" in report_text(m)


def test_a_class_that_the_test_share_lacks():
    m = evaluate(["a", "a"], ["a", "b"], ("a", "b"))
    assert m["per_class"]["b"]["recall"] is None
    assert m["row_percent"][1] == [None, None]
    assert "-" in report_text(m)
    assert confusion_text(m).splitlines() == [
        "label \\ decision           a           b",
        "a                 1 (50.0 %)  1 (50.0 %)",
        "b                          0           0",
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_against_scikit_learn(pairs):
    true, chosen = map(list, zip(*pairs, strict=True))
    m = evaluate(true, chosen, "abc")
    assert m["confusion"] == confusion_matrix(true, chosen, labels=list("abc")).tolist()
    expected = precision_recall_fscore_support(
        true, chosen, labels=list("abc"), zero_division=np.nan
    )
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        found = [m["per_class"][name][key] for name in "abc"]
        assert np.allclose([np.nan if f is None else f for f in found], values, equal_nan=True)


def test_decisions():
    p = np.array([[0.3, 0.7], [0.5, 0.5], [0.8, 0.2], [np.nan, np.nan]])
    names = ("bad", "good")
    assert list(decide(p, names)) == ["good", "bad", "bad", "unsure"]
    assert list(decide(p, names, 0.5, "good")) == ["good", "good", "bad", "unsure"]
    assert list(decide(p, names, 0.2, "good")) == ["good", "good", "good", "unsure"]
    assert list(decide(p, names, 0.8, "bad")) == ["good", "good", "bad", "unsure"]
    three = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert list(decide(three, ("a", "b", "c"), 0.6)) == ["unsure", "c"]


def test_the_positive_class():
    assert positive_class(("bad", "good")) == "good"
    assert positive_class(("good", "hit")) == "good"
    assert positive_class(("blank", "hit")) == "blank"
    assert positive_class(("a", "b", "c")) is None


def test_thresholds_by_hand():
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.3, 0.1])
    wanted = np.array([1, 1, 0, 1, 0, 0], bool)
    # F1: at 0.9 1/2, 0.8 4/5, 0.6 2/3, 0.4 6/7, 0.3 3/4, 0.1 2/3
    assert best_f1_threshold(scores, wanted) == pytest.approx(0.35)
    assert recall_threshold(scores, wanted, 1.0) == pytest.approx(0.35)
    assert recall_threshold(scores, wanted, 2 / 3) == pytest.approx(0.7)
    assert recall_threshold(scores, wanted, 0.01) == pytest.approx(0.85)


def test_separable_classes_are_parted_in_the_middle():
    scores = np.array([0.95, 0.9, 0.2, 0.05])
    assert best_f1_threshold(scores, scores > 0.5) == pytest.approx(0.55)


scored = st.lists(
    st.tuples(st.integers(0, 20).map(lambda k: k / 20), st.booleans()), min_size=1
).filter(lambda pairs: any(wanted for _, wanted in pairs))


@given(scored, st.floats(0.01, 1))
def test_thresholds_against_trying_them_all(pairs, recall):
    scores = np.array([s for s, _ in pairs])
    wanted = np.array([w for _, w in pairs])

    def f1(t):
        chosen = scores >= t
        return 2 * (chosen & wanted).sum() / (chosen.sum() + wanted.sum())

    def found(t):
        return ((scores >= t) & wanted).sum() / wanted.sum()

    tried = np.linspace(0, 1, 401)
    best = best_f1_threshold(scores, wanted)
    assert f1(best) == max(f1(t) for t in tried)
    chosen = recall_threshold(scores, wanted, recall)
    assert found(chosen) >= recall - 1e-9
    higher = scores[scores > chosen].min(initial=1.1) + 1e-9
    assert found(higher) < recall
