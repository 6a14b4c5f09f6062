"""Pixels of a region as features, one by one or in blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.region import ResolvedRegion


class Pixels:
    """Pixels of a region, or means or medians of square blocks of them.

    Blocks lie along the last two axes of the window, from its corner on.

    Parameters
    ----------
    settings : FeatureSettings
        ``bin`` and ``bin_statistic`` are used.
    pixels : ResolvedRegion
        The window, and the pixels of it to use.

    Attributes
    ----------
    n : int
        Number of features.
    """

    def __init__(self, settings: FeatureSettings, pixels: ResolvedRegion) -> None:
        self.side, self.statistic = settings.bin, settings.bin_statistic
        self.pixels = pixels
        self._index = None if pixels.inside is None else np.flatnonzero(pixels.inside)
        self.n = pixels.n_pixels
        if self.side > 1:
            used = np.ones(pixels.shape, bool) if pixels.inside is None else pixels.inside
            counts = self._block_sums(used[np.newaxis].astype(np.float32))
            self._blocks = np.flatnonzero(counts[0])
            self.n = len(self._blocks)

    def of(
        self,
        values: NDArray[np.float32],
        good: NDArray[np.bool_] | None,
        stand_in: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Features of some events.

        Parameters
        ----------
        values : ndarray of float32, shape (events, pixels)
            Of the used pixels, the stand-in where there is no good one.
        good : ndarray of bool, same shape, or None
            Which are good.
        stand_in : ndarray of float32, shape (events,), or None
            What a block without a good pixel gets.
        """
        if self.side == 1:
            return values
        if self.statistic == "median":
            return self._medians(values, good, stand_in)
        return self._means(values, good, stand_in)

    def some(
        self,
        frames: NDArray[Any],
        bad: NDArray[np.bool_] | None,
        columns: NDArray[np.int64],
    ) -> NDArray[np.float32] | None:
        """Some of the features, where pixels are features, without looking at other pixels.

        Parameters
        ----------
        frames : ndarray, shape (events, ...window)
            Raw values of the window.
        bad : ndarray of bool, same shape, or None
            Values that must not be used.
        columns : ndarray of int64, shape (some,)
            Numbers of the features.

        Returns
        -------
        ndarray of float32, shape (events, some), or None
            None if one of these pixels is bad in one of the events, or not finite: what
            stands in for it is found from the others.
        """
        used = columns if self._index is None else self._index[columns]
        if bad is not None:
            marks = bad[:1] if bad.strides[0] == 0 else bad  # often one mask for all events
            if marks.reshape(len(marks), -1)[:, used].any():
                return None
        raw = np.take(frames.reshape(len(frames), -1), used, axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            values = raw.astype(np.float32)
        return values if frames.dtype.kind != "f" or np.isfinite(values).all() else None

    def corners(self) -> NDArray[np.int64]:
        """Raw index of each pixel, or of the first of each block; shape (features, axes)."""
        shape = self.pixels.shape
        if self.side > 1:
            where = np.array(np.unravel_index(self._blocks, self._block_shape())).T
            where[:, -2:] *= self.side
        else:
            index = np.arange(math.prod(shape)) if self._index is None else self._index
            where = np.array(np.unravel_index(index, shape)).T
        return np.asarray(where + [s.start for s in self.pixels.window], np.int64)

    def feature_of_pixel(self) -> NDArray[np.int32]:
        """Number of the feature that each pixel of the window is in, -1 for none."""
        shape = self.pixels.shape
        if self.side == 1:
            number = np.full(math.prod(shape), -1, np.int32)
            number[slice(None) if self._index is None else self._index] = np.arange(self.n)
            return number.reshape(shape)
        blocks = np.full(math.prod(self._block_shape()), -1, np.int32)
        blocks[self._blocks] = np.arange(self.n)
        number = blocks.reshape(self._block_shape())
        for axis in (-1, -2):
            number = np.repeat(number, self.side, axis=axis)
        number = number[tuple(slice(0, n) for n in shape)].copy()
        if self.pixels.inside is not None:
            number[~self.pixels.inside] = -1
        return number

    def _means(
        self,
        values: NDArray[np.float32],
        good: NDArray[np.bool_] | None,
        stand_in: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        if good is None or stand_in is None:
            weights = np.ones((1, values.shape[1]), np.float32)
        else:
            weights = good.astype(np.float32)
            values = np.where(good, values, np.float32(0))
        sums = self._block_sums(self._spread(values))[:, self._blocks]
        counts = self._block_sums(self._spread(weights))[:, self._blocks]
        means = sums / np.maximum(counts, 1)
        if stand_in is not None:
            means = np.where(counts > 0, means, stand_in[:, np.newaxis])
        return means.astype(np.float32)

    def _medians(
        self,
        values: NDArray[np.float32],
        good: NDArray[np.bool_] | None,
        stand_in: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        from napari_xfelsort.core.profiles.projection import median_of_known

        if good is not None:
            values = np.where(good, values, np.float32(np.nan))
        windows = self._spread(values, np.nan)
        k = self.side
        most = [(0, 0)] * (windows.ndim - 2) + [(0, -n % k) for n in windows.shape[-2:]]
        padded = np.pad(windows, most, constant_values=np.nan)
        *lead, rows, columns = padded.shape
        cut = padded.reshape(*lead, rows // k, k, columns // k, k).swapaxes(-3, -2)
        blocks = cut.reshape(len(values), -1, k * k)[:, self._blocks]
        medians, counts = median_of_known(blocks)
        if stand_in is not None:
            medians = np.where(counts > 0, medians, stand_in[:, np.newaxis])
        return medians.astype(np.float32)

    def _block_shape(self) -> tuple[int, ...]:
        *lead, rows, columns = self.pixels.shape
        return (*lead, -(-rows // self.side), -(-columns // self.side))

    def _spread(self, rows: NDArray[np.float32], fill: float = 0.0) -> NDArray[np.float32]:
        """Rows of used pixels put back into windows, another value elsewhere."""
        shape = (len(rows), *self.pixels.shape)
        if self._index is None:
            return rows.reshape(shape)
        full = np.full((len(rows), math.prod(self.pixels.shape)), fill, np.float32)
        full[:, self._index] = rows
        return full.reshape(shape)

    def _block_sums(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sums over blocks along the last two axes; shape (events, blocks)."""
        for axis in (-1, -2):
            starts = np.arange(0, windows.shape[axis], self.side)
            windows = np.add.reduceat(windows, starts, axis=axis, dtype=np.float64)
        return np.asarray(windows.reshape(len(windows), -1), np.float64)


def impute(values: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put the median of an event's good values where it has none; return these medians.

    NaN where all values of an event are bad.
    """
    medians = np.zeros(len(values), np.float32)
    for k in np.flatnonzero(~good.all(axis=1)):
        row = good[k]
        medians[k] = np.median(values[k, row]) if row.any() else np.nan
        values[k, ~row] = medians[k]
    return medians
