"""Dragonfly's sparse photon files: HDF5 (``place_ones`` ...) and binary ``.emc``.

Source: Dragonfly's ``writeemc.py`` and ``emcfile``. The files say how many pixels a frame
has but not its shape, so a frame is one row of pixels until a detector file is known.
"""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import NoEventsError, UnreadableFileError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.source import EventSource, Window
from napari_xfelsort.readers import hdf5

_HEADER_BYTES = 1024
_SPARSE, _DENSE_INT, _DENSE_FLOAT = 0, 1, 2


class SparsePhotons(EventSource):
    """Frames of photon counts stored as places of ones and of multiple photons.

    Parameters
    ----------
    path : str
        The file, as the user gave it.
    n_events, n_pixels : int
        What its header says.
    """

    def __init__(self, path: str, n_events: int, n_pixels: int) -> None:
        self.path = path
        self.file = os.path.abspath(path)
        self.raw_shape = (1, n_pixels)
        self.dtype = np.dtype(np.int32)
        self.problems = []
        self._n_events = n_events

    def __len__(self) -> int:
        return self._n_events

    @property
    def token(self) -> str:
        status = os.stat(self.file)
        return f"{self.file}:{status.st_size}:{status.st_mtime_ns}"

    def all_files(self) -> tuple[str, ...]:
        return (self.file,)

    def close(self) -> None:
        hdf5.POOL.close(self.all_files())

    def event_id(self, i: int) -> EventId:
        return EventId(self.path, f"//{i}", self.place)

    def find(self, event: str) -> int | None:
        indices = EventId(self.path, event).indices
        return indices[0] if len(indices) == 1 and 0 <= indices[0] < len(self) else None

    def read(
        self, i: int, window: Window | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has no event {i}; it has {len(self)}.")
        try:
            frame = self._frame(i).reshape(self.raw_shape)
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            raise UnreadableFileError(
                f"Event {self.event_id(i)} cannot be read: {error}."
            ) from error
        part = frame if window is None else frame[window]
        if out is None:
            return part
        out[...] = part
        return out

    def _frame(self, i: int) -> NDArray[Any]:
        raise NotImplementedError

    def _dense(
        self, ones: NDArray[Any], multi: NDArray[Any], counts: NDArray[Any]
    ) -> NDArray[np.int32]:
        frame = np.zeros(self.raw_shape[1], np.int32)
        np.add.at(frame, ones, 1)
        np.add.at(frame, multi, counts)
        return frame


class Hdf5Photons(SparsePhotons):
    """Dragonfly's HDF5 form."""

    layout = "Dragonfly HDF5 (sparse photons)"
    dataset = "/place_ones"

    def _frame(self, i: int) -> NDArray[Any]:
        with hdf5.POOL.borrow(self.file) as opened:
            parts = [
                np.asarray(opened.dataset(name)[i])
                for name in ("place_ones", "place_multi", "count_multi")
            ]
        return self._dense(*parts)


class EmcPhotons(SparsePhotons):
    """Dragonfly's binary form: sparse, dense int32 or dense float64."""

    layout = "Dragonfly EMC (binary photons)"
    dataset = ""

    def __init__(self, path: str) -> None:
        size = os.path.getsize(path)
        header = np.fromfile(path, np.int32, 3)
        if size < _HEADER_BYTES or len(header) < 3:
            raise UnreadableFileError(f"{path} is too short for an EMC file.")
        n_events, n_pixels, self.kind = (int(value) for value in header)
        if n_events <= 0 or n_pixels <= 0 or self.kind not in (0, 1, 2):
            raise UnreadableFileError(f"{path} is not an EMC file: its header makes no sense.")
        super().__init__(path, n_events, n_pixels)
        if self.kind == _DENSE_FLOAT:
            self.dtype = np.dtype(np.float64)
        needed = _HEADER_BYTES + (
            8 * n_events if self.kind == _SPARSE else n_events * n_pixels * self.dtype.itemsize
        )
        if size < needed:
            raise UnreadableFileError(
                f"{path} is truncated: {size} bytes are there, its header promises {needed}."
            )

    def _frame(self, i: int) -> NDArray[Any]:
        if self.kind != _SPARSE:
            step = self.raw_shape[1] * self.dtype.itemsize
            return np.fromfile(
                self.file, self.dtype, self.raw_shape[1], offset=_HEADER_BYTES + i * step
            )
        n = len(self)
        counts = np.fromfile(self.file, np.int32, 2 * n, offset=_HEADER_BYTES)
        ones, multi = counts[:n].astype(np.int64), counts[n:].astype(np.int64)
        start = _HEADER_BYTES + 8 * n
        place_ones = start + 4 * int(ones[:i].sum())
        place_multi = start + 4 * int(ones.sum() + multi[:i].sum())
        count_multi = start + 4 * int(ones.sum() + multi.sum() + multi[:i].sum())
        return self._dense(
            np.fromfile(self.file, np.int32, ones[i], offset=place_ones),
            np.fromfile(self.file, np.int32, multi[i], offset=place_multi),
            np.fromfile(self.file, np.int32, multi[i], offset=count_multi),
        )


def probe(file: h5py.File, path: str) -> Hdf5Photons | None:
    """Source of a Dragonfly HDF5 file, None if it is none.

    Raises
    ------
    NoEventsError
        If it holds no events.
    """
    names = ("num_pix", "place_ones", "place_multi", "count_multi")
    sets = [hdf5.dataset(file, name) for name in names]
    if any(found is None for found in sets):
        return None
    n_pixels = int(np.ravel(sets[0][()])[0])
    n_events = int(sets[1].shape[0]) if sets[1].ndim else 0
    if n_events == 0:
        raise NoEventsError(f"{path} holds no events: place_ones is empty.")
    return Hdf5Photons(path, n_events, n_pixels)
