"""Choosing and fitting classifiers of anomalies, on features whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.anomalies.learners import (
    LEARNERS,
    PAPER_GRIDS,
    fit_learner,
    parameter_sets,
)
from napari_xfelsort.core.anomalies.training import train_anomalies, validation_events
from napari_xfelsort.core.errors import SettingsError, TrainingError

NAMES = ("ice_ring", "artifact")


def data(n=240, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 6)).astype(np.float32)
    labels = np.stack([matrix[:, 1] > 0.4, matrix[:, 4] - matrix[:, 2] > 1.2], axis=1)
    return matrix, labels, np.arange(n) // 12


@pytest.mark.parametrize("learner", [*LEARNERS, "best"])
def test_each_learner_learns(learner):
    matrix, labels, groups = data()
    model = train_anomalies(matrix, labels, NAMES, groups, learner, seed=3)
    test, truth, _ = data(seed=1)
    found = model.probabilities(test)
    assert found.shape == (240, 2)
    assert ((found >= 0) & (found <= 1)).all()
    right = (model.choose(found) == truth).mean(axis=0)
    assert (right > (0.75 if learner == "naive_bayes" else 0.85)).all()
    again = train_anomalies(matrix, labels, NAMES, groups, learner, seed=3)
    assert np.array_equal(again.probabilities(test), found)
    assert set(model.metrics["parameters"]) == set(NAMES)


def test_best_takes_what_tells_each_class_better():
    rng = np.random.default_rng(4)
    matrix = rng.standard_normal((240, 6)).astype(np.float32)
    far = (matrix[:, :2] ** 2).sum(axis=1) > 1.4  # of no straight line
    side = matrix[:, 2:].sum(axis=1) + 0.5 * rng.standard_normal(240) > 0
    truth = np.stack([far, side], axis=1)
    model = train_anomalies(matrix, truth, NAMES)
    assert model.learners == ("gradient_boosting", "logistic_regression")
    parameters = [model.metrics["parameters"][name]["learner"] for name in NAMES]
    assert parameters == list(model.learners)


def test_the_grids_are_those_of_the_paper():
    assert PAPER_GRIDS == {
        "svm": {"C": (1, 5, 10)},
        "naive_bayes": {"var_smoothing": (1e-5, 1e-7, 1e-9, 1e-10)},
        "k_nearest_neighbours": {"n_neighbors": (5, 7, 10, 15, 20, 30, 50)},
        "random_forest": {"n_estimators": (10, 20, 50, 100, 200)},
    }
    assert parameter_sets("svm") == [{"C": 1}, {"C": 5}, {"C": 10}]


def test_more_neighbours_than_events_are_cut():
    matrix, labels, _ = data(12)
    fitted = fit_learner("k_nearest_neighbours", {"n_neighbors": 50}, matrix, labels[:, 0], 0)
    assert fitted[-1].n_neighbors == 12


def test_validation_holds_whole_groups_and_all_classes():
    _, labels, groups = data()
    held = validation_events(labels, groups, 0.25, 5)
    for group in range(20):
        assert len(set(held[groups == group].tolist())) == 1
    assert 0.1 < held.mean() < 0.45
    for part in (held, ~held):
        assert labels[part].any(axis=0).all()
        assert not labels[part].all(axis=0).any()


def test_a_class_in_one_file_cannot_be_validated():
    labels = np.zeros((40, 1), bool)
    labels[:10] = True
    with pytest.raises(TrainingError, match="cannot be divided"):
        validation_events(labels, np.arange(40) // 20 * 0, 0.2, 0)
    with pytest.raises(TrainingError, match="cannot be divided"):
        validation_events(labels, np.arange(40) // 10, 0.2, 0)


def test_events_without_features_are_not_known():
    matrix, labels, groups = data()
    model = train_anomalies(matrix, labels, NAMES, groups, "logistic_regression")
    test = matrix[:3].copy()
    test[1, 2] = np.nan
    found = model.probabilities(test)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()
    assert not model.choose(found)[1].any()
    with pytest.raises(ValueError, match="the model has 6"):
        model.probabilities(test[:, :5])


def test_bad_input():
    matrix, labels, groups = data()
    with pytest.raises(SettingsError, match="learner is"):
        train_anomalies(matrix, labels, NAMES, groups, "oracle")
    with pytest.raises(SettingsError, match="share"):
        train_anomalies(matrix, labels, NAMES, groups, "svm", validation_share=1.0)
    with pytest.raises(TrainingError, match="do not fit 3 classes"):
        train_anomalies(matrix, labels, ("a", "b", "c"))
    with pytest.raises(TrainingError, match="do not fit 240"):
        train_anomalies(matrix[:9], labels, NAMES)
    with pytest.raises(TrainingError, match="Groups"):
        train_anomalies(matrix, labels, NAMES, groups[:5])
    with pytest.raises(TrainingError, match="needs features of the kind ring_vector"):
        train_anomalies({"frame_features": matrix}, labels, NAMES, groups, "svm")
    with pytest.raises(TrainingError, match="not finite"):
        train_anomalies(np.where(matrix > 3, np.inf, matrix) * np.inf, labels, NAMES)
    with pytest.raises(TrainingError, match="'artifact' has 0 of 240"):
        train_anomalies(matrix, labels & [True, False], NAMES)


def test_thresholds_for_a_share_that_is_not_that_of_the_events():
    matrix, labels, groups = data()
    given = {"learner": "logistic_regression", "groups": groups}
    same, rarer = (
        train_anomalies(matrix, labels, NAMES, shares=shares, **given)
        for shares in (None, (0.02, 0.02))
    )
    assert (rarer.thresholds >= same.thresholds).all()
    assert (rarer.thresholds > same.thresholds).any()
    for wrong in ((0.1,), (0.1, 1.0)):
        with pytest.raises(SettingsError):
            train_anomalies(matrix, labels, NAMES, shares=wrong, **given)
