"""From what a user names (file, list, folder, glob) to the files and events to open."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_xfelsort.core.errors import ListError, NoEventsError, Problem, UnreadableFileError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.readers import euxfel, hdf5

HDF5_SUFFIXES = (".cxi", ".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".he5")
LIST_SUFFIXES = (".lst", ".list", ".txt")


@dataclass
class Item:
    """One file or run folder to open.

    Attributes
    ----------
    path : str
        As the user (or the list) names it: goes into event ids.
    file : str
        Where it is.
    scanned : bool
        Whether it was found in a folder rather than named.
    parts : tuple of str
        Files of a run folder, when only some were named.
    """

    path: str
    file: str
    scanned: bool = False
    parts: tuple[str, ...] = ()


@dataclass
class Expansion:
    """What the user's names lead to.

    Attributes
    ----------
    items : list of Item
        Each file once.
    order : list of (int, str, str)
        Number of the item, event part (empty: all its events) and where it is named, in
        the order the user gave.
    listed : bool
        Whether any single event was named, so that the order of events matters.
    """

    items: list[Item] = field(default_factory=list)
    order: list[tuple[int, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    listed: bool = False
    _known: dict[str, int] = field(default_factory=dict)
    _real: dict[str, str] = field(default_factory=dict)

    def add(self, item: Item, event: str = "", where: str = "") -> None:
        """Add all events of a file, or one of them."""
        real = self._real.get(item.file)
        if real is None:  # once a file: a list names it in thousands of lines
            real = self._real[item.file] = os.path.realpath(item.file)
        if real not in self._known:
            self._known[real] = len(self.items)
            self.items.append(item)
        elif not event and any(self._known[real] == n and not e for n, e, _ in self.order):
            return  # the whole file is there already
        self.order.append((self._known[real], event, where))
        self.listed = self.listed or bool(event)


def expand(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Expansion:
    """Find the files behind names.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, list files, folders, run folders, globs, or ``FILE //EVENT``.

    Raises
    ------
    UnreadableFileError, ListError, NoEventsError
        If a single name was given and leads nowhere. With several names each failure is
        a problem and the others go on.
    """
    names = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not names:
        raise NoEventsError("No file was named.")
    result = Expansion()
    for name in names:
        try:
            _expand_one(os.fspath(name), result)
        except (UnreadableFileError, ListError, NoEventsError) as error:
            if len(names) == 1:
                raise
            result.problems.append(Problem(os.fspath(name), str(error)))
    if not result.listed:
        _join_run_files(result)
    return result


def _join_run_files(result: Expansion) -> None:
    """Make one run of module files that were named one by one (``r0238/CORR-*.h5``)."""
    runs: dict[str, list[str]] = {}
    for item in result.items:
        if euxfel.is_run_file(item.file) and not item.parts:
            runs.setdefault(os.path.dirname(item.path), []).append(item.file)
    for folder, files in runs.items():
        if len(files) > 1:
            result.items = [item for item in result.items if item.file not in files]
            where = folder or "."
            result.items.append(Item(where, where, parts=tuple(files)))
    result.order = [(number, "", "") for number in range(len(result.items))]


def _expand_one(name: str, result: Expansion) -> None:
    if os.path.isdir(name):
        _expand_folder(name, result)
    elif os.path.exists(name):
        _expand_file(name, result)
    elif glob.has_magic(name) and (found := sorted(glob.glob(name, recursive=True), key=natural)):
        for one in found:
            _expand_one(one, result)
    elif " " in name and os.path.exists((event := EventId.parse(name)).file):
        result.add(Item(event.file, event.file), event.event, repr(name))
    else:
        what = "matches no file" if glob.has_magic(name) else "does not exist"
        raise UnreadableFileError(f"{name} {what}.")


def _expand_file(name: str, result: Expansion) -> None:
    suffix = os.path.splitext(name)[1].lower()
    if suffix == ".geom":
        raise NoEventsError(f"{name} is a geometry, not events; give it as the geometry.")
    if suffix in LIST_SUFFIXES or (
        suffix not in HDF5_SUFFIXES and suffix != ".emc" and _is_text(name)
    ):
        _expand_list(name, result)
    else:
        result.add(Item(name, name))


def _is_text(name: str) -> bool:
    if not os.path.isfile(name):
        return False
    try:
        with open(name, "rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False
    return bool(head) and b"\0" not in head and not head.startswith(hdf5.SIGNATURE)


def _expand_folder(folder: str, result: Expansion) -> None:
    """All event files below a folder; run folders of the European XFEL as one each."""
    before = len(result.items)
    visited: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(where) in visited:  # links that lead back up
            folders.clear()
            continue
        visited.add(os.path.realpath(where))
        folders.sort(key=natural)
        if euxfel.run_files(where):
            result.add(Item(where, where))
            folders.clear()
            continue
        for name in sorted(files, key=natural):
            path = os.path.join(where, name)
            plain = name.removesuffix(".inprogress")
            if name.startswith(".") or not plain.lower().endswith((*HDF5_SUFFIXES, ".emc")):
                continue
            result.add(Item(path, path, scanned=True))
    if len(result.items) == before:
        raise NoEventsError(
            f"{folder} holds no event files ({', '.join(HDF5_SUFFIXES[:5])} or a run folder)."
        )


def _expand_list(name: str, result: Expansion) -> None:
    entries = read_list(name)
    if not entries:
        raise ListError(f"The list {name} names no event.")
    folder = os.path.dirname(os.path.abspath(name))
    places: dict[str, str | None] = {}
    lost: dict[str, int] = {}
    before = len(result.order)
    for entry in entries:
        file = entry.event.file
        if file not in places:
            places[file] = _locate(file, folder)
        place = places[file]
        if place is None:
            lost.setdefault(file, entry.line)
            continue
        result.add(Item(file, place), entry.event.event, f"line {entry.line} of {name}")
    for file, line in lost.items():
        result.problems.append(
            Problem(name, f"Line {line} of {name} names {file}, which does not exist.")
        )
    if len(result.order) == before:
        file, line = next(iter(lost.items()))
        raise ListError(
            f"{name} is not a usable list of events: line {line} names {file}, which does not "
            f"exist, and so do all other lines."
            if len(lost) == 1
            else f"{name} is not a usable list of events: none of the {len(lost)} files it names "
            f"exists (line {line}: {file})."
        )


def _locate(file: str, folder: str) -> str | None:
    """A listed file: beside the list, else from the working folder (as CrystFEL does)."""
    for candidate in (os.path.join(folder, file), file):
        if os.path.exists(candidate):
            return candidate
    return None


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``run_9`` before ``run_10``."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]
