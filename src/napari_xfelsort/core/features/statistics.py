"""Statistics of all pixels of a region, and of its places and rings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features.places import PixelBins
from napari_xfelsort.core.region import ResolvedRegion

if TYPE_CHECKING:
    from napari_xfelsort.core.profiles.projection import Projection

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
        self._made: Projection | None = None

    @property
    def _projection(self) -> Projection:
        from napari_xfelsort.core.profiles.projection import Projection

        if self._made is None:
            line = ResolvedRegion((slice(0, len(self._index)),), None)
            along = np.where(self._index < 0, np.nan, self._index.astype(np.float64))
            self._made = Projection(line, along)
        return self._made

    def of(self, data: Values, statistic: str, above: float) -> NDArray[np.float64]:
        """One statistic (mean, sd, median, fraction) of each bin; shape (events, bins).

        Where no pixel of a bin is good, the median, standard deviation or fraction of all
        good values of the event.
        """
        found = self._found(data, statistic, above)
        missing = np.isnan(found)
        if missing.any():
            found = np.where(missing, _of_all(data, statistic, above)[:, np.newaxis], found)
        return found

    def _found(self, data: Values, statistic: str, above: float) -> NDArray[np.float64]:
        if statistic == "sd":
            mean = self._project(data, "mean")
            away = data.values - np.take(mean, np.maximum(self._index, 0), axis=1)
            return np.sqrt(self._project(Values(away * away, data.good), "mean"))
        if statistic == "fraction":
            higher = (data.values > above).astype(np.float64)
            return self._project(Values(higher, data.good), "mean")
        return self._project(data, statistic)

    def _project(self, data: Values, statistic: str) -> NDArray[np.float64]:
        from napari_xfelsort.core.profiles.settings import ProfileSettings

        bad = None if data.good is None else ~data.good
        settings = ProfileSettings(statistic=statistic, min_share=0)
        return self._projection.profiles(data.values, bad, settings)


def _of_all(data: Values, statistic: str, above: float) -> NDArray[np.float64]:
    if statistic == "fraction":
        return fraction_above(data, above)
    if statistic == "sd":
        return intensity_statistics(data, above)[:, 1]
    return quantile_values(data, (0.5,))[:, 0]
