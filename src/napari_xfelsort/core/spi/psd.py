"""Radial power spectral densities of events and of selections, contrast and background."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.region import as_region
from napari_xfelsort.core.spi.rings import QRings

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventBlock, EventStack

Floats = NDArray[np.float64]
#: Called with events done and events in all.
Progress = Callable[[int, int], None]

#: Events that are read at once.
_BLOCK_BYTES, _MOST_EVENTS = 32 << 20, 512
#: Pairs of extrema that the contrast is the mean of, and how far from one another the
#: neighbours are that an extremum is compared with, in rings.
_PAIRS, _ORDER = 3, 4
#: Pixels that a ring must have to count.
FEWEST_PIXELS = 4


class RingSums(NamedTuple):
    """Of some events, each of shape (events, rings).

    Attributes
    ----------
    sums : ndarray
        Sums of the values of each ring.
    shares : ndarray
        Sums of what reaches the pixels, of what would reach one in the middle.
    pixels : ndarray of int
        Good pixels.
    """

    sums: Floats
    shares: Floats
    pixels: NDArray[np.int64]

    @property
    def psd(self) -> Floats:
        """Values a pixel, as in the middle of the detector; NaN in a ring without pixels."""
        found = np.full(self.sums.shape, np.nan)
        np.divide(self.sums, self.shares, out=found, where=self.pixels > 0)
        return found


@dataclass(frozen=True, eq=False)
class Psd:
    """A radial power spectral density.

    Attributes
    ----------
    q : ndarray, shape (rings,)
        Momentum transfer 4 pi sin(theta) / wavelength in 1/nm.
    values : ndarray, shape (rings,)
        Mean value of the pixels, corrected for solid angle and polarisation; NaN in rings
        that are masked.
    pixels : ndarray of int, shape (rings,)
        Pixels, of all events together.
    events : int
        Events that it is the mean of.
    """

    q: Floats
    values: Floats
    pixels: NDArray[np.int64]
    events: int = 1

    @property
    def contrast(self) -> Contrast:
        """Contrast of the fringes; see `contrast`."""
        return contrast(self.values)

    @property
    def background(self) -> float:
        """Level at high q; see `background_level`."""
        return background_level(self.values, self.pixels)


class Contrast(NamedTuple):
    """Contrast of fringes.

    Attributes
    ----------
    gamma : float
        Mean of (maximum - minimum) / (maximum + minimum); NaN without a pair.
    pairs : tuple of (int, int)
        Rings of the minima and the maxima that follow, at most three.
    """

    gamma: float
    pairs: tuple[tuple[int, int], ...]


def ring_sums(
    rings: QRings, frames: NDArray[Any], bad: NDArray[np.bool_] | None = None
) -> RingSums:
    """Sums over the rings of some frames.

    Parameters
    ----------
    rings : QRings
        The rings.
    frames : ndarray, shape (events, ...)
        Values; those that are not finite are left out.
    bad : ndarray of bool, same shape, or of one frame, optional
        Pixels to leave out.
    """
    from napari_xfelsort.core.spi import psd_loops

    n = len(frames)
    shape = (n, len(rings))
    found = RingSums(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))
    flat = np.ascontiguousarray(frames.reshape(n, -1))
    if not flat.dtype.isnative:
        flat = flat.astype(flat.dtype.newbyteorder("="))
    hidden = np.zeros((0, 0), bool)
    if bad is not None:
        same = bad.ndim == frames.ndim and (bad.strides[0] == 0 or n == 1)
        one = bad[:1] if same else bad
        hidden = np.ascontiguousarray(one.reshape(-1, flat.shape[1]))
    psd_loops.ring_sums(flat, hidden, rings.place, rings.ring, rings.share, *found)
    return found


class PsdReader:
    """Power spectral densities of the events of a stack.

    Parameters
    ----------
    stack : EventStack
        With a geometry.
    width : float
        Of the rings, in pixels.
    polarisation : str
        Of the beam: ``none``, ``x`` or ``y``.

    Attributes
    ----------
    rings : QRings
        The rings.

    Raises
    ------
    GeometryError
        If it is not known where the pixels are.
    """

    def __init__(self, stack: EventStack, width: float = 1.0, polarisation: str = "x") -> None:
        self.stack = stack
        self.rings = QRings.for_stack(stack, width, polarisation)
        pixels = as_region(None).resolve(stack.raw_shape, stack.geometry)
        self._reader = BlockReader(stack, pixels)

    def event(self, i: int) -> Psd:
        """That of event ``i``.

        Raises
        ------
        UnreadableFileError
            If it cannot be read.
        """
        return self.mean([i])

    def mean(self, events: Sequence[int] | None = None, progress: Progress | None = None) -> Psd:
        """That of some events, or of all: the mean of theirs, in each ring.

        Raises
        ------
        NoEventsError
            If no event can be read.
        """
        chosen = self.stack if events is None else self.stack.subset(events)
        total, there = np.zeros(len(self.rings)), np.zeros(len(self.rings), np.int64)
        pixels = np.zeros(len(self.rings), np.int64)
        n, why = 0, ""
        for _, found, failed in self.blocks(chosen, progress):
            psd = found.psd
            psd[list(failed)] = np.nan
            known = np.isfinite(psd)
            total += np.where(known, psd, 0).sum(axis=0)
            there += known.sum(axis=0)
            pixels += np.where(known, found.pixels, 0).sum(axis=0)
            n += len(psd) - len(failed)
            why = next(iter(failed.values()), why)
        if not n:
            raise NoEventsError(f"No event can be read. {why}".strip())
        values = np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0)
        return Psd(self.rings.q, values, pixels, n)

    def blocks(
        self, stack: EventStack | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[EventBlock, RingSums, dict[int, str]]]:
        """Sums of the events of a stack, a block at a time.

        Yields
        ------
        block : EventBlock
            Which events.
        sums : RingSums
            Theirs.
        failed : dict of int to str
            Why an event (its number in the block) could not be read.
        """
        stack = self.stack if stack is None else stack
        size = _BLOCK_BYTES // max(1, math.prod(stack.raw_shape) * stack.dtype.itemsize)
        done = 0
        for block in stack.blocks(min(_MOST_EVENTS, max(1, size))):
            read = self._reader.read(block)
            yield block, ring_sums(self.rings, read.frames, read.bad), dict(read.failed)
            done += len(block.positions)
            if progress is not None:
                progress(done, len(stack))


def contrast(values: Floats) -> Contrast:
    """Contrast of the fringes of a power spectral density.

    Mean over the first three minima, from the beam outwards, and the maximum that follows
    each, of (maximum - minimum) / (maximum + minimum) (Assalauova et al. 2022). Extrema are
    those of the density smoothed by a Gaussian of one ring, among four rings on either side.

    It says how alike in size particles are, not how many there are in each event: pure
    doublets may have more of it than single particles. Do not select by it.

    Parameters
    ----------
    values : ndarray, shape (rings,)
        NaN where masked; gaps are bridged.
    """
    from scipy.ndimage import gaussian_filter1d

    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2 * _ORDER:
        return Contrast(math.nan, ())
    first, last = int(known[0]), int(known[-1])
    places = np.arange(first, last + 1)
    filled = np.interp(places, known, values[known])
    smooth = gaussian_filter1d(filled, 1.0, mode="nearest")
    pairs: list[tuple[int, int]] = []
    low = -1
    for k in range(_ORDER, len(smooth) - 1):
        around = smooth[k - _ORDER : k + _ORDER + 1]
        others = np.delete(around, _ORDER)
        if low < 0 and smooth[k] < others.min():
            low = k
        elif low >= 0 and smooth[k] > others.max():
            pairs.append((low, k))
            low = -1
        if len(pairs) == _PAIRS:
            break
    found = [
        float((smooth[b] - smooth[a]) / (smooth[b] + smooth[a]))
        for a, b in pairs
        if smooth[a] + smooth[b] > 0
    ]
    gamma = sum(found) / len(found) if found else math.nan
    return Contrast(gamma, tuple((a + first, b + first) for a, b in pairs))


def background_level(
    values: Floats, pixels: NDArray[np.integer[Any]], share: float = 0.1
) -> float:
    """Mean value of the outermost pixels: what is there besides the particle, or a bit more.

    Parameters
    ----------
    values, pixels : ndarray, shape (rings,)
        Density, and pixels of each ring.
    share : float
        Of all pixels, how many are outermost.

    Returns
    -------
    float
        NaN when no ring has pixels.
    """
    weight = np.where(np.isfinite(values), pixels, 0).astype(np.float64)
    from_outside = np.cumsum(weight[::-1])[::-1]
    outer = (from_outside <= share * weight.sum()) & (weight > 0)
    if not outer.any():
        outer = np.zeros(len(weight), bool)
        outer[np.flatnonzero(weight)[-1:]] = True
    total = float(weight[outer].sum())
    if not total:
        return math.nan
    return float((weight[outer] * values[outer]).sum() / total)
