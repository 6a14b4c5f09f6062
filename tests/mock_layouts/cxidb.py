"""CXI files after the specification of the Coherent X-ray Imaging Data Bank."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mock_layouts.base import JOULE_IN_EV, Frame, Mock, Shape, frame, frames, image_stack, layout

SHAPE = (70, 72)


@layout("g1")
def cxidb_image(folder: Path) -> Mock:
    """Minimal: image_1 and a link data_1 to it, energy in joule."""
    path = folder / "cxidb.cxi"
    mask = np.zeros(SHAPE, "u4")
    mask[3, :4] = 1
    with h5py.File(path, "w") as f:
        f["cxi_version"] = 140
        f["number_of_entries"] = 1
        image_stack(f, "entry_1/image_1/data", range(3), SHAPE)
        f["entry_1/image_1/data"].attrs["axes"] = "experiment_identifier:y:x"
        f["entry_1/image_1/mask"] = mask
        f["entry_1/image_1/data_space"] = "diffraction"
        f["entry_1/image_1/data_type"] = "intensity"
        f["entry_1/image_1/image_center"] = [36.0, 35.0, 0.0]
        f["entry_1/data_1"] = h5py.SoftLink("/entry_1/image_1")
        f["entry_1/instrument_1/source_1/energy"] = 9362.0 * JOULE_IN_EV
    return Mock(
        [path],
        n_events=3,
        shapes=[SHAPE],
        dtype="f4",
        events=range(3),
        event_ids=["//0", "//1", "//2"],
        energies=9362.0,
        static_bad=4,
    )


@layout("g2")
def multi_entry(folder: Path) -> Mock:
    """One exposure an entry; entry_10 comes after entry_9."""
    path = folder / "entries.cxi"
    with h5py.File(path, "w") as f:
        f["cxi_version"] = 120
        f["number_of_entries"] = 12
        for k in range(1, 13):
            f[f"entry_{k}/data_1/data"] = frame(k, SHAPE, "f4")
    return Mock(
        [path],
        n_events=12,
        shapes=[SHAPE],
        dtype="f4",
        events=range(1, 13),
        event_ids=[f"entry_{k}//" for k in range(1, 13)],
    )


@layout("g2")
def multi_entry_linked(folder: Path) -> Mock:
    """Entries whose data_1 is a link to detector or image; one has no data."""
    path = folder / "entries.cxi"
    with h5py.File(path, "w") as f:
        for k in (1, 2, 3, 5):
            home = f"entry_{k}/instrument_1/detector_1" if k % 2 else f"entry_{k}/image_1"
            f[f"{home}/data"] = frame(k, SHAPE, "i4")
            f[f"entry_{k}/data_1"] = h5py.SoftLink(f"/{home}")
            f[f"entry_{k}/instrument_1/source_1/energy"] = (8000.0 + k) * JOULE_IN_EV
        f["entry_4/title"] = "no exposure"
    return Mock(
        [path],
        n_events=4,
        shapes=[SHAPE],
        dtype="i4",
        events=[1, 2, 3, 5],
        event_ids=[f"entry_{k}//" for k in (1, 2, 3, 5)],
        energies=[8001.0, 8002.0, 8003.0, 8005.0],
        any_problems=True,
    )


@layout("g3")
def data_links_detector(folder: Path) -> Mock:
    """``data_1/data`` is a link to the detector's dataset, as the CXI text shows."""
    path = folder / "linked.cxi"
    mask = np.zeros((4, *SHAPE), "u4")
    mask[:, 0] = 1
    mask[2, 9, 9] = 1
    with h5py.File(path, "w") as f:
        f["cxi_version"] = 160
        detector = f.create_group("entry_1/instrument_1/detector_1")
        image_stack(detector, "data", range(4), SHAPE, "u2", chunks=True, compression="gzip")
        detector["mask"] = mask
        detector["distance"] = 0.3
        detector["x_pixel_size"] = 75e-6
        detector["y_pixel_size"] = 75e-6
        detector["basis_vectors"] = np.array([[0.0, -75e-6, 0.0], [-75e-6, 0.0, 0.0]])
        f["entry_1/instrument_1/source_1/energy"] = 7000.0 * JOULE_IN_EV
        f["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        f["entry_1/experiment_identifier"] = np.array([f"shot {i}" for i in range(4)], "S32")
    return Mock(
        [path],
        n_events=4,
        shapes=[SHAPE],
        dtype="u2",
        events=range(4),
        identifiers=[f"shot {i}" for i in range(4)],
        energies=7000.0,
        camera_lengths=0.3,
        event_bad=[72, 72, 73, 72],
    )


@layout("g4")
def tags_and_scores(folder: Path) -> Mock:
    """Owl's labels lie beside the data: (tags, n) int8 and scores are no images."""
    path = folder / "tagged.cxi"
    n = 80
    with h5py.File(path, "w") as f:
        f["cxi_version"] = 160
        detector = f.create_group("entry_1/instrument_1/detector_1")
        image_stack(detector, "data", range(n), (20, 24), "u2", chunks=True)
        detector["tags"] = (np.arange(3 * n).reshape(3, n) % 3 == 0).astype("i1")
        detector["tags"].attrs["headings"] = np.array(["hit", "blank", "multiple"], "S")
        detector["tags"].attrs["colors"] = np.array([[255, 0, 0]] * 3, "u1")
        detector["score"] = np.linspace(0, 1, n)
        f["entry_1/data_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")
    return Mock(
        [path],
        n_events=n,
        shapes=[(20, 24)],
        dtype="u2",
        events=range(n),
    )


@layout("g5")
def several_detectors(folder: Path) -> Mock:
    """``data_1`` is shown though ``data_2`` has larger frames and more events."""
    path = folder / "two.cxi"
    with h5py.File(path, "w") as f:
        for k, (shape, events) in enumerate(((SHAPE, range(3)), ((99, 98), [9] * 5)), 1):
            image_stack(f, f"entry_1/instrument_1/detector_{k}/data", events, shape, "f4")
            f[f"entry_1/data_{k}/data"] = h5py.SoftLink(f"/entry_1/instrument_1/detector_{k}/data")
        f["entry_1/instrument_1/detector_1/distance"] = 0.4
        f["entry_1/instrument_1/detector_2/distance"] = 0.1
    return Mock(
        [path],
        n_events=3,
        shapes=[SHAPE],
        dtype="f4",
        events=range(3),
        camera_lengths=0.4,
        any_problems=True,
    )


@layout("g5")
def second_detector_chosen(folder: Path) -> Mock:
    """The user chooses ``data_2``: its own distance goes with it."""
    mock = several_detectors(folder)
    mock.n_events, mock.shapes, mock.events = 5, [(99, 98)], [9] * 5
    mock.camera_lengths = None
    mock.options = {"dataset": "/entry_1/data_2/data"}
    return mock


@layout("g5")
def scan_axes(folder: Path) -> Mock:
    """A raster scan: (row, column, y, x). Events are its rows or all its points."""
    path = folder / "raster.cxi"
    values = frames(range(6), SHAPE, "f4")
    with h5py.File(path, "w") as f:
        data = f.create_dataset("entry_1/data_1/data", data=values.reshape(2, 3, *SHAPE))
        data.attrs["axes"] = "scan_row:scan_column:y:x"

    def expected(i: int, shape: Shape) -> Frame:
        return values[i] if len(shape) == 2 else values[3 * i : 3 * i + 3]

    return Mock([path], shapes=[(3, *SHAPE), SHAPE], dtype="f4", expected=expected)


@layout("g5")
def complex_amplitudes(folder: Path) -> Mock:
    """Complex data as compound {r, i}: shown or declined, never a foreign error."""
    path = folder / "complex.cxi"
    with h5py.File(path, "w") as f:
        values = frames(range(3), SHAPE, "c8")
        f["entry_1/image_1/data"] = values
        f["entry_1/data_1"] = h5py.SoftLink("/entry_1/image_1")
    return Mock([path], n_events=3, shapes=[SHAPE], may_decline=True, names=[path.name])
