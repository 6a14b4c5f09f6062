"""One pixel: its values over the frames, and what a mask knows of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import UnreadableFileError

if TYPE_CHECKING:
    from napari_xfelsort.core.masks.making import MadeMask
    from napari_xfelsort.core.stack import EventStack


class PixelTrace(NamedTuple):
    """Values of a pixel.

    Attributes
    ----------
    events : ndarray of int
        The frames that were looked at.
    values : ndarray of float
        In ADU as stored; NaN in a frame that cannot be read.
    n_frames : int
        Frames in all.
    """

    events: NDArray[np.int64]
    values: NDArray[np.float64]
    n_frames: int


class PixelFeature(NamedTuple):
    """A feature of a pixel: its value, and how many scales it is from the others."""

    name: str
    value: float
    ratio: float


def pixel_trace(
    stack: EventStack,
    pixel: tuple[int, ...],
    most: int = 400,
    progress: Callable[[int, int], None] | None = None,
) -> PixelTrace:
    """Values of a raw pixel over the frames of a stack; of each no more than it is read.

    Parameters
    ----------
    stack : EventStack
        The frames.
    pixel : tuple of int
        Raw index.
    most : int
        Of more frames, so many are looked at, evenly spread.
    progress : callable, optional
        Called with frames done and frames in all; may raise to stop.
    """
    n = len(stack)
    events = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
    values = np.full(len(events), np.nan)
    window = tuple(slice(k, k + 1) for k in pixel)
    for place, i in enumerate(events.tolist()):
        source, index = stack.locate(i)
        with suppress(UnreadableFileError):  # a gap in the trace
            values[place] = float(np.ravel(source.read(index, window))[0])
        if progress is not None:
            progress(place + 1, len(events))
    return PixelTrace(events, values, n)


def pixel_features(mask: MadeMask, pixel: tuple[int, ...]) -> list[PixelFeature]:
    """The features of a raw pixel, as far as they are known."""
    found = [
        PixelFeature(name, float(feature.values[pixel]), float(feature.ratio[pixel]))
        for name, feature in mask.features.items()
    ]
    return [each for each in found if not np.isnan(each.value)]


def mean_frame(
    stack: EventStack, most: int = 200, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """Mean of the frames of a stack, of more than ``most`` of so many, evenly spread.

    Frames that cannot be read are left out; values that are no number make a mean of the
    others. Raw shape; NaN where there is none.
    """
    n = len(stack)
    events = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
    total, known = np.zeros(stack.raw_shape), np.zeros(stack.raw_shape)
    for place, i in enumerate(events.tolist()):
        try:
            frame = stack.raw(i).astype(np.float64)
        except UnreadableFileError:
            continue
        finite = np.isfinite(frame)
        total += np.where(finite, frame, 0)
        known += finite
        if progress is not None:
            progress(place + 1, len(events))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / known)
