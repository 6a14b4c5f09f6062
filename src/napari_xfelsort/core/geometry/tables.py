"""Which raw pixel is shown in which cell of the picture.

Two placings. *nearest*: every pixel goes to the cell that its centre lies in; where two
meet, the panel that comes first in the geometry wins, in one panel the pixel nearer to the
cell's centre; a cell inside a panel that no pixel went to shows the pixel it lies in.
*block*: every panel is turned by the nearest multiple of 90 degrees and set on the grid as
a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.blocks import (
    Step,
    blocks_are_apart,
    gap_rectangles,
    is_straight,
    place_block,
)
from napari_xfelsort.core.geometry.grid import Grid
from napari_xfelsort.core.geometry.panel import Panel

#: Largest distance in pixels between a pixel's place and its cell for "auto" to use blocks.
BLOCK_TOLERANCE = 0.75

_NONE = -1

Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Blocks:
    """What a block copy does: three arrays of int64, a row for each block or gap.

    Attributes
    ----------
    turned, straight : ndarray, shape (blocks, 6)
        First cell, rows, columns, first raw pixel, raw step down and across, for blocks
        whose rows are not, and are, contiguous in the frame.
    gaps : ndarray, shape (rectangles, 4)
        Row, row end, column and column end of cells without panel.
    """

    turned: NDArray[np.int64]
    straight: NDArray[np.int64]
    gaps: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tables:
    """Gather tables between raw frame and picture; -1 means none.

    Attributes
    ----------
    raw_of_cell : ndarray of int32, size of the picture
        Flat raw index that each cell shows.
    cell_of_raw : ndarray of int32, size of the raw frame
        Flat cell that shows each raw pixel at its own place.
    blocks : Blocks or None
        For block copy.
    """

    raw_of_cell: Indices
    cell_of_raw: Indices
    blocks: Blocks | None = None


def choose_method(panels: Sequence[Panel], grid: Grid) -> str:
    """``block`` where it is as good as the nearest pixel, else ``gather``."""
    blocks = [place_block(panel, grid) for panel in panels]
    good = all(block.error < BLOCK_TOLERANCE for block in blocks)
    return "block" if good and blocks_are_apart(blocks, grid.shape) else "gather"


def build_block_tables(panels: Sequence[Panel], grid: Grid, raw_shape: tuple[int, ...]) -> Tables:
    """Tables of the block placing."""
    raw_of_cell = np.full(grid.shape, _NONE, np.int32)
    placed = [place_block(panel, grid) for panel in panels]
    steps = [block.steps(raw_shape, grid.shape[1]) for block in placed]
    # Copied last to first so that the first wins; those whose rows are contiguous in the
    # frame after the others, because the loops take them in this order.
    pairs = sorted(zip(placed[::-1], steps[::-1], strict=True), key=lambda p: is_straight(p[1]))
    for block, (_, height, width, start, down, across) in pairs:
        rows = start + down * np.arange(height)[:, np.newaxis]
        raw_of_cell[block.place] = rows + across * np.arange(width)
    flat = raw_of_cell.ravel()
    cell_of_raw = np.full(int(np.prod(raw_shape)), _NONE, np.int32)
    shown = np.flatnonzero(flat != _NONE)
    cell_of_raw[flat[shown]] = shown
    blocks = Blocks(
        turned=_rows([step for _, step in pairs if not is_straight(step)]),
        straight=_rows([step for _, step in pairs if is_straight(step)]),
        gaps=gap_rectangles(raw_of_cell == _NONE),
    )
    return Tables(flat, cell_of_raw, blocks)


def _rows(steps: list[Step]) -> NDArray[np.int64]:
    return np.array(steps, np.int64).reshape(-1, 6)


def build_nearest_tables(
    panels: Sequence[Panel], grid: Grid, raw_shape: tuple[int, ...]
) -> Tables:
    """Tables of the placing by nearest cell."""
    raw_of_cell = np.full(grid.shape, _NONE, np.int32)
    cell_of_raw = np.full(int(np.prod(raw_shape)), _NONE, np.int32)
    for panel in panels:
        raw, cells = _place_nearest(panel, grid, raw_shape, raw_of_cell.ravel())
        cell_of_raw[raw] = cells
    for panel in panels:
        _fill_holes(panel, grid, raw_shape, raw_of_cell)
    return Tables(raw_of_cell.ravel(), cell_of_raw)


def flat_indices(panel: Panel, raw_shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat raw index of every pixel of a panel; shape (ss, fs)."""
    start, down, across = panel.raw_strides(raw_shape)
    rows = start + down * np.arange(panel.height)[:, np.newaxis]
    return np.asarray(rows + across * np.arange(panel.width))


def _place_nearest(
    panel: Panel, grid: Grid, raw_shape: tuple[int, ...], raw_of_cell: Indices
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Enter one panel; returns its shown pixels and their cells."""
    rows, columns = grid.cells(panel)
    cells = (rows * grid.shape[1] + columns).ravel()
    raw = flat_indices(panel, raw_shape).ravel()
    free = np.flatnonzero(raw_of_cell[cells] == _NONE)
    if len(free) < len(cells):
        cells, raw = cells[free], raw[free]
    raw_of_cell[cells] = raw
    losers = np.flatnonzero(raw_of_cell[cells] != raw)
    if len(losers):
        rivals = np.flatnonzero(np.isin(cells, cells[losers]))
        far_first = rivals[np.argsort(-_distance(panel, grid)[free[rivals]], kind="stable")]
        raw_of_cell[cells[far_first]] = raw[far_first]
        won = raw_of_cell[cells] == raw
        cells, raw = cells[won], raw[won]
    return raw, cells


def _distance(panel: Panel, grid: Grid) -> NDArray[np.float64]:
    """Squared distance of each pixel's centre to its cell's centre; flat."""
    rows, columns = grid.rows(panel.centres(1)), grid.columns(panel.centres(0))
    near_rows, near_columns = grid.cells(panel)
    return np.asarray((rows - near_rows) ** 2 + (columns - near_columns) ** 2).ravel()


def _fill_holes(
    panel: Panel, grid: Grid, raw_shape: tuple[int, ...], raw_of_cell: Indices
) -> None:
    rows, columns = grid.cells(panel)
    top, left = int(rows.min()), int(columns.min())
    window = raw_of_cell[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    row, column = np.nonzero(window == _NONE)
    f, s = panel.coordinates(
        (column + left - grid.column_of_axis) * grid.pixel,
        (grid.row_of_axis - row - top) * grid.pixel,
    )
    inside = (f >= 0) & (f < panel.width) & (s >= 0) & (s < panel.height)
    start, down, across = panel.raw_strides(raw_shape)
    raw = start + down * s[inside].astype(np.int64) + across * f[inside].astype(np.int64)
    window[row[inside], column[inside]] = raw
