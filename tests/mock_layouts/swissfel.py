"""SwissFEL's JUNGFRAU files (after ``jungfrau_utils/file_adapter.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mock_layouts.base import Frame, Mock, Shape, frame, frames, image_stack, layout, slab_geometry

NAME = "JF06T03V01"
PULSES = [11500000000 + 4 * i for i in range(4)]
RAW = (3 * 512, 1024)
CORRECTED = (3 * 514, 1030)


def raw_frame(event: int) -> Frame:
    """14 bits of signal, two of gain: gain 0, 1 and 3 in thirds of the module."""
    values = frame(event, RAW, "u2")
    values[512:1024] |= 1 << 14
    values[1024:] |= 3 << 14
    return values


@layout("d6")
def jungfrau_raw(folder: Path) -> Mock:
    """Raw: uint16 whose two top bits are the gain; one frame is not good."""
    path = folder / f"run_000041.{NAME}.h5"
    good = np.array([[1], [1], [0], [1]], "u1")
    with h5py.File(path, "w") as f:
        f["general/detector_name"] = np.bytes_(NAME)
        group = f.create_group(f"data/{NAME}")
        group.create_dataset(
            "data",
            data=np.stack([raw_frame(e) for e in range(4)]),
            chunks=(1, *RAW),
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        group["pulse_id"] = np.array(PULSES, "u8")[:, None]
        group["frame_index"] = np.arange(4)[:, None]
        group["daq_rec"] = np.full((4, 1), 3840)
        group["is_good_frame"] = good
        group["meta/module_map"] = np.arange(3)[None]

    def expected(i: int, shape: Shape) -> Frame:
        return raw_frame(i)

    return Mock(
        [path],
        n_events=4,
        shapes=[RAW],
        dtype="u2",
        expected=expected,
        event_ids=[f"//{i}" for i in range(4)],
        identifiers=[str(p) for p in PULSES],
        any_problems=True,
    )


def write_corrected(path: Path, dtype: str) -> int:
    """Write jungfrau_utils' export; gives the number of bad pixels."""
    good = np.ones(CORRECTED, bool)
    good[100:102] = False
    good[700, :5] = False
    with h5py.File(path, "w") as f:
        group = f.create_group(f"data/{NAME}")
        image_stack(
            group,
            "data",
            range(4),
            CORRECTED,
            dtype,
            chunks=True,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        group["pulse_id"] = np.array(PULSES, "u8")
        meta = group.create_group("meta")
        meta["conversion_factor"] = 0.35 if dtype == "i4" else float("nan")
        meta["gap_pixels"] = True
        meta["geometry"] = False
        meta["module_map"] = np.arange(3)
        meta["pixel_mask"] = good
        meta["pixel_mask_reasons"] = np.where(good, 0, 4).astype("u1")
    return 2 * CORRECTED[1] + 5


def corrected_mock(path: Path, dtype: str, bad: int, **more: Any) -> Mock:
    """Expectation for `write_corrected`."""
    return Mock(
        [path],
        n_events=4,
        shapes=[CORRECTED],
        dtype=dtype,
        events=range(4),
        event_ids=[f"//{i}" for i in range(4)],
        identifiers=[str(p) for p in PULSES],
        static_bad=bad,
        **more,
    )


@layout("d7")
def jungfrau_corrected(folder: Path) -> Mock:
    """Corrected to keV; ``pixel_mask`` is True where GOOD."""
    path = folder / f"run_000041.{NAME}.h5"
    return corrected_mock(path, "f4", write_corrected(path, "f4"))


@layout("d7")
def jungfrau_rounded(folder: Path) -> Mock:
    """Corrected and rounded to integers by the conversion factor."""
    path = folder / f"run_000041.{NAME}.h5"
    return corrected_mock(path, "i4", write_corrected(path, "i4"))


CRYSTFEL = (128, 96)


def write_crystfel_copy(folder: Path) -> Path:
    """Write the copy for CrystFEL and its mask file, 1 where good."""
    path = folder / f"run_000041.{NAME}.h5"
    with h5py.File(path, "w") as f:
        image_stack(f, "data/data", range(4), CRYSTFEL, "f4", chunks=True)
    good = np.ones(CRYSTFEL, "u1")
    good[:2] = 0
    with h5py.File(folder / f"run_000041.{NAME}.mask.h5", "w") as f:
        f["mask"] = good
    return path


@layout("d7")
def crystfel_copy_directory(folder: Path) -> Mock:
    """The mask file beside the data is no event."""
    write_crystfel_copy(folder)
    return Mock([folder], n_events=4, shapes=[CRYSTFEL], dtype="f4", events=range(4))


@layout("d7")
def crystfel_copy_with_geometry(folder: Path) -> Mock:
    """The geometry names the mask file with its polarity."""
    path = write_crystfel_copy(folder)
    geometry = slab_geometry(
        folder / "jf.geom",
        CRYSTFEL,
        data="/data/data",
        lines=[
            f"mask0_file = run_000041.{NAME}.mask.h5",
            "mask0_data = /mask",
            "mask0_goodbits = 0x01",
            "mask0_badbits = 0x00",
        ],
    )
    return Mock(
        [path],
        n_events=4,
        shapes=[CRYSTFEL],
        dtype="f4",
        events=range(4),
        static_bad=2 * 96,
        energies=9500.0,
        camera_lengths=0.1,
        options={"geometry": geometry},
    )


@layout("d7")
def two_detectors(folder: Path) -> Mock:
    """A second, smaller detector in the same file does not become events."""
    path = folder / "run_000041.h5"
    write_corrected(path, "f4")
    with h5py.File(path, "a") as f:
        f["data/JF17T01V01/data"] = frames([9] * 4, (64, 64))
        f["data/JF17T01V01/pulse_id"] = np.array(PULSES, "u8")
    return Mock([path], n_events=4, dtype="f4", any_problems=True)
