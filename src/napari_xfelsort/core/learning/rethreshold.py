"""A threshold found anew on another run, where a model still ranks but no longer decides.

When beam, background or particle change, all probabilities of a model go down or up
together: what it ranks first is still what is looked for, but the old threshold is in the
wrong place. It is found anew from the scores of the run alone, or from a few labels near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import ModelError, SettingsError
from napari_xfelsort.core.learning.judging import DecisionRule

if TYPE_CHECKING:
    from napari_xfelsort.core.decisions import Decisions
    from napari_xfelsort.core.model import Model

Floats = NDArray[np.float64]

#: How a threshold can be found, and by which rule from labels.
METHODS, RULES = ("scores", "labels"), ("max_f1", "high_recall")
#: Of the events with the highest scores so many times as are expected are divided in two;
#: fewer than so many are not.
_LOOKED_AT, _FEWEST = 6.0, 8
#: Events to label are among a fraction of as many, up to a multiple, as pass the threshold.
_AROUND = 4.0
#: Log odds of the line between the means of the two groups, before labels have a say.
_STEEP = 10.0
#: Less likely events are none.
_UNLIKELY = 0.05
#: Probabilities nearer to 0 and 1 are as good as these.
_SURE = 1e-12


class NewThreshold(NamedTuple):
    """A threshold and where it came from.

    Attributes
    ----------
    threshold : float
        Probability from which the positive class is decided.
    method : str
        Of `METHODS`.
    events : int
        Events with a probability in the run.
    passing : int
        Of these, those that reach the threshold.
    labelled : int
        Labels that were used.
    expected : float
        Positive events that are expected in the run.
    """

    threshold: float
    method: str
    events: int
    passing: int
    labelled: int
    expected: float


def run_scores(model: Model, decisions: Decisions) -> Floats:
    """Log odds of a model's positive class, shape (events,); NaN where not known.

    Raises
    ------
    ModelError
        If the model has more than two classes.
    """
    if model.positive is None:
        raise ModelError("A threshold can be found anew for models of two classes only.")
    share = decisions.probabilities[:, model.class_names.index(model.positive)]
    with np.errstate(invalid="ignore"):
        share = np.clip(share, _SURE, 1 - _SURE)
    return np.asarray(np.log(share) - np.log1p(-share), np.float64)


def trained_share(model: Model) -> float:
    """Share of the positive class among the events that the model was trained with.

    Raises
    ------
    ModelError
        If the model does not say.
    """
    counts = model.metrics.get("train_counts") or {}
    total = sum(counts.values())
    if model.positive not in counts or not total:
        raise ModelError("The model does not say how many events of each class trained it.")
    return float(counts[model.positive] / total)


def threshold_from_scores(scores: Floats, share: float) -> NewThreshold:
    """The threshold by the distribution of the scores, without labels.

    The highest scores, six times as many as positive events are expected, are divided into
    two groups that differ most in their means for their numbers (N. Otsu, IEEE Trans. SMC 9,
    62, 1979); the threshold lies halfway between the groups. A threshold is found in any
    run, also in one without positive events: look at what passes it.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        From `run_scores`.
    share : float
        Of positive events, about: right by a factor of three is enough.

    Raises
    ------
    SettingsError
        If the share is none, or too few events have scores that differ.
    """
    if not 0 < share < 1:
        raise SettingsError(f"The share of positive events is {share} but must be in (0, 1).")
    known = np.sort(scores[np.isfinite(scores)])[::-1]
    top = known[: max(_FEWEST, round(_LOOKED_AT * share * len(known)))]
    if len(top) < _FEWEST or not top[0] > top[-1]:
        raise SettingsError(
            f"A threshold needs at least {_FEWEST} events whose scores differ, and there are "
            f"{len(np.unique(known))}."
        )
    cut, _ = _divided(top)
    return _new(known, cut, "scores", 0, float(np.count_nonzero(known >= cut)))


def events_to_label(scores: Floats, threshold: float, n: int = 20) -> NDArray[np.int64]:
    """Which events to label so that the threshold is known best: those about it.

    They are evenly spaced in the logarithm of their rank, from a fourth of the events that
    pass to four times as many.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        From `run_scores`.
    threshold : float
        As found by `threshold_from_scores`.
    n : int
        How many; fewer where there are fewer.

    Returns
    -------
    ndarray of int64
        Numbers of the events, the highest score first.
    """
    known = np.flatnonzero(np.isfinite(scores))
    order = known[np.argsort(-scores[known], kind="stable")]
    if not len(order) or n < 1:
        return np.empty(0, np.int64)
    passing = max(1, int(np.count_nonzero(scores[known] >= _log_odds(threshold))))
    first, last = passing / _AROUND, min(float(len(order)), max(n, _AROUND * passing))
    wanted = np.geomspace(max(1.0, min(first, last)), last, n)
    ranks = np.unique(np.round(wanted).astype(np.int64))
    others = np.setdiff1d(np.arange(1, len(order) + 1), ranks)
    near = others[np.argsort(np.abs(np.log(others / passing)), kind="stable")]
    ranks = np.sort(np.concatenate([ranks, near[: max(0, n - len(ranks))]]))
    return np.asarray(order[ranks - 1], np.int64)


def threshold_from_labels(
    scores: Floats,
    labels: Sequence[bool | None],
    share: float,
    rule: str = "max_f1",
    recall: float = 0.95,
) -> NewThreshold:
    """The threshold by a few labels of the run, twenty for example.

    A line for the log odds, that is where `threshold_from_scores` begins and as steep as the
    groups there are apart, is drawn to the labels (the likeliest, with a normal law for both);
    the threshold is the one with the largest F1, or the recall, that it promises in the run.

    Parameters
    ----------
    scores : ndarray, shape (events,)
        From `run_scores`.
    labels : sequence of bool or None
        Whether an event is positive, for every event; None where it is not known.
    share : float
        As for `threshold_from_scores`.
    rule : str
        Of `RULES`.
    recall : float
        What ``high_recall`` keeps.

    Raises
    ------
    SettingsError
        If no event with a score has a label, or the rule is unknown.
    """
    from scipy.special import expit

    if rule not in RULES:
        raise SettingsError(f"The rule {rule!r} is not one of {', '.join(RULES)}.")
    if not 0 < recall <= 1:
        raise SettingsError(f"The recall is {recall} but must be in (0, 1].")
    if len(labels) != len(scores):
        raise SettingsError(f"There are {len(labels)} labels for {len(scores)} events.")
    own = np.array([label is not None for label in labels], bool) & np.isfinite(scores)
    if not own.any():
        raise SettingsError("No event with a score has a label.")
    start = threshold_from_scores(scores, share)
    true = np.array([bool(label) for label in labels], np.float64)
    finite = np.isfinite(scores)
    top = np.sort(scores[finite])[::-1]
    _, apart = _divided(top[: max(_FEWEST, round(_LOOKED_AT * share * len(top)))])
    slope, middle = _line(scores[own], true[own], _log_odds(start.threshold), apart)
    likely = expit(slope * (scores - middle))
    likely[likely < _UNLIKELY] = 0.0  # so many far away would else add up to something
    likely[own] = true[own]
    known, likely = scores[finite], likely[finite]
    order = np.argsort(-known, kind="stable")
    known, found = known[order], np.cumsum(likely[order])
    last = np.append(known[1:] < known[:-1], True)  # of equal scores
    if rule == "max_f1":
        gain = 2 * found / (np.arange(1, len(known) + 1) + found[-1])
        k = int(np.where(last, gain, -1.0).argmax())
    else:
        k = int(np.flatnonzero(last & (found >= recall * found[-1] - 1e-9))[0])
    below = known[k + 1] if k + 1 < len(known) else known[k] - 1.0
    return _new(known, float((known[k] + below) / 2), "labels", int(own.sum()), float(found[-1]))


def with_new_threshold(
    model: Model, found: NewThreshold, run: Sequence[str], share: float
) -> Model:
    """The model with a threshold found on a run; its provenance and notes say so.

    Parameters
    ----------
    model : Model
        As trained.
    found : NewThreshold
        From `threshold_from_scores` or `threshold_from_labels`.
    run : sequence of str
        Names of the files it was found on.
    share : float
        Of positive events that was expected.

    Raises
    ------
    ModelError
        If the model has more than two classes.
    """
    if model.positive is None:
        raise ModelError("A threshold can be found anew for models of two classes only.")
    rule = DecisionRule(found.threshold, model.positive)
    try:
        changed = model.with_rule(rule)
    except ModelError:  # it does not keep all events that it was tested with
        changed = replace(model, threshold=found.threshold, band=None)
    said: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": found.method,
        "chosen_on": "another run",
        "files": list(run)[:50],
        "events": found.events,
        "labelled": found.labelled,
        "passing": found.passing,
        "expected_share": share,
        "threshold": found.threshold,
        "before": model.threshold,
        "model": model.digest,
    }
    where = "its scores" if found.method == "scores" else f"{found.labelled} labels of it"
    note = (
        f"{_FOUND} on another run ({found.events} events) by {where}; the numbers of the test "
        "share are those of the run that the model was trained on."
    )
    notes = [text for text in model.warnings if not text.startswith(_FOUND)]
    return replace(changed, provenance={**model.provenance, "rule": said}, warnings=[*notes, note])


_FOUND = "The threshold was found"


def _log_odds(threshold: float) -> float:
    safe = min(max(threshold, _SURE), 1 - _SURE)
    return float(np.log(safe) - np.log1p(-safe))


def _divided(top: Floats) -> tuple[float, float]:
    """Where Otsu's rule divides descending scores, and how far apart the means then are."""
    n = np.arange(1, len(top))
    sums = np.cumsum(top)[:-1]
    high, low = sums / n, (top.sum() - sums) / (len(top) - n)
    between = n * (len(top) - n) * (high - low) ** 2
    between[top[1:] == top[:-1]] = -1.0  # equal scores stay together
    k = int(between.argmax())
    return float((top[k] + top[k + 1]) / 2), float(high[k] - low[k])


def _line(scores: Floats, true: Floats, start: float, apart: float) -> tuple[float, float]:
    """Slope, and where the odds are even, of the likeliest line of log odds."""
    from scipy.optimize import minimize
    from scipy.special import log_expit

    steep, spread = _STEEP / apart, apart / 2

    def cost(values: Floats) -> float:
        slope, middle = steep * np.exp(values[0] / 2), start + spread * values[1]
        line = slope * (scores - middle)
        likely = true * log_expit(line) + (1 - true) * log_expit(-line)
        return float(0.5 * (values**2).sum() - likely.sum())

    best = minimize(cost, np.zeros(2), method="Nelder-Mead").x
    return float(steep * np.exp(best[0] / 2)), float(start + spread * best[1])


def _new(known: Floats, cut: float, method: str, labelled: int, expected: float) -> NewThreshold:
    from scipy.special import expit

    passing = int(np.count_nonzero(known >= cut))
    return NewThreshold(float(expit(cut)), method, len(known), passing, labelled, expected)
