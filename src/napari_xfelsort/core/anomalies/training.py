"""Training one classifier an anomaly, chosen on a validation share, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.anomalies.learners import (
    LEARNERS,
    features_of,
    fit_learner,
    parameter_sets,
    positive_scores,
    prepared,
)
from napari_xfelsort.core.anomalies.metrics import best_threshold, evaluate_labels
from napari_xfelsort.core.errors import SettingsError, TrainingError

#: Told the classes done and in all; may raise to stop.
Progress = Callable[[int, int], None]
#: Events that have a class, and that do not, before it can be learned.
LEAST = 4
_TRIES = 400
#: Parts of the events that each are told by what was fitted to the others.
_PARTS = 5


@dataclass(frozen=True, eq=False)
class AnomalyModel:
    """One classifier an anomaly.

    Attributes
    ----------
    class_names : tuple of str
        The anomalies.
    features : str
        What it sees: ``frame_features`` or ``ring_vector``.
    feature_names : tuple of str
        Names of the columns; empty for ring vectors, which have none.
    n_features : int
        How many columns.
    classifiers : tuple
        One for each class, fitted.
    learners : tuple of str
        What each is.
    thresholds : ndarray, shape (classes,)
        Probability from which on an event has the class.
    metrics : dict
        `evaluate_labels` of training events, told by fits to others of them; they have chosen
        parameters and thresholds and so are judged too well. And ``parameters`` of each class.
    provenance : dict
        What it was made from, for people.
    """

    class_names: tuple[str, ...]
    features: str
    feature_names: tuple[str, ...]
    n_features: int
    classifiers: tuple[Any, ...]
    learners: tuple[str, ...]
    thresholds: NDArray[np.float64]
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each class for events with features (events, features); shape (events, classes).

        NaN for events whose features are not finite.

        Raises
        ------
        ValueError
            If there are not as many features as the model has.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self.n_features:
            raise ValueError(f"features of {matrix.shape}; the model has {self.n_features}")
        result = np.full((len(matrix), len(self.class_names)), np.nan)
        known = np.isfinite(matrix).all(axis=1)
        if known.any():
            inputs = prepared(self.features, matrix[known])
            for k, classifier in enumerate(self.classifiers):
                result[known, k] = positive_scores(classifier, inputs)
        return result

    def choose(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which classes events have; none where the probability is not known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(probabilities >= self.thresholds)


def train_anomalies(
    matrices: Mapping[str, ArrayLike] | ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    groups: ArrayLike | None = None,
    learner: str = "best",
    validation_share: float = 0.2,
    validation: ArrayLike | None = None,
    tune_thresholds: bool | None = None,
    feature_names: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
    shares: Sequence[float] | None = None,
) -> AnomalyModel:
    """Train one classifier an anomaly against all other events.

    The parameters of each class are those with the largest F1 on a validation share of whole
    groups. Thresholds that are tuned make F1 largest for all events, each told by a fit to four
    fifths of the others' groups; for ``best`` the learner (gradient boosting or logistic
    regression) is the one for which that F1 is larger. Then it is fitted again to all events.

    Parameters
    ----------
    matrices : array_like of float, shape (events, features), or mapping
        Features; a mapping has those of each of `features_of`.
    labels : array_like of bool, shape (events, classes)
        Which anomalies each event has; several or none.
    class_names : sequence of str
        Of the columns of labels.
    groups : array_like of int, shape (events,), optional
        File or run of each event, kept on one side; each event is one when omitted.
    learner : str
        One of `LEARNERS`, or ``best``.
    validation_share : float
        Share of the events that chooses.
    validation : array_like of bool, shape (events,), optional
        The events that choose, where the caller knows better.
    tune_thresholds : bool, optional
        Whether thresholds make F1 as large as can be, or are 0.5.
        The learners of the paper have 0.5 when omitted, ours are tuned.
    feature_names : sequence of str
        Of the columns of frame features.
    seed : int
        Equal seeds give equal models.
    progress : callable, optional
        Called with the classes done and in all.
    shares : sequence of float, optional
        Share of events that have each class where the model will be used, for thresholds
        that are tuned; that of the labelled events when omitted.

    Raises
    ------
    SettingsError
        If the learner is unknown, or a share is not between 0 and 1.
    TrainingError
        If shapes do not agree, features are not finite, or a class has too few events.
    """
    if learner not in (*LEARNERS, "best"):
        raise SettingsError(f"learner is {learner!r} but must be best, {', '.join(LEARNERS)}.")
    if not 0 < validation_share < 1:
        raise SettingsError(f"The share to validate with is {validation_share}, not within 0..1.")
    if shares is not None and not all(0 < each < 1 for each in shares):
        raise SettingsError("Shares of events that have each class must be within 0..1.")
    which = ("gradient_boosting", "logistic_regression") if learner == "best" else (learner,)
    features = features_of(which[0])
    given = matrices.get(features) if isinstance(matrices, Mapping) else matrices
    if given is None:
        raise TrainingError(f"The learner {learner} needs features of the kind {features}.")
    matrix, truth, groups_ = _checked(given, labels, class_names, groups)
    if shares is not None and len(shares) != len(class_names):
        raise SettingsError(f"{len(shares)} shares do not fit {len(class_names)} classes.")
    matrix = prepared(features, matrix)
    held = _held(truth, groups_, validation_share, validation, seed)
    tuned = learner == "best" or features != "ring_vector"
    tuned = tuned if tune_thresholds is None else tune_thresholds
    chosen: list[_Chosen] = []
    parts = _parts(groups_, seed)
    for k in range(len(class_names)):
        own, share = truth[:, k], None if shares is None else float(shares[k])
        tried = [_choose(each, matrix, own, held, tuned, seed, share) for each in which]
        if tuned:
            tried = [_rethought(one, matrix, own, parts, seed, share) for one in tried]
        chosen.append(max(tried, key=lambda one: one.f1))
        if progress is not None:
            progress(k + 1, len(class_names))
    scores = np.stack([each.scores for each in chosen], axis=1)
    thresholds = np.array([each.threshold for each in chosen])
    judged = np.isfinite(scores).all(axis=1)
    metrics = evaluate_labels(
        truth[judged], scores[judged] >= thresholds, class_names, scores[judged]
    )
    metrics["parameters"] = {
        name: {"learner": each.learner, **each.parameters}
        for name, each in zip(class_names, chosen, strict=True)
    }
    return AnomalyModel(
        tuple(class_names),
        features,
        tuple(feature_names),
        matrix.shape[1],
        tuple(
            fit_learner(each.learner, each.parameters, matrix, truth[:, k], seed)
            for k, each in enumerate(chosen)
        ),
        tuple(each.learner for each in chosen),
        thresholds,
        metrics,
    )


@dataclass(frozen=True)
class _Chosen:
    learner: str
    parameters: dict[str, Any]
    threshold: float
    scores: NDArray[np.float64]
    f1: float


def _choose(
    learner: str,
    matrix: NDArray[np.float32],
    truth: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    tuned: bool,
    seed: int,
    share: float | None,
) -> _Chosen:
    """The parameters with the largest F1 on the validation share."""
    best: _Chosen | None = None
    for parameters in parameter_sets(learner):
        fitted = fit_learner(learner, parameters, matrix[~validation], truth[~validation], seed)
        scores = positive_scores(fitted, matrix[validation])
        threshold, f1 = best_threshold(truth[validation], scores, share)
        if not tuned:
            told = scores >= 0.5
            both = (told & truth[validation]).sum()
            f1 = 2 * both / max(told.sum() + truth[validation].sum(), 1)
            threshold = 0.5
        if best is None or f1 > best.f1 + 1e-12:
            everywhere = np.full(len(truth), np.nan)
            everywhere[validation] = scores
            best = _Chosen(learner, parameters, threshold, everywhere, float(f1))
    assert best is not None
    return best


def _parts(groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A part for each event, whole groups together, parts of about equal size."""
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(counts))
    ends = np.cumsum(counts[order]) - counts[order] / 2
    part = np.empty(len(counts), np.int64)
    part[order] = np.minimum(ends * _PARTS // counts.sum(), _PARTS - 1).astype(np.int64)
    return np.asarray(part[number.ravel()])


def _rethought(
    chosen: _Chosen,
    matrix: NDArray[np.float32],
    truth: NDArray[np.bool_],
    parts: NDArray[np.int64],
    seed: int,
    share: float | None,
) -> _Chosen:
    """With the threshold that is best for all events, each told by a fit to other parts.

    A rare class has few events in the validation share. Where a part has all that have the
    class, or all that do not, it stays as it was.
    """
    scores = np.full(len(truth), np.nan)
    for part in np.unique(parts):
        own = parts == part
        others = truth[~own]
        if not LEAST <= others.sum() <= len(others) - LEAST:
            return chosen
        fitted = fit_learner(chosen.learner, chosen.parameters, matrix[~own], others, seed)
        scores[own] = positive_scores(fitted, matrix[own])
    threshold, f1 = best_threshold(truth, scores, share)
    return _Chosen(chosen.learner, chosen.parameters, threshold, scores, f1)


def validation_events(
    truth: NDArray[np.bool_], groups: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Whole groups that hold about a share of the events of every class.

    Raises
    ------
    TrainingError
        If no division leaves events with and without every class on both sides.
    """
    rng = np.random.default_rng(seed)
    _, number = np.unique(groups, return_inverse=True)
    n_groups = int(number.max()) + 1
    columns = np.column_stack([truth, ~truth, np.ones(len(truth), bool)]).astype(np.int64)
    counts = np.zeros((n_groups, columns.shape[1]), np.int64)
    np.add.at(counts, number, columns)
    total = counts.sum(axis=0)
    best, best_score = None, np.inf
    for _ in range(_TRIES if n_groups > 1 else 0):
        order = rng.permutation(n_groups)
        held = np.cumsum(counts[order[:-1]], axis=0)
        away = np.abs(held / np.maximum(total, 1) - share).sum(axis=1)
        possible = ((held > 0) & (total - held > 0)).all(axis=1)
        away[~possible] = np.inf
        k = int(away.argmin())
        if away[k] < best_score:
            best, best_score = order[: k + 1], float(away[k])
    if best is None:
        raise TrainingError(
            f"The labelled events are in {n_groups} group{'s' * (n_groups != 1)} (files or runs), "
            "which cannot be divided so that events with and without every class are on both "
            "sides; label more files, or leave out classes that are only in one."
        )
    return np.asarray(np.isin(number, best))


def _held(
    truth: NDArray[np.bool_],
    groups: NDArray[np.int64],
    share: float,
    given: ArrayLike | None,
    seed: int,
) -> NDArray[np.bool_]:
    if given is None:
        return validation_events(truth, groups, share, seed)
    held = np.asarray(given, bool)
    if held.shape != (len(truth),):
        raise TrainingError(f"Validation of shape {held.shape} does not fit {len(truth)} events.")
    for part in (truth[held], truth[~held]):
        if not len(part) or not part.any(axis=0).all() or part.all(axis=0).any():
            raise TrainingError(
                "Events with and without every class must be on both sides of the validation."
            )
    return held


def _checked(
    features: ArrayLike, labels: ArrayLike, class_names: Sequence[str], groups: ArrayLike | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    matrix = np.asarray(features, np.float32)
    truth = np.asarray(labels).astype(bool)
    n = len(truth)
    if truth.ndim != 2 or truth.shape[1] != len(class_names) or not len(class_names):
        raise TrainingError(
            f"Labels of shape {truth.shape} do not fit {len(class_names)} classes."
        )
    if matrix.ndim != 2 or len(matrix) != n:
        raise TrainingError(f"Features of shape {matrix.shape} do not fit {n} labelled events.")
    if not np.isfinite(matrix).all():
        raise TrainingError("Some features are not finite; leave these events out.")
    number = np.arange(n) if groups is None else np.asarray(groups, np.int64)
    if number.shape != (n,):
        raise TrainingError(f"Groups of shape {number.shape} do not fit {n} labelled events.")
    for name, count in zip(class_names, truth.sum(axis=0).tolist(), strict=True):
        if count < LEAST or n - count < LEAST:
            raise TrainingError(
                f"The class {name!r} has {count} of {n} labelled events; at least {LEAST} must "
                f"have it and {LEAST} must not."
            )
    return matrix, truth, number
