"""A model and how well it does, as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_xfelsort.core.metrics import confusion_text, report_text

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

_MOST_MISTAKES = 10


def model_text(model: Model) -> str:
    """The model card: what it is, confusion matrix, report, intervals, warnings."""
    m = model.metrics
    features = f"{model.extractor.n_features} features"
    if model.features.components:
        features += f" as {model.features.components} principal components"
    lines = [
        f"{model.provenance['settings']['model'].replace('_', ' ')} on {model.region}: {features}",
        f"{m['split']['why']} {m['n_train']} events train, {m['n']} test "
        f"({100 * m['split']['test_share']:.0f} %).",
        *_search_lines(m),
        rule_text(model),
        "",
        confusion_text(m),
        "",
        report_text(m),
        *_interval_lines(m),
    ]
    return "\n".join([*lines, *(f"Note: {warning}" for warning in model.warnings)])


def rule_text(model: Model) -> str:
    """How probabilities become decisions, as a sentence."""
    threshold, positive = model.threshold, model.positive
    calibrated = ""
    if model.calibration is not None:
        calibrated = f" Probabilities are calibrated ({model.calibration.method})."
    if model.band is not None:
        low, high = model.band
        return (
            f"{positive!r} is chosen from a probability of {high:.3g}, not below {low:.3g}, and "
            f"unsure between.{calibrated}"
        )
    ahead = f", and unsure unless {model.margin:.3g} ahead of the next" * (model.margin > 0)
    if threshold is None:
        return f"The most likely class is chosen{ahead}.{calibrated}"
    if positive is None:
        return (
            f"The most likely class is chosen when it reaches {threshold:.3g}{ahead}, else "
            f"unsure.{calibrated}"
        )
    rule = model.metrics["threshold"]
    how = "" if rule == "number" else f" ({rule.replace('_', ' ')} on the training share)"
    return f"{positive!r} is chosen from a probability of {threshold:.3g}{how}.{calibrated}"


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as ``C 0.1, penalty l2``."""
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def interval_text(value: float | None, interval: list[float] | None) -> str:
    """A share in percent with its interval: ``95.0 (91.2-97.3)``."""
    if value is None:
        return "-"
    if interval is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"


def mistakes_text(model: Model) -> str:
    """The surest mistakes, one a line; empty without any."""
    wrong = model.misclassified()
    lines = [
        f"  {one.event}: labelled {one.label}, decided {one.decision} ({one.probability:.3f})"
        for one in wrong[:_MOST_MISTAKES]
    ]
    if len(wrong) > _MOST_MISTAKES:
        lines.append(f"  ... and {len(wrong) - _MOST_MISTAKES} more")
    return "\n".join(lines)


def _search_lines(metrics: Mapping[str, Any]) -> list[str]:
    search = metrics.get("search")
    if not search:
        return []
    return [
        f"Search {search['search']}, {search['fits']} fits inside the training share: "
        f"{parameters_text(search['best'])} ({search['score'].replace('_', ' ')} "
        f"{100 * search['best_score']:.1f} %)."
    ]


def _interval_lines(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    spans = metrics.get("intervals")
    if spans:
        parts = [f"accuracy {interval_text(metrics['accuracy'], spans['accuracy'])}"]
        parts.append(f"mean F1 {interval_text(metrics['macro']['f1'], spans['macro_f1'])}")
        for name, curves in metrics["curves"].items():
            span = spans["auc"] if len(metrics["curves"]) == 1 else None
            parts.append(f"AUC of {name} {interval_text(curves['auc'], span)}")
        lines.append(f"95 % intervals: {', '.join(parts)}")
    if metrics.get("brier") is not None:
        lines.append(f"Brier score {metrics['brier']:.4f}")
    found = metrics.get("out_of_fold")
    if found:
        lines.append(
            f"cross-validation inside the training share: accuracy "
            f"{interval_text(found['accuracy'], None)}, mean F1 "
            f"{interval_text(found['macro_f1'], None)}"
        )
    return lines
