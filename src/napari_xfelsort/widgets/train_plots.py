"""Pictures of the Train dock that are only looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_xfelsort.core.learning.comparison import Compared
    from napari_xfelsort.core.learning.learning_curve import LearningPoint

#: Heights in pixels of the screen.
CURVE_HEIGHT, RELIABILITY_HEIGHT, _BAR, _AROUND = 220, 260, 20, 60
#: Colours that can be told apart by everybody, on dark and on light.
COLOURS = ("#5aa9e6", "#f28e2b", "#3fae5a", "#c77dd6", "#e0c341", "#9c755f", "#76b7b2")
_LETTERS = 26


def draw_learning_curve(figure: Figure, points: Sequence[LearningPoint]) -> None:
    """Accuracy and mean F1 against the number of labels, with their spread."""
    axes = figure.add_subplot()
    n = [point.n_labels for point in points]
    for name, what, colour in (("accuracy", "accuracy", 0), ("macro_f1", "mean F1", 1)):
        axes.errorbar(
            n,
            [100 * getattr(point, name) for point in points],
            [100 * getattr(point, f"{name}_sd") for point in points],
            label=what,
            color=COLOURS[colour],
            marker="o",
            markersize=3,
            linewidth=1.2,
            capsize=2,
        )
    axes.set_xlabel("labels to train with")
    axes.set_ylabel("in cross-validation (%)")
    axes.set_ylim(top=102)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def draw_reliability(figure: Figure, steps: Mapping[str, Any]) -> None:
    """What share of events is really of a class, against the probability told.

    Parameters
    ----------
    figure : Figure
        Empty.
    steps : mapping
        By class; see `curves.reliability`.
    """
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], linestyle=":", color=above.xaxis.label.get_color(), linewidth=1)
    width = 0.08 / max(1, len(steps))
    for k, (name, found) in enumerate(steps.items()):
        colour = COLOURS[k % len(COLOURS)]
        above.plot(
            found["probability"], found["share"], "o-", color=colour, markersize=4, label=name
        )
        places = np.array(found["probability"]) + (k - (len(steps) - 1) / 2) * width
        below.bar(places, found["n"], width, color=colour)
    above.set_ylabel("share that is so")
    below.set_ylabel("events")
    below.set_xlabel("probability")
    above.set_ylim(-0.05, 1.05)
    below.set_xlim(-0.05, 1.05)
    above.grid(alpha=0.3)
    above.legend(loc="upper left")


def bars_height(n: int) -> int:
    """Height in pixels that `draw_bars` needs."""
    return n * _BAR + _AROUND


def draw_bars(figure: Figure, names: Sequence[str], values: Sequence[float]) -> None:
    """Importances of features as bars, the first on top."""
    axes = figure.add_subplot()
    axes.barh(range(len(names)), [100 * value for value in values], color=COLOURS[0])
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel("importance (%)")


def draw_comparison(figure: Figure, rows: Sequence[Compared]) -> None:
    """Accuracy of each model on the test share, with its interval; the best on top."""
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        if row.model is None:
            continue
        metrics = row.model.metrics
        value, span = metrics["accuracy"], metrics["intervals"]["accuracy"]
        low, high = span or (value, value)
        axes.plot([100 * low, 100 * high], [place, place], color=COLOURS[0], linewidth=2)
        axes.plot(100 * value, place, "o", color=COLOURS[1], markersize=5)
    axes.set_yticks(range(len(rows)), [row.name.replace("_", " ") for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("accuracy on the test share, 95 % interval (%)")


def _short(name: str) -> str:
    # Which pixel it is comes last.
    half = (_LETTERS - 1) // 2
    return name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}"
