"""Mask files that are ours: all that was made is read back."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.editing import EditList
from napari_xfelsort.core.masks.edits import Pixels
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.mask_file import DATASET, read_edits, read_mask, write_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource


@pytest.fixture(scope="module")
def made() -> MadeMask:
    """With every kind of frames, some defects, and groups."""
    rng = np.random.default_rng(3)
    dark = rng.normal(100, 5, (40, 2, 48, 32)).astype(np.float32)
    bright = (dark + rng.poisson(30, dark.shape)).astype(np.float32)
    dark[:, 0, 3, 4] += 60
    dark[:, 1, 9, 9] = 7
    dark[5] += 300
    bright[:, 1, 20, 21] *= 3
    bright[2, 0, 30, 30] = 9e5
    stages = [rng.normal(m, 1, dark.shape) for m in (0, 12)]
    bad = np.zeros(dark.shape[1:], bool)
    bad[0, 40:44, 5] = True
    return make_mask(dark, bright, stages, bad=bad, edge=1, saturation=8e5, workers=1)


def assert_same(one: MadeMask, other: MadeMask) -> None:
    for name in ("reasons", "sources", "dark_frames", "separation"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    assert one.settings == other.settings
    assert list(one.features) == list(other.features)
    for name, feature in one.features.items():
        for a, b in zip(feature, other.features[name], strict=True):
            assert np.array_equal(a, b, equal_nan=True), name


def test_a_made_mask_is_read_back_and_judged_again(tmp_path, made):
    write_mask(made, tmp_path / "mask.h5")
    back = read_mask(tmp_path / "mask.h5")
    assert isinstance(back, MadeMask)
    assert_same(back, made)
    assert back.edits is None
    for wanted in (3.5, 9.0):
        assert_same(back.with_lambda(wanted), made.with_lambda(wanted))
    assert not made.dark_frames[5]
    assert not back.dark_frames[5]


def test_sources_say_why_a_pixel_is_given_and_are_named(tmp_path, made):
    edge = np.ones((2, 48, 32), bool)
    edge[:, 1:-1, 1:-1] = False
    assert np.array_equal(made.sources & np.uint8(MaskSource.EDGE) != 0, edge)
    assert made.count_source(MaskSource.USER) == 4
    assert made.count_source(MaskSource.SATURATED) == 1
    assert made.sources[0, 30, 30] == MaskSource.SATURATED
    given = made.reasons & np.uint8(MaskReason.GIVEN) != 0
    assert np.array_equal(given, made.sources != 0)
    write_mask(made, tmp_path / "mask.h5")
    with h5py.File(tmp_path / "mask.h5") as file:
        stored = file["/xfelsort/sources"]
        assert {bit: stored.attrs[f"bit_{bit}"] for bit in (1, 2, 4, 8, 16, 32)} == {
            1: "edge",
            2: "geometry",
            4: "data_file",
            8: "saturated",
            16: "shadow",
            32: "user",
        }


def test_edits_are_read_back_and_can_be_taken_away(tmp_path, made):
    good = np.argwhere(made.reasons[0] == 0)[:3]
    pixels = [(0, int(y), int(x)) for y, x in good]
    numbers = tuple(y * 32 + x for _, y, x in pixels)
    edits = EditList().add(Pixels(numbers)).add(Pixels((3 * 32 + 4,), erase=True))
    edited = made.with_edits(edits)
    assert edited.reasons[pixels[0]] == MaskReason.GIVEN
    assert edited.sources[pixels[0]] == MaskSource.USER
    assert edited.reasons[0, 3, 4] == 0
    assert_same(edited.before_edits(), made)
    write_mask(edited, tmp_path / "mask.h5")
    back = read_mask(tmp_path / "mask.h5")
    assert isinstance(back, MadeMask)
    assert back.edits == edits == read_edits(tmp_path / "mask.h5")
    assert_same(back, edited)
    assert_same(back.before_edits(), made)
    assert_same(back.with_lambda(9), made.with_lambda(9))
    assert_same(back.with_edits(edits.undo(0).undo(1)), made)


def test_groups_are_read_back(tmp_path):
    dark = np.random.default_rng(0).normal(100, 5, (40, 32, 32)).astype(np.float32)
    made = make_mask(dark, groups=np.arange(40) % 4 + 10, per_group=True)
    write_mask(made, tmp_path / "mask.h5")
    back = read_mask(tmp_path / "mask.h5")
    assert isinstance(back, MadeMask)
    for one, other in zip(made.groups, back.groups, strict=True):
        assert np.array_equal(one, other)
    assert back.groups.labels.tolist() == [10, 11, 12, 13]


def test_a_file_without_features_gives_a_plain_mask(tmp_path):
    mask = PixelMask.from_bad(np.eye(5, dtype=bool), MaskReason.DEAD)
    write_mask(mask, tmp_path / "mask.h5")
    back = read_mask(tmp_path / "mask.h5")
    assert type(back) is PixelMask
    assert np.array_equal(back.reasons, mask.reasons)
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file[DATASET] = np.array([[0, 256, 3]], np.uint32)
    assert read_mask(tmp_path / "wide.h5").bad.tolist() == [[False, True, True]]


def remove(file: h5py.File) -> None:
    del file["/xfelsort/dark_frames"]


def other_shape(file: h5py.File) -> None:
    del file["/xfelsort/sources"]
    file["/xfelsort/sources"] = np.zeros((3, 3), np.uint8)


def unknown_feature(file: h5py.File) -> None:
    file.move("/xfelsort/features/offset", "/xfelsort/features/taste")


def wrong_settings(file: h5py.File) -> None:
    del file["/xfelsort/settings"]
    file["/xfelsort/settings"] = "lambda = = 3"


def no_mask(file: h5py.File) -> None:
    del file[DATASET]


@pytest.mark.parametrize("damage", [remove, other_shape, unknown_feature, wrong_settings, no_mask])
def test_damaged_files_are_told(tmp_path, made, damage):
    path = tmp_path / "mask.h5"
    write_mask(made, path)
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(UnreadableFileError, match=r"mask\.h5"):
        read_mask(path)


def test_what_is_no_hdf5_is_told(tmp_path):
    (tmp_path / "mask.h5").write_bytes(b"mine")
    for path in (tmp_path / "mask.h5", tmp_path / "absent.h5"):
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            read_mask(path)
