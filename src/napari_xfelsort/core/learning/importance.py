"""Which features a model decides by, one number a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.estimators import known_probabilities
from napari_xfelsort.core.learning.boosting import BoostedTrees

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_xfelsort.core.learning.calibration import Calibration
    from napari_xfelsort.core.model import Model


class Importance(NamedTuple):
    """How much each feature matters.

    Attributes
    ----------
    values : ndarray of float64, shape (features,)
        Not negative, with the sum 1; all 0 where no feature matters.
    method : str
        What the numbers are, as a sentence.
    """

    values: NDArray[np.float64]
    method: str


def importance(model: Model) -> Importance:
    """How much each feature matters to a model, from the model alone.

    Trees say by how much their questions purify the classes, linear models by the size of
    their weights for features of equal spread. Naive Bayes and nearest neighbours, which
    weigh all features alike, by how far the classes lie apart along a feature: the variance
    between the classes over that within them. Where the model sees principal components,
    each one's importance is shared among features by the squares of its direction, and
    weights are carried back.

    Features that say the same share their importance, so that each may look unimportant.

    Returns
    -------
    Importance
        In the order of the features; `FeatureExtractor` says which pixels they are.

    Raises
    ------
    ModelError
        If the classifier is none of ours.
    """
    n_features = model.extractor.n_features
    before, final = _steps(model.estimator)
    directions = None
    for step in before:
        directions = getattr(step, "components_", directions)
    kind = type(final).__name__
    if kind not in _WAYS:
        raise ModelError(f"Importances are not known of a classifier {kind}.")
    way, what = _WAYS[kind]
    inputs = n_features if directions is None else len(directions)
    found = np.asarray(way(final, inputs), np.float64)
    if directions is None:
        values = np.abs(found).max(axis=0) if found.ndim == 2 else found
    elif found.ndim == 2:
        values = np.abs(found @ directions).max(axis=0)
    else:
        values = found @ directions**2
    values = np.where(np.isfinite(values), values, 0.0)
    total = values.sum()
    return Importance(values / total if total > 0 else values, what)


def _steps(estimator: Any) -> tuple[list[Any], Any]:
    if isinstance(estimator, BoostedTrees):
        before = estimator.before
        return ([] if before is None else [step for _, step in before.steps]), estimator
    if hasattr(estimator, "steps"):
        *steps, final = [step for _, step in estimator.steps]
        return steps, final
    return [], estimator


def _of_trees(final: Any, inputs: int) -> NDArray[np.float64]:
    return np.asarray(final.feature_importances_, np.float64)


def _of_boosted(final: Any, inputs: int) -> NDArray[np.float64]:
    gains = np.bincount(final.feature, np.maximum(final.gain, 0), inputs)
    return np.asarray(gains, np.float64)


def _of_weights(final: Any, inputs: int) -> NDArray[np.float64]:
    return np.asarray(final.coef_, np.float64)


def _of_bayes(final: Any, inputs: int) -> NDArray[np.float64]:
    priors = np.asarray(final.class_prior_)[:, np.newaxis]
    middle = (priors * final.theta_).sum(axis=0)
    between = (priors * (final.theta_ - middle) ** 2).sum(axis=0)
    return np.asarray(between / (priors * final.var_).sum(axis=0), np.float64)


def _of_neighbours(final: Any, inputs: int) -> NDArray[np.float64]:
    rows, classes = np.asarray(final._fit_X, np.float64), np.asarray(final._y).ravel()
    between, within = np.zeros(inputs), np.zeros(inputs)
    middle = rows.mean(axis=0)
    for number in np.unique(classes):
        mine = rows[classes == number]
        between += len(mine) * (mine.mean(axis=0) - middle) ** 2
        within += len(mine) * mine.var(axis=0)
    return np.divide(between, within, out=np.zeros(inputs), where=within > 0)


_IMPURITY = "Mean decrease of impurity by the questions that trees ask about a feature."
_WEIGHT = "Largest weight of a feature, all features having the same spread."
_APART = "Variance of a feature between the classes over that within them."
_WAYS: dict[str, tuple[Callable[[Any, int], NDArray[np.float64]], str]] = {
    "DecisionTreeClassifier": (_of_trees, _IMPURITY),
    "RandomForestClassifier": (_of_trees, _IMPURITY),
    "BoostedTrees": (_of_boosted, "Gain of the questions that trees ask about a feature."),
    "LogisticRegression": (_of_weights, _WEIGHT),
    "LinearSVC": (_of_weights, _WEIGHT),
    "GaussianNB": (_of_bayes, _APART),
    "KNeighborsClassifier": (_of_neighbours, _APART),
}


def permuted_importance(
    estimator: Any,
    calibration: Calibration | None,
    matrix: NDArray[np.float32],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> NDArray[np.float64]:
    """By how much the accuracy falls when a feature is shuffled among the events.

    L. Breiman, Machine Learning 45, 5 (2001). It asks the model once for each feature and
    repeat, so that features of many pixels are better shuffled together.

    Parameters
    ----------
    estimator, calibration
        Of a model.
    matrix : ndarray of float32, shape (events, features)
    classes : ndarray of int, shape (events,)
        Labels, as numbers.
    groups : ndarray of int, shape (features,), optional
        Which features are shuffled together, from 0 without gaps; each alone by default.
    repeats, seed : int
        How often each is shuffled; equal seeds give equal numbers.

    Returns
    -------
    ndarray of float64, shape (groups,)
        Mean fall of the accuracy; it can be negative by chance.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        groups = np.arange(matrix.shape[1])
    before = _accuracy(estimator, calibration, matrix, classes)
    falls = np.zeros(int(groups.max()) + 1)
    changed = matrix.copy()
    for number in range(len(falls)):
        columns = np.flatnonzero(groups == number)
        for _ in range(repeats):
            changed[:, columns] = matrix[rng.permutation(len(matrix))[:, np.newaxis], columns]
            falls[number] += before - _accuracy(estimator, calibration, changed, classes)
        changed[:, columns] = matrix[:, columns]
    return falls / repeats


def _accuracy(
    estimator: Any,
    calibration: Calibration | None,
    matrix: NDArray[np.float32],
    classes: NDArray[np.int64],
) -> float:
    chosen = known_probabilities(estimator, matrix, calibration).argmax(axis=1)
    return float((chosen == classes).mean())
