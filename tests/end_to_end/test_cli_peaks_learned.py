"""``xfelsort peaks --finder learned`` and ``peaks-train`` from a user's side."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest

SMALL = """
photon_energy = 9000 eV
clen = 0.1 m
adu_per_photon = 1
res = 3000
data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs
p0/min_fs = 0
p0/max_fs = 499
p0/min_ss = 0
p0/max_ss = 499
p0/corner_x = -250
p0/corner_y = -250
p0/fs = +1.0x
p0/ss = +1.0y
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Six events, of which the even ones have three peaks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:120, :120]
    frames = []
    for i in range(6):
        expected = np.full((120, 120), 0.02)
        for k in range(3 * (i % 2 == 0)):
            row, column = 20 + 35 * k + rng.uniform(0, 9), 15 + 12 * i + rng.uniform(0, 9)
            spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 3)
            expected += 60 * spot / spot.sum()
        frames.append(rng.poisson(expected))
    with h5py.File("run.h5", "w") as file:
        file["data/data"] = np.array(frames, np.int32)
    return tmp_path


def test_the_learned_finder_needs_no_parameter(cli, run):
    pytest.importorskip("safetensors")
    result = cli("peaks", "run.h5", "--finder", "learned", "--json", "-o", "events.csv")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["hits"], told["peaks"]) == (3, 9)
    assert told["settings"]["finder"] == "learned"
    none = cli("peaks", "run.h5", "--finder", "learned", "--json", "--probability", "1")
    assert json.loads(none.stdout)["peaks"] == 0


def test_a_model_that_is_not_there_is_told(cli, run):
    result = cli("peaks", "run.h5", "--finder", "learned", "--model", "mine.xfelpeaks")
    assert result.exit_code == 1
    assert "There is no model file mine.xfelpeaks" in result.stderr


def test_training_needs_pytorch_before_anything_is_simulated(cli, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = cli("peaks-train", "-o", "mine.xfelpeaks")
    assert result.exit_code == 1
    assert "PyTorch" in result.stderr
    (run / "mine.xfelpeaks").write_bytes(b"")
    again = cli("peaks-train", "-o", "mine.xfelpeaks")
    assert "exists" in again.stderr


def test_a_network_is_trained_and_used(cli, run):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    (run / "small.geom").write_text(SMALL)
    result = cli(
        *("peaks-train", "-o", "mine.xfelpeaks", "-g", "small.geom", "--runs", "2"),
        *("--events", "2", "--epochs", "1", "--channels", "2", "--validation", "0.5"),
        *("--flux", "1e11", "1e12", "--crystal-size", "6", "8"),
    )
    assert result.exit_code == 0, result.output
    assert "trained on" in result.stdout
    used = cli("peaks", "run.h5", "--finder", "learned", "--model", "mine.xfelpeaks", "--json")
    assert used.exit_code == 0, used.output
