"""All that is said of a model by events it had not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.learning.curves import (
    brier,
    class_curves,
    level_auc,
    reliability,
    score_levels,
)
from napari_xfelsort.core.learning.intervals import (
    LEVEL,
    Interval,
    bootstrap,
    macro_f1,
    resampled_groups,
    wilson,
)
from napari_xfelsort.core.metrics import evaluate
from napari_xfelsort.core.thresholds import decide

#: Events of the test share whose decisions are kept in the model file.
MOST_KEPT = 20_000
#: Resamples for the area under the curve, each of which takes a pass over the events.
_CURVE_RESAMPLES = 300


@dataclass(frozen=True)
class DecisionRule:
    """How probabilities become decisions; see `thresholds.decide`."""

    threshold: float | None = None
    positive: str | None = None
    band: tuple[float, float] | None = None
    margin: float = 0.0

    def decide(
        self, probabilities: NDArray[np.float64], class_names: Sequence[str]
    ) -> NDArray[np.str_]:
        """The class of each event, or unsure."""
        return decide(
            probabilities, class_names, self.threshold, self.positive, self.band, self.margin
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """Events that a model had not seen, and what it says of them.

    Attributes
    ----------
    events : list of str
        Their names.
    classes : ndarray of int, shape (events,)
        Number of each event's label.
    probabilities : ndarray of float64, shape (events, classes)
    groups : ndarray of int, shape (events,), or None
        The file or run of each, where these were kept together.
    """

    events: list[str]
    classes: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.int64] | None


def judge(
    judged: Judged, class_names: tuple[str, ...], rule: DecisionRule, seed: int
) -> dict[str, Any]:
    """Metrics of decisions and probabilities.

    Returns
    -------
    dict
        What `metrics.evaluate` gives, and ``intervals`` (see `intervals_of`), ``curves``
        (of each class, of two only of the first to choose; see `curves.class_curves`),
        ``reliability`` of the same classes, ``brier``, and ``tested`` (see `tested_of`).
    """
    chosen = rule.decide(judged.probabilities, class_names)
    metrics = evaluate(np.array(class_names)[judged.classes], chosen, class_names)
    drawn = [rule.positive] if rule.positive is not None else list(class_names)
    curves, steps = {}, {}
    for name in drawn:
        column = class_names.index(name)
        scores = judged.probabilities[:, column]
        curves[name] = class_curves(scores, judged.classes == column)
        steps[name] = reliability(scores, judged.classes == column)
    return metrics | {
        "intervals": intervals_of(judged, class_names, rule, chosen, seed),
        "curves": curves,
        "reliability": steps,
        "brier": brier(judged.probabilities, judged.classes),
        "tested": tested_of(judged, class_names, chosen),
    }


def intervals_of(
    judged: Judged,
    class_names: tuple[str, ...],
    rule: DecisionRule,
    chosen: NDArray[np.str_],
    seed: int,
) -> dict[str, Any]:
    """Confidence intervals, each [low, high] or None.

    Returns
    -------
    dict
        ``level``, ``method`` (a sentence), ``accuracy``, ``macro_f1``, ``auc`` (of the
        positive of two classes) and ``per_class``: ``precision`` and ``recall`` of each.
    """
    n_classes = len(class_names)
    numbers = {name: k for k, name in enumerate(class_names)}
    decided = np.array([numbers.get(str(name), n_classes) for name in chosen], np.int64)
    true = judged.classes
    groups, drawn = resampled_groups(judged.groups, len(true))
    confusion = np.zeros((n_classes, n_classes + 1))
    np.add.at(confusion, (true, decided), 1)

    def f1(weights: NDArray[np.int64]) -> float:
        cells = np.bincount(true * (n_classes + 1) + decided, weights, n_classes * (n_classes + 1))
        return macro_f1(cells.reshape(n_classes, n_classes + 1).astype(np.float64))

    auc: Interval = None
    if rule.positive is not None:
        column = class_names.index(rule.positive)
        level, positive = score_levels(judged.probabilities[:, column]), true == column
        auc = bootstrap(
            lambda weights: level_auc(level, positive, weights.astype(np.float64)),
            groups,
            seed,
            _CURVE_RESAMPLES,
        )
    hits, support, columns = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "level": LEVEL,
        "method": (
            "Wilson's score interval for accuracy, precision and recall, as if events were "
            "independent; percentile bootstrap over "
            f"{'files or runs' if drawn == 'groups' else 'events'} for F1 and AUC."
        ),
        "accuracy": wilson(float(hits.sum()), float(confusion.sum())),
        "macro_f1": bootstrap(f1, groups, seed),
        "auc": auc,
        "per_class": {
            name: {
                "precision": wilson(float(hits[k]), float(columns[k])),
                "recall": wilson(float(hits[k]), float(support[k])),
            }
            for k, name in enumerate(class_names)
        },
    }


def tested_of(
    judged: Judged, class_names: tuple[str, ...], chosen: NDArray[np.str_]
) -> dict[str, Any]:
    """The events and what was said of them, at most `MOST_KEPT`, wrong ones first of all.

    Returns
    -------
    dict
        ``complete``, ``events`` (names), ``labels`` (numbers of classes) and
        ``probabilities`` (of each class).
    """
    n = len(judged.events)
    kept = np.arange(n)
    if n > MOST_KEPT:
        right = chosen == np.array(class_names)[judged.classes]
        kept = np.sort(np.argsort(right, kind="stable")[:MOST_KEPT])
    return {
        "complete": n <= MOST_KEPT,
        "events": [judged.events[k] for k in kept.tolist()],
        "labels": judged.classes[kept].tolist(),
        "probabilities": judged.probabilities[kept].tolist(),
        "groups": None if judged.groups is None else judged.groups[kept].tolist(),
    }


def judged_of(metrics: Mapping[str, Any], n_classes: int) -> Judged | None:
    """The events of `tested_of`; None where they were not all kept, or none were.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are damaged.
    """
    tested = metrics.get("tested")
    if tested is None:
        return None
    events = [str(event) for event in tested["events"]]
    classes = np.array(tested["labels"], np.int64).reshape(len(events))
    shape = (len(events), n_classes)
    probabilities = np.array(tested["probabilities"], np.float64).reshape(shape)
    groups = tested.get("groups")
    if groups is not None:
        groups = np.array(groups, np.int64).reshape(len(events))
    in_range = ((classes >= 0) & (classes < n_classes)).all()
    if not in_range or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("judged events have labels or probabilities that cannot be")
    return Judged(events, classes, probabilities, groups) if tested["complete"] else None


class Misjudged(NamedTuple):
    """An event of the test share that was not decided as it is labelled.

    Attributes
    ----------
    event, label, decision : str
        Its name, its label, and what the model says.
    probability : float
        Of the class that the model holds most likely.
    """

    event: str
    label: str
    decision: str
    probability: float


def misjudged(
    metrics: Mapping[str, Any], class_names: tuple[str, ...], rule: DecisionRule
) -> list[Misjudged]:
    """The events of `tested_of` that are not decided as labelled, the surest first."""
    tested = metrics.get("tested")
    if not tested or not tested["events"]:
        return []
    probabilities = np.array(tested["probabilities"], np.float64)
    decisions = rule.decide(probabilities, class_names)
    surest = probabilities.max(axis=1)
    found = [
        Misjudged(event, class_names[label], str(decision), float(probability))
        for event, label, decision, probability in zip(
            tested["events"], tested["labels"], decisions, surest, strict=True
        )
        if class_names[label] != decision
    ]
    return sorted(found, key=lambda one: -one.probability)


def check_judged(metrics: Mapping[str, Any], n_classes: int) -> None:
    """Raise ValueError, KeyError or TypeError where what is drawn cannot be drawn."""
    judged_of(metrics, n_classes)
    for part in (metrics, metrics.get("out_of_fold") or {}):
        for curves in part.get("curves", {}).values():
            _check_columns(curves["roc"], skip="threshold")
            _check_columns(curves["precision_recall"])
        for steps in part.get("reliability", {}).values():
            _check_columns({k: steps[k] for k in ("probability", "share")})


def _check_columns(columns: Mapping[str, Any] | None, skip: str = "") -> None:
    if columns is None:
        return
    lengths = {len(column) for column in columns.values()}
    values = [float(v) for name, column in columns.items() if name != skip for v in column]
    if len(lengths) != 1 or not all(math.isfinite(v) for v in values):
        raise ValueError("a curve is no curve")
