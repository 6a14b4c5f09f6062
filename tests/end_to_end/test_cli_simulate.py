"""``xfelsort simulate anomalies`` and ``simulate center`` from a user's side."""

from __future__ import annotations

import csv

import h5py
import pytest

from napari_xfelsort.core.anomalies.names import ANOMALIES


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_with_anomalies_can_be_looked_at(cli):
    result = cli("simulate", "anomalies", "out", "--n-events", "4", "--side", "128")
    assert result.exit_code == 0, result.output
    assert "out/run0001.cxi (4 events)" in result.stdout
    with h5py.File("out/run0001.cxi") as file:
        number = int((file["truth/labels"][:, 1] == 1).sum())
    assert f"run0001-background_ring.lst ({number})" in result.stdout
    info = cli("info", "out/run0001.cxi", "--geometry", "out/run0001.geom")
    assert info.exit_code == 0, info.output
    assert "128 x 128" in info.stdout
    assert "assembled" in info.stdout


def test_pictures_with_a_table(cli, folder):
    arguments = "--n-events 3 --side 128 --detector any --setups event --format pictures"
    result = cli("simulate", "anomalies", "out", *arguments.split())
    assert result.exit_code == 0, result.output
    assert "non_uniform_detector" in result.stdout
    assert len(list((folder / "out/images").glob("*.png"))) == 3
    with (folder / "out/labels.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["image", *ANOMALIES]


def test_frames_with_known_centres(cli, folder):
    result = cli("simulate", "center", "out", "--n-events", "3", "--side", "128")
    assert result.exit_code == 0, result.output
    assert "out/frames.cxi (3 frames)" in result.stdout
    assert cli("info", "out/frames.cxi").exit_code == 0
    again = cli("simulate", "center", "out", "--n-events", "3", "--side", "128")
    assert again.exit_code != 0
    assert "exists already" in again.output


def test_a_run_of_many_setups_is_refused_in_a_sentence(cli, folder):
    result = cli("simulate", "anomalies", "out", "--setups", "event")
    assert result.exit_code != 0
    assert "A CXI run has one geometry" in result.output
    assert not (folder / "out").exists()
