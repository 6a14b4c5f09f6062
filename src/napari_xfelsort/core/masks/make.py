"""`make_mask`: a bad-pixel mask from stacks or arrays of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.estimators import usable_cores
from napari_xfelsort.core.mask import PixelMask, combine
from napari_xfelsort.core.masks.making import Blocks, MadeMask, MaskMaker
from napari_xfelsort.core.masks.settings import MaskSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack

#: Bytes of frames that are worked on at once.
_BLOCK_BYTES = 64 * 1024**2


def make_mask(
    dark: EventStack | NDArray[Any] | None = None,
    bright: EventStack | NDArray[Any] | None = None,
    gain: Sequence[EventStack | NDArray[Any]] = (),
    geometry: Geometry | None = None,
    bad: PixelMask | NDArray[np.bool_] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> MadeMask:
    """Make a bad-pixel mask from dark frames, bright ones, or both.

    Parameters
    ----------
    dark, bright : EventStack, or ndarray of shape (frames, ...raw shape), optional
        Frames without X-rays, and frames in which the light is smooth: no Bragg peaks that
        stay at one place. Memory does not grow with their number.
    gain : sequence of the same, optional
        Gain indicators of each gain stage, the stage of lowest values first.
    geometry : Geometry, optional
        Its panels are looked at one by one; that of the stack when omitted.
    bad : PixelMask or ndarray of bool, raw shape, optional
        Bad pixels to begin with (True, or not 0); those of the stack come to them.
    workers : int, optional
        Threads; by default one a core. The mask does not depend on it.
    progress : callable, optional
        Called with frames done and frames in all; may raise to stop.
    **settings
        Fields of `MaskSettings`.

    Returns
    -------
    MadeMask
        ``reasons`` (uint8, raw shape, bits of `MaskReason`), ``bad``, and the features.

    Raises
    ------
    SettingsError
        If no frames are given, frames differ in shape, or a setting is out of range.
    """
    given = [each for each in (dark, bright, *gain) if each is not None]
    if not given:
        raise SettingsError("A mask is made from dark frames, bright frames or both; give some.")
    chosen = MaskSettings.from_dict(settings)
    stacks = [each for each in given if not isinstance(each, np.ndarray)]
    shape = tuple(given[0].shape[1:] if isinstance(given[0], np.ndarray) else given[0].raw_shape)
    if geometry is None:
        geometry = next((s.geometry for s in stacks if s.geometry is not None), None)
    known = combine(
        PixelMask.from_bad(bad) if isinstance(bad, np.ndarray) else bad,
        *(stack.mask for stack in stacks if tuple(stack.raw_shape) == shape),
    )
    counted = _Counted(progress, sum(len(each) for each in given))
    maker = MaskMaker(
        shape, chosen, geometry, None if known is None else known.bad, workers or usable_cores()
    )
    if dark is not None:
        maker.dark(counted.blocks_of(dark))
    if gain:
        maker.gain([counted.blocks_of(each) for each in gain])
    if bright is not None:
        maker.bright(counted.blocks_of(bright))
    return maker.mask()


class _Counted:
    """Blocks of stacks and arrays, with progress over all of them."""

    def __init__(self, progress: Callable[[int, int], None] | None, n_frames: int) -> None:
        self._progress, self._n = progress, n_frames
        self._done = 0

    def blocks_of(self, frames: EventStack | NDArray[Any]) -> Blocks:
        seen = 0

        def blocks() -> Iterator[NDArray[Any]]:
            nonlocal seen
            n = 0
            for block in _blocks(frames):
                yield block
                n += len(block)
                if n > seen:  # not counted a second time
                    self._done += n - seen
                    seen = n
                    if self._progress is not None:
                        self._progress(self._done, self._n)

        return blocks


def _blocks(frames: EventStack | NDArray[Any]) -> Iterator[NDArray[Any]]:
    if isinstance(frames, np.ndarray):
        one = max(1, frames[:1].nbytes)
        for start in range(0, len(frames), max(1, _BLOCK_BYTES // one)):
            yield frames[start : start + max(1, _BLOCK_BYTES // one)]
        return
    whole = tuple(slice(0, n) for n in frames.raw_shape)
    one = int(np.prod(frames.raw_shape)) * frames.dtype.itemsize
    for block in frames.blocks(max(1, _BLOCK_BYTES // one)):
        yield frames.read_block(block, whole)
