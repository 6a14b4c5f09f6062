"""All models side by side: on the same events, with the same split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_xfelsort.core.errors import SettingsError, TrainingError
from napari_xfelsort.core.learning.grids import has_grid
from napari_xfelsort.core.learning.intervals import (
    Interval,
    bootstrap,
    mcnemar,
    resampled_groups,
)
from napari_xfelsort.core.learning.judging import Judged, judged_of
from napari_xfelsort.core.learning.model_text import interval_text
from napari_xfelsort.core.metrics import table_text
from napari_xfelsort.core.train_settings import ALGORITHMS, TrainSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.region import Region
    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.core.training import Prepared
    from napari_xfelsort.core.training_set import Labels


class Difference(NamedTuple):
    """A model less another, on the same events of the test share.

    Attributes
    ----------
    accuracy : float
        Difference of the accuracies.
    interval : list of float or None
        Its 95 % interval, by a paired bootstrap over files, runs or events.
    p_value : float
        Of McNemar's exact test that both are equally good.
    """

    accuracy: float
    interval: Interval
    p_value: float


class Compared(NamedTuple):
    """A row of a comparison.

    Attributes
    ----------
    name : str
        The algorithm.
    model : Model or None
        None where it could not be trained.
    score : float
        Mean F1 in cross-validation inside the training share, by which the best is
        chosen; NaN where it could not be trained.
    to_best : Difference or None
        From the best, on the test share; None for the best itself.
    why_not : str
        Why it could not be trained, else empty.
    """

    name: str
    model: Model | None
    score: float
    to_best: Difference | None
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models on the same events, the best by cross-validation first."""

    rows: list[Compared]

    @property
    def best(self) -> Model:
        """The model with the best mean F1 in cross-validation; its test share had no say."""
        model = self.rows[0].model
        assert model is not None
        return model

    def text(self) -> str:
        """The comparison as a table for the terminal."""
        header = [
            "model", "cross-validated F1 %", "accuracy %", "F1 %", "AUC %",
            "accuracy to best %", "p", "fit s", "us/event",
        ]  # fmt: skip
        rows = [header, *(_cells(row) for row in self.rows)]
        failed = [f"{_words(row.name)}: {row.why_not}" for row in self.rows if row.why_not]
        model = self.best
        return "\n".join(
            [
                f"{model.metrics['split']['why']} {model.metrics['n_train']} events train, "
                f"{model.metrics['n']} test.",
                table_text(rows),
                "In brackets 95 % intervals. The order is that of cross-validation inside the "
                "training share; accuracy, F1 and AUC are of the test share. p: probability "
                "that a model as good as the best differs so much (McNemar).",
                model.metrics["intervals"]["method"],
                *failed,
            ]
        )


def compare(
    stack: EventStack,
    labels: Labels,
    settings: TrainSettings | None = None,
    region: Region | str | None = None,
    models: Sequence[str] = ALGORITHMS,
    progress: Progress | None = None,
    fit_progress: Progress | None = None,
) -> Comparison:
    """Train every model on the same events, whose features are read once.

    Parameters
    ----------
    stack, labels, region
        As for `training.train`.
    settings : TrainSettings, optional
        For all of them, but the algorithm. An algorithm that the search has no grid for is
        trained without.
    models : sequence of str
        Which algorithms.
    progress : callable, optional
        Called with events read and events in all; may raise to stop.
    fit_progress : callable, optional
        Called with fits done and fits in all; may raise to stop.

    Raises
    ------
    SettingsError, TrainingError, RegionError
        As `training.train`; not where a single algorithm cannot be trained.
    """
    from napari_xfelsort.core.training import prepare

    settings = settings or TrainSettings()
    return compare_prepared(
        prepare(stack, labels, settings, region, progress), settings, models, fit_progress
    )


def compare_prepared(
    prepared: Prepared,
    settings: TrainSettings,
    models: Sequence[str] = ALGORITHMS,
    fit_progress: Progress | None = None,
) -> Comparison:
    """Train every model on features that were read before; see `compare`."""
    from napari_xfelsort.core.training import train_prepared

    plans = {name: _settings_for(settings, name) for name in models}
    total, done = sum(plan.planned_fits for plan in plans.values()), 0
    trained: list[Compared] = []
    for name, plan in plans.items():

        def tell(fits: int, of: int, done: int = done) -> None:
            if fit_progress is not None:
                fit_progress(done + fits, total)

        try:
            model = train_prepared(prepared, plan, tell)
        except TrainingError as error:
            trained.append(Compared(name, None, np.nan, None, str(error)))
        else:
            score = model.metrics["out_of_fold"]["macro_f1"]
            trained.append(Compared(name, model, np.nan if score is None else score, None))
        done += plan.planned_fits
        if fit_progress is not None:
            fit_progress(done, total)
    if all(row.model is None for row in trained):
        raise TrainingError(f"No model could be trained: {trained[0].why_not}")
    return _compared(trained)


def comparison_fits(settings: TrainSettings, models: Sequence[str] = ALGORITHMS) -> int:
    """How many fits a comparison takes at most.

    Raises
    ------
    SettingsError
        If the search of an algorithm takes more fits than it may.
    """
    return sum(_settings_for(settings, name).planned_fits for name in models)


def difference(first: Model, second: Model) -> Difference | None:
    """How much better the first is than the second; None unless judged on the same events.

    An event that a model is unsure of counts as not decided rightly.
    """
    ours, theirs = (judged_of(m.metrics, len(m.class_names)) for m in (first, second))
    if ours is None or theirs is None or first.class_names != second.class_names:
        return None
    if ours.events != theirs.events or not np.array_equal(ours.classes, theirs.classes):
        return None
    a, b = _right(first, ours), _right(second, theirs)
    gain = a.astype(np.float64) - b
    groups, _ = resampled_groups(ours.groups, len(gain))
    interval = bootstrap(
        lambda weights: float((weights * gain).sum() / max(1, weights.sum())), groups, seed=0
    )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return Difference(float(gain.mean()), interval, mcnemar(only_a, only_b))


def difference_text(gain: Difference) -> str:
    """A difference of accuracies in percent: ``+2.0 (-1.0 to +5.0)``."""
    text = f"{100 * gain.accuracy:+.1f}"
    if gain.interval is not None:
        text += f" ({100 * gain.interval[0]:+.1f} to {100 * gain.interval[1]:+.1f})"
    return text


def _settings_for(settings: TrainSettings, name: str) -> TrainSettings:
    search = settings.search if has_grid(settings.search, name) else "none"
    try:
        return dataclasses.replace(settings, model=name, search=search, cross_validate=True)
    except SettingsError as error:
        raise SettingsError(f"To compare {_words(name)}: {error}") from error


def _compared(trained: list[Compared]) -> Comparison:
    ranked = sorted(
        trained, key=lambda row: -np.inf if np.isnan(row.score) else row.score, reverse=True
    )
    best = next(row.model for row in ranked if row.model is not None)
    rows = [
        row if row.model in (None, best) else row._replace(to_best=difference(row.model, best))
        for row in ranked
    ]
    return Comparison(rows)


def _right(model: Model, judged: Judged) -> Any:
    decided = model.rule.decide(judged.probabilities, model.class_names)
    return decided == np.array(model.class_names)[judged.classes]


def _cells(row: Compared) -> list[str]:
    if row.model is None:
        return [_words(row.name), *["-"] * 8]
    metrics, seconds = row.model.metrics, row.model.provenance["seconds"]
    spans, curves = metrics["intervals"], list(metrics["curves"].values())
    auc = interval_text(curves[0]["auc"], spans["auc"]) if len(curves) == 1 else "-"
    less, p = "", ""
    if row.to_best is not None:
        less = difference_text(row.to_best)
        p = f"{row.to_best.p_value:.2g}"
    return [
        _words(row.name),
        "-" if np.isnan(row.score) else f"{100 * row.score:.1f}",
        interval_text(metrics["accuracy"], spans["accuracy"]),
        interval_text(metrics["macro"]["f1"], spans["macro_f1"]),
        auc,
        less,
        p,
        f"{seconds['fit']:.2f}",
        f"{1e6 * seconds['decide_per_event']:.0f}",
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")
