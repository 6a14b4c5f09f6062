"""Reading the window of a region with all that says which of its pixels are bad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.mask import PixelMask, combine
from napari_xfelsort.core.region import ResolvedRegion
from napari_xfelsort.core.source import EventSource

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventBlock, EventStack


class BlockFrames(NamedTuple):
    """What was read of a block.

    Attributes
    ----------
    frames : ndarray, shape (events, ...window)
        Raw values; zero for an event that could not be read.
    bad : ndarray of bool, same shape, or None
        Pixels that must not be used.
    failed : dict of int to str
        Why an event (its number in the block) could not be read.
    """

    frames: NDArray[Any]
    bad: NDArray[np.bool_] | None
    failed: Mapping[int, str]


class BlockReader:
    """Reads the window of an extractor, with the masks of the events.

    Parameters
    ----------
    stack : EventStack
        Where the blocks are from.
    pixels : ResolvedRegion
        What is read; its pixels are those that masks may take away from.
    """

    def __init__(self, stack: EventStack, pixels: ResolvedRegion) -> None:
        self.stack = stack
        self._pixels = pixels
        self._added = stack.added_mask()
        self._flags = _Flags(stack.geometry, pixels, stack.raw_shape)
        self._sources: dict[int, _SourceMasks] = {}

    def read(self, block: EventBlock) -> BlockFrames:
        """Frames of a block; an unreadable event costs only itself."""
        try:
            frames = self.stack.read_block(block, self._pixels.window)
            return BlockFrames(frames, self._flagged(frames, block.source, self._bad(block)), {})
        except (XfelsortError, OSError):
            return self._read_each(block)

    def _read_each(self, block: EventBlock) -> BlockFrames:
        source = block.source
        frames = np.zeros((len(block.indices), *self._pixels.shape), source.dtype)
        bad = np.zeros(frames.shape, bool)
        failed: dict[int, str] = {}
        for k, index in enumerate(block.indices.tolist()):
            try:
                frames[k] = source.read(index, self._pixels.window)
                event_bad = self._bad_of(source, index)
            except (XfelsortError, OSError) as error:
                frames[k] = 0
                failed[k] = str(error)
            else:
                if event_bad is not None:
                    bad[k] = event_bad
        stored = bad if bad.any() else None
        return BlockFrames(frames, self._flagged(frames, source, stored), failed)

    def _bad(self, block: EventBlock) -> NDArray[np.bool_] | None:
        """Pixels that stored masks, the geometry or the user call bad."""
        shape = (len(block.indices), *self._pixels.shape)
        if not self._masks_of(block.source).differ:
            mask = self._masks_of(block.source).static
            return None if mask is None else np.broadcast_to(mask, shape)
        bad = np.zeros(shape, bool)
        for k, index in enumerate(block.indices.tolist()):
            mask = self._bad_of(block.source, index)
            if mask is not None:
                bad[k] = mask
        return bad if bad.any() else None

    def _bad_of(self, source: EventSource, index: int) -> NDArray[np.bool_] | None:
        """Bad pixels of an event that the region still holds; None if there are none."""
        known = self._masks_of(source)
        if known.differ:
            return self._in_region(combine(source.event_mask(index), self._added))
        return known.static

    def _masks_of(self, source: EventSource) -> _SourceMasks:
        """What is known of a source's masks; found once, it may open the file."""
        known = self._sources.get(id(source))
        if known is None:
            differ = source.has_event_masks
            mask = None if differ else combine(source.mask(), self._added)
            known = _SourceMasks(source, differ, self._in_region(mask))
            self._sources[id(source)] = known
        return known

    def _flagged(
        self, frames: NDArray[Any], source: EventSource, bad: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """The bad pixels, with those whose value says so to the file or the geometry.

        Found in what was read: asking for the mask of an event reads its frame again.
        """
        flagged = source.flagged(frames)
        if flagged is not None and flagged.any():
            bad = flagged if bad is None else bad | flagged
        return self._flags.add(frames, bad)

    def _in_region(self, mask: PixelMask | None) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        bad = mask.reasons[self._pixels.window] != 0
        if self._pixels.inside is not None:
            bad &= self._pixels.inside
        return bad if bad.any() else None


class _SourceMasks(NamedTuple):
    """Whether a source's masks differ by event, and if not, its bad pixels of the region.

    Holds the source, so that its id stays its own.
    """

    source: EventSource
    differ: bool
    static: NDArray[np.bool_] | None


class _Flags:
    """Values by which a geometry marks bad pixels (``flag_lessthan`` and its like)."""

    def __init__(
        self, geometry: Geometry | None, pixels: ResolvedRegion, raw_shape: tuple[int, ...]
    ) -> None:
        inside: dict[tuple[float, ...], NDArray[np.bool_]] = {}
        for panel in () if geometry is None else geometry.panels.values():
            limits = (panel.flag_lessthan, panel.flag_morethan, panel.flag_equal)
            flags = tuple(np.nan if limit is None else limit for limit in limits)
            if not np.isnan(flags).all():
                inside.setdefault(flags, np.zeros(raw_shape, bool))[panel.raw_index] = True
        cut = {flags: where[pixels.window].copy() for flags, where in inside.items()}
        self._rules = [(flags, where) for flags, where in cut.items() if where.any()]

    def add(self, frames: NDArray[Any], bad: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """The bad pixels, with those whose value is a flag."""
        for flags, where in self._rules:
            # As 64-bit floats: limits near 2**31 are no 32-bit ones.
            less, more, equal = map(np.float64, flags)
            hit = ((frames < less) | (frames > more) | (frames == equal)) & where
            if hit.any():
                bad = hit if bad is None else bad | hit
        return bad
