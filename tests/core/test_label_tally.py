"""Labels counted as they change, against counting them anew."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.label_tally import LabelTally

LABELS = st.sampled_from([None, "good", "bad", "ignore", "Einkristall"])


def test_counts_by_hand():
    tally = LabelTally(["good", None, "ignore", "good"])
    assert (len(tally), tally.n_labelled, tally.counts) == (4, 3, {"good": 2, "ignore": 1})
    tally.set(0, "bad")
    tally.set(2, None)
    tally.set(1, None)
    assert (tally.n_labelled, tally.counts) == (2, {"bad": 1, "good": 1})
    assert [tally.label(i) for i in range(4)] == ["bad", None, None, "good"]


def test_next_unlabelled_goes_round():
    tally = LabelTally([None, "good", None, "bad"])
    assert [tally.next_unlabelled(i) for i in range(4)] == [2, 2, 0, 0]
    tally.set(0, "bad")
    assert tally.next_unlabelled(2) == 2  # the only one left is the event itself
    tally.set(2, "bad")
    assert [tally.next_unlabelled(i) for i in range(4)] == [None] * 4


def test_random_unlabelled():
    random = np.random.default_rng(5)
    tally = LabelTally([None, "good", None, None])
    assert {tally.random_unlabelled(2, random) for _ in range(100)} == {0, 3}
    assert {tally.random_unlabelled(1, random) for _ in range(100)} == {0, 2, 3}
    assert LabelTally(["good", None]).random_unlabelled(1, random) == 1
    assert LabelTally(["good"]).random_unlabelled(0, random) is None


@given(
    st.lists(LABELS, min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 1000), LABELS), max_size=20),
)
def test_like_counting_anew(labels, changes):
    tally = LabelTally(labels)
    for place, label in changes:
        labels[place % len(labels)] = label
        tally.set(place % len(labels), label)
    there = [label for label in labels if label]
    assert tally.counts == Counter(there)
    assert tally.n_labelled == len(there)
    n = len(labels)
    for i in range(n):
        around = [(i + k) % n for k in range(1, n + 1)]
        free = [k for k in around if labels[k] is None]
        assert tally.next_unlabelled(i) == (free[0] if free else None)
