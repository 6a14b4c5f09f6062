"""A frame without its rings: how much each pixel differs from others at its radius."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.representations.frame_table import (
    FrameTable,
    checked_frame,
    digest,
    frame_table,
    kept,
)
from napari_xfelsort.core.representations.rings import VECTOR_STATISTICS

#: Frames are averaged to at most this side before features are taken.
WORK_SIDE = 640
RINGS, GROUPS = 240, 8
BANDS, DIRECTIONS = 48, 72
_MIDDLE = 3.2897072539029444  # from the 5th to the 95th percentile of a normal distribution


@dataclass(frozen=True)
class Optics:
    """What resolution needs; nan where it is not known.

    Attributes
    ----------
    wavelength : float
        In angstrom.
    distance : float
        From sample to detector, in pixels.
    """

    wavelength: float = math.nan
    distance: float = math.nan

    @property
    def known(self) -> bool:
        """Whether both are known."""
        return self.wavelength > 0 and self.distance > 0

    def radius(self, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radius in pixels of a lattice spacing in angstrom; nan where it is not seen."""
        with np.errstate(invalid="ignore"):
            angle = 2 * np.arcsin(self.wavelength / (2 * spacing))
        return np.where(angle < 0.45 * np.pi, self.distance * np.tan(angle), np.nan)


class Residuals:
    """What is left of a frame without its rings, and the rings.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        An assembled frame; values that are not finite are bad.
    center : (float, float)
        (y, x) of the beam in pixels.
    mask : ndarray of bool, optional
        True where bad.
    optics : Optics
        Where known.

    Attributes
    ----------
    side : int
        Pixels that were averaged to one, along each axis.
    values : ndarray of float32, shape (rows / side, columns / side)
        The frame, averaged.
    good : ndarray of bool, same shape
        Where it has a value.
    rings : dict of str to ndarray, shape (RINGS,)
        Statistics of rings, by name.
    level, spread : ndarray of float32, shape of values
        Median at the radius, and spread of single pixels there.
    score, relative : ndarray of float32, shape of values
        Difference from the level in units of spread, cut to -6..12, and relative to the
        level, cut to -1..2; 0 where bad.
    """

    def __init__(
        self,
        frame: NDArray[Any],
        center: tuple[float, float],
        mask: NDArray[np.bool_] | None = None,
        optics: Optics = Optics(),
    ) -> None:
        frame = np.asarray(frame)
        checked_frame(frame.shape, center, mask)
        self.side = -(-max(frame.shape) // WORK_SIDE)
        values, self.good, bad = _averaged(frame, mask, self.side)
        self.center = tuple((c + 0.5) / self.side - 0.5 for c in center)
        self.optics = Optics(optics.wavelength, optics.distance / self.side)
        self.values = values
        self.places = _places(values.shape, self.center, bad)
        table = self.places.table
        own = np.where(self.good, values, np.float32(np.nan))
        found = table.ring_vector(own)
        self.rings = {name: found[:, k] for k, name in enumerate(VECTOR_STATISTICS)}
        self.azimuthal = table.azimuthal(own)
        spread = (self.rings["p95"] - self.rings["p5"]) / _MIDDLE
        deviation = np.sqrt(self.rings["variance"])
        # Few counts: the middle of the values is one number.
        spread = np.where(spread > 0, spread, np.minimum(deviation, 1.0))
        middle = np.where(self.rings["median"] > 2, self.rings["median"], _cut_mean(self.rings))
        self.profile, self.spreads = middle, np.maximum(spread, 1e-6)
        self.level = self._at_pixels(self.profile)
        self.spread = np.maximum(self._at_pixels(self.spreads), np.float32(1e-6))
        away = np.where(self.good, values - self.level, 0)
        self.away = away.astype(np.float32)
        self.score = np.clip(away / self.spread, -6, 12).astype(np.float32)
        floor = np.maximum(np.abs(self.level), self.spread)
        self.relative = np.clip(away / floor, -1, 2).astype(np.float32)

    def _at_pixels(self, profile: NDArray[np.float64]) -> NDArray[np.float32]:
        """Numbers of rings at each pixel, linear between them."""
        places = self.places
        below, above = (profile[at].astype(np.float32) for at in (places.below, places.above))
        return np.asarray(above + places.below_share * (below - above), np.float32)

    @cached_property
    def bands(self) -> NDArray[np.float64]:
        """Mean score of bands of radius by direction, NaN without pixels; and its noise.

        Shape (2, BANDS, DIRECTIONS).
        """
        places = self.places
        number = places.band.ravel()
        use = (number >= 0) & self.good.ravel()
        cut = np.clip(self.score, -3, 3).ravel()
        counts = np.bincount(number[use], minlength=BANDS * DIRECTIONS)
        sums = np.bincount(number[use], cut[use], BANDS * DIRECTIONS)
        mean = np.where(counts >= 4, sums / np.maximum(counts, 1), np.nan)
        noise = np.where(counts >= 4, 1 / np.sqrt(np.maximum(counts, 1)), np.nan)
        return np.stack([mean, noise]).reshape(2, BANDS, DIRECTIONS)


class _Places:
    """What depends on shape, centre and mask only."""

    def __init__(
        self,
        shape: tuple[int, int],
        center: tuple[float, float],
        bad: NDArray[np.bool_] | None,
    ) -> None:
        self.table: FrameTable = frame_table(shape, center, bad, RINGS, GROUPS)
        y = (np.arange(shape[0]) - center[0])[:, np.newaxis]
        x = (np.arange(shape[1]) - center[1])[np.newaxis]
        self.away = np.hypot(y, x).astype(np.float32)
        low, high = float(self.away.min()), float(self.away.max())
        self.low, self.width = low, (high - low) / RINGS or 1.0
        place = np.clip((self.away - low) / self.width - 0.5, 0, RINGS - 1)
        self.below = np.floor(place).astype(np.int16)
        self.above = np.minimum(self.below + 1, RINGS - 1).astype(np.int16)
        self.below_share = (1 - (place - self.below)).astype(np.float32)
        radius = np.clip((self.away - low) / (high - low or 1.0) * BANDS, 0, BANDS - 1)
        angle = (np.arctan2(y, x) / (2 * np.pi) % 1.0) * DIRECTIONS
        angle = np.minimum(angle.astype(np.int32), DIRECTIONS - 1)
        self.band = radius.astype(np.int32) * DIRECTIONS + angle
        if bad is not None:
            self.band[bad] = -1
        self.radii = low + (np.arange(RINGS) + 0.5) * self.width
        self.table_counts = self.table.counts
        self.seen = self.table_counts > 0


def _places(
    shape: tuple[int, ...], center: tuple[float, ...], bad: NDArray[np.bool_] | None
) -> _Places:
    rows, columns = shape
    y, x = center
    key = ("residuals", shape, center, digest(bad))
    made = kept(key, lambda: _Places((rows, columns), (y, x), bad))
    assert isinstance(made, _Places)
    return made


def _averaged(
    frame: NDArray[Any], mask: NDArray[np.bool_] | None, side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Means of blocks of good pixels, where at least half are good; and where all are masked."""
    values = frame.astype(np.float32)
    good = np.isfinite(values)
    masked = None if mask is None or not mask.any() else np.asarray(mask, bool)
    if masked is not None:
        good &= ~masked
    values[~good] = 0
    if side == 1:
        return values, good, masked
    sums, counts, least = _blocks(values, side), _blocks(good, side), side * side / 2
    bad = None
    if masked is not None:
        bad = _blocks(masked, side) > side * side - least
    few = counts < least
    return (np.where(few, 0, sums / np.maximum(counts, 1)).astype(np.float32), ~few, bad)


def _blocks(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Sums of blocks; the last ones may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], side)
        values = np.add.reduceat(values, starts, axis=axis, dtype=np.float64)
    return values


def _cut_mean(rings: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of each ring, no more than its 95th percentile where that is not 0."""
    high = np.where(rings["p95"] > 0, rings["p95"], np.inf)
    return np.minimum(rings["mean"], high)
