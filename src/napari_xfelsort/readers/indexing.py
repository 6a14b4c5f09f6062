"""From an event of a segment to an index expression in its dataset, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_xfelsort.core.source import Window
from napari_xfelsort.readers.layout import Segment


def fill_path(path: str, parts: tuple[str, ...]) -> str:
    """Put the event's path parts in place of the ``%`` of a path, in order."""
    pieces = path.split("%")
    if len(pieces) == 1:
        return path
    filled = pieces[0]
    for number, piece in enumerate(pieces[1:]):
        filled += (parts[number] if number < len(parts) else "%") + piece
    return filled


def axes_of(segment: Segment, k: int) -> tuple[int, ...]:
    """Index along each event axis of the segment's event ``k``."""
    if not segment.event_axes:
        return ()
    flat = segment.number[k] if segment.number is not None else segment.start + k
    if len(segment.event_axes) == 1:
        return (flat,)
    return tuple(int(n) for n in np.unravel_index(flat, segment.axis_lengths))


def position_of(segment: Segment, indices: tuple[int, ...]) -> int | None:
    """The event of a segment that has these indices along the event axes."""
    if len(indices) != len(segment.event_axes):
        return None
    if not indices:
        return 0 if segment.n_events else None
    if len(indices) > 1:
        if any(not 0 <= i < n for i, n in zip(indices, segment.axis_lengths, strict=True)):
            return None
        flat = int(np.ravel_multi_index(indices, segment.axis_lengths))
    else:
        flat = indices[0]
    if segment.number is not None:
        k = int(np.searchsorted(segment.number, flat))
        found = k < len(segment.number) and segment.number[k] == flat
        return k if found else None
    k = flat - segment.start
    return k if 0 <= k < segment.n_events else None


def selection(ndim: int, segment: Segment, k: int, window: Window | None) -> tuple[Any, ...]:
    """Index expression for the segment's event ``k`` in its dataset."""
    n_fixed = len(segment.event_axes) + len(segment.fixed)
    part = tuple(slice(None) for _ in range(ndim - n_fixed)) if window is None else window
    return full_index(ndim, segment, axes_of(segment, k), part)


def full_index(
    ndim: int, segment: Segment, events: tuple[Any, ...], part: tuple[slice, ...]
) -> tuple[Any, ...]:
    """Index expression for given places along the event axes and a window of the frame."""
    fixed = {**dict(zip(segment.event_axes, events, strict=True)), **dict(segment.fixed)}
    rest = iter(part)
    return tuple(fixed[axis] if axis in fixed else next(rest) for axis in range(ndim))
