"""Undo and redo of labels, without limit; the journal only ever grows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import RESTORED, LabelEntry, LabelLine
from napari_xfelsort.core.label_match import EventKey
from napari_xfelsort.core.labels import LabelStore


class Change(NamedTuple):
    """What was done, undone or done again.

    Attributes
    ----------
    text : str
        What it is, for the user.
    events : tuple of EventId
        The events it is about, each once, in the order they were labelled.
    """

    text: str
    events: tuple[EventId, ...]


class _Before(NamedTuple):
    """What was known of an event before a step: what counted, and what the voice had said."""

    event: EventId
    shown: LabelEntry | None
    said: LabelEntry | None


class _Step(NamedTuple):
    """Lines written together, and what was there before them."""

    lines: Sequence[LabelLine]
    before: dict[tuple[EventKey, str], _Before]
    change: Change


class LabelHistory:
    """Labels through it can be undone, one step at a time, however many there are.

    A step is all that one call wrote, over files and runs. To undo appends lines that put
    back what was there: the labeller's own earlier label with its source, or the label of
    another labeller as ``restored:SOURCE``, which is nobody's opinion. What others said
    after the step stays. A new label clears what could be done again.

    Parameters
    ----------
    store : LabelStore
        Its labeller is whose labels are undone.
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._began_with: tuple[_Step, ...] = ()

    @classmethod
    def going_on(
        cls, history: LabelHistory | None, store: LabelStore | None
    ) -> LabelHistory | None:
        """The history of a store; one that is there goes on if only the folder was read again."""
        if store is None:
            return None
        if history is None or (history.store.folder, history.store.labeller) != (
            store.folder,
            store.labeller,
        ):
            return cls(store)
        history.store = store
        return history

    def aside(self, store: LabelStore) -> LabelHistory:
        """A history for a copy of the store (`LabelStore.aside`), in another thread."""
        made = LabelHistory(store)
        made._done, made._undone = self._done.copy(), self._undone.copy()
        made._began_with = (*self._done, *self._undone)
        return made

    def take_over(self, aside: LabelHistory) -> None:
        """Take on what was done, undone or done again through the history of a copy.

        Call it after `LabelStore.take_over`. What was done here meanwhile is undone after it.
        """
        began = {id(step) for step in aside._began_with}
        new = [step for step in aside._done if id(step) not in began]
        gone = began - {id(step) for step in (*aside._done, *aside._undone)}  # done again
        undone = {id(step) for step in aside._undone}
        back = [step for step in self._done if id(step) in undone]
        meanwhile = any(id(step) not in began for step in self._done)
        self._done = [step for step in self._done if id(step) not in undone] + new
        kept = [step for step in self._undone if id(step) not in gone]
        # As by any label, what could be done again is cleared, unless it is part of that.
        self._undone = [] if meanwhile or (new and not gone) else kept + back

    # -- labelling

    def set(self, event_id: EventId, label: str, source: str = "hand", note: str = "") -> None:
        """Label an event, as `LabelStore.set` does."""
        self.write([LabelLine(event_id, label, source, note)])

    def set_many(
        self, pairs: Iterable[tuple[EventId, str]], source: str = "hand", note: str = ""
    ) -> None:
        """Label many events in one step, as `LabelStore.set_many` does."""
        self.write([LabelLine(event, label, source, note) for event, label in pairs])

    def clear(self, event_id: EventId, source: str = "hand", note: str = "") -> None:
        """Take the label of an event back, as `LabelStore.clear` does."""
        self.write([LabelLine(event_id, "", source, note)])

    def write(self, lines: Iterable[LabelLine], text: str = "") -> None:
        """Write lines in one step, as `LabelStore.write` does.

        Parameters
        ----------
        lines : iterable of LabelLine
            What to write.
        text : str
            What the step is, for the user; made from the lines when omitted.

        Raises
        ------
        LabelError
            If a label cannot name a class or cannot be stored; then nothing changes.
        """
        lines = list(lines)
        if lines:
            step = self._step(lines, text or _description(lines))
            self.store.write(lines)
            self._done.append(step)
            self._undone.clear()

    def _step(self, lines: Sequence[LabelLine], text: str) -> _Step:
        store = self.store
        before: dict[tuple[EventKey, str], _Before] = {}
        events: dict[EventKey, EventId] = {}
        for line in lines:
            key, voice = store.key(line.event), self._voice(line)
            events.setdefault(key, line.event)
            said = store.said(voice).get(key) if voice else None
            before.setdefault((key, voice), _Before(line.event, store.entry(line.event), said))
        return _Step(lines, before, Change(text, tuple(events.values())))

    def _voice(self, line: LabelLine) -> str:
        return line.voice(self.store.labeller)

    # -- undo and redo

    @property
    def next_undo(self) -> str:
        """What `undo` would take back; empty when there is nothing."""
        return self._done[-1].change.text if self._done else ""

    def size(self, again: bool = False) -> int:
        """How many events `undo` would be about, or `redo`; 0 when there is nothing."""
        steps = self._undone if again else self._done
        return len(steps[-1].change.events) if steps else 0

    @property
    def next_redo(self) -> str:
        """What `redo` would do again; empty when there is nothing."""
        return self._undone[-1].change.text if self._undone else ""

    def undo(self) -> Change | None:
        """Take the last step back; None when there is none.

        Raises
        ------
        LabelError
            If this cannot be stored; then the step stays.
        """
        if not self._done:
            return None
        step = self._done[-1]
        self.store.write(self._undoing(step))
        self._undone.append(self._done.pop())
        return step.change

    def redo(self) -> Change | None:
        """Do again what was undone last; None when there is nothing.

        Raises
        ------
        LabelError
            If this cannot be stored; then it stays undone.
        """
        if not self._undone:
            return None
        undone = self._undone[-1]
        step = self._step(undone.lines, undone.change.text)
        self.store.write(step.lines)
        self._undone.pop()
        self._done.append(step)
        return step.change

    def _undoing(self, step: _Step) -> list[LabelLine]:
        """Lines that put back what each voice had said and then what is to count."""
        store = self.store
        lines: list[LabelLine] = []
        targets: dict[EventKey, tuple[EventId, LabelEntry | None]] = {}
        last: dict[EventKey, LabelEntry | None] = {}
        written = {store.key(line.event): line for line in step.lines}
        for (_, voice), before in step.before.items():
            event = before.event
            key = store.key(event)  # files may have been recognised since
            now = store.entry(event)
            still = _is_of(now, written[key], store.labeller)
            targets.setdefault(key, (event, before.shown if still else now))
            if voice and store.said(voice).get(key) is not before.said:
                lines.append(_again(event, before.said, voice, store.labeller))
                last[key] = before.said
        for key, (event, target) in targets.items():
            if key not in last or last[key] is not target:
                lines.append(restoring(event, target, store.labeller))
        return lines


def _is_of(now: LabelEntry | None, line: LabelLine, labeller: str) -> bool:
    """Whether what counts now is what a step wrote, or a later undo put back of it."""
    if now is None or now.labeller != labeller or now.label != line.label:
        return False
    again = RESTORED + line.source.removeprefix(RESTORED)
    return now.source == line.source or (not line.voice(labeller) and now.source == again)


def restoring(event: EventId, target: LabelEntry | None, labeller: str) -> LabelLine:
    """The line of a labeller that lets an earlier line count again.

    One of his own, or of a rule, is said again; another's is shown without being said.
    """
    if target is None:
        return LabelLine(event, "", f"{RESTORED}hand")
    if target.voice and (target.voice == labeller or target.voice == target.source):
        return LabelLine(event, target.label, target.source, target.note)
    note = target.note if not target.voice else f"label of {target.labeller}"
    return LabelLine(event, target.label, RESTORED + target.origin, note)


def _again(event: EventId, said: LabelEntry | None, voice: str, labeller: str) -> LabelLine:
    """The line by which a voice says what it had said; nothing, if it had not."""
    if said is not None:
        return LabelLine(event, said.label, said.source, said.note)
    return LabelLine(event, "", "hand" if voice == labeller else voice, "undone")


def _description(lines: Sequence[LabelLine]) -> str:
    labels = {line.label for line in lines}
    what = f"label {labels.pop() or 'taken back'}" if len(labels) == 1 else "labels"
    if len(lines) == 1:
        return f"{what} of {lines[0].event.short}"
    return f"{what} of {len(lines)} events"
