"""``xfelsort mask`` from a user's side."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from mock_layouts.euxfel_files import identifiers, write_run


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """Dark and bright runs with two bad pixels, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    level = rng.normal(1000, 10, (64, 64))
    dark = rng.normal(level, 5, (40, 64, 64))
    bright = level + 100 * rng.poisson(10, (40, 64, 64))
    dark[:, 5, 6] += 200
    bright[:, 7, 8] += 2000
    for name, values in (("dark", dark), ("bright", bright)):
        with h5py.File(f"{name}.h5", "w") as file:
            file["data/data"] = np.rint(values).astype(np.uint16)
    return tmp_path


def test_a_mask_is_made_told_and_used(cli, frames):
    result = cli("mask", "--dark", "dark.h5", "--bright", "bright.h5", "-o", "mask.h5")
    assert result.exit_code == 0, result.output
    assert "offset" in result.stdout
    with h5py.File("mask.h5") as file:
        bad = file["/entry_1/data_1/mask"][()] != 0
        assert file["/xfelsort"].attrs["dark"] == "dark.h5"
    assert bad[5, 6]
    assert bad[7, 8]
    assert bad.sum() <= 4
    assert f"{bad.sum()} of 4096 pixels are bad" in result.stdout
    told = cli("info", "dark.h5", "--json")
    assert told.exit_code == 0


def test_ordinary_runs_and_sources_are_told(cli, frames):
    result = cli("mask", "--run", "bright.h5", "-o", "mask.h5", "--edge", "2")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "40 ordinary frames were looked at" in words
    assert "light that stays" in words
    assert "by edge 496" in words
    with h5py.File("mask.h5") as file:
        assert file["/entry_1/data_1/mask"][7, 8] != 0
        assert file["/xfelsort"].attrs["ordinary"] == "bright.h5"


def test_memory_cells_that_no_file_tells(cli, frames):
    result = cli("mask", "--dark", "dark.h5", "--cells", "-o", "mask.h5")
    assert result.exit_code == 1
    assert "dark.h5 does not say from which memory cell" in result.stderr


def test_memory_cells_are_judged_by_themselves(cli, tmp_path, monkeypatch):
    write_run(tmp_path / "r0001", raw=False)
    monkeypatch.chdir(tmp_path)
    result = cli("mask", "--dark", "r0001", "--cells", "-o", "mask.h5")
    assert result.exit_code == 0, result.output
    n_cells = len({name.split(":")[1] for name in identifiers()})
    assert f"{n_cells} memory cells; bad pixels in one of them" in result.stdout


def test_dark_runs_of_gain_stages_hold_frames_and_indicators(cli, frames):
    rng = np.random.default_rng(1)
    for name, level in (("high", 7000), ("medium", 8300)):
        indicator = rng.normal(level, 20, (30, 64, 64))
        indicator[:, 9, 9] = rng.normal(7000, 20, 30)  # does not switch
        with h5py.File(f"{name}.h5", "w") as file:
            file["data/data"] = rng.normal(1000, 5, (30, 64, 64)).astype(np.uint16)
            file["data/gain"] = np.rint(indicator).astype(np.uint16)
    stages = ("--gain", "high.h5", "--gain", "medium.h5", "--gain-dataset", "/data/gain")
    result = cli("mask", "--dark", "high.h5", *stages, "-o", "mask.h5")
    assert result.exit_code == 0, result.output
    with h5py.File("mask.h5") as file:
        assert file["/entry_1/data_1/mask"][9, 9] & 4
        found = file["/xfelsort/features/gain_level_1/values"][()]
        assert abs(np.median(found) - 8300) < 5


def test_a_mask_that_exists_is_kept(cli, frames):
    Path("mask.h5").write_bytes(b"mine")
    result = cli("mask", "--dark", "dark.h5", "-o", "mask.h5")
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert Path("mask.h5").read_bytes() == b"mine"
    assert cli("mask", "--dark", "dark.h5", "-o", "mask.h5", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give some"),
        (["--dark", "absent.h5"], "absent.h5"),
        (["--dark", "dark.h5", "--paper", "--window", "32"], "--paper sets everything"),
    ],
)
def test_mistakes_are_one_sentence(cli, frames, arguments, words):
    result = cli("mask", *arguments, "-o", "mask.h5")
    assert result.exit_code == 1
    assert words in result.stderr
    assert not Path("mask.h5").exists()
