"""Classes by expectation maximisation that were written, opened beside the run they are of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import ListError, NoEventsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_match import recognised_files, resolved_file, stack_keys
from napari_xfelsort.core.lists import located, read_list
from napari_xfelsort.core.spi.em_classes import EmClasses
from napari_xfelsort.core.spi.em_files import KEPT, read_classes

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Files that a sentence names at most.
_MOST_NAMES = 2


@dataclass(frozen=True, eq=False)
class OpenedClasses:
    """Classes of a folder, and where their events are in a run.

    Attributes
    ----------
    folder : Path
        The folder.
    found : EmClasses
        All that is in it.
    numbers : ndarray of int, shape (events,)
        Position of each event in the run; -1 of one that is not in it.
    kept : list of int
        The classes that were kept when it was written.
    notes : list of str
        Sentences on events that are not in the run, and files known by their name alone.
    """

    folder: Path
    found: EmClasses
    numbers: NDArray[np.int64]
    kept: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_classes(folder: str | os.PathLike[str], stack: EventStack) -> OpenedClasses:
    """Open a folder of `write_classes` beside a run.

    Files of the folder whose names lead nowhere, as relative ones do from elsewhere, are
    taken for those of the run that end alike.

    Raises
    ------
    UnreadableFileError
        If it has no classes or they cannot be read.
    ListError
        If its list of events cannot be read.
    NoEventsError
        If none of its events is in the run.
    """
    place = Path(folder)
    found = read_classes(place)
    files = _files(found.events)
    keys = {key: k for k, key in enumerate(stack_keys(stack))}
    own = {file for file, _ in keys}
    renamed = recognised_files(set(files.values()), own)
    whole = {name: renamed.get(file, file) for name, file in files.items()}
    pairs = [(whole[event.place or event.file], event.event) for event in found.events]
    numbers = np.array([keys.get(pair, -1) for pair in pairs], np.int64)
    missing = int((numbers < 0).sum())
    if missing == len(numbers):
        raise NoEventsError(
            f"{place} has classes of {_named(files.values())}, and the run shown is "
            f"{_named(own)}: open that run, or other classes."
        )
    notes = []
    if missing:
        notes.append(f"{missing} of the {len(numbers)} events are not in this run.")
    if renamed:
        first = sorted(renamed)[0]
        notes.append(f"{first} is taken for {renamed[first]}, by the name alone.")
    return OpenedClasses(place, found, numbers, _kept(place, found), notes)


def _files(events: Sequence[EventId]) -> dict[str, str]:
    names = {event.place or event.file for event in events}
    return {name: resolved_file(name, (Path(),)) for name in names}


def _kept(folder: Path, found: EmClasses) -> list[int]:
    """The classes that have just the events of the list of those kept; none without it."""
    path = folder / KEPT
    try:
        chosen = {(each.file, each.event) for _, each in located(read_list(path), path)}
    except ListError:
        return []
    inside = np.array([(event.file, event.event) in chosen for event in found.events])
    classes = np.unique(found.labels[inside & (found.labels >= 0)]).tolist()
    return classes if (found.kept(classes) == inside).all() else []


def _named(files: Iterable[str]) -> str:
    names = sorted(set(files))
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
