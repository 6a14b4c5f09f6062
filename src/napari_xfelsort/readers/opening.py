"""`open_stack`: from what a user names to one lazily read sequence of events."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import (
    GeometryError,
    ListError,
    NoEventsError,
    Problem,
    UnreadableFileError,
    XfelsortError,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.masks.making import MadeMask
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.crystfel_view import GeometryMasks
from napari_xfelsort.readers.detect import open_source
from napari_xfelsort.readers.paths import Expansion, expand
from napari_xfelsort.readers.shift import place
from napari_xfelsort.readers.source import Hdf5Source

#: A folder with more geometries than this is an archive, not a choice to offer.
MAX_OFFERED = 20

# Names of files that lie beside events in a folder and hold one picture, not an event.
_COMPANIONS = re.compile(r"mask|[-_.]sum\b|powder|pedestal|gain|dark|flat", re.IGNORECASE)

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
#: Opens one file; arguments as of `detect.open_source`.
Opener = Callable[..., EventSource]


def open_stack(
    paths: Paths,
    geometry: Geometry | str | os.PathLike[str] | None = None,
    mask: PixelMask | NDArray[np.bool_] | str | os.PathLike[str] | None = None,
    dataset: str | None = None,
) -> EventStack:
    """Open files, lists, folders or runs as one lazily read sequence of events.

    Only metadata is read. Files, events and links that cannot be used are sentences in
    ``stack.problems``; the others stay usable.

    Parameters
    ----------
    paths : path or sequence of paths
        An HDF5 file of any known layout, a CrystFEL list, a folder, a run folder of the
        European XFEL, a glob, ``FILE //EVENT``, or several of these.
    geometry : Geometry or path, optional
        CrystFEL geometry; says where the frames are, their masks and header values too.
        One that does not fit the frames is a problem, and ``stack.geometry`` None.
    mask : PixelMask, bool array (True = bad) or path of a mask file, optional
        Added to the masks of the files; raw shape.
    dataset : str, optional
        Path of the frames in the files, when the rule would choose another.

    Raises
    ------
    UnreadableFileError
        If nothing can be read: absent, truncated, not HDF5, a filter is missing.
    NoEventsError
        If there are no frames, or none yet.
    ListError
        If a list names nothing that exists.
    GeometryError
        If the geometry is malformed.
    """
    return open_with(open_source, paths, geometry, mask, dataset)


def open_with(
    opener: Opener,
    paths: Paths,
    geometry: Geometry | str | os.PathLike[str] | None = None,
    mask: PixelMask | NDArray[np.bool_] | str | os.PathLike[str] | None = None,
    dataset: str | None = None,
) -> EventStack:
    """As `open_stack`, with another function than `detect.open_source` to open each file."""
    if geometry is not None and not isinstance(geometry, Geometry):
        geometry = Geometry.from_crystfel(geometry)
    user_mask = None if mask is None else _read_mask(mask)
    try:
        stack = _open(opener, paths, geometry, user_mask, dataset)
    except GeometryMisfitError as misfit:
        stack = _open(opener, paths, None, user_mask, dataset)
        stack.problems.append(misfit.problem)
        return stack
    if geometry is None:
        _geometry_of_the_data(stack)
    return stack


class GeometryMisfitError(GeometryError):
    """The geometry that the user chose is for other frames."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def _open(
    opener: Opener,
    paths: Paths,
    geometry: Geometry | None,
    mask: PixelMask | None,
    dataset: str | None,
) -> EventStack:
    found = expand(paths)
    masks = None
    if geometry is not None:
        folders = [os.path.dirname(os.path.abspath(geometry.source))]
        folders += [os.path.dirname(os.path.abspath(item.file)) for item in found.items[:1]]
        masks = GeometryMasks(geometry, folders)
        found.problems.extend(masks.problems)
    notes: list[Problem] = []
    sources = _open_sources(opener, found, geometry, masks, dataset, notes)
    _leave_companions_out(sources, found, notes)
    sources = _of_one_shape(sources, found, geometry)
    order = [source for _, source in sorted(sources.items())]
    selection = _selection(sources, found) if found.listed else None
    problems = [*(p for source in order for p in source.problems), *found.problems]
    fitted = None
    if geometry is not None:
        fitted, unsure = place(_fit(geometry, order[0]), order)
        problems.extend(unsure)
    return EventStack(order, selection, fitted, mask, problems, notes)


def _open_sources(
    opener: Opener,
    found: Expansion,
    geometry: Geometry | None,
    masks: GeometryMasks | None,
    dataset: str | None,
    notes: list[Problem],
) -> dict[int, EventSource]:
    sources: dict[int, EventSource] = {}
    for number, item in enumerate(found.items):
        try:
            sources[number] = opener(item.path, item.file, geometry, masks, dataset, item.parts)
        except XfelsortError as error:
            hdf5.POOL.close([item.file])  # nothing will be read of it
            if len(found.items) == 1:
                raise
            companion = item.scanned and _COMPANIONS.search(os.path.basename(item.path))
            no_events = isinstance(error, NoEventsError)
            (notes if no_events and companion else found.problems).append(
                Problem(item.path, str(error))
            )
    if not sources:
        first = found.problems[0] if found.problems else None
        raise NoEventsError(
            f"None of {len(found.items)} files holds events that can be read"
            + (f"; the first failed thus: {first}" if first else ".")
        )
    linked = {
        file
        for source in sources.values()
        if isinstance(source, Hdf5Source)
        for file in source.plan.linked_files
        if file != os.path.realpath(source.file)
    }
    shown = {n for n in sources if os.path.realpath(found.items[n].file) in linked}
    if not found.listed and len(shown) < len(sources):  # a list means what it says
        for number in shown:  # a master or virtual file shows these events already
            del sources[number]
    return sources


def _leave_companions_out(
    sources: dict[int, EventSource], found: Expansion, notes: list[Problem]
) -> None:
    """Leave masks and sums of a folder out when other files hold its events."""
    single = {
        number
        for number, source in sources.items()
        if found.items[number].scanned
        and len(source) == 1
        and _COMPANIONS.search(os.path.basename(source.path))
    }
    if len(single) == len(sources):
        return
    for number in single:
        path = sources.pop(number).path
        notes.append(
            Problem(path, f"{path} was left out: by its name it is a mask, sum or calibration.")
        )


def _of_one_shape(
    sources: dict[int, EventSource], found: Expansion, geometry: Geometry | None
) -> dict[int, EventSource]:
    """Sources of the frame shape that fits the geometry, or that most events have."""
    counts: dict[tuple[int, ...], int] = {}
    for source in sources.values():
        counts[source.raw_shape] = counts.get(source.raw_shape, 0) + len(source)
    if len(counts) == 1:
        return sources
    chosen = max(
        counts, key=lambda shape: (geometry is not None and _fits(geometry, shape), counts[shape])
    )
    for source in sources.values():
        if source.raw_shape != chosen:
            found.problems.append(
                Problem(
                    source.path,
                    f"{source.path} has frames of {source.raw_shape}, most events {chosen}; "
                    "it is left out. Open it apart.",
                )
            )
    return {n: source for n, source in sources.items() if source.raw_shape == chosen}


def _selection(
    sources: dict[int, EventSource], found: Expansion
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Source number and event index of the listed events, each once, in the listed order."""
    place = {number: k for k, number in enumerate(sorted(sources))}
    chosen: dict[tuple[int, int], None] = {}
    for number, event, where in found.order:
        source = sources.get(number)
        if source is None:
            continue
        if not event:
            chosen.update(dict.fromkeys((place[number], i) for i in range(len(source))))
            continue
        try:
            index = source.find(event)
        except ListError as error:
            found.problems.append(Problem(source.path, f"{error} ({where})"))
            continue
        if index is None:
            found.problems.append(
                Problem(
                    source.path,
                    f"{where[:1].upper()}{where[1:]} names the event {event} of {source.path}, "
                    f"which has {len(source)} events and not this one.",
                )
            )
            continue
        chosen[place[number], index] = None
    if not chosen:
        raise ListError(str(found.problems[0]) if found.problems else "No listed event exists.")
    pairs = np.array(list(chosen), np.int32)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _fits(geometry: Geometry, raw_shape: tuple[int, ...]) -> bool:
    try:
        geometry.fit(raw_shape)
    except GeometryError:
        return False
    return True


def _fit(geometry: Geometry, source: EventSource) -> Geometry:
    try:
        return geometry.fit(source.raw_shape)
    except GeometryError as error:
        what = f"{error} Frames are shown as stored, without this geometry."
        raise GeometryMisfitError(Problem(source.path, what)) from error


def _geometry_of_the_data(stack: EventStack) -> None:
    """Use the geometry that the data file itself states; offer one that lies beside it."""
    source = stack.sources[0]
    if isinstance(source, Hdf5Source) and source.plan.states_geometry:
        try:
            stack.geometry = Geometry.from_nexus(source.file).fit(stack.raw_shape)
        except GeometryError as error:
            stack.notes.append(Problem(source.path, f"Its own geometry is not used: {error}"))
        return
    file = os.path.abspath(getattr(source, "file", source.path))
    near = sorted(Path(file).parent.glob("*.geom"))
    if not 0 < len(near) <= MAX_OFFERED:
        return
    fitting = []
    for path in near:
        try:
            Geometry.from_crystfel(path).fit(stack.raw_shape)
        except GeometryError:
            continue
        fitting.append(path)
    if len(fitting) == 1:
        stack.offered_geometry = str(fitting[0])
        stack.notes.append(
            Problem(
                source.path,
                f"The geometry {fitting[0]} lies beside the data and fits; it is not applied "
                "unless you ask for it.",
            )
        )


def _read_mask(mask: PixelMask | NDArray[Any] | str | os.PathLike[str]) -> PixelMask:
    """A user's mask, from memory or from a mask file of ours (0 = good).

    Raises
    ------
    UnreadableFileError
        If the file holds no mask where ours do.
    """
    if isinstance(mask, MadeMask):  # whose bits are other reasons
        return PixelMask.from_bad(mask.bad, Reason.USER)
    if isinstance(mask, PixelMask):
        return mask
    if isinstance(mask, (str, os.PathLike)):
        name = os.fspath(mask)
        with hdf5.POOL.borrow(name) as opened:
            stored = hdf5.dataset(opened.h5, "/entry_1/data_1/mask")
            if stored is None or stored.dtype.kind not in "biu":
                raise UnreadableFileError(
                    f"{name} has no mask at /entry_1/data_1/mask (0 = good)."
                )
            return PixelMask.from_bad(np.asarray(stored[()]) != 0, Reason.USER)
    return PixelMask.from_bad(np.asarray(mask, bool), Reason.USER)
