"""What the Anomalies dock does beside the window: functions for jobs, and what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.agreement import ClassAgreement, class_agreements
from napari_xfelsort.core.anomalies.applying import AnomalyTable
from napari_xfelsort.core.anomalies.attribution import attribute
from napari_xfelsort.core.anomalies.default import DEFAULT_NOTE
from napari_xfelsort.core.anomalies.labelled import (
    LabelledAnomalies,
    groups_of,
    labelled_anomalies,
)
from napari_xfelsort.core.anomalies.learners import features_of
from napari_xfelsort.core.anomalies.names import ANOMALY_TITLES
from napari_xfelsort.core.anomalies.stack_features import FrameReader, stack_features
from napari_xfelsort.core.anomalies.training import LEAST, train_anomalies
from napari_xfelsort.core.atomic import make_folder
from napari_xfelsort.core.deep import (
    DeepModel,
    DeepSettings,
    TrainingStep,
    train_on_pictures,
)
from napari_xfelsort.core.deep.applying import AnyModel, event_pictures, judge
from napari_xfelsort.core.deep.schedule import share_done
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.workers import Report

#: What is counted meanwhile.
EVENTS, CLASSES, LOOKS, SHARE = "events", "classes", "looks", "%"
#: The learner that is a network, and sides of pictures that it learns from, one after the other.
NETWORK, SIZES = "network", (64, 128, 256, 512)
#: Events that are judged before the window sees more of them.
_AT_ONCE = 8
#: Every so many events are judged first, so that a run is soon seen as a whole.
_STRIDE = 16


class Judged:
    """What is known of the events of a run; filled in one thread, read in another.

    Attributes
    ----------
    model : AnomalyModel or DeepModel
        Who judges.
    stack : EventStack
        The events.
    probabilities : ndarray, shape (events, classes)
        NaN where not known.
    done : ndarray of bool, shape (events,)
        Which events were looked at.
    failed : dict of int to str
        Why an event could not be judged.
    """

    def __init__(self, model: AnyModel, stack: EventStack) -> None:
        self.model, self.stack = model, stack
        self.probabilities = np.full((len(stack), len(model.class_names)), np.nan, order="F")
        self.done = np.zeros(len(stack), bool)
        self.failed: dict[int, str] = {}

    @property
    def n_done(self) -> int:
        """Events that were looked at."""
        return int(np.count_nonzero(self.done))

    def take(self, positions: NDArray[np.int64], table: AnomalyTable) -> None:
        """Note what was found of some events."""
        self.probabilities[positions] = table.probabilities
        self.failed.update({int(positions[k]): why for k, why in table.failed.items()})
        self.done[positions] = True

    def table(self) -> AnomalyTable:
        """What was found of the events that were looked at."""
        there = np.flatnonzero(self.done)
        known = self.probabilities[there]
        row = {int(position): k for k, position in enumerate(there)} if self.failed else {}
        return AnomalyTable(
            self.model.class_names,
            [self.stack.event_id(int(position)) for position in there],
            known,
            self.model.choose(known),
            {row[position]: why for position, why in self.failed.items() if position in row},
        )

    def having(self) -> NDArray[np.int64]:
        """How many events have each anomaly."""
        return np.asarray(self.model.choose(self.probabilities).sum(axis=0), np.int64)


def about(model: AnyModel, path: str) -> str:
    """What a model is, in a sentence or two."""
    if model.provenance.get("trained_on") == "simulation":
        return DEFAULT_NOTE
    n = len(model.class_names)
    kind = "network" if isinstance(model, DeepModel) else "model"
    parts = [f"A {kind} of {n} anomal{'y' if n == 1 else 'ies'}."]
    macro = model.metrics.get("macro")
    f1 = macro.get("f1") if isinstance(macro, dict) else None
    if isinstance(f1, float):
        parts.append(f"Mean F1 {f1:.2f} on the events that chose its parameters.")
    if not path:
        parts.append("It is not saved.")
    return " ".join(parts)


def judging(judged: Judged) -> Callable[[Report], Judged]:
    """Work that judges all events that were not yet; reports them as they come."""

    def work(report: Report) -> Judged:
        reader = FrameReader(judged.stack)
        n = len(judged.stack)
        order = np.argsort(np.arange(n) % _STRIDE != 0, kind="stable")
        left = order[~judged.done[order]]
        before = n - len(left)
        for start in range(0, len(left), _AT_ONCE):
            part = left[start : start + _AT_ONCE]
            at = before + start

            def tick(done: int, _: int, at: int = at) -> None:
                report((EVENTS, at + done, n))

            judged.take(part, judge(judged.model, reader, part, tick))
        return judged

    return work


class EventJudgement(NamedTuple):
    """What is known of one event."""

    judged: Judged
    event: int
    table: AnomalyTable


def judging_event(judged: Judged, event: int) -> Callable[[Report], EventJudgement]:
    """Work that judges one event."""

    def work(report: Report) -> EventJudgement:
        where = np.array([event])
        return EventJudgement(judged, event, judge(judged.model, FrameReader(judged.stack), where))

    return work


class Place(NamedTuple):
    """Where an anomaly is on an event.

    Attributes
    ----------
    judged : Judged
        Whose model was asked.
    event : int
    class_name : str
    heat : ndarray of float32, shape of the picture
        The larger, the more it speaks for the anomaly; NaN without a value.
    told : str
        A sentence about it.
    """

    judged: Judged
    event: int
    class_name: str
    heat: NDArray[np.float32]
    told: str


def placing(judged: Judged, event: int, class_name: str) -> Callable[[Report], Place]:
    """Work that finds where an anomaly is."""

    def work(report: Report) -> Place:
        reader, model = FrameReader(judged.stack), judged.model
        frame = reader.frame(event)
        if isinstance(model, DeepModel):
            report((LOOKS, 0, 1))
            heat = model.activation_map(frame, class_name, reader.center, reader.mask)
            heat = np.where(np.isfinite(frame), heat, np.float32(np.nan))
            told = "Bright is what the network takes for it."
            return Place(judged, event, class_name, heat, told)
        optics = reader.optics(event)
        found = attribute(
            model,
            frame,
            class_name,
            reader.center,
            reader.mask,
            optics,
            lambda done, total: report((LOOKS, done, total)),
        )
        parts = ["Bright is what makes it likelier."]
        ring = found.strongest
        if not found.has_place:
            parts = ["No ring or part of the frame alone makes it likelier."]
        elif ring is not None:
            text = f"Of whole rings, that from {ring[0]:.0f} to {ring[1]:.0f} px adds most"
            spacing = _spacing(np.mean(ring), optics) if optics.known else 0.0
            parts.append(f"{text} (about {spacing:.2f} Å)." if spacing else f"{text}.")
        if found.has_place and found.smooth > 0.5 * found.probability:
            parts.append(f"Smoothed all over, the frame still gets {found.smooth:.2f}.")
        return Place(judged, event, class_name, found.heat, " ".join(parts))

    return work


def _spacing(radius: Any, optics: Any) -> float:
    angle = float(np.arctan(radius / optics.distance))
    return float(optics.wavelength / (2 * np.sin(angle / 2))) if angle > 0 else 0.0


class TrainTask(NamedTuple):
    """What a model is trained of.

    Attributes
    ----------
    stack : EventStack
    folder : str
        Of labels.
    learner : str
        One of `LEARNERS`, ``best``, or `NETWORK`.
    unlabelled_are_clean : bool
    size : int
        Largest of `SIZES` that pictures for a network have.
    """

    stack: EventStack
    folder: str
    learner: str
    unlabelled_are_clean: bool
    size: int = 128


class TrainedModel(NamedTuple):
    """What training made.

    Attributes
    ----------
    model : AnomalyModel or DeepModel
    counts : dict of str to int
        Labelled events that have each anomaly.
    n : int
        Labelled events.
    agreements : dict of str to ClassAgreement
        Where several people labelled.
    notes : list of str
        What could not be used.
    """

    model: AnyModel
    counts: Mapping[str, int]
    n: int
    agreements: Mapping[str, ClassAgreement]
    notes: list[str]


def training(task: TrainTask) -> Callable[[Report], TrainedModel]:
    """Work that trains a model as ``xfelsort anomalies train`` does."""

    def work(report: Report) -> TrainedModel:
        store = LabelStore(task.folder, create=False)
        clean = task.unlabelled_are_clean
        labelled = labelled_anomalies(task.stack, store, unlabelled_are_clean=clean)
        few, names = _few_and_others(labelled)
        if few and names:
            labelled = labelled_anomalies(task.stack, store, names, clean)
        reader = FrameReader(task.stack)
        learn = _network if task.learner == NETWORK else _classifiers
        model, kept, failed = learn(task, labelled, reader, report)
        counts = labelled.truth[kept].sum(axis=0).tolist()
        agreements = class_agreements(store, labelled.class_names)
        notes = list(labelled.notes)
        if few:
            left_out = ", ".join(ANOMALY_TITLES.get(name, name) for name in few)
            notes.insert(0, f"Left out, for want of events with or without: {left_out}.")
        if failed:
            first = next(iter(failed.values()))
            notes.append(f"{len(failed)} labelled events could not be read: {first}")
        return TrainedModel(
            model,
            dict(zip(labelled.class_names, counts, strict=True)),
            int(kept.sum()),
            {each.name: each for each in agreements if each.n_events},
            notes,
        )

    return work


def _classifiers(
    task: TrainTask, labelled: LabelledAnomalies, reader: FrameReader, report: Report
) -> tuple[AnyModel, NDArray[np.bool_], dict[int, str]]:
    """A model of features, which events it has learned from, and why others are left out."""
    found = stack_features(
        reader,
        labelled.positions.tolist(),
        features_of("gradient_boosting" if task.learner == "best" else task.learner),
        lambda done, total: report((EVENTS, done, total)),
    )
    kept = np.ones(len(found.matrix), bool)
    kept[list(found.failed)] = False
    model = train_anomalies(
        found.matrix[kept],
        labelled.truth[kept],
        labelled.class_names,
        groups_of(labelled)[kept],
        task.learner,
        feature_names=found.names,
        progress=lambda done, total: report((CLASSES, done, total)),
    )
    return model, kept, found.failed


def _network(
    task: TrainTask, labelled: LabelledAnomalies, reader: FrameReader, report: Report
) -> tuple[AnyModel, NDArray[np.bool_], dict[int, str]]:
    """The same of a network; can be stopped within an epoch."""
    settings = DeepSettings(sizes=tuple(size for size in SIZES if size <= task.size))
    pictures, made, failed = event_pictures(
        reader,
        labelled.positions,
        settings,
        lambda done, total: report((EVENTS, done, total)),
    )
    done = 0

    def told(step: TrainingStep) -> None:
        nonlocal done
        done = round(100 * share_done(settings, step.epoch, step.epochs))

    def stop() -> bool:
        report((SHARE, done, 100))  # raises when it is to stop
        return False

    model = train_on_pictures(
        pictures,
        labelled.truth[made],
        settings,
        labelled.class_names,
        groups_of(labelled)[made],
        told,
        stop,
    )
    return model, made, failed


def _few_and_others(labelled: LabelledAnomalies) -> tuple[list[str], list[str]]:
    """Anomalies that cannot be learned from so few events, and the others."""
    there = labelled.truth.sum(axis=0)
    enough = (there >= LEAST) & (len(labelled.truth) - there >= LEAST)
    pairs = list(zip(labelled.class_names, enough.tolist(), strict=True))
    return [name for name, ok in pairs if not ok], [name for name, ok in pairs if ok]


def list_paths(folder: str, stem: str, class_names: tuple[str, ...]) -> dict[str, Path]:
    """Where the list of each anomaly is written."""
    return {name: Path(folder) / f"{stem}-{name}.lst" for name in class_names}


def write_lists(
    table: AnomalyTable, paths: Mapping[str, Path], overwrite: bool
) -> Mapping[str, int]:
    """Write the events that have each anomaly as a list; gives how many they are.

    Raises
    ------
    OutputError
        If a list exists and is not to be replaced, or cannot be written.
    """
    written = {}
    first = next(iter(paths.values()))
    make_folder(first.parent)
    for k, name in enumerate(table.class_names):
        events = [table.events[row] for row in np.flatnonzero(table.chosen[:, k])]
        written[name] = write_list(paths[name], events, absolute=True, overwrite=overwrite)
    return written
