"""Files with a group for each event: SACLA (Cheetah, DataConvert); and PAL-XFEL's runs.

Sources: biochem-fan's SACLA Cheetah, and dxtbx's descriptions of DataConvert and
PAL-XFEL files.
"""

from __future__ import annotations

import re

import h5py
import numpy as np

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.readers import hdf5, units
from napari_xfelsort.readers.frames import Context, common_type, is_frames, stack_segment
from napari_xfelsort.readers.layout import (
    NONZERO_IS_BAD,
    Layout,
    PeakSpec,
    Segment,
    StoredMask,
    ValueRule,
)

# The Rayonix marks pixels that it could not measure by the largest value.
_RAYONIX_FLAG = 65535


def probe_sacla(file: h5py.File, context: Context) -> Layout | None:
    """Layout of a file of ``tag-N/data`` groups, as Cheetah writes at SACLA."""
    tags = [name for name in file if re.fullmatch(r"tag[-_]\d+", name)]
    if not tags:
        return None
    segments, shape, dtype = _tag_segments(file, context, tags, "/{}/data")
    distance = hdf5.dataset(file, "/metadata/distance_in_mm")
    mask = hdf5.dataset(file, "/metadata/pixelmask")
    first = segments[0].path_parts[0]
    energy: HeaderValue | None = None
    for name in ("photon_energy_ev", "photon_energy_eV"):
        if hdf5.dataset(file, f"/{first}/{name}") is not None:
            energy = HeaderValue(None, f"/%/{name}", 1.0, "photon_energy")
            break
    else:
        found = hdf5.dataset(file, f"/{first}/photon_wavelength_A")
        if found is not None:
            energy = units.wavelength(found, "/%/photon_wavelength_A")
    return Layout(
        name="SACLA Cheetah",
        segments=segments,
        raw_shape=shape,
        dtype=dtype,
        dataset="/%/data",
        photon_energy=energy,
        camera_length=None
        if distance is None
        else HeaderValue(None, "/metadata/distance_in_mm", 1e-3),
        masks=(StoredMask("/metadata/pixelmask", bad_bits=NONZERO_IS_BAD),)
        if mask is not None and mask.shape == shape
        else (),
        columns=tuple(
            (name, f"/%/{name}")
            for name in file[first]
            if (found := hdf5.dataset(file, f"/{first}/{name}")) is not None and found.size == 1
        ),
        problems=tuple(context.problems),
    )


def _tag_segments(
    file: h5py.File, context: Context, tags: list[str], pattern: str
) -> tuple[tuple[Segment, ...], tuple[int, ...], np.dtype]:
    """One segment an event; events without data or of another shape are problems.

    Raises
    ------
    NoEventsError
        If no tag holds a frame.
    """
    segments = []
    shape: tuple[int, ...] | None = None
    dtypes: list[np.dtype] = []
    for tag in tags:
        path = pattern.format(tag)
        data = hdf5.dataset(file, path)
        if not is_frames(data):
            context.problem(f"{context.path}: {tag} holds no frame; it is left out.")
            continue
        assert data is not None
        if shape is None:
            hdf5.check_filters(data, path, context.path)
            shape = data.shape
        if data.shape != shape:
            context.problem(
                f"{context.path}: {tag} has a frame of {data.shape}, those before it {shape}; "
                "it is left out."
            )
            continue
        dtypes.append(data.dtype)
        segments.append(Segment((path,), 1, (), path_parts=(tag,), offset=len(segments)))
    if shape is None:
        raise NoEventsError(f"{context.path} holds no events: none of its tags has a frame.")
    return tuple(segments), shape, common_type(dtypes)


def probe_dataconvert(file: h5py.File, context: Context) -> Layout | None:
    """Layout of SACLA's DataConvert files: ``run_R/detector_2d_*/tag_T/detector_data``."""
    for run in sorted(name for name in file if re.fullmatch(r"run_\d+", name)):
        group = hdf5.subgroup(file, run)
        for detector in sorted(group) if group is not None else ():
            below = hdf5.subgroup(group, detector)
            if not detector.startswith("detector_2d_") or below is None:
                continue
            tags = [name for name in below if re.fullmatch(r"tag_\d+", name)]
            if tags:
                return _dataconvert(file, context, f"/{run}", detector, tags)
    return None


def _dataconvert(
    file: h5py.File, context: Context, run: str, detector: str, tags: list[str]
) -> Layout:
    pattern = f"{run}/{detector}/{{}}/detector_data"
    segments, shape, dtype = _tag_segments(file, context, tags, pattern)
    energy = hdf5.dataset(file, f"{run}/run_info/sacla_config/photon_energy_in_eV")
    return Layout(
        name="SACLA DataConvert",
        segments=segments,
        raw_shape=shape,
        dtype=dtype,
        dataset=pattern.format("%"),
        photon_energy=None
        if energy is None
        else HeaderValue(None, energy.name, 1.0, "photon_energy"),
        problems=tuple(context.problems),
    )


def probe_pal(file: h5py.File, context: Context) -> Layout | None:
    """Layout of PAL-XFEL's Rayonix files: ``R<run>/scan_dat/raymx_data``."""
    for run in sorted(name for name in file if re.fullmatch(r"R\d+", name)):
        path = f"/{run}/scan_dat/raymx_data"
        data = hdf5.dataset(file, path)
        if data is None or not is_frames(data):
            continue
        segment, raw_shape = stack_segment(data, path, context)
        wavelength = hdf5.dataset(file, f"/{run}/scan_dat/photon_wavelength")
        distance = hdf5.dataset(file, f"/{run}/header/detector_0_distance")
        return Layout(
            name="PAL-XFEL Rayonix",
            segments=(segment,),
            raw_shape=raw_shape,
            dtype=data.dtype,
            dataset=path,
            photon_energy=None
            if wavelength is None
            else units.wavelength(wavelength, f"/{run}/scan_dat/photon_wavelength"),
            camera_length=None
            if distance is None
            else units.length(distance, f"/{run}/header/detector_0_distance", "mm"),
            values=ValueRule((_RAYONIX_FLAG,)) if data.dtype == np.uint16 else ValueRule(),
            columns=(("N", f"/{run}/scan_dat/N"),)
            if hdf5.dataset(file, f"/{run}/scan_dat/N") is not None
            else (),
            problems=tuple(context.problems),
        )
    return None


def probe_cheetah_single(file: h5py.File, context: Context) -> Layout | None:
    """Layout of Cheetah's files of one event: ``/data/rawdata0`` with its peak table."""
    for name in ("rawdata0", "rawdata", "assembleddata0"):
        path = f"/data/{name}"
        data = hdf5.dataset(file, path)
        if data is None or not is_frames(data) or data.ndim != 2:
            continue
        segment, raw_shape = stack_segment(data, path, context)
        mask = hdf5.dataset(file, "/data/pixelmask0")
        peaks = next(
            (
                f"/processing/{where}/peakinfo-raw"
                for where in ("cheetah", "hitfinder")
                if hdf5.dataset(file, f"/processing/{where}/peakinfo-raw") is not None
            ),
            None,
        )
        energy = hdf5.dataset(file, "/LCLS/photon_energy_eV")
        return Layout(
            name="Cheetah, one event a file",
            segments=(segment,),
            raw_shape=raw_shape,
            dtype=data.dtype,
            dataset=path,
            photon_energy=None
            if energy is None
            else HeaderValue(None, "/LCLS/photon_energy_eV", 1.0, "photon_energy"),
            masks=(StoredMask("/data/pixelmask0", bad_bits=NONZERO_IS_BAD),)
            if mask is not None and mask.shape == raw_shape
            else (),
            peaks=None if peaks is None else PeakSpec(peaks, kind="list3"),
            identifiers=_present(file, "/LCLS/machineTime", "/LCLS/fiducial"),
            columns=_lcls_columns(file),
            problems=tuple(context.problems),
        )
    return None


def _present(file: h5py.File, *paths: str) -> tuple[str, ...]:
    there = all(hdf5.dataset(file, path) is not None for path in paths)
    return paths if there else ()


def _lcls_columns(file: h5py.File) -> tuple[tuple[str, str], ...]:
    group = hdf5.subgroup(file, "/LCLS")
    return tuple(
        (name, f"/LCLS/{name}")
        for name in (group if group is not None else ())
        if (found := hdf5.dataset(group, name)) is not None and found.size == 1
    )
