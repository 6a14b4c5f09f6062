"""What the tabs of the SPI dock have in common, and the selections that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import NoEventsError, OutputError
from napari_xfelsort.core.spi.kept_selections import (
    KeptSelection,
    SelectionFolders,
    remove_kept,
)
from napari_xfelsort.core.spi.selections import Key, Selection, event_places
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel

Numbers = NDArray[np.int64]


class Chosen(NamedTuple):
    """A selection, where its events are in the run shown, and where it is kept on disk."""

    selection: Selection
    numbers: Numbers
    how: str = ""
    kept: KeptSelection | None = None


class Selections(QObject):
    """The selections of the dock, by name; kept on disk as soon as they are made.

    Attributes
    ----------
    items : dict of str to Chosen
        In the order in which they were made.
    problems : list of str
        Sentences on what could not be kept or read of the run shown.
    """

    #: One was added or removed, or the run is another.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Chosen] = {}
        self._stack: EventStack | None = None
        self._folders: SelectionFolders | None = None
        self._places: Mapping[Key, int] | None = None
        self._unread: list[str] = []
        self._not_kept: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """What could not be kept, then what could not be read."""
        here = {name: why for name, why in self._not_kept.items() if name in self.items}
        told = [f"{name!r} is not kept on disk: {why}" for name, why in here.items()]
        return told + self._unread

    @property
    def folder(self) -> str:
        """Where those of the run shown are kept; empty when none is."""
        for chosen in reversed(self.items.values()):
            if chosen.kept is not None and len(chosen.numbers):
                return str(chosen.kept.path.parent)
        return ""

    def use(self, stack: EventStack | None) -> int:
        """Find the events of all in another run, and read what is kept of it; says how many."""
        before, self._folders = self._folders, None
        self._stack = stack
        if stack is not None:
            self._folders = SelectionFolders(stack)
        if self._folders is None or before is None or self._folders.files != before.files:
            self._unread = []
        else:  # the same run with another mask or geometry
            self._folders.elsewhere = before.elsewhere
        self._places = None
        for name, chosen in self.items.items():
            self.items[name] = chosen._replace(numbers=self._numbers(chosen.selection))
        restored = self._read()
        for name, chosen in list(self.items.items()):
            # Read from lists before a run was open, or refused by a disk that was full.
            if chosen.kept is None and (len(chosen.numbers) or name not in self._not_kept):
                self._keep(name)
        self.changed.emit()
        return restored

    def add(self, selection: Selection, how: str = "") -> str:
        """Keep a selection; returns its name, with a number when the name is taken."""
        self._read()  # another window may have made some meanwhile
        name = self._put(Chosen(selection, self._numbers(selection), how))
        self._keep(name)
        self.changed.emit()
        return name

    def add_events(self, name: str, numbers: Numbers, how: str = "") -> str:
        """Keep events of the run shown.

        Raises
        ------
        NoEventsError
            If there are none.
        """
        if self._stack is None or not len(numbers):
            raise NoEventsError("No event was chosen.")
        stack = self._stack
        events = tuple(stack.event_id(int(i)) for i in numbers)
        return self.add(Selection(name, events), how)

    def why_not_kept(self, name: str) -> str:
        """Why a selection is not on disk; empty when it is."""
        return self._not_kept.get(name, "")

    def remove(self, name: str) -> str:
        """Forget one; returns where its list was put aside, if it was kept.

        Raises
        ------
        OutputError
            If its file cannot be moved; then it stays.
        """
        kept = self.items[name].kept
        aside = None if kept is None else remove_kept(kept)
        del self.items[name]
        self.changed.emit()
        return "" if aside is None else str(aside)

    def _put(self, chosen: Chosen) -> str:
        wanted = name = chosen.selection.name
        n = 1
        while name in self.items:
            n += 1
            name = f"{wanted} {n}"
        self.items[name] = chosen._replace(selection=chosen.selection.renamed(name))
        return name

    def _keep(self, name: str) -> None:
        """Write one, or know why not."""
        self._not_kept.pop(name, None)
        if self._folders is None:
            return
        chosen = self.items[name]
        try:
            kept = self._folders.keep(chosen.selection, chosen.how)
        except OutputError as error:
            self._not_kept[name] = str(error)
        else:
            self.items[name] = chosen._replace(kept=kept)

    def _read(self) -> int:
        """Put those that are on disk and not known yet beside the others."""
        if self._folders is None:
            return 0
        known = {chosen.kept.path for chosen in self.items.values() if chosen.kept is not None}
        found = self._folders.read(known)
        self._unread = [*dict.fromkeys([*self._unread, *found.problems])]
        for kept in found.kept:
            numbers = self._numbers(kept.selection)
            self._put(Chosen(kept.selection, numbers, kept.how, kept))
        return len(found.kept)

    def _numbers(self, selection: Selection) -> Numbers:
        if self._stack is None:
            return np.zeros(0, np.int64)
        if self._places is None:
            self._places = event_places(self._stack)
        return np.sort(selection.positions(self._stack, self._places))


class EventsBox(QComboBox):
    """Which events something is done with: all of the run, or those of a selection.

    Parameters
    ----------
    selections : Selections
        To choose from.
    name, tip : str
        Object name and tooltip.
    whole : str
        Words for all events of the run; empty: only selections can be chosen.
    """

    def __init__(
        self, selections: Selections, name: str, tip: str, whole: str = "all events"
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._selections, self._whole = selections, whole
        needs_focus_for_wheel(self)
        selections.changed.connect(self._fill)
        self._fill()

    @property
    def chosen(self) -> str:
        """Name of the selection; empty for all events, or when there is none."""
        return str(self.currentData() or "")

    def numbers(self, n: int) -> Numbers:
        """The events, of a run of ``n``.

        Raises
        ------
        NoEventsError
            If the selection has no event of the run, or there is none.
        """
        if not self.chosen:
            if not self._whole:
                raise NoEventsError("There is no selection yet.")
            return np.arange(n)
        numbers = self._selections.items[self.chosen].numbers
        if not len(numbers):
            raise NoEventsError(f"No event of the selection {self.chosen!r} is in this run.")
        return numbers

    def _fill(self) -> None:
        before = self.chosen
        with QSignalBlocker(self):
            self.clear()
            if self._whole:
                self.addItem(self._whole, "")
            for name, chosen in self._selections.items.items():
                self.addItem(f"{name} ({len(chosen.numbers)})", name)
            self.setCurrentIndex(max(0, self.findData(before)))


class SpiTab(QWidget):
    """A tab: asks the dock for work, makes selections, wants events shown.

    Parameters
    ----------
    selections : Selections
        Those of the dock.

    Attributes
    ----------
    column : QVBoxLayout
        Where subclasses put what they show.
    stack : EventStack or None
        The run.
    """

    #: A job to run, and what it does, for the progress bar.
    job_wanted = Signal(object, str)
    #: The next of these events (numbers in order) is to be shown.
    browsed = Signal(object)
    #: A sentence, and whether it says that something was done, or what is wrong.
    told = Signal(str, bool)

    def __init__(self, selections: Selections) -> None:
        super().__init__()
        self.selections = selections
        self.stack: EventStack | None = None
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(4, 6, 4, 4)
        self.column.setSpacing(6)

    def use(self, stack: EventStack | None) -> None:
        """Be about these events; what was found of others is void."""
        self.stack = stack
        self.forget()

    def forget(self) -> None:
        """Forget what was found; for subclasses."""

    def show_event(self, event: int | None) -> None:
        """Another event is shown; for subclasses."""

    def set_busy(self, busy: bool) -> None:
        """Enable and disable what starts work; for subclasses."""

    def release(self) -> None:
        """Let go of the viewer; for subclasses."""

    def events_of(self, box: EventsBox) -> Numbers | None:
        """The events of the run that are chosen in a box; None, and a sentence, if none are."""
        if self.stack is None:
            return None
        try:
            return box.numbers(len(self.stack))
        except NoEventsError as error:
            self.told.emit(str(error), False)
            return None

    def keep(self, name: str, numbers: Any, how: str = "") -> None:
        """Make a selection of events, and say so; ``how`` it was chosen, in words."""
        try:
            made = self.selections.add_events(name, np.asarray(numbers, np.int64), how)
        except NoEventsError as error:
            self.told.emit(str(error), False)
        else:
            n = len(self.selections.items[made].numbers)
            self.tell_made(made, f"The selection {made!r} has {n} events; see Selections.")

    def tell_made(self, name: str, sentence: str) -> None:
        """Say that a selection was made, and what is wrong if it could not be kept on disk."""
        why = self.selections.why_not_kept(name)
        if why:
            sentence += f" It is not kept on disk: {why} Write it elsewhere by Save."
        self.told.emit(sentence, not why)
