"""What is different between two models, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_xfelsort.core.learning.comparison import difference, difference_text
from napari_xfelsort.core.learning.model_text import parameters_text, rule_text

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model

#: Settings that do not change what is learnt.
_OF_NO_MATTER = ("workers", "cache", "train_share")


def model_differences(model: Model, other: Model) -> list[str]:
    """Sentences on what a model has otherwise than another one.

    Returns
    -------
    list of str
        Classes, region, frames, geometry, settings, training set and rule where they
        differ; last how much more accurate it is, where both were tested with the same
        events. Only one sentence if both decide the same.
    """
    if model.digest == other.digest:
        return ["Both models decide the same."]
    said = []
    pairs = [
        ("classes", ", ".join(model.class_names), ", ".join(other.class_names)),
        ("region", str(model.region), str(other.region)),
        ("frames", str(model.raw_shape), str(other.raw_shape)),
        *_settings(model, other),
        ("parameters found", *(_found(each) for each in (model, other))),
        ("rule", rule_text(model), rule_text(other)),
    ]
    said += [f"{name}: {ours} (was {theirs})" for name, ours, theirs in pairs if ours != theirs]
    if model.geometry_digest != other.geometry_digest:
        said.append("They were trained with different geometries.")
    if model.provenance.get("training_set") != other.provenance.get("training_set"):
        said.append("They were trained with different events, labels or features.")
    gain = difference(model, other)
    if gain is None:
        said.append(
            "They were not tested with the same events, so their numbers say little of which is "
            "better."
        )
    else:
        said.append(
            f"On the same test events its accuracy differs by {difference_text(gain)} %; equally "
            f"good models differ so much with probability {gain.p_value:.2g} (McNemar)."
        )
    return said


def _settings(model: Model, other: Model) -> list[tuple[str, str, str]]:
    ours, theirs = (each.provenance.get("settings") or {} for each in (model, other))
    names = [name for name in {**ours, **theirs} if name not in _OF_NO_MATTER]
    return [
        (name.replace("_", " "), _words(ours.get(name, "-")), _words(theirs.get(name, "-")))
        for name in names
    ]


def _words(value: object) -> str:
    return value.replace("_", " ") if isinstance(value, str) else str(value)


def _found(model: Model) -> str:
    return parameters_text(model.provenance.get("parameters") or {}) or "none"
