"""European XFEL runs: folders of ``CORR-*`` or ``RAW-*`` files, a file a module.

EXtra-data (extra ``[euxfel]``) finds the detector and the files of each module; frames are
then read by h5py directly, which is several times faster than a dask array over modules.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import (
    MissingDependencyError,
    NoEventsError,
    Problem,
    UnreadableFileError,
)
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.source import EventSource, Window
from napari_xfelsort.readers import hdf5

_RUN_FILE = re.compile(r"(CORR|PROC|RAW)-R\d+-.+-S\d+\.h5")


def is_run_file(path: str) -> bool:
    """Whether a file is named as one of a run (``CORR-R0238-AGIPD00-S00000.h5``)."""
    return _RUN_FILE.fullmatch(os.path.basename(path)) is not None


def run_files(folder: str | os.PathLike[str]) -> list[str]:
    """Files of a run folder, corrected ones if there are any; empty if it is no run."""
    return _one_kind(os.path.join(folder, name) for name in sorted(os.listdir(folder)))


def _one_kind(files: Iterable[str]) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for file in files:
        match = _RUN_FILE.fullmatch(os.path.basename(file))
        if match:
            kinds.setdefault(match[1], []).append(file)
    for kind in ("CORR", "PROC", "RAW"):
        if kind in kinds:
            return kinds[kind]
    return []


@dataclass(frozen=True)
class Module:
    """Where one detector module's frames are.

    Attributes
    ----------
    files : tuple of str
        Its sequence files.
    data, mask : str
        Dataset paths in each of them; mask empty when there is none.
    """

    files: tuple[str, ...]
    data: str
    mask: str


class EuxfelRun(EventSource):
    """The pulses of a run that any module of its detector has recorded.

    Parameters
    ----------
    path : str
        The run folder, as the user gave it.
    detector : str
        What it is, for the user.
    modules : sequence of Module or None
        By module number; None where the run has no such module.
    where : ndarray of int32, shape (events, modules, 2)
        File number and row of each event in each module; -1 where it is missing.
    ids : ndarray of uint64, shape (events, 2)
        Train and pulse id.
    cells : int
        Frames a row holds (JUNGFRAU: memory cells of a train), 0 when one.
    """

    def __init__(
        self,
        path: str,
        detector: str,
        modules: Sequence[Module | None],
        where: NDArray[np.int32],
        ids: NDArray[np.uint64],
        cells: int,
        module_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        problems: Sequence[Problem],
    ) -> None:
        self.path = path
        self.layout = f"European XFEL run, {detector}"
        self.modules = list(modules)
        first = next(module for module in modules if module is not None)
        self.dataset = first.data
        self.raw_shape = (len(self.modules), *module_shape)
        self.dtype = dtype
        self.problems = list(problems)
        self._where = where
        self._ids = ids
        self._cells = cells
        self._cell_columns: dict[str, NDArray[np.int64] | None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def token(self) -> str:
        first = next(module for module in self.modules if module is not None).files[0]
        return f"{os.path.abspath(self.path)}:{os.stat(first).st_mtime_ns}:{len(self)}"

    def all_files(self) -> tuple[str, ...]:
        modules = (module for module in self.modules if module is not None)
        return tuple(dict.fromkeys(file for module in modules for file in module.files))

    def close(self) -> None:
        hdf5.POOL.close(self.all_files())

    def missing_parts(self, i: int) -> Sequence[Window]:
        gone = np.flatnonzero(self._where[i, :, 0] < 0).tolist()
        return [(slice(k, k + 1), slice(None), slice(None)) for k in gone]

    def event_id(self, i: int) -> EventId:
        return EventId(self.path, f"{self.identifier(i)}//", self.place)

    def identifier(self, i: int) -> str:
        train, pulse = self._ids[i]
        return f"{train}:{pulse}"

    def find(self, event: str) -> int | None:
        parts = EventId(self.path, event).path_parts
        numbers = parts[0].split(":") if len(parts) == 1 else []
        if len(numbers) != 2 or not all(n.isdigit() for n in numbers):
            return None
        hits = np.flatnonzero((self._ids == np.array(numbers, np.uint64)).all(axis=1))
        return int(hits[0]) if len(hits) else None

    def metadata(self, i: int) -> dict[str, Any]:
        about = {"trainId": int(self._ids[i, 0]), "pulseId": int(self._ids[i, 1])}
        cell = self._memory_cell(i)
        return about if cell is None else about | {"cellId": cell}

    def _memory_cell(self, i: int) -> int | None:
        """Memory cell of the first module that has recorded the event, None if not stored."""
        for number in np.flatnonzero(self._where[i, :, 0] >= 0).tolist():
            module = self.modules[number]
            if module is None:
                continue
            file_number, row = self._where[i, number]
            cells = self._cells_of(module.files[file_number], module.data.rpartition("/")[0])
            return int(cells[row]) if cells is not None and row < len(cells) else None
        return None

    def _cells_of(self, file: str, group: str) -> NDArray[np.int64] | None:
        """Memory cell of each frame in a file."""
        if file not in self._cell_columns:
            with hdf5.POOL.borrow(file) as opened:
                names = (f"{group}/cellId", f"{group}/memoryCell")
                stored = [hdf5.dataset(opened.h5, name) for name in names]
                found = next((each for each in stored if each is not None), None)
                values = None if found is None else np.asarray(found[()], np.int64).ravel()
            self._cell_columns[file] = values
        return self._cell_columns[file]

    def read(
        self, i: int, window: Window | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has no event {i}; it has {len(self)}.")
        chosen = (
            range(len(self.modules)) if window is None else range(len(self.modules))[window[0]]
        )
        part = (slice(None), slice(None)) if window is None else window[1:]
        shape = tuple(
            len(range(*w.indices(n))) for w, n in zip(part, self.raw_shape[1:], strict=True)
        )
        if out is None:
            out = np.empty((len(chosen), *shape), self.dtype)
        for k, number in enumerate(chosen):
            self._read_module(number, i, "data", part, out[k])
        return out

    def _read_module(
        self, number: int, i: int, what: str, part: Window, out: NDArray[Any]
    ) -> None:
        module = self.modules[number]
        file_number, row = self._where[i, number]
        if module is None or file_number < 0:
            out[...] = np.nan if out.dtype.kind == "f" else (1 if what == "mask" else 0)
            return
        name = module.mask if what == "mask" else module.data
        file = module.files[file_number]
        with hdf5.POOL.borrow(file) as opened:
            try:
                data = opened.dataset(name)
                index = (row // self._cells, row % self._cells) if self._cells else (row,)
                plane = (0,) * (data.ndim - len(index) - 2)  # raw: analogue signal, not gain
                out[...] = data[(*index, *plane, *part)]
            except (OSError, ValueError, RuntimeError) as error:
                raise UnreadableFileError(
                    f"Event {self.event_id(i)}: module {number} cannot be read from {file}: "
                    f"{error}."
                ) from error

    #: Modules are in files of their own.
    reads_windows = True
    #: Every pulse may lack other modules, and corrected runs have a mask a pulse.
    has_event_masks = True

    def mask(self) -> PixelMask:
        """Pixels bad in the first, middle and last event."""
        parts = [self.event_mask(i).reasons for i in {0, len(self) // 2, len(self) - 1}]
        return PixelMask(np.bitwise_and.reduce(parts))

    def event_mask(self, i: int) -> PixelMask:
        values = np.zeros(self.raw_shape, np.uint32)
        whole = (slice(None), slice(None))
        for number, module in enumerate(self.modules):
            if self._where[i, number, 0] < 0 or (module is not None and module.mask):
                self._read_module(number, i, "mask", whole, values[number])
        return PixelMask.from_bad(values != 0, Reason.FILE)


def open_run(path: str, files: Sequence[str] = ()) -> EuxfelRun:
    """Source of a run folder.

    Parameters
    ----------
    path : str
        The folder, as the user gave it.
    files : sequence of str, optional
        The files to use; all of the folder when omitted.

    Raises
    ------
    MissingDependencyError
        If EXtra-data is not installed.
    NoEventsError
        If the run holds no multi-module detector, or none with frames.
    UnreadableFileError
        If none of its files can be read.
    """
    try:
        import extra_data
        from extra_data.components import identify_multimod_detectors
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is a European XFEL run; reading it needs EXtra-data: "
            "pip install 'napari-xfelsort[euxfel]'."
        ) from error

    problems: list[Problem] = []
    usable = _readable(path, _one_kind(files) if files else run_files(path), problems)
    try:
        run = extra_data.DataCollection.from_paths(usable)
    except Exception as error:
        raise UnreadableFileError(f"The run {path} cannot be read: {error}.") from error
    try:
        found = sorted(identify_multimod_detectors(run), key=lambda pair: pair[0])
        if not found:
            raise NoEventsError(
                f"{path} holds no multi-module detector (AGIPD, LPD, DSSC, JUNGFRAU)."
            )
        detectors = [_load_detector(run, path, name, cls) for name, cls in found]
        detector = max(detectors, key=lambda d: len(d.source_to_modno))
        return _index(path, detector, problems)
    finally:
        for file in run.files:
            file.close()


def _readable(path: str, files: Sequence[str], problems: list[Problem]) -> list[str]:
    """Files of the run that open; the others are problems."""
    good = []
    for file in files:
        try:
            with hdf5.POOL.borrow(file):
                good.append(file)
        except UnreadableFileError as error:
            problems.append(Problem(path, str(error)))
    if not good:
        raise UnreadableFileError(f"None of the files of the run {path} can be read.")
    return good


def _load_detector(run: Any, path: str, name: str, cls: Any) -> Any:
    try:
        with warnings.catch_warnings():  # "falling back to raw data": the files decide that
            warnings.simplefilter("ignore", UserWarning)
            return cls(run, name, min_modules=1)
    except (ValueError, KeyError) as error:
        raise NoEventsError(
            f"{path}: the detector {name} has no usable frames: {error}."
        ) from error


def _index(path: str, detector: Any, problems: list[Problem]) -> EuxfelRun:
    """Where each module has each pulse, from the ids that the module files hold."""
    cells = detector._frames_per_entry if "JUNGFRAU" in type(detector).__name__ else 0
    first = 1 if cells else 0  # EXtra-data numbers JUNGFRAU modules from 1
    rows: dict[int, NDArray[np.int64]] = {}
    modules: dict[int, Module] = {}
    for source, modno in detector.source_to_modno.items():
        key = detector.data[source, detector._main_data_key]
        group = key.hdf5_data_path.rpartition("/")[0]
        paths = tuple(str(Path(p)) for p in key.source_file_paths)
        mask = f"{group}/mask"
        with hdf5.POOL.borrow(paths[0]) as opened:
            has_mask = hdf5.dataset(opened.h5, mask) is not None
        modules[modno - first] = Module(paths, key.hdf5_data_path, mask if has_mask else "")
        rows[modno - first] = _module_rows(modules[modno - first], source, key.index_group, cells)
    n_modules = max(detector.n_modules, max(modules) + 1)
    events = np.unique(np.concatenate([r[:, :2] for r in rows.values()]), axis=0)
    if len(events) == 0:
        raise NoEventsError(f"{path} holds no frames of {detector.detector_name}.")
    where = np.full((len(events), n_modules, 2), -1, np.int32)
    for number, found in rows.items():
        place = _find_rows(events, found[:, :2])
        where[place, number] = found[:, 2:]
    missing = [n for n in range(n_modules) if n not in modules]
    if missing:
        problems.append(
            Problem(path, f"{path} has no file of module {', '.join(map(str, missing))}.")
        )
    example = next(iter(modules.values()))
    with hdf5.POOL.borrow(example.files[0]) as opened:
        data = opened.dataset(example.data)
        shape, dtype = tuple(int(n) for n in data.shape[-2:]), data.dtype
    return EuxfelRun(
        path,
        detector.detector_name,
        [modules.get(n) for n in range(n_modules)],
        where,
        events.astype(np.uint64),
        cells,
        shape,
        dtype,
        problems,
    )


def _module_rows(module: Module, source: str, index_group: str, cells: int) -> NDArray[np.int64]:
    """Train id, pulse id (or memory cell), file number and row of a module's frames."""
    group = module.data.rpartition("/")[0]
    tables = []
    for number, file in enumerate(module.files):
        with hdf5.POOL.borrow(file) as opened:
            index = f"INDEX/{source}/{index_group}" if index_group else f"INDEX/{source}"
            trains = np.asarray(opened.dataset("INDEX/trainId")[()], np.int64)
            first = np.asarray(opened.dataset(f"{index}/first")[()], np.int64)
            count = np.asarray(opened.dataset(f"{index}/count")[()], np.int64)
            n = min(len(trains), len(first), len(count))
            row = np.concatenate(
                [np.arange(f, f + c) for f, c in zip(first[:n], count[:n], strict=True)]
                or [np.zeros(0, np.int64)]
            ).astype(np.int64)
            train = np.repeat(trains[:n], count[:n])
            if cells:
                row = (row[:, None] * cells + np.arange(cells)).ravel()
                train = np.repeat(train, cells)
                pulse = np.tile(np.arange(cells), len(train) // cells)
            else:
                stored = hdf5.dataset(opened.h5, f"{group}/pulseId")
                if stored is None:
                    pulse = np.concatenate([np.arange(c) for c in count[:n]])
                else:
                    pulse = np.asarray(stored[()], np.int64).ravel()[row]
        tables.append(np.column_stack([train, pulse, np.full(len(row), number, np.int64), row]))
    return np.concatenate(tables)


def _find_rows(events: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Index in the sorted event table of each wanted (train, pulse)."""
    key = np.dtype([("train", np.int64), ("pulse", np.int64)])
    table = np.ascontiguousarray(events).view(key).ravel()
    return np.searchsorted(table, np.ascontiguousarray(wanted).view(key).ravel())
