"""Labels from lists of events (PADT, CrystFEL, Cheetah), a class each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_journal import (
    RULE,
    LabelEntry,
    LabelLine,
    check_class_name,
)
from napari_xfelsort.core.label_match import EventKey
from napari_xfelsort.core.lists import located, read_list

if TYPE_CHECKING:
    from napari_xfelsort.core.label_history import LabelHistory
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.stack import EventStack

#: Source of labels from lists.
SOURCE = "list"
_PADT = re.compile(r"(good|bad)Events-")


class ImportSummary(NamedTuple):
    """What `LabelStore.import_lists` took.

    Attributes
    ----------
    counts : dict of str to int
        Events labelled, for each class.
    repeated : dict of str to int
        Lines that named an event again, for each class.
    kept : int
        Events that keep the label that a person gave.
    same : int
        Events that had the label already.
    """

    counts: dict[str, int]
    repeated: dict[str, int]
    kept: int = 0
    same: int = 0


class ListPlan(NamedTuple):
    """What lists say, before anything is labelled.

    Attributes
    ----------
    lines : list of LabelLine
        The events of the lists, each once.
    repeated : dict of str to int
        Lines that named an event again, for each class.
    repeated_in : dict of str to int
        The same, for each list that has such lines.
    """

    lines: list[LabelLine]
    repeated: dict[str, int]
    repeated_in: dict[str, int]

    def new_lines(self, store: LabelStore) -> tuple[list[LabelLine], ImportSummary]:
        """The lines to write if what people labelled is to stay, and what they are."""
        new, kept, same = [], 0, 0
        for line in self.lines:
            entry = store.entry(line.event)
            if entry is not None and entry.label == line.label:
                same += 1
            elif entry is not None and entry.label and _by_person(entry):
                kept += 1
            else:
                new.append(line)
        return new, self.summary(new)._replace(kept=kept, same=same)

    def summary(self, lines: Iterable[LabelLine]) -> ImportSummary:
        """What it is to write these lines of it."""
        counts = dict.fromkeys(self.repeated, 0)
        for line in lines:
            counts[line.label] += 1
        return ImportSummary(counts, self.repeated)

    @property
    def warnings(self) -> list[str]:
        """A sentence for each list that names events more than once."""
        return [
            f"{path} names {n} event{'s' * (n != 1)} more than once; each counts once."
            for path, n in self.repeated_in.items()
        ]


def class_of_list(path: str | os.PathLike[str]) -> str:
    """The class that a list is taken for by its name: ``good.lst`` is of good.

    So is ``goodEvents-modelSort-run1.list``, as PADT names its lists.
    """
    stem = Path(path).stem
    padt = _PADT.match(stem)
    return padt[1] if padt else stem


def plan_import(
    store: LabelStore, lists: Iterable[tuple[str, str | os.PathLike[str]]]
) -> ListPlan:
    """What lists say of events; nothing is labelled yet.

    Parameters
    ----------
    store : LabelStore
        Says which names are of one event.
    lists : iterable of (class, path)
        A class may have several lists.

    Raises
    ------
    ListError
        If a list cannot be read.
    LabelError
        If an event is in lists of two classes, or a class name is unusable.
    """
    seen: dict[EventKey, tuple[str, str]] = {}
    lines: list[LabelLine] = []
    repeated: dict[str, int] = {}
    repeated_in: dict[str, int] = {}
    for name, path in lists:
        check_class_name(name)
        repeated.setdefault(name, 0)
        shown = os.fspath(path)
        for number, event in located(read_list(path), path):
            key = store.key(event)
            first, first_path = seen.get(key, ("", ""))
            if not first:
                seen[key] = name, shown
                lines.append(LabelLine(event, name, SOURCE, os.path.basename(shown)))
            elif first != name:
                raise LabelError(
                    f"The event {event} is in {first_path} ({first}) and in line {number} of "
                    f"{shown} ({name}); take it out of one of them. Nothing was labelled."
                )
            else:
                repeated[name] += 1
                repeated_in[shown] = repeated_in.get(shown, 0) + 1
    return ListPlan(lines, repeated, repeated_in)


class Imported(NamedTuple):
    """What `import_beside` did.

    Attributes
    ----------
    text : str
        It, in a sentence or some.
    renamed : dict of str to str
        Files of lists that were recognised by their name: for `LabelStore.recognise`.
    """

    text: str
    renamed: Mapping[str, str]


def import_beside(
    store: LabelStore,
    history: LabelHistory,
    lists: Sequence[tuple[str, str | os.PathLike[str]]],
    stack: EventStack,
) -> Imported:
    """Label the events of lists, but none that a person labelled; one step to undo.

    Parameters
    ----------
    store, history : LabelStore and LabelHistory
        Of the label folder.
    lists : sequence of (class, path)
        A class may have several lists.
    stack : EventStack
        The run that is open; lists may name events of others.

    Raises
    ------
    ListError, LabelError
        As `plan_import`; then nothing is labelled.
    """
    plan = plan_import(store, lists)
    new, summary = plan.new_lines(store)
    history.write(new, f"import of {len(lists)} list{'s' * (len(lists) != 1)}")
    matched = store.match(stack)
    elsewhere = len({line.event for line in plan.lines}.intersection(matched.unmatched))
    taken = ", ".join(f"{n} {name}" for name, n in summary.counts.items())
    told = [f"Labelled from lists: {taken}."]
    if summary.kept:
        told.append(f"{summary.kept} that people labelled otherwise keep their labels.")
    if summary.same:
        told.append(f"{summary.same} had the same label already.")
    told += [f"{elsewhere} are not events of this run."] * (elsewhere > 0)
    return Imported(" ".join([*told, *plan.warnings, *matched.warnings[:1]]), matched.renamed)


def _by_person(entry: LabelEntry) -> bool:
    """Whether somebody looked at the event; not if a rule or another list labelled it."""
    return entry.origin != SOURCE and not entry.origin.startswith(RULE)
