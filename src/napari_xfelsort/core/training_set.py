"""The labelled events that a model is trained and tested with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError, TrainingError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import (
    IGNORE,
    RULE,
    SEPARATOR,
    check_class_name,
    split_label,
)
from napari_xfelsort.core.label_match import stack_keys
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.learning.runs import run_of_metadata, runs_of
from napari_xfelsort.core.splits import Split, split_events

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.core.train_settings import TrainSettings

#: What training takes as labels.
Labels = LabelStore | str | os.PathLike[str] | Sequence[str | None]


class LabelledEvents(NamedTuple):
    """The labelled events of a stack, each once.

    Attributes
    ----------
    class_names : tuple of str
        Sorted.
    positions : ndarray of int, shape (events,)
        Where they are in the stack.
    events : list of EventId
        Their names.
    classes, files, runs : ndarray of int, shape (events,)
        Number of the class, of the file and of the run of each.
    matrix : ndarray of float32, shape (events, features)
        Their features; no columns before they are read.
    notes : list of str
        What could not be used.
    """

    class_names: tuple[str, ...]
    positions: NDArray[np.int64]
    events: list[EventId]
    classes: NDArray[np.int64]
    files: NDArray[np.int64]
    runs: NDArray[np.int64]
    matrix: NDArray[np.float32]
    notes: list[str]

    def without(self, failed: dict[int, str]) -> LabelledEvents:
        """Without the events that could not be read; a note says why."""
        if not failed:
            return self
        keep = np.delete(np.arange(len(self.events)), list(failed))
        if len(keep) == 0:
            raise TrainingError(
                f"None of the labelled events can be used: {next(iter(failed.values()))}"
            )
        example = next(iter(failed.values()))
        note = f"Labelled events left out: {len(failed)}; the first: {example}"
        return self._replace(
            matrix=np.delete(self.matrix, list(failed), axis=0),
            positions=self.positions[keep],
            events=[self.events[k] for k in keep],
            classes=self.classes[keep],
            files=self.files[keep],
            runs=self.runs[keep],
            notes=[*self.notes, note],
        )

    def divided(self, settings: TrainSettings) -> Split:
        """Which events are set aside for the test; raises as `split_events`."""
        return split_events(
            self.classes,
            self.files,
            self.class_names,
            settings.test_share,
            settings.split,
            settings.seed,
            self.runs,
        )

    def counts(self, where: NDArray[np.bool_]) -> dict[str, int]:
        """Events of each class among some."""
        numbers = np.bincount(self.classes[where], minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))


def labelled_events(
    stack: EventStack, labels: Labels, target: str = "", stored_runs: bool = False
) -> LabelledEvents:
    """The events of a stack that have a class, each once.

    Parameters
    ----------
    stack : EventStack
        The events.
    labels : LabelStore, path, or sequence of str or None
        As `training.train` takes them.
    target : str
        A class to tell from all others, which become the class ``not_TARGET``. Events that
        have several classes have the target when it is one of them.
    stored_runs : bool
        Ask the files for the run of each event, instead of their names alone.

    Raises
    ------
    TrainingError
        If there are fewer than two classes, an event has two labels, a label is no class
        name or several without a target, or the labels are not as many as the events.
    """
    names, by_rule, notes = _aligned(stack, labels)
    if target:
        names = _against_the_rest(names, target)
    keys = stack_keys(stack)
    first: dict[tuple[str, str], int] = {}
    repeated = 0
    for position, (key, name) in enumerate(zip(keys, names, strict=True)):
        if name is None or name == IGNORE:
            continue
        known = first.setdefault(key, position)
        if names[known] != name:
            raise TrainingError(
                f"The event {stack.event_id(position)} is labelled both {names[known]!r} and "
                f"{name!r}; take one of the labels away."
            )
        repeated += known != position
    if repeated:
        notes.append(f"Events in the stack more than once: {repeated}; each counts once.")
    positions = np.array(list(first.values()), np.int64)
    chosen = [str(names[position]) for position in first.values()]
    class_names = tuple(sorted(set(chosen)))
    if not class_names:
        raise TrainingError(
            "No event of the stack has a label; label events of these files, or open the files "
            f"that were labelled. {' '.join(notes)}".rstrip()
        )
    if len(class_names) == 1:
        raise TrainingError(
            f"All {len(chosen)} labelled events are {class_names[0]!r}; a model needs at least "
            "two classes."
        )
    for name in class_names:
        _check_class(name, class_names)
    if by_rule is not None and all(by_rule[position] for position in first.values()):
        notes.append(
            "All labels were given by rules: the model learns the rules with their mistakes. "
            "Label some events by hand and test with them."
        )
    number = {file: k for k, file in enumerate(sorted({file for file, _ in first}))}
    runs = _runs(stack, [file for file, _ in first], positions, stored_runs)
    return LabelledEvents(
        class_names,
        positions,
        [stack.event_id(int(p)) for p in positions],
        np.array([class_names.index(name) for name in chosen], np.int64),
        np.array([number[file] for file, _ in first], np.int64),
        runs,
        np.empty((len(chosen), 0), np.float32),
        notes,
    )


def _against_the_rest(names: Sequence[str | None], target: str) -> list[str | None]:
    known = {part for name in names if name for part in split_label(name)}
    if target not in known:
        raise TrainingError(
            f"No labelled event of the stack is {target!r}; the classes are "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return [
        name
        if name is None or name == IGNORE
        else target
        if target in split_label(name)
        else f"not_{target}"
        for name in names
    ]


def _runs(
    stack: EventStack, files: list[str], positions: NDArray[np.int64], stored: bool
) -> NDArray[np.int64]:
    told = None
    if stored:
        told = [run_of_metadata(stack.metadata(int(position))) for position in positions]
    runs = runs_of(files, told)
    number = {run: k for k, run in enumerate(sorted(set(runs)))}
    return np.array([number[run] for run in runs], np.int64)


def _aligned(
    stack: EventStack, labels: Labels
) -> tuple[Sequence[str | None], list[bool] | None, list[str]]:
    """A label for each event, whether it is a rule's, and notes on labels that match none."""
    if isinstance(labels, (str, os.PathLike)):
        labels = LabelStore(labels, create=False)
    if not isinstance(labels, LabelStore):
        if len(labels) != len(stack):
            raise TrainingError(
                f"There are {len(labels)} labels for {len(stack)} events; give one for each "
                "event, None where there is none."
            )
        return labels, None, []
    found = labels.match(stack)
    notes = [*labels.warnings, *found.warnings]
    if found.unmatched:
        notes.append(
            f"Labels that match no event of the stack: {len(found.unmatched)}, for example "
            f"{found.unmatched[0]}."
        )
    by_rule = [entry is not None and entry.origin.startswith(RULE) for entry in found.entries]
    return found.labels, by_rule, notes


def _check_class(name: str, all_names: tuple[str, ...]) -> None:
    if SEPARATOR in name:
        parts = sorted({part for each in all_names for part in split_label(each)})
        raise TrainingError(
            f"Some events have several classes, as {name.replace(SEPARATOR, ' and ')}, and a "
            "model decides for one. Choose a target class, which is then told from all others "
            f"({', '.join(parts)}), and train a model for each class that you need."
        )
    try:
        check_class_name(name)
    except LabelError as error:
        raise TrainingError(str(error)) from error
