"""``xfelsort peaks`` from a user's side."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Ten events, of which the even ones have three peaks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :120]
    frames = []
    for i in range(10):
        expected = np.full((120, 120), 0.05)
        for k in range(3 * (i % 2 == 0)):
            row, column = 20 + 35 * k + rng.uniform(0, 9), 15 + 8 * i + rng.uniform(0, 9)
            spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 3)
            expected += 100 * spot / spot.sum()
        frames.append(rng.poisson(expected))
    with h5py.File("run.h5", "w") as file:
        file["data/data"] = np.array(frames, np.int32)
    return tmp_path


def test_peaks_are_found_written_and_labelled(cli, run):
    result = cli(
        *("peaks", "run.h5", "-o", "events.csv", "--peak-table", "peaks.csv"),
        *("--cxi", "peaks.cxi", "--only-hits", "--hits", "hits.lst", "--blanks", "blanks.lst"),
        *("--labels", "labels", "--labeller", "me"),
    )
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "hits 5 (50.0%), with at least 2 peaks" in words
    assert "(5 blank, 5 hit)" in words
    assert (run / "hits.lst").read_text().split() == [
        *("run.h5", "//0", "run.h5", "//2", "run.h5", "//4", "run.h5", "//6", "run.h5", "//8")
    ]
    assert len((run / "blanks.lst").read_text().splitlines()) == 5
    assert len((run / "events.csv").read_text().splitlines()) == 11
    assert len((run / "peaks.csv").read_text().splitlines()) == 16
    with h5py.File("peaks.cxi") as file:
        assert file["entry_1/result_1/nPeaks"][()].tolist() == [3] * 5
        assert file["entry_1/data_1/data"].shape == (5, 120, 120)
    again = cli("peaks", "run.h5", "-o", "events.csv")
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_peakfinder8_and_json(cli, run):
    result = cli(
        *("peaks", "run.h5", "--finder", "peakfinder8", "--threshold", "4", "--json"),
        *("--min-snr", "5", "--min-peaks", "3"),
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["settings"]["finder"] == "peakfinder8"
    assert told["events"] == 10
    assert told["hits"] == 5
    nothing = cli("peaks", "run.h5", "--finder", "peakfinder8", "--cxi", "no.cxi", "--only-hits")
    assert nothing.exit_code == 1
    assert "no hits" in nothing.stderr


def test_processes_find_the_same(cli, run):
    here = cli("peaks", "run.h5", "--peak-table", "here.csv")
    there = cli("peaks", "run.h5", "--peak-table", "there.csv", "--processes", "1")
    assert (here.exit_code, there.exit_code) == (0, 0), there.output
    assert (run / "here.csv").read_text() == (run / "there.csv").read_text()


def test_wrong_use_is_told(cli, run):
    assert cli("peaks", "run.h5", "--finder", "best").exit_code == 2
    assert cli("peaks", "nothing.h5").exit_code == 1
