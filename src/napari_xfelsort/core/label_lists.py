"""The events of each class, in the order that its list has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_journal import split_label


def events_of_classes(
    labels: Mapping[EventId, str], classes: Iterable[str]
) -> dict[str, list[EventId]]:
    """Events of each class, by file and number; an event of several classes is in each.

    Parameters
    ----------
    labels : dict of EventId to str
        Label of each event; ``"ignore"`` is no class.
    classes : iterable of str
        All classes, those too that no event has.

    Raises
    ------
    LabelError
        If two classes differ only by capitals, so that their lists could collide.
    """
    events: dict[str, list[EventId]] = {name: [] for name in classes}
    folded: dict[str, str] = {}
    for name in events:
        if folded.setdefault(name.casefold(), name) != name:
            raise LabelError(
                f"The classes {folded[name.casefold()]!r} and {name!r} differ only by "
                "capitals; give one of them another name."
            )
    for event in sorted(labels, key=_reading_order):
        for name in split_label(labels[event]):
            events[name].append(event)
    return events


def _reading_order(event: EventId) -> tuple[str, list[tuple[int, int | str]]]:
    """Order of events as a person would put them: numbers by value."""
    parts = event.event.replace("//", "/").split("/")
    return event.file, [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]
