"""Labels by profile in a label folder: a rule as others are, withdrawn as a whole.

`napari_xfelsort.core.label_rules.withdraw` takes all labels of such a rule back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_rules import LabelRule, RuleOutcome, apply_rule
from napari_xfelsort.core.profiles.ranges import BAD, GOOD, Range, check_side, inside
from napari_xfelsort.core.profiles.table import EventNames

if TYPE_CHECKING:
    from napari_xfelsort.core.label_history import LabelHistory
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.profiles.table import ProfileTable
    from napari_xfelsort.core.stack import EventStack

#: Name of the rule: its labels have the source ``rule:profile``.
RULE_NAME = "profile"


@dataclass(frozen=True)
class _ProfileRule(LabelRule):
    """Its score is 1 inside of all ranges, 0 outside, NaN where it is undecided."""

    @property
    def note(self) -> str:
        return self.what


def describe(table: ProfileTable, ranges: Sequence[Range], good: str) -> str:
    """How labels were made, in one line: the note of each of them."""
    settings = table.settings.to_dict()
    parts = {
        "region": table.region,
        **settings,
        "ranges": " ".join(f"{low:.6g}..{high:.6g}" for low, high in ranges),
        "good": good,
    }
    return "; ".join(f"{name}={value}" for name, value in parts.items())


def store_labels(
    store: LabelStore,
    stack: EventStack,
    table: ProfileTable,
    ranges: Sequence[Range],
    good: str,
    relabel: bool = False,
    history: LabelHistory | None = None,
    name: str = RULE_NAME,
) -> RuleOutcome:
    """Label the events of a table, each by its name, with one write to disk.

    What the rule said before is replaced, or taken back where an event is undecided now.
    Labels that no rule gave (by hand, from lists) stay.

    Parameters
    ----------
    store : LabelStore
        Where to.
    stack : EventStack
        The events that the table is of.
    table : ProfileTable
        Their profiles.
    ranges, good
        As `labels_of` takes them.
    relabel : bool
        Replace labels that no rule gave too.
    history : LabelHistory, optional
        Of this store; this is then one step that can be undone.
    name : str
        Name of the rule; rules of other names are left alone.

    Raises
    ------
    LabelError
        If the table is of other events, there is no range, one is empty, the side is
        neither of the two, or labels cannot be stored.
    """
    check_side(good)
    _check_events(stack, table)
    scores = np.where(table.ok, inside(table, ranges).astype(np.float64), np.nan)
    labels = (GOOD, BAD) if good == "inside" else (BAD, GOOD)
    rule = _ProfileRule(name, 1.0, 1.0, *labels, describe(table, ranges, good))
    return apply_rule(store, stack, scores, rule, relabel, history)


def _check_events(stack: EventStack, table: ProfileTable) -> None:
    """Refuse a table that was read from disk and is not of this stack, or in another order."""
    names = table.events
    if isinstance(names, EventNames) and names.stack is stack:
        return
    same = len(names) == len(stack)
    for i, event in enumerate(names if same else ()):
        own = stack.event_id(i)
        if (event.place or event.file, event.event) != (own.place or own.file, own.event):
            same = False
            break
    if not same:
        raise LabelError(
            "The table of profiles is not of the events that are open, or has them in another "
            "order; open the same files, or fit the profiles again."
        )
