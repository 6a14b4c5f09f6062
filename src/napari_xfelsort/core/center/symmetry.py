"""Point symmetry: the point about which a frame looks like itself turned by 180 degrees.

A turn by 180 degrees about c takes pixel p to 2c - p, so that the correlation of a frame
with itself turned is its convolution with itself, made at 2c. It is normalised over the
pixels that are good on both sides (Padfield, IEEE Trans. Image Process. 21, 2012), so that
gaps and missing quadrants do not pull.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.center.cells import Cells, PreparedFrame

Floats = NDArray[np.float64]

#: Share of the frame that must be seen on both sides of a centre.
OVERLAP = 0.12
#: Smoothing that is taken away, in sides: what is left are rings, halos and spots.
_SMOOTH = 0.12


def symmetry_map(frame: PreparedFrame, cells: Cells) -> tuple[Floats, Floats]:
    """Correlation (-1 to 1) about each half-cell point, and the share seen on both sides.

    Element (i, j) belongs to the point (i / 2, j / 2) of the net of cells.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = tuple(-(-n // cells.size) for n in frame.image.shape)
    values, seen = np.zeros(shape), np.zeros(shape)
    places = tuple(cells.places.T)
    seen[places] = 1.0
    values[places] = np.sqrt(np.maximum(cells.table[:, 1], 0.0))
    values = _without_smooth(values, seen, _SMOOTH * frame.side / cells.size)
    full = tuple(next_fast_len(2 * n - 1, real=True) for n in shape)

    def convolved(a: Floats, b: Floats) -> Floats:
        out = irfft2(rfft2(a, full) * rfft2(b, full), full)
        return np.asarray(out[: 2 * shape[0] - 1, : 2 * shape[1] - 1])

    number = np.maximum(convolved(seen, seen), 1e-9)
    total = convolved(values, seen)
    squares = convolved(values**2, seen)
    product = convolved(values, values)
    variance = np.maximum(squares - total**2 / number, 1e-9)
    correlation = (product - total**2 / number) / variance
    share = number / max(1.0, seen.sum())
    correlation[(share < OVERLAP) | (variance < 1e-6 * variance.max())] = -1.0
    return correlation, share


def _without_smooth(values: Floats, seen: Floats, width: float) -> Floats:
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(seen, width, mode="constant")
    smooth = gaussian_filter(values * seen, width, mode="constant") / np.maximum(weight, 1e-6)
    off = (values - smooth) * seen
    on = seen > 0
    if on.any():  # what is bright without end says no more than what is bright
        limit = 4 * float(np.median(np.abs(off[on]))) + 1e-12
        off = np.clip(off, -limit, limit)
    return np.asarray(off)


def symmetric_points(frame: PreparedFrame, number: int = 2) -> list[tuple[Floats, float]]:
    """Points of highest symmetry in pixels, best first, and their correlations."""
    from scipy.ndimage import maximum_filter

    cells = frame.levels[min(1, len(frame.levels) - 1)]
    correlation, share = symmetry_map(frame, cells)
    # A chance likeness of few pixels is worth less than one of many.
    score = correlation * np.sqrt(np.maximum(share, 0))
    peaks = (score == maximum_filter(score, 5)) & (correlation > 0)
    order = np.argsort(-score[peaks], kind="stable")[:number]
    found = []
    for i, j in np.argwhere(peaks)[order]:
        place = np.array([i, j], np.float64) + _subcell(score, int(i), int(j))
        center = (place / 2 + 0.5) * cells.size - 0.5
        found.append((center, float(correlation[i, j])))
    return found


def _subcell(score: Floats, i: int, j: int) -> Floats:
    """Top of the parabola through a maximum and its neighbours, along each axis."""
    shift = np.zeros(2)
    for axis, (k, n) in enumerate(zip((i, j), score.shape, strict=True)):
        if 0 < k < n - 1:
            line = score[k - 1 : k + 2, j] if axis == 0 else score[i, k - 1 : k + 2]
            bend = line[0] - 2 * line[1] + line[2]
            if bend < 0:
                shift[axis] = np.clip(0.5 * (line[0] - line[2]) / bend, -0.5, 0.5)
    return shift
