"""Mask files of other programs: round trips, and files made by other means."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from geometries import panel, text

from napari_xfelsort.core.errors import (
    OutputError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.conventions import CONVENTIONS, encode
from napari_xfelsort.core.masks.exchange import (
    DATASETS,
    crystfel_lines,
    read_mask_as,
    write_mask_as,
)
from napari_xfelsort.core.masks.settings import MaskReason

KINDS = (".h5", ".nxs", ".npy", ".tif", ".edf")


def reasons(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(shape) < 0.3, rng.integers(1, 256, shape), 0).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_the_same_pixels_are_bad_after_a_round_trip(tmp_path, name, kind):
    mask = PixelMask(reasons(7, 5))
    write_mask_as(mask, tmp_path / f"mask{kind}", name)
    back = read_mask_as(tmp_path / f"mask{kind}", name)
    assert np.array_equal(back.bad, mask.bad)
    assert np.array_equal(encode(back, name) != 0, encode(mask, name) != 0)


def test_modules_keep_their_shape_or_lie_below_one_another(tmp_path):
    mask = PixelMask(reasons(3, 4, 5))
    for kind, shape in ((".h5", (3, 4, 5)), (".npy", (3, 4, 5)), (".edf", (12, 5))):
        write_mask_as(mask, tmp_path / f"mask{kind}", "nxmx")
        back = read_mask_as(tmp_path / f"mask{kind}", "nxmx")
        assert np.array_equal(back.bad, mask.bad.reshape(shape))


def test_hdf5_is_where_programs_look_and_elsewhere_when_told(tmp_path):
    mask = PixelMask(np.array([[0, MaskReason.DEAD]], np.uint8))
    path = tmp_path / "mask.h5"
    write_mask_as(mask, path, "nxmx")
    with h5py.File(path) as file:
        stored = file["/entry/instrument/detector/pixel_mask"]
        assert stored.dtype == np.uint32
        assert stored[()].tolist() == [[0, 2]]
    write_mask_as(mask, path, "psana", "/a/b", overwrite=True)
    with h5py.File(path) as file:
        assert file["/a/b"][()].tolist() == [[1, 0]]
    assert read_mask_as(path, "psana", "/a/b").bad.tolist() == [[False, True]]
    with pytest.raises(UnreadableFileError, match="no dataset /mask"):
        read_mask_as(path, "psana")
    with pytest.raises(OutputError, match="exists"):
        write_mask_as(mask, path, "psana")
    assert set(DATASETS) == set(CONVENTIONS)


def test_an_edf_written_by_hand(tmp_path):
    """Big-endian, with keys in another order and an unusual header size."""
    head = "{\nDim_2 = 2 ;\nDim_1 = 3 ;\nDataType = SignedInteger ;\nByteOrder = HighByteFirst ;\n"
    data = np.array([[0, 1, 0], [7, 0, -1]], ">i4").tobytes()
    (tmp_path / "m.edf").write_bytes((head.ljust(1022) + "}\n").encode() + data)
    mask = read_mask_as(tmp_path / "m.edf", "pyfai")
    assert mask.bad.tolist() == [[False, True, False], [True, False, True]]


def test_an_edf_header_is_a_multiple_of_512_bytes(tmp_path):
    write_mask_as(PixelMask(reasons(4, 6)), tmp_path / "m.edf", "pyfai")
    content = (tmp_path / "m.edf").read_bytes()
    assert len(content) - 24 == content.index(b"}\n") + 2 == 512
    assert b"DataType = SignedByte ;" in content


def test_fabio_reads_what_is_written_and_the_other_way_round(tmp_path):
    fabio = pytest.importorskip("fabio")
    mask = PixelMask(reasons(9, 6))
    write_mask_as(mask, tmp_path / "m.edf", "pyfai")
    with fabio.open(str(tmp_path / "m.edf")) as image:
        assert np.array_equal(image.data != 0, mask.bad)
    fabio.edfimage.EdfImage(data=mask.bad.astype(np.int8)).write(str(tmp_path / "f.edf"))
    assert np.array_equal(read_mask_as(tmp_path / "f.edf", "pyfai").bad, mask.bad)


def test_pyfai_masks_the_pixels_that_are_bad(tmp_path):
    detectors = pytest.importorskip("pyFAI.detectors")
    fabio = pytest.importorskip("fabio")
    mask = PixelMask(reasons(9, 6))
    write_mask_as(mask, tmp_path / "m.edf", "pyfai")
    detector = detectors.Detector(1e-4, 1e-4, max_shape=(9, 6))
    with fabio.open(str(tmp_path / "m.edf")) as image:
        detector.mask = image.data
    assert np.array_equal(detector.mask.astype(bool), mask.bad)


@pytest.mark.parametrize("name", ["pyfai", "crystfel", "cheetah"])
def test_a_tiff_is_read_by_pillow(tmp_path, name):
    image = pytest.importorskip("PIL.Image")
    mask = PixelMask(reasons(9, 6))
    write_mask_as(mask, tmp_path / "m.tif", name)
    with image.open(tmp_path / "m.tif") as picture:
        assert np.array_equal(np.asarray(picture), encode(mask, name))


def test_lines_for_crystfel_are_read_as_they_are_meant():
    panels = {"p0": panel(4, 3), "p1": panel(4, 3, (9, 0), 0.0, (0, 3))}
    panels["p1"] |= {"mask0_data": "/mask", "mask0_goodbits": 0, "mask0_badbits": 1}
    before = text(panels)
    geometry = Geometry.from_crystfel_text(before)
    lines = crystfel_lines("mask.h5", geometry=geometry)
    assert lines.count("\n") == 8
    after = Geometry.from_crystfel_text(before + lines)
    for each in after.panels.values():
        spec = each.masks[-1]
        assert (spec.number, spec.file, spec.good, spec.bad) == (1, "mask.h5", 0, 0xFF)
        assert spec.data == "/entry_1/data_1/mask"
    assert crystfel_lines("mask.h5").startswith("mask0_file = mask.h5\n")


@pytest.mark.parametrize("content", [b"", b"{\n", b"{\nDim_1 = 3 ;\n}\n", b"junk"])
@pytest.mark.parametrize("kind", [".edf", ".npy", ".h5", ".tif"])
def test_damaged_files_are_told(tmp_path, content, kind):
    path = tmp_path / f"mask{kind}"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_mask_as(path, "pyfai")


def test_short_and_packed_edf_files_are_told(tmp_path):
    head = "{\nDim_1 = 9 ;\nDim_2 = 9 ;\nDataType = UnsignedByte ;\n"
    for more, words in (("", "81 bytes"), ("Compression = GZIP ;\n", "GZIP")):
        (tmp_path / "m.edf").write_bytes((head + more + "}\n").encode())
        with pytest.raises(UnreadableFileError, match=words):
            read_mask_as(tmp_path / "m.edf", "pyfai")


def test_unknown_kinds_and_values_are_told(tmp_path):
    mask = PixelMask(reasons(2, 2))
    with pytest.raises(SettingsError, match="no kind of mask file"):
        write_mask_as(mask, tmp_path / "mask.png", "pyfai")
    with pytest.raises(SettingsError, match="no mask convention"):
        write_mask_as(mask, tmp_path / "mask.npy", "xds")
    np.save(tmp_path / "mask.npy", np.zeros((2, 2)))
    with pytest.raises(SettingsError, match="whole numbers"):
        read_mask_as(tmp_path / "mask.npy", "pyfai")
