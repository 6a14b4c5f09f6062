"""Which layout a file has: each layout module is asked in turn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import h5py

from napari_xfelsort.core.errors import NoEventsError, XfelsortError
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.readers import (
    crystfel_view,
    cxi,
    dragonfly,
    euxfel,
    euxfel_file,
    generic,
    hdf5,
    nexus,
    per_event,
    swissfel,
)
from napari_xfelsort.readers.frames import Context
from napari_xfelsort.readers.layout import Layout
from napari_xfelsort.readers.source import Hdf5Source

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

# The order matters: formats that name themselves first, the general rule last.
_PROBES = (
    euxfel_file.probe,
    per_event.probe_sacla,
    per_event.probe_dataconvert,
    per_event.probe_pal,
    cxi.probe,
    swissfel.probe,
    per_event.probe_cheetah_single,
    nexus.probe,
    generic.probe,
)


def open_source(
    path: str,
    file: str,
    geometry: Geometry | None = None,
    masks: crystfel_view.GeometryMasks | None = None,
    dataset: str | None = None,
    parts: tuple[str, ...] = (),
) -> EventSource:
    """Source of one file or run folder.

    Parameters
    ----------
    path : str
        The name to use in event ids.
    file : str
        Where it is.
    geometry : Geometry, optional
        Says where the frames are, before the file's own layout.
    masks : GeometryMasks, optional
        The geometry's masks.
    dataset : str, optional
        Path of the frames, chosen by the user.
    parts : tuple of str
        Files of a run folder to use; all of them when empty.

    Raises
    ------
    UnreadableFileError, NoEventsError, MissingDependencyError
        A sentence that names the file.
    """
    source = _open(path, file, geometry, masks, dataset, parts)
    source.path = path
    if os.path.abspath(path) != os.path.abspath(file):
        source.place = os.path.abspath(file)
    return source


def _open(
    path: str,
    file: str,
    geometry: Geometry | None,
    masks: crystfel_view.GeometryMasks | None,
    dataset: str | None,
    parts: tuple[str, ...],
) -> EventSource:
    if os.path.isdir(file):
        return euxfel.open_run(file, parts)
    if file.endswith(".emc"):
        return dragonfly.EmcPhotons(file)
    with hdf5.POOL.borrow(file) as opened:
        photons = dragonfly.probe(opened.h5, file)
        if photons is not None:
            return photons
        layout = _layout(opened.h5, path, file, geometry, dataset)
        if geometry is not None and masks is not None:
            context = Context(path, file)
            layout = crystfel_view.follow(opened.h5, context, layout, geometry, masks)
    return Hdf5Source(path, layout, file)


def _layout(
    file: h5py.File, path: str, name: str, geometry: Geometry | None, dataset: str | None
) -> Layout:
    view = None
    if dataset is not None:
        view = generic.from_path(file, Context(path, name), dataset)
    elif geometry is not None:
        view = crystfel_view.probe(file, Context(path, name), geometry)
    try:
        base = _own_layout(file, path, name)
    except XfelsortError:
        if view is None:
            raise
        base = None
    layout = crystfel_view.merge(file, Context(path, name), base, view)
    if layout is None:
        raise NoEventsError(
            f"{path} holds no detector frames: it has no dataset of numbers with two axes or "
            "more that could be a frame."
        )
    return layout


def _own_layout(file: h5py.File, path: str, name: str) -> Layout | None:
    for probe in _PROBES:
        layout = probe(file, Context(path, name))
        if layout is not None:
            return layout
    return None


def list_datasets(path: str | os.PathLike[str]) -> list[generic.Candidate]:
    """Datasets of a file that could be its frames, the likeliest first.

    Raises
    ------
    UnreadableFileError
        If the file cannot be read.
    """
    with hdf5.POOL.borrow(str(path)) as opened:
        return generic.candidates(opened.h5)
