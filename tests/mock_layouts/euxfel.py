"""European XFEL: run folders of AGIPD, LPD, DSSC and JUNGFRAU, virtual CXI files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mock_layouts.base import Frame, Mock, Shape, frame, layout
from mock_layouts.euxfel_files import (
    AGIPD,
    COUNTS,
    DSSC,
    FIRST_TRAIN,
    LPD,
    Detector,
    identifiers,
    n_frames,
    write_da,
    write_jungfrau_module,
    write_module,
    write_run,
    write_virtual_cxi,
)

N = n_frames(COUNTS)
FEW = {10000: 1, 10001: 0, 10002: 2}


def run_mock(path: Path, detector: Detector = AGIPD, raw: bool = False, **more: Any) -> Mock:
    """Expectation for a whole run folder of the default trains."""
    ids = identifiers(more.pop("counts", COUNTS))
    bad_row = detector.n_modules * detector.module[1]
    return Mock(
        [path],
        **{
            "n_events": len(ids),
            "shapes": [detector.shape],
            "dtype": "u2" if raw else "f4",
            "events": range(len(ids)),
            "identifiers": ids,
            "event_ids": [f"{i}//" for i in ids],
            "event_bad": None if raw else [bad_row] * len(ids),
            "metadata": [FIRST_TRAIN],
            **more,
        },
    )


def virtual_mock(path: Path, raw: bool = False, **more: Any) -> Mock:
    """Expectation for a virtual CXI file of the default trains."""
    return run_mock(path, raw=raw, event_ids=[f"//{i}" for i in range(N)], **more)


@layout("c1")
def agipd_proc_run(folder: Path) -> Mock:
    """Corrected AGIPD: trains of 2, 0, 3 and 1 frames."""
    return run_mock(write_run(folder / "r0238"))


@layout("c1")
def agipd_two_sequences(folder: Path) -> Mock:
    """Trains go on in a second file of every module."""
    run = write_run(folder / "r0238", counts=FEW)
    later = {10003: 1, 10004: 1}
    for number in range(16):
        write_module(
            run,
            AGIPD,
            number,
            raw=False,
            counts=later,
            first_event=n_frames(FEW),
            sequence=1,
        )
    return run_mock(run, counts=FEW | later)


@layout("c1")
def agipd_glob(folder: Path) -> Mock:
    """A pattern that meets all files of a run means the run, not 16 times its events."""
    run = write_run(folder / "r0238")
    mock = run_mock(run, event_ids=None)
    mock.paths = [run / "CORR-*.h5"]
    return mock


@layout("c1")
def agipd_one_file(folder: Path) -> Mock:
    """One module's file alone: its frames, with train and pulse."""
    run = write_run(folder / "r0238")
    return Mock(
        [AGIPD.file(run, 3, False, 238)],
        n_events=N,
        shapes=[(512, 128)],
        dtype="f4",
        expected=lambda i, shape: frame(i, AGIPD.shape, "f4")[3],
        event_ids=[f"//{i}" for i in range(N)],
        identifiers=identifiers(),
        event_bad=[128] * N,
        any_problems=True,
    )


@layout("n05")
def euxfel_slow_data_file(folder: Path) -> Mock:
    """A data-aggregator file holds pulse energies of trains, (4, 1000), and no frame."""
    write_da(folder, raw=False)
    path = folder / "CORR-R0238-DA01-S00000.h5"
    return Mock([path], error=["NoEventsError", "UnreadableFileError"], names=[path.name])


def without_module(lost_module: int, lost_events: range, fill: float) -> Any:
    """Frames in which one module is missing in some events."""

    def expected(i: int, shape: Shape) -> Frame:
        values = frame(i, shape, "f4" if np.isnan(fill) else "u2")
        if i in lost_events:
            values[lost_module] = fill
        return values

    return expected


@layout("c1")
def agipd_missing_module(folder: Path) -> Mock:
    """Module 7 wrote no file: its pixels are NaN and bad, the rest stays."""
    run = write_run(folder / "r0238", modules=[m for m in range(16) if m != 7])
    return run_mock(
        run,
        expected=without_module(7, range(N), np.nan),
        event_bad=[15 * 128 + 512 * 128] * N,
        any_problems=True,
    )


@layout("c1")
def agipd_module_lost_train(folder: Path) -> Mock:
    """Module 3 got no frame of train 10002: those of later trains must not slip."""
    run = write_run(folder / "r0238", lost={3: [10002]})
    lost = 15 * 128 + 512 * 128
    return run_mock(
        run,
        expected=without_module(3, range(2, 5), np.nan),
        event_bad=[2048, 2048, lost, lost, lost, 2048],
        any_problems=True,
    )


@layout("c2")
def agipd_raw_run(folder: Path) -> Mock:
    """Raw AGIPD holds an analogue and a gain plane; the analogue one is shown."""
    return run_mock(write_run(folder / "r0238", raw=True), raw=True)


def write_jungfrau(folder: Path, device: str, n_modules: int, trains: int, **more: Any) -> Path:
    """Write a JUNGFRAU run folder."""
    folder.mkdir()
    for number in range(1, n_modules + 1):
        write_jungfrau_module(
            folder,
            device,
            number,
            n_modules,
            trains=range(FIRST_TRAIN, FIRST_TRAIN + trains),
            **more,
        )
    return folder


@layout("c3")
def jungfrau_burst_run(folder: Path) -> Mock:
    """Two modules, three trains of two memory cells each: six events."""
    run = write_jungfrau(folder / "r0300", "FXE_XAD_JF1M", 2, trains=3, n_cells=2)
    return Mock(
        [run],
        n_events=6,
        shapes=[(2, 512, 1024)],
        dtype="f4",
        events=range(6),
        identifiers=[f"{FIRST_TRAIN + t}:{c}" for t in range(3) for c in range(2)],
        event_bad=[2 * 1024] * 6,
    )


@layout("c3")
def jungfrau_4m_run(folder: Path) -> Mock:
    """Eight modules counted from 1, one cell a train."""
    run = write_jungfrau(folder / "r0300", "SPB_IRDA_JF4M", 8, trains=2, n_cells=1)
    return Mock(
        [run],
        n_events=2,
        shapes=[(8, 512, 1024)],
        dtype="f4",
        events=range(2),
        identifiers=[f"{FIRST_TRAIN + t}:0" for t in range(2)],
        event_bad=[8 * 1024] * 2,
    )


@layout("c3")
def jungfrau_raw_run(folder: Path) -> Mock:
    """Raw JUNGFRAU: uint16, no mask."""
    run = write_jungfrau(folder / "r0300", "FXE_XAD_JF1M", 2, trains=2, n_cells=1, raw=True)
    return Mock([run], n_events=2, shapes=[(2, 512, 1024)], dtype="u2", events=range(2))


@layout("c4")
def virtual_cxi(folder: Path) -> Mock:
    """Virtual CXI of corrected data."""
    run = write_run(folder / "r0238")
    return virtual_mock(write_virtual_cxi(folder / "r0238_vds.cxi", run))


@layout("c4")
def virtual_cxi_by_extra_data(folder: Path) -> Mock:
    """Written by EXtra-data itself from the run folder."""
    import pytest

    extra_data = pytest.importorskip("extra_data")
    components = pytest.importorskip("extra_data.components")
    run = write_run(folder / "r0238")
    path = folder / "r0238_vds.cxi"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = components.AGIPD1M(extra_data.RunDirectory(str(run)))
        detector.write_virtual_cxi(str(path))
    return virtual_mock(path)


@layout("c4")
def virtual_cxi_directory(folder: Path) -> Mock:
    """The run folder also holds its virtual file: one run, not two."""
    run = write_run(folder / "r0238")
    write_virtual_cxi(run / "r0238_vds.cxi", run)
    return run_mock(run, event_ids=None)


@layout("c5")
def virtual_cxi_raw(folder: Path) -> Mock:
    """Virtual CXI of raw data: (events, modules, 2, ss, fs), the analogue plane shows."""
    run = write_run(folder / "r0238", raw=True)
    return virtual_mock(write_virtual_cxi(folder / "raw_vds.cxi", run, raw=True), raw=True)


@layout("c6")
def virtual_cxi_sources_gone(folder: Path) -> Mock:
    """The run was removed: all pixels would be NaN without any error of HDF5."""
    run = write_run(folder / "r0238")
    path = write_virtual_cxi(folder / "r0238_vds.cxi", run)
    for file in run.iterdir():
        file.unlink()
    return Mock(
        [path],
        error=["UnreadableFileError", "NoEventsError"],
        names=["CORR-R0238-AGIPD00-S00000.h5"],
    )


@layout("c6")
def virtual_cxi_module_gone(folder: Path) -> Mock:
    """One module's file was removed: the events stay, the module is bad."""
    run = write_run(folder / "r0238")
    path = write_virtual_cxi(folder / "r0238_vds.cxi", run)
    gone = AGIPD.file(run, 7, False, 238)
    gone.unlink()
    return virtual_mock(
        path,
        expected=without_module(7, range(N), np.nan),
        event_bad=[15 * 128 + 512 * 128] * N,
        problems=[gone.name],
    )


@layout("c7")
def lpd_raw_run(folder: Path) -> Mock:
    """Raw LPD has a plane axis of length 1."""
    return run_mock(write_run(folder / "r0238", LPD, raw=True, counts=FEW), LPD, True, counts=FEW)


@layout("c7")
def lpd_proc_run(folder: Path) -> Mock:
    """Corrected LPD: (frames, 256, 256)."""
    return run_mock(write_run(folder / "r0238", LPD, counts=FEW), LPD, counts=FEW)


@layout("c7")
def dssc_raw_run(folder: Path) -> Mock:
    """Raw DSSC: modules of 128 rows and 512 columns."""
    run = write_run(folder / "r0238", DSSC, raw=True, counts=FEW)
    return run_mock(run, DSSC, True, counts=FEW)


@layout("c7")
def virtual_cxi_jungfrau_by_extra_data(folder: Path) -> Mock:
    """JUNGFRAU's virtual CXI: ``memoryCell`` stands where AGIPD has ``pulseId``."""
    import pytest

    extra_data = pytest.importorskip("extra_data")
    components = pytest.importorskip("extra_data.components")
    run = write_jungfrau(folder / "r0300", "FXE_XAD_JF1M", 2, trains=3, n_cells=2)
    path = folder / "jungfrau_vds.cxi"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = extra_data.RunDirectory(str(run))
        components.JUNGFRAU(data, n_modules=2).write_virtual_cxi(str(path))
    return Mock(
        [path],
        n_events=6,
        shapes=[(2, 512, 1024)],
        dtype="f4",
        events=range(6),
        event_ids=[f"//{i}" for i in range(6)],
        identifiers=[f"{FIRST_TRAIN + t}:{c}" for t in range(3) for c in range(2)],
        event_bad=[2 * 1024] * 6,
    )
