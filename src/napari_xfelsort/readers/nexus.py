"""NeXus files: the default signal, and NXmx as DECTRIS, Diamond, ESRF and others write it.

Sources: NeXus manual ``datarules`` (versions 1 to 3), the NXmx application definition, the
DECTRIS file writer's documentation, LImA's HDF5 saving.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.errors import NoEventsError, UnreadableFileError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.readers import hdf5, units
from napari_xfelsort.readers.frames import Context, common_type, is_frames, stack_segment
from napari_xfelsort.readers.layout import (
    Layout,
    Segment,
    StoredMask,
    ValueRule,
)

# NXmx: a pixel is unusable when one of the low 16 bits is set; the others inform.
_UNUSABLE_BITS = 0xFFFF


def probe(file: h5py.File, context: Context) -> Layout | None:
    """Layout of a NeXus file, None if no default signal and no known data group is found."""
    path = default_signal(file)
    if path is None and is_frames(hdf5.dataset(file, "/entry/data/data")):
        path = "/entry/data/data"
    if path is not None:
        return _from_dataset(file, context, path)
    layout = _from_links(file, context)
    if layout is None and is_frames(hdf5.dataset(file, "/entry/instrument/detector/data")):
        layout = _from_dataset(file, context, "/entry/instrument/detector/data")
    return layout


def default_signal(file: h5py.File) -> str | None:
    """Path of the default plot's signal, None if it is not stated or holds no frames."""
    for group in _default_groups(file):
        for name in _signals(group):
            if is_frames(hdf5.dataset(group, name)):
                return f"{group.name.rstrip('/')}/{name}"
    return None


def _default_groups(file: h5py.File) -> Iterator[h5py.Group]:
    """Groups to look for a signal in, the one that ``default`` leads to first."""
    entries = _of_class(file, "NXentry")
    first = hdf5.attribute(file, "default")
    stated = hdf5.subgroup(file, first) if first else None
    for entry in ([stated] if stated is not None else []) + entries:
        group = entry
        for _ in range(5):  # a chain of defaults is short; a loop of them is not followed
            name = hdf5.attribute(group, "default")
            below = hdf5.subgroup(group, name) if name else None
            if below is None:
                break
            group = below
        yield group
    for entry in entries:
        yield from _of_class(entry, "NXdata")


def _of_class(group: h5py.Group, nx_class: str) -> list[h5py.Group]:
    found = []
    for name in group:
        below = hdf5.subgroup(group, name)
        if below is not None and hdf5.attribute(below, "NX_class") == nx_class:
            found.append(below)
    return found


def _signals(group: h5py.Group) -> Iterator[str]:
    stated = hdf5.attribute(group, "signal")
    if stated:
        yield stated
        return
    for name in group:  # version 2: an attribute of the field itself
        data = hdf5.dataset(group, name)
        if data is not None and hdf5.attribute(data, "signal") == "1":
            yield name


def _from_dataset(file: h5py.File, context: Context, path: str) -> Layout:
    data = hdf5.dataset(file, path)
    assert data is not None
    fixed = _channel(file, data, path)
    segment, raw_shape = stack_segment(data, path, context, fixed=fixed)
    folder, _, name = path.rpartition("/")
    _note_linked(file, context, folder, None if data.is_virtual else name)
    return _describe(file, context, path, (segment,), raw_shape, data.dtype)


def _channel(file: h5py.File, data: h5py.Dataset, path: str) -> tuple[tuple[int, int], ...]:
    """The energy channel to show, of data (image, channel, y, x)."""
    group = file[path.rpartition("/")[0] or "/"]
    axes = _strings(group.attrs.get("axes"))
    if "channel" not in axes or len(axes) != data.ndim or data.ndim < 4:
        return ()
    axis = axes.index("channel")
    chosen = _strings(group.attrs.get("default_slice"))
    index = 0
    if len(chosen) == len(axes) and chosen[axis].isdigit():
        index = min(int(chosen[axis]), data.shape[axis] - 1)
    return ((axis, index),)


def _strings(value: Any) -> list[str]:
    if value is None:
        return []
    return [hdf5.text(item) for item in np.ravel(np.asarray(value, dtype=object))]


def _note_linked(file: h5py.File, context: Context, folder: str, only: str | None = None) -> None:
    """Remember the files whose frames are shown here, so that a folder is not counted twice."""
    group = hdf5.subgroup(file, folder)
    names = list(group) if only is None and group is not None else [only]
    for name in names if group is not None else ():
        link = hdf5.external_link(group, name)
        found = link and hdf5.resolve_link(context.file, link.filename)
        if found:
            context.linked.append(os.path.realpath(found))


def _from_links(file: h5py.File, context: Context) -> Layout | None:
    """A master whose ``/entry/data`` links to ``data_000001``, ``data_000002``, ...

    Raises
    ------
    UnreadableFileError
        If links are there but none leads to frames.
    NoEventsError
        If ``/entry/data`` is empty.
    """
    group = hdf5.subgroup(file, "/entry/data")
    if group is None:
        return None
    names = sorted((n for n in group if re.fullmatch(r"data_?\d+", n)), key=_number)
    if not names:
        if len(group) == 0 and hdf5.subgroup(file, "/entry/instrument") is not None:
            raise NoEventsError(
                f"{context.path} is a master file without data: /entry/data is empty. Open the "
                "data files that belong to it."
            )
        return None
    lost: list[str] = []
    linked: list[tuple[str, h5py.Dataset]] = []
    for name in names:
        data = hdf5.dataset(group, name)
        if data is not None and is_frames(data):
            linked.append((name, data))
        else:
            lost.append(_say_lost(file, context, group, name))
    if not linked:
        raise UnreadableFileError(lost[0])
    for what in lost:
        context.problem(what)
    segments, shape = _linked_segments(context, linked)
    used = {segment.datasets[0].rpartition("/")[2] for segment in segments}
    dtype = common_type([data.dtype for name, data in linked if name in used])
    _note_linked(file, context, "/entry/data")
    return _describe(file, context, "/entry/data/%", segments, shape, dtype)


def _linked_segments(
    context: Context, linked: list[tuple[str, h5py.Dataset]]
) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    segments: list[Segment] = []
    shape: tuple[int, ...] | None = None
    offset = 0
    for name, data in linked:
        path = f"/entry/data/{name}"
        offset = _first_image(data, offset)
        try:
            segment, raw_shape = stack_segment(data, path, context, path_parts=(name,))
        except NoEventsError:
            continue
        if raw_shape == (shape or raw_shape):
            shape = raw_shape
            segments.append(replace(segment, offset=offset))
            offset += segment.n_events
        else:
            context.problem(
                f"{context.path}: {path} has frames of {raw_shape}, those before it of {shape}; "
                "it is left out."
            )
    if shape is None:
        raise NoEventsError(f"{context.path} holds no events: its data files are empty.")
    return tuple(segments), shape


def _number(name: str) -> int:
    return int(name.rsplit("_", 1)[-1].removeprefix("data"))


def _first_image(data: h5py.Dataset, default: int) -> int:
    """Place of a data file's first image in the series, from 0."""
    if "image_nr_low" not in data.attrs:
        return default
    try:
        return max(int(np.ravel(data.attrs["image_nr_low"])[0]) - 1, 0)
    except (TypeError, ValueError, OSError, IndexError):
        return default


def _say_lost(file: h5py.File, context: Context, group: h5py.Group, name: str) -> str:
    link = hdf5.external_link(group, name)
    if link is None:
        return f"{context.path}: /entry/data/{name} cannot be read as frames; it is left out."
    found = hdf5.resolve_link(context.file, link.filename)
    if found is None:
        return (
            f"{context.path}: the data file {link.filename} it links to as {name} does not exist; "
            "its events are missing."
        )
    try:
        with hdf5.POOL.borrow(found) as opened:
            why = (
                "is still being written; open it by itself, or the master when it is finished"
                if opened.h5.swmr_mode
                else f"has no frames at {link.path}"
                if hdf5.dataset(opened.h5, link.path) is None
                else "holds no frames"
            )
    except UnreadableFileError as error:
        why = f"is unusable ({str(error).rstrip('.')})"
    return f"{context.path}: the data file {link.filename} it links to as {name} {why}."


def _describe(
    file: h5py.File,
    context: Context,
    path: str,
    segments: tuple[Segment, ...],
    raw_shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Layout:
    entry = "/" + path.strip("/").split("/")[0]
    detector = _detector_path(file, entry, path)
    dectris = _is_dectris(file, detector, path)
    masks = _masks(file, context, detector, raw_shape, segments[0].fixed)
    return Layout(
        name=_name(file, entry, path, dectris),
        segments=segments,
        raw_shape=raw_shape,
        dtype=np.dtype(dtype),
        dataset=path,
        photon_energy=_photon_energy(file, entry, detector),
        camera_length=_camera_length(file, detector),
        masks=masks,
        values=_value_rule(file, detector, np.dtype(dtype), dectris),
        columns=_columns(file, path, segments),
        problems=tuple(context.problems),
        linked_files=tuple(dict.fromkeys(context.linked)),
        states_geometry=hdf5.dataset(file, f"{detector}/x_pixel_size") is not None,
    )


def _detector_path(file: h5py.File, entry: str, path: str) -> str:
    """The NXdetector that the frames are of."""
    holder = path.rpartition("/")[0]
    if hdf5.attribute(file[holder], "NX_class") == "NXdetector":
        return holder
    for instrument in (f"{entry}/instrument", f"{entry}/instrument_1"):
        if hdf5.subgroup(file, f"{instrument}/detector") is not None:
            return f"{instrument}/detector"
        group = hdf5.subgroup(file, instrument)
        for name in group if group is not None else ():
            below = hdf5.subgroup(group, name)
            if below is not None and (
                hdf5.attribute(below, "NX_class") == "NXdetector"
                or hdf5.dataset(below, "data") is not None
            ):
                return f"{instrument}/{name}"
    return f"{entry}/instrument/detector"


def _is_dectris(file: h5py.File, detector: str, path: str) -> bool:
    if hdf5.subgroup(file, f"{detector}/detectorSpecific") is not None:
        return True
    data = hdf5.dataset(file, path)
    if data is not None and "image_nr_low" in data.attrs:
        return True
    described = hdf5.dataset(file, f"{detector}/description")
    return described is not None and "dectris" in hdf5.text(described[()]).lower()


def _name(file: h5py.File, entry: str, path: str, dectris: bool) -> str:
    if "%" in path:
        return "DECTRIS master"
    if dectris:
        return "DECTRIS data file"
    if entry.startswith("/entry_0"):
        return "ESRF LImA"
    definition = hdf5.dataset(file, f"{entry}/definition")
    if definition is not None and hdf5.text(definition[()]) == "NXmx":
        return "NeXus NXmx"
    return "NeXus" if hdf5.attribute(file[entry], "NX_class") else "HDF5"


def _photon_energy(file: h5py.File, entry: str, detector: str) -> HeaderValue | None:
    instrument = detector.rpartition("/")[0]
    for beam in (f"{instrument}/beam", f"{entry}/sample/beam", f"{entry}/beam"):
        for name in ("incident_wavelength", "wavelength"):
            found = hdf5.dataset(file, f"{beam}/{name}")
            if found is not None and found.dtype.kind in "iuf":
                weights = hdf5.dataset(file, f"{beam}/{name}_weights")
                return units.wavelength(found, f"{beam}/{name}", weights=weights)
        for name in ("incident_energy", "energy"):
            found = hdf5.dataset(file, f"{beam}/{name}")
            if found is not None and found.dtype.kind in "iuf":
                return units.energy(found, f"{beam}/{name}")
    for path in (f"{detector}/detectorSpecific/photon_energy", f"{detector}/photon_energy"):
        found = hdf5.dataset(file, path)
        if found is not None and found.dtype.kind in "iuf":
            return units.energy(found, path)
    return None


def _camera_length(file: h5py.File, detector: str) -> HeaderValue | None:
    for name in ("detector_distance", "distance", "detector_information/detector_distance"):
        found = hdf5.dataset(file, f"{detector}/{name}")
        if found is not None and found.dtype.kind in "iuf":
            return units.length(found, f"{detector}/{name}")
    z = _depends_on_z(file, detector)
    return None if z is None else HeaderValue(z)


def _depends_on_z(file: h5py.File, detector: str) -> float | None:
    """Sum of the translations along the beam that a detector depends on, in metres."""
    start = hdf5.dataset(file, f"{detector}/depends_on")
    target = "." if start is None else hdf5.text(start[()])
    total, found_any, folder = 0.0, False, detector
    for _ in range(20):
        if target in ("", "."):
            break
        path = target if target.startswith("/") else f"{folder}/{target}"
        item = hdf5.dataset(file, path)
        if item is None or not item.size or "vector" not in item.attrs:
            break
        if hdf5.attribute(item, "transformation_type") == "translation":
            vector = np.ravel(item.attrs["vector"]).astype(float)
            scale = units.length_scale(hdf5.attribute(item, "units"), "m")
            total += float(np.ravel(item[()])[0]) * scale * float(vector[-1])
            found_any = True
        folder = path.rpartition("/")[0]
        target = hdf5.attribute(item, "depends_on")
    return abs(total) if found_any and total else None


def _masks(
    file: h5py.File,
    context: Context,
    detector: str,
    raw_shape: tuple[int, ...],
    channel: tuple[tuple[int, int], ...],
) -> tuple[StoredMask, ...]:
    group = hdf5.subgroup(file, detector)
    if group is None:
        return ()
    names = [name for name in group if re.fullmatch(r"pixel_mask(_\d+)?", name)]
    thresholds = [name for name in group if re.fullmatch(r"threshold_\d+_channel", name)]
    if thresholds:
        shown = min(channel[0][1] if channel else 0, len(thresholds) - 1)
        names.append(f"{sorted(thresholds)[shown]}/pixel_mask")
    if not names:
        names = ["detectorSpecific/pixel_mask"]
    specs = []
    for name in names:
        found = hdf5.dataset(group, name)
        if found is None or found.dtype.kind not in "biu":
            continue
        if found.shape[-len(raw_shape) :] == raw_shape and found.ndim <= len(raw_shape) + 1:
            specs.append(StoredMask(f"{detector}/{name}", bad_bits=_UNUSABLE_BITS))
        else:
            context.problem(
                f"{context.path}: {detector}/{name} has shape {found.shape} but frames have "
                f"{raw_shape}; it is not used."
            )
    return tuple(specs)


def _value_rule(file: h5py.File, detector: str, dtype: np.dtype[Any], dectris: bool) -> ValueRule:
    """DECTRIS marks gaps and dead pixels by the two largest values; NXmx states limits."""
    limits = []
    for name in ("saturation_value", "underload_value"):
        found = hdf5.dataset(file, f"{detector}/{name}")
        usable = found is not None and found.dtype.kind in "iuf" and found.size == 1
        limits.append(float(np.ravel(found[()])[0]) if usable else None)
    if dtype.kind in "iu" and dectris:
        bits = _bit_depth(file, detector, dtype)
        if bits:
            top = 2**bits - 1
            return ValueRule((top, top - 1), *limits)
    return ValueRule((), *limits)


def _bit_depth(file: h5py.File, detector: str, dtype: np.dtype[Any]) -> int:
    """Bits of the detector's unsigned numbers, 0 when the stored type cannot hold their flags."""
    held = dtype.itemsize * 8 - (dtype.kind == "i")
    stated = hdf5.dataset(file, f"{detector}/bit_depth_image")
    if stated is not None and stated.dtype.kind in "iu" and stated.size == 1:
        bits = int(np.ravel(stated[()])[0])
        if 8 <= bits <= held:
            return bits
    return held if dtype.kind == "u" else 0


def _columns(
    file: h5py.File, path: str, segments: tuple[Segment, ...]
) -> tuple[tuple[str, str], ...]:
    """One-dimensional companions of the data that have a value an event."""
    group = hdf5.subgroup(file, path.rpartition("/")[0])
    if group is None:
        return ()
    n_events = segments[-1].offset + segments[-1].n_events
    names = []
    for name in group:
        found = hdf5.dataset(group, name) if hdf5.external_link(group, name) is None else None
        if found is not None and found.ndim == 1 and found.shape[0] >= n_events:
            names.append((name, f"{group.name.rstrip('/')}/{name}"))
    return tuple(names)
