"""Loops of the RefleX method, compiled when imported: import them where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact


@exact
def brightest_ray(image: NDArray[np.float64], y: float, x: float, n_rays: int) -> float:
    """Highest mean along a ray from a point to the edge, a sample a pixel of its length."""
    height, width = image.shape
    best = -np.inf
    for k in range(n_rays):
        angle = 2 * np.pi * k / n_rays
        dy, dx = np.sin(angle), np.cos(angle)
        total = 0.0
        n = 0
        while True:
            row, column = int(np.floor(y + n * dy + 0.5)), int(np.floor(x + n * dx + 0.5))
            if row < 0 or column < 0 or row >= height or column >= width:
                break
            total += image[row, column]
            n += 1
        if n and total / n > best:
            best = total / n
    return best
