"""`Frames`: frames of a stack or an array, read in blocks, module by module where that pays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.source import EventSource, Window

if TYPE_CHECKING:
    from napari_xfelsort.core.masks.modules import Module
    from napari_xfelsort.core.stack import EventStack

#: Bytes of frames that are worked on at once.
BLOCK_BYTES = 16 * 1024**2
#: Names that readers have for the memory cell of an event.
_CELLS = ("cellId", "memoryCell")


class _Part(NamedTuple):
    """Some frames of one source, or of an array, and their positions in the whole."""

    source: EventSource | NDArray[Any]
    indices: NDArray[np.int64]
    positions: NDArray[np.int64]


class Frames:
    """Frames to make a mask from; may be sent to other processes.

    Attributes
    ----------
    raw_shape : tuple of int
        Of a frame.
    """

    def __init__(self, parts: list[_Part], raw_shape: tuple[int, ...]) -> None:
        self._parts = parts
        self.raw_shape = raw_shape

    @classmethod
    def of(cls, frames: EventStack | NDArray[Any]) -> Frames:
        """All frames of a stack, or of an array of shape (frames, ...raw shape)."""
        if isinstance(frames, np.ndarray):
            every = np.arange(len(frames))
            return cls([_Part(frames, every, every)], tuple(frames.shape[1:]))
        blocks = frames.blocks(max(1, len(frames)))
        return cls([_Part(*block_of) for block_of in map(_fields, blocks)], frames.raw_shape)

    def __len__(self) -> int:
        return sum(len(part.indices) for part in self._parts)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Positions in the whole of the frames, in the order in which `blocks` gives them."""
        return np.concatenate([part.positions for part in self._parts] or [np.zeros(0, np.int64)])

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read."""
        return all(isinstance(part.source, np.ndarray) for part in self._parts)

    @property
    def itemsize(self) -> int:
        """Bytes of a pixel."""
        return max(part.source.dtype.itemsize for part in self._parts)

    def take(self, wanted: NDArray[np.bool_]) -> Frames:
        """Those frames whose position in the whole is wanted."""
        chosen = [(part, wanted[part.positions]) for part in self._parts]
        parts = [
            _Part(part.source, part.indices[some], part.positions[some])
            for part, some in chosen
            if some.any()
        ]
        return Frames(parts, self.raw_shape)

    def sample(self, n: int) -> Frames:
        """At most ``n`` frames, evenly spread."""
        if len(self) <= n:
            return self
        positions = np.sort(self.positions)
        wanted = np.zeros(positions[-1] + 1, bool)
        wanted[positions[np.linspace(0, len(positions) - 1, n).round().astype(int)]] = True
        return self.take(wanted)

    def apart(self, modules: list[Module]) -> bool:
        """Whether one module can be read without unpacking others."""
        return all(_module_alone(part, modules) for part in self._parts)

    def blocks(self, window: Window) -> Iterator[NDArray[Any]]:
        """The frames in blocks, each cut to a window; arrays are not copied where possible."""
        pixels = math.prod(w.stop - w.start for w in window)
        for part in self._parts:
            size = max(1, BLOCK_BYTES // max(1, pixels * part.source.dtype.itemsize))
            for start in range(0, len(part.indices), size):
                some = part.indices[start : start + size]
                if isinstance(part.source, np.ndarray):
                    cut = (slice(None), *window)
                    yield part.source[_run(some)][cut]
                else:
                    yield part.source.read_many(some.tolist(), window)

    def cells(self) -> NDArray[np.int64]:
        """The memory cell of each frame, in the order of positions.

        Raises
        ------
        SettingsError
            If the files do not say.
        """
        found = np.empty(len(self), np.int64)
        for part in self._parts:
            if isinstance(part.source, np.ndarray):
                raise SettingsError("An array does not say from which memory cell its frames are.")
            for index, position in zip(part.indices.tolist(), part.positions, strict=True):
                about = part.source.metadata(index)
                name = next((name for name in _CELLS if name in about), None)
                if name is None:
                    raise SettingsError(
                        f"{part.source.path} does not say from which memory cell its frames are; "
                        "give groups as numbers, one a frame."
                    )
                found[position] = int(np.asarray(about[name]).ravel()[0])
        return found


def _fields(block: Any) -> tuple[Any, Any, Any]:
    return block.source, block.indices, block.positions


def _run(indices: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """A slice where indices are a run, so that nothing is copied."""
    if len(indices) and indices[-1] - indices[0] == len(indices) - 1 and _rising(indices):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _rising(indices: NDArray[np.int64]) -> bool:
    return bool((np.diff(indices) == 1).all())


def _module_alone(part: _Part, modules: list[Module]) -> bool:
    if isinstance(part.source, np.ndarray) or part.source.reads_windows:
        return True
    packed = part.source.packed(int(part.indices[0])) if len(part.indices) else None
    if packed is None:
        return False
    across = [axis for axis, k in enumerate(modules[0].place) if isinstance(k, int)]
    return all(packed.chunk[axis] == 1 for axis in across)
