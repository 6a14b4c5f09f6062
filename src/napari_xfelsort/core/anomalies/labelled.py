"""Which anomalies the events of a stack are labelled with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.label_journal import IGNORE, split_label
from napari_xfelsort.core.label_match import stack_keys
from napari_xfelsort.core.labels import LabelStore

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


class LabelledAnomalies(NamedTuple):
    """Events and their anomalies.

    Attributes
    ----------
    class_names : tuple of str
        The anomalies.
    positions : ndarray of int64, shape (events,)
        Which events of the stack.
    truth : ndarray of bool, shape (events, classes)
        Which anomalies each has.
    groups : ndarray of int64, shape (events,)
        The file of each.
    notes : list of str
        Labels that could not be used.
    """

    class_names: tuple[str, ...]
    positions: NDArray[np.int64]
    truth: NDArray[np.bool_]
    groups: NDArray[np.int64]
    notes: list[str]


def labelled_anomalies(
    stack: EventStack,
    labels: LabelStore | str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    unlabelled_are_clean: bool = False,
) -> LabelledAnomalies:
    """Events of a stack that are labelled; any other label than an anomaly says: none.

    Parameters
    ----------
    stack : EventStack
        The events.
    labels : LabelStore or path
        A label folder, its events having several classes where they need to.
    class_names : sequence of str, optional
        The anomalies; those of `ANOMALIES` that an event has when omitted.
    unlabelled_are_clean : bool
        Take events without a label as ones that have none of them.

    Raises
    ------
    TrainingError
        If no event of the stack is labelled with one of them.
    LabelError
        If the folder cannot be read.
    """
    store = labels if isinstance(labels, LabelStore) else LabelStore(labels, create=False)
    found = store.match(stack)
    notes = [*store.warnings, *found.warnings]
    if found.unmatched:
        notes.append(
            f"Labels that match no event of the stack: {len(found.unmatched)}, for example "
            f"{found.unmatched[0]}."
        )
    used = {name for label in found.labels if label for name in split_label(label)}
    names = tuple(class_names or (name for name in ANOMALIES if name in used))
    if not set(names) & used:
        raise TrainingError(
            f"No event of the stack is labelled with {'one of ' if len(names) != 1 else ''}"
            f"{', '.join(names or ANOMALIES)}; the labels are {', '.join(sorted(used)) or 'none'}."
        )
    keys = stack_keys(stack)
    seen: set[tuple[str, str]] = set()
    positions, rows, files = [], [], []
    for position, (key, label) in enumerate(zip(keys, found.labels, strict=True)):
        if label == IGNORE or key in seen or not (label or unlabelled_are_clean):
            continue
        seen.add(key)
        own = set(split_label(label or ""))
        positions.append(position)
        rows.append([name in own for name in names])
        files.append(key[0])
    number = {file: k for k, file in enumerate(sorted(set(files)))}
    return LabelledAnomalies(
        names,
        np.array(positions, np.int64),
        np.array(rows, bool),
        np.array([number[file] for file in files], np.int64),
        notes,
    )


def groups_of(labelled: LabelledAnomalies) -> NDArray[np.int64]:
    """What is kept on one side: files, or blocks of 20 events where there are fewer than 3.

    Neighbours of one file are alike, so that they are not torn apart either.
    """
    if len(np.unique(labelled.groups)) >= 3:
        return labelled.groups
    return np.asarray(labelled.groups * len(labelled.positions) + labelled.positions // 20)
