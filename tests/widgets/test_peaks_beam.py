"""Photon energy and camera length in the Peaks dock, of simulated events."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton

from napari_xfelsort.core.simulate.sfx import simulate_sfx
from napari_xfelsort.widgets.peaks_dock import PeaksDock

WAIT = 60_000


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Three events at 7 keV and 200 mm; the second is dark, the third has wrong metadata."""
    folder = tmp_path_factory.mktemp("beam")
    simulate_sfx(
        folder,
        n_events=3,
        binning=8,
        seed=4,
        photon_energy=(7000.0,),
        camera_length=(200.0,),
        flux=(1e12,),
        compression="none",
    )
    with h5py.File(folder / "run0001.cxi", "r+") as file:
        file["entry_1/data_1/data"][1] = 0
        file["LCLS/photon_energy_eV"][2] = 9000.0
    return folder


@pytest.fixture
def run(open_run, simulated):
    return open_run(simulated / "run0001.cxi", simulated / "run0001.geom")


@pytest.fixture
def dock(viewer, run, qtbot):
    def finish(dock):
        idle(dock, qtbot)
        dock.release()

    made = PeaksDock(viewer)
    qtbot.addWidget(made, before_close_func=finish)
    made.resize(360, 1300)
    made.show()
    idle(made, qtbot)
    return made


def idle(dock, qtbot):
    def at_rest():
        return dock.job is None and not dock.live.busy and not dock.beam.busy

    qtbot.waitUntil(at_rest, timeout=WAIT)


def said(dock, name):
    return dock.findChild(QLabel, name).text()


def tick(dock, qtbot):
    box = dock.findChild(QCheckBox, "beam_live")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    idle(dock, qtbot)


def test_each_event_shown_tells_its_beam(dock, run, qtbot):
    assert said(dock, "beam_event_text") == ""
    run.go_to(0)
    tick(dock, qtbot)
    text = said(dock, "beam_event_text")
    assert text.startswith("Event 0: ")
    energy, length = (float(part.split(" ± ")[0].split()[-1]) for part in text.split(","))
    assert energy == pytest.approx(7.0, abs=0.1)
    assert length == pytest.approx(200.0, abs=3.0)
    run.go_to(1)
    idle(dock, qtbot)
    assert "not known" in said(dock, "beam_event_text")
    run.go_to(2)
    idle(dock, qtbot)
    assert "The file says 9.00 keV" in said(dock, "beam_event_text")
    assert "color" in dock.beam.event_text.styleSheet()
    tick(dock, qtbot)
    assert said(dock, "beam_event_text") == ""
    run.go_to(0)
    idle(dock, qtbot)
    assert said(dock, "beam_event_text") == ""


def test_the_run_tells_its_beam(dock, run, qtbot):
    qtbot.mouseClick(dock.findChild(QPushButton, "beam_run"), Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    text = said(dock, "beam_run_text")
    assert text.startswith("The run: ")
    assert float(text.split()[2]) == pytest.approx(7.0, abs=0.1)


def test_without_a_geometry_it_says_what_is_missing(viewer, open_run, tmp_path, qtbot):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["data/data"] = np.ones((2, 30, 30), np.int32)
    open_run(tmp_path / "plain.h5")
    dock = PeaksDock(viewer)

    def finish(dock):
        idle(dock, qtbot)
        dock.release()

    qtbot.addWidget(dock, before_close_func=finish)
    dock.show()
    idle(dock, qtbot)
    tick(dock, qtbot)
    assert "geometry" in said(dock, "beam_event_text")
    qtbot.mouseClick(dock.findChild(QPushButton, "beam_run"), Qt.MouseButton.LeftButton)
    idle(dock, qtbot)
    assert "geometry" in said(dock, "beam_run_text")
