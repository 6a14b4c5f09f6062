"""Masks and peaks that are stored with the events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.events import Peaks
from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.indexing import axes_of, fill_path, selection
from napari_xfelsort.readers.layout import PeakSpec, Segment, StoredMask


def read_peaks(file: h5py.File, spec: PeakSpec, segment: Segment, k: int) -> Peaks | None:
    """Peaks of the segment's event ``k``, None when they are not there."""
    where = fill_path(spec.group, segment.path_parts)
    if spec.kind == "list3":
        return _peak_table(file, where, segment, k)
    return _cxi_peaks(file, where, spec.total, segment, k, "%" in spec.group)


def _cxi_peaks(
    file: h5py.File, group: str, total: str, segment: Segment, k: int, own_group: bool
) -> Peaks | None:
    where = hdf5.subgroup(file, group)
    counts = None if where is None else hdf5.dataset(where, "nPeaks")
    if where is None or counts is None:
        return None
    row = segment.offset + (axes_of(segment, k)[0] if segment.event_axes else k)
    if own_group and not segment.event_axes:
        row = 0
    stated = np.ravel(counts[()] if counts.ndim == 0 else counts[row])[0]
    if not np.isfinite(stated):
        return None
    columns = []
    for name in ("peakXPosRaw", "peakYPosRaw", total):
        found = hdf5.dataset(where, name)
        if found is None and name != total:
            return None
        if found is None:
            columns.append(np.full(len(columns[0]), np.nan))
            continue
        line = found if found.ndim == 1 else found[row]
        columns.append(np.asarray(line[: max(0, int(stated))], np.float64))
    n = min(len(column) for column in columns)
    return Peaks(*(column[:n] for column in columns))


def _peak_table(file: h5py.File, path: str, segment: Segment, k: int) -> Peaks | None:
    found = hdf5.dataset(file, path)
    if found is None or found.ndim < 2:
        return None
    row = axes_of(segment, k)[0] if segment.event_axes else 0
    table = np.asarray(found[row] if found.ndim == 3 else found[()])
    if table.shape[-1] < 3:
        return None
    return Peaks(*(table[:, column].astype(np.float64) for column in range(3)))


def differs_by_event(
    file: h5py.File, spec: StoredMask, segment: Segment, raw_shape: tuple[int, ...]
) -> bool:
    """Whether the file holds a mask for each event rather than one for all."""
    found = hdf5.dataset(file, fill_path(spec.dataset, segment.path_parts))
    if found is None:
        return False
    return "%" in spec.dataset or (found.ndim > len(raw_shape) and found.shape[0] > 1)


def read_mask(
    file: h5py.File, spec: StoredMask, segment: Segment, k: int, raw_shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """True where the mask says bad for the segment's event ``k``; None when it is not there."""
    found = hdf5.dataset(file, fill_path(spec.dataset, segment.path_parts))
    if found is None:
        return None
    # Where each panel has a dataset of its own, it has a mask of its own, too.
    own = len(segment.datasets) > 1 and spec.panels is not None
    values = _mask_values(found, spec, segment, k, raw_shape[1:] if own else raw_shape)
    if values is None:
        return None
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=1.0)
    bits = values.astype(np.int64).astype(np.uint64)
    good, bad = np.uint64(spec.good_bits), np.uint64(spec.bad_bits)
    result: NDArray[np.bool_] = ((bits & good) != good) | ((bits & bad) != 0)
    if spec.panels is None:
        return result
    chosen = np.zeros(raw_shape, bool)
    for index in spec.panels:
        chosen[index] = result[index[1:] if own else index]
    return chosen


def _mask_values(
    found: h5py.Dataset,
    spec: StoredMask,
    segment: Segment,
    k: int,
    raw_shape: tuple[int, ...],
) -> NDArray[Any] | None:
    """The stored values in raw shape: a mask of the run, or that of event ``k``."""
    if found.shape == raw_shape:
        return np.asarray(found[()])
    if found.shape == (1, *raw_shape):
        return np.asarray(found[0])
    if found.ndim > len(raw_shape):
        index = selection(found.ndim, replace(segment, fixed=spec.fixed), k, None)
        values = np.asarray(found[index])
        return values if values.shape == raw_shape else None
    if found.size == int(np.prod(raw_shape)):
        return np.asarray(found[()]).reshape(raw_shape)
    return None
