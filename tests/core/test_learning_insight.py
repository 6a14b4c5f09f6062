"""Comparison of models, learning curves, and which features matter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from learning_cases import blobs, labelled_run
from scipy.stats import binomtest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError, SettingsError, TrainingError
from napari_xfelsort.core.learning.comparison import compare, compare_prepared, difference
from napari_xfelsort.core.learning.importance import importance, permuted_importance
from napari_xfelsort.core.learning.learning_curve import learning_curve
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.train_settings import ALGORITHMS, TrainSettings
from napari_xfelsort.core.training import prepare, train_prepared

FAST = TrainSettings(n_estimators=10, folds=3)


# -- comparison


@pytest.fixture(scope="module")
def compared():
    class Counting(ArraySource):
        def read_many(self, indices, window=None):
            read.extend(indices)
            return super().read_many(indices, window)

    read: list[int] = []
    stack, labels = labelled_run(6, 30, step=4)
    stack = xs.EventStack([Counting(s._frames, s.path) for s in stack.sources])
    told = []
    result = compare(stack, labels, FAST, fit_progress=lambda *p: told.append(p))
    return stack, labels, result, read, told


def test_all_models_are_trained_on_features_read_once(compared):
    stack, labels, result, read, told = compared
    assert sorted(row.name for row in result.rows) == sorted(ALGORITHMS)
    assert len(read) == len(stack)
    tested = {tuple(row.model.metrics["tested"]["events"]) for row in result.rows}
    assert len(tested) == 1
    alone = xs.train(
        stack, labels, model="naive_bayes", cross_validate=True, folds=3, n_estimators=10
    )
    (same,) = (row.model for row in result.rows if row.name == "naive_bayes")
    assert same.digest == alone.digest
    assert same.metrics == alone.metrics
    assert told[-1][0] == told[-1][1] == 7 * 4
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_best_is_chosen_by_cross_validation_not_by_the_test_share(compared):
    _, _, result, _, _ = compared
    scores = [row.score for row in result.rows]
    assert scores == sorted(scores, reverse=True)
    assert scores == [row.model.metrics["out_of_fold"]["macro_f1"] for row in result.rows]
    assert result.best is result.rows[0].model
    assert result.rows[0].to_best is None


def test_differences_are_paired(compared):
    _, _, result, _, _ = compared
    for row in result.rows[1:]:
        ours, best = (
            {w.event for w in model.misclassified()} for model in (row.model, result.best)
        )
        n = result.best.metrics["n"]
        assert row.to_best.accuracy == pytest.approx((len(best) - len(ours)) / n)
        only_ours, only_best = len(ours - best), len(best - ours)
        expected = 1.0
        if only_ours + only_best:
            expected = binomtest(only_ours, only_ours + only_best).pvalue
        assert row.to_best.p_value == pytest.approx(expected)
        low, high = row.to_best.interval or [row.to_best.accuracy] * 2
        assert low - 1e-9 <= row.to_best.accuracy <= high + 1e-9
    same = difference(result.best, result.best)
    assert same == (0.0, None, 1.0)


def test_models_with_other_test_events_are_not_compared(compared):
    stack, labels, result, _, _ = compared
    other = xs.train(stack, labels, model="naive_bayes", test_share=0.5)
    assert difference(other, result.best) is None
    three = xs.train(*labelled_run(3, classes=3), model="naive_bayes")
    assert difference(three, result.best) is None


def test_the_table_tells_of_all(compared):
    text = compared[2].text()
    for words in ("random forest", "linear svm", "McNemar", "Wilson", "Split by file"):
        assert words in text
    assert len([line for line in text.splitlines() if line.startswith(tuple(
        name.replace("_", " ") for name in ALGORITHMS
    ))]) == 7  # fmt: skip


def test_what_cannot_be_trained_is_said_and_the_others_are():
    stack, labels = labelled_run(2, 12)
    settings = dataclasses.replace(FAST, n_neighbors=14)
    result = compare(stack, labels, settings, models=("naive_bayes", "k_nearest_neighbours"))
    assert [row.name for row in result.rows] == ["naive_bayes", "k_nearest_neighbours"]
    assert result.rows[1].model is None
    assert "n_neighbors is 14" in result.rows[1].why_not
    assert "n_neighbors is 14" in result.text()
    with pytest.raises(TrainingError, match="No model could be trained"):
        compare(stack, labels, settings, models=("k_nearest_neighbours",))


def test_searches_are_for_those_that_have_a_grid():
    prepared = prepare(*labelled_run(4), FAST)
    settings = dataclasses.replace(FAST, search="reflex", model="naive_bayes")
    result = compare_prepared(prepared, settings, ("naive_bayes", "decision_tree"))
    searched = {row.name: row.model.metrics["search"] for row in result.rows}
    assert searched["decision_tree"] is None
    assert searched["naive_bayes"]["search"] == "reflex"
    settings = dataclasses.replace(
        FAST, search="padt", search_limit=40, model="k_nearest_neighbours", folds=2
    )
    with pytest.raises(SettingsError, match=r"To compare random forest: .*432 fits"):
        compare_prepared(prepared, settings)


# -- learning curve


def test_more_labels_help_and_files_stay_together():
    stack, labels = labelled_run(8, 40, step=2.5)
    settings = TrainSettings(model="naive_bayes")
    prepared = prepare(stack, labels, settings)
    told = []
    curve = learning_curve(prepared, settings, progress=lambda *p: told.append(p))
    sizes = [point.n_labels for point in curve]
    assert sizes == sorted(set(sizes))
    assert len(curve) == 6
    train = int((~prepared.division.test).sum())
    assert sizes[-1] < train
    assert curve[-1].accuracy > curve[0].accuracy + 0.05
    assert all(0 <= p.macro_f1 <= 1 and p.accuracy_sd >= 0 for p in curve)
    assert told == [(k + 1, 30) for k in range(30)]
    assert learning_curve(prepared, settings) == curve


def test_a_learning_curve_leaves_the_test_share_alone():
    stack, labels = labelled_run(6)
    settings = TrainSettings(model="decision_tree", folds=3)
    prepared = prepare(stack, labels, settings)
    curve = learning_curve(prepared, settings, points=3)
    prepared.data.matrix[prepared.division.test] = 1e9
    assert learning_curve(prepared, settings, points=3) == curve


@pytest.mark.parametrize("model", ALGORITHMS)
def test_every_algorithm_has_a_learning_curve(model):
    settings = dataclasses.replace(FAST, model=model)
    curve = learning_curve(prepare(*labelled_run(4), settings), settings, points=2)
    assert len(curve) == 2
    assert curve[-1].accuracy > 0.6


def test_progress_may_stop_a_learning_curve():
    class StopError(Exception):
        pass

    def stop(done, n):
        raise StopError

    prepared = prepare(*labelled_run(3), FAST)
    with pytest.raises(StopError):
        learning_curve(prepared, FAST, progress=stop)
    few = prepare(*labelled_run(1, 24), FAST)
    wide = dataclasses.replace(FAST, model="k_nearest_neighbours", n_neighbors=15)
    with pytest.raises(TrainingError, match="needs parts of 15 events"):
        learning_curve(few, wide)


# -- importance


@pytest.mark.parametrize("components", [0, 6])
@pytest.mark.parametrize("model", ALGORITHMS)
def test_the_pixels_that_differ_are_the_important_ones(model, components):
    stack, labels = labelled_run(4, 60)  # the upper half of the frames differs
    settings = {"C": 0.01, "components": components, "n_estimators": 30}
    made = xs.train(stack, labels, model=model, **settings)
    found = importance(made)
    assert found.values.shape == (48,)
    assert found.values.min() >= 0
    assert found.values.sum() == pytest.approx(1)
    share = 0.7 if model in ("decision_tree", "random_forest", "gradient_boosting") else 0.8
    if components:
        share = 0.65
    assert found.values[:24].sum() > share
    drawn = made.extractor.pixel_map(found.values)
    assert np.nansum(drawn) == pytest.approx(1)
    assert len(found.method) > 10


def test_importances_of_weights_by_hand():
    stack, labels = labelled_run(4, 60)
    made = xs.train(stack, labels, model="logistic_regression")
    weights = np.abs(made.estimator.steps[-1][1].coef_[0])
    assert importance(made).values == pytest.approx(weights / weights.sum())
    forest = xs.train(stack, labels, model="random_forest", n_estimators=5)
    assert importance(forest).values == pytest.approx(forest.estimator.feature_importances_)
    forest.estimator = object()
    with pytest.raises(ModelError, match="not known of a classifier object"):
        importance(forest)


def test_a_shuffled_feature_tells_what_it_is_worth():
    matrix, numbers = blobs(200, 4)
    matrix[:, 2] = np.random.default_rng(1).normal(size=200)
    fitted = LogisticRegression().fit(matrix, numbers)
    ours = permuted_importance(fitted, None, matrix, numbers, repeats=40)
    theirs = permutation_importance(fitted, matrix, numbers, n_repeats=40, random_state=0)
    assert ours == pytest.approx(theirs.importances_mean, abs=0.03)
    assert abs(ours[2]) < 0.02
    together = permuted_importance(fitted, None, matrix, numbers, np.array([0, 0, 1, 0]))
    assert together.shape == (2,)
    assert together[0] > 0.15 > abs(together[1])
    assert math.isclose(fitted.score(matrix, numbers), fitted.score(matrix.copy(), numbers))


def test_a_prepared_set_trains_as_a_whole_training():
    stack, labels = labelled_run(4)
    settings = TrainSettings(model="naive_bayes", threshold="max_f1")
    prepared = prepare(stack, labels, settings)
    assert (
        train_prepared(prepared, settings).digest
        == xs.train(stack, labels, model="naive_bayes", threshold="max_f1").digest
    )
