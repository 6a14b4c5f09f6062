"""Peaks that stay where they are from event to event, and so are none.

Bragg peaks come and go with the orientation of each crystal. What is at one pixel in a good
part of all events belongs to the detector or the beam line: bad pixels that no mask names,
edges of a shadow, streaks and rings that do not move.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.peaks.peak_list import PeakList

#: Events that a pixel must have a peak in at least.
_LEAST = 5


def repeated(
    lists: Sequence[PeakList], shape: tuple[int, int], share: float
) -> list[NDArray[np.bool_]]:
    """Which peaks are where many events have one, give or take a pixel.

    Parameters
    ----------
    lists : sequence of PeakList
        One for each event that was read.
    shape : pair of int
        Of the frame with its leading axes below one another.
    share : float
        A place is left out when more than this share of the events have a peak there, and
        at least five.

    Returns
    -------
    list of ndarray of bool, shape (peaks,)
        One for each event.
    """
    width = shape[1] + 2
    keys = [_keys(peaks, width) for peaks in lists]
    if not any(map(len, keys)):
        return [np.zeros(0, bool) for _ in lists]
    pixels, events = np.unique(np.concatenate([np.unique(k) for k in keys]), return_counts=True)
    most = max(share * len(lists), _LEAST - 1)
    result = []
    for own in keys:
        seen = np.zeros(len(own), np.int64)
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                wanted = own + down * width + across
                at = np.minimum(np.searchsorted(pixels, wanted), len(pixels) - 1)
                seen += np.where(pixels[at] == wanted, events[at], 0)
        result.append(seen > most)
    return result


def _keys(peaks: PeakList, width: int) -> NDArray[np.int64]:
    """Number of the pixel of each peak, in a frame with a border."""
    row, column = (np.rint(place).astype(np.int64) + 1 for place in (peaks.ss, peaks.fs))
    return np.asarray(row * width + column, np.int64)
