"""What a training set is, told before any frame is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_xfelsort.core.features import FeatureExtractor
from napari_xfelsort.core.label_journal import split_label
from napari_xfelsort.core.learning.advice import early_advice
from napari_xfelsort.core.region import Region, as_region
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training_set import LabelledEvents, Labels, labelled_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_xfelsort.core.stack import EventStack


@dataclass(frozen=True)
class Overview:
    """A training set in numbers.

    Attributes
    ----------
    counts : dict of str to int
        Labelled events of each class that can be used.
    train, test : dict of str to int
        How many of them train and test.
    n_files, n_runs : int
        Where they are from.
    n_features : int
        Of an event, before principal components.
    n_bytes : int
        Memory of the features of all labelled events.
    notes : list of str
        What a careful colleague would say; see `advice.early_advice`.
    why : str
        Why it is divided as it is, as a sentence.
    labels : dict of str to str
        The class of each event by its name; see `labels_of_events`.
    """

    counts: dict[str, int]
    train: dict[str, int]
    test: dict[str, int]
    n_files: int
    n_runs: int
    n_features: int
    n_bytes: int
    notes: list[str]
    why: str
    labels: dict[str, str]

    @property
    def n_events(self) -> int:
        """Labelled events that can be used."""
        return sum(self.counts.values())


def overview(
    stack: EventStack,
    labels: Labels,
    settings: TrainSettings,
    region: Region | str | None = None,
) -> Overview:
    """What `training.train` would be given, without reading frames.

    Raises
    ------
    SettingsError, TrainingError, RegionError
        As `training.train`, as far as it shows before frames are read.
    """
    by_run = settings.split == "run"
    data = labelled_events(stack, labels, settings.target, stored_runs=by_run)
    extractor = FeatureExtractor.for_stack(settings.features, as_region(region), stack)
    division = data.divided(settings)
    n = len(data.events)
    return Overview(
        data.counts(np.ones(n, bool)),
        data.counts(~division.test),
        data.counts(division.test),
        len(np.unique(data.files)),
        len(np.unique(data.runs)),
        extractor.n_features,
        4 * n * extractor.n_features,
        [*data.notes, *early_advice(data, division, settings, extractor.n_features)],
        division.why,
        labels_of_events(data),
    )


def class_list(labels: Iterable[str | None]) -> tuple[tuple[str, ...], bool]:
    """The classes that occur in labels, sorted, and whether an event has several."""
    names: set[str] = set()
    several = False
    for label in set(labels):
        parts = split_label(label or "")
        names.update(parts)
        several |= len(parts) > 1
    return tuple(sorted(names)), several


def labels_of_events(data: LabelledEvents) -> dict[str, str]:
    """The class of each event by its name, to see later which were labelled otherwise."""
    return {
        str(event): data.class_names[number]
        for event, number in zip(data.events, data.classes.tolist(), strict=True)
    }


def changed_labels(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names of events whose class is another one, or that have one now or no more."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
