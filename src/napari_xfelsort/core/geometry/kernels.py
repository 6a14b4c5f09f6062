"""Copying frames into pictures: loops to be compiled.

A frame is moved as unsigned integers of the pixel's size, so that one compiled loop serves
every type of that size. Against ``np.take`` the gather saves a third of the time: indices
are 32-bit and the gap needs no extra pixel in the source.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.tile import TILE, tile_mover

Flat = NDArray[Any]
Loop = Callable[..., None]

#: Set by `compiled`; numba finds what a loop calls by its name in this module.
move_tile: Loop


@cache
def compiled(loop: Loop) -> Loop:
    """One of the loops below, compiled; numba is imported at the first use."""
    import numba

    global move_tile
    move_tile = tile_mover()
    try:
        made: Loop = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # there is no folder that numba could keep its cache in
        made = numba.njit(nogil=True)(loop)
    return made


def gather(source: Flat, table: NDArray[np.int32], gap: Any, out: Flat) -> None:
    """``out[i] = source[table[i]]``, or the gap where the table is negative."""
    for cell in range(table.size):
        index = table[cell]
        if index >= 0:
            out[cell] = source[index]
        else:
            out[cell] = gap


def fill(gaps: NDArray[np.int64], columns: int, gap: Any, out: Flat) -> None:
    """Fill rectangles (row, row end, column, column end) of a picture."""
    for k in range(gaps.shape[0]):
        for row in range(gaps[k, 0], gaps[k, 1]):
            line = out[row * columns + gaps[k, 2] : row * columns + gaps[k, 3]]
            for i in range(line.size):
                line[i] = gap


# Below, indices are unsigned because numba's provision for negative ones stops LLVM from
# using vector instructions.


def copy_straight(source: Flat, steps: NDArray[np.int64], columns: int, out: Flat) -> None:
    """Copy blocks whose rows are contiguous in the frame, forwards or backwards."""
    for k in range(steps.shape[0]):
        width = steps[k, 2]
        last = np.uintp(width - 1)
        for row in range(steps[k, 1]):
            cell = steps[k, 0] + row * columns
            start = steps[k, 3] + row * steps[k, 4]
            line = out[cell : cell + width]
            if steps[k, 5] == 1:
                part = source[start : start + width]
                for i in range(line.size):
                    line[i] = part[i]
            else:
                part = source[start - width + 1 : start + 1]
                for j in range(np.uintp(width)):
                    line[j] = part[last - j]


def copy_turned(source: Flat, steps: NDArray[np.int64], columns: int, out: Flat) -> None:
    """Copy blocks whose rows are not contiguous in the frame.

    Where its columns are contiguous, a block is moved in tiles.
    """
    for k in range(steps.shape[0]):
        cell, height, width = steps[k, 0], steps[k, 1], steps[k, 2]
        first, down, across = steps[k, 3], steps[k, 4], steps[k, 5]
        tiled = height - height % TILE if abs(down) == 1 else 0
        whole = width - width % TILE
        for column in range(0, whole, TILE):
            start = first + column * across
            to = cell + column
            for row in range(0, tiled, TILE):
                if down == 1:
                    move_tile(source, start + row, across, out, to + row * columns, columns)
                else:
                    end = row + TILE - 1
                    move_tile(source, start - end, across, out, to + end * columns, -columns)
        for row in range(height):
            for column in range(whole if row < tiled else 0, width):
                index = np.uintp(first + row * down + column * across)
                out[np.uintp(cell + row * columns + column)] = source[index]
