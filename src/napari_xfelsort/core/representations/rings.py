"""Pixels divided into rings or other bins, and statistics of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What `BinTable.statistics` can tell, in the order of the loop that finds it.
BIN_STATISTICS = (
    "mean",
    "variance",
    "minimum",
    "maximum",
    "fraction",
    "median",
    "p5",
    "p95",
)
#: Of them, those that need values in order.
_ORDERED = ("median", "p5", "p95")
#: Of each ring of a ring vector, as in RefleX (Czyzewski et al. 2021).
VECTOR_STATISTICS = ("minimum", "maximum", "mean", "median", "variance", "p5", "p95")


def equal_rings(
    away: NDArray[np.float64], used: NDArray[np.bool_], n: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Divide pixels into rings of equal width between the innermost and the outermost.

    Each used pixel is in exactly one ring: number k where
    low + k width <= away < low + (k + 1) width; the outermost is in the last.

    Parameters
    ----------
    away : ndarray
        Distance of each pixel from the centre, in any unit.
    used : ndarray of bool, same shape
        Pixels to divide; their distances are finite, and there is at least one.
    n : int
        Number of rings.

    Returns
    -------
    index : ndarray of int32, shape of away
        Number of the ring, -1 where not used.
    positions : ndarray, shape (n,)
        Mean distance of the pixels of each ring; NaN where it has none.
    """
    place = away[used]
    low, high = float(place.min()), float(place.max())
    step = (high - low) / n or 1.0
    number = np.clip(np.floor((place - low) / step), 0, n - 1).astype(np.int32)
    counts = np.bincount(number, minlength=n)
    index = np.full(away.shape, -1, np.int32)
    index[used] = number
    sums = np.bincount(number, place, n)
    return index, np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)


class BinTable:
    """Which pixels are in each bin, ordered so that statistics are found quickly.

    Parameters
    ----------
    index : ndarray of int, any shape
        Number of each pixel's bin, negative where it is in none.
    n : int
        Number of bins.

    Attributes
    ----------
    n : int
        Number of bins.
    order : ndarray of int32, shape (pixels in a bin,)
        Flat numbers of the pixels, one bin after another.
    starts : ndarray of int64, shape (n + 1,)
        Where each bin begins in ``order``.
    """

    def __init__(self, index: NDArray[np.integer[Any]], n: int) -> None:
        flat = index.ravel()
        used = np.flatnonzero(flat >= 0)
        own = flat[used]
        self.n = n
        key = own.astype(np.uint16) if n < 2**16 else own  # short ones are sorted faster
        self.order = used[np.argsort(key, kind="stable")].astype(np.int32)
        self.starts = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(own, minlength=n), out=self.starts[1:])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels in each bin."""
        return np.diff(self.starts)

    def statistics(
        self, values: NDArray[Any], wanted: tuple[str, ...], above: float = 0.0
    ) -> NDArray[np.float64]:
        """Statistics of the finite values of each bin.

        Parameters
        ----------
        values : ndarray, shape (events, pixels)
            In the order of ``index``.
        wanted : tuple of str
            Of `BIN_STATISTICS`: quantiles are linear between values, the variance is divided
            by the number of values, fraction is the share of values greater than ``above``.
        above : float
            For fraction.

        Returns
        -------
        ndarray, shape (events, bins, statistics)
            NaN where a bin has no finite value.
        """
        from napari_xfelsort.core.representations.ring_loops import bin_statistics

        ordered = bool(set(wanted) & set(_ORDERED))
        found = np.full((len(values), self.n, len(BIN_STATISTICS)), np.nan)
        bin_statistics(values, self.order, self.starts, float(above), ordered, found)
        return found[:, :, [BIN_STATISTICS.index(name) for name in wanted]]
