"""ROC, precision-recall and reliability curves, thinned so that a model file stays small."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Points of a curve that are kept.
MOST_POINTS = 200
_BINS = 10


def roc_auc(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    weights: NDArray[np.int64] | None = None,
) -> float:
    """Area under the ROC curve; NaN where a side has no events.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        Larger means more likely positive.
    positive : ndarray of bool, shape (events,)
    weights : ndarray of int, shape (events,), optional
        How often each event counts.
    """
    weight = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
    level = score_levels(scores)
    return level_auc(level, positive, weight)


def score_levels(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of each event's score among the different scores, in rising order."""
    _, level = np.unique(scores, return_inverse=True)
    return level.astype(np.int64)


def level_auc(
    level: NDArray[np.int64], positive: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float:
    """Area under the ROC curve from `score_levels`, with a weight for each event."""
    n = int(level.max()) + 1 if len(level) else 0
    hits = np.bincount(level, weight * positive, n)
    misses = np.bincount(level, weight * ~positive, n)
    total = hits.sum() * misses.sum()
    if total == 0:
        return math.nan
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / total)


def class_curves(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """ROC and precision-recall curve of one class against the rest.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        Probability of the class.
    positive : ndarray of bool, shape (events,)
        Which events are labelled so.

    Returns
    -------
    dict
        ``roc``: ``threshold``, ``false_positive_rate``, ``true_positive_rate``; ``auc``;
        ``precision_recall``: ``threshold``, ``precision``, ``recall``;
        ``average_precision``. Thresholds fall; an event whose score reaches it is
        positive. A ROC curve begins with nothing positive, at the threshold None. Curves
        are None where one side has no events.
    """
    n_positive = int(positive.sum())
    if n_positive in (0, len(positive)):
        nothing = ("roc", "auc", "precision_recall", "average_precision")
        return dict.fromkeys(nothing)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    decided = last + 1.0
    threshold = scores[order][last]
    recall, precision = hits / n_positive, hits / decided
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    false_rate = (decided - hits) / (len(positive) - n_positive)
    keep = _thinned(len(last))
    return {
        "roc": {
            "threshold": [None, *_plain(threshold[keep])],
            "false_positive_rate": [0.0, *_plain(false_rate[keep])],
            "true_positive_rate": [0.0, *_plain(recall[keep])],
        },
        "auc": roc_auc(scores, positive),
        "precision_recall": {
            "threshold": _plain(threshold[keep]),
            "precision": _plain(precision[keep]),
            "recall": _plain(recall[keep]),
        },
        "average_precision": average,
    }


def brier(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> float | None:
    """Brier score: mean squared difference of probabilities and what is so.

    For two classes of the probability of one of them (0 to 1), for more summed over the
    classes (0 to 2; G. W. Brier, Mon. Weather Rev. 78, 1, 1950). None without events.
    """
    if len(classes) == 0:
        return None
    truth = np.eye(probabilities.shape[1])[classes]
    total = float(((probabilities - truth) ** 2).sum(axis=1).mean())
    return total / 2 if probabilities.shape[1] == 2 else total


def reliability(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Reliability curve: in ten equal steps of probability, what share is really so.

    Returns
    -------
    dict
        ``probability`` (mean of the step's events), ``share`` of them that are positive,
        and ``n``, for the steps that have events.
    """
    step = np.clip((scores * _BINS).astype(np.int64), 0, _BINS - 1)
    n = np.bincount(step, minlength=_BINS)
    filled = n > 0
    mean = np.bincount(step, scores, _BINS)[filled] / n[filled]
    share = np.bincount(step, positive.astype(float), _BINS)[filled] / n[filled]
    return {"probability": _plain(mean), "share": _plain(share), "n": n[filled].tolist()}


def _thinned(n: int) -> NDArray[np.int64]:
    if n <= MOST_POINTS:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, MOST_POINTS).round().astype(np.int64))


def _plain(values: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in values]
