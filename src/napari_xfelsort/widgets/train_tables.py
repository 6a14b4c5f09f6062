"""Confusion matrix and report as rich text: drawn at once, while a threshold is dragged."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CELL = "padding:1px 5px"
#: Letters of a class name that are shown.
_LETTERS = 12
#: Decisions up to which cells have room for percents.
_FEW = 4


def metrics_html(metrics: Mapping[str, Any]) -> str:
    """Confusion matrix (counts, row percent) and report of `metrics.evaluate`."""
    matrix = [["labelled", *(f"→ {_short(name)}" for name in metrics["columns"])]]
    wide = len(metrics["columns"]) > _FEW
    for name, counts, shares in zip(
        metrics["classes"], metrics["confusion"], metrics["row_percent"], strict=True
    ):
        cells = [
            f"{count}" if share is None or wide else f"{count}\n{share:.1f} %"
            for count, share in zip(counts, shares, strict=True)
        ]
        matrix.append([_short(name), *cells])
    report = [["", "precision", "recall", "F1", "events"]]
    for name, values in metrics["per_class"].items():
        shares = [percent(values[key]) for key in ("precision", "recall", "f1")]
        report.append([_short(name), *shares, str(values["support"])])
    rates = (
        f"accuracy {percent(metrics['accuracy'])}, misclassified "
        f"{percent(metrics['misclassification_rate'])}, unsure {percent(metrics['unsure_rate'])}"
    )
    return f"{_table(matrix)}{_table(report)}<div>{rates}</div>"


def decided_text(chosen: Iterable[str], class_names: Sequence[str]) -> str:
    """How many events are decided as what: ``7 good, 9 bad, 2 unsure``."""
    counts = Counter(str(name) for name in chosen)
    order = [*class_names, *sorted(set(counts) - set(class_names))]
    return ", ".join(f"{counts[name]} {name}" for name in order)


def percent(share: float | None) -> str:
    """A share in percent, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def span_text(value: float | None, span: Sequence[float] | None) -> str:
    """A share in percent with its interval below it: ``95.0 (91.2–97.3)``."""
    if value is None:
        return "–"
    if span is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ({100 * span[0]:.1f}–{100 * span[1]:.1f})"


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _escaped(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        tag = "th" if number == 0 else "td"
        cells = [
            f'<{tag} align="{"left" if k == 0 else "right"}" style="{_CELL}">'
            f"{_escaped(cell)}</{tag}>"
            for k, cell in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table cellspacing="0">{"".join(lines)}</table>'
