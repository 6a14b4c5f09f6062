"""The classifiers: made from settings, fitted, and asked, always the same way."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.thresholds import best_f1_threshold, recall_threshold
from napari_xfelsort.core.train_settings import TrainSettings

_FOLDS = 5


def usable_cores() -> int:
    """Cores this process may use, at least one."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def make_estimator(settings: TrainSettings, n_train: int) -> Any:
    """An unfitted scikit-learn classifier; scaled where the algorithm needs it.

    Raises
    ------
    TrainingError
        If it asks for more neighbours than there are events to train with.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    weight = None if settings.class_weight == "none" else settings.class_weight
    if settings.model == "logistic_regression":
        return make_pipeline(
            StandardScaler(),
            LogisticRegression(C=settings.C, class_weight=weight, max_iter=1000),
        )
    if settings.model == "k_nearest_neighbours":
        if settings.n_neighbors > n_train:
            raise TrainingError(
                f"n_neighbors is {settings.n_neighbors} but there are only {n_train} events to "
                "train with; ask fewer neighbours or label more events."
            )
        # Trees of neighbours gain nothing in so many dimensions.
        return make_pipeline(
            StandardScaler(),
            KNeighborsClassifier(n_neighbors=settings.n_neighbors, algorithm="brute"),
        )
    common = {
        "max_depth": settings.max_depth,
        "class_weight": weight,
        "random_state": settings.seed,
    }
    if settings.model == "decision_tree":
        return DecisionTreeClassifier(**common)
    return RandomForestClassifier(
        n_estimators=settings.n_estimators, n_jobs=usable_cores(), **common
    )


def fit(estimator: Any, matrix: NDArray[np.float32], classes: NDArray[np.int64]) -> list[str]:
    """Fit a classifier; sentences on what was unusual.

    The number of parallel jobs is set to one afterwards: sums of probabilities then
    always run in the same order, and workers do not get in each other's way.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(matrix, classes)
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1
    if any(issubclass(w.category, ConvergenceWarning) for w in caught):
        return [
            "The logistic regression did not converge; a smaller C or larger blocks of pixels "
            "help."
        ]
    return []


def class_probabilities(
    estimator: Any, matrix: NDArray[np.float32], n_classes: int
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
        result[known] = estimator.predict_proba(rows)
    return result


def tuned_threshold(
    settings: TrainSettings,
    matrix: NDArray[np.float32],
    classes: NDArray[np.int64],
    positive: int,
    files: NDArray[np.int64] | None,
) -> tuple[float, list[str]]:
    """Threshold chosen on predictions for events that the model had not seen.

    Only the training share is given here: it is cut into five parts (whole files where
    ``files`` says which), each predicted by a model fitted to the others.

    Parameters
    ----------
    settings : TrainSettings
        Its threshold is ``max_f1`` or ``high_recall``.
    matrix, classes : ndarray
        Features and class numbers of the training share.
    positive : int
        Number of the class that the threshold is about.
    files : ndarray of int, optional
        File of each event where files are kept together.

    Returns
    -------
    threshold : float
    warnings : list of str
    """
    scores = np.empty(len(classes))
    folds, notes = _folds(classes, files, settings.seed)
    for fold in np.unique(folds):
        rest = folds != fold
        estimator = make_estimator(settings, int(rest.sum()))
        fit(estimator, matrix[rest], classes[rest])
        scores[~rest] = class_probabilities(estimator, matrix[~rest], 2)[:, positive]
    wanted = classes == positive
    if settings.threshold == "max_f1":
        return best_f1_threshold(scores, wanted), notes
    return recall_threshold(scores, wanted, settings.recall), notes


def _folds(
    classes: NDArray[np.int64], files: NDArray[np.int64] | None, seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Number of the part of each event; every part leaves all classes in the rest."""
    rng = np.random.default_rng(seed)
    if files is not None:
        folds = _file_folds(classes, files, rng)
        if folds is not None:
            return folds, []
    notes = []
    if files is not None:
        notes.append(
            "The files of the training share cannot be divided so that every part leaves all "
            "classes; the threshold was chosen with events of one file in several parts."
        )
    folds = np.empty(len(classes), np.int64)
    for number in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == number))
        folds[members] = np.arange(len(members)) % _FOLDS
    return folds, notes


def _file_folds(
    classes: NDArray[np.int64], files: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64] | None:
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(_FOLDS, len(np.unique(files)))
    if n_folds < 2:
        return None
    folds = np.empty(len(classes), np.int64)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare classes: looked after below
        parts = list(splitter.split(classes, classes, files))
    for number, (_, part) in enumerate(parts):
        folds[part] = number
    n_classes = len(np.unique(classes))
    complete = all(len(np.unique(classes[rest])) == n_classes for rest, _ in parts)
    return folds if complete else None
