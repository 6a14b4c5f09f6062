"""Rules as labellers: a range of a number labels events, and can be withdrawn as a whole.

`event_scores` reads a run once; ranges are then tried on the scores without reading again.
`apply_rule` writes labels with the source ``rule:NAME``, `withdraw` takes all labels of a
rule back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.event_scores import score_sides
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_history import LabelHistory, restoring
from napari_xfelsort.core.label_journal import (
    RULE,
    LabelEntry,
    LabelLine,
    check_label,
    check_labeller,
)
from napari_xfelsort.core.label_match import EventKey
from napari_xfelsort.core.labels import LabelStore

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


@dataclass(frozen=True)
class LabelRule:
    """What labels events get by their score.

    Attributes
    ----------
    name : str
        The labels' source is ``rule:NAME``.
    low, high : float
        The range, both ends in it; infinite for none.
    inside, outside : str
        Label of events in the range and of the others; empty for none (*undecided*).
        Events without a score get none.
    what : str
        What the score is, for the note of each label.

    Raises
    ------
    LabelError
        If the range is empty, a label cannot name a class, or both are none.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    inside: str = "good"
    outside: str = "bad"
    what: str = ""

    def __post_init__(self) -> None:
        check_labeller(self.name)
        for label in (self.inside, self.outside):
            if label:
                check_label(label)
        if not self.inside and not self.outside:
            raise LabelError(f"The rule {self.name!r} gives no label at all.")
        if not self.low <= self.high:
            raise LabelError(
                f"The range {self.low:g} to {self.high:g} of the rule {self.name!r} is empty."
            )

    @property
    def source(self) -> str:
        """Source of the labels."""
        return RULE + self.name

    @property
    def note(self) -> str:
        """The rule as a sentence, kept with each label."""
        ranges = {
            (False, True): f"from {self.low:g}",
            (True, False): f"up to {self.high:g}",
            (False, False): f"from {self.low:g} to {self.high:g}",
            (True, True): "any",
        }
        what = ranges[self.low == -math.inf, self.high == math.inf]
        text = f"{self.what or self.name} {what}: {self.inside or 'no label'}"
        return f"{text}; else {self.outside or 'no label'}"

    def labels(self, values: NDArray[np.float64]) -> list[str]:
        """Label of each score; empty for none."""
        sides = score_sides(values, self.low, self.high)
        labels = np.array(["", self.inside, self.outside], object)
        return list(labels[sides.inside + 2 * sides.outside])


class RuleOutcome(NamedTuple):
    """What a rule did to a run.

    Attributes
    ----------
    counts : dict of str to int
        Events that have each label by the rule now.
    kept : int
        Events left as they were because they are labelled by hand.
    undecided : int
        Events that the rule says nothing of.
    """

    counts: dict[str, int]
    kept: int
    undecided: int


def is_by_rule(entry: LabelEntry | None) -> bool:
    """Whether an event has no label, or one that a rule gave."""
    return entry is None or not entry.label or entry.origin.startswith(RULE)


def apply_rule(
    store: LabelStore,
    stack: EventStack,
    values: NDArray[np.float64],
    rule: LabelRule,
    over_hand: bool = False,
    history: LabelHistory | None = None,
) -> RuleOutcome:
    """Label a run by a rule, with one write to disk.

    What a rule of this name said of the run's events before is taken back where it says
    nothing now; its labels of other runs stay.

    Parameters
    ----------
    store : LabelStore
        Where to write.
    stack : EventStack
        The run.
    values : ndarray of float, shape (events,)
        The scores: `EventScores.values`.
    rule : LabelRule
        The rule.
    over_hand : bool
        Label those events too that have a label that no rule gave.
    history : LabelHistory, optional
        Of this store; the rule is then one step that can be undone.

    Raises
    ------
    LabelError
        If the scores are not as many as the events, or labels cannot be stored.
    """
    if len(values) != len(stack):
        raise LabelError(f"There are {len(values)} scores for {len(stack)} events.")
    events = [stack.event_id(i) for i in range(len(stack))]
    entries = store.match(stack).entries
    return write_rule_labels(
        store, events, entries, rule.labels(values), rule.source, rule.note, over_hand, history
    )


def write_rule_labels(
    store: LabelStore,
    events: Sequence[EventId],
    entries: Sequence[LabelEntry | None],
    labels: Sequence[str],
    source: str,
    note: str,
    over_hand: bool = False,
    history: LabelHistory | None = None,
) -> RuleOutcome:
    """Write what a rule of any kind says, with one write to disk; see `apply_rule`.

    Parameters
    ----------
    store : LabelStore
        Where to write.
    events : sequence of EventId
        What the rule looked at.
    entries : sequence of LabelEntry or None
        What counts for each now: `LabelStore.entry`, or `LabelStore.match`.
    labels : sequence of str
        Label of each, empty where the rule says nothing.
    source, note : str
        ``rule:NAME`` and the rule's settings in one line.
    over_hand, history
        As for `apply_rule`.

    Raises
    ------
    LabelError
        If the source is no rule, or labels cannot be stored.
    """
    if not source.startswith(RULE):
        raise LabelError(f"The source of a rule's labels must be {RULE}NAME, not {source!r}.")
    counts: Counter[str] = Counter()
    kept = undecided = 0
    lines: list[LabelLine] = []
    silent: list[EventId] = []
    for event, entry, label in zip(events, entries, labels, strict=True):
        if label and (over_hand or is_by_rule(entry)):
            counts[label] += 1
            lines.append(LabelLine(event, label, source, note))
            continue
        kept += bool(label)
        undecided += not label
        silent.append(event)
    said = store.said(source)
    if said:
        gone = {key for event in silent if (key := store.key(event)) in said and said[key].label}
        lines += _taking_back(store, source, gone)
    _write(store, history, lines, source.replace(":", " ", 1))
    return RuleOutcome(dict(sorted(counts.items())), kept, undecided)


def rules_of(store: LabelStore) -> dict[str, int]:
    """Rules by their source, and the number of events that each says something of; sorted."""
    counts = {
        voice: sum(1 for entry in store.said(voice).values() if entry.label)
        for voice in store.voices
        if voice.startswith(RULE)
    }
    return {source: n for source, n in counts.items() if n}


def withdraw(store: LabelStore, source: str, history: LabelHistory | None = None) -> int:
    """Take all labels of a rule back; what was there before them counts again.

    Parameters
    ----------
    store : LabelStore
        Where the labels are, whoever applied the rule.
    source : str
        ``rule:NAME``.
    history : LabelHistory, optional
        Of this store; this is then one step that can be undone.

    Returns
    -------
    int
        Number of labels taken back.

    Raises
    ------
    LabelError
        If the source is no rule that labelled anything, or it cannot be stored.
    """
    said = store.said(source)
    if not source.startswith(RULE) or not said:
        rules = [voice for voice in store.voices if voice.startswith(RULE)]
        raise LabelError(
            f"No rule {source!r} has labelled events in {store.folder}; "
            + (f"there are {', '.join(rules)}." if rules else "no rule has.")
        )
    gone = {key for key, entry in said.items() if entry.label}
    _write(store, history, _taking_back(store, source, gone), f"withdraw {source}")
    return len(gone)


def _taking_back(store: LabelStore, source: str, keys: set[EventKey]) -> list[LabelLine]:
    """Lines by which a rule is silent on events, and what others said counts."""
    others: dict[EventKey, LabelEntry] = {}
    if keys:
        for entry in store.entries():
            key = store.key(entry.event)
            if key in keys and entry.origin != source:
                others[key] = entry
    said = store.said(source)
    lines = []
    for key in (key for key in said if key in keys):
        event, target = said[key].event, others.get(key)
        lines.append(LabelLine(event, "", source, "withdrawn"))
        if target is not None and target.label:
            lines.append(restoring(event, target, store.labeller))
    return lines


def _write(
    store: LabelStore, history: LabelHistory | None, lines: list[LabelLine], text: str
) -> None:
    if history is None:
        store.write(lines)
    elif history.store is not store:
        raise LabelError("The history is of another label folder.")
    else:
        history.write(lines, text)
