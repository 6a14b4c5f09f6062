"""Loops that add frames to sums over time; imported where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

#: Pixels whose sums stay in the nearest cache while frames go by.
_BLOCK = 4096
_INT32 = 2**31 - 1


@exact
def add_whole(
    frames: NDArray[Any],
    shift: NDArray[np.int32],
    sums: NDArray[np.int64],
    squares: NDArray[np.int64],
) -> None:
    """Add ``frames - shift`` and its square, exactly; frames (T, pixels) of at most 16 bits."""
    short, short_squares = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    n_frames, n_pixels = frames.shape
    for start in range(0, n_pixels, _BLOCK):
        n = min(_BLOCK, n_pixels - start)
        zero = shift[start : start + n]
        first, second = short[:n], short_squares[:n]
        first[:] = 0
        second[:] = 0
        largest = np.int32(0)
        whole = n_frames - n_frames % 4
        for t in range(0, whole, 4):  # four at once: sums are loaded and stored less often
            line, line1 = frames[t, start : start + n], frames[t + 1, start : start + n]
            line2, line3 = frames[t + 2, start : start + n], frames[t + 3, start : start + n]
            for i in range(n):
                a, b = np.int32(line[i]) - zero[i], np.int32(line1[i]) - zero[i]
                c, d = np.int32(line2[i]) - zero[i], np.int32(line3[i]) - zero[i]
                first[i] += a + b + c + d
                second[i] += a * a + b * b + c * c + d * d
                largest = max(largest, max(max(abs(a), abs(b)), max(abs(c), abs(d))))
        for t in range(whole, n_frames):
            line = frames[t, start : start + n]
            for i in range(n):
                a = np.int32(line[i]) - zero[i]
                first[i] += a
                second[i] += a * a
                largest = max(largest, abs(a))
        if np.int64(largest) * np.int64(largest) * n_frames <= _INT32:
            for i in range(n):
                sums[start + i] += first[i]
                squares[start + i] += second[i]
            continue
        for t in range(n_frames):  # 32 bits were too few: once more
            line = frames[t, start : start + n]
            for i in range(n):
                wide = np.int64(line[i]) - zero[i]
                sums[start + i] += wide
                squares[start + i] += wide * wide


@exact
def add_real(
    frames: NDArray[Any],
    shift: NDArray[np.float64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Add ``frames - shift`` and its square where it is finite; frames (T, pixels).

    A pixel without a shift yet (NaN) gets its first finite value as one.
    """
    for start in range(0, frames.shape[1], _BLOCK):
        end = min(start + _BLOCK, frames.shape[1])
        zero, n = shift[start:end], counts[start:end]
        first, second = sums[start:end], squares[start:end]
        for t in range(frames.shape[0]):
            line = frames[t, start:end]
            unknown = 0
            for i in range(line.size):
                unknown += np.isnan(zero[i])
            if unknown:
                for i in range(line.size):
                    value = np.float64(line[i])
                    zero[i] = value if np.isnan(zero[i]) and np.isfinite(value) else zero[i]
            for i in range(line.size):
                value = np.float64(line[i])
                finite = np.isfinite(value)
                away = value - zero[i] if finite else 0.0
                n[i] += np.int64(finite)
                first[i] += away
                second[i] += away * away
