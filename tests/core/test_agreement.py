"""Agreement of labellers against hand-computed figures and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from napari_xfelsort.core.agreement import (
    class_agreements,
    cohen_kappa,
    disagreements,
    fleiss_kappa,
    opinions,
    opinions_of,
    pair_agreements,
    settle,
)
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore


def event(i: int) -> EventId:
    return EventId("run.cxi", f"//{i}")


def test_kappa_by_hand():
    """50 grants, 20 both yes, 15 both no: observed 0.7, by chance 0.5, kappa 0.4."""
    pairs = (
        [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    )
    assert cohen_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.4, abs=1e-15)


def test_kappa_at_its_ends():
    assert cohen_kappa(["a", "b", "c"], ["a", "b", "c"]) == 1
    assert cohen_kappa(["a", "b"], ["b", "a"]) == -1
    assert cohen_kappa(["a", "a"], ["a", "b"]) == 0
    assert math.isnan(cohen_kappa(["a", "a"], ["a", "a"]))  # no chance to disagree
    assert math.isnan(cohen_kappa([], []))
    with pytest.raises(ValueError, match="every event"):
        cohen_kappa(["a"], [])


@given(st.lists(st.tuples(*[st.sampled_from(["good", "bad", "ignore", "ice|salt"])] * 2)))
def test_kappa_as_scikit_learn(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    if len({*first, *second}) < 2:
        assert math.isnan(cohen_kappa(first, second))
    else:
        expected = cohen_kappa_score(first, second)
        assert cohen_kappa(first, second) == pytest.approx(expected, abs=1e-12)


def test_three_labellers_in_one_folder(tmp_path):
    anna, bert = LabelStore(tmp_path, "anna"), LabelStore(tmp_path, "bert")
    for i, (a, b) in enumerate([("good", "good"), ("good", "bad"), ("bad", "bad"), ("bad", "")]):
        anna.set(event(i), a)
        if b:
            bert.set(event(i), b)
    bert.set(event(9), "good")
    bert.clear(event(9))
    anna.set_many([(event(0), "good"), (event(1), "good")], "rule:peaks")
    store = LabelStore(tmp_path, "carl")
    assert store.voices == ("anna", "bert", "rule:peaks")
    assert {each.event: each.said for each in opinions(store)} == {
        event(0): {"anna": "good", "bert": "good", "rule:peaks": "good"},
        event(1): {"anna": "good", "bert": "bad", "rule:peaks": "good"},
        event(2): {"anna": "bad", "bert": "bad"},
        event(3): {"anna": "bad"},
    }
    assert opinions_of(store, event(9)).said == {}
    pairs = {(p.first, p.second): p[2:] for p in pair_agreements(store)}
    # anna and bert on 0, 1, 2: 2 of 3 alike; by chance (2*1 + 1*2)/9 = 4/9
    assert pairs["anna", "bert"] == (3, 2, pytest.approx((2 / 3 - 4 / 9) / (5 / 9)))
    assert pairs["anna", "rule:peaks"][:2] == (2, 2)
    assert math.isnan(pairs["anna", "rule:peaks"][2])
    assert pairs["bert", "rule:peaks"] == (2, 1, 0.0)


def test_settling(tmp_path):
    LabelStore(tmp_path, "anna").set(event(1), "good")
    LabelStore(tmp_path, "bert").set(event(1), "bad")
    store = LabelStore(tmp_path, "carl")
    assert [each.event for each in disagreements(store)] == [event(1)]
    before = pair_agreements(store)
    with pytest.raises(LabelError, match="needs a label"):
        settle(store, event(1), "")
    settle(store, event(1), "good", "by the paper's rule")
    for known in (store, LabelStore(tmp_path, "anna")):
        assert known.get(event(1)) == "good"
        assert known.entry(event(1)).source == "settled"
        assert disagreements(known) == []
        (seen,) = disagreements(known, with_settled=True)
        assert seen.said == {"anna": "good", "bert": "bad"}
        assert pair_agreements(known) == before
    bert = LabelStore(tmp_path, "bert")
    bert.set(event(1), "ignore")  # who labels after that opens the question again
    store.reload()
    (seen,) = disagreements(store)
    assert (seen.label, seen.settled) == ("ignore", False)


def test_merged_folders_show_disagreements(tmp_path):
    LabelStore(tmp_path / "here", "anna").set(event(1), "good")
    LabelStore(tmp_path / "there", "bert").set(event(1), "bad")
    store = LabelStore(tmp_path / "here", "anna")
    assert disagreements(store) == []
    store.merge(tmp_path / "there")
    (seen,) = disagreements(store)
    assert seen.said == {"anna": "good", "bert": "bad"}
    assert seen.disagree


#: Psychiatric diagnoses of 30 patients by 6 raters each, of Fleiss (1971), table 1: depression,
#: personality disorder, schizophrenia, neurosis, other.
FLEISS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""


def test_fleiss_kappa_of_its_paper():
    counts = np.array([[int(n) for n in row] for row in FLEISS.split()])
    assert (counts.sum(axis=1) == 6).all()
    assert counts.sum(axis=0).tolist() == [26, 26, 30, 55, 43]  # as printed
    assert fleiss_kappa(counts) == pytest.approx(0.430, abs=5e-4)


def test_fleiss_kappa_at_its_ends():
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1
    # Two raters who never agree: observed 0, by chance one half.
    assert fleiss_kappa([[1, 1], [1, 1]]) == -1
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))
    assert math.isnan(fleiss_kappa([[1, 0], [0, 1]]))  # one rater each
    assert math.isnan(fleiss_kappa(np.zeros((0, 2), int)))
    # Those of one rater do not count.
    assert fleiss_kappa([[3, 0], [0, 3], [1, 0]]) == 1
    for wrong in ([1, 2], [[-1, 2]]):
        with pytest.raises(ValueError, match="raters"):
            fleiss_kappa(wrong)


def test_agreement_on_each_class_of_events_with_several(tmp_path):
    said = {
        "anna": ["ice|loop", "ice", "clean", "loop"],
        "bert": ["ice", "ice", "clean", "ignore"],
        "carl": ["ice|loop", "loop", "clean", "loop"],
    }
    stores = {name: LabelStore(tmp_path, name) for name in said}
    for name, labels in said.items():
        for i, label in enumerate(labels):
            stores[name].set(event(i), label)
    stores["anna"].set(event(9), "ice")  # by one only
    found = {each.name: each for each in class_agreements(LabelStore(tmp_path, "dora"))}
    assert set(found) == {"ice", "loop", "clean"}
    assert {each.n_events for each in found.values()} == {4}
    assert found["clean"].n_unanimous == 4
    assert found["clean"].kappa == 1
    assert found["ice"].n_unanimous == 3
    # ice: yes 3, 2, 0, 0 of 3, 3, 3, 2.
    assert found["ice"].kappa == pytest.approx(fleiss_kappa([[3, 0], [2, 1], [0, 3], [0, 2]]))
    assert found["loop"].n_unanimous == 2
    only = class_agreements(LabelStore(tmp_path, "dora"), ["absent"])
    assert [each.name for each in only] == ["absent"]
    assert math.isnan(only[0].kappa)
