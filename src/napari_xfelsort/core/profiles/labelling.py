"""Labels by profile in a label folder: with their settings, and so that others' stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.profiles.ranges import UNDECIDED, Range

if TYPE_CHECKING:
    from napari_xfelsort.core.events import EventId
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.profiles.table import ProfileTable

#: Source of these labels in a journal.
SOURCE = "profile"


class LabelledByProfile(NamedTuple):
    """What `store_labels` did.

    Attributes
    ----------
    counts : dict of str to int
        Events labelled, for each label.
    kept : int
        Events that keep a label from elsewhere.
    withdrawn : int
        Events whose earlier label by profile was taken back, being undecided now.
    """

    counts: dict[str, int]
    kept: int
    withdrawn: int


def describe(table: ProfileTable, ranges: Sequence[Range], good: str) -> str:
    """How labels were made, in one line: the note of each of them."""
    changed = {k: v for k, v in table.settings.to_dict().items() if k not in ("axis", "order")}
    parts = {
        "region": table.region,
        "axis": table.settings.axis,
        "order": table.settings.order,
        **changed,
        "ranges": " ".join(f"{low:.6g}..{high:.6g}" for low, high in ranges),
        "good": good,
    }
    return "; ".join(f"{name}={value}" for name, value in parts.items())


def store_labels(
    store: LabelStore,
    table: ProfileTable,
    labels: NDArray[np.str_],
    note: str,
    replace: bool = False,
) -> LabelledByProfile:
    """Write labels by profile, each event by its name.

    Labels that were made by profile before are replaced, or taken back where the event is
    undecided now. Labels from elsewhere (by hand, from lists) stay.

    Parameters
    ----------
    store : LabelStore
        Where to.
    table : ProfileTable
        The events.
    labels : ndarray of str, shape (events,)
        From `labels_of`.
    note : str
        How they were made, from `describe`.
    replace : bool
        Replace labels from elsewhere too.

    Raises
    ------
    LabelError
        If there is not one label for each event, or they cannot be stored.
    """
    if len(labels) != len(table):
        raise LabelError(f"{len(labels)} labels are not one for each of {len(table)} events.")
    made_here = _by_profile(store)
    new: list[tuple[EventId, str]] = []
    old: list[EventId] = []
    kept = 0
    for event, label in zip(table.events, labels.tolist(), strict=True):
        mine = _key(event) in made_here
        if not mine and not replace and store.get(event) is not None:
            kept += 1
        elif label != UNDECIDED:
            new.append((event, label))
        elif mine:
            old.append(event)
    store.set_many(new, SOURCE, note)
    for event in old:
        store.clear(event, SOURCE, note)
    return LabelledByProfile(dict(Counter(label for _, label in new)), kept, len(old))


def withdraw_labels(store: LabelStore) -> int:
    """Take all labels by profile back that count now; how many there were.

    Raises
    ------
    LabelError
        If this cannot be stored.
    """
    events = list(_by_profile(store).values())
    for event in events:
        store.clear(event, SOURCE, "withdrawn")
    return len(events)


def _by_profile(store: LabelStore) -> dict[tuple[str, str], EventId]:
    """Events whose label, the one that counts, was made by profile."""
    latest: dict[tuple[str, str], EventId] = {}
    for entry in store.entries():
        latest.pop(_key(entry.event), None)
        if entry.source == SOURCE and entry.label:
            latest[_key(entry.event)] = entry.event
    return latest


def _key(event: EventId) -> tuple[str, str]:
    return event.place or event.file, event.event
