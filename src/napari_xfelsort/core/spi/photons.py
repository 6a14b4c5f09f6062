"""Photons of events as Dragonfly stores them: places of one photon, and of more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import OutputError, SettingsError, UnreadableFileError
from napari_xfelsort.core.region import as_region

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Ints = NDArray[np.int32]
Progress = Callable[[int, int], None]

#: Bytes of frames, and events, that are held at once.
_BLOCK_BYTES, _MOST_EVENTS = 32 << 20, 1024


class Photons(NamedTuple):
    """Photons of some events, one event after another.

    Attributes
    ----------
    ones, multi : ndarray of int32, shape (events,)
        Pixels of each event with one photon, and with more.
    place_ones : ndarray of int32
        Flat numbers of the pixels with one.
    place_multi, count_multi : ndarray of int32
        Flat numbers of the pixels with more, and how many these have.
    """

    ones: Ints
    multi: Ints
    place_ones: Ints
    place_multi: Ints
    count_multi: Ints

    def split(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Places of one, places of more, and how many, of each event."""
        ends_ones = np.cumsum(self.ones, dtype=np.int64).tolist()
        ends_multi = np.cumsum(self.multi, dtype=np.int64).tolist()
        first = second = 0
        for a, b in zip(ends_ones, ends_multi, strict=True):
            yield self.place_ones[first:a], self.place_multi[second:b], self.count_multi[second:b]
            first, second = a, b

    def reordered(self, order: NDArray[np.intp]) -> Photons:
        """The same events in another order."""
        parts = list(self.split())
        joined = [np.concatenate([parts[k][n] for k in order.tolist()]) for n in range(3)]
        return Photons(self.ones[order], self.multi[order], *joined)


def sparse(
    frames: NDArray[Any], bad: NDArray[np.bool_] | None = None, per_photon: float = 1.0
) -> Photons:
    """Photons of frames.

    Parameters
    ----------
    frames : ndarray, shape (events, ...)
        Values; divided by ``per_photon`` and rounded to whole numbers (0.5 upwards), what is
        below 1 or not finite is none.
    bad : ndarray of bool, same shape, or of one frame, optional
        Pixels that have none.
    per_photon : float
        What a photon counts.

    Raises
    ------
    SettingsError
        If ``per_photon`` is not positive.
    OutputError
        If a pixel has more photons than Dragonfly can store.
    """
    from napari_xfelsort.core.spi import photon_loops

    if not 0 < per_photon < math.inf:
        raise SettingsError(f"A photon cannot count {per_photon} ADU.")
    n = len(frames)
    flat = np.ascontiguousarray(frames.reshape(n, -1))
    if not flat.dtype.isnative:
        flat = flat.astype(flat.dtype.newbyteorder("="))
    hidden = np.zeros((0, 0), bool)
    if bad is not None:
        same = bad.ndim == frames.ndim and (bad.strides[0] == 0 or n == 1)
        hidden = np.ascontiguousarray((bad[:1] if same else bad).reshape(-1, flat.shape[1]))
    ones, multi = np.zeros(n, np.int32), np.zeros(n, np.int32)
    # What is not written takes no memory.
    places = tuple(np.empty(flat.size + 1, np.int32) for _ in range(3))
    if flat.dtype.kind in "iu" and per_photon == 1:
        fits = photon_loops.whole(flat, hidden, ones, multi, *places)
    else:
        fits = photon_loops.rounded(flat, hidden, float(per_photon), ones, multi, *places)
    if not fits:
        raise OutputError("A pixel has more than 2147483647 photons; is it to be masked?")
    ends = int(ones.sum(dtype=np.int64)), int(multi.sum(dtype=np.int64))
    found = (places[0][: ends[0]], places[1][: ends[1]], places[2][: ends[1]])
    return Photons(ones, multi, *(part.copy() for part in found))


def photons_of(
    stack: EventStack, per_photon: float = 1.0, progress: Progress | None = None
) -> Iterator[Photons]:
    """Photons of the events of a stack in its order, some hundred events at a time.

    Bad pixels, and those in no panel, have none.

    Raises
    ------
    UnreadableFileError
        If an event cannot be read.
    """
    pixels = as_region(None).resolve(stack.raw_shape, stack.geometry)
    reader = BlockReader(stack, pixels)
    outside = None if stack.geometry is None else ~stack.geometry.covered
    if outside is not None and not outside.any():
        outside = None
    n, width = len(stack), math.prod(stack.raw_shape) * stack.dtype.itemsize
    size = min(_MOST_EVENTS, max(1, _BLOCK_BYTES // max(1, width)))
    for start in range(0, n, size):
        part = stack.subset(range(start, min(n, start + size)))
        found, positions = [], []
        for block in part.blocks(size):
            read = reader.read(block)
            if read.failed:
                raise UnreadableFileError(next(iter(read.failed.values())))
            bad = read.bad
            if outside is not None:
                bad = outside[np.newaxis] if bad is None else bad | outside
            found.append(sparse(read.frames, bad, per_photon))
            positions.append(block.positions)
        joined = Photons(*(np.concatenate(each) for each in zip(*found, strict=True)))
        order = np.argsort(np.concatenate(positions), kind="stable")
        if not np.array_equal(order, np.arange(len(order))):
            joined = joined.reordered(order)
        yield joined
        if progress is not None:
            progress(min(n, start + size), n)
