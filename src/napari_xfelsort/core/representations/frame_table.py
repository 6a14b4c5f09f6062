"""Rings and azimuth of assembled frames: tables made once for each shape, centre and mask."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.representations.azimuth import (
    AzimuthTable,
    azimuthal_names,
    group_starts,
    sector_numbers,
)
from napari_xfelsort.core.representations.rings import VECTOR_STATISTICS, equal_rings

#: Side of the blocks, in parts of the frame, that stand for panels where no gap divides them.
_BLOCKS = 8
_SMALLEST_PANEL = 64
_KEPT_TABLES = 8


class FrameTable:
    """Rings around the centre of a frame, ready for many frames; made by `frame_table`.

    Parameters
    ----------
    shape : (int, int)
        Of the frames.
    center : (float, float)
        (y, x) in pixels, pixel centres at whole numbers; may lie off the frame.
    bad : ndarray of bool, shape of the frames, or None
        Pixels to leave out.
    rings, groups : int
        Rings of equal width between the innermost and the outermost pixel, masked or not,
        and groups of them for azimuthal features.

    Attributes
    ----------
    radii : ndarray, shape (rings,)
        Mean radius of the pixels of each ring, NaN where it has none.
    index : ndarray of int32, shape of the frames
        Ring of each pixel, -1 where it is left out.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        center: tuple[float, float],
        bad: NDArray[np.bool_] | None,
        rings: int,
        groups: int,
    ) -> None:
        self.shape, self.center, self.groups = shape, center, groups
        y = (np.arange(shape[0]) - center[0])[:, np.newaxis]
        x = (np.arange(shape[1]) - center[1])[np.newaxis]
        away = np.hypot(y, x)
        index, _ = equal_rings(away, np.ones(shape, bool), rings)
        if bad is not None:
            index[bad] = -1
        used = index >= 0
        counts = np.bincount(index[used], minlength=rings)
        sums = np.bincount(index[used], away[used], rings)
        self.index = index
        self.radii = np.divide(sums, counts, out=np.full(rings, np.nan), where=counts > 0)
        sector = sector_numbers(*np.broadcast_arrays(y, x))
        self._azimuth = AzimuthTable(index, self.radii, sector, panel_cells(used), groups)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of each ring."""
        return self._azimuth.rings.counts

    def ring_vector(
        self, frame: NDArray[Any], beam_stop_sigma: float = 4.0
    ) -> NDArray[np.float64]:
        """Statistics of each ring.

        Parameters
        ----------
        frame : ndarray, shape of the table
            Values that are not finite are left out.
        beam_stop_sigma : float
            Rays so many spreads darker than the others are left out, as in the shadow of a
            beam stop; 0 keeps all.

        Returns
        -------
        ndarray, shape (rings, 7)
            `VECTOR_STATISTICS` of each ring. A ring without pixels has those of the next
            one inside of it (outside of it where there is none); NaN when no ring has any.
        """
        values = self._flat(frame)
        return _filled(self._azimuth.ring_statistics(values, VECTOR_STATISTICS, beam_stop_sigma))

    def azimuthal(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """What rings cannot see, as named by `azimuthal_names`; one number each."""
        return self._azimuth.features(self._flat(frame))

    @property
    def azimuthal_names(self) -> list[str]:
        """What the numbers of `azimuthal` are."""
        return azimuthal_names(group_starts(self.radii, self.groups), "pixels")

    def _flat(self, frame: NDArray[Any]) -> NDArray[Any]:
        frame = np.asarray(frame)
        if frame.shape != self.shape:
            raise SettingsError(
                f"The frame has shape {frame.shape}, but its centre and mask were given for "
                f"frames of {self.shape}."
            )
        return frame.ravel()


def frame_table(
    shape: tuple[int, ...],
    center: tuple[float, float],
    mask: NDArray[np.bool_] | None = None,
    rings: int = 240,
    groups: int = 10,
) -> FrameTable:
    """The table for frames of a shape, centre and mask; the last ones are kept.

    Parameters
    ----------
    shape : tuple of int
        Of two-dimensional frames.
    center : (float, float)
        (y, x) in pixels; may lie off the frame.
    mask : ndarray of bool, optional
        True where a pixel is bad.
    rings, groups : int
        See `FrameTable`.

    Raises
    ------
    SettingsError
        If the frames are not two-dimensional, the centre is no place, the mask has another
        shape or leaves no pixel, or a number is below 1.
    """
    shape, center = checked_frame(shape, center, mask)
    if rings < 1 or groups < 1:
        raise SettingsError(f"There must be at least one ring and group, not {rings}, {groups}.")
    bad = None if mask is None or not mask.any() else np.asarray(mask, bool)
    key = (shape, center, rings, groups, digest(bad))
    table = kept(key, lambda: FrameTable(shape, center, bad, rings, groups))
    assert isinstance(table, FrameTable)
    return table


def checked_frame(
    shape: tuple[int, ...], center: tuple[float, float], mask: NDArray[np.bool_] | None
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Shape and centre as plain numbers.

    Raises
    ------
    SettingsError
        As `frame_table`.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise SettingsError(f"A frame of shape {tuple(shape)} is no picture; assemble it first.")
    y, x = float(center[0]), float(center[1])
    if not (math.isfinite(y) and math.isfinite(x)):
        raise SettingsError(f"The centre ({y}, {x}) is no place.")
    if mask is not None and mask.shape != tuple(shape):
        raise SettingsError(f"The mask has shape {mask.shape}, but the frames {tuple(shape)}.")
    if mask is not None and mask.all():
        raise SettingsError("Every pixel of the frame is masked.")
    return (int(shape[0]), int(shape[1])), (y, x)


def panel_cells(used: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number of the panel of each pixel: parts that gaps divide, cut into blocks if large.

    Parts of less than 64 pixels, and unused pixels, have -1.
    """
    from scipy.ndimage import label

    parts, _ = label(used)
    blocks = [np.arange(n) * _BLOCKS // n for n in used.shape]
    code = parts.astype(np.int64) * _BLOCKS**2
    code += blocks[0][:, np.newaxis] * _BLOCKS + blocks[1]
    cell = np.full(used.shape, -1, np.int32)
    _, number, counts = np.unique(code[used], return_inverse=True, return_counts=True)
    large = counts >= _SMALLEST_PANEL
    new = np.where(large, np.cumsum(large) - 1, -1).astype(np.int32)
    cell[used] = new[number.ravel()]
    return cell


def digest(bad: NDArray[np.bool_] | None) -> bytes:
    """Stands for a mask."""
    if bad is None:
        return b""
    return hashlib.blake2b(np.packbits(bad).tobytes(), digest_size=16).digest()


_tables: OrderedDict[Any, Any] = OrderedDict()
_lock = Lock()


def kept(key: Any, make: Callable[[], Any]) -> Any:
    """What is made for a key; the last few are kept."""
    with _lock:
        if key in _tables:
            _tables.move_to_end(key)
            return _tables[key]
    made = make()
    with _lock:
        _tables[key] = made
        while len(_tables) > _KEPT_TABLES:
            _tables.popitem(last=False)
    return made


def _filled(rings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rings without a value get those of the next one inside, or outside of the first."""
    known = ~np.isnan(rings[:, 0])
    if known.all() or not known.any():
        return rings
    last = np.maximum.accumulate(np.where(known, np.arange(len(rings)), -1))
    return np.asarray(rings[np.where(last < 0, int(np.argmax(known)), last)])
