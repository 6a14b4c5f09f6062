"""Selections of events: kept as lists, combined, and compared with one another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import NoEventsError, SettingsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import located, read_list, write_list

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: What is the same for two names of one event.
Key = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Selection:
    """Some events, each once, in an order, with a name.

    ``a | b``, ``a & b`` and ``a - b`` are union, intersection and difference, in the order of
    a. Events are the same when file and event are, however the file is named.

    Attributes
    ----------
    name : str
        What it is called.
    events : tuple of EventId
        The events.
    """

    name: str
    events: tuple[EventId, ...]

    def __post_init__(self) -> None:
        if len(self.keys) < len(self.events):  # each once
            object.__setattr__(self, "events", tuple(self.keys.values()))

    @cached_property
    def keys(self) -> dict[Key, EventId]:
        """The events by what tells them apart, in order."""
        places: dict[tuple[str, str], str] = {}
        found: dict[Key, EventId] = {}
        for event in self.events:
            named = (event.place, event.file)
            if named not in places:
                places[named] = os.path.realpath(event.place or event.file)
            found.setdefault((places[named], event.event), event)
        return found

    @classmethod
    def of(cls, name: str, stack: EventStack, chosen: NDArray[np.bool_]) -> Selection:
        """The chosen events of a stack.

        Parameters
        ----------
        name : str
            What to call it.
        stack : EventStack
            The events.
        chosen : ndarray of bool, shape (events,)
            Which of them.
        """
        if np.shape(chosen) != (len(stack),):
            raise ValueError(f"{np.shape(chosen)} choices for {len(stack)} events")
        return cls(name, tuple(stack.event_id(int(i)) for i in np.flatnonzero(chosen)))

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None) -> Selection:
        """The selection of a list, called as its file when no name is given.

        Raises
        ------
        ListError
            If the list cannot be read.
        """
        events = tuple(entry.event for entry in located(read_list(path), path))
        return cls(Path(path).stem if name is None else name, events)

    def save(
        self, path: str | os.PathLike[str], absolute: bool = False, overwrite: bool = False
    ) -> None:
        """Write it as a CrystFEL list.

        Raises
        ------
        OutputError
            If the list exists and must not be replaced, or cannot be written.
        """
        write_list(path, self.events, absolute, overwrite)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[EventId]:
        return iter(self.events)

    def __contains__(self, event: EventId) -> bool:
        key = (os.path.realpath(event.place or event.file), event.event)
        return key in self.keys

    def __or__(self, other: Selection) -> Selection:
        return Selection(f"{self.name} | {other.name}", self.events + other.events)

    def __and__(self, other: Selection) -> Selection:
        kept = tuple(e for k, e in self.keys.items() if k in other.keys)
        return Selection(f"{self.name} & {other.name}", kept)

    def __sub__(self, other: Selection) -> Selection:
        kept = tuple(e for k, e in self.keys.items() if k not in other.keys)
        return Selection(f"{self.name} - {other.name}", kept)

    def renamed(self, name: str) -> Selection:
        """The same events under another name."""
        made = Selection.__new__(Selection)
        made.__dict__.update(self.__dict__, name=name)  # with the keys, which take a while
        return made

    def iou(self, other: Selection) -> float:
        """Events in both, divided by events in either; NaN when there is none."""
        return overlap([self, other])

    def positions(
        self, stack: EventStack, places: Mapping[Key, int] | None = None
    ) -> NDArray[np.int64]:
        """Where its events are in a stack, in its order; events not in it are left out.

        ``places`` are the stack's `event_places`, for whoever asks about many selections.
        """
        where = event_places(stack) if places is None else places
        found = [where[key] for key in self.keys if key in where]
        return np.array(found, np.int64)

    def chosen(self, stack: EventStack) -> NDArray[np.bool_]:
        """Which events of a stack it holds; shape (events,)."""
        chosen = np.zeros(len(stack), bool)
        chosen[self.positions(stack)] = True
        return chosen


def overlap(selections: Sequence[Selection]) -> float:
    """Events in all selections, divided by events in any; NaN when there is none."""
    union: set[Key] = set()
    common: set[Key] | None = None
    for selection in selections:
        own = set(selection.keys)
        union |= own
        common = own if common is None else common & own
    return len(common or ()) / len(union) if union else float("nan")


def iou_table(selections: Sequence[Selection]) -> NDArray[np.float64]:
    """`Selection.iou` of each with each; shape (selections, selections)."""
    n = len(selections)
    table = np.ones((n, n))
    for i in range(n):
        for j in range(i, n):
            table[i, j] = table[j, i] = selections[i].iou(selections[j])
    return table


def common_table(selections: Sequence[Selection]) -> NDArray[np.int64]:
    """Events that each has in common with each; shape (selections, selections)."""
    own = [set(selection.keys) for selection in selections]
    return np.array([[len(a & b) for b in own] for a in own], np.int64).reshape(len(own), len(own))


def checked_names(selections: Iterable[Selection]) -> list[str]:
    """Names of selections that are to be told apart.

    Raises
    ------
    NoEventsError
        If there is no selection.
    SettingsError
        If two have the same name.
    """
    names = [selection.name for selection in selections]
    if not names:
        raise NoEventsError("There is no selection.")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingsError(f"Two selections are called {sorted(twice)[0]!r}; rename one.")
    return names


def event_places(stack: EventStack) -> dict[Key, int]:
    """Position of each event of a stack, by what tells events apart."""
    found: dict[Key, int] = {}
    places: dict[tuple[str, str], str] = {}
    for block in stack.blocks(1 << 16):
        for index, position in zip(block.indices.tolist(), block.positions.tolist(), strict=True):
            event = block.source.event_id(index)
            named = (event.place, event.file)
            if named not in places:
                places[named] = os.path.realpath(event.place or event.file)
            found[places[named], event.event] = position
    return found
