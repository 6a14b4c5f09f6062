"""How a dataset becomes a segment of events: event axes, written rows, lost sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.errors import NoEventsError, Problem, UnreadableFileError
from napari_xfelsort.readers import hdf5
from napari_xfelsort.readers.layout import Segment
from napari_xfelsort.readers.virtual import Lost, provided_rows

#: A frame smaller than this along its slow or fast axis is a table, not a picture.
SMALLEST_SIDE = 4


@dataclass
class Context:
    """What is known while one file is being probed, and what was found wrong."""

    path: str
    file: str
    problems: list[Problem] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)

    def problem(self, what: str) -> None:
        """Note something that could not be used."""
        self.problems.append(Problem(self.path, what))


def is_numeric(data: h5py.Dataset) -> bool:
    """Whether the dataset holds numbers that can be pixels."""
    try:
        return data.dtype.kind in "biufc" and data.shape is not None
    except TypeError:  # a type that NumPy does not have
        return False


def common_type(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The type that holds the pixels of all parts of a file; their own when they agree."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return np.result_type(*dtypes)


def is_frames(data: h5py.Dataset | None) -> bool:
    """Whether a dataset looks like a frame or a stack of frames, empty or not."""
    if data is None or not is_numeric(data) or data.ndim < 2:
        return False
    return min(data.shape[-2:]) >= SMALLEST_SIDE


def stack_segment(
    data: h5py.Dataset,
    name: str,
    context: Context,
    event_axes: tuple[int, ...] | None = None,
    fixed: tuple[tuple[int, int], ...] = (),
    written: int | None = None,
    path_parts: tuple[str, ...] = (),
) -> tuple[Segment, tuple[int, ...]]:
    """Segment and raw shape of a dataset of frames.

    Parameters
    ----------
    data, name
        The dataset and the path to call it by.
    context : Context
        Takes note of lost sources.
    event_axes : tuple of int, optional
        Axes that count events; by default the first, of three axes or more.
    fixed : tuple of (axis, index)
        Axes of which one index is read.
    written : int, optional
        Number of events that hold data, when less than the length of the axis.

    Raises
    ------
    NoEventsError
        If it has no event.
    UnreadableFileError
        If a filter is missing, or every source of a virtual dataset is gone.
    """
    hdf5.check_filters(data, name, context.path)
    if event_axes is None:
        event_axes = (0,) if data.ndim > 2 else ()
    lengths = tuple(data.shape[axis] for axis in event_axes)
    n_events = int(np.prod(lengths)) if lengths else 1
    if written is not None and written < n_events:
        context.problem(
            f"{context.path} was not closed by its writer: {written} of {n_events} rows of "
            f"{name} hold events; only these are used."
        )
        n_events = written
    if n_events == 0:
        raise NoEventsError(
            f"{context.path} holds no events: {name} has shape {data.shape}. If the run is still "
            "being written, open it again later."
        )
    taken = {*event_axes, *(axis for axis, _ in fixed)}
    raw_shape = tuple(n for axis, n in enumerate(data.shape) if axis not in taken)
    number = None
    if data.is_virtual and event_axes == (0,):
        number = _events_with_sources(data, name, n_events, context)
        if number is not None and not number:
            raise NoEventsError(f"{context.path} holds no events: no file gives rows of {name}.")
    return (
        Segment(
            (name,),
            n_events if number is None else len(number),
            event_axes,
            lengths,
            fixed,
            path_parts,
            number=number,
        ),
        raw_shape,
    )


def _events_with_sources(
    data: h5py.Dataset, name: str, n_events: int, context: Context
) -> tuple[int, ...] | None:
    """Events of a virtual dataset that some existing file provides; None if all are.

    HDF5 gives fill values, and no error, for those whose source is gone.
    """
    lost: dict[str, Lost] = {}
    found = provided_rows(data, context.file, context.linked, lost)
    if found is None:
        return None
    there, n_maps, n_lost = found
    there = there[:n_events]
    for why in lost.values():
        context.problem(
            f"{context.path}: {name} is virtual and {why.what}; what {why.held} held is missing."
        )
    if n_lost == n_maps:
        files = ", ".join(sorted({why.held for why in lost.values()})[:3])
        raise UnreadableFileError(
            f"{context.path}: {name} is virtual and none of its source files can be read "
            f"({files}): {next(iter(lost.values())).what}; put them right or open them directly."
        )
    if there.all():
        return None
    if not lost:
        context.problem(
            f"{context.path}: {name} is virtual and no file is given for "
            f"{n_events - np.count_nonzero(there)} of its {n_events} rows; they are left out."
        )
    return tuple(np.flatnonzero(there).tolist())


def axes_names(data: h5py.Dataset) -> list[str]:
    """Names in a CXI ``axes`` attribute (``experiment_identifier:y:x``), slowest first."""
    names = hdf5.attribute(data, "axes")
    return names.split(":") if names else []
