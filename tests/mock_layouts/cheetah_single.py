"""Single-event files of Cheetah (after ``saveFrame.cpp``): one image a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mock_layouts.base import Mock, frame, layout

SLAB = (74, 155)
MISSING = 512


def write_single(path: Path, event: int) -> int:
    """Write one event as ``saveFrame.cpp`` does; gives the number of bad pixels."""
    mask = np.zeros(SLAB, "u2")
    mask[3] = MISSING
    with h5py.File(path, "w") as f:
        image_stack_2d = {"compression": "gzip", "compression_opts": 3}
        f.create_dataset("data/rawdata0", data=frame(event, SLAB, "i2"), **image_stack_2d)
        f["data/rawdata"] = h5py.SoftLink("/data/rawdata0")
        f["data/data"] = h5py.SoftLink("/data/rawdata0")
        f.create_dataset("data/assembleddata0", data=frame(event, (160, 170), "i2"))
        f["data/assembleddata"] = h5py.SoftLink("/data/assembleddata0")
        f.create_dataset("data/pixelmask0", data=mask, **image_stack_2d)
        peaks = np.array([[19.0, 25.0, 500.0, 40.0], [30.5, 26.0, 450.0, 30.0]])
        f["processing/cheetah/peakinfo-raw"] = peaks
        f["processing/cheetah/peakinfo-assembled"] = peaks - [10, 10, 0, 0]
        f["processing/hitfinder"] = h5py.SoftLink("/processing/cheetah")
        f["LCLS/photon_energy_eV"] = 9500.0 + event
        f["LCLS/photon_wavelength_A"] = 12398.42 / (9500.0 + event)
        f["LCLS/machineTime"] = 1363816217 + event
        f["LCLS/fiducial"] = 107184 + event
        f["LCLS/detectorPosition"] = -450.0
    return int(np.count_nonzero(mask))


@layout("a5")
def cheetah_single_event(folder: Path) -> Mock:
    """One image a file; its CrystFEL name is the file alone."""
    path = folder / "LCLS_2013_Mar20_r0073_145017_1a2b0.h5"
    bad = write_single(path, 0)
    return Mock(
        [path],
        n_events=1,
        shapes=[SLAB],
        dtype="i2",
        events=[0],
        event_ids=[""],
        energies=9500.0,
        event_bad=[bad],
        n_peaks=[2],
        first_peak=(19.0, 25.0, 500.0),
    )


@layout("a5")
def cheetah_single_event_folder(folder: Path) -> Mock:
    """A run as a folder of single-event files."""
    for event in range(5):
        write_single(folder / f"LCLS_2013_Mar20_r0073_{145017 + event}_1a2b{event}.h5", event)
    return Mock(
        [folder],
        n_events=5,
        shapes=[SLAB],
        dtype="i2",
        events=range(5),
        event_ids=[""] * 5,
        energies=[9500.0 + e for e in range(5)],
    )
