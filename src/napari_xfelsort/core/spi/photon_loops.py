"""Places of photons in frames; compiled when imported: import it where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Ints = NDArray[np.int32]


@exact
def _photons(value: float, per_photon: float):  # type: ignore[no-untyped-def]
    """Nearest whole number of photons; none for what is no number."""
    count = np.floor(value / per_photon + 0.5)
    if not count >= 1.0:
        return 0
    if count > 2147483647.0:
        return -1
    return int(count)


@exact
def count(
    frames: NDArray[Any],
    bad: NDArray[np.bool_],
    per_photon: float,
    ones: NDArray[np.int64],
    multi: NDArray[np.int64],
) -> bool:
    """Pixels of each frame with one photon and with more; False when one has too many.

    ``bad`` has a row for each frame, one row for all, or none.
    """
    for e in range(len(frames)):
        row = -1
        if len(bad) > 0:
            row = e if len(bad) > 1 else 0
        for p in range(frames.shape[1]):
            if frames[e, p] == 0 or (row >= 0 and bad[row, p]):
                continue
            n = _photons(float(frames[e, p]), per_photon)
            if n < 0:
                return False
            if n == 1:
                ones[e] += 1
            elif n > 1:
                multi[e] += 1
    return True


@exact
def fill(
    frames: NDArray[Any],
    bad: NDArray[np.bool_],
    per_photon: float,
    place_ones: Ints,
    place_multi: Ints,
    count_multi: Ints,
) -> None:
    """Places of one photon, of more, and how many, of one frame after another."""
    i, j = 0, 0
    for e in range(len(frames)):
        row = -1
        if len(bad) > 0:
            row = e if len(bad) > 1 else 0
        for p in range(frames.shape[1]):
            if frames[e, p] == 0 or (row >= 0 and bad[row, p]):
                continue
            n = _photons(float(frames[e, p]), per_photon)
            if n == 1:
                place_ones[i] = p
                i += 1
            elif n > 1:
                place_multi[j] = p
                count_multi[j] = n
                j += 1
