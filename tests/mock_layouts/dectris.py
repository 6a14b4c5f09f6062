"""DECTRIS Eiger files: legacy master with data files, and the 2024 NXmx form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mock_layouts.base import HC_EV_ANGSTROM, Frame, Mock, Shape, frame, layout

SHAPE = (64, 128)
WAVELENGTH = 0.97625
ENERGY = HC_EV_ANGSTROM / WAVELENGTH
DISTANCE = 0.15
PARTS = [[0, 1, 2], [3, 4, 5], [6]]
GAP_ROWS = slice(30, 34)
DEAD = (5, 9)
VIRTUAL = (6, 9)


def pixel_mask() -> np.ndarray[Any, Any]:
    """Gap 1, dead 2, and one virtual pixel (bit 31), which is usable."""
    mask = np.zeros(SHAPE, "u4")
    mask[GAP_ROWS] = 1
    mask[DEAD] = 2
    mask[VIRTUAL] = 1 << 31
    return mask


N_BAD = 4 * SHAPE[1] + 1


def eiger_frame(event: int, dtype: str = "u4") -> Frame:
    """Frame as Eiger stores it: largest value in gaps, largest but one if dead."""
    values = frame(event, SHAPE, dtype)
    top = np.iinfo(dtype).max
    values[GAP_ROWS] = top
    values[DEAD] = top - 1
    return values


def frame_of(events: Sequence[int], dtype: str = "u4") -> Any:
    """Expected frames for `Mock.expected`."""

    def expected(i: int, shape: Shape) -> Frame:
        return eiger_frame(events[i], dtype).reshape(shape)

    return expected


def write_images(path: Path, name: str, events: Sequence[int], dtype: str = "u4") -> None:
    """Write a data file: bitshuffle and LZ4, one image a chunk."""
    with h5py.File(path, "a") as f:
        values = np.stack([eiger_frame(e, dtype) for e in events])
        data = f.create_dataset(
            name, data=values, chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        data.attrs["image_nr_low"] = events[0] + 1
        data.attrs["image_nr_high"] = events[-1] + 1
        for group, kind in (("entry", "NXentry"), ("entry/data", "NXdata")):
            if group in f:
                f[group].attrs["NX_class"] = np.bytes_(kind)


def scalar(group: h5py.Group, name: str, value: Any, units: str | None = None) -> None:
    """Write a scalar with its unit."""
    group[name] = value
    if units:
        group[name].attrs["units"] = np.bytes_(units)


def write_master(path: Path, n: int, *, bits: int = 32, beam: bool = True) -> None:
    """Write the master's metadata; `/entry/data` is left empty."""
    with h5py.File(path, "w") as f:
        for group, kind in {
            "entry": "NXentry",
            "entry/data": "NXdata",
            "entry/instrument": "NXinstrument",
            "entry/instrument/beam": "NXbeam",
            "entry/instrument/detector": "NXdetector",
            "entry/instrument/detector/detectorSpecific": "NXcollection",
        }.items():
            f.create_group(group).attrs["NX_class"] = np.bytes_(kind)
        f["entry/definition"] = np.bytes_("NXmx")
        detector = f["entry/instrument/detector"]
        scalar(detector, "x_pixel_size", np.float32(7.5e-5), "m")
        scalar(detector, "y_pixel_size", np.float32(7.5e-5), "m")
        scalar(detector, "beam_center_x", np.float32(60.5), "pixel")
        scalar(detector, "beam_center_y", np.float32(33.25), "pixel")
        scalar(detector, "detector_distance", np.float32(DISTANCE), "m")
        scalar(detector, "count_time", np.float32(0.01), "s")
        detector["bit_depth_image"] = np.int32(bits)
        detector["bit_depth_readout"] = np.int32(16)
        detector["description"] = np.bytes_("Dectris EIGER2 Si 500K")
        detector["saturation_value"] = 50000
        specific = detector["detectorSpecific"]
        specific.create_dataset(
            "pixel_mask", data=pixel_mask(), chunks=SHAPE, **hdf5plugin.Bitshuffle(cname="lz4")
        )
        specific["nimages"] = np.uint64(n)
        specific["ntrigger"] = np.uint64(1)
        specific["compression"] = np.bytes_("bslz4")
        specific["flatfield"] = np.ones(SHAPE, "f4")
        specific["photon_energy"] = np.float32(ENERGY)
        specific["detectorModule_000/countrate_correction_table"] = np.ones((2, 1000), "f4")
        specific["detectorModule_000/flatfield"] = np.ones((32, 64), "f4")
        detector["pixel_mask"] = h5py.SoftLink(
            "/entry/instrument/detector/detectorSpecific/pixel_mask"
        )
        if beam:
            wavelength = np.float32(WAVELENGTH)
            scalar(f["entry/instrument/beam"], "incident_wavelength", wavelength, "angstrom")


def write_run(folder: Path, parts: Sequence[Sequence[int]] = PARTS, dtype: str = "u4") -> Path:
    """Write a master and its data files; gives the master."""
    folder.mkdir(exist_ok=True)
    master = folder / "lyso_1_master.h5"
    write_master(master, sum(map(len, parts)), bits=8 * np.dtype(dtype).itemsize)
    with h5py.File(master, "a") as f:
        for k, _ in enumerate(parts, 1):
            f[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(
                f"lyso_1_data_{k:06d}.h5", "entry/data/data"
            )
    for k, events in enumerate(parts, 1):
        write_images(folder / f"lyso_1_data_{k:06d}.h5", "entry/data/data", events, dtype)
    return master


def master_mock(paths: list[Path], parts: Sequence[Sequence[int]] = PARTS, **more: Any) -> Mock:
    """Expectation for events of these data files (an empty part is missing)."""
    events = [e for part in parts for e in part]
    ids = [f"data_{k:06d}//{i}" for k, part in enumerate(parts, 1) for i in range(len(part))]
    dtype = more.pop("dtype", "u4")
    return Mock(
        paths,
        **{
            "n_events": len(events),
            "shapes": [SHAPE],
            "dtype": dtype,
            "expected": frame_of(events, dtype),
            "event_ids": ids,
            "energies": ENERGY,
            "camera_lengths": DISTANCE,
            "static_bad": N_BAD,
            "event_bad": [N_BAD] * len(events),
            **more,
        },
    )


@layout("d1")
def eiger_master(folder: Path) -> Mock:
    """Seven images in three data files, linked in the master."""
    return master_mock([write_run(folder)])


@layout("d1")
def eiger_master_16_bit(folder: Path) -> Mock:
    """With 16 bits the flags are 65535 and 65534."""
    return master_mock([write_run(folder, dtype="u2")], dtype="u2")


@layout("d1")
def eiger_directory(folder: Path) -> Mock:
    """Master and data files in one folder: seven images, not fourteen."""
    write_run(folder)
    return master_mock([folder])


@layout("d1")
def eiger_glob(folder: Path) -> Mock:
    """A pattern that meets the master and all its data files."""
    write_run(folder)
    return master_mock([folder / "lyso_1_*.h5"])


@layout("d1")
def eiger_data_file(folder: Path) -> Mock:
    """A data file alone: frames with flags, no metadata."""
    write_run(folder)
    path = folder / "lyso_1_data_000002.h5"
    return Mock(
        [path],
        n_events=3,
        shapes=[SHAPE],
        dtype="u4",
        expected=frame_of(PARTS[1]),
        event_ids=["//0", "//1", "//2"],
        energies=float("nan"),
        camera_lengths=float("nan"),
    )


@layout("d1")
def eiger_images_in_master(folder: Path) -> Mock:
    """``nimages_per_file = 0``: the images are in the master."""
    master = folder / "lyso_1_master.h5"
    write_master(master, 3)
    write_images(master, "entry/data/data_000001", PARTS[0])
    return master_mock([master], PARTS[:1])


@layout("d1")
def eiger_many_parts(folder: Path) -> Mock:
    """Twelve data files stay in the order of their numbers."""
    parts = [[k] for k in range(12)]
    return master_mock([write_run(folder, parts)], parts)


@layout("d2")
def eiger_missing_part(folder: Path) -> Mock:
    """The second data file is absent: the link dangles without any error of HDF5."""
    master = write_run(folder)
    (folder / "lyso_1_data_000002.h5").unlink()
    ids = [f"data_000001//{i}" for i in range(3)] + ["data_000003//0"]
    return master_mock(
        [master],
        [PARTS[0], PARTS[2]],
        event_ids=ids,
        problems=["lyso_1_data_000002.h5"],
    )


@layout("d2")
def eiger_truncated_part(folder: Path) -> Mock:
    """The last data file was copied only in part."""
    master = write_run(folder)
    path = folder / "lyso_1_data_000003.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return master_mock([master], PARTS[:2], problems=["lyso_1_data_000003.h5"])


@layout("d2")
def eiger_no_part(folder: Path) -> Mock:
    """No data file at all."""
    master = write_run(folder)
    for k in range(1, 4):
        (folder / f"lyso_1_data_{k:06d}.h5").unlink()
    return Mock(
        [master],
        error=["UnreadableFileError", "NoEventsError"],
        names=["lyso_1_data_000001.h5"],
    )


@layout("d10")
def eiger_empty_master(folder: Path) -> Mock:
    """`/entry/data` is empty; flatfields and count-rate tables are no images."""
    master = folder / "lyso_1_master.h5"
    write_master(master, 7)
    return Mock([master], error=["NoEventsError", "UnreadableFileError"], names=[master.name])


@layout("d10")
def eiger_empty_master_unclassed(folder: Path) -> Mock:
    """The same from a program that sets no NX_class, with the data files not linked."""
    master = folder / "lyso_1_master.h5"
    write_master(master, 7)
    with h5py.File(master, "a") as f:
        for group in (f["entry"], f["entry/data"], f["entry/instrument/detector"]):
            del group.attrs["NX_class"]
    return Mock([master], error=["NoEventsError", "UnreadableFileError"], names=[master.name])


def write_nxmx_2024(path: Path, channels: int) -> None:
    """Write the single-dataset form of 2024: (image, channel, y, x)."""
    values = np.stack(
        [np.stack([eiger_frame(e + 10 * c) for c in range(channels)]) for e in range(4)]
    )
    write_master(path, 4, beam=False)
    with h5py.File(path, "a") as f:
        f.attrs["default"] = "entry"
        f["entry"].attrs["default"] = "data"
        data = f["entry/data"]
        data.create_dataset(
            "data",
            data=values,
            chunks=(1, 1, *SHAPE),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        data["image_id"] = np.arange(1, 5)
        data["channel"] = np.array([f"threshold_{c + 1}" for c in range(channels)], "S")
        data.attrs["signal"] = "data"
        data.attrs["axes"] = np.array(["image_id", "channel", ".", "."], h5py.string_dtype())
        data.attrs["default_slice"] = np.array(["0", "0", ".", "."], h5py.string_dtype())
        detector = f["entry/instrument/detector"]
        del detector["pixel_mask"], detector["detectorSpecific/pixel_mask"]
        del detector["detectorSpecific/photon_energy"]
        for c in range(channels):
            detector[f"threshold_{c + 1}_channel/pixel_mask"] = pixel_mask()
        scalar(f["entry/instrument/beam"], "incident_energy", 12700.0, "eV")


def channel_frame(i: int, shape: Shape) -> Frame:
    """All channels, or the first one where the reader follows ``default_slice``."""
    if len(shape) == 2:
        return eiger_frame(i)
    return np.stack([eiger_frame(i + 10 * c) for c in range(shape[0])])


@layout("d4")
def eiger_2024_one_channel(folder: Path) -> Mock:
    """One threshold."""
    path = folder / "lyso_1.h5"
    write_nxmx_2024(path, 1)
    return Mock(
        [path],
        n_events=4,
        shapes=[(1, *SHAPE), SHAPE],
        dtype="u4",
        expected=channel_frame,
        energies=12700.0,
        camera_lengths=DISTANCE,
        static_bad=N_BAD,
    )


@layout("d4")
def eiger_2024_two_channels(folder: Path) -> Mock:
    """Two thresholds: an axis of two must not be taken for events."""
    path = folder / "lyso_1.h5"
    write_nxmx_2024(path, 2)
    return Mock(
        [path],
        n_events=4,
        shapes=[(2, *SHAPE), SHAPE],
        dtype="u4",
        expected=channel_frame,
        energies=12700.0,
        camera_lengths=DISTANCE,
    )
