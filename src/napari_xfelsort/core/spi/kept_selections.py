"""Selections kept on disk as soon as they are made, for when their run is opened again.

Each is a list of events, with a small JSON file of the same name beside it: what it is called,
how it was made, and of which files. They lie beside the data, or in the home where one may not
write there. A selection belongs to every run that has one of these files; a list without its
JSON file to every run that has one of its events. Names of files below the folder of the data
are written relative to it, so that all may be moved together.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_xfelsort.core.atomic import flush_folder, make_folder, write_text_atomic
from napari_xfelsort.core.errors import OutputError, UnreadableFileError, XfelsortError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import login_name
from napari_xfelsort.core.lists import read_list, write_list
from napari_xfelsort.core.spi.selections import Key, Selection, event_places

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Of the folder beside the data, and in the folder xfelsort of the home.
FOLDER = "spi-selections"
#: Where removed ones go, in the folder that they were in.
REMOVED = "removed"
_FORMAT, _VERSION = "napari-xfelsort selection", 1
#: A run of more files is known by the folders that they are in.
_MOST_FILES, _MOST_FOLDERS = 500, 20
_MOST_BYTES = 16 * 1024**2
#: Of the name of a file, without ending and number.
_NAME_BYTES = 120
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class KeptSelection:
    """A selection, and what is known of it.

    Attributes
    ----------
    selection : Selection
        Its events, those of the run as the run names them.
    path : Path
        Its list.
    how, made, by : str
        How it was made, when (UTC, ISO 8601), and by whom; empty when that is not known.
    run : dict of str to int
        The files of the run that it was made of, and how many events they had; folders of a
        run of very many files.
    """

    selection: Selection
    path: Path
    how: str = ""
    made: str = ""
    by: str = ""
    run: Mapping[str, int] = field(default_factory=dict)


class ReadSelections(NamedTuple):
    """Selections of a run in the order in which they were made, and sentences on the rest."""

    kept: list[KeptSelection]
    problems: list[str]


class SelectionFolders:
    """The folders that the selections of a run are kept in.

    Parameters
    ----------
    stack : EventStack
        The run.
    folders : sequence of path, optional
        Written into the first that can be written, read from all; `folders_of` the run when
        omitted.
    """

    def __init__(
        self, stack: EventStack, folders: Collection[str | os.PathLike[str]] | None = None
    ) -> None:
        self.stack = stack
        chosen = folders_of(stack) if folders is None else folders
        self.folders = [Path(os.path.abspath(folder)) for folder in chosen]
        self.files = files_of(stack)
        #: Lists of other runs, which are not looked at again.
        self.elsewhere: set[Path] = set()

    def keep(self, selection: Selection, how: str = "") -> KeptSelection:
        """Write a selection; nothing that is there is ever replaced.

        Parameters
        ----------
        selection : Selection
            The events, of this run or others.
        how : str
            How it was made, in words.

        Raises
        ------
        OutputError
            If it can be written nowhere, or the events are held in memory.
        """
        if not self.files:
            raise OutputError("The events of the run are in no file.")
        first: OutputError | None = None
        for folder in self.folders:
            try:
                return self._keep_in(folder, selection, how)
            except OutputError as error:
                first = first or error
        raise first or OutputError("There is no folder to keep selections in.")

    def _keep_in(self, folder: Path, selection: Selection, how: str) -> KeptSelection:
        make_folder(folder)
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        stem = file_stem(f"{self._run_name} {selection.name}")
        kept = KeptSelection(selection, folder, how, now, login_name(), self.files)
        return replace(kept, path=_write_new(folder, stem, kept))

    @property
    def _run_name(self) -> str:
        return Path(next(iter(self.files))).stem

    def read(self, known: Collection[Path] = ()) -> ReadSelections:
        """The selections of the run.

        Parameters
        ----------
        known : collection of Path
            Lists that need not be read.
        """
        found: list[KeptSelection] = []
        problems: list[str] = []
        for folder in self.folders:
            for path in _lists(folder, problems):
                if path not in known and path not in self.elsewhere:
                    found += self._read(path, problems)
        problems += self._changed(found)
        found.sort(key=lambda kept: (kept.made, kept.path.name))
        return ReadSelections(found, problems)

    def _is_of(self, files: Mapping[str, int]) -> bool:
        """Whether a selection of these files is one of this run."""
        own, folder = self.files, os.path.dirname
        return any(file in own or folder(file) in own for file in files) or any(
            folder(file) in files for file in own
        )

    def _read(self, path: Path, problems: list[str]) -> Iterator[KeptSelection]:
        """The selection of a list, if it is of this run."""
        about = _read_about(path, problems)
        if about is not None and not self._is_of(about.run):
            self.elsewhere.add(path)
            return
        try:
            read = _read_events(path, self._names)
        except XfelsortError as error:
            problems.append(f"A selection cannot be read: {error}")
            return
        if about is None:
            if any(key in self._places for key in read.keys):
                yield KeptSelection(read, path)
            return
        if about.events != len(read):
            problems.append(
                f"{path} has {len(read)} of the {about.events} events that were written into "
                "it: it was changed since."
            )
        yield replace(about.kept, selection=read.renamed(about.name))

    @cached_property
    def _places(self) -> dict[Key, int]:
        return event_places(self.stack)

    @cached_property
    def _names(self) -> dict[str, EventId]:
        """An event of each file, by where the file is: they tell how the run names it."""
        events = (self.stack.event_id(first) for _, n, first in self.stack.files() if n)
        return {os.path.realpath(event.place or event.file): event for event in events}

    def _changed(self, found: list[KeptSelection]) -> Iterator[str]:
        """A sentence for each file that has other events than when selections were made."""
        told: dict[tuple[str, int, int], list[str]] = {}
        for kept in found:
            for file, then in kept.run.items():
                now = self.files.get(file, then)
                if now != then:
                    told.setdefault((file, then, now), []).append(repr(kept.selection.name))
        for (file, then, now), names in told.items():
            yield (
                f"{os.path.basename(file)} has {now} events, and had {then} when "
                f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} made: look whether "
                "the events chosen are still the right ones."
            )


def remove_kept(kept: KeptSelection) -> Path | None:
    """Put a kept selection aside, into the folder `REMOVED` beside it.

    Returns
    -------
    Path or None
        Where its list is; None if it was there no more.

    Raises
    ------
    OutputError
        If it cannot be moved; then it stays.
    """
    path = kept.path
    aside = path.parent / REMOVED
    if not path.exists():
        return None
    make_folder(aside)
    when = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    target = aside / f"{when} {path.name}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror or error}.") from error
    with suppress(OSError):  # of no use without its list
        os.rename(_about_path(path), _about_path(target))
    flush_folder(path.parent)
    return target


def folders_of(stack: EventStack) -> list[Path]:
    """Where selections of a run may be kept: beside its files, and in the home."""
    inside = dict.fromkeys(os.path.dirname(file) for file in _stored(stack))
    beside = [Path(folder, FOLDER) for folder in itertools.islice(inside, _MOST_FOLDERS)]
    return [*beside, Path(os.path.expanduser("~"), "xfelsort", FOLDER)]


def files_of(stack: EventStack) -> dict[str, int]:
    """The files of a run and how many events each has; its folders if files are very many.

    None of events that are held in memory.
    """
    files = _stored(stack)
    if len(files) <= _MOST_FILES:
        return {os.path.realpath(file): n for file, n in files.items()}
    folders: dict[str, int] = {}
    for file, n in files.items():
        folder = os.path.realpath(os.path.dirname(file))
        folders[folder] = folders.get(folder, 0) + n
    return folders


def _stored(stack: EventStack) -> dict[str, int]:
    files: dict[str, int] = {}
    for source, n, _ in stack.files():
        name = os.path.abspath(source.place or source.path)
        if n and (name in files or os.path.exists(name)):
            files[name] = files.get(name, 0) + len(source)
    return files


def file_stem(name: str) -> str:
    """A name of a file, without ending, that tells the name of a selection."""
    words = " ".join(name.replace("|", " or ").replace("&", " and ").split())
    safe = "".join(c if c.isalnum() or c in " ._+-()@" else "-" for c in words)
    stem = safe.encode("utf-8")[:_NAME_BYTES].decode("utf-8", "ignore").strip(" .-")
    if not stem:
        return "selection"
    return f"_{stem}" if _WINDOWS_DEVICE.fullmatch(stem) else stem


# --- files ------------------------------------------------------------------------------


class _About(NamedTuple):
    name: str
    events: int
    kept: KeptSelection

    @property
    def run(self) -> Mapping[str, int]:
        return self.kept.run


def _about_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _about_text(kept: KeptSelection, folder: Path) -> str:
    folder = Path(os.path.realpath(folder))
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": kept.selection.name,
        "events": len(kept.selection),
        "how": kept.how,
        "made": kept.made,
        "by": kept.by,
        "run": {_relative(file, folder): n for file, n in kept.run.items()},
    }
    return json.dumps(about, indent=1) + "\n"


def _read_about(path: Path, problems: list[str]) -> _About | None:
    """What is known of a list; None, and a sentence, where that cannot be read."""
    about = _about_path(path)
    if not os.path.lexists(about):
        return None
    try:
        if not about.is_file() or about.stat().st_size > _MOST_BYTES:
            raise UnreadableFileError("it is no file, or too large")
        return _parsed(path, json.loads(about.read_bytes()))
    except UnreadableFileError as error:
        why = str(error)
    except OSError as error:
        why = str(error.strerror)
    except (ValueError, RecursionError):
        why = "it is no JSON"
    problems.append(
        f"{about.name} is damaged ({why}), so that the selection is called as its list."
    )
    return None


def _parsed(path: Path, about: Any) -> _About:
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise UnreadableFileError("it is about no selection")
    if about.get("version") != _VERSION:
        raise UnreadableFileError("it is of another version of this program")
    words = [about.get(key) for key in ("name", "how", "made", "by")]
    events, run = about.get("events"), about.get("run")
    if (
        not all(isinstance(each, str) for each in words)
        or type(events) is not int
        or not isinstance(run, dict)
        or not all(type(n) is int for n in run.values())
        or any("\0" in file for file in run)
    ):
        raise UnreadableFileError("it does not say what it should")
    name, how, made, by = (str(each) for each in words)
    folder = Path(os.path.realpath(path.parent))
    files = {os.path.realpath(_found(file, folder)): n for file, n in run.items()}
    return _About(name, events, KeptSelection(Selection(name, ()), path, how, made, by, files))


def _lists(folder: Path, problems: list[str]) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(f"The selections in {folder} cannot be read: {error.strerror}.")
        return []
    return [folder / n for n in names if n.endswith(".lst") and not n.startswith(".")]


def _write_new(folder: Path, stem: str, kept: KeptSelection) -> Path:
    """Write a selection under the first free name; files of another window stay.

    It is there as soon as its list is: nobody reads one without what is known of it.
    """
    events, text = list(_told_from(folder, kept.selection)), _about_text(kept, folder)
    for number in itertools.count(1):
        path = folder / (f"{stem} {number}.lst" if number > 1 else f"{stem}.lst")
        about = _about_path(path)
        if os.path.lexists(path):
            continue
        try:
            write_text_atomic(about, text)
        except OutputError:
            if os.path.lexists(about):
                continue
            raise
        try:
            write_list(path, events)
        except OutputError:
            with suppress(OSError):
                about.unlink()  # ours, of a moment ago
            if not os.path.lexists(path):
                raise
        else:
            return path
    raise AssertionError("numbers do not end")


def _told_from(folder: Path, selection: Selection) -> Iterator[EventId]:
    """Events of a selection, with names of files as a list in a folder has them."""
    names: dict[str, str] = {}
    for event in selection:
        place = event.place or event.file
        if place not in names:
            names[place] = _relative(os.path.abspath(place), folder)
        yield EventId(names[place], event.event)


def _read_events(path: Path, names: Mapping[str, EventId]) -> Selection:
    """The events of a list, those of the run as it names them."""
    files: dict[str, tuple[str, str]] = {}
    events = []
    for _, event in read_list(path):
        if event.file not in files:
            file = _found(event.file, path.parent)
            named = names.get(os.path.realpath(file), EventId(file))
            files[event.file] = (named.file, named.place)
        file, place = files[event.file]
        events.append(EventId(file, event.event, place))
    return Selection(path.stem, tuple(events))


def _relative(file: str, folder: Path) -> str:
    """How a file is named from a folder: as it is, unless it lies beside or below that."""
    beside = os.path.dirname(folder)
    with suppress(ValueError):  # on another drive
        if os.path.commonpath([beside, file]) == beside:
            return os.path.relpath(file, folder)
    return file


def _found(file: str, folder: Path) -> str:
    return os.path.normpath(os.path.join(folder, file))
