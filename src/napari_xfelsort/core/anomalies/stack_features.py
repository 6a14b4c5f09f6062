"""Features of the frames of a stack, as models of anomalies see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.learners import FRAME_FEATURES
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.errors import RegionError, XfelsortError
from napari_xfelsort.core.geometry.header import HC

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Told events done and in all; may raise to stop.
Progress = Callable[[int, int], None]


class FrameTable(NamedTuple):
    """Features of some events.

    Attributes
    ----------
    matrix : ndarray of float32, shape (events, features)
        NaN for events that have none.
    names : tuple of str
        Of the columns; empty for ring vectors.
    failed : dict of int to str
        Why an event (its row) has none.
    """

    matrix: NDArray[np.float32]
    names: tuple[str, ...]
    failed: dict[int, str]


class FrameReader:
    """Assembled frames of a stack, their mask, beam and resolution.

    Parameters
    ----------
    stack : EventStack
        The events.
    center : (float, float), optional
        (y, x) of the beam in pixels of the assembled frame; that of the geometry when
        omitted.

    Attributes
    ----------
    center : (float, float)
        The beam.
    mask : ndarray of bool, shape of assembled frames
        True in gaps and where a pixel is bad in all events.

    Raises
    ------
    RegionError
        If it is not known where the beam is.
    """

    def __init__(self, stack: EventStack, center: tuple[float, float] | None = None) -> None:
        self.stack = stack
        if center is None:
            if stack.geometry is None:
                raise RegionError(
                    "It is not known where the beam is; give a geometry, or the centre."
                )
            center = stack.geometry.beam_position
        self.center = (float(center[0]), float(center[1]))
        mask = stack.mask
        self._bad = None if mask is None or not mask.n_bad else mask.bad
        self.mask = np.isnan(self._assembled(np.zeros(stack.raw_shape, np.float32)))
        if self.mask.all():
            raise RegionError("Every pixel of the frames is masked.")

    def frame(self, i: int) -> NDArray[np.float32]:
        """Assembled frame of event ``i``; NaN in gaps and where a pixel is bad.

        Raises
        ------
        RegionError
            If all pixels are bad.
        """
        raw = self.stack.raw(i).astype(np.float32)
        own = self.stack.event_mask(i)
        if own is not None and own.n_bad:
            raw[own.bad] = np.nan
        frame = self._assembled(raw)
        if not np.isfinite(frame).any():
            raise RegionError("All pixels are bad in this event, or masked.")
        return frame

    def optics(self, i: int) -> Optics:
        """Wavelength and distance of event ``i``, where they are known."""
        energy, length = self.stack.photon_energy(i), self.stack.camera_length(i)
        geometry = self.stack.geometry
        if geometry is None or not (energy > 0 and length > 0):
            return Optics()
        return Optics(HC / energy * 1e10, length / geometry.pixel_size)

    def _assembled(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._bad is not None:
            raw[self._bad] = np.nan
        if self.stack.geometry is None:
            return raw.reshape(-1, raw.shape[-1])
        return np.asarray(self.stack.geometry.assemble(raw))


def stack_features(
    reader: FrameReader,
    positions: Sequence[int] | NDArray[np.integer[Any]],
    kind: str = FRAME_FEATURES,
    progress: Progress | None = None,
) -> FrameTable:
    """Features of chosen events; an event that cannot be read costs only itself.

    Parameters
    ----------
    reader : FrameReader
        Where frames are from.
    positions : sequence of int
        Which events.
    kind : str
        ``frame_features`` or ``ring_vector``.
    progress : callable, optional
        Called with events done and in all; may raise to stop.
    """
    rows: list[NDArray[np.float32] | None] = []
    names: tuple[str, ...] = ()
    failed: dict[int, str] = {}
    for k, position in enumerate(positions):
        try:
            frame = reader.frame(int(position))
            if kind == FRAME_FEATURES:
                optics = reader.optics(int(position))
                found = frame_features(frame, reader.center, reader.mask, optics)
                names = tuple(found)
                rows.append(np.array(list(found.values()), np.float32))
            else:
                rows.append(grey_ring_vector(frame, reader.center, reader.mask))
        except (XfelsortError, OSError) as error:
            rows.append(None)
            failed[k] = str(error)
        if progress is not None:
            progress(k + 1, len(positions))
    width = next((len(row) for row in rows if row is not None), 0)
    matrix = np.full((len(rows), width), math.nan, np.float32)
    for k, row in enumerate(rows):
        if row is not None:
            matrix[k] = row
    return FrameTable(matrix, names, failed)
