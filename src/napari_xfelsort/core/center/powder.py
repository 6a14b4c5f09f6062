"""Many events as one picture, streamed: mean, median or maximum of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import NoEventsError, SettingsError
from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]
Report = Callable[[int, int], None]

#: Pictures that can be made of many events.
POWDERS = ("mean", "median", "max")
#: Frames whose median is taken at once; also the number of such groups.
_GROUP = 7
#: Events that are looked at for a mean or maximum at most, evenly over the run.
MOST_EVENTS = 2000


def chosen_events(stack: EventStack, events: str | int | Sequence[int]) -> tuple[str, list[int]]:
    """The picture that is made, and of which events.

    Raises
    ------
    SettingsError
        If neither a picture nor events of the stack.
    """
    if isinstance(events, str):
        kind = events.removeprefix("powder").strip() or "mean"
        if kind not in POWDERS:
            raise SettingsError(
                f"Of many events {', '.join(POWDERS)} can be taken, but not {events!r}."
            )
        most = _GROUP**2 if kind == "median" else MOST_EVENTS
        return kind, _evenly(len(stack), most)
    numbers = [events] if isinstance(events, (int, np.integer)) else list(events)
    outside = [i for i in numbers if not 0 <= i < len(stack)]
    if outside or not numbers:
        what = f"no event {outside[0]}" if outside else "nothing to look at without events"
        raise SettingsError(f"There is {what}; the events are 0 to {len(stack) - 1}.")
    return "mean", [int(i) for i in numbers]


def _evenly(n: int, most: int) -> list[int]:
    if n <= most:
        return list(range(n))
    return [int(i) for i in np.linspace(0, n - 1, most).round()]


def powder(
    stack: EventStack, kind: str, events: Sequence[int], progress: Report | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[str]]:
    """One raw frame of many, pixels that are bad in an event left out there.

    A few frames are held at a time, whatever the number of events. The median is that of
    medians of groups of seven, which is robust in the same way.

    Returns
    -------
    picture, good, problems
        The frame (raw shape), pixels good in some event, and events that cannot be read.

    Raises
    ------
    NoEventsError
        If no event can be read.
    """
    from napari_xfelsort.core.errors import XfelsortError

    gather = _Median(stack.raw_shape) if kind == "median" else _Sums(stack.raw_shape, kind)
    problems: list[str] = []
    for n, i in enumerate(events):
        try:
            frame, bad = stack.raw(i), stack.event_mask(i)
        except (XfelsortError, OSError) as error:
            problems.append(str(error))
        else:
            gather.add(frame, _good(frame, None if bad is None else bad.bad))
        if progress is not None:
            progress(n + 1, len(events))
    if len(problems) == len(events):
        raise NoEventsError(f"No event can be read: {problems[0]}")
    picture, good = gather.result()
    return picture, good, problems


def _good(frame: NDArray[Any], bad: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    good = np.isfinite(frame) if frame.dtype.kind == "f" else np.ones(frame.shape, bool)
    if frame.dtype.kind in "iu" and frame.dtype.itemsize > 1:
        good &= (frame >= 0) & (frame < np.iinfo(frame.dtype).max)
    if bad is not None:
        good &= ~bad
    return good


class _Sums:
    """Mean or maximum."""

    def __init__(self, shape: tuple[int, ...], kind: str) -> None:
        self.kind = kind
        self.number = np.zeros(shape, np.int32)
        self.values = np.full(shape, -np.inf if kind == "max" else 0.0)

    def add(self, frame: NDArray[Any], good: NDArray[np.bool_]) -> None:
        self.number += good
        operation = np.maximum if self.kind == "max" else np.add
        operation(self.values, frame, out=self.values, where=good)

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        good = self.number > 0
        values = np.where(good, self.values, 0.0)
        if self.kind == "mean":
            values /= np.maximum(self.number, 1)
        return values.astype(np.float32), good


class _Median:
    """Median of medians of groups; bad pixels as NaN."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.group: list[NDArray[np.float32]] = []
        self.medians: list[NDArray[np.float32]] = []

    def add(self, frame: NDArray[Any], good: NDArray[np.bool_]) -> None:
        self.group.append(np.where(good, frame, np.nan).astype(np.float32))
        if len(self.group) == _GROUP:
            self.medians.append(_median(self.group))
            self.group = []

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        # A small rest would weigh as much as a whole group.
        rest = [_median(self.group)] if 2 * len(self.group) > _GROUP or not self.medians else []
        picture = _median(self.medians + rest)
        good = np.isfinite(picture)
        return np.where(good, picture, np.float32(0)), good


def _median(frames: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Median without NaN, NaN where there is nothing else."""
    ordered = np.sort(np.stack(frames), axis=0)  # NaN last
    number = np.isfinite(ordered).sum(axis=0)
    low = np.maximum((number - 1) // 2, 0)[np.newaxis]
    high = np.minimum(number // 2, len(frames) - 1)[np.newaxis]
    both = np.take_along_axis(ordered, low, 0)[0] + np.take_along_axis(ordered, high, 0)[0]
    return np.where(number > 0, both / 2, np.nan).astype(np.float32)
