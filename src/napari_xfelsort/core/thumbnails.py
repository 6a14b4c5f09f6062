"""Small pictures of events, for galleries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.browsing import log_scaled, shown_frame
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.report import shrink

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Rows and columns of the picture that are shown.
Box = tuple[slice, slice]


def picture_box(stack: EventStack, region: Region) -> Box:
    """The smallest part of the picture that shows a region.

    Raises
    ------
    RegionError
        If the region cannot be resolved, or no pixel of it is shown.
    """
    height, width = stack.assembled_shape
    if region.kind == "whole":
        return slice(0, height), slice(0, width)
    beam = known_beam(stack, 0) if region.kind == "q" else ()
    resolved = region.resolve(tuple(stack.raw_shape), stack.geometry, *beam)
    raw = np.zeros(stack.raw_shape, np.uint8)
    raw[resolved.window] = 1 if resolved.inside is None else resolved.inside
    if stack.geometry is None:
        shown = raw.reshape(-1, raw.shape[-1])
    else:
        shown = stack.geometry.assemble(raw)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def thumbnail(
    stack: EventStack, i: int, box: Box, largest: int, log: bool = False
) -> NDArray[np.float64]:
    """A part of event ``i``'s picture, blocks of pixels averaged.

    Parameters
    ----------
    stack : EventStack
    i : int
        The event.
    box : pair of slice
        From `picture_box`.
    largest : int
        Most rows and columns of the thumbnail.
    log : bool
        Show `log_scaled` values.

    Returns
    -------
    ndarray, shape (rows, columns)
        NaN where nothing was measured.

    Raises
    ------
    UnreadableFileError
        If the event cannot be read.
    """
    small = shrink(shown_frame(stack, i)[box], largest)
    return np.asarray(log_scaled(small.astype(np.float32)), np.float64) if log else small


def as_rgb(
    picture: NDArray[np.float64],
    limits: tuple[float, float],
    no_value: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """A picture in grey, pixels without a value in a colour of their own.

    Parameters
    ----------
    picture : ndarray, shape (rows, columns)
    limits : pair of float
        Values shown black and white.
    no_value : three float
        Red, green and blue, 0 to 1.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    low, high = limits
    span = high - low if high > low else 1.0
    grey = np.clip((np.nan_to_num(picture, nan=low) - low) / span, 0.0, 1.0)
    rgb = np.repeat(np.round(255 * grey).astype(np.uint8)[..., None], 3, axis=2)
    rgb[np.isnan(picture)] = np.round(255 * np.array(no_value)).astype(np.uint8)
    return rgb
