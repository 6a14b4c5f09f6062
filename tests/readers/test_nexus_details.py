"""Details of NeXus files: linked frames, units, spectra, channels, flags in wider types."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.constants import c, e, h

from napari_xfelsort import open_stack

HC_EV_ANGSTROM = h * c / e * 1e10


def write_nxmx(path: Path, frames: np.ndarray | None = None) -> h5py.File:
    """An open NXmx file with one stack; the caller adds and closes."""
    file = h5py.File(path, "w")
    for name, kind in (
        ("entry", "NXentry"),
        ("entry/data", "NXdata"),
        ("entry/instrument", "NXinstrument"),
        ("entry/instrument/beam", "NXbeam"),
        ("entry/instrument/detector", "NXdetector"),
    ):
        file.create_group(name).attrs["NX_class"] = kind
    file["entry/definition"] = "NXmx"
    file["entry/data"].attrs["signal"] = "data"
    if frames is not None:
        file["entry/data/data"] = frames
    return file


def test_frames_linked_from_a_file_of_another_structure(tmp_path: Path) -> None:
    frames = np.arange(3 * 8 * 10, dtype="f4").reshape(3, 8, 10)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["/frames"] = frames
    with write_nxmx(tmp_path / "m.nxs") as file:
        file["entry/data/data"] = h5py.ExternalLink("images.h5", "/frames")
    stack = open_stack(tmp_path / "m.nxs")
    np.testing.assert_array_equal(stack.raw(2), frames[2])


@pytest.mark.parametrize(
    ("value", "unit", "metres"),
    [
        (150, "millimeters", 0.15),
        (0.15, "metres", 0.15),
        (150000, "\u03bcm", 0.15),
        (15, "cm", 0.15),
    ],
)
def test_distance_in_the_unit_that_is_stated(
    tmp_path: Path, value: float, unit: str, metres: float
) -> None:
    with write_nxmx(tmp_path / "m.nxs", np.zeros((2, 8, 10), "u2")) as file:
        file["entry/instrument/detector/distance"] = float(value)
        file["entry/instrument/detector/distance"].attrs["units"] = unit
    assert open_stack(tmp_path / "m.nxs").camera_length(1) == pytest.approx(metres)


def test_energy_of_a_spectrum_is_that_of_its_mean_wavelength(tmp_path: Path) -> None:
    with write_nxmx(tmp_path / "m.nxs", np.zeros((5, 8, 10), "u2")) as file:
        beam = file["entry/instrument/beam"]
        beam["incident_wavelength"] = [1.0, 1.2, 1.4]
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        beam["incident_wavelength_weights"] = [1.0, 1.0, 2.0]
    expected = HC_EV_ANGSTROM / ((1.0 + 1.2 + 2 * 1.4) / 4)
    assert open_stack(tmp_path / "m.nxs").photon_energy(4) == pytest.approx(expected)


def test_mask_of_the_channel_that_is_shown(tmp_path: Path) -> None:
    frames = np.stack([np.full((3, 8, 10), 1), np.full((3, 8, 10), 2)], axis=1).astype("u2")
    with write_nxmx(tmp_path / "m.h5", frames) as file:
        data = file["entry/data"]
        data.attrs["axes"] = ["image_id", "channel", ".", "."]
        data.attrs["default_slice"] = [".", "1", ".", "."]
        for number in (1, 2):
            mask = np.zeros((8, 10), "u4")
            mask[:number] = 1
            file[f"entry/instrument/detector/threshold_{number}_channel/pixel_mask"] = mask
    stack = open_stack(tmp_path / "m.h5")
    assert stack.raw(0).max() == 2
    assert stack.mask is not None
    assert stack.mask.n_bad == 20


def test_flags_of_16_bits_stored_as_32(tmp_path: Path) -> None:
    """DECTRIS marks pixels by the largest values of the detector's own number of bits."""
    frames = np.zeros((2, 8, 10), "u4")
    frames[:, 3, 4], frames[1, 5, 6] = 65535, 65534
    with write_nxmx(tmp_path / "m.h5", frames) as file:
        detector = file["entry/instrument/detector"]
        detector.create_group("detectorSpecific")
        detector["bit_depth_image"] = 16
    stack = open_stack(tmp_path / "m.h5")
    bad = [stack.event_mask(i) for i in range(2)]
    assert [mask.n_bad for mask in bad if mask is not None] == [1, 2]
