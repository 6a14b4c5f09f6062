"""Who labelled which event as what, when: kept so that no label is ever lost."""

from __future__ import annotations

import copy
import getpass
import operator
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import LabelError, OutputError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_aside import WrittenAside
from napari_xfelsort.core.label_import import ImportSummary, plan_import
from napari_xfelsort.core.label_journal import (
    IGNORE,
    Journal,
    LabelEntry,
    LabelLine,
    check_label,
    no_cycles_sought,
    split_label,
)
from napari_xfelsort.core.label_lists import events_of_classes
from napari_xfelsort.core.label_match import Alignment, EventKey, match_labels, resolved_file
from napari_xfelsort.core.lists import write_list

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


class LabelStore(WrittenAside):
    """A folder of labels.

    Each label is one line of the labeller's own journal, on disk before `set` returns.
    The last line about an event counts, whoever wrote it. Journals of others lie beside
    it and are only read; folders are merged by copying journals together, or by `merge`.

    Parameters
    ----------
    folder : path
        Where the journals ``labels-NAME.csv`` are.
    labeller : str, optional
        Names the journal to write; the login name when omitted.
    create : bool
        Make the folder if it does not exist.

    Attributes
    ----------
    folder : Path
        The folder.
    labeller : str
        Who labels.
    warnings : list of str
        Sentences on lines that could not be used.

    Raises
    ------
    LabelError
        If the folder does not exist and must not be made, or cannot be read, or the
        labeller's name cannot be part of a file name.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        labeller: str | None = None,
        create: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.labeller = login_name() if labeller is None else labeller
        self._own = Journal.of(self.folder, self.labeller)
        self._writing = threading.Lock()
        self._renamed: dict[str, str] = {}
        if self.folder.exists() and not self.folder.is_dir():
            raise LabelError(f"{self.folder} is a file; labels are kept in a folder.")
        if create:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LabelError(
                    f"The label folder {self.folder} cannot be made: {error.strerror}."
                ) from error
        elif not self.folder.is_dir():
            raise LabelError(f"There is no label folder {self.folder}.")
        self.reload()

    def __len__(self) -> int:
        """Number of events that have a label."""
        return sum(1 for entry in self._latest.values() if entry.label)

    def reload(self) -> None:
        """Read all journals again, to see what others wrote meanwhile.

        Raises
        ------
        LabelError
            If a journal cannot be read.
        """
        self.warnings: list[str] = []
        self._entries, self._latest, self._said, self._files = [], {}, {}, {}
        self._reading = object()
        entries: list[LabelEntry] = []
        events: dict[tuple[str, str], EventId] = {}
        with no_cycles_sought():
            for journal in Journal.all_in(self.folder):
                read, warnings = journal.read(events)
                entries += read
                self.warnings += warnings
            entries.sort(key=_TIME)  # stable: by journal and line within a time
            self._take(entries)

    def _take(self, entries: Sequence[LabelEntry]) -> None:
        self._entries += entries
        events = {id(entry.event): entry.event for entry in entries}  # shared by lines
        keys = {number: self.key(event) for number, event in events.items()}
        kinds = {(entry.source, entry.labeller): entry for entry in entries}
        voices = {kind: entry.voice for kind, entry in kinds.items()}
        said = {voice: self._said.setdefault(voice, {}) for voice in voices.values() if voice}
        latest, nobody = self._latest, dict[EventKey, LabelEntry]()
        for entry in entries:  # hundreds of thousands
            _, event, _, source, _, labeller = entry
            key = keys[id(event)]
            latest[key] = entry
            said.get(voices[source, labeller], nobody)[key] = entry

    def key(self, event: EventId) -> EventKey:
        """What an event is known by, however the path to its file was written."""
        name = event.place or event.file
        file = self._files.get(name)
        if file is None:
            bases = (Path(), self.folder.parent, self.folder)
            file = resolved_file(name, bases)
            file = self._files[name] = self._renamed.get(file, file)
        return file, event.event

    # -- labelling

    def set(self, event_id: EventId, label: str, source: str = "hand", note: str = "") -> None:
        """Label an event; the label is on disk when this returns.

        Parameters
        ----------
        event_id : EventId
            The event.
        label : str
            A class, several joined by ``|`` (`join_classes`), or ``"ignore"`` to keep the
            event out of training.
        source : str
            What labelled: ``"hand"``, or the name of a rule.
        note : str
            A remark.

        Raises
        ------
        LabelError
            If the label cannot name a class or cannot be stored.
        """
        self._append([LabelLine(event_id, check_label(label), source, note)])

    def set_many(
        self, pairs: Iterable[tuple[EventId, str]], source: str = "hand", note: str = ""
    ) -> None:
        """Label many events with one write to disk.

        Raises
        ------
        LabelError
            If a label cannot name a class or cannot be stored; then none is.
        """
        self._append(
            [LabelLine(event, check_label(label), source, note) for event, label in pairs]
        )

    def write(self, lines: Iterable[LabelLine]) -> None:
        """Write labels of several sources, and take others back, with one write to disk.

        Raises
        ------
        LabelError
            If a label cannot name a class or cannot be stored; then none is.
        """
        self._append(
            [line._replace(label=line.label and check_label(line.label)) for line in lines]
        )

    def clear(self, event_id: EventId, source: str = "hand", note: str = "") -> None:
        """Take the label of an event back.

        Raises
        ------
        LabelError
            If this cannot be stored.
        """
        self._append([LabelLine(event_id, "", source, note)])

    def _append(self, lines: Sequence[LabelLine]) -> None:
        if not lines:
            return
        known = (self._latest.get(self.key(line.event)) for line in lines)
        time = self._time_after(known)
        entries = [LabelEntry(time, *line, self.labeller) for line in lines]
        with self._writing:
            self._own.append(entries)
        self._take(entries)

    # -- asking

    def get(self, event_id: EventId) -> str | None:
        """Label of an event, None when it has none."""
        entry = self._latest.get(self.key(event_id))
        return entry.label or None if entry else None

    def entry(self, event_id: EventId) -> LabelEntry | None:
        """The line that counts for an event: who, when and why; its label may be empty."""
        return self._latest.get(self.key(event_id))

    @property
    def voices(self) -> tuple[str, ...]:
        """Labellers, and rules by their source, that said anything; sorted."""
        return tuple(sorted(self._said))

    def said(self, voice: str) -> Mapping[EventKey, LabelEntry]:
        """The last line of a labeller or a rule about each event; its label may be empty."""
        return MappingProxyType(self._said.get(voice, {}))

    def labels(self) -> dict[EventId, str]:
        """Label of every labelled event, ``"ignore"`` included, in order of labelling."""
        return {entry.event: entry.label for entry in self._latest.values() if entry.label}

    def entries(self) -> Iterator[LabelEntry]:
        """Every line of every journal, in order of time."""
        return iter(self._entries)

    def counts(self) -> dict[str, int]:
        """Number of events with each class and with ``"ignore"``.

        An event that has several classes counts for each of them.
        """
        labels = Counter(entry.label for entry in self._latest.values() if entry.label)
        counts: Counter[str] = Counter()
        for label, number in labels.items():
            for name in split_label(label) or (label,):
                counts[name] += number
        return dict(sorted(counts.items()))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that events have now, sorted."""
        return tuple(name for name in self.counts() if name != IGNORE)

    @property
    def classes_used(self) -> tuple[str, ...]:
        """The classes that any event ever had, sorted."""
        labels = {entry.label for entry in self._entries}
        return tuple(sorted({name for label in labels for name in split_label(label)}))

    def aligned(self, stack: EventStack) -> list[str | None]:
        """Label of each event of a stack, None where there is none.

        Events are matched by file and event, however the path was written.
        """
        return self.match(stack).labels

    def match(self, stack: EventStack) -> Alignment:
        """Labels beside the events of a stack, with what did not match.

        A label counts for an event when both name the same file (by its resolved path,
        relative ones taken from the working directory, the label folder or the folder it
        is in) and the same event in it. A relative path that leads nowhere is recognised
        when it is the end of just one path of the stack, an absolute one when its last
        folder and name are (the folder was moved); a warning says so.
        """
        as_written = self.copy({}) if self._renamed else self
        return match_labels(as_written._latest, stack)

    def recognise(self, renamed: Mapping[str, str]) -> None:
        """Take labels of files for labels of others: ``match(stack).renamed``.

        From now on labels under either name are of the same events: the last one counts,
        labellers are compared, and what is undone shows what was there before.
        """
        if dict(renamed) != self._renamed:
            self.__dict__ |= self.copy(renamed).__dict__

    def copy(self, renamed: Mapping[str, str] | None = None) -> LabelStore:
        """A copy for another thread to ask, of what is known now.

        Parameters
        ----------
        renamed : dict of str to str, optional
            Files to be taken for others; the same as here when omitted.
        """
        made = copy.copy(self)
        if renamed is None:
            made._entries, made._latest = self._entries.copy(), self._latest.copy()
            made._said = {voice: said.copy() for voice, said in self._said.items()}
            made._files = self._files.copy()
        else:
            made._renamed = dict(renamed)
            made._entries, made._latest, made._said, made._files = [], {}, {}, {}
            made._take(self._entries)
        return made

    # -- lists and folders

    def import_lists(
        self,
        lists: Mapping[str, str | os.PathLike[str]] | Sequence[tuple[str, str | os.PathLike[str]]],
        relabel: bool = False,
    ) -> ImportSummary:
        """Label the events of lists.

        Parameters
        ----------
        lists : dict of str to path, or sequence of (str, path)
            Class and list; in a sequence a class may have several lists.
        relabel : bool
            Replace labels that people gave.

        Raises
        ------
        ListError
            If a list cannot be read.
        LabelError
            If an event is in two lists, or a class name is unusable; then nothing is
            labelled.
        """
        plan = plan_import(self, lists.items() if isinstance(lists, Mapping) else lists)
        lines, summary = plan.new_lines(self)
        if relabel:
            lines, summary = plan.lines, plan.summary(plan.lines)
        self.write(lines)
        self.warnings += plan.warnings
        return summary

    def export_lists(
        self,
        folder: str | os.PathLike[str] | None = None,
        absolute: bool = False,
        overwrite: bool = False,
    ) -> dict[str, Path]:
        """Write ``CLASS.lst`` for every class ever used; empty where no event has it now.

        An event that has several classes is in the list of each.

        Parameters
        ----------
        folder : path, optional
            Where to write; the label folder when omitted.
        absolute : bool
            Write absolute file names.
        overwrite : bool
            Replace lists that exist.

        Returns
        -------
        dict of str to Path
            The list of each class.

        Raises
        ------
        OutputError
            If a list exists and must not be replaced, or cannot be written.
        LabelError
            If two classes differ only by capitals, so that their lists could collide.
        """
        target = self.folder if folder is None else Path(folder)
        events = events_of_classes(self.labels(), self.classes_used)
        paths = {name: target / f"{name}.lst" for name in events}
        for path in paths.values():
            if path.exists() and not overwrite:
                raise OutputError(f"{path} exists already; no list is written.")
        for name, path in paths.items():
            write_list(path, events[name], absolute, overwrite)
        return paths

    def merge(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Copy the journals of another folder into this one.

        A journal that has a namesake here with other content gets a number, so that
        neither is lost.

        Returns
        -------
        list of Path
            The new journals.

        Raises
        ------
        LabelError
            If there is no journal in the other folder, or one cannot be copied.
        """
        journals = Journal.all_in(Path(folder))
        if not journals:
            raise LabelError(f"There are no labels (labels-NAME.csv) in {os.fspath(folder)}.")
        new = []
        for journal in journals:
            data = journal.path.read_bytes()
            here = [j.path.read_bytes() for j in Journal.all_in(self.folder)]
            if any(known.startswith(data) for known in here):
                continue
            path = _free_name(self.folder / journal.path.name)
            try:
                with atomic_write(path) as temporary:
                    temporary.write_bytes(data)
            except OutputError as error:
                raise LabelError(str(error)) from error
            new.append(path)
        self.reload()
        return new


_TIME = operator.itemgetter(LabelEntry._fields.index("time"))


def login_name() -> str:
    """Who labels unless another name is given: the login name, fit for a file name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no such user, as in some containers
        name = ""
    safe = "".join(c if c.isalnum() or c in "_+@" else "_" for c in name)
    return safe[:40] or "labeller"


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
