"""Where the inflection points of a run lie, and which events are on which side.

The rule for peaks, in order:

1. All inflection points of all events are pooled. The shortest interval that holds as many
   of them as a fifth of the events is where the first peak is: the densest place, which
   need not be where most events are.
2. Centre and width of the peak are those of a normal distribution that fits the points
   within 2 widths of its centre; both are found by repeating this from that interval.
3. The accepted range is 3.5 widths to both sides.
4. Of the events that have an inflection point in the range, the other points are pooled,
   and the densest half of these events shows the next peak. It counts when at least seven
   tenths of them have a point in its range; only these events are looked at for the next.

So shapes are found that many events share closely. Whether these are the good events is
not known: the one who labels says it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError, SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.profiles.table import ProfileTable

GOOD, BAD, UNDECIDED = "good", "bad", "undecided"
SIDES = ("inside", "outside")

_FIRST_SHARE, _NEXT_SHARE, _COMMON = 0.2, 0.5, 0.7
_FEWEST = 5
_WINDOW, _RANGE = 2.0, 3.5
#: Standard deviation of the middle part, 2 to both sides, of a normal distribution.
_TRUNCATED = 0.8796
#: Least width of a peak, as a share of the axis: equal events have no spread.
_NARROW = 1e-6
_DEFAULT_BINS, _MOST_BINS = 100, 10_000

Range = tuple[float, float]


class Peak(NamedTuple):
    """Where many events have an inflection point.

    Attributes
    ----------
    position, width : float
        Centre and standard deviation.
    low, high : float
        The accepted range that is proposed.
    """

    position: float
    width: float
    low: float
    high: float

    @property
    def range(self) -> Range:
        """``(low, high)``."""
        return self.low, self.high


class Histogram(NamedTuple):
    """Counts of positions.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
        Of the bins, in the unit of the axis.
    counts : ndarray of int, shape (bins,)
        Events in each bin.
    beyond : int
        Events whose position is outside of the bins.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    beyond: int


class RangeCounts(NamedTuple):
    """Events on both sides of ranges.

    Attributes
    ----------
    inside, outside, undecided : int
        Events; together all of the table.
    each : tuple of int
        Decidable events that have an inflection point in each range.
    """

    inside: int
    outside: int
    undecided: int
    each: tuple[int, ...]


def find_peaks(table: ProfileTable) -> list[Peak]:
    """The inflection points that many events share, by the rule of this module.

    Returns
    -------
    list of Peak
        By position; empty where no position is common.
    """
    points = table.inflections[table.ok]
    least = _NARROW * (table.domain[1] - table.domain[0])
    peaks: list[Peak] = []
    share = _FIRST_SHARE
    while len(points) >= _FEWEST and len(peaks) < points.shape[1]:
        peak = _densest(points[np.isfinite(points)], share * len(points), least)
        if peak is None:
            break
        have = _any_within(points, peak.range)
        if peaks and have.sum() < _COMMON * len(points):
            break
        peaks.append(peak)
        points = points[have].copy()
        # What this peak explains is no part of the next one.
        points[(points >= peak.low) & (points <= peak.high)] = np.nan
        share = _NEXT_SHARE
    return sorted(peaks)


def _densest(values: NDArray[np.float64], wanted: float, least: float) -> Peak | None:
    values = np.sort(values)
    held = max(_FEWEST, math.ceil(wanted))
    if len(values) < held:
        return None
    lengths = values[held - 1 :] - values[: len(values) - held + 1]
    first = int(np.argmin(lengths))
    centre = float(np.median(values[first : first + held]))
    width = max(least, 2 * float(lengths[first]))
    for _ in range(100):
        near = values[np.abs(values - centre) <= _WINDOW * width]
        if len(near) < _FEWEST:
            break
        new = max(least, float(near.std(ddof=1)) / _TRUNCATED)
        moved = float(near.mean())
        settled = abs(new - width) + abs(moved - centre) <= 1e-3 * width
        centre, width = moved, new
        if settled:
            break
    return Peak(centre, width, centre - _RANGE * width, centre + _RANGE * width)


def nearest_points(table: ProfileTable, position: float) -> NDArray[np.float64]:
    """Of each event the inflection point nearest to a position; NaN where it has none.

    Returns
    -------
    ndarray, shape (events,)
    """
    result = np.full(len(table), np.nan)
    rows = np.flatnonzero(table.n_inflections > 0)
    if len(rows):
        points = table.inflections[rows]
        nearest = np.nanargmin(np.abs(points - position), axis=1)
        result[rows] = points[np.arange(len(rows)), nearest]
    return result


def histogram(
    table: ProfileTable,
    position: float | None = None,
    bins: int = _DEFAULT_BINS,
    span: Range | None = None,
) -> Histogram:
    """Histogram of one inflection point, or of all of them.

    Parameters
    ----------
    table : ProfileTable
        The events.
    position : float, optional
        Of each event, the inflection point nearest to it is counted: that of a `Peak`.
        All inflection points of all events when omitted.
    bins : int
        Number of bins.
    span : pair of float, optional
        First and last edge; the whole axis when omitted.

    Raises
    ------
    SettingsError
        If there are no bins, or the span is empty.
    """
    low, high = table.domain if span is None else span
    if not (1 <= bins <= _MOST_BINS and low < high):
        raise SettingsError(
            f"A histogram of {bins} bins from {low} to {high} cannot be made; give 1 to "
            f"{_MOST_BINS} bins and a span that is not empty."
        )
    values = table.inflections if position is None else nearest_points(table, position)
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins, (low, high))
    return Histogram(edges, counts.astype(np.int64), int(len(values) - counts.sum()))


def inside(table: ProfileTable, ranges: Sequence[Range]) -> NDArray[np.bool_]:
    """Which events have an inflection point in every one of the ranges, ends included.

    It does not matter which of its inflection points that is: one more at the edge of a
    panel changes nothing.

    Raises
    ------
    LabelError
        If there is no range, or one is empty.
    """
    if not ranges:
        raise LabelError("There is no accepted range; nothing can be decided without one.")
    for low, high in ranges:
        if not low <= high:
            raise LabelError(f"The accepted range from {low} to {high} is empty.")
    result = table.ok
    for each in ranges:
        result &= _any_within(table.inflections, each)
    return result


def _any_within(points: NDArray[np.float64], limits: Range) -> NDArray[np.bool_]:
    return np.asarray(((points >= limits[0]) & (points <= limits[1])).any(axis=1))


def count_ranges(table: ProfileTable, ranges: Sequence[Range]) -> RangeCounts:
    """How many events are inside and outside of ranges; see `inside`.

    Raises
    ------
    LabelError
        If there is no range, or one is empty.
    """
    n_inside, n_ok = int(inside(table, ranges).sum()), int(table.ok.sum())
    each = tuple(int(inside(table, [r]).sum()) for r in ranges)
    return RangeCounts(n_inside, n_ok - n_inside, len(table) - n_ok, each)


def labels_of(table: ProfileTable, ranges: Sequence[Range], good: str) -> NDArray[np.str_]:
    """Label of every event from accepted ranges.

    Parameters
    ----------
    table : ProfileTable
        The events.
    ranges : sequence of pair of float
        Accepted ranges of inflection points; an event is inside when it has a point in
        every one of them.
    good : str
        ``"inside"`` or ``"outside"``: which events are good. There is no default: the
        data do not say it.

    Returns
    -------
    ndarray of str, shape (events,)
        ``"good"``, ``"bad"``, or ``"undecided"`` where the status is not ok.

    Raises
    ------
    LabelError
        If there is no range, one is empty, or the side is neither of the two.
    """
    check_side(good)
    accepted = inside(table, ranges) == (good == "inside")
    return np.where(table.ok, np.where(accepted, GOOD, BAD), UNDECIDED)


def check_side(good: str) -> None:
    """Refuse what does not say which events are good.

    Raises
    ------
    LabelError
        If it is neither ``"inside"`` nor ``"outside"``.
    """
    if good not in SIDES:
        raise LabelError(f"Good events are inside or outside of the ranges, not {good!r}.")
