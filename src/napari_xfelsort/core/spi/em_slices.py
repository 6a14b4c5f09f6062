"""Class averages read at rotated points, and counts put back onto them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


class Slices:
    """Bilinear reading of class averages at points that are rotated about the middle.

    Rotation r turns the points by ``angles[r]``, from the right downwards. The matrices are
    sparse; each row has the four neighbours of a point.

    Parameters
    ----------
    u, v : ndarray, shape (points,)
        The points, from the middle.
    side : int
        Pixels of a side of the averages, odd.
    rotations : int
        How many, equally far from one another.
    friedel : bool
        Over half a turn, averages being the same upside down; else over a full one.

    Attributes
    ----------
    angles : ndarray, shape (rotations,)
        In radians.
    """

    def __init__(
        self,
        u: NDArray[np.float64],
        v: NDArray[np.float64],
        side: int,
        rotations: int,
        friedel: bool,
    ) -> None:
        from scipy.sparse import csr_array

        self.side, self.points, self.friedel = side, len(u), friedel
        turn = math.pi if friedel else 2 * math.pi
        self.angles = np.arange(rotations) * (turn / rotations)
        self._read = []
        starts = np.arange(0, 4 * self.points + 1, 4, dtype=np.int32)
        for angle in self.angles.tolist():
            cosine, sine = math.cos(angle), math.sin(angle)
            places, weights = _neighbours(u * cosine - v * sine, u * sine + v * cosine, side)
            entries = (weights.astype(np.float32).ravel(), places.ravel(), starts)
            self._read.append(csr_array(entries, shape=(self.points, side * side)))
        self._put = [matrix.T for matrix in self._read]

    def read(self, models: Floats32, out: Floats32) -> None:
        """Values of the averages at the points.

        Parameters
        ----------
        models : ndarray, shape (classes, side * side)
        out : ndarray, shape (rotations, classes, points)
            Filled.
        """
        columns = np.ascontiguousarray(models.T)
        for r, matrix in enumerate(self._read):
            out[r] = (matrix @ columns).T

    def put_back(self, values: Floats32) -> Floats32:
        """The transpose of reading, added up over the rotations; and upside down as well
        where both are alike.

        Parameters
        ----------
        values : ndarray, shape (rotations, classes, points)

        Returns
        -------
        ndarray, shape (classes, side * side)
        """
        total = np.zeros((self.side * self.side, values.shape[1]), np.float32)
        for r, matrix in enumerate(self._put):
            total += matrix @ np.ascontiguousarray(values[r].T)
        return self.both_ways(np.ascontiguousarray(total.T))

    def spread(self, exposure: Floats32) -> Floats32:
        """What each rotation of the exposure puts onto an average; (rotations, side * side)."""
        rows = np.stack([matrix @ exposure for matrix in self._put])
        return self.both_ways(rows.astype(np.float32))

    def both_ways(self, flat: Floats32) -> Floats32:
        """Pictures added to themselves upside down, where both are alike."""
        return flat + flat[:, ::-1] if self.friedel else flat


def _neighbours(
    x: NDArray[np.float64], y: NDArray[np.float64], side: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Flat places of the four neighbours of points, and their weights; (points, 4)."""
    middle = side // 2
    column, row = np.floor(x), np.floor(y)
    right, down = x - column, y - row
    first = ((row + middle) * side + column + middle).astype(np.int32)
    places = np.stack([first, first + 1, first + side, first + side + 1], axis=1)
    weights = np.stack(
        [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], axis=1
    )
    return places, weights
