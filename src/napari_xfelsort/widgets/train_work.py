"""What the Train dock does beside the window: functions for jobs, and what they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from napari_xfelsort.core.deep.spi_fit import training_time
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
from napari_xfelsort.core.errors import LabelError, XfelsortError
from napari_xfelsort.core.features import Progress
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.learning.comparison import Comparison, compare_prepared
from napari_xfelsort.core.learning.learning_curve import LearningPoint, learning_curve
from napari_xfelsort.core.learning.overview import (
    Overview,
    class_list,
    labels_of_events,
    overview,
)
from napari_xfelsort.core.model import Model
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import Prepared, prepare, train_prepared
from napari_xfelsort.core.training_set import labelled_events
from napari_xfelsort.widgets.workers import Report

#: What is counted while a model is made.
EVENTS, FITS, EPOCHS = "events", "fits", "epochs"


class Step(NamedTuple):
    """How far work is.

    Attributes
    ----------
    what : str
        What is counted.
    done, total : int
    note : str
        A sentence that stays; empty for none.
    """

    what: str = FITS
    done: int = 0
    total: int = 1
    note: str = ""


class Task(NamedTuple):
    """What a model is made of; how networks are trained where it is one."""

    stack: EventStack
    folder: str
    settings: TrainSettings
    region: Region
    network: SpiNetworkSettings | None = None


class Trained(NamedTuple):
    """What training made.

    Attributes
    ----------
    task : Task
        Of what.
    prepared : Prepared
        Events with their features, to go on with.
    labels : dict of str to str
        The class of each event, by its name.
    model : Model or None
    comparison : Comparison or None
        One of both.
    """

    task: Task
    prepared: Prepared
    labels: dict[str, str]
    model: Model | None = None
    comparison: Comparison | None = None


class Summary(NamedTuple):
    """What is known before training.

    Attributes
    ----------
    counts : dict of str to int
        Labels of the folder.
    classes : tuple of str
        That occur in it.
    several : bool
        Whether events have several.
    overview : Overview or None
        None where nothing can be trained, for the reason ``why_not``.
    why_not : str
    """

    counts: dict[str, int]
    classes: tuple[str, ...] = ()
    several: bool = False
    overview: Overview | None = None
    why_not: str = ""


def told(report: Report, what: str, note: str = "") -> Progress:
    """A progress function of core, from a report."""
    return lambda done, total: report(Step(what, done, total, note))


def training(task: Task, compare: bool) -> Callable[[Report], Trained]:
    """Work that trains a model, or every model."""

    def work(report: Report) -> Trained:
        stack, folder, settings, region, network = task
        store = LabelStore(folder, create=False)
        prepared = prepare(stack, store, settings, region, told(report, EVENTS))
        labels = labels_of_events(labelled_events(stack, store, settings.target))
        fits = told(report, FITS)
        if compare:
            comparison = compare_prepared(prepared, settings, fit_progress=fits)
            made = Trained(task, prepared, labels, comparison=comparison)
        else:
            if network is not None:
                report(Step(EPOCHS, note="Measuring how long training takes…"))
                fits = told(report, EPOCHS, training_time(prepared, settings, network)[1])
            model = train_prepared(prepared, settings, fits, network)
            made = Trained(task, prepared, labels, model)
        report(None)  # where a request to stop is heard that came during the last fit
        return made

    return work


def learning(trained: Trained, settings: TrainSettings) -> Callable[[Report], list[LearningPoint]]:
    """Work that finds how accuracy grows with the number of labels."""

    def work(report: Report) -> list[LearningPoint]:
        return learning_curve(trained.prepared, settings, progress=told(report, FITS))

    return work


def summing_up(
    stack: EventStack | None, folder: str, settings: TrainSettings | None, region: Region | None
) -> Callable[[Report], Summary]:
    """Work that looks at a training set without reading frames."""

    def work(report: Report) -> Summary:
        try:
            store = LabelStore(folder, create=False)
        except LabelError as error:
            return Summary({}, why_not=str(error))
        summary = Summary(store.counts(), *class_list(store.labels().values()))
        if stack is None or settings is None or region is None or not summary.counts:
            return summary
        try:
            return summary._replace(overview=overview(stack, store, settings, region))
        except XfelsortError as error:
            return summary._replace(why_not=str(error))

    return work
