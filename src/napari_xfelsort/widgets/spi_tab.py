"""What the tabs of the SPI dock have in common, and the selections that they share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.spi.selections import Selection
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel

Numbers = NDArray[np.int64]


class Chosen(NamedTuple):
    """A selection, and where its events are in the run shown."""

    selection: Selection
    numbers: Numbers


class Selections(QObject):
    """The selections of the dock, by name.

    Attributes
    ----------
    items : dict of str to Chosen
        In the order in which they were made.
    """

    #: One was added or removed, or the run is another.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, Chosen] = {}
        self._stack: EventStack | None = None

    def use(self, stack: EventStack | None) -> None:
        """Find the events of all of them in another run."""
        self._stack = stack
        for name, (selection, _) in self.items.items():
            self.items[name] = Chosen(selection, self._numbers(selection))
        self.changed.emit()

    def add(self, selection: Selection) -> str:
        """Keep a selection; returns its name, with a number when the name is taken."""
        name, n = selection.name, 1
        while name in self.items:
            n += 1
            name = f"{selection.name} {n}"
        self.items[name] = Chosen(selection.renamed(name), self._numbers(selection))
        self.changed.emit()
        return name

    def add_events(self, name: str, numbers: Numbers) -> str:
        """Keep events of the run shown.

        Raises
        ------
        NoEventsError
            If there are none.
        """
        if self._stack is None or not len(numbers):
            raise NoEventsError("No event was chosen.")
        stack = self._stack
        return self.add(Selection(name, tuple(stack.event_id(int(i)) for i in numbers)))

    def remove(self, name: str) -> None:
        """Forget one; its file stays."""
        del self.items[name]
        self.changed.emit()

    def _numbers(self, selection: Selection) -> Numbers:
        if self._stack is None:
            return np.zeros(0, np.int64)
        return np.sort(selection.positions(self._stack))


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

    def keep(self, name: str, numbers: Any) -> None:
        """Make a selection of events, and say so."""
        try:
            made = self.selections.add_events(name, np.asarray(numbers, np.int64))
        except NoEventsError as error:
            self.told.emit(str(error), False)
        else:
            n = len(self.selections.items[made].numbers)
            self.told.emit(f"The selection {made!r} has {n} events; see Selections.", True)
