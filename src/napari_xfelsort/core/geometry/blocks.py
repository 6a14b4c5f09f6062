"""Panels set on the picture's grid as whole blocks, turned by multiples of 90 degrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.grid import Grid, corner_pixels, nearest
from napari_xfelsort.core.geometry.panel import Panel

#: First cell, rows, columns, first raw pixel, raw step down, raw step across.
Step = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Block:
    """Where one panel is set.

    Attributes
    ----------
    panel : Panel
        The panel.
    row, column : int
        Its first cell.
    height, width : int
        Its size in the picture.
    upright : bool
        Whether ss runs along rows; else fs does.
    row_backwards, column_backwards : bool
        Whether the panel's coordinate falls while row or column rises.
    error : float
        Largest distance between a pixel's centre and its cell's centre, in pixels.
    """

    panel: Panel
    row: int
    column: int
    height: int
    width: int
    upright: bool
    row_backwards: bool
    column_backwards: bool
    error: float

    @property
    def place(self) -> tuple[slice, slice]:
        """Index expression of the block in the picture."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.column, self.column + self.width),
        )

    def steps(self, raw_shape: tuple[int, ...], columns: int) -> Step:
        """First cell, rows, columns, first raw pixel, raw step down, raw step across."""
        start, along_ss, along_fs = self.panel.raw_strides(raw_shape)
        down, across = (along_ss, along_fs) if self.upright else (along_fs, along_ss)
        if self.row_backwards:
            start += down * (self.height - 1)
            down = -down
        if self.column_backwards:
            start += across * (self.width - 1)
            across = -across
        cell = self.row * columns + self.column
        return cell, self.height, self.width, start, down, across


def is_straight(step: Step) -> bool:
    """Whether the rows of a block are contiguous in the frame."""
    return abs(step[5]) == 1


def place_block(panel: Panel, grid: Grid) -> Block:
    """Set a panel where its middle is nearest to its true place."""
    upright = abs(panel.fs[0] * panel.ss[1]) >= abs(panel.fs[1] * panel.ss[0])
    height, width = panel.height, panel.width
    # Direction of rows is that of falling y.
    row_backwards, column_backwards = panel.ss[1] > 0, panel.fs[0] < 0
    if not upright:
        height, width = width, height
        row_backwards, column_backwards = panel.fs[1] > 0, panel.ss[0] < 0
    x, y = corner_pixels(panel)
    rows, columns = grid.rows(y), grid.columns(x)
    row = _start(rows, height, grid.shape[0])
    column = _start(columns, width, grid.shape[1])
    top = row + (height - 1) * _is_far(row_backwards, upright)
    left = column + (width - 1) * _is_far(column_backwards, not upright)
    error = float(np.hypot(rows - top, columns - left).max())
    return Block(
        panel, row, column, height, width, upright, row_backwards, column_backwards, error
    )


def _start(centres: NDArray[np.float64], size: int, available: int) -> int:
    first = int(nearest(np.array([centres.mean() - (size - 1) / 2]))[0])
    return min(max(first, 0), max(available - size, 0))


def _is_far(backwards: bool, along_ss: bool) -> NDArray[np.int64]:
    """Which of the corner pixels (in `corner_pixels` order) end up at the far side."""
    far = np.array([0, 0, 1, 1]) if along_ss else np.array([0, 1, 0, 1])
    return 1 - far if backwards else far


def blocks_are_apart(blocks: Sequence[Block], shape: tuple[int, int]) -> bool:
    """Whether no two blocks share a cell."""
    covered = np.zeros(shape, bool)
    for block in blocks:
        covered[block.place] = True
    return int(covered.sum()) == sum(block.height * block.width for block in blocks)


def gap_rectangles(gap: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rectangles that cover the True cells: rows (row, row end, column, column end)."""
    found: list[tuple[int, int, int, int]] = []
    growing: dict[tuple[int, int], int] = {}
    edges = np.diff(np.pad(gap, ((0, 1), (1, 1))).astype(np.int8), axis=1)
    for row, line in enumerate(edges):
        runs = [(int(a), int(b)) for a, b in np.flatnonzero(line).reshape(-1, 2)]
        still = {run: growing.pop(run, row) for run in runs}
        found += [(first, row, *run) for run, first in growing.items()]
        growing = still
    return np.array(found, np.int64).reshape(-1, 4)
