"""Classifiers of one anomaly against none: those of the RefleX paper, and better ones."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What a learner sees: the ring vector of the grey picture, or `frame_features`.
RING_VECTOR, FRAME_FEATURES = "ring_vector", "frame_features"
#: Learners and their grids (paper: Czyzewski et al. 2021, values in their programs).
PAPER_GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "svm": {"C": (1, 5, 10)},
    "naive_bayes": {"var_smoothing": (1e-5, 1e-7, 1e-9, 1e-10)},
    "k_nearest_neighbours": {"n_neighbors": (5, 7, 10, 15, 20, 30, 50)},
    "random_forest": {"n_estimators": (10, 20, 50, 100, 200)},
}
OUR_GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "logistic_regression": {"C": (0.003, 0.01, 0.03)},
    "gradient_boosting": {"max_leaf_nodes": (8, 20), "learning_rate": (0.08,)},
}
LEARNERS = (*PAPER_GRIDS, *OUR_GRIDS)


def features_of(learner: str) -> str:
    """Which features a learner is made for."""
    return RING_VECTOR if learner in PAPER_GRIDS else FRAME_FEATURES


def parameter_sets(learner: str) -> list[dict[str, Any]]:
    """All combinations of a learner's grid."""
    grid = {**PAPER_GRIDS, **OUR_GRIDS}[learner]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def fit_learner(
    learner: str,
    parameters: Mapping[str, Any],
    matrix: NDArray[np.float32],
    truth: NDArray[np.bool_],
    seed: int,
) -> Any:
    """A classifier fitted to tell the events that have a class from those that do not.

    The paper's are neither scaled nor weighted, as there; ours are both where it matters.
    """
    from sklearn.exceptions import ConvergenceWarning

    made = _MAKERS[learner](seed, len(truth))
    target = made[-1] if hasattr(made, "steps") else made
    allowed = dict(parameters)
    if "n_neighbors" in allowed:
        allowed["n_neighbors"] = min(allowed["n_neighbors"], len(truth))
    target.set_params(**allowed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # unscaled SVMs never do
        made.fit(matrix, truth.astype(np.int64))
    return made


def prepared(features: str, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features as learners take them: the few very large frame features are drawn nearer."""
    return np.asarray(np.arcsinh(matrix) if features == FRAME_FEATURES else matrix, np.float32)


def positive_scores(fitted: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability that events have the class; of a SVM its decision value between 0 and 1."""
    from scipy.special import expit

    linear = hasattr(fitted, "steps") and hasattr(fitted[-1], "coef_")
    if hasattr(fitted, "predict_proba") and not linear:
        return np.asarray(fitted.predict_proba(matrix), np.float64)[:, 1]
    return np.asarray(expit(fitted.decision_function(matrix)), np.float64)


def _svm(seed: int, n: int) -> Any:
    from sklearn.svm import LinearSVC

    return _as_they_are(LinearSVC(random_state=seed))


def _naive_bayes(seed: int, n: int) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return _as_they_are(GaussianNB())


def _nearest_neighbours(seed: int, n: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return _as_they_are(KNeighborsClassifier(algorithm="brute"))


def _random_forest(seed: int, n: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


def _logistic_regression(seed: int, n: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = LogisticRegression(class_weight="balanced", max_iter=500, random_state=seed)
    return make_pipeline(StandardScaler(), classifier)


def _gradient_boosting(seed: int, n: int) -> Any:
    from napari_xfelsort.core.learning.boosting import BoostedTrees

    least = max(1, min(20, n // 20))
    return BoostedTrees(
        min_samples_leaf=least,
        max_iter=200,
        # Few bins are as good here as many, and take a fifth of the time.
        max_bins=31,
        l2_regularization=1.0,
        max_features=0.1,
        class_weight="balanced",
        random_state=seed,
    )


def _as_they_are(classifier: Any) -> Any:
    """Features that are not scaled, in the form in which model files have classifiers."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(with_mean=False, with_std=False), classifier)


_MAKERS: dict[str, Callable[[int, int], Any]] = {
    "svm": _svm,
    "naive_bayes": _naive_bayes,
    "k_nearest_neighbours": _nearest_neighbours,
    "random_forest": _random_forest,
    "logistic_regression": _logistic_regression,
    "gradient_boosting": _gradient_boosting,
}
