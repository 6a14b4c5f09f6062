"""How well several yes-or-no classes of each event are told, as in the RefleX paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PER_CLASS = ("accuracy", "precision", "recall", "f1", "f2", "mcc", "balanced_accuracy", "roc_auc")
_MACRO = ("precision", "recall", "f1", "f2", "mcc")


def evaluate_labels(
    truth: ArrayLike,
    chosen: ArrayLike,
    class_names: Sequence[str],
    scores: ArrayLike | None = None,
) -> dict[str, Any]:
    """Metrics of multi-label decisions (Czyzewski et al. 2021, and their scikit-learn terms).

    Parameters
    ----------
    truth, chosen : array_like of bool, shape (events, classes)
        Which classes events have, and were told to have.
    class_names : sequence of str
        Of the columns.
    scores : array_like of float, same shape, optional
        The higher, the likelier; for the area under the ROC curve.

    Returns
    -------
    dict
        ``per_class``: for each name `PER_CLASS` and ``support`` (events that have it).
        Precision, recall and F are 0 where they would be 0 / 0, as is Matthews' correlation
        ``mcc``; ``roc_auc`` is that of the scores (the "AUC" of the paper's tables is what is
        called balanced accuracy here), None without scores or where all events are alike.
        ``macro``: means of them over the classes. ``sample_f2``: F2 of each event, on
        average. ``jaccard_index``: classes that both say over those that any says, on
        average over events; 1 where nobody says any. ``exact_match_ratio``: share of events
        with all classes right. ``n``: events.

    Raises
    ------
    ValueError
        If shapes do not agree.
    """
    true, told = np.asarray(truth, bool), np.asarray(chosen, bool)
    names = list(class_names)
    if true.ndim != 2 or true.shape != told.shape or true.shape[1] != len(names):
        raise ValueError(f"{true.shape} and {told.shape} for {len(names)} classes")
    values = None if scores is None else np.asarray(scores, np.float64)
    if values is not None and values.shape != true.shape:
        raise ValueError(f"scores of {values.shape} for {true.shape}")
    per_class = {
        name: _of_class(true[:, k], told[:, k], None if values is None else values[:, k])
        for k, name in enumerate(names)
    }
    both, any_ = (true & told).sum(axis=1), (true | told).sum(axis=1)
    size = 4 * true.sum(axis=1) + told.sum(axis=1)
    n = len(true)
    return {
        "per_class": per_class,
        "macro": {key: _mean([row[key] for row in per_class.values()]) for key in _MACRO},
        "sample_f2": _mean((5 * both / np.maximum(size, 1)).tolist()),
        "jaccard_index": _mean(np.where(any_ > 0, both / np.maximum(any_, 1), 1.0).tolist()),
        "exact_match_ratio": _mean((true == told).all(axis=1).tolist()),
        "n": n,
    }


def roc_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive is above a negative, ties one half.

    NaN where all events are alike.
    """
    true, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    positives = int(true.sum())
    negatives = len(true) - positives
    if not positives or not negatives:
        return math.nan
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[number.ravel()]
    above = ranks[true].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def best_threshold(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], share: float | None = None
) -> tuple[float, float]:
    """Score from which on to say yes so that F1 is largest, and that F1.

    It is half way between two scores; 0.5 and 0 where no event is positive. With a share
    (between 0 and 1) it is the best one where that share of events is positive, of which
    those here may hold more or fewer.
    """
    if not truth.any():
        return 0.5, 0.0
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    here = truth.mean()
    given = here if share is None or here == 1 else share
    hits = np.cumsum(truth[order]) * (given / here)
    false = np.cumsum(~truth[order]) * ((1 - given) / max(1 - here, 1e-12))
    f1 = 2 * hits / (hits + false + hits[-1])
    f1[:-1][ordered[:-1] == ordered[1:]] = -1  # equal scores cannot be divided
    k = int(f1.argmax())
    below = ordered[k + 1] if k + 1 < len(ordered) else ordered[k]
    return float((ordered[k] + below) / 2), float(f1[k])


def report_text(metrics: dict[str, Any]) -> str:
    """The metrics as tables for the terminal."""
    from napari_xfelsort.core.metrics import table_text

    rows = [["class", *(key.replace("_", " ") for key in PER_CLASS), "events"]]
    for name, row in metrics["per_class"].items():
        rows.append([name, *(_short(row[key]) for key in PER_CLASS), str(row["support"])])
    whole = [
        *((f"macro {key}", metrics["macro"][key]) for key in _MACRO),
        ("sample F2", metrics["sample_f2"]),
        ("Jaccard index", metrics["jaccard_index"]),
        ("exact match ratio", metrics["exact_match_ratio"]),
    ]
    said = ", ".join(f"{name} {_short(value)}" for name, value in whole)
    return f"{table_text(rows)}\n{said}, {metrics['n']} events"


def _of_class(
    true: NDArray[np.bool_], told: NDArray[np.bool_], scores: NDArray[np.float64] | None
) -> dict[str, Any]:
    tp, fp = int((true & told).sum()), int((~true & told).sum())
    fn, tn = int((true & ~told).sum()), int((~true & ~told).sum())
    recall, missed = _share(tp, tp + fn), _share(tn, tn + fp)
    sides = [share for share, n in ((recall, tp + fn), (missed, tn + fp)) if n]
    product = math.sqrt(float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    area = math.nan if scores is None else roc_auc(true, scores)
    return {
        "accuracy": _share(tp + tn, len(true)),
        "precision": _share(tp, tp + fp),
        "recall": recall,
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "f2": _share(5 * tp, 5 * tp + fp + 4 * fn),
        "mcc": (tp * tn - fp * fn) / product if product else 0.0,
        "balanced_accuracy": _mean(sides),
        "roc_auc": None if math.isnan(area) else area,
        "support": tp + fn,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
