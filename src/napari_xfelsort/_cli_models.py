"""``xfelsort models``: what model files are, and how they compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort.cli_support import Status, guarded, say, table
from napari_xfelsort.core.learning.comparison import difference, difference_text
from napari_xfelsort.core.learning.model_text import (
    interval_text,
    mistakes_text,
    parameters_text,
    rule_text,
)

if TYPE_CHECKING:
    from napari_xfelsort.core.model import Model


@guarded()
def models(
    paths: Annotated[list[Path], typer.Argument(metavar="MODEL", help="Model files.")],
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="List events of the test share decided wrongly.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Show a model file, or compare several; nothing in them is run.

    Models are compared fairly only where they were tested with the same events.
    """
    from napari_xfelsort.core.model import load_model

    found = [(str(path), load_model(path)) for path in paths]
    if as_json:
        say(json.dumps([_facts(name, model) for name, model in found], indent=1))
        return Status.DONE
    if len(found) == 1:
        _show(found[0][1])
    else:
        _compare(found)
    if mistakes:
        for name, model in found:
            if text := mistakes_text(model):
                say(f"\nDecided wrongly by {name}, the surest first:\n{text}")
    return Status.DONE


def _show(model: Model) -> None:
    say(model.report_text())
    provenance = model.provenance
    parameters = provenance.get("parameters") or {}
    if parameters:
        say(f"Parameters found by the search: {parameters_text(parameters)}")
    say(f"\nTrained {provenance.get('time', 'at an unknown time')}, key {model.digest}.")


def _compare(found: list[tuple[str, Model]]) -> None:
    rows = []
    for name, model in found:
        metrics, spans = model.metrics, model.metrics.get("intervals") or {}
        curves = list((metrics.get("curves") or {}).values())
        rows.append(
            [
                name,
                model.provenance["settings"]["model"].replace("_", " "),
                str(model.region),
                "/".join(model.class_names),
                metrics["n"],
                interval_text(metrics["accuracy"], spans.get("accuracy")),
                interval_text(metrics["macro"]["f1"], spans.get("macro_f1")),
                interval_text(curves[0]["auc"], spans.get("auc")) if len(curves) == 1 else "-",
            ]
        )
    header = ["file", "model", "region", "classes", "test events", "accuracy %", "F1 %", "AUC %"]
    say(table(header, rows))
    say()
    for name, model in found:
        say(f"{name}: {rule_text(model)}")
    say()
    first_name, first = found[0]
    for name, model in found[1:]:
        say(_against(name, model, first_name, first))


def _against(name: str, model: Model, first_name: str, first: Model) -> str:
    if model.digest == first.digest:
        return f"{name} decides the same as {first_name}."
    gain = difference(model, first)
    if gain is None:
        return (
            f"{name} was not tested with the same events as {first_name}, so their numbers say "
            "little of which is better."
        )
    return (
        f"{name} less {first_name}, on the same test events: accuracy in % "
        f"{difference_text(gain)}; equally good models differ so much with probability "
        f"{gain.p_value:.2g} (McNemar)."
    )


def _facts(name: str, model: Model) -> dict[str, Any]:
    metrics = {k: v for k, v in model.metrics.items() if k not in ("tested", "curves")}
    return {
        "file": name,
        "classes": list(model.class_names),
        "region": str(model.region),
        "features": model.features.to_dict(),
        "rule": rule_text(model),
        "key": model.digest,
        "metrics": metrics,
        "provenance": model.provenance,
        "warnings": model.warnings,
    }
