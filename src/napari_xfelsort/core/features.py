"""Numbers a classifier sees of each event, the same in training and in sorting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region, ResolvedRegion
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.source import Window

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack

#: Told how many of how many events are done; may raise to stop.
Progress = Callable[[int, int], None]

#: Bytes of raw pixels that are read and worked on at once.
BLOCK_BYTES = 32 * 1024**2
_MAX_BLOCK_EVENTS = 256


@dataclass(frozen=True)
class FeatureSettings(Settings):
    """How the pixels of a region become features."""

    kind: str = setting("pixels", "what a feature is", choices=("pixels",))
    bin: int = setting(
        1, "side of the blocks whose mean is a feature", unit="pixels", minimum=1, maximum=4096
    )
    normalise: str = setting(
        "none",
        "what each event is divided by: nothing, or the mean or median of its region",
        choices=("none", "mean", "median"),
    )


class FeatureExtractor:
    """Turns frames into features.

    A feature is one pixel of the region, or the mean of a block of ``bin`` x ``bin``
    pixels along the last two axes of the window, masked pixels left out. Where an event
    has no good value for a feature, the median of its good pixels stands in.

    Parameters
    ----------
    settings : FeatureSettings
        What to compute.
    pixels : ResolvedRegion
        The window to read and the pixels of it to use.

    Attributes
    ----------
    window : tuple of slice
        Part of the raw frame that is read.
    n_features : int
        Number of features.
    """

    def __init__(self, settings: FeatureSettings, pixels: ResolvedRegion) -> None:
        self.settings = settings
        self.pixels = pixels
        self.window = pixels.window
        self._used = None if pixels.inside is None else pixels.inside.ravel()
        self._index = None if self._used is None else np.flatnonzero(self._used)
        if settings.bin > 1:
            counts = self._block_sums(self._all_used()[np.newaxis].astype(np.float32))
            self._blocks = np.flatnonzero(counts[0])
            self.n_features = len(self._blocks)
        else:
            self.n_features = pixels.n_pixels

    @classmethod
    def for_region(
        cls,
        settings: FeatureSettings,
        region: Region,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None = None,
        mask: PixelMask | None = None,
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> FeatureExtractor:
        """Extractor of a region, without the pixels that the mask says are bad.

        Raises
        ------
        RegionError
            If the region cannot be resolved, or all of it is masked.
        """
        pixels = region.resolve(raw_shape, geometry, photon_energy, camera_length)
        return cls(settings, without_bad(pixels, mask, region))

    def extract(
        self, frames: NDArray[Any], bad: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Features of some events.

        Parameters
        ----------
        frames : ndarray, shape (events, ...window)
            Raw values of the window.
        bad : ndarray of bool, same shape, optional
            Values that must not be used; those that are not finite are left out anyway.

        Returns
        -------
        ndarray of float32, shape (events, n_features)
            A row of NaN for an event that has no good value, or whose mean or median is
            not positive when it should be divided by it. May be a view of ``frames``.
        """
        values = self._select(frames)
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32, copy=False)
        good = None if bad is None else ~self._select(np.broadcast_to(bad, frames.shape))
        if frames.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                good = finite if good is None else good & finite
        changes = good is not None or self.settings.normalise != "none"
        if changes and np.may_share_memory(values, frames):
            values = values.copy()
        stand_in = None if good is None else _impute(values, good)
        divisors = self._divisors(values, good)
        features = values if self.settings.bin == 1 else self._bin(values, good, stand_in)
        if divisors is not None:
            features /= divisors[:, np.newaxis]
        return features

    def _select(self, frames: NDArray[Any]) -> NDArray[Any]:
        """The pixels of the region, one row an event; a view where it can be."""
        flat = frames.reshape(len(frames), -1)
        return flat if self._index is None else np.take(flat, self._index, axis=1)

    def _divisors(
        self, values: NDArray[np.float32], good: NDArray[np.bool_] | None
    ) -> NDArray[np.float32] | None:
        if self.settings.normalise == "none":
            return None
        if self.settings.normalise == "median":  # which stands in for what is not good
            found = np.median(values, axis=1)
        elif good is None:
            found = values.mean(axis=1, dtype=np.float64)
        else:
            weights = good / np.maximum(good.sum(axis=1, keepdims=True), 1)
            found = np.einsum("ij,ij->i", values, weights)
        return np.where(found > 0, found, np.nan).astype(np.float32)

    def _bin(
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

    def _all_used(self) -> NDArray[np.bool_]:
        shape = self.pixels.shape
        return np.ones(shape, bool) if self.pixels.inside is None else self.pixels.inside

    def _spread(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of used pixels put back into windows, 0 elsewhere."""
        shape = (len(rows), *self.pixels.shape)
        if self._index is None:
            return rows.reshape(shape)
        full = np.zeros((len(rows), math.prod(self.pixels.shape)), np.float32)
        full[:, self._index] = rows
        return full.reshape(shape)

    def _block_sums(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sums over blocks along the last two axes; shape (events, blocks)."""
        for axis in (-1, -2):
            starts = np.arange(0, windows.shape[axis], self.settings.bin)
            windows = np.add.reduceat(windows, starts, axis=axis, dtype=np.float64)
        return np.asarray(windows.reshape(len(windows), -1), np.float64)


def _impute(values: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put the median of an event's good values where it has none; return these medians.

    NaN where all values of an event are bad.
    """
    medians = np.zeros(len(values), np.float32)
    for k in np.flatnonzero(~good.all(axis=1)):
        row = good[k]
        medians[k] = np.median(values[k, row]) if row.any() else np.nan
        values[k, ~row] = medians[k]
    return medians


def without_bad(pixels: ResolvedRegion, mask: PixelMask | None, region: Region) -> ResolvedRegion:
    """The region without masked pixels.

    Raises
    ------
    RegionError
        If no pixel is left.
    """
    bad = None if mask is None else mask.bad[pixels.window]
    if bad is None or not bad.any():
        return pixels
    inside = ~bad if pixels.inside is None else pixels.inside & ~bad
    if not inside.any():
        raise RegionError(f"Every pixel of the region {region} is masked.")
    return ResolvedRegion(pixels.window, inside)


def block_events(window: Window, itemsize: int) -> int:
    """How many events to read at once so that memory stays bounded."""
    pixels = math.prod(int(s.stop - s.start) for s in window)
    return max(1, min(_MAX_BLOCK_EVENTS, BLOCK_BYTES // max(1, pixels * itemsize)))


class FeatureTable(NamedTuple):
    """Features of some events.

    Attributes
    ----------
    matrix : ndarray of float32, shape (events, features)
        A row of NaN for an event without a usable value.
    failed : dict of int to str
        Why an event (its row) has none.
    """

    matrix: NDArray[np.float32]
    failed: dict[int, str]


def extract_stack(
    stack: EventStack,
    positions: Sequence[int] | NDArray[np.integer[Any]],
    extractor: FeatureExtractor,
    progress: Progress | None = None,
) -> FeatureTable:
    """Features of chosen events of a stack, read file by file in bounded blocks.

    Parameters
    ----------
    stack : EventStack
        The events.
    positions : sequence of int
        Which of them; rows of the result are in this order.
    extractor : FeatureExtractor
        What to compute.
    progress : callable, optional
        Called with events done and events in all.
    """
    chosen = stack.subset(positions)
    reader = BlockReader(chosen, extractor.pixels)
    matrix = np.empty((len(chosen), extractor.n_features), np.float32)
    failed: dict[int, str] = {}
    done = 0
    for block in chosen.blocks(block_events(extractor.window, stack.dtype.itemsize)):
        read = reader.read(block)
        rows = extractor.extract(read.frames, read.bad)
        matrix[block.positions] = rows
        for k, row in enumerate(block.positions.tolist()):
            if k in read.failed:
                matrix[row] = np.nan
                failed[row] = read.failed[k]
            elif np.isnan(rows[k, 0]):
                failed[row] = no_value(extractor.settings)
        done += len(block.positions)
        if progress is not None:
            progress(done, len(chosen))
    return FeatureTable(matrix, failed)


def no_value(settings: FeatureSettings) -> str:
    """Why an event that was read has no features."""
    if settings.normalise == "none":
        return "All pixels of the region are bad in this event."
    return (
        f"All pixels of the region are bad in this event, or their {settings.normalise} is not "
        "positive and cannot be divided by."
    )
