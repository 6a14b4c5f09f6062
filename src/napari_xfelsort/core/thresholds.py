"""From probabilities to decisions, and where to draw the line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.decisions import FAILED, UNSURE

#: The class that a threshold is about where there are two classes of which one is it.
POSITIVE = "good"
#: What it is called where particles are looked for.
_SINGLE = "single"


def positive_class(class_names: Sequence[str]) -> str | None:
    """Of two classes the one whose probability is compared with the threshold."""
    if len(class_names) != 2:
        return None
    known = [name for name in (POSITIVE, _SINGLE) if name in class_names]
    return known[0] if known else class_names[0]


def decide(
    probabilities: NDArray[np.float64],
    class_names: Sequence[str],
    threshold: float | None = None,
    positive: str | None = None,
    band: tuple[float, float] | None = None,
    margin: float = 0.0,
) -> NDArray[np.str_]:
    """Class of each event.

    Parameters
    ----------
    probabilities : ndarray, shape (events, classes)
        NaN where nothing is known.
    class_names : sequence of str
        In the order of the columns.
    threshold : float, optional
        With a positive class: the probability from which it is decided. Otherwise the
        probability that the most likely class must reach. None decides for the most
        likely class.
    positive : str, optional
        One of two classes.
    band : tuple of float, optional
        With a positive class, instead of a threshold: it is decided from the second
        probability on, the other class below the first, and what is between is unsure.
    margin : float
        Without a positive class: how far the most likely class must be ahead of the next.

    Returns
    -------
    ndarray of str, shape (events,)
        A class name, or ``"unsure"``.
    """
    longest = max(map(len, (*class_names, UNSURE, FAILED)))
    names = np.array([*class_names, UNSURE], f"<U{longest}")
    unknown = np.isnan(probabilities.sum(axis=1))
    safe = np.where(unknown[:, np.newaxis], 0.0, probabilities)
    if positive is not None and band is not None:
        column = list(class_names).index(positive)
        score = safe[:, column]
        choice = np.where(score >= band[1], column, len(class_names))
        choice = np.where(score < band[0], 1 - column, choice)
    elif threshold is not None and positive is not None:
        column = list(class_names).index(positive)
        choice = np.where(safe[:, column] >= threshold, column, 1 - column)
    else:
        choice = safe.argmax(axis=1)
        if threshold is not None:
            choice = np.where(safe.max(axis=1) >= threshold, choice, len(class_names))
        if margin > 0:
            second, first = np.sort(safe, axis=1)[:, -2:].T
            choice = np.where(first - second >= margin, choice, len(class_names))
    return names[np.where(unknown, len(class_names), choice)]


def best_f1_threshold(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Threshold with the largest F1 of the positive class.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        Probability of the positive class; a score equal to the threshold is positive.
    positive : ndarray of bool, shape (events,)
        The labels; at least one is True.
    """
    candidates, at_least, hits = _counts(scores, positive)
    f1 = 2 * hits / (at_least + np.count_nonzero(positive))
    best = np.flatnonzero(f1 == f1.max()).tolist()
    middles = [_middle(candidates, k) for k in best]
    return min(middles, key=lambda t: abs(t - 0.5))


def recall_threshold(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], recall: float
) -> float:
    """Largest threshold at which at least this share of the positive events is found.

    Parameters
    ----------
    scores, positive
        As for `best_f1_threshold`.
    recall : float
        In (0, 1].
    """
    found = np.sort(scores[positive])[::-1]
    needed = max(1, math.ceil(recall * len(found) - 1e-9))
    candidates = np.unique(scores)
    return _middle(candidates, int(np.searchsorted(candidates, found[needed - 1])))


def cost_threshold(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    cost_false: float,
    cost_lost: float,
) -> float:
    """Threshold with the smallest total cost of wrong decisions.

    Parameters
    ----------
    scores, positive
        As for `best_f1_threshold`.
    cost_false : float
        Of an event that is wrongly decided as positive.
    cost_lost : float
        Of a positive event that is decided otherwise.
    """
    candidates, at_least, hits = _counts(scores, positive)
    n_positive = np.count_nonzero(positive)
    costs = cost_false * (at_least - hits) + cost_lost * (n_positive - hits)
    middles = [_middle(candidates, k) for k in range(len(candidates))]
    if candidates[-1] < 1:  # nothing positive
        costs = np.append(costs, cost_lost * n_positive)
        middles.append(float((candidates[-1] + 1) / 2))
    best = np.flatnonzero(costs <= costs.min() * (1 + 1e-12)).tolist()
    return min((middles[k] for k in best), key=lambda t: abs(t - 0.5))


def _counts(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Every score, ascending; how many events and how many positive ones reach it."""
    candidates = np.unique(scores)
    at_least = len(scores) - np.searchsorted(np.sort(scores), candidates)
    hits = np.count_nonzero(positive) - np.searchsorted(np.sort(scores[positive]), candidates)
    return candidates, at_least, hits


def _middle(candidates: NDArray[np.float64], k: int) -> float:
    """Halfway to the next lower score: the same decisions, the widest margin."""
    score, below = float(candidates[k]), float(candidates[k - 1]) if k else 0.0
    middle = (score + below) / 2
    return middle if not k or middle > below else score  # no number lies between them
