"""Everything that is made from the training share alone: classifier, calibration, rule."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.estimators import fit, make_estimator
from napari_xfelsort.core.features import Progress
from napari_xfelsort.core.learning.calibration import Calibration
from napari_xfelsort.core.learning.curves import brier, class_curves
from napari_xfelsort.core.learning.folds import make_folds
from napari_xfelsort.core.learning.judging import DecisionRule
from napari_xfelsort.core.learning.tuning import (
    Share,
    calibrated,
    out_of_fold,
    search_parameters,
)
from napari_xfelsort.core.metrics import evaluate
from napari_xfelsort.core.thresholds import best_f1_threshold, cost_threshold, recall_threshold
from napari_xfelsort.core.train_settings import TrainSettings


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was made from the training share.

    Attributes
    ----------
    estimator : object
        The classifier, fitted to the whole training share.
    parameters : dict
        What a search found; empty without one.
    calibration : Calibration or None
    rule : DecisionRule
    search, out_of_fold : dict or None
        The search's table; how the model does in cross-validation.
    notes : list of str
        What was unusual.
    seconds : float
        Time of the last fit, of the classifier itself.
    """

    estimator: Any
    parameters: dict[str, Any]
    calibration: Calibration | None
    rule: DecisionRule
    search: dict[str, Any] | None
    out_of_fold: dict[str, Any] | None
    notes: list[str]
    seconds: float


def fit_share(
    settings: TrainSettings,
    matrix: NDArray[np.float32],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    class_names: tuple[str, ...],
    positive: str | None,
    progress: Progress | None = None,
    copies: NDArray[np.float32] | None = None,
) -> Fitted:
    """Search, cross-validate, calibrate, choose the threshold, and fit.

    Parameters
    ----------
    settings : TrainSettings
        How.
    matrix : ndarray of float32, shape (events, features)
    classes : ndarray of int, shape (events,)
        Features and class numbers of the training share, which is all that is given here.
    groups : ndarray of int, optional
        File or run of each event where they are kept together.
    class_names : tuple of str
    positive : str, optional
        Of two classes the one that the threshold is about.
    progress : callable, optional
        Called with fits done and fits in all; may raise to stop.
    copies : ndarray of float32, shape (events, copies, features), optional
        Of these events, to fit with. What is left out in cross-validation is left out with
        its copies, and only events themselves are asked for.
    """
    notes: list[str] = []
    share = Share(matrix, classes, np.zeros(len(classes), np.int64), copies)
    if settings.search != "none" or settings.needs_out_of_fold:
        folds, notes = make_folds(classes, groups, settings.folds, settings.seed)
        share = share._replace(folds=folds)
    count = _Counter(settings, len(np.unique(share.folds)), progress)
    search = None
    if settings.search != "none":
        search = search_parameters(settings, share, count)
    parameters = search["best"] if search else {}
    rule, calibration, judged = DecisionRule(positive=positive), None, None
    threshold = settings.threshold_number()
    if settings.needs_out_of_fold:
        found = out_of_fold(settings, share, parameters, count)
        calibration, probabilities = calibrated(settings, share, found)
        if threshold is None:
            threshold = _threshold(settings, probabilities, classes, class_names, positive)
    rule = _rule(settings, threshold, positive)
    if settings.needs_out_of_fold:
        judged = _judged(probabilities, classes, class_names, rule)
    begin = time.perf_counter()
    rows, theirs = share.training(np.ones(len(classes), bool))
    estimator = make_estimator(settings, theirs, parameters)
    notes = [*notes, *fit(estimator, rows, theirs)]
    seconds = time.perf_counter() - begin
    count(1)
    return Fitted(estimator, parameters, calibration, rule, search, judged, notes, seconds)


class _Counter:
    """Counts fits and tells of them."""

    def __init__(self, settings: TrainSettings, n_folds: int, progress: Progress | None) -> None:
        candidates = settings.search_fits // settings.folds
        self._total = n_folds * (candidates + settings.needs_out_of_fold) + 1
        self._done = 0
        self._progress = progress
        self(0)

    def __call__(self, fits: int) -> None:
        self._done += fits
        if self._progress is not None:
            self._progress(self._done, self._total)


def choose_rule(
    settings: TrainSettings,
    probabilities: NDArray[np.float64],
    classes: NDArray[np.int64],
    class_names: tuple[str, ...],
    positive: str | None,
) -> tuple[DecisionRule, dict[str, Any]]:
    """The rule of the settings for events of the training share, and how it does on them.

    Parameters
    ----------
    settings : TrainSettings
        With threshold and what is unsure.
    probabilities : ndarray, shape (events, classes)
        Of each event by a model that has not seen it.
    classes, class_names, positive
        As of `fit_share`.
    """
    threshold = settings.threshold_number()
    if threshold is None:
        threshold = _threshold(settings, probabilities, classes, class_names, positive)
    rule = _rule(settings, threshold, positive)
    return rule, _judged(probabilities, classes, class_names, rule)


def _threshold(
    settings: TrainSettings,
    probabilities: NDArray[np.float64],
    classes: NDArray[np.int64],
    class_names: tuple[str, ...],
    positive: str | None,
) -> float | None:
    if positive is None or settings.threshold == "default":
        return None
    column = class_names.index(positive)
    scores, wanted = probabilities[:, column], classes == column
    if settings.threshold == "max_f1":
        return best_f1_threshold(scores, wanted)
    if settings.threshold == "costs":
        return cost_threshold(scores, wanted, settings.cost_false_good, settings.cost_lost_good)
    return recall_threshold(scores, wanted, settings.recall)


def _rule(settings: TrainSettings, threshold: float | None, positive: str | None) -> DecisionRule:
    rule = DecisionRule(threshold, positive)
    if positive is None:
        return replace(rule, margin=float(settings.unsure_margin))
    line = 0.5 if threshold is None else threshold
    low, high = settings.unsure_low, settings.unsure_high
    if low is not None or high is not None:
        band = (float(line if low is None else low), float(line if high is None else high))
        if band[0] > band[1]:
            raise SettingsError(
                f"Events are unsure from {band[0]:.3g} up to {band[1]:.3g}, which is nothing; the "
                f"threshold is {line:.3g}, so give unsure_low below it or unsure_high above it."
            )
        return replace(rule, band=band)
    if settings.unsure_margin:
        half = settings.unsure_margin / 2
        return replace(rule, band=(max(0.0, line - half), min(1.0, line + half)))
    return rule


def _judged(
    probabilities: NDArray[np.float64],
    classes: NDArray[np.int64],
    class_names: tuple[str, ...],
    rule: DecisionRule,
) -> dict[str, Any]:
    """How models do that were fitted to the other parts of the training share."""
    chosen = rule.decide(probabilities, class_names)
    scores = evaluate(np.array(class_names)[classes], chosen, class_names)
    drawn = [rule.positive] if rule.positive is not None else list(class_names)
    return {
        "n": scores["n"],
        "accuracy": scores["accuracy"],
        "macro_f1": scores["macro"]["f1"],
        "unsure_rate": scores["unsure_rate"],
        "brier": brier(probabilities, classes),
        "curves": {
            name: class_curves(probabilities[:, k], classes == k)
            for k, name in enumerate(class_names)
            if name in drawn
        },
    }
