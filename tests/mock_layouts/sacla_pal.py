"""SACLA (Cheetah, DataConvert) and PAL-XFEL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mock_layouts.base import HC_EV_ANGSTROM, Mock, frame, layout

MPCCD = (8 * 1024, 512)
RAYONIX = (120, 130)


def write_tags(path: Path, tags: Sequence[int], shape: tuple[int, int]) -> None:
    """Write one group an event, in the order of acquisition."""
    with h5py.File(path, "w") as f:
        for event, tag in enumerate(tags):
            group = f.create_group(f"tag-{tag}")
            group.create_dataset(
                "data",
                data=frame(event, shape, "i2"),
                chunks=shape,
                shuffle=True,
                compression="gzip",
                compression_opts=1,
            )
            group["photon_energy_ev"] = 9500.0 + event
            group["photon_wavelength_A"] = 12398.42 / (9500.0 + event)


def write_metadata(path: Path) -> int:
    """Write ``/metadata`` of an MPCCD run; gives the number of bad pixels."""
    mask = np.zeros(MPCCD, "u1")
    mask[::512] = 1
    with h5py.File(path, "a") as f:
        group = f.create_group("metadata")
        group.create_dataset("pixelmask", data=mask, compression="gzip")
        group["sensor_id"] = np.array([f"MPCCD-8N0-3-00{k}" for k in range(8)], "S17")
        for name in ("posx_in_um", "posy_in_um", "posz_in_um"):
            group[name] = 1000.0 * np.arange(8)
        group["angle_in_rad"] = np.full(8, 90.0)
        group["pixelsizex_in_um"] = np.full(8, 50.0)
        group["pixelsizey_in_um"] = np.full(8, 50.0)
        group["distance_in_mm"] = 50.0
        group["run_comment"] = "lysozyme"
        group["pipeline_version"] = 190417
    return int(np.count_nonzero(mask))


@layout("e1")
def sacla_mpccd(folder: Path) -> Mock:
    """Events come in the order of the groups' names, not of acquisition."""
    path = folder / "run266702-0.h5"
    tags = [482395144, 482395138]
    write_tags(path, tags, MPCCD)
    bad = write_metadata(path)
    return Mock(
        [path],
        n_events=2,
        shapes=[MPCCD],
        dtype="i2",
        events=[1, 0],
        event_ids=["tag-482395138//", "tag-482395144//"],
        identifiers=["tag-482395138", "tag-482395144"],
        energies=[9501.0, 9500.0],
        camera_lengths=0.05,
        static_bad=bad,
    )


@layout("e1")
def sacla_rayonix(folder: Path) -> Mock:
    """One flat detector, named in the metadata; tags gain a digit on the way."""
    path = folder / "run266703-0.h5"
    write_tags(path, [98, 99, 100, 101], RAYONIX)
    with h5py.File(path, "a") as f:
        f["metadata/detector"] = "Rayonix MX300HS"
        f["metadata/pixelsize_in_um"] = 78.2
        f["metadata/distance_in_mm"] = 110.0
    return Mock(
        [path],
        n_events=4,
        shapes=[RAYONIX],
        dtype="i2",
        events=[2, 3, 0, 1],
        event_ids=["tag-100//", "tag-101//", "tag-98//", "tag-99//"],
        energies=[9502.0, 9503.0, 9500.0, 9501.0],
        camera_lengths=0.11,
    )


@layout("e1")
def sacla_stopped(folder: Path) -> Mock:
    """The last group was made, its frame never written."""
    path = folder / "run266704-0.h5"
    write_tags(path, [300, 302, 304], RAYONIX)
    with h5py.File(path, "a") as f:
        f["tag-306/photon_energy_ev"] = 9503.0
    return Mock(
        [path],
        n_events=3,
        shapes=[RAYONIX],
        dtype="i2",
        events=range(3),
        event_ids=["tag-300//", "tag-302//", "tag-304//"],
        any_problems=True,
    )


@layout("e1")
def sacla_directory(folder: Path) -> Mock:
    """A folder of two parts of a run, each with its own tags."""
    for part in range(2):
        write_tags(folder / f"run266705-{part}.h5", [400 + 10 * part, 402 + 10 * part], RAYONIX)
    return Mock(
        [folder],
        n_events=4,
        shapes=[RAYONIX],
        dtype="i2",
        events=[0, 1, 0, 1],
        event_ids=["tag-400//", "tag-402//", "tag-410//", "tag-412//"],
    )


def write_data_convert(path: Path, run: int, tags: Sequence[int], first: int = 0) -> None:
    """Add a run as SACLA's DataConvert does."""
    with h5py.File(path, "a") as f:
        f.require_group("file_info")
        detector = f.create_group(f"run_{run}/detector_2d_assembled_1")
        detector["detector_info/pixel_size_in_micro_meter"] = [50.0, 50.0]
        for event, tag in enumerate(tags, first):
            detector[f"tag_{tag}/detector_data"] = frame(event, RAYONIX, "f4")
            detector[f"tag_{tag}/detector_status"] = [0]
        f[f"run_{run}/event_info/tag_number_list"] = np.array(tags, "i4")
        f[f"run_{run}/run_info/sacla_config/photon_energy_in_eV"] = 7000.0


@layout("e2")
def sacla_data_convert(folder: Path) -> Mock:
    """One run, two of its tags not adjacent."""
    path = folder / "run178730.h5"
    tags = [121943650, 121943651, 121943653]
    write_data_convert(path, 178730, tags)
    with h5py.File(path, "a") as f:
        f["file_info/run_number_list"] = [178730]
    return Mock(
        [path],
        n_events=3,
        shapes=[RAYONIX],
        dtype="f4",
        events=range(3),
        event_ids=[f"tag_{t}//" for t in tags],
        identifiers=[f"tag_{t}" for t in tags],
        energies=7000.0,
        static_bad=0,
    )


@layout("e3")
def pal_rayonix(folder: Path) -> Mock:
    """PAL-XFEL: a stack a run, wavelength a frame, distance in millimetres."""
    path = folder / "run_0042.h5"
    wavelengths = 1.2 + 0.001 * np.arange(5)
    values = [frame(e, RAYONIX, "u2") for e in range(5)]
    with h5py.File(path, "w") as f:
        scan = f.create_group("R0042/scan_dat")
        scan["raymx_data"] = np.stack(values)
        scan["raymx_header"] = np.zeros((5, 1024), "u1")
        scan["N"] = 5
        scan["photon_wavelength"] = wavelengths
        f["R0042/header/detector_0_distance"] = 130.0
        f["R0042/header/sample"] = "lysozyme"
    return Mock(
        [path],
        n_events=5,
        shapes=[RAYONIX],
        dtype="u2",
        events=range(5),
        event_ids=[f"//{i}" for i in range(5)],
        energies=(HC_EV_ANGSTROM / wavelengths).tolist(),
        camera_lengths=0.13,
    )


@layout("e3")
def pal_dataset_named(folder: Path) -> Mock:
    """The user names the stack that would be found anyhow."""
    mock = pal_rayonix(folder)
    mock.options = {"dataset": "/R0042/scan_dat/raymx_data"}
    return mock
