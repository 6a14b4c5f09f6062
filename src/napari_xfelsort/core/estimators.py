"""The classifiers: made from settings, fitted, and asked, always the same way."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.features import principal_components
from napari_xfelsort.core.learning.boosting import BoostedTrees
from napari_xfelsort.core.learning.calibration import Calibration
from napari_xfelsort.core.train_settings import TrainSettings

#: Algorithms that compare features with one another, so that their scale matters.
SCALED = ("logistic_regression", "k_nearest_neighbours", "linear_svm", "naive_bayes")


def usable_cores() -> int:
    """Cores this process may use, at least one."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def make_estimator(
    settings: TrainSettings,
    classes: NDArray[np.int64],
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    """An unfitted classifier; scaled where the algorithm needs it, and before components.

    Parameters
    ----------
    settings : TrainSettings
        Algorithm and its settings.
    classes : ndarray of int, shape (events,)
        Class numbers of the events that it will be fitted to.
    parameters : mapping, optional
        Of a search; they win over the settings.

    Raises
    ------
    TrainingError
        If it asks for more neighbours or components than there are events to train with.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n_train = len(classes)
    classifier = _classifier(settings, classes, dict(parameters or {}))
    neighbours = getattr(classifier, "n_neighbors", 0)
    if neighbours > n_train:
        raise TrainingError(
            f"n_neighbors is {neighbours} but there are only {n_train} events to "
            "train with; ask fewer neighbours or label more events."
        )
    before = []
    if settings.components or settings.model in SCALED:
        before.append(StandardScaler())
    if settings.components:
        if settings.components > n_train:
            raise TrainingError(
                f"components is {settings.components} but there are only {n_train} events to "
                "find them in; ask fewer components or label more events."
            )
        before.append(principal_components(settings.components, settings.seed))
    if not before:
        return classifier
    if isinstance(classifier, BoostedTrees):
        classifier.before = make_pipeline(*before)
        return classifier
    return make_pipeline(*before, classifier)


def _classifier(
    settings: TrainSettings, classes: NDArray[np.int64], parameters: dict[str, Any]
) -> Any:
    if settings.model not in _MAKERS:
        raise TrainingError(
            f"{settings.model} is a network, which this cannot be done with; choose one of "
            f"{', '.join(_MAKERS)}."
        )
    made = _MAKERS[settings.model](settings, classes)
    if settings.model == "logistic_regression" and "penalty" in parameters:
        l1 = parameters.pop("penalty") == "l1"
        parameters |= {"l1_ratio": float(l1), "solver": "saga" if l1 else "lbfgs"}
    return made.set_params(**parameters)


def _weight(settings: TrainSettings) -> str | None:
    return None if settings.class_weight == "none" else settings.class_weight


def _logistic_regression(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=settings.C, class_weight=_weight(settings), max_iter=1000, random_state=settings.seed
    )


def _nearest_neighbours(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    # Trees of neighbours gain nothing in so many dimensions.
    return KNeighborsClassifier(n_neighbors=settings.n_neighbors, algorithm="brute")


def _decision_tree(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=settings.max_depth, class_weight=_weight(settings), random_state=settings.seed
    )


def _random_forest(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=settings.n_estimators,
        n_jobs=usable_cores(),
        max_depth=settings.max_depth,
        class_weight=_weight(settings),
        random_state=settings.seed,
    )


def _linear_svm(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=settings.C, class_weight=_weight(settings), random_state=settings.seed, max_iter=5000
    )


def _naive_bayes(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    from sklearn.naive_bayes import GaussianNB

    # It has no class weights, but rare classes count as much with even priors.
    n_classes = len(np.unique(classes))
    even = None if settings.class_weight == "none" else [1 / n_classes] * n_classes
    return GaussianNB(var_smoothing=settings.var_smoothing, priors=even)


def _gradient_boosting(settings: TrainSettings, classes: NDArray[np.int64]) -> Any:
    # Its usual 20 events a leaf learn nothing of a few dozen labels.
    least = max(1, min(20, len(classes) // 20))
    # Small trees that see few features at a time depend less on the particle they learned.
    more = {"max_leaf_nodes": 8, "max_features": 0.2} if settings.model == "spi" else {}
    return BoostedTrees(
        min_samples_leaf=least,
        learning_rate=settings.learning_rate,
        max_iter=settings.n_estimators,
        max_depth=settings.max_depth,
        class_weight=_weight(settings),
        random_state=settings.seed,
        **more,
    )


_MAKERS: dict[str, Callable[[TrainSettings, NDArray[np.int64]], Any]] = {
    "logistic_regression": _logistic_regression,
    "k_nearest_neighbours": _nearest_neighbours,
    "decision_tree": _decision_tree,
    "random_forest": _random_forest,
    "linear_svm": _linear_svm,
    "naive_bayes": _naive_bayes,
    "gradient_boosting": _gradient_boosting,
    "spi": _gradient_boosting,
}


def fit(estimator: Any, matrix: NDArray[np.float32], classes: NDArray[np.int64]) -> list[str]:
    """Fit a classifier; sentences on what was unusual.

    The number of parallel jobs is set to one afterwards: sums of probabilities then
    always run in the same order, and workers do not get in each other's way.

    Raises
    ------
    TrainingError
        If more components are asked for than there are features.
    """
    from sklearn.exceptions import ConvergenceWarning

    _check_components(estimator, matrix.shape[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(matrix, classes)
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if hasattr(final, "estimators_"):
        final.n_jobs = 1
    if any(issubclass(w.category, ConvergenceWarning) for w in caught):
        return [
            "The fit did not converge; a smaller C, larger blocks of pixels or principal "
            "components help."
        ]
    return []


def _check_components(estimator: Any, n_features: int) -> None:
    steps = getattr(getattr(estimator, "before", None) or estimator, "named_steps", {})
    wanted = getattr(steps.get("pca"), "n_components", 0)
    if wanted > n_features:
        raise TrainingError(
            f"components is {wanted} but there are only {n_features} features; ask fewer."
        )


def class_scores(estimator: Any, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a calibration maps: decision values, or probabilities where there are none.

    Returns
    -------
    ndarray of float64, shape (events, 1) for two classes, else (events, classes)
    """
    if hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(matrix), np.float64)
        return scores[:, np.newaxis] if scores.ndim == 1 else scores
    probabilities = np.asarray(estimator.predict_proba(matrix), np.float64)
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities


def known_probabilities(
    estimator: Any, matrix: NDArray[np.float32], calibration: Calibration | None
) -> NDArray[np.float64]:
    """Probability of every class, shape (events, classes), of events with features."""
    if calibration is not None:
        return calibration.apply(class_scores(estimator, matrix))
    return np.asarray(estimator.predict_proba(matrix), np.float64)


def class_probabilities(
    estimator: Any,
    matrix: NDArray[np.float32],
    n_classes: int,
    calibration: Calibration | None = None,
) -> NDArray[np.float64]:
    """Probability of every class; NaN for rows of NaN.

    Returns
    -------
    ndarray of float64, shape (events, classes)
    """
    result = np.full((len(matrix), n_classes), np.nan)
    known = ~np.isnan(matrix[:, 0])
    if known.any():
        rows = matrix if known.all() else matrix[known]
        result[known] = known_probabilities(estimator, rows, calibration)
    return result
