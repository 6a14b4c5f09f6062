"""Which rows of a virtual dataset some existing file provides.

HDF5 reads fill values, without an error, where a source is gone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.readers import hdf5

#: Virtual datasets of virtual datasets: more levels than anybody writes.
MAX_DEPTH = 5

#: A header that claims more rows is not followed row by row: that would take gigabytes.
MAX_ROWS = 20_000_000


@dataclass(frozen=True)
class Lost:
    """A source that cannot be used: its file's name, and a clause that says why."""

    held: str
    what: str


def provided_rows(
    data: h5py.Dataset, file: str, linked: list[str], lost: dict[str, Lost], depth: int = 0
) -> tuple[NDArray[np.bool_], int, int] | None:
    """Rows (first axis) that existing sources provide.

    Parameters
    ----------
    data : h5py.Dataset
        A virtual dataset, possibly reached through links.
    file : str
        The file that the user opened.
    linked : list of str
        Takes the real paths of the sources that exist.
    lost : dict
        Takes what cannot be used, by file and dataset.

    Returns
    -------
    rows, n_maps, n_lost : ndarray of bool, int, int
        Rows that are there; number of mappings, and of those that provide nothing. None
        if the dataset maps nothing, or claims more rows than are looked at.
    """
    holder = data.file.filename
    home = file if os.path.basename(holder) == os.path.basename(file) else holder
    n_rows = int(data.shape[0])
    if n_rows > MAX_ROWS:
        return None
    there = np.zeros(n_rows, bool)
    known: dict[tuple[str, str], NDArray[np.bool_] | None] = {}
    n_maps = n_lost = 0
    for source in data.virtual_sources():
        rows = _selected(source.vspace, n_rows)
        n_maps += 1
        if "%b" in source.file_name or "%b" in source.dset_name:
            numbers = _series(source, home, rows, n_rows, linked, lost)
        else:
            key = (source.file_name, source.dset_name)
            if key not in known:
                known[key] = _available(home, data.file, *key, linked, lost, depth)
            numbers = _through(rows, source, known[key], home, lost)
        if len(numbers):
            there[numbers] = True
        else:
            n_lost += 1
    return (there, n_maps, n_lost) if n_maps else None


def _selected(space: Any, n_rows: int) -> NDArray[np.intp]:
    """Indices along the first axis that a selection covers, in order."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return np.arange(n_rows)
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        start, end = space.get_select_bounds()
        return np.arange(int(start[0]), min(int(end[0]) + 1, n_rows))
    first, step, count, block = (int(values[0]) for values in space.get_regular_hyperslab())
    return _hyperslab(first, step, count, block, n_rows)


def _hyperslab(first: int, step: int, count: int, block: int, n_rows: int) -> NDArray[np.intp]:
    """Rows of a hyperslab; one that is unlimited (count or block below 0) ends with the data."""
    left = max(n_rows - first, 0)
    block = left if not 0 < block <= left else block
    needed = -(-left // max(step, 1))
    count = needed if not 0 < count <= needed else count
    rows = first + (np.arange(count)[:, None] * step + np.arange(block)).ravel()
    return rows[rows < n_rows]


def _through(
    rows: NDArray[np.intp],
    source: Any,
    available: NDArray[np.bool_] | None,
    home: str,
    lost: dict[str, Lost],
) -> NDArray[np.intp]:
    """Those of the mapped rows that the source dataset has."""
    if available is None:
        return rows[:0]
    if source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        taken = np.arange(len(rows))
    else:
        taken = _selected(source.src_space, max(len(available), _end(source.src_space)))
    if len(taken) != len(rows):  # a frame a mapping, or modules along the first axis
        return rows
    within = taken < len(available)
    within[within] = available[taken[within]]
    if not within.all():
        name = os.path.basename(source.file_name) if source.file_name != "." else source.dset_name
        lost.setdefault(
            f"{source.file_name}:{source.dset_name}",
            Lost(
                f"the end of {name}" if available.all() else f"part of {name}",
                f"its source {source.file_name} has only {np.count_nonzero(available)} of the "
                "rows that are asked of it",
            ),
        )
    return rows[within]


def _end(space: Any) -> int:
    """One more than the last selected row; 0 for a selection without end."""
    try:
        return int(space.get_select_bounds()[1][0]) + 1
    except (RuntimeError, ValueError, IndexError):
        return 0


def _available(
    home: str,
    opened: h5py.File,
    file_name: str,
    dataset_name: str,
    linked: list[str],
    lost: dict[str, Lost],
    depth: int,
) -> NDArray[np.bool_] | None:
    """Rows that a source dataset really has, None if it cannot be read at all."""
    key, held = f"{file_name}:{dataset_name}", os.path.basename(file_name)
    if file_name == ".":
        found = hdf5.dataset(opened, dataset_name)
        if found is None:
            lost[key] = Lost(dataset_name, f"the dataset {dataset_name} it shows does not exist")
            return None
        return _rows_of(found, home, linked, lost, depth)
    place = hdf5.resolve_link(home, file_name)
    if place is None:
        lost[key] = Lost(held, f"its source file {file_name} does not exist")
        return None
    linked.append(os.path.realpath(place))
    try:
        with hdf5.POOL.borrow(place) as source:
            if source.h5.swmr_mode and not opened.swmr_mode:
                # HDF5 opens sources as it opened this file, and cannot while one is written.
                lost[key] = Lost(held, f"its source file {file_name} is still being written")
                return None
            found = hdf5.dataset(source.h5, dataset_name)
            if found is None:
                lost[key] = Lost(held, f"its source {file_name} has no dataset {dataset_name}")
                return None
            return _rows_of(found, place, linked, lost, depth)
    except UnreadableFileError as error:
        lost[key] = Lost(held, f"its source file is unusable ({str(error).rstrip('.')})")
        return None


def _rows_of(
    data: h5py.Dataset, file: str, linked: list[str], lost: dict[str, Lost], depth: int
) -> NDArray[np.bool_]:
    n_rows = int(data.shape[0]) if data.shape else 1
    if not data.is_virtual or depth >= MAX_DEPTH or not data.shape:
        return np.ones(n_rows, bool)
    found = provided_rows(data, file, linked, lost, depth + 1)
    return np.ones(n_rows, bool) if found is None else found[0]


def _series(
    source: Any,
    home: str,
    rows: NDArray[np.intp],
    n_rows: int,
    linked: list[str],
    lost: dict[str, Lost],
) -> NDArray[np.intp]:
    """Rows of a series of files (``f_%b.h5``), a block of rows each, that exist."""
    if "%b" not in source.file_name or not source.vspace.is_regular_hyperslab():
        return rows
    first, step, _, block = (int(values[0]) for values in source.vspace.get_regular_hyperslab())
    kept = [rows[:0]]
    for number in range(-(-max(n_rows - first, 0) // max(step, 1))):
        name = source.file_name.replace("%b", str(number))
        place = hdf5.resolve_link(home, name)
        if place is None:
            lost[name] = Lost(os.path.basename(name), f"its source file {name} does not exist")
            continue
        linked.append(os.path.realpath(place))
        kept.append(_hyperslab(first + number * step, step, 1, block, n_rows))
    return np.concatenate(kept)
