"""Compiled loops over the pixels of cells; imported where they are used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact


@exact
def cell_sums(
    frame: NDArray[Any],
    cells: NDArray[np.uint16],
    limit: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Number and sum of the values of each cell that are not above its limit.

    ``frame`` and ``cells`` (rows, columns); ``sums`` (cells, 2) is added to.
    """
    for row in range(frame.shape[0]):
        values, numbers = frame[row], cells[row]
        for column in range(frame.shape[1]):
            c = np.uintp(numbers[column])
            value = np.float32(values[column])
            if value <= limit[c]:
                sums[c, 0] += 1.0
                sums[c, 1] += value
