"""The pixel grid of the assembled picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.panel import MAX_PIXELS, Panel

# Pixel centres that lie halfway between two cells all go to the same side.
_TIE = 1e-6

#: Placing by the nearest cell: row and column of every pixel.
Cells = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Grid:
    """The assembled picture: looking into the beam, x to the right, y up, rows downward.

    Attributes
    ----------
    pixel : float
        Size of a cell in m: the median of the panels'.
    row_of_axis, column_of_axis : float
        Where the beam axis (x = y = 0) is; cell centres are at whole numbers.
    shape : tuple of int
        Rows and columns.
    """

    pixel: float
    row_of_axis: float
    column_of_axis: float
    shape: tuple[int, int]

    def rows(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fractional rows of laboratory y in m."""
        return np.asarray(self.row_of_axis - y / self.pixel)

    def columns(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fractional columns of laboratory x in m."""
        return np.asarray(self.column_of_axis + x / self.pixel)

    def laboratory(self, points: ArrayLike) -> NDArray[np.float64]:
        """Laboratory (x, y) in m of points (row, column), fractions allowed; shape (n, 2)."""
        rows, columns = np.asarray(points, np.float64).reshape(-1, 2).T
        x = (columns - self.column_of_axis) * self.pixel
        y = (self.row_of_axis - rows) * self.pixel
        return np.stack([x, y], axis=1)

    def picture(self, points: ArrayLike) -> NDArray[np.float64]:
        """Fractional (row, column) of laboratory (x, y) in m; the inverse of `laboratory`."""
        x, y = np.asarray(points, np.float64).reshape(-1, 2).T
        return np.stack([self.rows(y), self.columns(x)], axis=1)

    def cells(self, panel: Panel) -> Cells:
        """Row and column of the cell that holds each pixel centre; shape (ss, fs)."""
        rows, columns = self.rows(panel.centres(1)), self.columns(panel.centres(0))
        return nearest(rows), nearest(columns)


def nearest(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nearest whole numbers, halves up."""
    return np.floor(values + (0.5 + _TIE)).astype(np.int64)


def corner_pixels(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Laboratory x and y of the centres of the four corner pixels."""
    f = np.array([0.5, panel.width - 0.5] * 2)
    s = np.repeat([0.5, panel.height - 0.5], 2)
    return panel.position(f, s, 0), panel.position(f, s, 1)


def make_grid(panels: Sequence[Panel]) -> Grid:
    """The grid that holds all pixel centres.

    Its cells lie where most pixel centres fall on cell centres, so that a frame of one
    panel along the axes is shown pixel by pixel.

    Raises
    ------
    GeometryError
        If the panels are too far apart for a picture.
    """
    pixel = float(np.median([1 / panel.res for panel in panels]))
    corners = np.array([corner_pixels(panel) for panel in panels]) / pixel
    middles = np.array([_middle_pixel(panel) for panel in panels]) / pixel
    left, right = _limits(corners[:, 0], middles[:, 0])
    top, bottom = _limits(-corners[:, 1], -middles[:, 1])
    height, width = bottom - top, right - left
    if not height * width <= MAX_PIXELS:
        raise GeometryError(
            f"The panels of this geometry are so far apart that the picture would have "
            f"{height:.3g} x {width:.3g} pixels; check corner_x, corner_y and res."
        )
    return Grid(pixel, -top, -left, (round(height), round(width)))


def _middle_pixel(panel: Panel) -> tuple[float, float]:
    """Laboratory x and y of the centre of the pixel in the middle."""
    f, s = panel.width // 2 + 0.5, panel.height // 2 + 0.5
    return float(panel.position(f, s, 0)), float(panel.position(f, s, 1))


def _limits(corners: NDArray[np.float64], middles: NDArray[np.float64]) -> tuple[float, float]:
    """First cell centre, and one beyond the last, along one axis.

    Given are the pixel centres at the corners and in the middle of the panels, in cells.
    """
    turns = np.exp(2j * np.pi * middles).mean()
    phase = math.atan2(turns.imag, turns.real) / (2 * np.pi)
    low, high = nearest(np.array([corners.min(), corners.max()]) - phase)
    return float(low + phase), float(high + phase + 1)
