"""NeXus files: NXmx with virtual data, rank 4, ESRF's LImA, Lambda, NXdata rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mock_layouts.base import HC_EV_ANGSTROM, Mock, frame, frames, image_stack, layout

SHAPE = (60, 80)


def classed(file: h5py.File, **kinds: str) -> None:
    """Set NX_class; ``__`` in a keyword stands for a slash."""
    for path, kind in kinds.items():
        file.require_group(path.replace("__", "/")).attrs["NX_class"] = np.bytes_(kind)


def scalar(group: h5py.Group, name: str, value: Any, units: str) -> None:
    """Write a value with its unit."""
    group[name] = value
    group[name].attrs["units"] = np.bytes_(units)


def write_diamond(folder: Path) -> Path:
    """Write a .nxs whose data are virtual over two files, as at DLS; gives the .nxs."""
    parts = {"Therm_6_2_000001.h5": [0, 1, 2], "Therm_6_2_000002.h5": [3, 4, 5]}
    joined = h5py.VirtualLayout((6, *SHAPE), "u2")
    for name, events in parts.items():
        with h5py.File(folder / name, "w") as f:
            image_stack(
                f, "data", events, SHAPE, "u2", chunks=True, **hdf5plugin.Bitshuffle(cname="lz4")
            )
        joined[events[0] : events[-1] + 1] = h5py.VirtualSource(name, "data", (3, *SHAPE))
    path = folder / "Therm_6_2.nxs"
    with h5py.File(path, "w", libver="latest") as f:
        classed(
            f,
            entry="NXentry",
            entry__data="NXdata",
            entry__instrument="NXinstrument",
            entry__instrument__beam="NXbeam",
            entry__instrument__detector="NXdetector",
            entry__instrument__transformations="NXtransformations",
        )
        f["entry/definition"] = np.bytes_("NXmx")
        data = f["entry/data"]
        data.create_virtual_dataset("data", joined)
        for k, name in enumerate(parts, 1):
            data[f"data_{k:06d}"] = h5py.ExternalLink(name, "/data")
        data["omega"] = 0.1 * np.arange(6)
        data.attrs["signal"] = np.bytes_("data")
        data.attrs["axes"] = np.bytes_("omega")
        detector = f["entry/instrument/detector"]
        scalar(detector, "x_pixel_size", 7.5e-5, "m")
        scalar(detector, "y_pixel_size", 7.5e-5, "m")
        scalar(detector, "beam_center_x", 40.0, "pixels")
        scalar(detector, "beam_center_y", 30.0, "pixels")
        scalar(detector, "detector_distance", np.array([0.214]), "m")
        detector["depends_on"] = np.bytes_("/entry/instrument/transformations/det_z")
        scalar(f["entry/instrument/transformations"], "det_z", np.array([214.0]), "mm")
        attributes = f["entry/instrument/transformations/det_z"].attrs
        attributes["transformation_type"] = np.bytes_("translation")
        attributes["vector"] = np.array([0.0, 0.0, 1.0])
        attributes["depends_on"] = np.bytes_(".")
        scalar(f["entry/instrument/beam"], "incident_wavelength", 0.98027, "angstrom")
    return path


def diamond_mock(path: Path, events: Sequence[int], **more: Any) -> Mock:
    """Expectation for `write_diamond`."""
    return Mock(
        [path],
        n_events=len(events),
        shapes=[SHAPE],
        dtype="u2",
        events=events,
        event_ids=more.pop("event_ids", [f"//{e}" for e in events]),
        energies=HC_EV_ANGSTROM / 0.98027,
        camera_lengths=0.214,
        **more,
    )


@layout("d5")
def nxmx_virtual(folder: Path) -> Mock:
    """Six frames, though also linked as data_000001 and data_000002."""
    return diamond_mock(write_diamond(folder), range(6))


@layout("d5")
def nxmx_virtual_directory(folder: Path) -> Mock:
    """The folder holds the .nxs and both data files: six frames, not twelve."""
    write_diamond(folder)
    return diamond_mock(folder, range(6), event_ids=None)


@layout("d3")
def nxmx_source_missing(folder: Path) -> Mock:
    """The second source is gone: its frames read as zeros without an error."""
    path = write_diamond(folder)
    (folder / "Therm_6_2_000002.h5").unlink()
    return diamond_mock(path, range(3), problems=["Therm_6_2_000002.h5"])


@layout("d3")
def nxmx_first_source_missing(folder: Path) -> Mock:
    """The first source is gone: the others keep their numbers."""
    path = write_diamond(folder)
    (folder / "Therm_6_2_000001.h5").unlink()
    return diamond_mock(path, range(3, 6), problems=["Therm_6_2_000001.h5"])


@layout("d3")
def nxmx_all_sources_missing(folder: Path) -> Mock:
    """Only the .nxs was copied."""
    path = write_diamond(folder)
    for k in (1, 2):
        (folder / f"Therm_6_2_00000{k}.h5").unlink()
    return Mock(
        [path],
        error=["UnreadableFileError", "NoEventsError"],
        names=["Therm_6_2_000001.h5"],
    )


@layout("d3")
def nxmx_partly_mapped(folder: Path) -> Mock:
    """Virtual data with an event that no source covers: a gap, not an event."""
    path = folder / "gap.nxs"
    with h5py.File(folder / "part.h5", "w") as f:
        image_stack(f, "data", [0, 1, 3], SHAPE, "u2")
    joined = h5py.VirtualLayout((4, *SHAPE), "u2")
    source = h5py.VirtualSource("part.h5", "data", (3, *SHAPE))
    joined[:2], joined[3] = source[:2], source[2]
    with h5py.File(path, "w", libver="latest") as f:
        classed(f, entry="NXentry", entry__data="NXdata")
        f["entry/data"].create_virtual_dataset("data", joined, fillvalue=7)
        f["entry/data"].attrs["signal"] = "data"
    return Mock(
        [path],
        n_events=3,
        shapes=[SHAPE],
        dtype="u2",
        events=[0, 1, 3],
        event_ids=["//0", "//1", "//3"],
        any_problems=True,
    )


@layout("d5")
def nxmx_modular(folder: Path) -> Mock:
    """Rank 4 (nP, module, i, j), a mask a frame, a wavelength a frame in nm."""
    path = folder / "modular.nxs"
    shape = (3, 40, 50)
    mask = np.zeros((5, *shape), "u4")
    mask[:, 1, 2] = 1
    mask[:, 1, 3] = 1 << 31
    mask[4, 2, 7, :9] = 1 << 3
    wavelengths = 0.1 + 0.001 * np.arange(5)
    with h5py.File(path, "w") as f:
        f.attrs["default"] = "entry"
        classed(
            f,
            entry="NXentry",
            entry__data="NXdata",
            entry__instrument="NXinstrument",
            entry__instrument__beam="NXbeam",
            entry__instrument__detector="NXdetector",
        )
        f["entry"].attrs["default"] = "data"
        f["entry/data"].attrs["signal"] = "data"
        f["entry/definition"] = "NXmx"
        image_stack(f, "entry/data/data", range(5), shape, "i4", chunks=True)
        detector = f["entry/instrument/detector"]
        detector["data"] = h5py.SoftLink("/entry/data/data")
        detector["pixel_mask"] = mask
        scalar(detector, "distance", 120.0, "mm")
        scalar(f["entry/instrument/beam"], "incident_wavelength", wavelengths, "nm")
    return Mock(
        [path],
        n_events=5,
        shapes=[shape],
        dtype="i4",
        events=range(5),
        event_ids=[f"//{i}" for i in range(5)],
        energies=(HC_EV_ANGSTROM / (10 * wavelengths)).tolist(),
        camera_lengths=0.12,
        event_bad=[50, 50, 50, 50, 59],
    )


def write_lima(path: Path, detector: str, n: int = 4) -> None:
    """Write as LImA's HDF5 saving: the default of the entry is a path."""
    with h5py.File(path, "w") as f:
        f.attrs["NX_class"] = "NXroot"
        f.attrs["default"] = "/entry_0000"
        classed(f, entry_0000="NXentry", entry_0000__instrument="NXinstrument")
        entry = f["entry_0000"]
        entry.attrs["default"] = f"instrument/{detector}/plot"
        group = entry.create_group(f"instrument/{detector}")
        group.attrs["NX_class"] = "NXdetector"
        image_stack(group, "data", range(n), SHAPE, "i4", chunks=True)
        plot = group.create_group("plot")
        plot.attrs["NX_class"] = "NXdata"
        plot.attrs["signal"] = "data"
        plot["data"] = h5py.SoftLink(f"/entry_0000/instrument/{detector}/data")
        measurement = entry.create_group("measurement")
        measurement.attrs["NX_class"] = "NXcollection"
        measurement["data"] = h5py.SoftLink(f"/entry_0000/instrument/{detector}/data")
        scalar(group, "detector_information/x_pixel_size", 7.5e-5, "m")
        scalar(group, "detector_information/y_pixel_size", 7.5e-5, "m")
        group["detector_information/model"] = "JUNGFRAU-4M"
        group["acquisition/exposure_time"] = 0.001
        scalar(entry["instrument"], "beam/incident_wavelength", 1.0719, "angstrom")


def lima_mock(path: Path, **more: Any) -> Mock:
    """Expectation for `write_lima`."""
    return Mock(
        [path],
        n_events=4,
        shapes=[SHAPE],
        dtype="i4",
        events=range(4),
        event_ids=[f"//{i}" for i in range(4)],
        **more,
    )


@layout("d8")
def lima_jungfrau(folder: Path) -> Mock:
    """ESRF ID29's JUNGFRAU."""
    path = folder / "sample_0001_jungfrau4m_rr4_smx_0000.h5"
    write_lima(path, "jungfrau4m_rr4_smx")
    return lima_mock(path, energies=HC_EV_ANGSTROM / 1.0719)


@layout("d8")
def lima_sls_detector(folder: Path) -> Mock:
    """The same under the name ``SlsDetector``, reached only through measurement."""
    path = folder / "galchenm.h5"
    write_lima(path, "SlsDetector")
    with h5py.File(path, "a") as f:
        for item in (f, f["entry_0000"]):
            del item.attrs["default"]
    return lima_mock(path)


@layout("d9")
def lambda_detector(folder: Path) -> Mock:
    """No NXdata; flatfield and pixel_mask are (1, y, x); micrometres, millimetres."""
    path = folder / "lambda_00001_m01.nxs"
    mask = np.zeros((1, *SHAPE), "u4")
    mask[0, 5] = 1
    with h5py.File(path, "w") as f:
        classed(
            f,
            entry="NXentry",
            entry__instrument="NXinstrument",
            entry__instrument__detector="NXdetector",
        )
        detector = f["entry/instrument/detector"]
        image_stack(detector, "data", range(5), SHAPE, "i2", chunks=True, compression="gzip")
        detector["flatfield"] = np.ones((1, *SHAPE), "f4")
        detector["pixel_mask"] = mask
        scalar(detector, "x_pixel_size", 55.0, "micrometer")
        scalar(detector, "y_pixel_size", 55.0, "micrometer")
        scalar(detector, "distance", 200.0, "mm")
        detector["count_time"] = np.full(5, 0.1)
        detector["sequence_number"] = np.arange(5)
    return Mock(
        [path],
        n_events=5,
        shapes=[SHAPE],
        dtype="i2",
        events=range(5),
        event_ids=[f"//{i}" for i in range(5)],
        camera_lengths=0.2,
        static_bad=SHAPE[1],
    )


@layout("f1")
def nexus_default(folder: Path) -> Mock:
    """Root, entry and NXdata attributes lead past a larger decoy."""
    path = folder / "generic.h5"
    with h5py.File(path, "w") as f:
        classed(f, entry="NXentry", entry__aaa="NXdata", entry__results="NXdata")
        f.attrs["default"] = "entry"
        f["entry"].attrs["default"] = "results"
        f["entry/aaa"].attrs["signal"] = "data"
        f["entry/results"].attrs["signal"] = "frames"
        image_stack(f, "entry/aaa/data", [9] * 5, (80, 90))
        image_stack(f, "entry/results/frames", range(5), SHAPE, "f8")
        f["entry/results/weights"] = np.ones((5, *SHAPE))
    return Mock([path], n_events=5, shapes=[SHAPE], dtype="f8", events=range(5))


@layout("f1")
def nexus_default_missing(folder: Path) -> Mock:
    """``default`` names a group that is not there: fall back to what is."""
    path = folder / "generic.h5"
    with h5py.File(path, "w") as f:
        classed(f, entry="NXentry", entry__data="NXdata")
        f.attrs["default"] = "entry"
        f["entry"].attrs["default"] = "gone"
        f["entry/data"].attrs["signal"] = "data"
        image_stack(f, "entry/data/data", range(3), SHAPE, "f4")
    return Mock([path], n_events=3, shapes=[SHAPE], dtype="f4", events=range(3), any_problems=True)


@layout("f2")
def nexus_v2_signal(folder: Path) -> Mock:
    """Version 2: the field itself says ``signal = 1`` and names axes with colons."""
    path = folder / "v2.h5"
    with h5py.File(path, "w") as f:
        classed(f, scan_1="NXentry", scan_1__plot="NXdata")
        group = f["scan_1/plot"]
        image_stack(group, "aa_background", [9] * 4, (90, 100))
        image_stack(group, "counts", range(4), SHAPE, "i4").attrs["signal"] = 1
        group["counts"].attrs["axes"] = "time:y:x"
        group["time"] = np.arange(4.0)
        group["y"], group["x"] = np.arange(60.0), np.arange(80.0)
    return Mock([path], n_events=4, shapes=[SHAPE], dtype="i4", events=range(4))


@layout("f2")
def nexus_v2_signal_text(folder: Path) -> Mock:
    """The same with the attribute as text, as some writers do."""
    path = folder / "v2.h5"
    with h5py.File(path, "w") as f:
        classed(f, entry="NXentry", entry__plot="NXdata")
        group = f["entry/plot"]
        image_stack(group, "aa_background", [9] * 4, (90, 100))
        image_stack(group, "counts", range(4), SHAPE, "i4").attrs["signal"] = np.bytes_("1")
    return Mock([path], n_events=4, shapes=[SHAPE], dtype="i4", events=range(4))


@layout("f3")
def plain_stack(folder: Path) -> Mock:
    """``/entry/data/data`` without any attribute."""
    path = folder / "stack.h5"
    with h5py.File(path, "w") as f:
        image_stack(f, "entry/data/data", range(6), SHAPE, "u2")
    return Mock(
        [path],
        n_events=6,
        shapes=[SHAPE],
        dtype="u2",
        events=range(6),
        event_ids=[f"//{i}" for i in range(6)],
        energies=float("nan"),
        camera_lengths=float("nan"),
        static_bad=0,
    )


@layout("f3")
def plain_stack_among_decoys(folder: Path) -> Mock:
    """Masks, gains, thumbnails and weights are larger or earlier, yet no frames."""
    path = folder / "stack.h5"
    with h5py.File(path, "w") as f:
        group = f.create_group("measured")
        for name in ("gain", "mask", "pixel_mask", "flatfield", "weights", "powder_sum"):
            group[name] = np.ones((6, 90, 100))
        group["thumbnail"] = frames([9] * 6, (12, 16))
        image_stack(group, "images", range(6), SHAPE, "f4")
    return Mock([path], n_events=6, shapes=[SHAPE], dtype="f4", events=range(6))


@layout("f3")
def single_image(folder: Path) -> Mock:
    """A 2-D dataset is one event, named by the file alone."""
    path = folder / "image.h5"
    with h5py.File(path, "w") as f:
        f["data/data"] = frame(3, SHAPE, "f4")
    return Mock([path], n_events=1, shapes=[SHAPE], dtype="f4", events=[3], event_ids=[""])
