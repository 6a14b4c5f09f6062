"""Sets of frames with known beam centres."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.simulate.center_set import (
    CenterSimulationSettings,
    center_scene,
    simulate_center_set,
)


def test_file_holds_frames_masks_and_centres(tmp_path: Path):
    told: list[tuple[int, int]] = []
    written = simulate_center_set(
        tmp_path / "set", n_events=6, side=128, seed=4, progress=lambda i, n: told.append((i, n))
    )
    assert told[-1] == (6, 6)
    settings = CenterSimulationSettings(n_events=6, side=128, seed=4)
    with h5py.File(written.data) as file:
        for i in range(6):
            scene = center_scene(settings, i)
            np.testing.assert_array_equal(file["entry_1/data_1/data"][i], scene.image)
            np.testing.assert_array_equal(file["entry_1/data_1/mask"][i] != 0, scene.mask)
            assert tuple(file["truth/center"][i]) == scene.center == written.centers[i]
            assert file["truth/detector"][i].decode() == scene.detector
            parameters = json.loads(file["truth/parameters"][i])
            assert parameters["counts"] == scene.truth["counts"]
            # Camera length in mm of a detector of 0.3 m.
            length = file["LCLS/detector_1/EncoderValue"][i]
            assert length == pytest.approx(300 / 128 * scene.truth["distance"])
    with written.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row, center in zip(rows, written.centers, strict=True):
        assert (float(row["row"]), float(row["column"])) == pytest.approx(center, abs=6e-4)
    assert len({row["detector"] for row in rows}) > 1


def test_one_detector_and_the_regime_can_be_asked_for():
    settings = CenterSimulationSettings(detector="eiger", side=128, regime="reflex")
    scenes = [center_scene(settings, i) for i in range(5)]
    assert {scene.detector for scene in scenes} == {"eiger"}
    assert not any(scene.truth["off_detector"] for scene in scenes)


def test_nothing_is_replaced_unasked_and_bad_settings_are_refused(tmp_path: Path):
    first = simulate_center_set(tmp_path, n_events=1, side=128)
    before = first.data.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        simulate_center_set(tmp_path, n_events=1, side=128)
    assert first.data.read_bytes() == before
    simulate_center_set(tmp_path, n_events=1, side=128, seed=1, overwrite=True)
    assert first.data.read_bytes() != before
    with pytest.raises(SettingsError, match="regime is 'narrow'"):
        simulate_center_set(tmp_path / "other", regime="narrow")
    assert not (tmp_path / "other").exists()
