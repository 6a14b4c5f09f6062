"""Cross-validation inside the training share: searching, and judging without looking.

No function here is ever given an event of the test share. Scaling and principal
components are part of each classifier and are found anew in every part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.estimators import class_scores, fit, make_estimator
from napari_xfelsort.core.learning.calibration import Calibration, fit_calibration
from napari_xfelsort.core.learning.grids import candidates
from napari_xfelsort.core.learning.intervals import macro_f1
from napari_xfelsort.core.learning.varied import Rows, with_copies
from napari_xfelsort.core.train_settings import TrainSettings

#: Rows of the table of a search that are kept, the best first.
MOST_ROWS = 500

#: Told how many fits were done; may raise to stop.
Tick = Callable[[int], None]


class Share(NamedTuple):
    """The training share and its parts.

    Attributes
    ----------
    matrix : ndarray of float32, shape (events, features)
    classes, folds : ndarray of int, shape (events,)
        Class and part of each event.
    copies : ndarray of float32, shape (events, copies, features), optional
        Features of copies of the events, to fit with: see `with_copies`.
    """

    matrix: NDArray[np.float32]
    classes: NDArray[np.int64]
    folds: NDArray[np.int64]
    copies: NDArray[np.float32] | None = None

    def training(self, rows: NDArray[np.bool_]) -> Rows:
        """Features and classes to fit with, of some events and their copies."""
        copies = None if self.copies is None else self.copies[rows]
        return with_copies(self.matrix[rows], self.classes[rows], copies)

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(np.unique(self.classes))


def search_parameters(settings: TrainSettings, share: Share, tick: Tick) -> dict[str, Any]:
    """Try every candidate of the grid; see `TrainSettings.search`.

    Returns
    -------
    dict
        ``search``, ``score`` (its name), ``parts``, ``fits``, ``best`` (parameters),
        ``best_score``, ``table``: for each candidate, best first, ``parameters``, mean
        ``score`` and its standard deviation ``sd`` over the parts; a score of None, with a
        ``note``, where it could not be fitted. Of equals the earlier, simpler one is best.

    Raises
    ------
    TrainingError
        If no candidate could be fitted.
    """
    rows = [
        _tried(settings, share, parameters, tick)
        for parameters in candidates(settings.search, settings.model)
    ]
    rows.sort(key=lambda row: -np.inf if row["score"] is None else row["score"], reverse=True)
    best = rows[0]
    if best["score"] is None:
        raise TrainingError(f"No set of parameters could be fitted: {best['note']}")
    return {
        "search": settings.search,
        "score": settings.search_score,
        "parts": len(np.unique(share.folds)),
        "fits": len(rows) * len(np.unique(share.folds)),
        "best": best["parameters"],
        "best_score": best["score"],
        "table": rows[:MOST_ROWS],
    }


def _tried(
    settings: TrainSettings, share: Share, parameters: dict[str, Any], tick: Tick
) -> dict[str, Any]:
    scores: list[float] = []
    for fold in np.unique(share.folds):
        rest = share.folds != fold
        try:
            matrix, classes = share.training(rest)
            estimator = make_estimator(settings, classes, parameters)
            notes = fit(estimator, matrix, classes)
        except (TrainingError, ValueError) as error:
            tick(len(np.unique(share.folds)) - len(scores))
            return {"parameters": parameters, "score": None, "sd": None, "note": str(error)}
        chosen = estimator.predict(share.matrix[~rest])
        scores.append(_score(settings.search_score, share.classes[~rest], chosen, share.n_classes))
        tick(1)
    row: dict[str, Any] = {"parameters": parameters}
    row |= {"score": float(np.mean(scores)), "sd": float(np.std(scores))}
    return row | ({"note": notes[0]} if notes else {})


def _score(name: str, true: NDArray[np.int64], chosen: NDArray[np.int64], n_classes: int) -> float:
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, (true, chosen), 1)
    if name == "accuracy":
        return float(np.trace(confusion) / confusion.sum())
    if name == "balanced_accuracy":
        support = confusion.sum(axis=1)
        return float((np.diag(confusion)[support > 0] / support[support > 0]).mean())
    return macro_f1(confusion)


class OutOfFold(NamedTuple):
    """What models fitted to the other parts say of each event of the training share.

    Attributes
    ----------
    scores : ndarray, shape (events, 1) for two classes, else (events, classes)
        As `class_scores` gives them.
    probabilities : ndarray, shape (events, classes), or None
        Before any calibration; None where the algorithm has none.
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None


def out_of_fold(
    settings: TrainSettings, share: Share, parameters: dict[str, Any], tick: Tick
) -> OutOfFold:
    """Ask of each event a model that was fitted to the other parts."""
    n_classes = share.n_classes
    scores = np.empty((len(share.classes), 1 if n_classes == 2 else n_classes))
    probabilities = np.full((len(share.classes), n_classes), np.nan)
    for fold in np.unique(share.folds):
        rest = share.folds != fold
        matrix, classes = share.training(rest)
        estimator = make_estimator(settings, classes, parameters)
        fit(estimator, matrix, classes)
        scores[~rest] = class_scores(estimator, share.matrix[~rest])
        if hasattr(estimator, "predict_proba"):
            probabilities[~rest] = estimator.predict_proba(share.matrix[~rest])
        tick(1)
    return OutOfFold(scores, None if np.isnan(probabilities).any() else probabilities)


def calibrated(
    settings: TrainSettings, share: Share, found: OutOfFold
) -> tuple[Calibration | None, NDArray[np.float64]]:
    """The calibration, and probabilities of events that had no part in theirs.

    The calibration itself is fitted to all out-of-fold scores. To choose a threshold, each
    part's probabilities come from one that was fitted to the other parts' scores.

    Returns
    -------
    calibration : Calibration or None
    probabilities : ndarray, shape (events, classes)
    """
    method = settings.calibration_method
    if method == "none":
        assert found.probabilities is not None
        return None, found.probabilities
    probabilities = np.empty((len(found.scores), share.n_classes))
    for fold in np.unique(share.folds):
        rest = share.folds != fold
        crossed = fit_calibration(method, found.scores[rest], share.classes[rest])
        probabilities[~rest] = crossed.apply(found.scores[~rest])
    return fit_calibration(method, found.scores, share.classes), probabilities
