"""What is proposed: typical at first, then uncertain and different; the same every time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.event_looks import (
    SuggestSettings,
    describe,
    describe_events,
    similar_order,
    similar_to,
)
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.suggest import Suggester
from napari_xfelsort.readers import open_stack

QUICK = SuggestSettings(trees=30)


def clouds(*middles: float, n: int = 30, seed: int = 0) -> np.ndarray:
    """Rows around points on a line, one cloud after the other."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(scale=0.1, size=(len(middles), n, 3))
    spread[..., 0] += np.array(middles)[:, np.newaxis]
    return spread.reshape(-1, 3).astype(np.float32)


def labels_of(n: int, given: dict[int, str]) -> list[str | None]:
    return [given.get(i) for i in range(n)]


# -- proposals


def test_without_labels_each_group_is_shown():
    rows = clouds(0, 5, 10, 15)
    suggester = Suggester(rows, QUICK)
    chosen = suggester.propose(4)
    assert sorted(chosen // 30) == [0, 1, 2, 3]
    middle = np.abs(rows[chosen, 0] - 5.0 * (chosen // 30))
    assert (middle < 0.1).all()  # typical ones
    assert suggester.predicted() == [None] * 120
    assert np.isnan(suggester.uncertainty).all()


def test_with_one_class_the_most_unlike_comes_first():
    suggester = Suggester(clouds(0, 1, 9), QUICK)
    point = suggester.update(labels_of(90, {0: "good", 35: "good"}))
    assert point.n_labels == 2
    assert math.isnan(point.accuracy)
    assert suggester.propose(1)[0] // 30 == 2


def test_with_classes_the_doubtful_come_first_and_differ():
    rows = clouds(0, 4, 8)  # the middle cloud is not labelled, and between the classes
    given = dict.fromkeys(range(8), "good") | dict.fromkeys(range(60, 68), "bad")
    suggester = Suggester(rows, SuggestSettings())
    suggester.update(labels_of(90, given))
    assert suggester.classes == ("bad", "good")
    assert suggester.probabilities.shape == (90, 2)
    assert suggester.probabilities.sum(axis=1) == pytest.approx(np.ones(90))
    chosen = suggester.propose(5)
    assert set(chosen // 30) == {1}
    pairs = np.linalg.norm(rows[chosen][:, np.newaxis] - rows[chosen], axis=2)
    assert pairs[np.triu_indices(5, 1)].min() > 0.03  # none twice, none almost the same
    assert (
        suggester.uncertainty[chosen].min() > np.delete(suggester.uncertainty, range(30, 60)).max()
    )
    told = suggester.predicted()
    assert told[:30] == ["good"] * 30
    assert told[60:] == ["bad"] * 30


def test_never_twice_nor_ignored_nor_unreadable():
    rows = clouds(0, 5)
    rows[[3, 40]] = np.nan
    given: dict[int, str] = {5: "ignore", 6: "good", 3: "good"}
    suggester = Suggester(rows, QUICK)
    seen = set(given)
    while True:
        suggester.update(labels_of(60, given), accuracy=False)
        batch = suggester.propose(7).tolist()
        if not batch:
            break
        assert not seen & set(batch)
        assert not {3, 5, 6, 40} & set(batch)
        seen |= set(batch)
        given.update((i, "good" if i < 30 else "bad") for i in batch)
    assert len(seen) == 59  # all but the unreadable one without a label
    assert suggester.propose(0).tolist() == []
    assert suggester.predicted()[3] is None
    assert [p.n_labels for p in suggester.curve][:2] == [1, 8]


def test_the_same_again_with_the_same_seed():
    rows = clouds(0, 1, 2, n=100)
    given = {0: "good", 150: "bad", 299: "bad"}

    def proposals(seed: int) -> list[list[int]]:
        suggester = Suggester(rows, SuggestSettings(trees=30, candidates=100, seed=seed))
        first = suggester.propose(6).tolist()
        suggester.update(labels_of(300, given))
        return [first, suggester.propose(6).tolist()]

    assert proposals(1) == proposals(1)
    assert proposals(1) != proposals(2)


def test_a_run_of_equal_events():
    suggester = Suggester(np.zeros((5, 3), np.float32), QUICK)
    assert sorted(suggester.propose(9)) == [0, 1, 2, 3, 4]
    assert sorted(similar_order(np.zeros((5, 3), np.float32))) == [0, 1, 2, 3, 4]
    suggester.update(labels_of(5, {0: "a", 1: "b"}))
    assert len(set(suggester.propose(3))) == 3


def test_as_many_labels_as_events():
    with pytest.raises(LabelError, match="2 labels for 30 events"):
        Suggester(clouds(0), QUICK).update(["good", None])


def test_some_events_may_be_left_out():
    rows = clouds(0, 1)
    rows[7] = np.nan
    suggester = Suggester(rows, QUICK)
    suggester.update(labels_of(60, {0: "good", 35: "bad"}))
    first = suggester.propose(5).tolist()
    others = suggester.propose(60, without=first).tolist()
    assert set(first) | set(others) == set(range(60)) - {0, 7, 35}
    assert len(first) + len(others) == 57
    assert suggester.propose(5, without=range(60)).tolist() == []
    assert suggester.opinion(7) is None


# -- held-out accuracy


def test_accuracy_may_be_judged_later():
    rows = clouds(0, 5)
    labels = labels_of(60, {i: "good" if i < 30 else "bad" for i in range(0, 60, 2)})
    suggester = Suggester(rows, QUICK)
    assert math.isnan(suggester.judge().accuracy)
    assert suggester.curve == []
    assert math.isnan(suggester.update(labels, accuracy=False).accuracy)
    assert suggester.opinion(1) == ("good", pytest.approx(1.0, abs=0.3))
    assert suggester.opinion(59) == ("bad", pytest.approx(1.0, abs=0.3))
    assert suggester.judge() == (30, 1.0)
    assert suggester.curve == [(30, 1.0)]


def test_accuracy_is_of_events_left_out():
    """Labels that follow the picture are told; labels by chance are not, though learnt."""
    rows = clouds(0, 5)
    by_cloud = labels_of(60, {i: "good" if i < 30 else "bad" for i in range(60)})
    suggester = Suggester(rows, QUICK)
    assert suggester.update(by_cloud).accuracy == 1
    rng = np.random.default_rng(3)
    by_chance = [str(label) for label in rng.choice(["good", "bad"], 60)]
    assert 0.25 < suggester.update(by_chance).accuracy < 0.75
    assert suggester.predicted() == by_chance  # learnt by heart, and yet not believed
    assert [p.n_labels for p in suggester.curve] == [60, 60]
    assert math.isnan(suggester.update(labels_of(60, {0: "good", 40: "bad"})).accuracy)


# -- what events look like


def test_scale_does_not_matter_to_the_axes_but_is_kept():
    rng = np.random.default_rng(0)
    patterns = rng.random((2, 40)) + 0.5
    which = rng.integers(0, 2, 200)
    scale = rng.uniform(1, 100, 200)
    noise = rng.normal(scale=0.01, size=(200, 40))
    blocks = ((patterns[which] + noise) * scale[:, np.newaxis]).astype(np.float32)
    found = describe(blocks.copy(), SuggestSettings(n_components=3))
    assert found.shape == (200, 6)
    assert found.dtype == np.float32
    assert abs(np.corrcoef(found[:, 0], which)[0, 1]) > 0.999
    assert found[:, 3] == pytest.approx(_standard(blocks.mean(axis=1)), abs=1e-3)
    assert found[:, [0, 3, 4, 5]].std(axis=0) == pytest.approx(np.ones(4), abs=0.01)
    assert found[:, 1:3].std(axis=0).max() < 0.2  # noise


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def test_events_without_value_and_constant_events():
    blocks = np.ones((5, 4), np.float32)
    blocks[1] = np.nan
    blocks[2] = 0
    found = describe(blocks)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2, 3, 4]]).all()
    assert np.isnan(describe(np.full((3, 4), np.nan, np.float32))).all()
    assert np.isfinite(describe(np.ones((1, 4), np.float32))).all()


def test_blocks_are_as_fine_as_memory_allows():
    """Beyond the smallest block nothing is stored, however many pixels there are."""
    rng = np.random.default_rng(0)
    frames = rng.poisson(20, (40, 64, 64)).astype(np.uint16)
    frames[::2, :32] //= 2
    stack = EventStack([ArraySource(frames)])
    told = []
    for settings in (SuggestSettings(max_blocks=4), SuggestSettings(max_blocks=300)):
        found = describe_events(stack, None, settings, lambda done, n: told.append((done, n)))
        assert found.failed == {}
        order = similar_to(found.matrix, 0)
        assert set(order[:20].tolist()) == set(range(0, 40, 2))
    assert told[-1] == (40, 40)
    bad = np.zeros((64, 64), bool)
    bad[:32] = True
    stack = stack.with_mask(PixelMask.from_bad(bad))
    found = describe_events(stack, "window:0:40,0:64", SuggestSettings(n_components=4))
    assert np.isfinite(found.matrix).all()


# -- orders


def test_orders_put_like_beside_like():
    rows = clouds(0, 10, 5, 20)
    rows[7] = np.nan
    order = similar_order(rows)
    assert sorted(order) == list(range(120))
    assert order[-1] == 7
    cloud = order[:-1] // 30
    assert len(np.flatnonzero(np.diff(cloud))) == 3  # each cloud in one piece
    assert (cloud[0], cloud[-1]) in ((0, 3), (3, 0))
    near = similar_to(rows, 35)
    assert near[0] == 35
    assert set(near[:30] // 30) == {1}
    assert near[-1] == 7
    assert similar_to(rows, 7)[:3].tolist() == [7, 0, 1]
    assert similar_order(np.full((3, 2), np.nan)).tolist() == [0, 1, 2]


def test_few_suggested_labels_do_as_many_random_ones(tmp_path):
    """The simulated detector artefact in small; benchmarks/bench_suggest.py does it in large."""
    run = simulate_detector(tmp_path, n_events=400, seed=3)
    truth = ["good" if good else "bad" for good in run.good]
    described = describe_events(open_stack(run.data, geometry=run.geometry)).matrix
    test = np.arange(300, 400)
    hidden = described.copy()
    hidden[test] = np.nan
    given: dict[int, str] = {}
    suggester = Suggester(hidden, QUICK)
    while len(given) < 40:
        suggester.update(labels_of(400, given), accuracy=False)
        given.update((i, truth[i]) for i in suggester.propose(10).tolist())

    def accuracy(labels: dict[int, str]) -> float:
        judge = Suggester(described, QUICK)
        judge.update(labels_of(400, labels), accuracy=False)
        told = judge.predicted()
        return float(np.mean([told[i] == truth[i] for i in test]))

    assert accuracy(given) >= accuracy({i: truth[i] for i in range(200)})
    assert accuracy(given) > 0.95
