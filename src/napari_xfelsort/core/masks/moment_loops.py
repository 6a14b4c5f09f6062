"""Loops that add frames to sums over time; imported where used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

#: Pixels whose sums stay in the nearest cache while frames go by.
_BLOCK = 2048
_INT32 = 2**31 - 1


@exact
def four(
    line: NDArray[Any],
    line1: NDArray[Any],
    line2: NDArray[Any],
    line3: NDArray[Any],
    i: int,
    zero: Any,
) -> tuple[Any, Any, Any]:
    """Sum, sum of squares and largest size of a pixel's difference from 0 in four frames."""
    a, b = np.int32(line[i]) - zero, np.int32(line1[i]) - zero
    c, d = np.int32(line2[i]) - zero, np.int32(line3[i]) - zero
    largest = max(max(abs(a), abs(b)), max(abs(c), abs(d)))
    return a + b + c + d, a * a + b * b + c * c + d * d, largest


@exact
def add_whole(
    frames: NDArray[Any],
    shift: NDArray[Any],
    sums: NDArray[np.int64],
    squares: NDArray[np.int64],
) -> None:
    """Add ``frames - shift`` and its square, exactly; frames (T, pixels) of at most 16 bits."""
    short, short_squares = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    n_frames, n_pixels = frames.shape
    for start in range(0, n_pixels, _BLOCK):
        end = min(start + _BLOCK, n_pixels)
        n = end - start
        zero = shift[start:end]
        first, second = short[:n], short_squares[:n]
        first[:] = 0
        second[:] = 0
        largest = np.int32(0)
        whole = n_frames - n_frames % 8
        for t in range(0, whole, 8):  # at once: sums are loaded and stored less often
            a, b = frames[t, start:end], frames[t + 1, start:end]
            c, d = frames[t + 2, start:end], frames[t + 3, start:end]
            e, f = frames[t + 4, start:end], frames[t + 5, start:end]
            g, h = frames[t + 6, start:end], frames[t + 7, start:end]
            for i in range(n):
                sum_1, square_1, size_1 = four(a, b, c, d, i, np.int32(zero[i]))
                sum_2, square_2, size_2 = four(e, f, g, h, i, np.int32(zero[i]))
                first[i] += sum_1 + sum_2
                second[i] += square_1 + square_2
                largest = max(largest, max(size_1, size_2))
        for t in range(whole, n_frames):
            line = frames[t, start:end]
            for i in range(n):
                away = np.int32(line[i]) - np.int32(zero[i])
                first[i] += away
                second[i] += away * away
                largest = max(largest, abs(away))
        if np.int64(largest) * np.int64(largest) * n_frames <= _INT32:
            for i in range(n):
                sums[start + i] += first[i]
                squares[start + i] += second[i]
            continue
        for t in range(n_frames):  # 32 bits were too few: once more
            line = frames[t, start:end]
            for i in range(n):
                wide = np.int64(line[i]) - np.int64(zero[i])
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
