"""How well a model does, as a picture: confusion matrix and classification report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Pixels of the screen for a row of the matrix and of the report, and for what is around.
_CELL, _LINE, _AROUND = 34, 17, 130
#: Fewer classes than this are drawn as if they were this many, so that cells look square.
_FEW = 3
#: Letters of a class name that are shown beside the matrix.
_LETTERS = 12
#: Row percentages from which the text in a cell is light.
_DARK = 55


def metrics_height(metrics: Mapping[str, Any]) -> int:
    """Height in pixels that `draw_metrics` needs."""
    return _matrix_height(metrics) + _report_height(metrics)


def draw_metrics(figure: Figure, metrics: Mapping[str, Any]) -> None:
    """Draw confusion matrix and classification report below one another.

    Parameters
    ----------
    figure : Figure
        Empty.
    metrics : mapping
        From `core.metrics.evaluate`.
    """
    heights = [_matrix_height(metrics), _report_height(metrics)]
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    for part in (above, below):
        part.set_facecolor("none")
    draw_confusion(above.subplots(), metrics)
    draw_report(below.add_axes((0.02, 0, 0.96, 1)), metrics)


def draw_confusion(axes: Axes, metrics: Mapping[str, Any]) -> None:
    """Draw the confusion matrix: labels down, decisions across, coloured by row percent."""
    from matplotlib import colormaps

    counts, percents = metrics["confusion"], metrics["row_percent"]
    shares = [[0.0 if p is None else p for p in row] for row in percents]
    axes.imshow(shares, cmap=colormaps["Blues"], vmin=0, vmax=100, aspect="auto")
    wide = len(metrics["columns"])
    size = 8.0 if wide <= 4 else 6.5 if wide <= 7 else 5.5
    for row, (numbers, parts) in enumerate(zip(counts, percents, strict=True)):
        for column, (count, percent) in enumerate(zip(numbers, parts, strict=True)):
            text = f"{count}" if percent is None else f"{count}\n{_in_cell(percent, wide)}"
            colour = "white" if (percent or 0) > _DARK else "#10243e"
            shown = axes.text(column, row, text, ha="center", va="center", color=colour)
            shown.set_fontsize(size)
            shown.set_in_layout(False)  # it lies in its cell, whose size is that of the axes
    columns = [_short(name) for name in metrics["columns"]]
    turned = max(map(len, columns)) * wide > 30
    axes.set_xticks(
        range(wide),
        columns,
        rotation=40 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )
    axes.set_yticks(range(len(counts)), [_short(name) for name in metrics["classes"]])
    axes.tick_params(length=0)
    axes.set_xlabel("decided as" if wide <= 7 else "decided as (count, row %)")
    axes.set_ylabel("labelled")
    axes.set_title(f"{metrics['n']} test events", fontsize=9)


def draw_report(axes: Axes, metrics: Mapping[str, Any]) -> None:
    """Draw the classification report: a line a class, their mean, and rates below."""
    rows = [("", "precision", "recall", "F1", "events")]
    for name, values in metrics["per_class"].items():
        shares = [_percent(values[key]) for key in ("precision", "recall", "f1")]
        rows.append((_short(name), *shares, str(values["support"])))
    means = [_percent(metrics["macro"][key]) for key in ("precision", "recall", "f1")]
    rows.append(("mean", *means, str(metrics["n"])))
    rates = [
        f"accuracy {_percent(metrics['accuracy'])}, "
        f"misclassified {_percent(metrics['misclassification_rate'])}"
    ]
    if metrics["unsure_rate"]:
        rates.append(f"unsure {_percent(metrics['unsure_rate'])}")
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(_report_lines(metrics), 0)
    places = (0.0, 0.44, 0.62, 0.8, 1.0)
    for number, row in enumerate(rows):
        weight = "bold" if number == 0 else "normal"
        for place, text in zip(places, row, strict=True):
            side = "left" if place == 0 else "right"
            axes.text(place, number + 0.5, text, ha=side, va="center", weight=weight)
    for line in (1, len(rows) - 1, len(rows)):
        axes.axhline(line, linewidth=0.6, color=axes.xaxis.label.get_color())
    for number, rate in enumerate(rates, len(rows)):
        axes.text(0, number + 0.5, rate, ha="left", va="center")


def _matrix_height(metrics: Mapping[str, Any]) -> int:
    return max(len(metrics["classes"]), _FEW) * _CELL + _AROUND


def _report_height(metrics: Mapping[str, Any]) -> int:
    return _report_lines(metrics) * _LINE


def _report_lines(metrics: Mapping[str, Any]) -> int:
    """The head, classes, their mean, and one or two lines of rates."""
    return len(metrics["classes"]) + 3 + bool(metrics["unsure_rate"])


def _in_cell(percent: float, wide: int) -> str:
    if wide <= 4:
        return f"{percent:.1f} %"
    return f"{percent:.0f} %" if wide <= 7 else f"{percent:.0f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _short(name: str) -> str:
    # Names that begin alike often end differently.
    half = (_LETTERS - 1) // 2
    return name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half - 1 :]}"
