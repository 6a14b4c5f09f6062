"""LCLS files in Cheetah's manner: psocake, btx / lute, OM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mock_layouts.base import (
    JOULE_IN_EV,
    Mock,
    energies,
    frame,
    image_stack,
    layout,
    slab_geometry,
)

SHAPE = (88, 96)
MAX_PEAKS = 2048


def bad_pixels() -> np.ndarray[Any, Any]:
    """Mask of psocake and btx: float64, 1 is bad."""
    mask = np.zeros(SHAPE)
    mask[10:12] = 1
    return mask


N_BAD = 2 * SHAPE[1]


def write_peaks(group: h5py.Group, counts: Sequence[int], dtype: str = "f8") -> None:
    """Write ``nPeaks`` and the positions; unused columns stay zero."""
    n = len(counts)
    column = np.arange(MAX_PEAKS)
    used = column[None] < np.asarray(counts)[:, None]
    group["nPeaks"] = np.asarray(counts, "i8")
    for name, values in {
        "peakXPosRaw": 5.0 + column % 80,
        "peakYPosRaw": 7.0 + column % 70,
        "peakTotalIntensity": 300.0 + column,
        "peakMaxIntensity": 90.0 + column,
        "peakRadius": 2.0 + 0 * column,
    }.items():
        group[name] = (used * np.broadcast_to(values, (n, MAX_PEAKS))).astype(dtype)


def write_lcls(group: h5py.Group, events: Sequence[int]) -> None:
    """Write beamline values of these events."""
    i = np.asarray(events)
    group["photon_energy_eV"] = 9300.0 + 3.0 * i
    group["detector_1/EncoderValue"] = np.full(len(i), -420.0)
    group["eventNumber"] = i.astype("i8")
    group["fiducial"] = (50000 + 3 * i).astype("i8")
    group["machineTime"] = (1600000000 + i).astype("i8")
    group["machineTimeNanoSeconds"] = (12345 + i).astype("i8")


def lcls_mock(path: Path, events: Sequence[int], **more: Any) -> Mock:
    """Expectation common to psocake's and btx's files."""
    return Mock(
        [path],
        **{
            "n_events": len(events),
            "shapes": [SHAPE],
            "dtype": "f4",
            "events": events,
            "event_ids": [f"//{e}" for e in events],
            "energies": [9300.0 + 3.0 * e for e in events],
            "static_bad": N_BAD,
            "n_peaks": [15 + e for e in events],
            "first_peak": (5.0, 7.0, 300.0),
            "metadata": [50000 + 3 * events[0]],
            **more,
        },
    )


def write_psocake(path: Path, n: int, contiguous: bool) -> None:
    """Write as ``xtc2cxi.py`` (contiguous, linked) or ``findPeaksSZ.py`` (chunked)."""
    events = range(n)
    with h5py.File(path, "w") as f:
        f["cxi_version"] = 140
        f["entry_1/experimental_identifier"] = np.arange(n)
        if contiguous:
            data = image_stack(f, "entry_1/instrument_1/detector_1/data", events, SHAPE)
            f["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
            f["entry_1/instrument_1/detector_1/distance"] = np.full(n, 0.1)
            f["entry_1/instrument_1/detector_1/x_pixel_size"] = np.full(n, 1e-4)
            f["entry_1/instrument_1/detector_1/y_pixel_size"] = np.full(n, 1e-4)
            f["entry_1/instrument_1/detector_1/description"] = "epix10k2M"
            f["entry_1/instrument_1/source_1/energy"] = (9300 + 3.0 * np.arange(n)) * JOULE_IN_EV
            f["entry_1/instrument_1/source_1/experimental_identifier"] = h5py.SoftLink(
                "/entry_1/experimental_identifier"
            )
        else:
            data = image_stack(
                f, "entry_1/data_1/data", events, SHAPE, chunks=True, maxshape=(None, *SHAPE)
            )
        data.attrs["axes"] = "experiment_identifier:y:x"
        data.attrs["numEvents"] = n
        f["entry_1/data_1/mask"] = bad_pixels()
        f["entry_1/data_1/powderHits"] = np.ones(SHAPE)
        f["entry_1/data_1/powderMisses"] = np.ones(SHAPE)
        write_lcls(f.create_group("LCLS"), events)
        write_peaks(f.create_group("entry_1/result_1"), [15 + e for e in events])


@layout("b1")
def psocake_xtc2cxi(folder: Path) -> Mock:
    """Contiguous stack behind a link; distance and pixel size in the file."""
    path = folder / "mfxp12318_0013.cxi"
    write_psocake(path, 4, contiguous=True)
    return lcls_mock(path, range(4), camera_lengths=0.1)


@layout("b1")
def psocake_find_peaks(folder: Path) -> Mock:
    """Chunked stack directly in data_1; no distance, the encoder is no distance."""
    path = folder / "mfxp12318_0013.cxi"
    write_psocake(path, 4, contiguous=False)
    return lcls_mock(path, range(4), camera_lengths=float("nan"))


RANKS = {0: [0, 1, 2], 1: [3, 4], 2: [5, 6]}


def write_rank(path: Path, events: Sequence[int]) -> None:
    """Write the file of one MPI rank."""
    with h5py.File(path, "w") as f:
        data = image_stack(
            f, "entry_1/data_1/data", events, SHAPE, chunks=True, maxshape=(None, *SHAPE)
        )
        data.attrs["axes"] = "experiment_identifier:y:x"
        f["entry_1/data_1/mask"] = bad_pixels()
        f["entry_1/data_1/powderHits"] = np.ones(SHAPE)
        f["entry_1/data_1/powderMisses"] = np.ones(SHAPE)
        write_lcls(f.create_group("LCLS"), events)
        write_peaks(f.create_group("entry_1/result_1"), [15 + e for e in events])


def per_event_datasets(file: h5py.File) -> list[str]:
    """Paths of the datasets that the master joins."""
    names: list[str] = []

    def note(name: str, item: h5py.HLObject) -> None:
        shared = ("mask", "powderHits", "powderMisses")
        if isinstance(item, h5py.Dataset) and name.rsplit("/", 1)[-1] not in shared:
            names.append(name)

    file.visititems(note)
    return names


def write_btx_run(folder: Path) -> Path:
    """Write rank files, the master of virtual datasets (fill -1) and the list."""
    ranks = {k: folder / f"mfxp22820_r0042_{k}.cxi" for k in RANKS}
    for k, path in ranks.items():
        write_rank(path, RANKS[k])
    total = sum(map(len, RANKS.values()))
    master = folder / "mfxp22820_r0042.cxi"
    with h5py.File(ranks[0]) as first:
        kinds = {n: (first[n].shape[1:], first[n].dtype) for n in per_event_datasets(first)}
    with h5py.File(master, "w", libver="latest") as f:
        for name, (shape, dtype) in kinds.items():
            joined = h5py.VirtualLayout((total, *shape), dtype)
            for k, path in ranks.items():
                start, n = RANKS[k][0], len(RANKS[k])
                source = h5py.VirtualSource(str(path), name, (n, *shape))
                joined[start : start + n] = source
            f.create_virtual_dataset(name, joined, fillvalue=-1)
        f["entry_1/data_1/mask"] = bad_pixels()
        f["entry_1/data_1/powderHits"] = np.ones(SHAPE)
    (folder / "mfxp22820_r0042.lst").write_text(f"{master}\n")
    return master


@layout("b2")
def btx_master(folder: Path) -> Mock:
    """The master alone."""
    return lcls_mock(write_btx_run(folder), range(7))


@layout("b2")
def btx_list(folder: Path) -> Mock:
    """The list that btx writes beside the master."""
    mock = lcls_mock(write_btx_run(folder), range(7))
    mock.paths = [folder / "mfxp22820_r0042.lst"]
    return mock


@layout("b2")
def btx_directory(folder: Path) -> Mock:
    """Master, ranks and list in one folder hold seven events, not fourteen."""
    mock = lcls_mock(write_btx_run(folder), range(7), event_ids=None)
    mock.paths = [folder]
    return mock


@layout("b2")
def btx_rank(folder: Path) -> Mock:
    """One rank's file alone."""
    write_btx_run(folder)
    path = folder / "mfxp22820_r0042_1.cxi"
    return lcls_mock(path, RANKS[1], event_ids=["//0", "//1"])


@layout("b2")
def btx_moved(folder: Path) -> Mock:
    """The whole folder was moved: HDF5 itself finds the sources beside the master."""
    before = folder / "before"
    before.mkdir()
    master = write_btx_run(before)
    after = before.rename(folder / "after")
    return lcls_mock(after / master.name, range(7))


@layout("b3")
def btx_rank_missing(folder: Path) -> Mock:
    """Rank 1 is gone: its events read as -1 without any error of HDF5."""
    master = write_btx_run(folder)
    (folder / "mfxp22820_r0042_1.cxi").unlink()
    left = [*RANKS[0], *RANKS[2]]
    return lcls_mock(master, left, problems=["mfxp22820_r0042_1.cxi"])


@layout("b3")
def btx_rank_missing_directory(folder: Path) -> Mock:
    """The same, opened as a folder."""
    write_btx_run(folder)
    (folder / "mfxp22820_r0042_1.cxi").unlink()
    left = [*RANKS[0], *RANKS[2]]
    mock = lcls_mock(folder, left, problems=["mfxp22820_r0042_1.cxi"], event_ids=None)
    return mock


@layout("b3")
def btx_all_ranks_missing(folder: Path) -> Mock:
    """Only the master was copied."""
    master = write_btx_run(folder)
    for k in RANKS:
        (folder / f"mfxp22820_r0042_{k}.cxi").unlink()
    return Mock(
        [master],
        error=["UnreadableFileError", "NoEventsError"],
        names=["mfxp22820_r0042_0.cxi"],
    )


OM_PEAKS = [4, 0, 2048, 7]


def write_om(path: Path, **compression: Any) -> None:
    """Write as OM's HDF5Writer with cheetah-gui's template."""
    n = len(OM_PEAKS)
    with h5py.File(path, "w") as f:
        image_stack(
            f,
            "entry_1/data_1/data",
            range(n),
            SHAPE,
            chunks=True,
            maxshape=(None, *SHAPE),
            **compression,
        )
        ids = [f"{1600000000 + i}-123456-{51000 + 3 * i}" for i in range(n)]
        f.create_dataset("LCLS/fiducial", data=ids, dtype=h5py.string_dtype(), maxshape=(None,))
        f["LCLS/photon_energy_eV"] = energies(n)
        f["LCLS/detector_1/EncoderValue"] = np.full(n, 90.0)
        f["LCLS/timestamp"] = 1600000000.0 + np.arange(n)
        write_peaks(f.create_group("entry_1/result_1"), OM_PEAKS, "f4")


def om_mock(paths: list[Path], **more: Any) -> Mock:
    """Expectation for `write_om`."""
    n = len(OM_PEAKS)
    return Mock(
        paths,
        n_events=n,
        shapes=[SHAPE],
        dtype="f4",
        events=range(n),
        event_ids=[f"//{i}" for i in range(n)],
        identifiers=[f"{1600000000 + i}-123456-{51000 + 3 * i}" for i in range(n)],
        energies=energies(n).tolist(),
        n_peaks=OM_PEAKS,
        first_peak=(5.0, 7.0, 300.0),
        **more,
    )


def write_om_mask(path: Path) -> int:
    """Write ``mask_<det>.h5``: uint8, 1 is good. Gives the number of bad pixels."""
    good = np.ones(SHAPE, "u1")
    good[:, 40:42] = 0
    with h5py.File(path, "w") as f:
        f["data/data"] = good
    return 2 * SHAPE[0]


@layout("b4")
def om_bitshuffle(folder: Path) -> Mock:
    """Compressed by bitshuffle and zstd; the mask is a file of its own."""
    path = folder / "mfxlz0020-r0101_1.cxi"
    write_om(path, **hdf5plugin.Bitshuffle(cname="zstd"))
    write_om_mask(folder / "mask_epix.h5")
    return om_mock([path], static_bad=0)


@layout("b4")
def om_in_progress(folder: Path) -> Mock:
    """The name ends in ``.inprogress`` while OM runs."""
    path = folder / "mfxlz0020-r0101_1.cxi.inprogress"
    write_om(path, compression="gzip")
    return om_mock([path])


@layout("b4")
def om_mask_by_geometry(folder: Path) -> Mock:
    """The geometry names the mask file, with its own polarity, and a photon energy."""
    path = folder / "mfxlz0020-r0101_1.cxi"
    write_om(path)
    bad = write_om_mask(folder / "mask_epix.h5")
    geometry = slab_geometry(
        folder / "epix.geom",
        SHAPE,
        data="/entry_1/data_1/data",
        lines=[
            "mask_file = mask_epix.h5",
            "mask = /data/data",
            "mask_good = 0x01",
            "mask_bad = 0x00",
        ],
    )
    mock = om_mock([path], static_bad=bad, options={"geometry": geometry})
    mock.energies = 9500.0  # the geometry's word counts, as in CrystFEL
    return mock


@layout("b4")
def om_directory(folder: Path) -> Mock:
    """Sums and the mask have the frames' shape, yet are no events."""
    path = folder / "mfxlz0020-r0101_1.cxi"
    write_om(path)
    write_om_mask(folder / "mask_epix.h5")
    for k in range(2):
        with h5py.File(folder / f"mfxlz0020-r0101-detector0-class{k}-sum.h5", "w") as f:
            f["data/data"] = frame(50, SHAPE, "f8")
            f["data/peakpowder"] = frame(51, SHAPE, "f8")
            f["data/nframes"] = 4
    return om_mock([folder])
