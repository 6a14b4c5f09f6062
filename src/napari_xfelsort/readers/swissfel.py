"""SwissFEL JUNGFRAU files: ``/data/JF..T..V../data``, raw or corrected, and CrystFEL copies.

Source: jungfrau_utils' file adapter. Raw frames are uint16 with the gain in the two
top bits; corrected ones come with ``meta/pixel_mask``, True where a pixel is good.
"""

from __future__ import annotations

import os
import re

import h5py

from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.frames import Context, is_frames, stack_segment
from napari_xfelsort.readers.layout import Layout, StoredMask


def probe(file: h5py.File, context: Context) -> Layout | None:
    """Layout of a SwissFEL file, None if it is none."""
    group = hdf5.subgroup(file, "data")
    if group is None:
        return None
    for name in sorted(group):
        if re.fullmatch(r"JF\d+T\d+V\d+", name) and is_frames(hdf5.dataset(group, f"{name}/data")):
            return _detector(file, context, name)
    if re.search(r"JF\d+T\d+V\d+", context.file) and is_frames(hdf5.dataset(group, "data")):
        return _crystfel_copy(file, context)
    return None


def _crystfel_copy(file: h5py.File, context: Context) -> Layout:
    """The copy made for CrystFEL: ``/data/data``, its mask in ``....mask.h5`` (1 = good)."""
    data = hdf5.dataset(file, "/data/data")
    assert data is not None
    segment, raw_shape = stack_segment(data, "/data/data", context)
    beside = os.path.splitext(context.file)[0] + ".mask.h5"
    masks: tuple[StoredMask, ...] = ()
    if os.path.exists(beside):
        masks = (StoredMask("/mask", good_bits=1, file=beside),)
    pulse_id = hdf5.dataset(file, "/data/pulse_id")
    return Layout(
        name="SwissFEL JUNGFRAU, copy for CrystFEL",
        segments=(segment,),
        raw_shape=raw_shape,
        dtype=data.dtype,
        dataset="/data/data",
        masks=masks,
        identifiers=() if pulse_id is None else ("/data/pulse_id",),
        problems=tuple(context.problems),
    )


def _detector(file: h5py.File, context: Context, name: str) -> Layout:
    folder = f"/data/{name}"
    data = hdf5.dataset(file, f"{folder}/data")
    assert data is not None
    segment, raw_shape = stack_segment(data, f"{folder}/data", context)
    corrected = hdf5.dataset(file, f"{folder}/meta/conversion_factor") is not None
    mask = hdf5.dataset(file, f"{folder}/meta/pixel_mask")
    masks: tuple[StoredMask, ...] = ()
    if mask is not None and mask.shape == raw_shape:
        masks = (StoredMask(f"{folder}/meta/pixel_mask", good_bits=1),)
    columns = tuple(
        (column, f"{folder}/{column}")
        for column in ("pulse_id", "is_good_frame", "frame_index", "daq_rec")
        if hdf5.dataset(file, f"{folder}/{column}") is not None
    )
    return Layout(
        name="SwissFEL JUNGFRAU, corrected"
        if corrected or data.dtype.kind == "f"
        else "SwissFEL JUNGFRAU, raw (gain in the two top bits)",
        segments=(segment,),
        raw_shape=raw_shape,
        dtype=data.dtype,
        dataset=f"{folder}/data",
        masks=masks,
        identifiers=(f"{folder}/pulse_id",)
        if ("pulse_id", f"{folder}/pulse_id") in columns
        else (),
        columns=columns,
        problems=tuple(context.problems),
        linked_files=tuple(context.linked),
    )
