"""``xfelsort mask-convert``: files for other programs, and back."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.mask_file import write_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reasons = np.zeros((4, 5), np.uint8)
    reasons[1, 2], reasons[3, 0] = MaskReason.DEAD, MaskReason.NOISE
    write_mask(PixelMask(reasons), tmp_path / "mask.h5")
    return lambda *arguments: CliRunner().invoke(app, ["mask-convert", *arguments])


def test_a_mask_for_another_program_and_back(cli):
    result = cli("mask.h5", "--as", "nxmx", "-o", "nxmx.nxs")
    assert result.exit_code == 0, result.output
    assert "2 of 20 pixels are bad" in result.output
    with h5py.File("nxmx.nxs") as file:
        stored = file["/entry/instrument/detector/pixel_mask"][()]
    assert (stored[1, 2], stored[3, 0], np.count_nonzero(stored)) == (2, 16, 2)
    result = cli("nxmx.nxs", "--from", "nxmx", "--as", "crystfel", "-o", "back.h5")
    assert result.exit_code == 0, result.output
    assert "mask0_file = back.h5" in result.output
    with h5py.File("back.h5") as file, h5py.File("mask.h5") as first:
        place = "/entry_1/data_1/mask"
        assert np.array_equal(file[place][()], first[place][()])


def test_sources_of_a_mask_that_was_made_are_told(cli):
    sources = np.zeros((4, 5), np.uint8)
    sources[1, 1], sources[2, 2] = MaskSource.SHADOW, MaskSource.SATURATED
    made = MadeMask(np.where(sources, MaskReason.GIVEN, 0).astype(np.uint8), sources=sources)
    write_mask(made, "made.h5")
    result = cli("made.h5", "--as", "cheetah", "-o", "cheetah.cxi")
    assert result.exit_code == 0, result.output
    with h5py.File("cheetah.cxi") as file:
        stored = file["/entry_1/data_1/mask"][()]
    assert (stored[1, 1], stored[2, 2], np.count_nonzero(stored)) == (16, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mask.h5", "--as", "xds", "-o", "m.npy"), "no mask convention"),
        (("mask.h5", "--as", "nxmx", "-o", "m.png"), "no kind of mask file"),
        (("none.h5", "--as", "nxmx", "-o", "m.npy"), "cannot be read"),
        (("mask.h5", "--as", "nxmx", "-o", "mask.h5"), "exists"),
    ],
)
def test_what_cannot_be_is_told(cli, arguments, words):
    result = cli(*arguments)
    assert result.exit_code != 0
    assert words in " ".join(result.output.split())
