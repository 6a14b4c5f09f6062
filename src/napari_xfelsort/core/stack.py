"""Many sources seen as one sequence of events: what every task takes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError, NoEventsError, Problem
from napari_xfelsort.core.events import EventId, Peaks
from napari_xfelsort.core.mask import PixelMask, Reason, combine
from napari_xfelsort.core.source import EventSource, Window

if TYPE_CHECKING:
    import dask.array as da

    from napari_xfelsort.core.geometry import Geometry


@dataclass(frozen=True, eq=False)
class EventBlock:
    """Some events of one source, in the order they have in the stack.

    Attributes
    ----------
    source : EventSource
        Where they are.
    indices : ndarray of int
        Their indices in the source.
    positions : ndarray of int
        Their indices in the stack.
    """

    source: EventSource
    indices: NDArray[np.int64]
    positions: NDArray[np.int64]


class FileEvents(NamedTuple):
    """The events of one source in a stack: how many, and the position of the first."""

    source: EventSource
    n_events: int
    first: int


class EventStack:
    """Events of one or many files as one lazily read sequence.

    Parameters
    ----------
    sources : sequence of EventSource
        At least one; all of one raw shape.
    selection : pair of int arrays, optional
        Source number and index in the source of every event, for a stack that
        holds only listed events or holds them in another order.
    geometry : Geometry, optional
        Must fit the raw shape.
    mask : PixelMask, optional
        A mask of the user's, added to what the files say.
    problems, notes : sequence of Problem
        What could not be used; what is worth knowing without being wrong.

    Raises
    ------
    NoEventsError
        If there is no event at all.
    GeometryError
        If the geometry does not fit the frames.
    """

    def __init__(
        self,
        sources: Sequence[EventSource],
        selection: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None,
        geometry: Geometry | None = None,
        mask: PixelMask | None = None,
        problems: Sequence[Problem] = (),
        notes: Sequence[Problem] = (),
    ) -> None:
        if not sources:
            raise NoEventsError("There is no file with events.")
        self.sources = list(sources)
        self.raw_shape = self.sources[0].raw_shape
        for source in self.sources:
            if source.raw_shape != self.raw_shape:
                raise NoEventsError(
                    f"{source.path} has frames of {source.raw_shape}, the stack of "
                    f"{self.raw_shape}; open them apart."
                )
        self.dtype: np.dtype[Any] = np.result_type(*{source.dtype for source in self.sources})
        self.problems = list(problems)
        self.notes = list(notes)
        self._selection = selection
        self._starts = np.cumsum([0, *(len(source) for source in self.sources)])
        self.user_mask = mask
        if mask is not None and mask.reasons.shape != self.raw_shape:
            raise GeometryError(
                f"The mask has shape {mask.reasons.shape} but the frames {self.raw_shape}; "
                "a mask must have the shape of the frames as stored."
            )
        self.geometry = None if geometry is None else geometry.fit(self.raw_shape)
        #: A geometry file that lies beside the data and fits; never applied by itself.
        self.offered_geometry: str | None = None

    def __len__(self) -> int:
        return len(self._selection[0]) if self._selection else int(self._starts[-1])

    def __repr__(self) -> str:
        return (
            f"<EventStack {len(self)} events of {self.raw_shape} {self.dtype} "
            f"in {len(self.sources)} files>"
        )

    def locate(self, i: int) -> tuple[EventSource, int]:
        """Source of event ``i`` and the event's index there.

        Raises
        ------
        IndexError
            If there is no such event; negative indices count from the end.
        """
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"Event {i} of {n} does not exist.")
        i %= n
        if self._selection:
            return self.sources[self._selection[0][i]], int(self._selection[1][i])
        number = int(np.searchsorted(self._starts, i, side="right")) - 1
        return self.sources[number], i - int(self._starts[number])

    def blocks(self, size: int) -> Iterator[EventBlock]:
        """The stack cut into blocks of at most ``size`` events, each of one source.

        Every event is in exactly one block; blocks come file by file.
        """
        for number, source in enumerate(self.sources):
            if self._selection:
                positions = np.flatnonzero(self._selection[0] == number)
                indices = self._selection[1][positions].astype(np.int64)
            else:
                indices = np.arange(len(source), dtype=np.int64)
                positions = indices + self._starts[number]
            for start in range(0, len(indices), size):
                part = slice(start, start + size)
                yield EventBlock(source, indices[part], positions[part])

    def files(self) -> list[FileEvents]:
        """How many events of each source the stack holds, and where they begin."""
        if self._selection is None:
            counts = [len(source) for source in self.sources]
            firsts = self._starts[:-1].tolist()
        else:
            numbers = self._selection[0]
            counts = np.bincount(numbers, minlength=len(self.sources)).tolist()
            firsts = [0] * len(self.sources)
            for number, first in zip(*np.unique(numbers, return_index=True), strict=True):
                firsts[number] = int(first)
        return [FileEvents(*each) for each in zip(self.sources, counts, firsts, strict=True)]

    def subset(self, positions: Sequence[int] | NDArray[np.integer[Any]]) -> EventStack:
        """The stack of these events, in this order."""
        pairs = [self.locate(int(p)) for p in positions]
        numbers = {id(source): k for k, source in enumerate(self.sources)}
        return self.selected(
            np.array([numbers[id(source)] for source, _ in pairs], np.int32),
            np.array([index for _, index in pairs], np.int32),
        )

    def selected(self, numbers: NDArray[np.int32], indices: NDArray[np.int32]) -> EventStack:
        """The stack of the events with these source numbers and indices in their source."""
        stack = self._copy()
        stack._selection = (numbers, indices)
        return stack

    @property
    def listed(self) -> bool:
        """Whether the stack was made of named events rather than of all events of files."""
        return self._selection is not None

    def with_mask(self, mask: PixelMask | None) -> EventStack:
        """The same events with another user mask."""
        stack = self._copy()
        stack.user_mask = mask
        return stack

    def _copy(self) -> EventStack:
        stack = object.__new__(EventStack)
        stack.__dict__.update(self.__dict__)
        return stack

    def event_id(self, i: int) -> EventId:
        """CrystFEL's name of event ``i``."""
        source, index = self.locate(i)
        return source.event_id(index)

    def identifier(self, i: int) -> str | None:
        """The facility's own name of event ``i``: time stamp, train:pulse, tag."""
        source, index = self.locate(i)
        return source.identifier(index)

    def find(self, event: EventId) -> int | None:
        """Position of an event by its name, None when it is not in the stack."""
        for number, source in enumerate(self.sources):
            index = source.find_id(event)
            if index is None:
                continue
            if self._selection is None:
                return int(self._starts[number]) + index
            hits = np.flatnonzero((self._selection[0] == number) & (self._selection[1] == index))
            if len(hits):
                return int(hits[0])
        return None

    def raw(self, i: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Frame of event ``i`` as stored; shape ``raw_shape``."""
        source, index = self.locate(i)
        return source.read(index, out=out).astype(self.dtype, copy=False)

    def assembled(self, i: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Frame of event ``i`` in laboratory layout, (y, x).

        Without a geometry the frame as stored, modules below one another.
        """
        if self.geometry is not None:
            scratch = scratch_frame(self.raw_shape, self.dtype)
            return self.geometry.assemble(self.raw(i, scratch), out=out)
        raw = self.raw(i)
        flat = raw.reshape(-1, raw.shape[-1])
        if out is None:
            return flat
        out[...] = flat
        return out

    @property
    def assembled_shape(self) -> tuple[int, int]:
        """Shape (y, x) of `assembled`."""
        if self.geometry is not None:
            return self.geometry.shape
        return int(np.prod(self.raw_shape[:-1])), self.raw_shape[-1]

    def read_block(self, block: EventBlock, window: Window | None = None) -> NDArray[Any]:
        """Frames (or a window of them) of a block; shape (events, ...)."""
        return block.source.read_many(block.indices.tolist(), window)

    def photon_energy(self, i: int) -> float:
        """Photon energy of event ``i`` in eV, NaN when unknown."""
        source, index = self.locate(i)
        return source.photon_energy(index)

    def camera_length(self, i: int) -> float:
        """Distance from the interaction point to the detector in m, NaN when unknown.

        With a geometry it is the distance along the beam to the panel nearest the beam.
        """
        source, index = self.locate(i)
        length = source.camera_length(index)
        if self.geometry is None or self.geometry.clen is None:
            return length
        return self.geometry.camera_length(length)

    def peaks(self, i: int) -> Peaks | None:
        """Peaks stored with event ``i``, None when the file holds none."""
        source, index = self.locate(i)
        return source.peaks(index)

    def picture_points(
        self, fs: NDArray[np.float64], ss: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Where points of the frame as stored lie in the assembled picture.

        Parameters
        ----------
        fs, ss : ndarray, shape (points,)
            Pixel indices, pixel centres at integers, modules below one another.

        Returns
        -------
        ndarray, shape (points, 2)
            (y, x), to the nearest pixel with a geometry; NaN outside of the frame and of
            all panels.
        """
        if self.geometry is None:
            points = np.column_stack([ss, fs]).astype(np.float64)
            last = np.array(self.assembled_shape) - 0.5
            points[~((points >= -0.5) & (points < last)).all(axis=1)] = np.nan
            return points
        return self.geometry.picture_points(fs, ss)

    def close(self) -> None:
        """Let go of open files; reading opens them again."""
        for source in self.sources:
            source.close()

    def metadata(self, i: int) -> dict[str, Any]:
        """What else the file says of event ``i``."""
        source, index = self.locate(i)
        return source.metadata(index)

    @property
    def mask(self) -> PixelMask | None:
        """Pixels that are bad in every event: file, geometry and user together."""
        return combine(self.sources[0].mask(), self.added_mask())

    def event_mask(self, i: int) -> PixelMask | None:
        """Pixels that are bad in event ``i``, by file, geometry or user."""
        source, index = self.locate(i)
        flagged: PixelMask | None = None
        if self.geometry is not None and self.geometry.has_flags:
            bad = self.geometry.value_mask(source.read(index))
            flagged = None if bad is None else PixelMask.from_bad(bad, Reason.VALUE)
        return combine(source.event_mask(index), flagged, self.added_mask())

    def added_mask(self) -> PixelMask | None:
        """Pixels that the geometry or the user calls bad, whatever the files say."""
        static = None if self.geometry is None else self.geometry.static_mask()
        return combine(static, self.user_mask)

    @property
    def token(self) -> str:
        """Key that changes when files, geometry or selection do; for caches."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(source.token.encode())
        if self._selection:
            for part in self._selection:
                digest.update(np.ascontiguousarray(part).tobytes())
        if self.geometry is not None:
            digest.update(self.geometry.digest.encode())
        return digest.hexdigest()[:32]

    def as_array(self, assembled: bool = True) -> LazyFrames:
        """An array-like (events, ...) that reads only what is asked for."""
        return LazyFrames(self, assembled)

    def to_dask(self, assembled: bool = True) -> da.Array:
        """The stack as a dask array with one event a chunk."""
        import dask.array as da

        lazy = self.as_array(assembled)
        return da.from_array(
            lazy,
            chunks=(1, *lazy.shape[1:]),
            inline_array=True,
            name=f"xfelsort-{self.token}-{'assembled' if assembled else 'raw'}",
            meta=np.empty((0,) * lazy.ndim, lazy.dtype),
        )


_BUFFERS = threading.local()


def scratch_frame(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """This thread's buffer for one raw frame: new pages for each would cost a third more.

    The next call from the same thread gives the same buffer.
    """
    buffer: NDArray[Any] | None = getattr(_BUFFERS, "frame", None)
    if buffer is None or buffer.shape != shape or buffer.dtype != dtype:
        buffer = _BUFFERS.frame = np.empty(shape, dtype)
    return buffer


class LazyFrames:
    """Array-like over a stack: shape, ndim, dtype, size and ``__getitem__``.

    At most `max_events` events are read by one index expression, so that a viewer's
    3-D switch cannot load a whole run.
    """

    max_events = 64

    def __init__(self, stack: EventStack, assembled: bool) -> None:
        frame = stack.assembled_shape if assembled else stack.raw_shape
        self.stack = stack
        self.assembled = assembled
        self.shape = (len(stack), *frame)
        self.dtype = stack.dtype
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=object))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        key = tuple(k for k in key if k is not Ellipsis)
        events, rest = (key[0] if key else slice(None)), key[1:]
        if isinstance(events, (int, np.integer)):
            return np.asarray(self._frame(int(events))[rest])
        numbers = np.arange(self.shape[0])[events]
        if len(numbers) > self.max_events:
            raise MemoryError(
                f"{len(numbers)} events were asked for at once; at most {self.max_events} "
                "are read together. Use EventStack.blocks for work on a whole run."
            )
        frames = [self._frame(int(i)) for i in numbers]
        if not frames:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack(frames)[(slice(None), *rest)]

    def _frame(self, i: int) -> NDArray[Any]:
        return self.stack.assembled(i) if self.assembled else self.stack.raw(i)
