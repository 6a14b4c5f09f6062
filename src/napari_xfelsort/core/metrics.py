"""How well decisions agree with labels, as numbers and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.decisions import UNSURE


def evaluate(
    true: Sequence[str] | NDArray[np.str_],
    chosen: Sequence[str] | NDArray[np.str_],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Confusion matrix and classification report.

    Parameters
    ----------
    true : sequence of str
        Labels.
    chosen : sequence of str
        Decisions on the same events: a class, or ``"unsure"``.
    class_names : sequence of str
        The classes, in the order to report.

    Returns
    -------
    dict
        ``classes`` and ``columns`` (the classes, then unsure if it occurs);
        ``confusion`` (a row a class: how many were decided as what) and
        ``row_percent``; ``per_class`` (precision, recall, f1, support of each);
        ``macro`` (their mean over the classes); ``accuracy``,
        ``misclassification_rate`` (wrong class), ``unsure_rate``. None where a number
        would be a division by zero.
    """
    names = list(class_names)
    columns = [*names, UNSURE] if UNSURE in set(chosen) else names
    matrix = np.zeros((len(names), len(columns)), int)
    for label, decision in zip(true, chosen, strict=True):
        matrix[names.index(str(label)), columns.index(str(decision))] += 1
    square = matrix[:, : len(names)]
    hits, support, decided = np.diag(square), matrix.sum(axis=1), square.sum(axis=0)
    per_class = {
        name: {
            "precision": _ratio(hits[k], decided[k]),
            "recall": _ratio(hits[k], support[k]),
            "f1": _ratio(2 * hits[k], decided[k] + support[k]),
            "support": int(support[k]),
        }
        for k, name in enumerate(names)
    }
    n = int(matrix.sum())
    return {
        "classes": names,
        "columns": columns,
        "confusion": matrix.tolist(),
        "row_percent": [
            [_ratio(100 * count, total) for count in row]
            for row, total in zip(matrix, support, strict=True)
        ],
        "per_class": per_class,
        "macro": {key: _mean(per_class, key) for key in ("precision", "recall", "f1")},
        "n": n,
        "accuracy": _ratio(hits.sum(), n),
        "misclassification_rate": _ratio(square.sum() - hits.sum(), n),
        "unsure_rate": _ratio(n - square.sum(), n),
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _mean(per_class: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    values = [row[key] for row in per_class.values()]
    return None if None in values else float(np.mean(values))


def confusion_text(metrics: Mapping[str, Any]) -> str:
    """The confusion matrix as a table for the terminal; labels down, decisions across."""
    rows = [["label \\ decision", *metrics["columns"]]]
    percents = metrics["row_percent"]
    for name, counts, shares in zip(
        metrics["classes"], metrics["confusion"], percents, strict=True
    ):
        cells = [
            f"{count}" if share is None else f"{count} ({share:.1f} %)"
            for count, share in zip(counts, shares, strict=True)
        ]
        rows.append([name, *cells])
    return table_text(rows)


def report_text(metrics: Mapping[str, Any]) -> str:
    """The classification report as a table for the terminal."""
    rows = [["", "precision", "recall", "F1", "events"]]
    for name, row in metrics["per_class"].items():
        shares = [_percent(row[key]) for key in ("precision", "recall", "f1")]
        rows.append([name, *shares, str(row["support"])])
    macro = [_percent(metrics["macro"][key]) for key in ("precision", "recall", "f1")]
    rows.append(["mean", *macro, str(metrics["n"])])
    lines = [
        table_text(rows),
        f"accuracy {_percent(metrics['accuracy'])}, "
        f"misclassified {_percent(metrics['misclassification_rate'])}",
    ]
    if metrics["unsure_rate"]:
        lines[-1] += f", unsure {_percent(metrics['unsure_rate'])}"
    return "\n".join(lines)


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
