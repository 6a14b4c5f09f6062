"""Lists of events as CrystFEL reads and writes them.

One event a line, ``FILE EVENT``. CrystFEL (``src/im-sandbox.c``) reads at most 1022
bytes of a line, takes the text after the last blank as event only if it holds ``//``
and the file name before it is longer than two bytes, skips blank lines, and refuses
files shorter than 8 bytes. What is written here is read by it as it was meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import ListError, OutputError
from napari_xfelsort.core.events import EventId

#: Bytes of a line that CrystFEL reads at once.
MAX_LINE_BYTES = 1022
#: CrystFEL refuses a list of fewer bytes.
MIN_FILE_BYTES = 8
#: A list of ten million events has about 1 GB; what is larger is something else.
MAX_FILE_BYTES = 4 * 1024**3
#: A line longer than any path that an operating system takes.
_MAX_READ_LINE = 16384
_COMMENT = ("#", ";")
_HDF5 = b"\x89HDF"


class ListEntry(NamedTuple):
    """One event of a list and the line (from 1) that names it."""

    line: int
    event: EventId


def read_list(path: str | os.PathLike[str]) -> list[ListEntry]:
    """Read a list of events by CrystFEL's rule.

    Blank lines and lines that start with ``#`` or ``;`` are skipped, Windows line ends
    are taken, every other line is an event: there is no header.

    Parameters
    ----------
    path : path
        The list.

    Returns
    -------
    list of ListEntry
        In the order of the file; relative file names stay as they are written.

    Raises
    ------
    ListError
        If the file cannot be read or is not a text of one name a line.
    """
    name = os.fspath(path)
    try:
        if not os.path.isfile(path):
            kind = "is a folder" if os.path.isdir(path) else "does not exist"
            raise ListError(f"The list {name} {kind}; give a text file with one event a line.")
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise ListError(f"{name} is too large for a list of events; is it a data file?")
        with open(path, "rb") as source:
            return list(_entries(source, name))
    except OSError as error:
        raise ListError(f"The list {name} cannot be read: {error.strerror}.") from error


def located(entries: Iterable[ListEntry], path: str | os.PathLike[str]) -> list[ListEntry]:
    """Entries of a list with the place of files that lie beside the list.

    A relative name is looked for beside the list first, then from the working folder, as
    CrystFEL does.
    """
    folder = os.path.dirname(os.path.abspath(path))
    places: dict[str, str] = {}
    result = []
    for line, event in entries:
        place = places.get(event.file)
        if place is None:
            beside = os.path.join(folder, event.file)
            elsewhere = beside != os.path.abspath(event.file) and os.path.exists(beside)
            place = places[event.file] = beside if elsewhere else ""
        result.append(ListEntry(line, EventId(event.file, event.event, place)))
    return result


def _entries(source: BinaryIO, name: str) -> Iterator[ListEntry]:
    number = 0
    while raw := source.readline(_MAX_READ_LINE):
        number += 1
        if raw.startswith(_HDF5) or b"\0" in raw:
            raise ListError(f"{name} is a binary file and no list of events.")
        if len(raw) == _MAX_READ_LINE:
            raise ListError(f"Line {number} of {name} is too long to name an event.")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise ListError(
                f"Line {number} of {name} is not valid UTF-8 text, so the file is no list of "
                "events, or was saved in another encoding."
            ) from None
        if text.strip() and not text.startswith(_COMMENT):
            yield ListEntry(number, EventId.parse(text))


def write_list(
    path: str | os.PathLike[str],
    event_ids: Iterable[EventId],
    absolute: bool = False,
    overwrite: bool = False,
) -> int:
    """Write a list that CrystFEL reads; no events make an empty file.

    Parameters
    ----------
    path : path
        The list to write; complete or not there at all.
    event_ids : iterable of EventId
        In the order to write. A file whose name does not lead to it from the working
        folder is written with the name that does.
    absolute : bool
        Write absolute file names instead of those the user gave.
    overwrite : bool
        Replace a list that exists.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    OutputError
        If the list exists and must not be replaced, cannot be written, or an event
        cannot be told in CrystFEL's syntax; then nothing is written.
    """
    with list_writer(path, absolute, overwrite) as out:
        for event in event_ids:
            out.write(event)
    return out.written


@contextmanager
def list_writer(
    path: str | os.PathLike[str], absolute: bool = False, overwrite: bool = False
) -> Iterator[ListWriter]:
    """A list to be written event by event; arguments and errors as of `write_list`."""
    with atomic_write(path, overwrite) as temporary, temporary.open("wb") as handle:
        out = ListWriter(handle, absolute)
        yield out
        if 0 < out.size < MIN_FILE_BYTES:
            handle.write(b"\n" * (MIN_FILE_BYTES - out.size))


class ListWriter:
    """Writes the lines of a list.

    Attributes
    ----------
    written : int
        Events so far.
    size : int
        Bytes so far.
    """

    def __init__(self, out: BinaryIO, absolute: bool) -> None:
        self._out = out
        self._absolute = absolute
        self._file = self._place = ""
        self._head = b""
        self.written = self.size = 0

    def write(self, event: EventId) -> None:
        """Add an event.

        Raises
        ------
        OutputError
            If CrystFEL's syntax cannot name it.
        """
        self.add(event.file, event.event, event.place)

    def add(self, file: str, event: str, place: str = "") -> None:
        """As `write`, with the parts of the event's name."""
        # A file that was written with an index is written with any other index as well.
        indexed = event[:2] == "//" and event[2:].isdecimal() and event.isascii()
        if indexed and self._head and file == self._file and place == self._place:
            line = self._head + event.encode() + b"\n"
        else:
            line = list_line(EventId(file, event, place), self._absolute)
            self._file, self._place = file, place
            self._head = line[: -len(event) - 1] if indexed else b""
        if len(line) > MAX_LINE_BYTES:
            line = list_line(EventId(file, event, place), self._absolute)  # says what is wrong
        self.size += self._out.write(line)
        self.written += 1


def list_line(event: EventId, absolute: bool = False) -> bytes:
    """The line of a list that names this event, line end included.

    Raises
    ------
    OutputError
        If CrystFEL's syntax cannot name it; says why.
    """
    name = event.place or event.file
    file = _listable(os.path.abspath(name) if absolute else name)
    line = f"{file} {event.event}" if event.event else file
    reason = _unwritable(file, event.event)
    try:
        encoded = line.encode("utf-8")
    except UnicodeEncodeError:
        encoded, reason = b"", "its name is not valid UTF-8"
    if len(encoded) > MAX_LINE_BYTES:
        reason = f"CrystFEL cuts lines after {MAX_LINE_BYTES} bytes and it has {len(encoded)}"
    if reason:
        raise OutputError(
            f"The event {str(event)!r} cannot be written to a list: {reason}; rename the file."
        )
    return encoded + b"\n"


def _listable(file: str) -> str:
    """Another name of the same file where readers would stumble over the given one."""
    stumbles = file.startswith((*_COMMENT, "\ufeff")) or file[:1].isspace()
    if len(file.encode("utf-8", "replace")) > 2 and not stumbles:
        return file
    return f"/.{file}" if file.startswith("/") else f"./{file}"


def _unwritable(file: str, event: str) -> str:
    if any(c in file + event for c in "\n\r\0"):
        return "it holds a line end"
    if file in ("./", "/./") or file != file.rstrip():
        return "the file name is empty or ends with a blank"
    if event and ("//" not in event or event.split() != [event]):
        return "its event part must hold // and no blank"
    blank, tail = file.rpartition(" ")[1:]
    if not event and blank and "//" in tail:
        return "the end of its file name reads as an event"
    return ""
