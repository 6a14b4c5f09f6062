"""A file as CrystFEL sees it through a geometry: its data path, axes, masks and header values.

With a geometry, what it says is followed; what it does not say is left as the file's own
layout has it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_xfelsort.core.errors import NoEventsError, Problem, UnreadableFileError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.readers import cxi, hdf5
from napari_xfelsort.readers.frames import Context, common_type, stack_segment
from napari_xfelsort.readers.indexing import fill_path
from napari_xfelsort.readers.layout import Layout, PeakSpec, Segment, StoredMask

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.geometry.panel import RawIndex

#: Events of a file whose paths a placeholder can stand for; more is not a detector file.
MAX_EXPANSIONS = 1_000_000


def probe(file: h5py.File, context: Context, geometry: Geometry) -> Layout | None:
    """Layout that a geometry's ``data`` and ``dim`` lines describe, None if the file has none."""
    paths = geometry.data_paths
    dims = geometry.dims
    event_axes = tuple(axis for axis, dim in enumerate(dims) if dim == "%")
    segments: list[Segment] = []
    shape: tuple[int, ...] | None = None
    dtypes: list[np.dtype] = []
    for parts in expand(file, paths[0]):
        data = hdf5.dataset(file, fill_path(paths[0], parts))
        if data is None or data.ndim != len(dims) or data.dtype.kind not in "biufc":
            continue
        try:
            segment, frame = stack_segment(
                data, fill_path(paths[0], parts), context, event_axes, path_parts=parts
            )
        except NoEventsError:
            continue
        panels = [data]
        if len(paths) > 1:
            names = tuple(fill_path(path, parts) for path in paths)
            found = [hdf5.dataset(file, name) for name in names]
            panels = [one for one in found if one is not None and one.shape == data.shape]
            if len(panels) < len(paths):
                context.problem(
                    f"{context.path}: the datasets {', '.join(names)} that the geometry names "
                    "are not all there with one shape; they are left out."
                )
                continue
            segment, frame = replace(segment, datasets=names), (len(paths), *frame)
        shape = shape or frame
        if frame != shape:
            context.problem(
                f"{context.path}: {segment.datasets[0]} has frames of {frame}, those before it "
                f"of {shape}; it is left out."
            )
            continue
        offset = sum(s.n_events for s in segments) if not event_axes else 0
        segments.append(replace(segment, offset=offset))
        dtypes += [panel.dtype for panel in panels]
    if shape is None:
        return None
    return Layout(
        name="HDF5, as the geometry says",
        segments=tuple(segments),
        raw_shape=shape,
        dtype=common_type(dtypes),
        dataset=paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more",
        problems=tuple(context.problems),
        linked_files=tuple(dict.fromkeys(context.linked)),
    )


def expand(file: h5py.File, pattern: str) -> Iterator[tuple[str, ...]]:
    """Values of the ``%`` of a path that lead to a dataset, in HDF5's order of names."""
    pieces = [piece for piece in pattern.split("/") if piece]
    return itertools.islice(_below(file, pieces), MAX_EXPANSIONS)


def _below(group: h5py.Group, pieces: list[str]) -> Iterator[tuple[str, ...]]:
    piece, deeper = pieces[0], pieces[1:]
    for name in group if piece == "%" else (piece,):
        part = (name,) if piece == "%" else ()
        if not deeper:
            if hdf5.dataset(group, name) is not None:
                yield part
            continue
        inner = hdf5.subgroup(group, name)
        if inner is not None:
            for tail in _below(inner, deeper):
                yield (*part, *tail)


def merge(
    file: h5py.File, context: Context, base: Layout | None, view: Layout | None
) -> Layout | None:
    """The frames of ``view`` with what the file's own layout knows beside them."""
    if view is None or base is None:
        return view or base
    same_data = _first_dataset(file, base) == _first_dataset(file, view)
    if same_data and base.raw_shape == view.raw_shape and _numbered_alike(base, view):
        return base
    if not same_data:
        described = cxi.redescribe(file, context, view)
        if described is not None:
            return described
    problems = tuple(dict.fromkeys((*base.problems, *view.problems)))
    if base.n_events != view.n_events:
        return replace(
            view,
            photon_energy=base.photon_energy,
            camera_length=base.camera_length,
            problems=problems,
        )
    same_frame = base.raw_shape == view.raw_shape
    return replace(
        base,
        segments=view.segments,
        raw_shape=view.raw_shape,
        dataset=view.dataset,
        dtype=view.dtype,
        masks=base.masks if same_frame else view.masks,
        peaks=base.peaks if same_frame else None,
        problems=problems,
        linked_files=(*base.linked_files, *view.linked_files),
        states_geometry=base.states_geometry and same_frame,
    )


def _first_dataset(file: h5py.File, layout: Layout) -> h5py.Dataset | None:
    return hdf5.dataset(file, layout.segments[0].datasets[0])


def _numbered_alike(base: Layout, view: Layout) -> bool:
    """Whether both call the events the same (the base may leave unwritten rows out)."""
    mine = [(s.path_parts, s.event_axes, s.fixed) for s in base.segments]
    return mine == [(s.path_parts, s.event_axes, s.fixed) for s in view.segments]


class GeometryMasks:
    """The mask lines of a geometry, with the files they name found once for all data files.

    Parameters
    ----------
    geometry : Geometry
        What says the masks.
    folders : sequence of str
        Where to look for mask files besides the working folder, in this order.

    Attributes
    ----------
    masks : tuple of StoredMask
        Those whose file exists or that lie in the data files.
    problems : tuple of Problem
        Mask files that do not exist here.
    """

    def __init__(self, geometry: Geometry, folders: Sequence[str]) -> None:
        groups: dict[tuple[str, str | None, int, int], list[RawIndex]] = {}
        for panel in geometry.panels.values():
            for mask in panel.masks:
                key = (mask.data, mask.file, mask.good, mask.bad)
                groups.setdefault(key, []).append(panel.raw_index)
        masks, problems = [], []
        for (data, name, good, bad), indices in groups.items():
            panels = None if len(indices) == len(geometry.panels) else tuple(indices)
            file = ""
            if name is not None:
                file = next(
                    (f for d in ("", *folders) if os.path.exists(f := os.path.join(d, name))), ""
                )
                if not file:
                    problems.append(
                        Problem(
                            geometry.source,
                            f"{geometry.source}: the mask file {name} does not exist here; its "
                            "bad pixels are not masked.",
                        )
                    )
                    continue
                file = os.path.abspath(file)
                why = _unusable(file, data)
                if why:
                    problems.append(
                        Problem(
                            geometry.source,
                            f"{geometry.source}: the mask {data} of {name} is not used: {why}",
                        )
                    )
                    continue
            masks.append(StoredMask(data, good, bad, file, panels))
        self.masks = tuple(masks)
        self.problems = tuple(problems)

    def of(self, file: h5py.File, context: Context, layout: Layout) -> tuple[StoredMask, ...]:
        """Masks for one file: the geometry's, and the file's own where both do not meet."""
        parts = layout.segments[0].path_parts
        used, named = [], []
        for mask in self.masks:
            if mask.file:
                with hdf5.POOL.borrow(mask.file) as opened:
                    stored = hdf5.dataset(opened.h5, mask.dataset)
                    if stored is not None and could_mask(stored, layout.raw_shape):
                        used.append(mask)
                        continue
                context.problem(
                    f"{context.path}: the mask {mask.dataset} of {mask.file} does not fit frames "
                    f"of {layout.raw_shape}; it is not used."
                )
                continue
            found = hdf5.dataset(file, fill_path(mask.dataset, parts))
            if found is None or not could_mask(found, layout.raw_shape):
                what = "no mask" if found is None else f"no mask of frames {layout.raw_shape}"
                context.problem(
                    f"{context.path} has {what} at {mask.dataset}, which the geometry names."
                )
                continue
            named.append(found)
            used.append(replace(mask, fixed=layout.segments[0].fixed))
        own = [
            mask
            for mask in layout.masks
            if hdf5.dataset(file, fill_path(mask.dataset, parts)) not in named
        ]
        return (*own, *used)


def _unusable(file: str, dataset: str) -> str:
    """Why a mask file cannot be used, empty if it can."""
    try:
        with hdf5.POOL.borrow(file) as opened:
            found = hdf5.dataset(opened.h5, dataset)
            if found is None or found.dtype.kind not in "biuf":
                return f"{file} has no numbers there."
    except UnreadableFileError as error:
        return str(error)
    return ""


def could_mask(mask: h5py.Dataset, raw_shape: tuple[int, ...]) -> bool:
    """Whether a dataset can be the mask of frames, of all events or an event at a time."""
    if mask.dtype.kind not in "biuf":
        return False
    shapes = (raw_shape, raw_shape[1:]) if len(raw_shape) > 2 else (raw_shape,)
    return any(mask.shape[-len(shape) :] == shape for shape in shapes) or (
        mask.ndim > 0 and mask.size == int(np.prod(raw_shape))
    )


def follow(
    file: h5py.File,
    context: Context,
    layout: Layout,
    geometry: Geometry,
    masks: GeometryMasks,
) -> Layout:
    """The layout with energy, camera length, masks and peaks where the geometry says them."""
    parts = layout.segments[0].path_parts
    energy, clen = geometry.photon_energy, geometry.clen
    peaks = _peaks(file, context, geometry, parts)
    return replace(
        layout,
        photon_energy=energy if _there(file, energy, parts) else layout.photon_energy,
        camera_length=_camera_length(file, layout, clen, parts),
        masks=masks.of(file, context, layout),
        peaks=layout.peaks if peaks is None else peaks,
        segments=tuple(_as_listed(file, context, s, geometry) for s in layout.segments),
        problems=tuple(dict.fromkeys((*layout.problems, *context.problems))),
    )


def _camera_length(
    file: h5py.File, layout: Layout, clen: HeaderValue | None, parts: tuple[str, ...]
) -> HeaderValue | None:
    """The geometry's, which its ``coffset`` are added to; the file's own if it says none."""
    if clen is None:
        return layout.camera_length
    return clen if _there(file, clen, parts) else None


def _there(file: h5py.File, value: HeaderValue | None, parts: tuple[str, ...]) -> bool:
    """Whether a header value is a number, or a path that the file has."""
    if value is None:
        return False
    return value.path is None or hdf5.dataset(file, fill_path(value.path, parts)) is not None


def _peaks(
    file: h5py.File, context: Context, geometry: Geometry, parts: tuple[str, ...]
) -> PeakSpec | None:
    if not geometry.peak_list:
        return None
    kind = geometry.peak_list_type or "auto"
    where = hdf5.get(file, fill_path(geometry.peak_list, parts))
    if where is None:
        return None
    if kind == "auto":
        kind = "cxi" if isinstance(where, h5py.Group) else "list3"
    return PeakSpec(geometry.peak_list, kind)


def _as_listed(file: h5py.File, context: Context, segment: Segment, geometry: Geometry) -> Segment:
    """Name events by the linked data file when the geometry's path is that file's path.

    A geometry for ``/entry/data/data`` reads DECTRIS data files, not their master.
    """
    folder, _, name = segment.datasets[0].rpartition("/")
    group = hdf5.subgroup(file, folder or "/")
    link = None if group is None else hdf5.external_link(group, name)
    if link is None or link.path.strip("/") != geometry.data_paths[0].strip("/"):
        return segment
    beside = os.path.join(os.path.dirname(context.path), link.filename)
    return replace(segment, list_file=beside, own_parts=segment.path_parts, path_parts=())
