"""Putting labels beside the events of a stack, however a path was written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import LabelEntry

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: What an event is known by: its file (resolved where it exists) and its event part.
EventKey = tuple[str, str]


class Alignment(NamedTuple):
    """Labels put beside the events of a stack.

    Attributes
    ----------
    labels : list of str or None
        One for each event of the stack.
    unmatched : list of EventId
        Labelled events that are not in the stack.
    warnings : list of str
        Files that were recognised by their name alone.
    entries : list of LabelEntry or None
        The line that each label is from (or that took it back), None where there is none.
    renamed : dict of str to str
        The files recognised by their name alone, and which of the stack they are taken for:
        for `LabelStore.recognise`.
    """

    labels: list[str | None]
    unmatched: list[EventId]
    warnings: list[str]
    entries: list[LabelEntry | None]
    renamed: Mapping[str, str] = MappingProxyType({})


def match_labels(latest: Mapping[EventKey, LabelEntry], stack: EventStack) -> Alignment:
    """Labels beside the events of a stack; see `LabelStore.match`."""
    if not latest:  # asked by the first label of a run, before its keys are worth making
        nothing: list[None] = [None] * len(stack)
        return Alignment([*nothing], [], [], [*nothing])
    keys = stack_keys(stack)
    renamed = recognised_files({file for file, _ in latest}, {file for file, _ in keys})
    warnings = [
        f"Labels of {file} are taken for {hit}, by the name alone."
        for file, hit in renamed.items()
    ]
    by_key = latest
    if renamed:
        in_time = sorted(latest.items(), key=lambda item: item[1].time)
        by_key = {(renamed.get(file, file), event): entry for (file, event), entry in in_time}
    found = list(map(by_key.get, keys))
    labels = [entry.label or None if entry else None for entry in found]
    elsewhere = [by_key[key] for key in by_key.keys() - set(keys)]
    elsewhere.sort(key=lambda entry: entry.time)
    unmatched = [entry.event for entry in elsewhere if entry.label]
    return Alignment(labels, unmatched, warnings, found, renamed)


def resolved_file(file: str, bases: Sequence[Path]) -> str:
    """The resolved path of a file; as it is written where it does not exist."""
    if os.path.isabs(file):
        return os.path.realpath(file)
    for base in bases:
        path = base / file
        if path.exists():
            return os.path.realpath(path)
    return os.path.normpath(file)


def stack_keys(stack: EventStack) -> list[EventKey]:
    """What each event of a stack is known by."""
    files: dict[str, str] = {}
    keys: list[EventKey] = [("", "")] * len(stack)
    for block in stack.blocks(1 << 16):
        for index, position in zip(block.indices.tolist(), block.positions.tolist(), strict=True):
            event = block.source.event_id(index)
            name = event.place or event.file
            file = files.get(name)
            if file is None:
                file = files[name] = resolved_file(name, (Path(),))
            keys[position] = (file, event.event)
    return keys


def recognised_files(wanted: Collection[str], files: Collection[str]) -> dict[str, str]:
    """Files of the stack meant by paths that lead nowhere (any more).

    A relative path must be the end of just one path of the stack. Of an absolute path, as
    labels given in a window have it, the folder's and the file's name must be: file names
    alone are often the same in every run.
    """
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(os.path.basename(file), []).append(file)
    renamed: dict[str, str] = {}
    for file in sorted(set(wanted) - set(files)):
        end = file
        if os.path.isabs(file):
            if os.path.lexists(file):
                continue  # it is another file
            end = os.sep.join(file.split(os.sep)[-2:])
        hits = [f for f in by_name.get(os.path.basename(file), []) if f.endswith(os.sep + end)]
        if len(hits) == 1:
            renamed[file] = hits[0]
    return renamed
