"""CXI files as Cheetah, psocake, btx, lute, OM and the European XFEL write them, and CXIDB's.

CXI is recognised by group names alone: ``entry_N``, ``data_N``, ``instrument_N``,
``detector_N``, ``image_N``, ``result_N`` (CXI file format, version 1.6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import h5py
import numpy as np

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.readers import hdf5, units
from napari_xfelsort.readers.frames import (
    Context,
    axes_names,
    common_type,
    is_frames,
    stack_segment,
)
from napari_xfelsort.readers.layout import (
    NONZERO_IS_BAD,
    Layout,
    PeakSpec,
    Segment,
    StoredMask,
)

#: Rows of a stack that are counted; a header that claims more is not believed.
MAX_ROWS = 10**7

# Within an entry, in this order: the spec calls data_N the thing to look at first.
_DATA = (
    "data_1/data",
    "instrument_1/detector_1/data",
    "instrument_1/detector_1/detector_and_photon_corrected/data",
    "instrument_1/detector_1/detector_corrected/data",
    "instrument_1/detector_1/raw/data",
    "image_1/data",
)

# Bits of Cheetah's and the CXI specification's masks that only inform: in a peak mask,
# corrected for an artefact, found as a peak, background subtracted.
_INFORMATION = 32 | 2048 | 8192 | 16384

_IDENTIFIERS = ("experiment_identifier", "experimental_identifier", "event_id")
_TIMES = ("machineTime", "machineTimeNanoSeconds", "fiducial")
_FACILITY = ("LCLS", "instrument", "EuXFEL", "APS")


def probe(file: h5py.File, context: Context) -> Layout | None:
    """Layout of a CXI file, None if it is none."""
    entries = [name for name in entry_names(file) if _data_path(file, name)]
    if not entries:
        return None
    paths = {name: _data_path(file, name) for name in entries}
    if len(entries) > 1:
        return _multi_entry(file, context, entries, {n: p for n, p in paths.items() if p})
    path = paths[entries[0]]
    assert path is not None
    data = hdf5.dataset(file, path)
    assert data is not None
    event_axes, fixed = _axes(data)
    written = _written(file, entries[0], data) if event_axes == (0,) else None
    segment, raw_shape = stack_segment(data, path, context, event_axes, fixed, written)
    return _describe(file, context, entries[0], path, (segment,), raw_shape, data.dtype)


def entry_names(file: h5py.File) -> list[str]:
    """Names of the entries in numeric order (``entry_10`` after ``entry_9``)."""
    names = [name for name in file if re.fullmatch(r"entry_\d+", name)]
    return sorted(names, key=lambda name: int(name[6:]))


def _data_path(file: h5py.File, entry: str) -> str | None:
    for name in _candidates(file, entry):
        if is_frames(hdf5.dataset(file, f"/{entry}/{name}")):
            return f"/{entry}/{name}"
    return None


def _candidates(file: h5py.File, entry: str) -> Iterator[str]:
    yield from _DATA
    group = hdf5.subgroup(file, entry)
    if group is None:
        return
    for kind in ("data", "image"):
        for name in sorted(group):
            if re.fullmatch(rf"{kind}_\d+", name):
                yield f"{name}/data"
    instrument = hdf5.subgroup(group, "instrument_1")
    for name in sorted(instrument) if instrument is not None else ():
        if re.fullmatch(r"detector_\d+", name):
            yield f"instrument_1/{name}/data"
            detector = hdf5.subgroup(instrument, name)
            for version in sorted(detector) if detector is not None else ():
                if version.startswith("modular_"):
                    yield f"instrument_1/{name}/{version}/data"


def _axes(data: h5py.Dataset) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Event axes, and axes of which one index is taken (raw AGIPD: the gain plane)."""
    names = axes_names(data)
    if data.ndim < 3:
        return (), ()
    if len(names) == data.ndim and names[0] in ("module_identifier", "y"):
        return (), ()
    if data.ndim == 5 and data.shape[2] == 2 and data.dtype.kind == "u":
        return (0,), ((2, 0),)
    return (0,), ()


def _written(file: h5py.File, entry: str, data: h5py.Dataset) -> int | None:
    """Rows of a Cheetah stack that hold events; None when it was closed properly.

    Stacks are allocated ahead and cut at the end; until then ``numEvents`` is the index
    of the last event, and rows beyond have no pixel size.
    """
    if "numEvents" not in data.attrs:
        return None
    try:
        stated = int(np.ravel(data.attrs["numEvents"])[0])
    except (TypeError, ValueError, OSError, IndexError):
        return None
    n_rows = data.shape[0]
    if stated >= n_rows:
        return None
    sizes = hdf5.dataset(file, f"/{entry}/instrument_1/detector_1/x_pixel_size")
    if sizes is not None and sizes.ndim == 1 and sizes.shape[0] == n_rows <= MAX_ROWS:
        return int(np.count_nonzero(sizes[()]))
    return stated + 1


def _multi_entry(
    file: h5py.File, context: Context, entries: list[str], paths: dict[str, str]
) -> Layout:
    segments: list[Segment] = []
    shape: tuple[int, ...] | None = None
    dtypes: list[np.dtype] = []
    for entry in entries:
        data = hdf5.dataset(file, paths[entry])
        assert data is not None
        event_axes, fixed = _axes(data)
        try:
            segment, raw_shape = stack_segment(
                data, paths[entry], context, event_axes, fixed, path_parts=(entry,)
            )
        except NoEventsError:
            continue
        if shape is None:
            shape = raw_shape
        if raw_shape != shape:
            context.problem(
                f"{context.path}: {paths[entry]} has frames of {raw_shape}, the entries before it "
                f"of {shape}; it is left out."
            )
            continue
        segments.append(segment)
        dtypes.append(data.dtype)
    if shape is None:
        raise NoEventsError(f"{context.path} holds no events: its entries are empty.")
    pattern = paths[entries[0]].replace(entries[0], "%", 1)
    return _describe(
        file, context, entries[0], pattern, tuple(segments), shape, common_type(dtypes)
    )


def redescribe(file: h5py.File, context: Context, layout: Layout) -> Layout | None:
    """Frames that user or geometry chose, with what the file says of their detector.

    None if they do not lie in one dataset of a CXI entry.
    """
    path = layout.segments[0].datasets[0]
    entry = path.strip("/").split("/")[0]
    if not re.fullmatch(r"entry_\d+", entry) or len(layout.segments) > 1:
        return None
    if len(layout.segments[0].datasets) > 1 or layout.segments[0].path_parts:
        return None
    context.problems.extend(layout.problems)
    return _describe(file, context, entry, path, layout.segments, layout.raw_shape, layout.dtype)


def _detector_number(path: str) -> str:
    """Number of the detector that a dataset's path belongs to."""
    found = re.search(r"/(?:data|image|detector)_(\d+)(?:/|$)", path)
    return found[1] if found else "1"


def _describe(
    file: h5py.File,
    context: Context,
    entry: str,
    path: str,
    segments: tuple[Segment, ...],
    raw_shape: tuple[int, ...],
    dtype: np.dtype,
) -> Layout:
    multi = "%" in path
    prefix = "/%" if multi else f"/{entry}"
    number = _detector_number(path)
    modules = hdf5.dataset(file, f"/{entry}/instrument_1/detector_{number}/module_identifier")
    euxfel = hdf5.dataset(file, f"/{entry}/trainId") is not None and modules is not None
    identifiers, joint = _identifiers(file, entry, segments)
    masks = _masks(file, context, entry, path, prefix, segments[0], raw_shape, number)
    return Layout(
        name=_name(file, entry, euxfel, multi),
        segments=segments,
        raw_shape=raw_shape,
        dtype=dtype,
        dataset=path,
        photon_energy=_photon_energy(file, entry, prefix),
        camera_length=_camera_length(file, entry, prefix, number),
        masks=masks,
        peaks=_peaks(file, entry, prefix),
        identifiers=identifiers,
        identifier_joint=joint,
        columns=_columns(file, entry),
        problems=tuple(context.problems),
        linked_files=tuple(dict.fromkeys(context.linked)),
    )


def _name(file: h5py.File, entry: str, euxfel: bool, multi: bool) -> str:
    if euxfel:
        return "European XFEL virtual CXI"
    if multi:
        return "CXI, an event an entry"
    if hdf5.dataset(file, f"/{entry}/experiment_identifier") is not None:
        return "Cheetah CXI"
    if hdf5.dataset(file, f"/{entry}/experimental_identifier") is not None:
        return "psocake CXI"
    if hdf5.subgroup(file, "LCLS") is not None:
        return "LCLS CXI (OM, btx, lute)"
    return "CXI"


def _first(file: h5py.File, paths: list[str]) -> tuple[h5py.Dataset, str] | None:
    for path in paths:
        found = hdf5.dataset(file, path)
        if found is not None and found.dtype.kind in "iuf" and found.size:
            return found, path
    return None


def _photon_energy(file: h5py.File, entry: str, prefix: str) -> HeaderValue | None:
    found = _first(
        file, [f"/{f}/{n}" for f in _FACILITY for n in ("photon_energy_eV", "photon_energy_ev")]
    )
    if found:
        return HeaderValue(None, found[1], 1.0, "photon_energy")
    found = _first(file, [f"/{f}/photon_wavelength_A" for f in _FACILITY])
    if found:
        return units.wavelength(*found)
    found = _first(
        file,
        [f"/{entry}/{group}/energy" for group in ("instrument_1/source_1", "source_1")],
    )
    if found:  # the specification says joule
        return units.energy(found[0], found[1].replace(f"/{entry}", prefix, 1), "j")
    return None


def _camera_length(file: h5py.File, entry: str, prefix: str, number: str) -> HeaderValue | None:
    groups = (f"instrument_1/detector_{number}", f"data_{number}")
    found = _first(file, [f"/{entry}/{group}/distance" for group in groups])
    if found is None:
        return None
    return units.length(found[0], found[1].replace(f"/{entry}", prefix, 1))


def _masks(
    file: h5py.File,
    context: Context,
    entry: str,
    path: str,
    prefix: str,
    segment: Segment,
    raw_shape: tuple[int, ...],
    number: str,
) -> tuple[StoredMask, ...]:
    beside = path.rpartition("/")[0].replace(prefix, f"/{entry}", 1)
    for name in (
        f"{beside}/mask",
        f"/{entry}/data_{number}/mask",
        f"/{entry}/instrument_1/detector_{number}/mask",
        f"{beside}/mask_shared",
        f"/{entry}/instrument_1/detector_{number}/mask_shared",
    ):
        found = hdf5.dataset(file, name)
        if found is None or found.dtype.kind not in "biuf":
            continue
        fits = found.shape == raw_shape or (
            found.ndim > len(raw_shape) and found.shape[-len(raw_shape) :] == raw_shape
        )
        if not fits:
            if name == f"{beside}/mask":
                context.problem(
                    f"{context.path}: the mask {name} has shape {found.shape} but frames have "
                    f"{raw_shape}; it is not used."
                )
            continue
        bits = NONZERO_IS_BAD
        if found.dtype.kind in "iu" and found.dtype.itemsize == 2:
            bits &= ~_INFORMATION
        fixed = segment.fixed if found.ndim == len(raw_shape) + 1 + len(segment.fixed) else ()
        return (StoredMask(name.replace(f"/{entry}", prefix, 1), bad_bits=bits, fixed=fixed),)
    return ()


def _peaks(file: h5py.File, entry: str, prefix: str) -> PeakSpec | None:
    for group in ("result_1", "data_1/peaks", "result_2"):
        where = hdf5.subgroup(file, f"/{entry}/{group}")
        if where is None or hdf5.dataset(where, "peakXPosRaw") is None:
            continue
        for total in ("peakTotalIntensity", "peakMaxIntensity", "peakMaximumValue"):
            if hdf5.dataset(where, total) is not None:
                return PeakSpec(f"{prefix}/{group}", total=total)
        return PeakSpec(f"{prefix}/{group}")
    return None


def _identifiers(
    file: h5py.File, entry: str, segments: tuple[Segment, ...]
) -> tuple[tuple[str, ...], str]:
    for name in _IDENTIFIERS:
        path = f"/{entry}/{name}"
        if len(segments) == 1 and hdf5.dataset(file, path) is not None:
            return (path,), "-"
    pair = tuple(f"/{entry}/{name}" for name in ("trainId", "pulseId"))
    if all(hdf5.dataset(file, path) is not None for path in pair):
        return pair, ":"
    for facility in _FACILITY:
        times = tuple(f"/{facility}/{name}" for name in _TIMES)
        if all(hdf5.dataset(file, path) is not None for path in times):
            return times, "-"
        fiducial = hdf5.dataset(file, f"/{facility}/fiducial")
        if fiducial is not None and fiducial.dtype.kind in "OS":
            return (f"/{facility}/fiducial",), "-"
    return (), "-"


def _columns(file: h5py.File, entry: str) -> tuple[tuple[str, str], ...]:
    """Per-event values that a user may want to see or to label by."""
    names: dict[str, str] = {}
    for folder in (f"/{entry}", *(f"/{f}" for f in _FACILITY), f"/{entry}/result_1"):
        group = hdf5.subgroup(file, folder)
        for name in group if group is not None else ():
            found = hdf5.dataset(group, name)
            if found is not None and found.ndim == 1 and name not in names:
                names[name] = f"{folder}/{name}"
    for name in ("EncoderValue", "position"):
        for facility in _FACILITY:
            path = f"/{facility}/detector_1/{name}"
            if hdf5.dataset(file, path) is not None:
                names.setdefault(name, path)
    return tuple(names.items())
