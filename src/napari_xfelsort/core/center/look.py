"""The centre by several methods, of an event or of many as one picture, or of a part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_xfelsort.core.center.auto import find_center
from napari_xfelsort.core.center.of_stack import (
    STACK_METHODS,
    find_center_of_stack,
    true_places,
)
from napari_xfelsort.core.center.powder import POWDERS, chosen_events, powder
from napari_xfelsort.core.center.result import CenterResult
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.radial_profile import region_pixels
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack

#: One event as it is, or a picture made of many.
EVENT = "event"
KINDS = (EVENT, *POWDERS)
#: The one method that wants stored peaks instead of a picture.
_PEAKS = "friedel"


@dataclass(frozen=True)
class Look:
    """What is looked at.

    Attributes
    ----------
    kind : str
        ``event``, or ``mean``, ``median`` or ``max`` of several.
    event : int
        Number of the event; of several, the one whose beam decides a region in q.
    most : int
        How many events are taken, evenly over the run; fewer for the median, which must
        hold some of them in memory.
    region : Region
        Pixels that are used; peaks are used wherever they are.
    """

    kind: str = EVENT
    event: int = 0
    most: int = 50
    region: Region = field(default_factory=Region)

    def events(self, stack: EventStack) -> list[int]:
        """Numbers of the events.

        Raises
        ------
        SettingsError
            If the kind is unknown, or there is no such event.
        """
        if self.kind == EVENT:
            return chosen_events(stack, self.event)[1]
        if self.kind not in POWDERS or self.most < 1:
            raise SettingsError(
                f"Of {self.most} events {', '.join(POWDERS)} can be taken, but not {self.kind!r}."
            )
        every = chosen_events(stack, self.kind)[1]
        n = min(self.most, len(every))
        return [every[int(k)] for k in np.linspace(0, len(every) - 1, n).round()]


def find_centers(
    stack: EventStack,
    look: Look,
    methods: Sequence[str] = ("auto",),
    progress: Callable[[int, int], None] | None = None,
) -> list[CenterResult]:
    """Where the beam meets the detector, by each of some methods; frames are read once.

    Parameters
    ----------
    stack : EventStack
        The run.
    look : Look
        What is looked at.
    methods : sequence of str
        Of `STACK_METHODS`.
    progress : callable, optional
        Called with steps done and in all: events read and methods used.

    Returns
    -------
    list of CenterResult
        In pixels of the assembled picture, in the order of the methods.

    Raises
    ------
    SettingsError
        If a method is unknown, or what is looked at is not possible.
    RegionError
        If the region does not suit the run.
    NoEventsError
        If no event can be read.
    """
    unknown = [name for name in methods if name not in STACK_METHODS]
    if unknown:
        raise SettingsError(
            f"The method {unknown[0]!r} is not known; the methods are {', '.join(STACK_METHODS)}."
        )
    events = look.events(stack)
    inside = region_pixels(stack, look.event, look.region)
    total = len(events) + len(methods)

    def tell(done: int, _: int = 0) -> None:
        if progress is not None:
            progress(done, total)

    geometry, details = stack.geometry, {}
    picture = bad = places = None
    if set(methods) - {_PEAKS}:
        raw, good, problems = powder(
            stack, "mean" if look.kind == EVENT else look.kind, events, tell
        )
        if inside is not None:
            good &= inside
        details = {"events": len(events) - len(problems), "problems": problems}
        if geometry is None:
            picture, bad = (a.reshape(stack.assembled_shape) for a in (raw, ~good))
        else:
            picture = geometry.assemble(np.where(good, raw, np.float32(np.nan)))
            places = true_places(geometry)
    found = []
    for number, method in enumerate(methods):
        tell(len(events) + number)
        if method == _PEAKS:
            found.append(find_center_of_stack(stack, events, _PEAKS))
        else:
            assert picture is not None
            result = find_center(picture, bad, method, places)
            result.details.update(details)
            found.append(result)
    return found
