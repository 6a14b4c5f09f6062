"""Who said what of the same events, how far labellers agree, and settling between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import IGNORE, SETTLED, LabelLine, split_label
from napari_xfelsort.core.label_match import EventKey
from napari_xfelsort.core.labels import LabelStore

if TYPE_CHECKING:
    from napari_xfelsort.core.label_history import LabelHistory


class Opinions(NamedTuple):
    """What was said of one event.

    Attributes
    ----------
    event : EventId
        The event.
    said : dict of str to str
        Label by labeller; a rule is a labeller named ``rule:NAME``. Labels taken back are
        left out.
    label : str or None
        The label that counts.
    settled : bool
        Whether that was settled, and nobody labelled the event since.
    """

    event: EventId
    said: dict[str, str]
    label: str | None
    settled: bool

    @property
    def disagree(self) -> bool:
        """Whether two labellers gave different labels, ``"ignore"`` being one."""
        return len(set(self.said.values())) > 1


class PairAgreement(NamedTuple):
    """How far two labellers agree on the events that both labelled.

    Attributes
    ----------
    first, second : str
        The labellers.
    n_events, n_agree : int
        Events that both labelled, and those they gave the same label.
    kappa : float
        Cohen's kappa; NaN where it is not defined, with no such event or when both gave
        one and the same label to all.
    """

    first: str
    second: str
    n_events: int
    n_agree: int
    kappa: float


def opinions(store: LabelStore) -> list[Opinions]:
    """What labellers and rules said, for every event that has a label of somebody's."""
    said: dict[EventKey, dict[str, str]] = {}
    events: dict[EventKey, EventId] = {}
    for voice in store.voices:
        for key, entry in store.said(voice).items():
            if entry.label:
                said.setdefault(key, {})[voice] = entry.label
                events.setdefault(key, entry.event)
    return [_opinions_of(store, events[key], said[key]) for key in said]


def opinions_of(store: LabelStore, event: EventId) -> Opinions:
    """What labellers and rules said of one event."""
    key = store.key(event)
    lines = ((voice, store.said(voice).get(key)) for voice in store.voices)
    said = {voice: entry.label for voice, entry in lines if entry is not None and entry.label}
    return _opinions_of(store, event, said)


def _opinions_of(store: LabelStore, event: EventId, said: dict[str, str]) -> Opinions:
    entry = store.entry(event)
    settled = entry is not None and entry.origin == SETTLED and bool(entry.label)
    return Opinions(event, said, store.get(event), settled)


def disagreements(store: LabelStore, with_settled: bool = False) -> list[Opinions]:
    """Events that labellers gave different labels and nobody settled.

    Parameters
    ----------
    store : LabelStore
        The labels.
    with_settled : bool
        Those too that were settled.
    """
    return [
        each for each in opinions(store) if each.disagree and (with_settled or not each.settled)
    ]


def settle(store: LabelStore | LabelHistory, event: EventId, label: str, note: str = "") -> None:
    """Decide between labellers; what each of them said stays known.

    Parameters
    ----------
    store : LabelStore or LabelHistory
        Where to write; through a history it can be undone.
    event : EventId
        The event.
    label : str
        The label that is to count.
    note : str
        A remark, such as why.

    Raises
    ------
    LabelError
        If the label cannot name a class or cannot be stored.
    """
    if not label:
        raise LabelError("To settle an event needs a label, or ignore.")
    store.write([LabelLine(event, label, SETTLED, note)])


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Agreement of two labellers beyond chance (J. Cohen, Educ. Psychol. Meas. 20, 37, 1960).

    Parameters
    ----------
    first, second : sequence of str, shape (events,)
        Their labels of the same events.

    Returns
    -------
    float
        1 for full agreement, 0 for that of chance; NaN where it is not defined: without
        events, and when both gave one and the same label to all.
    """
    if len(first) != len(second):
        raise ValueError("both labellers must have a label for every event")
    n = len(first)
    if n == 0:
        return math.nan
    names = {name: k for k, name in enumerate(sorted({*first, *second}))}
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, ([names[a] for a in first], [names[b] for b in second]), 1)
    # Whole numbers up to here, so that full agreement gives exactly 1.
    chance = int(table.sum(axis=0) @ table.sum(axis=1))
    if chance == n * n:
        return math.nan
    return (n * int(np.trace(table)) - chance) / (n * n - chance)


def pair_agreements(store: LabelStore) -> list[PairAgreement]:
    """Agreement of every two labellers that have labelled an event both."""
    found = []
    labels = {
        voice: {key: entry.label for key, entry in store.said(voice).items() if entry.label}
        for voice in store.voices
    }
    for first, second in itertools.combinations(store.voices, 2):
        both = [key for key in labels[first] if key in labels[second]]
        if both:
            a, b = ([labels[voice][key] for key in both] for voice in (first, second))
            n_agree = sum(x == y for x, y in zip(a, b, strict=True))
            found.append(PairAgreement(first, second, len(both), n_agree, cohen_kappa(a, b)))
    return found


class ClassAgreement(NamedTuple):
    """How far labellers agree on whether events have one class.

    Attributes
    ----------
    name : str
        The class.
    n_events : int
        Events that at least two labellers have labelled.
    n_unanimous : int
        Those on which all of them agree.
    kappa : float
        Fleiss' kappa of having the class or not; NaN where it is not defined.
    """

    name: str
    n_events: int
    n_unanimous: int
    kappa: float


def fleiss_kappa(counts: ArrayLike) -> float:
    """Agreement of several raters beyond chance (J. L. Fleiss, Psychol. Bull. 76, 378, 1971).

    Parameters
    ----------
    counts : array_like of int, shape (subjects, categories)
        How many raters put each subject into each category. Subjects may have different
        numbers of raters, each then counting the same; those of fewer than two are left out.

    Returns
    -------
    float
        1 for full agreement, 0 for that of chance; NaN where it is not defined: without
        such subjects, and when all raters used one category only.

    Raises
    ------
    ValueError
        If it is no such table.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or (table.size and (table < 0).any()):
        raise ValueError("counts must be numbers of raters, a row a subject")
    raters = table.sum(axis=1)
    table, raters = table[raters >= 2], raters[raters >= 2]
    if not len(table):
        return math.nan
    alike = ((table * table).sum(axis=1) - raters) / (raters * (raters - 1))
    used = table.sum(axis=0)
    if np.count_nonzero(used) < 2:
        return math.nan
    chance = float(((used / used.sum()) ** 2).sum())
    return (float(alike.mean()) - chance) / (1 - chance)


def class_agreements(
    store: LabelStore, names: Sequence[str] | None = None
) -> list[ClassAgreement]:
    """Agreement of all labellers, class by class, where events may have several.

    Parameters
    ----------
    store : LabelStore
        The labels; events labelled ``"ignore"`` do not count for who ignored them.
    names : sequence of str, optional
        Classes; those that anybody used when omitted.
    """
    said = [
        [set(split_label(label)) for label in each.said.values() if label != IGNORE]
        for each in opinions(store)
    ]
    several = [voices for voices in said if len(voices) >= 2]
    if names is None:
        names = sorted({name for voices in several for one in voices for name in one})
    found = []
    for name in names:
        yes = np.array([sum(name in one for one in voices) for voices in several], np.int64)
        total = np.array([len(voices) for voices in several], np.int64)
        counts = np.stack([yes, total - yes], axis=1)
        unanimous = int(((yes == 0) | (yes == total)).sum())
        found.append(ClassAgreement(name, len(several), unanimous, fleiss_kappa(counts)))
    return found
