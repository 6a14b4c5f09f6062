"""CXI files of selected events: their frames shown where they are, or copied.

Layout (CXI file format, version 1.6): ``/entry_1/data_1/data`` (events, ...raw shape), which
``/entry_1/instrument_1/detector_1/data`` leads to; ``data_1/mask`` (0 is good);
``detector_1/distance`` in metres, ``source_1/energy`` in joule; peaks in ``result_1`` as
Cheetah writes them; ``entry_1/experiment_identifier`` the facility's name of each event,
``entry_1/origin_event`` the event it was; ``entry_1/process_1`` says how it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

import napari_xfelsort
from napari_xfelsort.core.errors import OutputError, UnreadableFileError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import PackedFrame, StoredFrame
from napari_xfelsort.core.stack import EventStack

#: What frames of a copy can be packed with.
COMPRESSIONS = ("stored", "none", "gzip", "bitshuffle-lz4", "bitshuffle-zstd", "zstd")
#: Events of one mapping of a virtual dataset: HDF5 takes time with the square of events in
#: one mapping, and with the number of mappings.
_MAPPED = 128
_JOULE_OF_EV = 1.602176634e-19
_DATA = "/entry_1/data_1/data"
#: Filters whose stored parameters make the same filter again: deflate, shuffle, checksum,
#: Blosc, LZ4, bitshuffle, Zstandard.
_KNOWN_FILTERS = (1, 2, 3, 32001, 32004, 32008, 32015)
_BITSHUFFLE = 32008

Progress = Callable[[int, int], None]


def write_cxi(
    stack: EventStack,
    path: Path,
    virtual: bool,
    compression: str = "stored",
    absolute: bool = False,
    masks: bool = True,
    peaks: bool = True,
    progress: Progress | None = None,
) -> tuple[int, list[str]]:
    """Write the events of a stack into a new file, which may be there and empty.

    Returns
    -------
    unpacked : int
        Frames that could not be copied as they are packed.
    notes : list of str
        What is worth knowing.

    Raises
    ------
    OutputError
        If a virtual dataset cannot show the frames.
    UnreadableFileError
        If an event cannot be read.
    """
    notes: list[str] = []
    unpacked = 0
    frames = list(_stored_frames(stack)) if virtual else []
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file["cxi_version"] = np.array([160], np.int32)
        file.create_group("/entry_1/data_1")
        if virtual:
            _write_virtual(file, stack, frames, path.parent, absolute)
        else:
            unpacked = _write_copy(file, stack, compression, progress)
        detector = file.create_group("/entry_1/instrument_1/detector_1")
        detector["data"] = h5py.SoftLink(_DATA)
        _write_values(file, stack)
        if masks:
            _write_masks(file, stack)
        if peaks:
            _write_peaks(file, stack)
        _write_origin(file, stack, virtual, compression)
    if unpacked and compression == "stored":
        notes.append(
            f"{unpacked} of {len(stack)} frames were unpacked and packed again: they are not "
            "stored one event a chunk, or differ in how they are packed."
        )
    return unpacked, notes


# --- virtual ----------------------------------------------------------------------------


def _stored_frames(stack: EventStack) -> Iterator[StoredFrame]:
    """Where each frame lies; refused where a virtual dataset cannot show it."""
    first: StoredFrame | None = None
    for i in range(len(stack)):
        source, index = stack.locate(i)
        found = source.stored(index)
        if found is None:
            raise OutputError(
                f"A virtual file cannot show the event {stack.event_id(i)}: its frame is not one "
                f"piece of an HDF5 dataset ({source.layout}). Write a copy instead."
            )
        if first is not None and found.dtype != first.dtype:
            raise OutputError(
                f"A virtual file cannot show pixels of {first.dtype} and {found.dtype} together "
                f"({first.file} and {found.file}). Write a copy instead, or a file for each."
            )
        first = first or found
        yield found


class _Mapping(NamedTuple):
    """Consecutive events of the result that lie in one dataset, in its order."""

    start: int
    frame: StoredFrame
    rows: list[int] | None


def _mappings(frames: list[StoredFrame]) -> Iterator[_Mapping]:
    start = 0
    while start < len(frames):
        frame = frames[start]
        if not isinstance(frame.where[0], int):
            yield _Mapping(start, frame, None)
            start += 1
            continue
        rows = [frame.where[0]]
        for other in frames[start + 1 : start + _MAPPED]:
            row = other.where[0]
            if other[:2] != frame[:2] or other.where[1:] != frame.where[1:]:
                break
            if not isinstance(row, int) or row <= rows[-1]:
                break
            rows.append(row)
        yield _Mapping(start, frame, rows)
        start += len(rows)


def _write_virtual(
    file: h5py.File, stack: EventStack, frames: list[StoredFrame], folder: Path, absolute: bool
) -> None:
    layout = h5py.VirtualLayout((len(frames), *stack.raw_shape), frames[0].dtype)
    names: dict[str, str] = {}
    home = os.path.realpath(folder)
    for start, frame, rows in _mappings(frames):
        if frame.file not in names:
            if not os.path.isfile(frame.file):
                raise OutputError(f"{frame.file} is gone; nothing was written.")
            name = frame.file if absolute else os.path.relpath(frame.file, home)
            names[frame.file] = name.replace("%", "%%")  # HDF5 reads %b as a number
        dataset = frame.dataset.replace("%", "%%")
        source = h5py.VirtualSource(names[frame.file], dataset, frame.shape, frame.dtype)
        if rows is None:
            layout[start] = source[frame.where]
        else:
            stop = rows[-1] + 1
            first = slice(rows[0], stop) if len(rows) == stop - rows[0] else rows
            layout[start : start + len(rows)] = source[(first, *frame.where[1:])]
    file.create_virtual_dataset(_DATA, layout)


# --- copies -----------------------------------------------------------------------------


def _write_copy(
    file: h5py.File, stack: EventStack, compression: str, progress: Progress | None
) -> int:
    n = len(stack)
    data, filters, chunk = _made_for_copies(file, stack, compression)
    unpacked = 0
    for i in range(n):
        source, index = stack.locate(i)
        packed = source.packed(index) if filters is not None else None
        fits = packed is not None and _fits(packed, data, filters, chunk)
        if packed is not None and fits:
            for offset, mask, content in packed.parts:
                data.id.write_direct_chunk((i, *offset), content, filter_mask=mask)
        else:
            data[i] = source.read(index)
            unpacked += 1
        if progress is not None:
            progress(i + 1, n)
    return unpacked


def _fits(
    packed: PackedFrame,
    data: h5py.Dataset,
    filters: tuple[tuple[int, int, tuple[int, ...]], ...] | None,
    chunk: tuple[int, ...],
) -> bool:
    return (packed.dtype, packed.chunk, packed.filters) == (data.dtype, chunk, filters)


def _made_for_copies(
    file: h5py.File, stack: EventStack, compression: str
) -> tuple[h5py.Dataset, tuple[tuple[int, int, tuple[int, ...]], ...] | None, tuple[int, ...]]:
    """The dataset, and the filters of frames that can be put into it as they are."""
    shape, dtype = (len(stack), *stack.raw_shape), stack.dtype
    if compression == "stored":
        source, index = stack.locate(0)
        packed = source.packed(index)
        if packed is not None and packed.dtype == dtype:
            data = _like_stored(file, shape, packed)
            if data is not None:
                return data, packed.filters, packed.chunk
        compression = "bitshuffle-lz4"
    options = _compression_options(compression)
    data = file.create_dataset(_DATA, shape, dtype, chunks=(1, *stack.raw_shape), **options)
    return data, None, stack.raw_shape


def _like_stored(
    file: h5py.File, shape: tuple[int, ...], packed: PackedFrame
) -> h5py.Dataset | None:
    """A dataset whose frames are packed as this one is; None when it cannot be made."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((1, *packed.chunk))
    for code, flags, values in packed.filters:
        if code not in _KNOWN_FILTERS:
            return None
        # bitshuffle puts three numbers of its own before those it is given.
        given = values[3:] if code == _BITSHUFFLE else values
        creation.set_filter(code, flags, given)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(packed.dtype, logical=True)
    data = h5py.Dataset(h5py.h5d.create(file.id, _DATA.encode(), kind, space, creation))
    made = data.id.get_create_plist()
    filters = tuple(
        (int(code), int(flags), tuple(int(value) for value in values))
        for code, flags, values, _ in map(made.get_filter, range(made.get_nfilters()))
    )
    if filters != packed.filters:
        del file[_DATA]
        return None
    return data


def _compression_options(compression: str) -> dict[str, Any]:
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    if compression == "zstd":
        return dict(hdf5plugin.Zstd())
    if compression == "bitshuffle-lz4":
        return dict(hdf5plugin.Bitshuffle(cname="lz4"))
    return dict(hdf5plugin.Bitshuffle(cname="zstd")) if compression != "none" else {}


# --- what goes with the frames ----------------------------------------------------------


def _write_values(file: h5py.File, stack: EventStack) -> None:
    """Photon energy and distance of each event, where they are known."""
    energies = np.empty(len(stack))
    lengths = np.empty(len(stack))
    for i in range(len(stack)):
        source, index = stack.locate(i)
        energies[i] = source.photon_energy(index)
        lengths[i] = source.camera_length(index)
    if np.isfinite(energies).any():
        energy = file.create_dataset(
            "/entry_1/instrument_1/source_1/energy", data=energies * _JOULE_OF_EV
        )
        energy.attrs["units"] = "J"
    if np.isfinite(lengths).any():
        distance = file.create_dataset("/entry_1/instrument_1/detector_1/distance", data=lengths)
        distance.attrs["units"] = "m"


def _write_masks(file: h5py.File, stack: EventStack) -> None:
    """One mask where it is the same for all events, else one an event."""
    user = None if stack.user_mask is None else stack.user_mask.reasons
    if any(_differ(source) for source, n, _ in stack.files() if n):
        data = _mask_of_events(file, stack)
        for i in range(len(stack)):
            source, index = stack.locate(i)
            _put(data, i, source.event_mask(index), user)
        return
    masks = [source.mask() for source, n, _ in stack.files() if n]
    known = [mask for mask in masks if mask is not None]
    equal = all(np.array_equal(mask.reasons, known[0].reasons) for mask in known)
    if (len(known) == len(masks) and equal) or not known:
        whole = known[0].reasons if known else user
        if whole is not None:
            mask = whole if user is None else whole | user
            file.create_dataset("/entry_1/data_1/mask", data=mask, compression="gzip")
        return
    data = _mask_of_events(file, stack)
    by_source = {
        id(s): m
        for (s, n, _), m in zip((part for part in stack.files() if part[1]), masks, strict=True)
    }
    for i in range(len(stack)):
        _put(data, i, by_source[id(stack.locate(i)[0])], user)


def _differ(source: Any) -> bool:
    """Whether masks differ by event, also by values that mean that a pixel is bad."""
    return source.has_event_masks or source.flagged(np.zeros(1, source.dtype)) is not None


def _mask_of_events(file: h5py.File, stack: EventStack) -> h5py.Dataset:
    return file.create_dataset(
        "/entry_1/data_1/mask",
        (len(stack), *stack.raw_shape),
        np.uint8,
        chunks=(1, *stack.raw_shape),
        compression="gzip",
        compression_opts=1,
    )


def _put(
    data: h5py.Dataset, i: int, mask: PixelMask | None, user: NDArray[np.uint8] | None
) -> None:
    if mask is None and user is None:
        return  # not written: all pixels are good
    reasons = user if mask is None else mask.reasons
    assert reasons is not None
    data[i] = reasons if user is None else reasons | user


def _write_peaks(file: h5py.File, stack: EventStack) -> None:
    """Stored peaks as Cheetah writes them, when any event has some."""
    n = len(stack)
    group: h5py.Group | None = None
    names = ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity")
    counts = np.zeros(n, np.int32)
    width = 0
    for i in range(n):
        peaks = stack.peaks(i)
        if peaks is None:
            continue
        if group is None:
            group = file.create_group("/entry_1/result_1")
            for name in names:
                group.create_dataset(
                    name,
                    (n, 1),
                    np.float64,
                    maxshape=(n, None),
                    chunks=(1, 128),
                    compression="gzip",
                )
        counts[i] = len(peaks.fs)
        if counts[i] > width:
            width = int(counts[i])
            for name in names:
                group[name].resize(width, axis=1)
        for name, values in zip(names, peaks, strict=True):
            if len(values):
                group[name][i, : len(values)] = values
    if group is not None:
        group["nPeaks"] = counts


def _write_origin(file: h5py.File, stack: EventStack, virtual: bool, compression: str) -> None:
    text = h5py.string_dtype()
    origin = [str(stack.event_id(i)) for i in range(len(stack))]
    try:
        file.create_dataset("/entry_1/origin_event", data=origin, dtype=text)
        own = [stack.identifier(i) or name for i, name in enumerate(origin)]
        file.create_dataset("/entry_1/experiment_identifier", data=own, dtype=text)
    except UnicodeEncodeError as error:
        raise UnreadableFileError(
            "A file whose name is not valid UTF-8 cannot be named in another file; rename it."
        ) from error
    mask = stack.user_mask
    digest = None if mask is None else hashlib.sha256(mask.reasons.tobytes()).hexdigest()
    note = {
        "geometry_digest": None if stack.geometry is None else stack.geometry.digest,
        "mask_digest": digest,
        "frames": "shown where they are" if virtual else f"copied, compression {compression}",
        "files": [
            {"path": source.path, "layout": source.layout, "dataset": source.dataset, "events": n}
            for source, n, _ in stack.files()
            if n
        ],
    }
    process = file.create_group("/entry_1/process_1")
    process["program"] = "napari-xfelsort"
    process["version"] = napari_xfelsort.__version__
    process["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    process["note"] = json.dumps(note, ensure_ascii=True)
