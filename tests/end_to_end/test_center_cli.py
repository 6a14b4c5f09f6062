"""``xfelsort center`` from a user's side."""

from __future__ import annotations

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from napari_xfelsort._cli_center import parse_events
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.simulate.detectors import plane_detector
from napari_xfelsort.core.simulate.optics import Optics
from napari_xfelsort.core.simulate.plane_file import PlaneFile, plane_geometry_text, plane_mask
from napari_xfelsort.core.simulate.scene import simulate_scene

SIDE, N = 256, 4
OFF = np.array([6.0, -9.0])


@pytest.fixture(scope="module")
def beam(tmp_path_factory):
    """Three events with one centre and a dark one; a geometry with another centre."""
    folder = tmp_path_factory.mktemp("beam")
    scene = simulate_scene(3, SIDE, "pilatus", "reflex")
    optics = scene.truth["wavelength"], scene.truth["distance"]
    plane = plane_detector("pilatus", SIDE)
    rng = np.random.default_rng(5)
    with h5py.File(folder / "beam.cxi", "w") as file:
        writer = PlaneFile(file, N, SIDE, "none", plane_mask(plane, scene.mask), {})
        for i in range(N):
            counts = rng.poisson(scene.expected) * (i != N - 1)
            writer.write(i, counts.astype(np.int32), optics, {})
    wrong = tuple((np.array(scene.center) + OFF).tolist())
    (folder / "beam.geom").write_text(plane_geometry_text(plane, Optics(wrong, *optics)))
    return SimpleNamespace(
        data=folder / "beam.cxi", geometry=folder / "beam.geom", center=np.array(scene.center)
    )


def test_a_centre_is_told_and_written(cli, beam, tmp_path):
    arguments = (beam.data, "--geometry", beam.geometry, "--write-geometry", "new.geom")
    result = cli("center", *arguments)
    assert result.exit_code == 0, result.output
    for words in ("centre", "uncertainty", "geometry", "difference", "Geometry: new.geom"):
        assert words in result.stdout
    before = Geometry.from_crystfel(beam.geometry).fit((SIDE, SIDE))
    after = Geometry.from_crystfel(tmp_path / "new.geom").fit((SIDE, SIDE))
    moved = np.array(after.beam_position) - before.beam_position
    np.testing.assert_allclose(moved, -OFF, atol=1.5)
    again = cli("center", *arguments)
    assert again.exit_code not in (0, 3)
    assert "new.geom" in again.output
    assert cli("center", *arguments, "--overwrite").exit_code == 0


def test_json_for_programs(cli, beam):
    result = cli("center", beam.data, "--events", "0:2", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert np.hypot(*(np.array([told["y"], told["x"]]) - beam.center)) <= told["uncertainty"]
    assert told["events"] == 2
    assert told["shape"] == [SIDE, SIDE]
    assert told["geometry_center"] is None
    assert (told["method"], told["reason"], told["problems"]) == ("auto", "", [])


def test_a_dark_event_has_no_centre(cli, beam):
    result = cli("center", beam.data, "--events", N - 1)
    assert result.exit_code == 3
    assert "The centre is not known (method auto, 1 event)." in result.stdout
    told = json.loads(cli("center", beam.data, "--events", N - 1, "--json").stdout)
    assert (told["y"], told["x"], told["uncertainty"]) == (None, None, None)
    assert told["reason"]


def test_peaks_that_the_files_do_not_have(cli, beam):
    result = cli("center", beam.data, "--method", "friedel")
    assert result.exit_code == 3
    assert "no peaks" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--events 9", "no event 9"),
        ("--events two", "names no events"),
        ("--write-geometry new.geom", "give it with --geometry"),
        ("--geometry beam.geom --write-geometry beam.geom", "another file"),
        ("--powder sum", "sum"),
        ("--method guess", "guess"),
    ],
)
def test_bad_options_are_a_sentence(cli, beam, tmp_path, arguments, words):
    (tmp_path / "beam.geom").write_bytes(beam.geometry.read_bytes())
    result = cli("center", beam.data, *arguments.split())
    assert result.exit_code not in (0, 3)
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert (tmp_path / "beam.geom").read_bytes() == beam.geometry.read_bytes()
    assert not (tmp_path / "new.geom").exists()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7", [7]), ("3,8,1", [3, 8, 1]), ("2:5", [2, 3, 4]), (":2,9", [0, 1, 9]), ("8:", [8, 9])],
)
def test_numbers_of_events(text, numbers):
    assert parse_events(text, 10) == numbers


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1:b", "20:30", "1.5"])
def test_what_is_no_number_of_an_event(text):
    with pytest.raises(SettingsError, match="names no"):
        parse_events(text, 10)
