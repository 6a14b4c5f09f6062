"""The events of one file or run, read lazily: what a reader must provide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.events import EventId, Peaks
from napari_xfelsort.core.mask import PixelMask

#: A rectangular part of a raw frame: one slice for each axis of the raw shape.
Window = tuple[slice, ...]


class StoredFrame(NamedTuple):
    """Where in an HDF5 file a frame lies, to be shown from another file.

    Attributes
    ----------
    file : str
        The file that holds the pixels, absolute.
    dataset : str
        Path in it.
    shape : tuple of int
        Of the whole dataset.
    dtype : numpy.dtype
        As stored.
    where : tuple of int or slice
        Index expression of the frame in the dataset.
    """

    file: str
    dataset: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    where: tuple[int | slice, ...]


class PackedFrame(NamedTuple):
    """A frame as it is packed in an HDF5 file.

    Attributes
    ----------
    dtype : numpy.dtype
        As stored.
    chunk : tuple of int
        Shape of a chunk, in the frame.
    filters : tuple of (int, int, tuple of int)
        Number, flags and parameters of each filter, in their order.
    parts : list of (tuple of int, int, bytes)
        Offset in the frame, filter mask and content of each chunk.
    """

    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    filters: tuple[tuple[int, int, tuple[int, ...]], ...]
    parts: list[tuple[tuple[int, ...], int, bytes]]


class EventSource(ABC):
    """The events of one file or one facility run.

    Sources are picklable, open their file on demand and may be used from several
    threads and processes. Opening one reads metadata only.

    Attributes
    ----------
    path : str
        File or folder, as the user gave it.
    layout : str
        What wrote it, in words: ``"Cheetah CXI"``.
    dataset : str
        Where the frames are, for the user to read.
    raw_shape : tuple of int
        Shape of one raw frame.
    dtype : numpy.dtype
        Type of a pixel as stored.
    problems : list of Problem
        What could not be used.
    """

    path: str
    layout: str
    dataset: str
    raw_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    problems: list[Problem]
    #: Where the file is, when ``path`` does not lead there from the working folder.
    place: str = ""

    @abstractmethod
    def __len__(self) -> int:
        """Number of events."""

    @abstractmethod
    def read(
        self, i: int, window: Window | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Raw frame of event ``i``, or only the given window of it.

        Parameters
        ----------
        i : int
            Index of the event in this source, from 0.
        window : tuple of slice, optional
            Part of the frame to read; the whole frame when omitted.
        out : ndarray, optional
            C-contiguous array of the result's shape and of ``dtype`` to fill.

        Raises
        ------
        UnreadableFileError
            If the event cannot be read; the text names file and event.
        """

    def read_many(self, indices: Sequence[int], window: Window | None = None) -> NDArray[Any]:
        """Several events at once, stacked along a new first axis."""
        shape = self.raw_shape
        if window is not None:
            shape = tuple(
                len(range(*w.indices(n))) for w, n in zip(window, self.raw_shape, strict=True)
            )
        block = np.empty((len(indices), *shape), self.dtype)
        for k, i in enumerate(indices):
            self.read(i, window, out=block[k])
        return block

    @abstractmethod
    def event_id(self, i: int) -> EventId:
        """CrystFEL's name of event ``i``."""

    def places(self) -> dict[str, str]:
        """Where the files are that event ids name but that their names do not lead to."""
        return {self.path: self.place} if self.place else {}

    def find(self, event: str) -> int | None:
        """Index of the event with this CrystFEL event part, None if there is none."""
        for i in range(len(self)):
            if self.event_id(i).event == event:
                return i
        return None

    def find_id(self, event: EventId) -> int | None:
        """Index of the event with this name, None if it is not of this source."""
        return self.find(event.event) if event.file == self.path else None

    @property
    def token(self) -> str:
        """Key that changes when the file does; for caches."""
        return self.path

    def all_files(self) -> tuple[str, ...]:
        """Every file that the events are read from; none when they are held in memory."""
        return ()

    def identifier(self, i: int) -> str | None:
        """The facility's own name of event ``i`` (time stamp, train:pulse, tag)."""
        return None

    def photon_energy(self, i: int) -> float:
        """Photon energy in eV, NaN when unknown."""
        return float("nan")

    def camera_length(self, i: int) -> float:
        """Distance from the interaction point to the detector in metres, NaN when unknown."""
        return float("nan")

    def peaks(self, i: int) -> Peaks | None:
        """Peaks stored with event ``i``, None when the file holds none."""
        return None

    def mask(self) -> PixelMask | None:
        """Pixels that are bad in every event (raw shape), None when nothing is said."""
        return None

    def event_mask(self, i: int) -> PixelMask | None:
        """Pixels that are bad in event ``i``; as `mask` when events do not differ."""
        return self.mask()

    #: Whether a part of a frame is read without reading, or unpacking, the rest of it.
    reads_windows: bool = False
    #: Whether stored masks differ from event to event.
    has_event_masks: bool = False

    def flagged(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Pixels whose value says that it was not measured, True where bad.

        Parameters
        ----------
        values : ndarray
            A frame, or any part of frames.

        Returns
        -------
        ndarray of bool or None
            Of the shape of ``values``; None when no value has such a meaning.
        """
        return None

    def missing_parts(self, i: int) -> Sequence[Window]:
        """Parts of frame ``i`` that were not recorded, as index expressions of the frame."""
        return ()

    def close(self) -> None:
        """Let go of open files; reading opens them again."""
        return

    def stored(self, i: int) -> StoredFrame | None:
        """Where frame ``i`` lies in an HDF5 file; None when not in one piece of one dataset."""
        return None

    def packed(self, i: int) -> PackedFrame | None:
        """Frame ``i`` as it is packed, for a copy without unpacking; None when not possible."""
        return None

    def metadata(self, i: int) -> dict[str, Any]:
        """What else the file says of event ``i``: ids, times, motor positions."""
        return {}


class ArraySource(EventSource):
    """Events held in memory, for simulated data, masks from arrays and tests.

    Parameters
    ----------
    frames : array_like, shape (events, ...raw shape)
        The raw frames.
    path : str
        Name to use in event ids.
    """

    reads_windows = True

    def __init__(
        self,
        frames: NDArray[Any],
        path: str = "array",
        mask: PixelMask | None = None,
        photon_energy: float = float("nan"),
        camera_length: float = float("nan"),
    ) -> None:
        self._frames = np.asarray(frames)
        self.path = path
        self.layout = "array"
        self.dataset = ""
        self.raw_shape = tuple(self._frames.shape[1:])
        self.dtype = self._frames.dtype
        self.problems = []
        self._mask = mask
        self._photon_energy = photon_energy
        self._camera_length = camera_length

    def __len__(self) -> int:
        return len(self._frames)

    def read(
        self, i: int, window: Window | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        frame = self._frames[i] if window is None else self._frames[i][window]
        if out is None:
            return np.array(frame)
        out[...] = frame
        return out

    def event_id(self, i: int) -> EventId:
        return EventId(self.path, f"//{i}", self.place)

    def mask(self) -> PixelMask | None:
        return self._mask

    def photon_energy(self, i: int) -> float:
        return self._photon_energy

    def camera_length(self, i: int) -> float:
        return self._camera_length
