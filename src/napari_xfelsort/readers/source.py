"""Reads the events of one HDF5 file as its `Layout` says."""

from __future__ import annotations

import itertools
import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import Problem, UnreadableFileError
from napari_xfelsort.core.events import EventId, Peaks, event_string
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.source import EventSource, PackedFrame, StoredFrame, Window
from napari_xfelsort.readers import hdf5, packing
from napari_xfelsort.readers.indexing import (
    axes_of,
    fill_path,
    full_index,
    position_of,
    selection,
)
from napari_xfelsort.readers.layout import Layout, Segment
from napari_xfelsort.readers.stored import differs_by_event, read_mask, read_peaks

#: Longest header array that is read; a file that claims more is not believed.
MAX_COLUMN = 10**8


class Hdf5Source(EventSource):
    """The events of one HDF5 file.

    Parameters
    ----------
    path : str
        The file, as the user gave it.
    layout : Layout
        Where everything is.
    file : str, optional
        The file itself, when ``path`` does not lead to it (names in list files).
    """

    def __init__(self, path: str, layout: Layout, file: str | None = None) -> None:
        self.path = path
        self.file = os.path.abspath(file or path)
        self.plan = layout
        self.layout = layout.name
        self.dataset = layout.dataset
        self.raw_shape = layout.raw_shape
        self.dtype = layout.dtype
        self.problems: list[Problem] = list(layout.problems)
        self._starts = [0, *itertools.accumulate(s.n_events for s in layout.segments)]
        self._columns: dict[str, NDArray[Any] | None] = {}
        self._static_mask: PixelMask | bool | None = False
        self._places: dict[tuple[str, tuple[str, ...]], list[int]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_columns": {},
            "_static_mask": False,
            "_places": None,
        }

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def token(self) -> str:
        """Changes when the file or the way it is read does."""
        try:
            status = os.stat(self.file)
            stamp = f"{status.st_size}:{status.st_mtime_ns}"
        except OSError:
            stamp = "gone"
        return f"{self.file}:{stamp}:{self.dataset}:{len(self)}"

    def all_files(self) -> tuple[str, ...]:
        masks = (mask.file for mask in self.plan.masks if mask.file)
        return tuple(dict.fromkeys([self.file, *masks, *self.plan.linked_files]))

    def close(self) -> None:
        hdf5.POOL.close(self.all_files())

    def _locate(self, i: int) -> tuple[Segment, int]:
        if not 0 <= i < self._starts[-1]:
            raise IndexError(f"{self.path} has no event {i}; it has {len(self)}.")
        number = bisect_right(self._starts, i) - 1
        return self.plan.segments[number], i - self._starts[number]

    # -- names -----------------------------------------------------------------

    def event_id(self, i: int) -> EventId:
        segment, k = self._locate(i)
        if segment.number is None and len(segment.event_axes) == 1 and not segment.path_parts:
            event = f"//{segment.start + k}"  # the commonest kind, and millions of them
        else:
            event = event_string(segment.path_parts, axes_of(segment, k))
        return EventId(segment.list_file or self.path, event, self._place_of(segment))

    def _place_of(self, segment: Segment) -> str:
        if not self.place or not segment.list_file:
            return self.place
        beside = os.path.relpath(segment.list_file, os.path.dirname(self.path) or ".")
        return os.path.normpath(os.path.join(os.path.dirname(self.place), beside))

    def places(self) -> dict[str, str]:
        if not self.place:
            return {}
        return {s.list_file or self.path: self._place_of(s) for s in self.plan.segments}

    def find(self, event: str) -> int | None:
        return self.find_id(EventId(self.path, event))

    def find_id(self, event: EventId) -> int | None:
        if self._places is None:
            self._places = {}
            for number, segment in enumerate(self.plan.segments):
                for key in (
                    (segment.list_file or self.path, segment.path_parts),
                    (self.path, segment.own_parts or segment.path_parts),
                ):
                    self._places.setdefault(key, []).append(number)
        for number in self._places.get((event.file, event.path_parts), ()):
            k = position_of(self.plan.segments[number], event.indices)
            if k is not None:
                return self._starts[number] + k
        return None

    def identifier(self, i: int) -> str | None:
        parts = [self._value(name, i) for name in self.plan.identifiers]
        if parts and all(part is not None for part in parts):
            return self.plan.identifier_joint.join(hdf5.text(part) for part in parts)
        segment, _ = self._locate(i)
        return None if segment.event_axes else "/".join(segment.path_parts) or None

    # -- frames ----------------------------------------------------------------

    def read(
        self, i: int, window: Window | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        segment, k = self._locate(i)
        with hdf5.POOL.borrow(self.file) as opened:
            try:
                if len(segment.datasets) > 1:
                    return self._read_stacked(opened, segment, k, window, out)
                data = opened.dataset(segment.datasets[0])
                where = selection(data.ndim, segment, k, window)
                if out is None:
                    return self._checked(np.asarray(data[where], self.dtype), i, window)
                if out.flags.c_contiguous and out.dtype == data.dtype:
                    data.read_direct(out, where)
                else:
                    out[...] = data[where]
                return self._checked(out, i, window)
            except (OSError, KeyError, ValueError, RuntimeError, IndexError, TypeError) as error:
                raise UnreadableFileError(
                    f"Event {self.event_id(i)} cannot be read: {_first_line(error)}."
                ) from error

    def _read_stacked(
        self,
        opened: hdf5.OpenFile,
        segment: Segment,
        k: int,
        window: Window | None,
        out: NDArray[Any] | None,
    ) -> NDArray[Any]:
        first = (
            range(len(segment.datasets))
            if window is None
            else range(*window[0].indices(len(segment.datasets)))
        )
        rest = None if window is None else window[1:]
        parts = []
        for number in first:
            data = opened.dataset(segment.datasets[number])
            parts.append(data[selection(data.ndim, segment, k, rest)])
        frame = np.stack(parts).astype(self.dtype, copy=False)
        if out is None:
            return frame
        out[...] = frame
        return out

    def _checked(self, frame: NDArray[Any], i: int, window: Window | None) -> NDArray[Any]:
        """Refuse a frame of another shape than the layout promised."""
        if window is None and frame.shape != self.raw_shape:
            raise UnreadableFileError(
                f"Event {self.event_id(i)} has shape {frame.shape}, the others {self.raw_shape}."
            )
        return frame

    def read_many(self, indices: Sequence[int], window: Window | None = None) -> NDArray[Any]:
        """Several events; a run of neighbours in one dataset is read in one call."""
        run = self._as_run(indices)
        if run is None:
            return super().read_many(indices, window)
        segment, first = run
        part = tuple(slice(None) for _ in self.raw_shape) if window is None else window
        with hdf5.POOL.borrow(self.file) as opened:
            try:
                data = opened.dataset(segment.datasets[0])
                events = slice(segment.start + first, segment.start + first + len(indices))
                block = np.asarray(
                    data[full_index(data.ndim, segment, (events,), part)], self.dtype
                )
                if len(block) == len(indices) and (
                    window is not None or block.shape[1:] == self.raw_shape
                ):
                    return block
            except (UnreadableFileError, OSError, ValueError, RuntimeError, IndexError):
                pass
        return super().read_many(indices, window)  # names the event that fails

    def stored(self, i: int) -> StoredFrame | None:
        segment, k = self._locate(i)
        if len(segment.datasets) > 1:
            return None
        with hdf5.POOL.borrow(self.file) as opened:
            return packing.stored_frame(opened.dataset(segment.datasets[0]), segment, k)

    def packed(self, i: int) -> PackedFrame | None:
        segment, k = self._locate(i)
        if len(segment.datasets) > 1:
            return None
        with hdf5.POOL.borrow(self.file) as opened:
            return packing.packed_frame(opened.dataset(segment.datasets[0]), segment, k)

    def _as_run(self, indices: Sequence[int]) -> tuple[Segment, int] | None:
        if len(indices) < 2 or indices[-1] - indices[0] != len(indices) - 1:
            return None
        if any(b - a != 1 for a, b in itertools.pairwise(indices)):
            return None
        segment, first = self._locate(indices[0])
        simple = (
            segment.event_axes == (0,)
            and len(segment.datasets) == 1
            and segment.number is None
            and first + len(indices) <= segment.n_events
        )
        return (segment, first) if simple else None

    # -- header ----------------------------------------------------------------

    def photon_energy(self, i: int) -> float:
        energy = self.header_number(self.plan.photon_energy, i)
        return energy if 0 < energy < math.inf else math.nan  # zero: it was not measured

    def camera_length(self, i: int) -> float:
        return self.header_number(self.plan.camera_length, i)

    def header_number(self, spec: HeaderValue | None, i: int) -> float:
        """A length or photon energy of event ``i`` in m or eV; NaN when it is not there."""
        if spec is None:
            return float("nan")
        if spec.path is None:
            return spec.value if spec.value is not None else float("nan")
        value = self._value(spec.path, i)
        try:
            return spec.convert(float(value)) if value is not None else float("nan")
        except (TypeError, ValueError):
            return float("nan")

    def metadata(self, i: int) -> dict[str, Any]:
        """Named values of the event, those that the file holds."""
        values = {name: self._value(path, i) for name, path in self.plan.columns}
        return {name: value for name, value in values.items() if value is not None}

    def _value(self, path: str, i: int) -> Any:
        """One value for event ``i``: of an array along the events, or the file's only one."""
        segment, k = self._locate(i)
        if "%" in path:
            path = fill_path(path, segment.path_parts)
        column = self._column(path)
        if column is None or column.size == 0:
            return None
        if column.size == 1:
            return _plain(column.ravel()[0])
        column = np.squeeze(column)  # axes of one are no axes of events
        position = axes_of(segment, k)
        where: tuple[int, ...]
        if len(position) > 1 and column.ndim > 1:
            where = position
        else:
            where = (segment.offset + (position[0] if segment.event_axes else k),)
        lengths = column.shape[: len(where)]
        if any(w >= n for w, n in zip(where, lengths, strict=False)):
            return None
        value = column[where]
        if getattr(value, "size", 1) != 1:
            return None
        return _plain(np.ravel(value)[0] if isinstance(value, np.ndarray) else value)

    def _column(self, path: str) -> NDArray[Any] | None:
        if path not in self._columns:
            with hdf5.POOL.borrow(self.file) as opened:
                found = hdf5.dataset(opened.h5, path)
                try:
                    if found is not None and (found.size or 0) > MAX_COLUMN:
                        found = None
                    self._columns[path] = None if found is None else np.asarray(found[()])
                except (OSError, TypeError, ValueError, RuntimeError):
                    self._columns[path] = None
        return self._columns[path]

    # -- peaks -----------------------------------------------------------------

    def peaks(self, i: int) -> Peaks | None:
        spec = self.plan.peaks
        if spec is None:
            return None
        segment, k = self._locate(i)
        with hdf5.POOL.borrow(self.file) as opened:
            try:
                return read_peaks(opened.h5, spec, segment, k)
            except (OSError, ValueError, KeyError, RuntimeError, TypeError, IndexError):
                return None

    # -- masks -----------------------------------------------------------------

    @property
    def has_event_masks(self) -> bool:  # type: ignore[override]
        """Whether the file holds a mask for each event."""
        with hdf5.POOL.borrow(self.file) as opened:
            return any(
                differs_by_event(opened.h5, spec, self.plan.segments[0], self.raw_shape)
                for spec in self.plan.masks
                if not spec.file
            )

    def mask(self) -> PixelMask | None:
        """Pixels bad in every event: of what differs by event, those bad in all looked at."""
        if isinstance(self._static_mask, bool):
            differs = not self.plan.values.empty or self.has_event_masks
            looked_at = sorted({0, len(self) // 2, len(self) - 1}) if differs else [0]
            found = [self.event_mask(i) for i in looked_at]
            reasons = [mask.reasons for mask in found if mask is not None]
            self._static_mask = None
            if reasons and len(reasons) == len(found):
                self._static_mask = PixelMask(np.bitwise_and.reduce(reasons))
        return self._static_mask

    def event_mask(self, i: int) -> PixelMask | None:
        stored: PixelMask | None = None
        for spec in self.plan.masks:
            with hdf5.POOL.borrow(spec.file or self.file) as opened:
                try:
                    bad = read_mask(opened.h5, spec, *self._locate(i), self.raw_shape)
                except (OSError, ValueError, RuntimeError, IndexError, TypeError) as error:
                    raise UnreadableFileError(
                        f"The mask {spec.dataset} of event {self.event_id(i)} cannot be read from "
                        f"{spec.file or self.path}: {_first_line(error)}."
                    ) from error
            if bad is not None:
                stored = PixelMask.from_bad(bad, Reason.FILE) | stored
        flagged = None if self.plan.values.empty else self.flagged(self.read(i))
        return stored if flagged is None else PixelMask.from_bad(flagged, Reason.VALUE) | stored

    def flagged(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        return self.plan.values.flagged(values)


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, np.bytes_)):
        return hdf5.text(value)
    return value.item() if isinstance(value, np.generic) else value


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
