"""Features that are stored with an event: its peaks, and numbers of its metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.events import Peaks
from napari_xfelsort.core.features.settings import FeatureSettings
from napari_xfelsort.core.region import ResolvedRegion

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: What `EventStack.metadata` does not tell under its name.
_HEADER = ("photon_energy", "camera_length")
PEAK_NAMES = ("peaks", "mean peak intensity", "median peak intensity", "largest peak intensity")
RADIUS_NAME = "mean peak radius"
_NO_PEAKS = Peaks(*(np.empty(0) for _ in range(3)))


class StoredEvent(NamedTuple):
    """What is stored with one event, of what is needed.

    Attributes
    ----------
    peaks : Peaks
        Empty where none are needed.
    numbers : dict of str to float
        By name.
    problem : str
        Why the event has no features, a sentence; empty where it has.
    failed : bool
        The event could not be read.
    """

    peaks: Peaks = _NO_PEAKS
    numbers: dict[str, float] = {}  # noqa: RUF012 - never changed
    problem: str = ""
    failed: bool = False

    def number(self, name: str) -> float:
        """A number, NaN when it is not there."""
        return self.numbers.get(name, math.nan)


def read_stored(stack: EventStack, i: int, settings: FeatureSettings) -> StoredEvent:
    """What features need of what is stored with event ``i``."""
    try:
        peaks = stack.peaks(i) if "peaks" in settings.kinds else _NO_PEAKS
        numbers = _numbers(stack, i, settings.columns)
    except (XfelsortError, OSError) as error:
        return StoredEvent(problem=str(error), failed=True)
    if peaks is None:
        return StoredEvent(problem="No peaks are stored with this event.")
    for name, value in numbers.items():
        if not math.isfinite(value):
            return StoredEvent(problem=f"No number {name!r} is stored with this event.")
    if settings.normalise == "incoming" and not numbers[settings.incoming] > 0:
        return StoredEvent(
            problem=f"The incoming intensity {settings.incoming!r} of this event is "
            f"{numbers[settings.incoming]:g}; it must be positive to divide by it."
        )
    return StoredEvent(peaks, numbers)


def _numbers(stack: EventStack, i: int, names: tuple[str, ...]) -> dict[str, float]:
    found = stack.metadata(i) if set(names) - set(_HEADER) else {}
    numbers = {}
    for name in names:
        value = getattr(stack, name)(i) if name in _HEADER else found.get(name, math.nan)
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):  # a text, or several numbers
            numbers[name] = math.nan
    return numbers


def metadata_features(
    events: Sequence[StoredEvent], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Numbers of some events; shape (events, names), NaN where there is none."""
    return np.array([[event.number(name) for name in names] for event in events], np.float64)


def peak_features(
    events: Sequence[StoredEvent],
    pixels: ResolvedRegion,
    raw_shape: tuple[int, ...],
    radius: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """Number of peaks and statistics of some events.

    Parameters
    ----------
    events : sequence of StoredEvent
        With their peaks.
    pixels : ResolvedRegion
        A peak counts when the pixel nearest to it is one of these.
    raw_shape : tuple of int
        Of a frame; ss of a peak counts through its leading axes.
    radius : ndarray, shape of the window, optional
        Distance of each pixel from the beam.

    Returns
    -------
    ndarray, shape (events, 4 or 5)
        Number; mean, median, largest intensity; mean radius where it is known. All 0
        without peaks.
    """
    n = len(events)
    owner = np.repeat(np.arange(n), [len(event.peaks.fs) for event in events])
    fs, ss, intensity = (
        np.concatenate([np.asarray(event.peaks[k], np.float64) for event in events])
        if n
        else np.empty(0)
        for k in range(3)
    )
    place = _window_place(fs, ss, pixels, raw_shape)
    kept = place >= 0
    owner, place, intensity = owner[kept], place[kept], intensity[kept]
    result = np.zeros((n, 4 if radius is None else 5))
    result[:, 0] = np.bincount(owner, minlength=n)
    result[:, 1:4] = _statistics(owner, intensity, n)
    if radius is not None:
        away = radius.ravel()[place].astype(np.float64)
        known = np.isfinite(away)
        counts = np.bincount(owner[known], minlength=n)
        result[:, 4] = np.bincount(owner[known], away[known], n) / np.maximum(counts, 1)
    return result


def _window_place(
    fs: NDArray[np.float64],
    ss: NDArray[np.float64],
    pixels: ResolvedRegion,
    raw_shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """Flat index in the window of the pixel nearest to each peak, -1 outside of the region."""
    height, width = math.prod(raw_shape[:-1]), raw_shape[-1]
    with np.errstate(invalid="ignore"):
        column, row = np.floor(fs + 0.5), np.floor(ss + 0.5)
        there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = np.where(there, row, 0) * width + np.where(there, column, 0)
    index = np.unravel_index(flat.astype(np.int64), raw_shape)
    local = []
    for part, window in zip(index, pixels.window, strict=True):
        there &= (part >= window.start) & (part < window.stop)
        local.append(np.clip(part - window.start, 0, window.stop - window.start - 1))
    place = np.ravel_multi_index(tuple(local), pixels.shape)
    if pixels.inside is not None:
        there &= pixels.inside.ravel()[place]
    return np.where(there, place, -1)


def _statistics(
    owner: NDArray[np.intp], values: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Mean, median and largest finite value of each owner; 0 without one."""
    known = np.isfinite(values)
    owner, values = owner[known], values[known]
    order = np.lexsort((values, owner))
    values = values[order]
    counts = np.bincount(owner, minlength=n)
    first = np.cumsum(counts) - counts
    some = counts > 0
    result = np.zeros((n, 3))
    result[:, 0] = np.bincount(owner[order], values, n) / np.maximum(counts, 1)
    low, high = first + (counts - 1) // 2, first + counts // 2
    result[some, 1] = (values[low[some]] + values[high[some]]) / 2
    result[some, 2] = values[first[some] + counts[some] - 1]
    return result
