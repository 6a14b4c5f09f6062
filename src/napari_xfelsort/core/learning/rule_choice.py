"""Choosing another threshold for a trained model, and saying so in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.learning.judging import DecisionRule, judged_of
from napari_xfelsort.core.thresholds import best_f1_threshold, cost_threshold, recall_threshold

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

PRESETS = ("default", "max_f1", "high_recall", "costs")
#: Where a threshold was chosen.
TRAINING, TEST = "cross-validation in the training share", "the test share"


class Chosen(NamedTuple):
    """A threshold, and by which events it was chosen.

    Attributes
    ----------
    threshold : float
    where : str
        `TRAINING` or `TEST`.
    """

    threshold: float
    where: str


def preset_threshold(
    model: Model,
    preset: str,
    recall: float = 0.95,
    cost_false: float = 1.0,
    cost_lost: float = 1.0,
) -> Chosen:
    """The threshold of a trained model by a rule.

    It is taken from the curves of cross-validation inside the training share if the model
    has them; these are thinned to 200 points. Otherwise all there is are the events of the
    test share.

    Parameters
    ----------
    model : Model
        With two classes.
    preset : str
        Of `PRESETS`.
    recall, cost_false, cost_lost : float
        As for `thresholds.recall_threshold` and `thresholds.cost_threshold`.

    Raises
    ------
    ModelError
        If the model has more classes, or does not keep what it was tested with.
    """
    if model.positive is None:
        raise ModelError("A threshold by a rule is for models of two classes.")
    if preset == "default":
        return Chosen(0.5, TRAINING)
    found = (model.metrics.get("out_of_fold") or {}).get("curves", {}).get(model.positive)
    if found and found["precision_recall"]:
        curve = found["precision_recall"]
        return Chosen(_of_curve(curve, preset, recall, cost_false, cost_lost), TRAINING)
    judged = judged_of(model.metrics, len(model.class_names))
    if judged is None or not len(judged.classes):
        raise ModelError("The model does not keep the events that it was tested with.")
    column = model.class_names.index(model.positive)
    scores, wanted = judged.probabilities[:, column], judged.classes == column
    if not wanted.any():
        raise ModelError(f"The test share has no event of the class {model.positive!r}.")
    if preset == "max_f1":
        return Chosen(best_f1_threshold(scores, wanted), TEST)
    if preset == "high_recall":
        return Chosen(recall_threshold(scores, wanted, recall), TEST)
    return Chosen(cost_threshold(scores, wanted, cost_false, cost_lost), TEST)


def _of_curve(
    curve: Mapping[str, Any], preset: str, recall: float, cost_false: float, cost_lost: float
) -> float:
    """Best point of a precision-recall curve; halfway to the next lower one."""
    threshold, precision, found = (
        np.array(curve[name], np.float64) for name in ("threshold", "precision", "recall")
    )
    below = np.append(threshold[1:], 0.0)
    middle = (threshold + below) / 2
    if preset == "high_recall":
        return float(middle[int(np.argmax(found >= recall - 1e-9))])
    if preset == "max_f1":
        total = precision + found
        cost = -np.divide(2 * precision * found, total, out=np.zeros_like(total), where=total > 0)
    else:
        # In events of the positive class: those lost, and those wrongly taken for it. Where
        # precision is 0, the curve does not say how many the latter are.
        false = np.divide(
            found * (1 - precision),
            precision,
            out=np.full_like(found, np.inf),
            where=precision > 0,
        )
        cost = cost_lost * (1 - found) + (cost_false * false if cost_false else 0.0)
        if threshold[0] < 1:  # nothing positive
            cost = np.append(cost, cost_lost)
            middle = np.append(middle, (threshold[0] + 1) / 2)
    best = middle[cost <= cost.min() + 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def with_rule_by_hand(model: Model, rule: DecisionRule, where: str) -> Model:
    """The model with a rule that a person chose; its provenance and warnings say so.

    Parameters
    ----------
    model : Model
        As trained.
    rule : DecisionRule
        What to decide by.
    where : str
        `TRAINING` or `TEST`: by which events it was chosen.

    Raises
    ------
    ModelError
        As `Model.with_rule`.
    """
    changed = model.with_rule(rule)
    said = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": "hand",
        "chosen_on": where,
        "threshold": rule.threshold,
        "band": None if rule.band is None else list(rule.band),
        "margin": rule.margin,
    }
    warnings = [text for text in model.warnings if not text.startswith(_BY_HAND)]
    note = f"{_BY_HAND} after training, by {where}"
    note += "; so the numbers of the test share are too hopeful." if where == TEST else "."
    return replace(
        changed,
        provenance={**model.provenance, "rule": said},
        warnings=[*warnings, note],
    )


_BY_HAND = "The threshold was set by hand"
