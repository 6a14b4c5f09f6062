"""``xfelsort beam`` from a user's side."""

from __future__ import annotations

import csv
import json

import h5py
import pytest

from napari_xfelsort.core.simulate.sfx import simulate_sfx


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Three small events at 7 keV and 200 mm, the last of them dark, in the working directory."""
    monkeypatch.chdir(tmp_path)
    simulate_sfx(
        ".",
        n_events=3,
        binning=8,
        seed=4,
        photon_energy=(7000.0,),
        camera_length=(200.0,),
        flux=(3e11,),
        compression="none",
    )
    with h5py.File("run0001.cxi", "r+") as file:
        file["entry_1/data_1/data"][2] = 0
    return tmp_path


def test_energy_and_length_are_told_and_written(cli, run):
    result = cli("beam", "run0001.cxi", "-g", "run0001.geom", "-o", "beam.csv")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "events 3" in words
    assert "photon energy known of 2 events" in words
    assert "not known 1: too few photons" in words
    rows = list(csv.DictReader((run / "beam.csv").read_text().splitlines()))
    assert len(rows) == 3
    for row in rows[:2]:
        assert float(row["photon_energy_ev"]) == pytest.approx(7000, rel=0.04)
        assert float(row["camera_length_mm"]) == pytest.approx(200, rel=0.04)
        assert row["warning"] == ""
    assert rows[2]["photon_energy_known"] == "0"
    again = cli("beam", "run0001.cxi", "-g", "run0001.geom", "-o", "beam.csv")
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_metadata_that_are_wrong_are_named(cli, run):
    with h5py.File("run0001.cxi", "r+") as file:
        file["LCLS/photon_energy_eV"][...] = 9000.0
    result = cli("beam", "run0001.cxi", "-g", "run0001.geom", "--together", "0", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["warnings"] == 3
    assert told["together"]["photon_energy_ev"] == pytest.approx(7000, rel=0.03)
    assert "The file says 9.00 keV and 200.0 mm" in result.stderr


def test_what_is_known_can_be_given(cli, run):
    result = cli(
        *("beam", "run0001.cxi", "-g", "run0001.geom", "--known-length", "200"),
        *("--photon-energy-range", "6000", "8000", "--json"),
    )
    assert result.exit_code == 0, result.output
    together = json.loads(result.stdout)["together"]
    assert together["camera_length_error_mm"] == 0
    assert together["photon_energy_ev"] == pytest.approx(7000, rel=0.02)


def test_which_of_some_settings_it_is(cli, run):
    result = cli(
        *("beam", "run0001.cxi", "-g", "run0001.geom", "-o", "beam.csv"),
        *("--class-energies", "6000", "7000", "--class-lengths", "150", "200", "250"),
    )
    assert result.exit_code == 0, result.output
    assert "2: 7 keV, 200 mm" in result.stdout
    rows = list(csv.DictReader((run / "beam.csv").read_text().splitlines()))
    assert [row["class_photon_energy_ev"] for row in rows] == ["7000", "7000", ""]
    alone = cli("beam", "run0001.cxi", "-g", "run0001.geom", "--class-energies", "6000")
    assert alone.exit_code == 1
    assert "both" in alone.stderr


def test_classes_are_learnt_and_used(cli, run):
    other = {"n_events": 4, "binning": 8, "flux": (3e11,), "ice_share": 0.0}
    simulate_sfx(
        "many", **other, seed=5, photon_energy=(6000.0, 7000.0), camera_length=(200.0,), run=2
    )
    learn = ("beam", "many/run0002.cxi", "-g", "run0001.geom", "--train-classes", "c.npz")
    few = cli(*learn)
    assert few.exit_code == 1
    assert "at least 3" in few.stderr
    simulate_sfx(
        "more",
        **other | {"n_events": 6},
        seed=5,
        photon_energy=(6000.0, 7000.0),
        camera_length=(200.0,),
        run=2,
    )
    learnt = cli(*learn[:1], "more/run0002.cxi", *learn[2:])
    assert learnt.exit_code == 0, learnt.output
    assert "6 keV, 200 mm; 7 keV, 200 mm" in learnt.stdout
    used = cli("beam", "run0001.cxi", "-g", "run0001.geom", "--classes", "c.npz", "--json")
    assert used.exit_code == 0, used.output
    assert json.loads(used.stdout)["classes"] == {"7 keV, 200 mm": 2, "not sure": 1}


def test_without_a_geometry_it_says_so(cli, run):
    (run / "run0001.geom").unlink()
    result = cli("beam", "run0001.cxi")
    assert result.exit_code == 1
    assert "geometry" in result.stderr
