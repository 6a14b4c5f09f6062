"""The files labels are kept in: one append-only journal a labeller.

A line is ``time,file,event,label,source,note``; a line counts only when all its six
fields and its line end are there, so a line that was being written when the power
went is never mistaken for a label.
"""

from __future__ import annotations

import csv
import functools
import gc
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from napari_xfelsort.core.atomic import flush_folder
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId

HEADER = ("time", "file", "event", "label", "source", "note")
#: May be stored as a label, but is no class: the event is left out of training.
IGNORE = "ignore"
#: Between the classes of an event that has several; no class name may hold it, nor ever
#: could, so that a journal means the same whether or not several classes are in use.
SEPARATOR = "|"
#: A source that begins so is a rule, and each rule a labeller of its own.
RULE = "rule:"
#: Somebody decided between labellers.
SETTLED = "settled"
#: A label that was there before, said by another, and shown again after an undo.
RESTORED = "restored:"
#: Words that say that there is no label.
NOT_LABELS = ("undecided", "unsure", "failed")
#: Ends a torn line so that it can never read as a label: more fields than a line has.
_TORN = b"," * len(HEADER) + b"torn"
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_MAX_WARNINGS = 3


class LabelEntry(NamedTuple):
    """One line of a journal.

    ``label`` is empty where the label was taken back; ``time`` is UTC.
    """

    time: datetime
    event: EventId
    label: str
    source: str
    note: str
    labeller: str

    @property
    def origin(self) -> str:
        """The source that first gave the label."""
        return self.source.removeprefix(RESTORED)

    @property
    def voice(self) -> str:
        """Whose opinion the line is: of the labeller or of a rule; empty for nobody's.

        To settle between labellers, or to restore what another said, is no opinion.
        """
        return _voice(self.source, self.labeller)


class LabelLine(NamedTuple):
    """A label to be written; an empty ``label`` takes one back."""

    event: EventId
    label: str
    source: str = "hand"
    note: str = ""

    def voice(self, labeller: str) -> str:
        """Whose opinion the line is when a labeller writes it; see `LabelEntry.voice`."""
        return _voice(self.source, labeller)


def _voice(source: str, labeller: str) -> str:
    if source == SETTLED or source.startswith(RESTORED):
        return ""
    return source if source.startswith(RULE) else labeller


def split_label(label: str) -> tuple[str, ...]:
    """The classes of a label; none for ``"ignore"`` and for no label."""
    return () if label in ("", IGNORE) else tuple(label.split(SEPARATOR))


def join_classes(classes: Iterable[str]) -> str:
    """The label of an event that has these classes, the same in whatever order they come.

    Raises
    ------
    LabelError
        If there is none, or one of them cannot name a class.
    """
    names = sorted({check_class_name(name) for name in classes})
    if not names:
        raise LabelError("A label needs at least one class.")
    return SEPARATOR.join(names)


def check_class_name(name: str) -> str:
    """The name, if it can name a class and its list file.

    Raises
    ------
    LabelError
        Says what is wrong with the name.
    """
    if name.casefold() in (IGNORE, *NOT_LABELS):
        raise LabelError(f"{name!r} has a meaning of its own and cannot name a class.")
    return _check_file_name(name, "class")


@functools.lru_cache(maxsize=1024)
def check_label(label: str) -> str:
    """The label, if it is ``"ignore"`` or one or several class names.

    Several are joined by ``|``; they are put in order, each once.

    Raises
    ------
    LabelError
        Says what is wrong with it.
    """
    return label if label == IGNORE else join_classes(label.split(SEPARATOR))


def check_labeller(name: str) -> str:
    """The name, if it can name a labeller and a journal.

    Raises
    ------
    LabelError
        Says what is wrong with the name.
    """
    return _check_file_name(name, "labeller")


def _check_file_name(name: str, what: str) -> str:
    if not 0 < len(name.encode("utf-8", "replace")) <= 64:
        raise LabelError(f"The name of a {what} must have 1 to 64 letters; {name!r} has not.")
    allowed = all(c.isalnum() or c in " ._+-@()" for c in name)
    if not allowed or name[0] in " .-" or name[-1] in " ." or _WINDOWS_DEVICE.fullmatch(name):
        raise LabelError(
            f"{name!r} cannot name a {what}: it becomes part of a file name, so use letters, "
            "digits and _ + - @ ( ), and blanks and dots only inside."
        )
    return name


class Journal:
    """One labeller's journal.

    Parameters
    ----------
    path : Path
        ``labels-NAME.csv``; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labeller = path.stem.removeprefix("labels-")

    @classmethod
    def of(cls, folder: Path, labeller: str) -> Journal:
        """The journal of a labeller in a folder."""
        return cls(folder / f"labels-{check_labeller(labeller)}.csv")

    @classmethod
    def all_in(cls, folder: Path) -> list[Journal]:
        """Every journal in a folder, by name."""
        return [cls(path) for path in sorted(folder.glob("labels-*.csv")) if path.is_file()]

    def read(
        self, events: dict[tuple[str, str], EventId] | None = None
    ) -> tuple[list[LabelEntry], list[str]]:
        """All lines that count, and a sentence for each that does not.

        Parameters
        ----------
        events : dict of (str, str) to EventId, optional
            Events by file and event part, made once for all journals of a folder.

        Raises
        ------
        LabelError
            If the file cannot be read at all.
        """
        try:
            text = self.path.read_bytes().decode("utf-8-sig", "surrogateescape")
        except OSError as error:
            raise LabelError(f"{self.path} cannot be read: {error.strerror}.") from error
        *lines, rest = text.split("\n")
        if "\r" in text:
            lines = [line.rstrip("\r") for line in lines]
        entries, problems = self._entries(lines, {} if events is None else events)
        warnings = problems[:_MAX_WARNINGS]
        if len(problems) > _MAX_WARNINGS:
            more = len(problems) - _MAX_WARNINGS
            warnings.append(f"{more} more lines of {self.path} are skipped.")
        if rest:
            warnings.append(
                f"The last line of {self.path} was cut off while it was written and is skipped; "
                "label that event again."
            )
        return entries, warnings

    def _entries(
        self, lines: Iterable[str], events: dict[tuple[str, str], EventId]
    ) -> tuple[list[LabelEntry], list[str]]:
        """Entries of the lines that count, and what is wrong with others.

        There may be hundreds of thousands: little is called for each that is plain, and
        texts that come again and again are kept once.
        """
        entries: list[LabelEntry] = []
        problems = []
        labels, words = {"": ""}, dict[str, str]()
        labeller, n_fields = self.labeller, len(HEADER)
        parse, new = datetime.fromisoformat, tuple.__new__
        for number, line in enumerate(lines, start=1):
            fields = line.split(",")
            if len(fields) != n_fields or '"' in line or number == 1:
                fields, problem = _fields(line, number)
                if problem:
                    problems.append(f"Line {number} of {self.path} {problem} and is skipped.")
                if not fields:
                    continue
            time, file, name, label, source, note = fields
            try:
                when = parse(time)
                if when.tzinfo is not UTC or not 1970 <= when.year < 3000:
                    when = _in_utc(when)
                if label not in labels:
                    labels[label] = check_label(label)
            except (ValueError, LabelError) as error:
                reason = f"has no usable time or label ({str(error).rstrip('.')})"
                problems.append(f"Line {number} of {self.path} {reason} and is skipped.")
                continue
            event = events.get((file, name))
            if event is None:
                event = events[file, name] = EventId(file, name)
            source, note = words.setdefault(source, source), words.setdefault(note, note)
            what = (when, event, labels[label], source, note, labeller)
            entries.append(new(LabelEntry, what))
        return entries, problems

    def append(self, entries: Sequence[LabelEntry]) -> None:
        """Add lines; they are on disk when this returns.

        Raises
        ------
        LabelError
            If a text has a line end in it, or the file cannot be written.
        """
        payload = _lines(_row(entry) for entry in entries)
        try:
            new = not self.path.exists()
            with _locked(self.path) as handle:
                _write_all(handle, self._opening(handle) + payload)
                os.fsync(handle)
            if new:
                flush_folder(self.path.parent)
        except OSError as error:
            raise LabelError(
                f"The label cannot be stored in {self.path}: {error.strerror}. It is not kept; "
                "make room or choose another label folder."
            ) from error

    @staticmethod
    def _opening(handle: int) -> bytes:
        """What must come before new lines: the header, or the end of a torn line."""
        size = os.fstat(handle).st_size
        if size == 0:
            return _lines([HEADER])
        os.lseek(handle, size - 1, os.SEEK_SET)
        return b"" if os.read(handle, 1) == b"\n" else _TORN + b"\n"


def format_time(time: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _in_utc(time: datetime) -> datetime:
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not 1970 <= time.year < 3000:  # later labels must be able to come after it
        raise ValueError(f"the year is {time.year}")
    return time


def _fields(line: str, number: int) -> tuple[list[str], str]:
    """The fields of a line, none if it is blank, the header or no label; and why not."""
    if not line.strip():
        return [], ""
    try:
        fields = next(csv.reader([line], strict=True)) if '"' in line else line.split(",")
    except csv.Error:
        fields = []
    if number == 1 and tuple(fields) == HEADER:
        return [], ""
    if line.endswith(_TORN.decode()):
        return [], "was cut off while it was written"
    if len(fields) != len(HEADER):
        return [], f"has not the {len(HEADER)} fields of a label"
    return fields, ""


def _row(entry: LabelEntry) -> tuple[str, ...]:
    event = entry.event
    row = (
        format_time(entry.time),
        event.place or event.file,
        event.event,
        entry.label,
        entry.source,
        entry.note,
    )
    if any(c in field for field in row for c in "\n\r\0"):
        raise LabelError(f"The label of {str(event)!r} cannot be stored: a line end is in it.")
    if not event.file:
        raise LabelError("An event without a file name cannot be labelled.")
    return row


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


@contextmanager
def no_cycles_sought() -> Iterator[None]:
    """Meanwhile Python looks for no garbage cycles: among a million new labels, in vain."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file opened for appending by one process at a time."""
    handle = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        # Without locks (Windows, some network file systems) one write call must do.
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
