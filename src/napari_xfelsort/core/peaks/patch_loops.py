"""Compiled loops of the learned finder: patches around places, and its small network.

Imported where they are used. Patches are (rows, columns, channels), so that the innermost
loop runs over channels and becomes vectors; sums are taken in one order on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact
from napari_xfelsort.core.peaks.count_peak_loops import surroundings

#: Side of a patch, and numbers of a pixel of it.
SIDE, CHANNELS = 17, 4
_REACH = SIDE // 2
#: Photons of a faint spot in one of its pixels where the background is dark.
_FAINT = 0.5


@exact
def cut_patches(
    counts: NDArray[np.float32],
    bins: NDArray[np.uint16],
    rectangles: NDArray[np.int64],
    level: NDArray[np.float32],
    table: NDArray[np.float64],
    patches: NDArray[np.float32],
    ratios: NDArray[np.float64],
) -> None:
    """What the network sees of each place.

    ``table`` (places, 12) is that of `summits.Summits`. ``patches`` (places, 17, 17, 4) gets
    for each pixel how far its count is from what is expected (in deviations, by square
    roots), how much a faint spot there would explain, the decimal logarithm of what is
    expected, and 1; zeros for pixels that are not used or not of the panel. ``ratios``
    (places,) gets by how much the background around is above that of its rings.
    """
    last = len(level) - 1
    for k in range(len(table)):
        row, column = round(table[k, 0]), round(table[k, 1])
        rectangle = rectangles[int(table[k, -1])]
        ratio = surroundings(counts, bins, rectangle, level, row, column)
        ratios[k] = ratio
        for i in range(SIDE):
            for j in range(SIDE):
                r, c = row + i - _REACH, column + j - _REACH
                patches[k, i, j] = 0.0
                if r < rectangle[0] or r >= rectangle[1]:
                    continue
                if c < rectangle[2] or c >= rectangle[3]:
                    continue
                b = np.uintp(bins[r, c])
                if b == last:
                    continue
                expected = ratio * level[b]
                count = max(np.float64(counts[r, c]), 0.0)
                away = 2.0 * (math.sqrt(count + 0.375) - math.sqrt(expected + 0.375))
                faint = _FAINT + math.sqrt(expected)
                explained = count * math.log1p(faint / expected) - faint
                patches[k, i, j, 0] = math.asinh(away)
                patches[k, i, j, 1] = math.asinh(0.5 * explained)
                patches[k, i, j, 2] = math.log10(expected) / 3.0
                patches[k, i, j, 3] = 1.0


@exact
def convolve(
    images: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    apart: int,
    result: NDArray[np.float32],
) -> None:
    """A convolution inside of images, then nothing below zero.

    ``images`` (n, rows, columns, in), ``weights`` (3, 3, in, out) whose taps are ``apart``
    pixels from one another, ``bias`` (out,), ``result`` (n, rows - 2 apart, columns - 2
    apart, out).
    """
    n, height, width, outs = result.shape
    ins = images.shape[3]
    for k in range(n):
        for r in range(height):
            out = result[k, r]
            for c in range(width):
                out[c] = bias
            for i in range(3):
                row = images[k, r + i * apart]
                for j in range(3):
                    for channel in range(ins):
                        # Over a row of pixels, so that sums need not wait for one another.
                        own = weights[i, j, channel]
                        for c in range(width):
                            value = row[c + j * apart, channel]
                            for o in range(outs):
                                out[c, o] += value * own[o]
            for c in range(width):
                for o in range(outs):
                    out[c, o] = max(out[c, o], np.float32(0.0))
