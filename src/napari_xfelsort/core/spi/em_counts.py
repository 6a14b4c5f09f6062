"""Counts of events at points around the beam, for classes by expectation maximisation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import NoEventsError, RegionError
from napari_xfelsort.core.region import as_region
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.psd import Progress
from napari_xfelsort.core.spi.rings import QRings
from napari_xfelsort.core.spi.run_sizes import photon_adu

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

#: Bytes of frames, and events, that are read at once.
_BLOCK_BYTES, _MOST_EVENTS = 32 << 20, 512


@dataclass(frozen=True, eq=False)
class EmCounts:
    """Counts of events at points of the detector.

    A point holds the pixels of a square of ``binning`` pixels, and with Friedel's law those
    of the opposite square as well.

    Attributes
    ----------
    u, v : ndarray, shape (points,)
        To the right and downwards from the beam, in squares.
    exposure : ndarray of float32, shape (points,)
        Good pixels, of those of one square.
    counts : ndarray, shape (events, points)
        Of uint16 where all are whole and small, else of float32.
    positions : ndarray of int, shape (events,)
        Which events of the stack: those that can be read and have counts.
    size : int
        Events of the stack.
    q_step : float
        Side of a square in 1/nm; NaN when unknown.
    friedel : bool
        Whether opposite points are alike.
    problems : dict of int to str
        Why an event of the stack could not be read.
    """

    u: Floats
    v: Floats
    exposure: NDArray[np.float32]
    counts: NDArray[Any]
    positions: NDArray[np.int64]
    size: int
    q_step: float = math.nan
    friedel: bool = True
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def side(self) -> int:
        """Pixels of a side of a class average: odd, the beam in the middle."""
        return 2 * (math.ceil(float(np.hypot(self.u, self.v).max())) + 1) + 1


class _Points:
    """Which pixel is added to which point."""

    def __init__(self, stack: EventStack, settings: EmSettings) -> None:
        rings = QRings.for_stack(stack, polarisation="none")  # tells what is not known
        geometry = stack.geometry
        assert geometry is not None
        x, y, _ = geometry.positions()
        place = rings.place
        u = x.ravel()[place] / geometry.pixel_size / settings.binning
        v = -y.ravel()[place] / geometry.pixel_size / settings.binning
        q = rings.q[rings.ring]
        used = q >= settings.q_min
        if settings.q_max is not None:
            used &= q <= settings.q_max
        if not used.any():
            raise RegionError(
                f"No good pixel has q from {settings.q_min} to {settings.q_max} 1/nm; it is "
                f"from {q.min():.4g} to {q.max():.4g} there."
            )
        self.place, u, v = place[used].astype(np.int64), u[used], v[used]
        self.ring = rings.ring[used]
        self.q_step = rings.step * settings.binning
        column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        if settings.friedel:
            turned = row < 0
            u, v = np.where(turned, -u, u), np.where(turned, -v, v)
            column = np.where(turned, -1 - column, column)
            row = np.where(turned, -1 - row, row)
        wide = int(column.max() - column.min()) + 1
        cell = (row - row.min()) * wide + column - column.min()
        _, point, pixels = np.unique(cell, return_inverse=True, return_counts=True)
        self.u = np.bincount(point, u) / pixels
        self.v = np.bincount(point, v) / pixels
        self.exposure = (pixels / settings.binning**2).astype(np.float32)
        # The pixels point by point, so that those of a point can be added up in one call.
        order = np.argsort(point, kind="stable")
        self.place, self.ring = self.place[order], self.ring[order]
        self.starts = np.concatenate(([0], np.cumsum(pixels)[:-1]))

    def add_up(
        self, frames: NDArray[Any], bad: NDArray[np.bool_] | None, per_photon: float
    ) -> NDArray[np.float32]:
        """Counts of frames at the points."""
        flat = frames.reshape(len(frames), -1)[:, self.place]
        values = np.nan_to_num(flat.astype(np.float32), nan=-1, posinf=-1, neginf=-1)
        hidden = ~np.isfinite(flat) if flat.dtype.kind == "f" else np.zeros(flat.shape, bool)
        if bad is not None:
            hidden |= np.broadcast_to(bad, frames.shape).reshape(len(frames), -1)[:, self.place]
        values = np.maximum(values, np.float32(0))
        if per_photon != 1:  # what noise adds to a pixel would count as background
            values = np.floor(values / np.float32(per_photon) + np.float32(0.5))
        for k in np.flatnonzero(hidden.any(axis=1)).tolist():
            self._fill(values[k], hidden[k])
        return np.asarray(np.add.reduceat(values, self.starts, axis=1), np.float32)

    def _fill(self, values: NDArray[np.float32], hidden: NDArray[np.bool_]) -> None:
        """Give pixels that are bad in one event what others of their ring have."""
        n = int(self.ring.max()) + 1
        sums = np.bincount(self.ring[~hidden], values[~hidden], n)
        there = np.bincount(self.ring[~hidden], minlength=n)
        means = np.divide(sums, there, out=np.zeros(n), where=there > 0)
        values[hidden] = means[self.ring[hidden]]


def read_counts(
    stack: EventStack, settings: EmSettings, progress: Progress | None = None
) -> EmCounts:
    """Counts of the events of a stack.

    Bad pixels are left out. Those that are bad in one event only, or not finite, get the mean
    of the others of their ring; negative values count as none. Where a photon is known to
    count other than 1 in the files, each pixel is rounded to whole photons. Memory: two
    bytes a point and event, four where values are not whole.

    Raises
    ------
    GeometryError
        If it is not known where the pixels are.
    RegionError
        If no pixel can be used.
    NoEventsError
        If no event has counts.
    """
    points = _Points(stack, settings)
    pixels = as_region(None).resolve(stack.raw_shape, stack.geometry)
    reader = BlockReader(stack, pixels)
    per_photon = settings.adu_per_photon or photon_adu(stack)
    n = len(stack)
    counts: NDArray[Any] = np.zeros((n, len(points.u)), np.uint16)
    problems: dict[int, str] = {}
    size = _BLOCK_BYTES // max(1, math.prod(stack.raw_shape) * stack.dtype.itemsize)
    done = 0
    for block in stack.blocks(min(_MOST_EVENTS, max(1, size))):
        read = reader.read(block)
        found = points.add_up(read.frames, read.bad, per_photon)
        found[list(read.failed)] = 0
        if settings.log:
            found = np.log1p(found)
        if counts.dtype != np.float32 and not _fits(found):
            counts = counts.astype(np.float32)
        counts[block.positions] = found
        problems.update((int(block.positions[k]), why) for k, why in read.failed.items())
        done += len(block.positions)
        if progress is not None:
            progress(done, n)
    used = np.flatnonzero(counts.any(axis=1))
    if not len(used):
        why = next(iter(problems.values()), "All are empty.")
        raise NoEventsError(f"No event has counts to put it into a class by. {why}")
    return EmCounts(
        points.u,
        points.v,
        points.exposure,
        counts if len(used) == n else counts[used],
        used,
        n,
        points.q_step,
        settings.friedel,
        problems,
    )


def _fits(values: NDArray[np.float32]) -> bool:
    return bool((values < 2**16).all() and (values == np.rint(values)).all())
