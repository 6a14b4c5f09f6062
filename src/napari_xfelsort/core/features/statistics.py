"""Statistics of all pixels of a region, and of its places and rings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features.places import PixelBins
from napari_xfelsort.core.representations.rings import BinTable

#: Values that statistics are taken of at once.
_CHUNK = 512 * 1024
INTENSITY_NAMES = ("mean", "standard deviation", "minimum", "maximum", "skewness", "kurtosis")


class Values(NamedTuple):
    """Values of the region's pixels in some events.

    Attributes
    ----------
    values : ndarray of float64, shape (events, pixels)
        Divided by what they are to be divided by.
    good : ndarray of bool, same shape, or None
        Which may be used; None when all may.
    """

    values: NDArray[np.float64]
    good: NDArray[np.bool_] | None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Good values of each event."""
        if self.good is None:
            return np.full(len(self.values), self.values.shape[1])
        return np.asarray(self.good.sum(axis=1))

    def filled(self, value: float) -> NDArray[np.float64]:
        """The values, with another in place of those that are not good."""
        return self.values if self.good is None else np.where(self.good, self.values, value)

    def ordered(self) -> NDArray[np.float64]:
        """Values of each event in ascending order, those that are not good last."""
        return np.sort(self.filled(np.nan), axis=1)


def intensity_statistics(data: Values, above: float) -> NDArray[np.float64]:
    """Mean, deviation, minimum, maximum, skewness, excess kurtosis, fraction above a value."""
    n = np.maximum(data.counts, 1)
    mean = data.filled(0.0).sum(axis=1) / n
    away = data.values - mean[:, np.newaxis]
    if data.good is not None:
        away[~data.good] = 0.0
    power = away * away
    second = power.sum(axis=1) / n
    third = np.multiply(power, away, out=away).sum(axis=1) / n
    fourth = np.square(power, out=power).sum(axis=1) / n
    # What rounding leaves of equal values is no spread.
    largest = np.abs(data.filled(0.0)).max(axis=1, initial=0.0)
    flat = second <= (4 * np.finfo(np.float64).eps * largest) ** 2
    spread = np.sqrt(np.where(flat, 1.0, second))
    low, high = data.filled(np.inf).min(axis=1), data.filled(-np.inf).max(axis=1)
    return np.column_stack(
        [
            mean,
            np.where(flat, 0.0, spread),
            low,
            high,
            np.where(flat, 0.0, third / spread**3),
            np.where(flat, 0.0, fourth / spread**4 - 3),
            fraction_above(data, above),
        ]
    )


def fraction_above(data: Values, above: float) -> NDArray[np.float64]:
    """Share of the good values that are above a value."""
    higher = data.values > above
    if data.good is not None:
        higher &= data.good
    return np.asarray(higher.sum(axis=1) / np.maximum(data.counts, 1))


def quantile_values(data: Values, quantiles: tuple[float, ...]) -> NDArray[np.float64]:
    """Quantiles of the good values, linear between them; NaN where there are none."""
    ordered, counts = data.ordered(), data.counts
    place = np.asarray(quantiles) * np.maximum(counts - 1, 0)[:, np.newaxis]
    below = np.floor(place).astype(np.int64)
    next_one = np.minimum(below + 1, np.maximum(counts - 1, 0)[:, np.newaxis])
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, next_one, axis=1)
    return np.asarray(low + (place - below) * (high - low))


class Binned:
    """Statistics of each bin of the region's pixels.

    Parameters
    ----------
    bins : PixelBins
        The bins.
    inside : ndarray of bool, shape of the window, or None
        The pixels that `Values` are of; None when all are.
    """

    def __init__(self, bins: PixelBins, inside: NDArray[np.bool_] | None) -> None:
        self._index = bins.index.ravel() if inside is None else bins.index[inside]
        self.n = len(bins.positions)

    @cached_property
    def _table(self) -> BinTable:
        return BinTable(self._index, self.n)

    def of(self, data: Values, statistics: tuple[str, ...], above: float) -> NDArray[np.float64]:
        """Statistics of each bin; shape (events, statistics * bins), one after another.

        Parameters
        ----------
        data : Values
            Of the region.
        statistics : tuple of str
            Of `BIN_STATISTICS`, or sd.
        above : float
            For fraction.

        Where no pixel of a bin is good, the same of all good values of the event, and their
        median in place of a mean.
        """
        own = tuple("variance" if name == "sd" else name for name in statistics)
        found = self._table.statistics(data.filled(np.nan), own, above)
        parts = []
        for k, name in enumerate(statistics):
            part = np.sqrt(found[:, :, k]) if name == "sd" else found[:, :, k]
            missing = np.isnan(part)
            if missing.any():
                part = np.where(missing, _of_all(data, name, above)[:, np.newaxis], part)
            parts.append(part)
        return np.concatenate(parts, axis=1)


def _of_all(data: Values, statistic: str, above: float) -> NDArray[np.float64]:
    if statistic == "fraction":
        return fraction_above(data, above)
    if statistic in ("sd", "variance", "minimum", "maximum"):
        _, sd, low, high, *_ = intensity_statistics(data, above).T
        found = {"sd": sd, "variance": sd**2, "minimum": low, "maximum": high}
        return np.asarray(found[statistic])
    return quantile_values(data, ({"p5": 0.05, "p95": 0.95}.get(statistic, 0.5),))[:, 0]


def chunks(
    raw: NDArray[Any], good: NDArray[np.bool_] | None, divisors: NDArray[np.float64]
) -> Iterator[tuple[slice, Values]]:
    """Few events at a time as 64-bit floats, divided; 0 where a value is not good."""
    step = max(1, _CHUNK // max(1, raw.shape[1]))
    for start in range(0, len(raw), step):
        part = slice(start, start + step)
        values = raw[part].astype(np.float64)
        use = None if good is None else good[part]
        if use is not None and use.all():
            use = None
        if use is not None:
            values[~use] = 0.0
        by = divisors[part]
        values /= np.where(np.isfinite(by), by, 1.0)[:, np.newaxis]
        yield part, Values(values, use)
