"""The Open run dock, driven by typing and clicking."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
)

from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.open_dock import OpenDock
from napari_xfelsort.widgets.runs import runs_of


@pytest.fixture
def dock(viewer, qtbot):
    made = OpenDock(viewer)
    qtbot.addWidget(made)
    yield made
    qtbot.waitUntil(lambda: made.job is None, timeout=20_000)
    made.release()


@pytest.fixture
def press(dock, qtbot):
    """Clicks a button of the dock by name and waits for what it starts."""

    def click(name):
        button = dock.findChild(QPushButton, name)
        assert button is not None
        assert button.isEnabled()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: dock.job is None, timeout=20_000)

    return click


def line(dock, name):
    return dock.findChild(QLineEdit, name)


def label(dock, name):
    return dock.findChild(QLabel, name).text()


def test_data_and_geometry_are_opened(dock, press, viewer, simulated):
    line(dock, "data").setText(str(simulated.data))
    line(dock, "geometry").setText(str(simulated.geometry))
    press("open")
    run = runs_of(viewer).active
    assert len(run) == 40
    assert run.stack.geometry is not None
    assert run.current == 0
    assert label(dock, "summary").startswith("40 events in 1 file\n")
    assert "32 panels, from small.geom" in label(dock, "summary")
    assert not dock.message.text()


def test_nothing_chosen_is_said(dock, press, viewer):
    press("open")
    assert "Choose files" in dock.message.text()
    assert not viewer.layers


@pytest.mark.parametrize("name", ["absent.cxi", "text.h5", "cut.cxi"])
def test_what_cannot_be_opened_is_said_and_nothing_is_added(
    dock, press, viewer, tmp_path, simulated, name
):
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "cut.cxi").write_bytes(simulated.data.read_bytes()[:4096])
    line(dock, "data").setText(str(tmp_path / name))
    press("open")
    assert name in dock.message.text()
    assert dock.message.text().endswith(".")
    assert not viewer.layers
    line(dock, "data").setText(str(simulated.data))
    press("open")
    assert len(runs_of(viewer).active) == 40


def test_a_wrong_geometry_is_said_with_its_line(dock, press, viewer, tmp_path, simulated):
    bad = tmp_path / "bad.geom"
    bad.write_text("p/min_fs = three\n")
    line(dock, "data").setText(str(simulated.data))
    line(dock, "geometry").setText(str(bad))
    press("open")
    assert "bad.geom" in dock.message.text()
    assert "1" in dock.message.text()
    assert not viewer.layers


def test_geometry_of_another_detector_shows_frames_as_stored(
    dock, press, viewer, tmp_path, simulated
):
    other = tmp_path / "other.geom"
    other.write_text(
        "clen = 1\nres = 1000\nq/min_fs = 0\nq/max_fs = 5000\nq/min_ss = 0\nq/max_ss = 9\n"
        "q/corner_x = 0\nq/corner_y = 0\nq/fs = x\nq/ss = y\n"
    )
    line(dock, "data").setText(str(simulated.data))
    line(dock, "geometry").setText(str(other))
    press("open")
    run = runs_of(viewer).active
    assert run.stack.geometry is None
    assert "5001" in dock.problem.text()
    assert "other.geom" in dock.problem.text()


def test_the_geometry_beside_the_data_is_offered_and_taken(dock, press, viewer, simulated):
    line(dock, "data").setText(str(simulated.data))
    press("open")
    run = runs_of(viewer).active
    run.go_to(5)
    assert run.stack.geometry is None
    assert not dock.offer.isHidden()
    press("use_offered")
    assert runs_of(viewer).runs == [run]
    assert run.stack.geometry is not None
    assert run.current == 5
    assert dock.offer.isHidden()
    assert line(dock, "geometry").text() == str(simulated.geometry)
    line(dock, "geometry").clear()
    press("apply")
    assert run.stack.geometry is None


def test_a_mask_is_added(dock, press, viewer, simulated, tmp_path):
    bad = np.zeros((704, 96), np.uint8)
    bad[10:20, 30:40] = 1
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["entry_1/data_1/mask"] = bad
    line(dock, "data").setText(str(simulated.data))
    line(dock, "mask").setText(str(tmp_path / "mask.h5"))
    press("open")
    mask = next(la for la in viewer.layers if la.name.startswith("mask"))
    assert (mask.data[10:20, 30:40] & 8).all()
    assert runs_of(viewer).active.stack.user_mask is not None


def test_datasets_are_offered_and_another_is_shown(dock, press, viewer, tmp_path, qtbot):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a/frames"] = np.full((4, 20, 30), 5, np.int16)
        file["b/pictures"] = np.full((6, 10, 12), 7, np.int16)
    qtbot.keyClicks(line(dock, "data"), str(tmp_path / "two.h5"))
    qtbot.keyClick(line(dock, "data"), Qt.Key.Key_Return)
    combo = dock.findChild(QComboBox, "dataset")
    qtbot.waitUntil(lambda: combo.count() == 3, timeout=10_000)
    offered = {combo.itemText(k) for k in range(3)}
    assert {path.lstrip("/") for path in offered} == {"automatic", "a/frames", "b/pictures"}
    combo.setCurrentText(next(path for path in offered if "pictures" in path))
    press("open")
    assert runs_of(viewer).active.layer.data.shape == (6, 10, 12)


def test_files_with_counts_and_problems(dock, press, viewer, simulated, tmp_path):
    for k in (1, 2):
        shutil.copy(simulated.data, tmp_path / f"r{k}.cxi")
    (tmp_path / "r3.cxi").write_bytes(simulated.data.read_bytes()[:5000])
    line(dock, "data").setText(str(tmp_path))
    press("open")
    run = runs_of(viewer).active
    model = dock.files
    cells = [
        [model.data(model.index(row, column)) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]
    assert cells[:2] == [["r1.cxi", "40", ""], ["r2.cxi", "40", ""]]
    assert cells[2][:2] == ["r3.cxi", "none"]
    assert "truncated" in cells[2][2]
    assert "truncated" in dock.problem.text()
    dock.table.doubleClicked.emit(model.index(1, 0))
    assert run.current == 40
    dock.table.doubleClicked.emit(model.index(2, 0))
    assert run.current == 40


def test_a_list_is_opened_in_its_order(dock, press, viewer, simulated):
    line(dock, "data").setText(str(simulated.bad_list))
    press("open")
    run = runs_of(viewer).active
    wanted = [i for i, good in enumerate(simulated.good) if not good]
    assert [str(run.stack.event_id(k)).split("//")[1] for k in range(len(run))] == [
        str(i) for i in wanted
    ]


def test_going_to_events(dock, press, viewer, simulated, qtbot):
    line(dock, "data").setText(str(simulated.data))
    press("open")
    run = runs_of(viewer).active
    go_to = line(dock, "go_to")
    for text, wanted in (("17", 17), (f"{simulated.data} //3", 3), ("//39", 39)):
        go_to.clear()
        qtbot.keyClicks(go_to, text)
        qtbot.keyClick(go_to, Qt.Key.Key_Return)
        assert run.current == wanted
    go_to.setText("40")
    press("go")
    assert run.current == 39
    assert "0 to 39" in dock.message.text()
    press("previous")
    assert run.current == 38
    assert go_to.text() == "38"
    press("next")
    assert run.current == 39
    press("random")
    assert run.current != 39


def test_contrast_and_log(dock, press, viewer, simulated, qtbot):
    line(dock, "data").setText(str(simulated.data))
    press("open")
    run = runs_of(viewer).active
    before = list(run.layer.contrast_limits)
    dock.findChild(QDoubleSpinBox, "contrast_high").setValue(60)
    dock.findChild(QDoubleSpinBox, "contrast_low").setValue(40)
    assert list(run.layer.contrast_limits) == before
    press("contrast_set")
    low, high = run.layer.contrast_limits
    values = open_stack(str(simulated.data)).raw(0)
    assert 0.35 < (values < low).mean() < 0.45
    assert 0.55 < (values < high).mean() < 0.65
    log = dock.findChild(QCheckBox, "log")
    log.setChecked(True)
    assert run.frames.scale == "log"
    every = dock.findChild(QCheckBox, "contrast_every")
    every.setChecked(True)
    assert run.percentiles == (40, 60)
    dock.findChild(QDoubleSpinBox, "contrast_low").setValue(70)
    assert run.percentiles is None


def test_readout_under_the_cursor(dock, press, viewer, simulated, qtbot):
    line(dock, "data").setText(str(simulated.data))
    line(dock, "geometry").setText(str(simulated.geometry))
    press("open")
    stack = open_stack(str(simulated.data), geometry=simulated.geometry)
    viewer.cursor.position = (0, 100, 150)
    qtbot.waitUntil(lambda: label(dock, "cursor_panel") != "–")
    ss, fs = stack.geometry.raw_index_at(100, 150)
    assert label(dock, "cursor_pixel") == f"fs {fs}, ss {ss}"
    assert label(dock, "cursor_value") == f"{stack.raw(0)[ss, fs]} ADU"
    assert label(dock, "cursor_panel") == stack.geometry.panel_at(100, 150)
    q = stack.geometry.q_at(100, 150, stack.photon_energy(0), stack.camera_length(0))
    assert label(dock, "cursor_q") == f"{q:.4g} Å⁻¹"
    assert label(dock, "cursor_d") == f"{2 * np.pi / q:.4g} Å"
    runs_of(viewer).active.go_to(3)
    assert label(dock, "cursor_value") == f"{stack.raw(3)[ss, fs]} ADU"
    assert label(dock, "cursor_event") == "3: run0001.cxi //3"
    viewer.cursor.position = (3, 0, 0)
    qtbot.waitUntil(lambda: label(dock, "cursor_pixel") == "gap")


def test_reload_sees_events_that_were_added(dock, press, viewer, tmp_path):
    path = tmp_path / "growing.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=np.ones((3, 20, 30)), maxshape=(None, 20, 30))
    line(dock, "data").setText(str(path))
    press("open")
    run = runs_of(viewer).active
    run.go_to(2)
    with h5py.File(path, "r+", locking=False) as file:
        file["entry/data/data"].resize(5, axis=0)
    press("reload")
    assert len(run) == 5
    assert run.current == 2
    assert viewer.dims.range[0].stop == 4


def test_dialogs_fill_the_form(dock, qtbot, monkeypatch, simulated):
    monkeypatch.setattr(
        QFileDialog, "getOpenFileNames", lambda *_: ([str(simulated.data), "/b.cxi"], "")
    )
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/some/x.geom", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/a folder")
    for name in ("data_browse", "geometry_browse"):
        qtbot.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)
    assert dock.form.opened().paths == (str(simulated.data), "/b.cxi")
    assert dock.form.opened().geometry == "/some/x.geom"
    qtbot.mouseClick(dock.findChild(QPushButton, "data_folder"), Qt.MouseButton.LeftButton)
    assert dock.form.opened().paths == ("/a folder",)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    qtbot.mouseClick(dock.findChild(QPushButton, "data_folder"), Qt.MouseButton.LeftButton)
    assert dock.form.opened().paths == ("/a folder",)


def test_a_dock_shows_the_run_that_is_open_already(run, viewer, qtbot):
    made = OpenDock(viewer)
    qtbot.addWidget(made)
    assert made.findChild(QLabel, "summary").text().startswith("40 events")
    assert line(made, "data").text() == run.opened.paths[0]
    assert line(made, "go_to").text() == "0"
    assert not made.data_section.isExpanded()
    viewer.layers.clear()
    assert "Open a run" in made.findChild(QLabel, "summary").text()
    assert made.files.rowCount() == 0
    made.release()


def test_every_input_says_what_it_is_for(dock):
    for kind in (QLineEdit, QComboBox, QDoubleSpinBox, QCheckBox, QPushButton):
        for widget in dock.findChildren(kind):
            if widget.objectName().startswith("qt_") or not widget.objectName():
                continue
            parent = widget.parent()
            assert widget.toolTip() or widget.placeholderText() or parent.toolTip(), (
                widget.objectName()
            )


def test_a_renamed_run_has_its_new_name_in_docks_and_none_leaves_the_form_open(dock, run, viewer):
    assert dock.chooser.currentText() == f"{run.layer.name} (40 events)"
    run.layer.name = "night shift"
    assert dock.chooser.currentText() == "night shift (40 events)"
    dock.data_section.collapse(animate=False)
    viewer.layers.clear()
    assert dock.data_section.isExpanded()
    run.layer.name = "gone"
    assert dock.chooser.currentText() == "no run is open"


def test_a_dock_closed_while_it_opens_adds_nothing(dock, viewer, simulated, qtbot):
    line(dock, "data").setText(str(simulated.data))
    qtbot.mouseClick(dock.findChild(QPushButton, "open"), Qt.MouseButton.LeftButton)
    dock.release()
    qtbot.waitUntil(lambda: dock.job is None, timeout=20_000)
    assert not viewer.layers
