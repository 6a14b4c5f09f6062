"""Places of photons in frames; compiled when imported: import it where used.

Every pixel is written where the next place goes, and kept by moving on: most have no photon,
and a processor that has to guess which takes longer. What is not reached of the places is
never touched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Ints = NDArray[np.int32]

#: The most photons that a place can have.
_MOST = 2147483647


@exact
def whole(
    frames: NDArray[Any],
    bad: NDArray[np.bool_],
    ones: Ints,
    multi: Ints,
    place_ones: Ints,
    place_multi: Ints,
    count_multi: Ints,
) -> bool:
    """Photons of frames that count them; False when a pixel has more than can be stored.

    ``bad`` has a row for each frame, one row for all, or none; ``ones`` and ``multi`` are
    numbers of each frame; places are those of one frame after another, and one longer than
    there are values.
    """
    i: Any = 0
    j: Any = 0
    fits: Any = True
    for e in range(len(frames)):
        first, second = i, j
        row = min(e, len(bad) - 1)
        for p in range(frames.shape[1]):
            n = np.int64(frames[e, p])
            if row >= 0:
                n *= not bad[row, p]
            place_ones[i] = p
            i += n == 1
            place_multi[j] = p
            count_multi[j] = n
            j += n > 1
            fits &= n <= _MOST
        ones[e], multi[e] = i - first, j - second
    return bool(fits)


@exact
def rounded(
    frames: NDArray[Any],
    bad: NDArray[np.bool_],
    per_photon: float,
    ones: Ints,
    multi: Ints,
    place_ones: Ints,
    place_multi: Ints,
    count_multi: Ints,
) -> bool:
    """As `whole`, of values that are divided by ``per_photon`` and rounded."""
    i: Any = 0
    j: Any = 0
    fits: Any = True
    for e in range(len(frames)):
        first, second = i, j
        row = min(e, len(bad) - 1)
        for p in range(frames.shape[1]):
            value = np.floor(frames[e, p] / per_photon + 0.5)
            # Not a number is none, nor are values that are masked.
            if not value >= 1.0 or (row >= 0 and bad[row, p]):
                value = 0.0
            fits &= value <= _MOST
            n = np.int64(min(value, _MOST))
            place_ones[i] = p
            i += n == 1
            place_multi[j] = p
            count_multi[j] = n
            j += n > 1
        ones[e], multi[e] = i - first, j - second
    return bool(fits)
