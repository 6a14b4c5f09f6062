"""Writers of European XFEL runs and virtual CXI files.

After EXtra-data's ``tests/mockdata`` (what Karabo's data acquisition writes) and
``write_cxi.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mock_layouts.base import frame

FIRST_TRAIN = 10000
#: Train -> frames in it; a train may hold none.
COUNTS = {10000: 2, 10001: 0, 10002: 3, 10003: 1}
BAD_ROW = 64


@dataclass(frozen=True)
class Detector:
    """A detector of the XTDF family: one file and one source a module."""

    device: str
    prefix: str
    module: tuple[int, int]
    planes: int
    n_modules: int = 16

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one event, all modules."""
        return (self.n_modules, *self.module)

    def source(self, number: int, raw: bool) -> str:
        """Karabo's source name of a module, new style for corrected data."""
        if raw:
            return f"{self.device}/DET/{number}CH0:xtdf"
        return f"{self.device}/CORR/{number}CH0:output"

    def file(self, folder: Path, number: int, raw: bool, run: int, sequence: int = 0) -> Path:
        """File of a module and sequence."""
        kind = "RAW" if raw else "CORR"
        return folder / f"{kind}-R{run:04d}-{self.prefix}{number:02d}-S{sequence:05d}.h5"


AGIPD = Detector("SPB_DET_AGIPD1M-1", "AGIPD", (512, 128), 2)
LPD = Detector("FXE_DET_LPD1M-1", "LPD", (256, 256), 1)
DSSC = Detector("SCS_DET_DSSC1M-1", "DSSC", (128, 512), 1)


@lru_cache(maxsize=4)
def pattern(shape: tuple[int, ...]) -> NDArray[Any]:
    """Frame of event 0; others differ by a constant."""
    return frame(0, shape, "i4")


def n_frames(counts: Mapping[int, int]) -> int:
    """Number of events of these trains."""
    return sum(counts.values())


def identifiers(counts: Mapping[int, int] = COUNTS) -> list[str]:
    """``train:pulse`` of every event."""
    return [f"{train}:{pulse}" for train, n in counts.items() for pulse in range(n)]


def write_index(file: h5py.File, sources: Mapping[str, Sequence[int]], trains: list[int]) -> None:
    """Write INDEX: ids of the trains, and first and count of every source."""
    file["INDEX/trainId"] = np.array(trains, "u8")
    file["INDEX/flag"] = np.ones(len(trains), "i4")
    file["INDEX/origin"] = np.full(len(trains), -1, "i4")
    file["INDEX/timestamp"] = np.array([1795193009 * 10**9 + 10**8 * t for t in trains], "u8")
    for source, counts in sources.items():
        n = np.asarray(counts, "u8")
        file[f"INDEX/{source}/first"] = np.concatenate([[0], np.cumsum(n)[:-1]]).astype("u8")
        file[f"INDEX/{source}/count"] = n


def write_metadata(file: h5py.File, sources: Sequence[str], run: int, sequence: int) -> None:
    """Write METADATA of data format 1.2."""
    text = h5py.string_dtype("ascii")
    rows = [f"INSTRUMENT/{s}" for s in sources]
    padded = rows + [""] * (-len(rows) % 4)
    group = file.create_group("METADATA")
    group.create_dataset("dataSources/dataSourceId", data=padded, dtype=text)
    group.create_dataset("dataSources/root", data=[r.split("/", 1)[0] for r in padded], dtype=text)
    group.create_dataset(
        "dataSources/deviceId", data=[r.partition("/")[2] for r in padded], dtype=text
    )
    for name, value in {
        "dataFormatVersion": "1.2",
        "daqLibrary": "1.9.0",
        "karaboFramework": "2.7.0",
        "creationDate": "20261120T164329Z",
        "updateDate": "20261120T164829Z",
        "runType": "Test DAQ",
        "sample": "No Sample",
    }.items():
        group.create_dataset(name, data=[value], dtype=text)
    for name, number in {
        "proposalNumber": 700000,
        "runNumber": run,
        "sequenceNumber": sequence,
    }.items():
        group[name] = np.array([number], "u4")


def write_images(group: h5py.Group, values: NDArray[Any], detector: Detector, raw: bool) -> None:
    """Write data, mask and gain of one module."""
    n = len(values)
    module = detector.module
    if raw:
        planes = np.empty((n, detector.planes, *module), "u2")
        planes[:, 0] = values
        planes[:, 1:] = 4321
        group.create_dataset("data", data=planes, chunks=(1, *planes.shape[1:]) if n else None)
        return
    chunks = (1, *module) if n else None
    group.create_dataset("data", data=values.astype("f4"), chunks=chunks)
    mask = np.zeros((n, *module), "u4")
    mask[:, BAD_ROW] = 2
    gzip = {"compression": "gzip", "compression_opts": 1, "chunks": chunks} if n else {}
    group.create_dataset("mask", data=mask, **gzip)
    group.create_dataset("gain", data=np.zeros((n, *module), "u1"), **gzip)


def write_module(
    folder: Path,
    detector: Detector,
    number: int,
    *,
    raw: bool,
    counts: Mapping[int, int] = COUNTS,
    first_event: int = 0,
    run: int = 238,
    sequence: int = 0,
    lost: Sequence[int] = (),
) -> Path:
    """Write the file of one module; trains in ``lost`` never reached it."""
    path = detector.file(folder, number, raw, run, sequence)
    events, trains, pulses = [], [], []
    event = first_event
    for train, n in counts.items():
        for pulse in range(n):
            if train not in lost:
                events.append(event)
                trains.append(train)
                pulses.append(pulse)
            event += 1
    here = [0 if t in lost else n for t, n in counts.items()]
    one = [1] * len(counts)
    source = detector.source(number, raw)
    values = 1000 * np.array(events, "i4").reshape(-1, 1, 1) + pattern(detector.shape)[number]
    ids = (len(events), 1) if raw else (len(events),)
    with h5py.File(path, "w") as f:
        group = f.create_group(f"INSTRUMENT/{source}/image")
        write_images(group, values, detector, raw)
        group["trainId"] = np.array(trains, "u8").reshape(ids)
        group["pulseId"] = np.array(pulses, "u8").reshape(ids)
        group["cellId"] = np.array(pulses, "u2").reshape(ids)
        group["length"] = np.zeros((len(events), 1), "u4")
        group["status"] = np.zeros((len(events), 1), "u2")
        for part in ("header", "detector", "trailer"):
            f[f"INSTRUMENT/{source}/{part}/trainId"] = np.array(list(counts), "u8")
        f[f"INSTRUMENT/{source}/detector/data"] = np.zeros((len(counts), 5408), "u1")
        sources = {f"{source}/image": here}
        sources |= {f"{source}/{part}": one for part in ("header", "detector", "trailer")}
        write_index(f, sources, list(counts))
        write_metadata(f, list(sources), run, sequence)
        f.create_group("RUN")
        if not raw:
            legacy = f"{detector.device}/DET/{number}CH0:xtdf"
            f[f"INDEX/{legacy}"] = h5py.SoftLink(f"/INDEX/{source}")
            f[f"INSTRUMENT/{legacy}"] = h5py.SoftLink(f"/INSTRUMENT/{source}")
    return path


def write_da(folder: Path, raw: bool, counts: Mapping[int, int] = COUNTS, run: int = 238) -> None:
    """Write a data-aggregator file: slow data, no detector."""
    kind = "RAW" if raw else "CORR"
    source = "SA1_XTD2_XGM/DOOCS/MAIN:output"
    trains = list(counts)
    with h5py.File(folder / f"{kind}-R{run:04d}-DA01-S00000.h5", "w") as f:
        f[f"INSTRUMENT/{source}/data/trainId"] = np.array(trains, "u8")
        f[f"INSTRUMENT/{source}/data/intensityTD"] = np.zeros((len(trains), 1000), "f4")
        write_index(f, {f"{source}/data": [1] * len(trains)}, trains)
        write_metadata(f, [f"{source}/data"], run, 0)
        f.create_group("RUN")


def write_run(
    folder: Path,
    detector: Detector = AGIPD,
    *,
    raw: bool = False,
    counts: Mapping[int, int] = COUNTS,
    modules: Sequence[int] | None = None,
    lost: Mapping[int, Sequence[int]] | None = None,
    **more: Any,
) -> Path:
    """Write a run folder; ``lost`` maps modules to trains they never got."""
    folder.mkdir(exist_ok=True)
    for number in range(detector.n_modules) if modules is None else modules:
        missing = (lost or {}).get(number, ())
        write_module(folder, detector, number, raw=raw, counts=counts, lost=missing, **more)
    write_da(folder, raw, counts)
    return folder


def write_jungfrau_module(
    folder: Path,
    device: str,
    number: int,
    n_modules: int,
    *,
    trains: Sequence[int],
    n_cells: int,
    raw: bool = False,
    run: int = 300,
) -> Path:
    """Write one JUNGFRAU module: (trains, cells, 512, 1024); modules count from 1."""
    kind = "RAW" if raw else "CORR"
    path = folder / f"{kind}-R{run:04d}-JNGFR{number:02d}-S00000.h5"
    source = f"{device}/DET/JNGFR{number:02d}:daqOutput"
    n = len(trains)
    module = pattern((n_modules, 512, 1024))[number - 1]
    events = np.arange(n * n_cells).reshape(n, n_cells, 1, 1)
    with h5py.File(path, "w") as f:
        group = f.create_group(f"INSTRUMENT/{source}/data")
        values = (1000 * events + module).astype("u2" if raw else "f4")
        group.create_dataset("adc", data=values, chunks=(1, 1, 512, 1024))
        group["gain"] = np.zeros((n, n_cells, 512, 1024), "u1")
        if not raw:
            mask = np.zeros((n, n_cells, 512, 1024), "u4")
            mask[:, :, BAD_ROW] = 2
            group.create_dataset("mask", data=mask, compression="gzip", compression_opts=1)
        group["memoryCell"] = np.tile(np.arange(n_cells, dtype="u1"), (n, 1))
        group["frameNumber"] = np.arange(n * n_cells, dtype="u8").reshape(n, n_cells)
        group["timestamp"] = np.zeros((n, n_cells))
        group["trainId"] = np.array(trains, "u8")
        write_index(f, {f"{source}/data": [1] * n}, list(trains))
        write_metadata(f, [f"{source}/data"], run, 0)
        f.create_group("RUN")
    return path


def write_virtual_cxi(
    path: Path, run: Path, detector: Detector = AGIPD, raw: bool = False
) -> Path:
    """Write what ``extra-data-make-virtual-cxi`` writes; absolute source paths."""
    n = n_frames(COUNTS)
    planes = (detector.planes,) if raw else ()
    shape = (n, detector.n_modules, *planes, *detector.module)
    kinds = {"data": ("u2", 0)} if raw else {"data": ("f4", np.nan), "gain": ("u1", 0)}
    if not raw:
        kinds["mask"] = ("u4", 0xFFFFFFFF)
    files = [detector.file(run, m, raw, 238) for m in range(detector.n_modules)]
    names = [f"INSTRUMENT/{detector.source(m, raw)}/image" for m in range(detector.n_modules)]
    middle = "data_gain:" if raw else ""
    trains, pulses = zip(*(i.split(":") for i in identifiers()), strict=True)
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        f["cxi_version"] = [150]
        entry = f.create_group("entry_1")
        entry.attrs["name"] = "EuXFEL proposal 700000 run 238"
        entry.create_dataset(
            "experiment_identifier", data=identifiers(), dtype=h5py.string_dtype()
        )
        entry["trainId"] = np.array(trains, "u8")
        entry["pulseId"] = np.array(pulses, "u8")
        cells = h5py.VirtualLayout((n, detector.n_modules), "u2")
        for m, file in enumerate(files):
            there = h5py.VirtualSource(
                str(file), f"{names[m]}/cellId", (n, 1) if raw else (n,), "u2"
            )
            cells[:, m] = there[:, 0] if raw else there
        entry.create_virtual_dataset("cellId", cells)
        group = entry.create_group("instrument_1/detector_1")
        group.attrs["name"] = detector.device
        for key, (dtype, fill) in kinds.items():
            joined = h5py.VirtualLayout(shape, dtype)
            for m, file in enumerate(files):
                joined[:, m] = h5py.VirtualSource(
                    str(file), f"{names[m]}/{key}", (n, *planes, *detector.module), dtype
                )
            made = group.create_virtual_dataset(key, joined, fillvalue=fill)
            made.attrs["axes"] = f"experiment_identifier:module_identifier:{middle}y:x"
        if raw:
            f.create_dataset("entry_1/data_gain", data=["data", "gain"], dtype=h5py.string_dtype())
            group["data_gain"] = h5py.SoftLink("/entry_1/data_gain")
        group["experiment_identifier"] = h5py.SoftLink("/entry_1/experiment_identifier")
        group["module_identifier"] = np.arange(detector.n_modules)
        f["entry_1/data_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")
    return path
