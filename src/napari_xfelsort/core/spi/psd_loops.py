"""Sums over rings; compiled when imported: import it where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]


@exact
def ring_sums(
    frames: NDArray[Any],
    bad: NDArray[np.bool_],
    place: NDArray[np.int32],
    ring: NDArray[np.int32],
    share: Floats,
    sums: Floats,
    shares: Floats,
    pixels: NDArray[np.int64],
) -> None:
    """Values, shares and numbers of the good pixels of each ring, added to the last three.

    ``bad`` has a row for each frame, one row for all, or none.
    """
    for e in range(len(frames)):
        row = -1
        if len(bad) > 0:
            row = e if len(bad) > 1 else 0
        for k in range(len(place)):
            value = float(frames[e, place[k]])
            if not np.isfinite(value) or (row >= 0 and bad[row, place[k]]):
                continue
            r = ring[k]
            sums[e, r] += value
            shares[e, r] += share[k]
            pixels[e, r] += 1
