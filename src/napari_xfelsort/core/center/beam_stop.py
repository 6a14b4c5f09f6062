"""The shadow of a beam stop: a hint where the beam is, for frames that show little else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import PreparedFrame

Floats = NDArray[np.float64]

#: Light left in the shadow, as a share of what is around.
_DARK = 0.45
#: Surroundings that are compared with, in sides.
_AROUND = 0.1
#: Radii of stops, in sides; a stop's arm is thinner, a panel wider.
_RADII = (0.006, 0.08)


def beam_stop_shadow(frame: PreparedFrame) -> tuple[Floats, float] | None:
    """Middle and radius in pixels of the round part of a beam stop's shadow.

    Of dark places within bright surroundings, the one where the thickest disc fits into the
    brightest surroundings; None if there is none.
    """
    from scipy.ndimage import (
        binary_closing,
        distance_transform_edt,
        maximum_filter,
        percentile_filter,
    )

    cells = frame.levels[min(2, len(frame.levels) - 1)]
    shape = tuple(-(-n // cells.size) for n in frame.image.shape)
    level, seen = np.zeros(shape), np.zeros(shape, bool)
    places = tuple(cells.places.T)
    level[places], seen[places] = np.maximum(cells.table[:, 1], 0.0), True
    opaque = np.unique(np.argwhere(frame.blank) // cells.size, axis=0)
    seen[tuple(opaque.T)] = True  # of level 0 unless there is light beside
    width = 2 * int(_AROUND * frame.side / cells.size / 2) + 1
    around = percentile_filter(level, 75, size=width)
    noise = np.sqrt((frame.gain * around + frame.read) / cells.size**2)
    dark = seen & (level < _DARK * around) & (around - level > 5 * noise)
    # What a gap crosses is one shadow all the same.
    dark = binary_closing(dark | (~seen & binary_closing(dark, iterations=2)))
    depth = distance_transform_edt(np.pad(dark, 1))[1:-1, 1:-1]
    radius = depth * cells.size
    usable = (radius >= _RADII[0] * frame.side) & (radius <= _RADII[1] * frame.side)
    usable &= depth == maximum_filter(depth, 3)  # not the corner of something wider
    if not usable.any():
        return None
    score = np.where(usable, around * np.minimum(depth, 4), 0.0)
    best = np.array(np.unravel_index(int(np.argmax(score)), shape))
    near = (np.abs(np.argwhere(depth > 0) - best) <= 2).all(axis=1)
    points = np.argwhere(depth > 0)[near]
    weights = depth[tuple(points.T)]
    middle = (points * weights[:, np.newaxis]).sum(axis=0) / weights.sum()
    return (middle + 0.5) * cells.size - 0.5, float(radius[tuple(best)])
