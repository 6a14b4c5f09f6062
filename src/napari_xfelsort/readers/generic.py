"""Any other HDF5 file: the frames are found by rule, or named by the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import h5py

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.frames import Context, is_frames, is_numeric, stack_segment
from napari_xfelsort.readers.layout import NONZERO_IS_BAD, Layout, StoredMask

# Not the frames: masks, calibration, sums, previews, tables, peak lists.
_NOT_FRAMES = re.compile(
    r"mask|flat_?field|gain|thumbnail|powder|weight|detectorspecific|table|peak|bad_?pixel"
    r"|pedestal|dark|offset|noise|variance|error|background|corner|basis|snr|score|tags",
    re.IGNORECASE,
)

# Paths that facilities use and that need nothing more than to be tried first.
_KNOWN = (
    "/data/data",
    "/entry/data/data",
    "/entry/instrument/detector/data",
    "/data/image",
    "/data/images",
)

#: How many objects of a file are looked at before the search stops.
MAX_OBJECTS = 100_000


@dataclass(frozen=True)
class Candidate:
    """A dataset that may hold the frames.

    Attributes
    ----------
    path : str
        Path in the file.
    shape : tuple of int
        Its shape.
    dtype : str
        Type of its values.
    frames : bool
        Whether its name allows that it holds frames (not a mask, gain map, ...).
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    frames: bool

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Sorts the likeliest first."""
        size = 1
        for n in self.shape:
            size *= n
        return (not self.frames, len(self.shape) < 3, -size)


def walk(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset that can be reached, once, links followed.

    ``visititems`` follows no links and misses the data of Cheetah and DECTRIS files.
    Loops end because each object is visited once.
    """
    seen = set()
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    while waiting and len(seen) < MAX_OBJECTS:
        prefix, group = waiting.pop(0)
        for name in group:
            item = hdf5.get(group, name)
            if item is None or isinstance(item, h5py.Datatype):
                continue
            info = h5py.h5o.get_info(item.id)
            key = (info.fileno, info.addr)
            if key in seen:
                continue
            seen.add(key)
            path = f"{prefix}/{name}"
            if isinstance(item, h5py.Group):
                waiting.append((path, item))
            else:
                yield path, item


def candidates(file: h5py.File) -> list[Candidate]:
    """Datasets that could be frames, the likeliest first."""
    found = [
        Candidate(path, data.shape, str(data.dtype), not _NOT_FRAMES.search(path))
        for path, data in walk(file)
        if is_frames(data)
    ]
    return sorted(found, key=lambda c: c.rank)


def probe(file: h5py.File, context: Context) -> Layout | None:
    """Layout by rule: known paths, then the largest dataset of three axes or more, then 2-D."""
    for path in _KNOWN:
        data = hdf5.dataset(file, path)
        if is_frames(data) and data is not None and data.ndim >= 3:
            return from_path(file, context, path)
    chosen = next((c for c in candidates(file) if c.frames), None)
    return None if chosen is None else from_path(file, context, chosen.path)


def from_path(file: h5py.File, context: Context, path: str) -> Layout:
    """Layout of the dataset that the user (or a rule) names.

    Raises
    ------
    NoEventsError
        If it does not exist or is no frame or stack of frames.
    """
    data = hdf5.dataset(file, path)
    if data is None:
        raise NoEventsError(
            f"{context.path} has no dataset {path}; xfelsort info lists what there is."
        )
    if not is_numeric(data) or data.ndim < 2:
        raise NoEventsError(
            f"{context.path}: {path} has shape {data.shape} and type {data.dtype}; frames need "
            "numbers in two axes or more."
        )
    path = "/" + path.strip("/")
    segment, raw_shape = stack_segment(data, path, context)
    return Layout(
        name="HDF5",
        segments=(segment,),
        raw_shape=raw_shape,
        dtype=data.dtype,
        dataset=path,
        masks=_mask_beside(file, path, raw_shape),
        problems=tuple(context.problems),
        linked_files=tuple(dict.fromkeys(context.linked)),
    )


def _mask_beside(file: h5py.File, path: str, raw_shape: tuple[int, ...]) -> tuple[StoredMask, ...]:
    """A ``mask`` or ``pixel_mask`` of the frame's shape in the same group, 0 = good."""
    folder = path.rpartition("/")[0]
    for name in ("mask", "pixel_mask"):
        found = hdf5.dataset(file, f"{folder}/{name}")
        if found is not None and found.shape == raw_shape and found.dtype.kind in "biu":
            return (StoredMask(f"{folder}/{name}", bad_bits=NONZERO_IS_BAD),)
    return ()
