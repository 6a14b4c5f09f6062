"""One file of a European XFEL run opened by itself: the frames of one module or camera."""

from __future__ import annotations

from collections.abc import Iterator

import h5py

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.frames import Context, is_frames, stack_segment
from napari_xfelsort.readers.layout import NONZERO_IS_BAD, Layout, StoredMask

#: Below a source: detector modules (AGIPD, LPD, DSSC; JUNGFRAU), cameras.
_FRAMES = ("image/data", "data/adc", "data/image/pixels")


def probe(file: h5py.File, context: Context) -> Layout | None:
    """Layout of a file that EuXFEL's data acquisition wrote, None if it is none.

    Raises
    ------
    NoEventsError
        If it holds slow or one-dimensional data alone.
    """
    if hdf5.dataset(file, "/INDEX/trainId") is None or hdf5.subgroup(file, "METADATA") is None:
        return None
    for source in _sources(file):
        for name in _FRAMES:
            data = hdf5.dataset(file, f"{source}/{name}")
            if data is not None and is_frames(data):
                return _module(file, context, source, name, data)
    raise NoEventsError(
        f"{context.path} is a European XFEL file without frames (slow or one-dimensional data); "
        "open the run folder."
    )


def _sources(file: h5py.File) -> Iterator[str]:
    """Groups of instrument sources: ``/INSTRUMENT/DOMAIN/TYPE/MEMBER:output``."""
    waiting = ["/INSTRUMENT"]
    while waiting:
        path = waiting.pop(0)
        group = hdf5.subgroup(file, path)
        for name in group if group is not None else ():
            below = f"{path}/{name}"
            if ":" in name:
                yield below
            elif below.count("/") < 4:
                waiting.append(below)


def _module(
    file: h5py.File, context: Context, source: str, name: str, data: h5py.Dataset
) -> Layout:
    folder = f"{source}/{name.rpartition('/')[0]}"
    cells = name == "data/adc" and data.ndim == 4
    event_axes = (0, 1) if cells else (0,)
    # Raw modules of 4-D: the analogue signal comes first, the gain second.
    fixed = ((1, 0),) if data.ndim == 4 and not cells else ()
    path = f"{source}/{name}"
    segment, raw_shape = stack_segment(data, path, context, event_axes, fixed)
    mask = hdf5.dataset(file, f"{folder}/mask")
    ids = (f"{folder}/trainId", f"{folder}/pulseId")
    known = not cells and all(hdf5.dataset(file, name) is not None for name in ids)
    return Layout(
        name="European XFEL, one file",
        segments=(segment,),
        raw_shape=raw_shape,
        dtype=data.dtype,
        dataset=path,
        masks=(StoredMask(f"{folder}/mask", bad_bits=NONZERO_IS_BAD),)
        if mask is not None and mask.shape[-2:] == raw_shape
        else (),
        identifiers=ids if known else (),
        identifier_joint=":",
        columns=tuple(
            (key, f"{folder}/{key}")
            for key in ("trainId", "pulseId", "cellId", "memoryCell")
            if hdf5.dataset(file, f"{folder}/{key}") is not None
        ),
        problems=tuple(context.problems),
    )
