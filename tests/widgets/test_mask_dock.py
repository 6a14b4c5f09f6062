"""The Mask dock against masks made without a screen, and planted pixels."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QMessageBox, QPushButton

from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings
from napari_xfelsort.core.masks.showing import SHOWN, reasons_at
from napari_xfelsort.widgets.mask_dock import MaskDock

WAIT = 60_000
NAMES = [each.name for each in SHOWN]


@pytest.fixture
def dark(own_run, tmp_path):
    """A dark run of the detector, with a hot and a dead pixel."""
    rng = np.random.default_rng(1)
    frames = rng.normal(100, 5, (20, *own_run.stack.raw_shape)).astype(np.float32)
    at = tuple(n // 2 for n in own_run.stack.raw_shape)
    still = (*at[:-1], at[-1] + 3)
    frames[(slice(None), *at)] += 500
    frames[(slice(None), *still)] = 100
    path = tmp_path / "dark.h5"
    with h5py.File(path, "w") as file:
        file["/entry_1/data_1/data"] = frames
    return path, frames, at, still


@pytest.fixture
def dock(viewer, own_run, dark, tmp_path, qtbot):
    made = MaskDock(viewer)
    qtbot.addWidget(made, before_close_func=lambda dock: dock.release())
    made.resize(360, 1200)
    made.show()
    made.findChild(QComboBox, "dark_source").setCurrentIndex(2)
    made.findChild(QComboBox, "bright_source").setCurrentIndex(0)
    made.findChild(QLineEdit, "dark_files").setText(str(dark[0]))
    made.findChild(QLineEdit, "mask_file").setText(str(tmp_path / "mask.h5"))
    return made


PAGES = {"make": "Make", "paper": "Make", "use": "Files", "save": "Files"}


def finish(dock, name, qtbot):
    dock.show_page(PAGES[name])
    widget = dock.findChild(QPushButton, name)
    assert widget.isVisible()
    assert widget.isEnabled()
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)


def layer(run):
    return run.companions.layer("mask reasons")


def shown(run):
    """For each pixel of the picture the name of the reason that its colour stands for."""
    found = np.asarray(layer(run).data)
    return np.array(["", *NAMES])[found]


def picture(run, mask, names=NAMES):
    """The same, worked out pixel by pixel from the raw mask."""
    listed = ["", *NAMES]
    raw = np.zeros(mask.reasons.shape, np.uint8)
    for index in np.argwhere(mask.reasons):
        why = [each.name for each in reasons_at(mask, tuple(index)) if each.name in names]
        raw[tuple(index)] = listed.index(why[0]) if why else 0
    return np.array(listed)[run.stack.geometry.assemble(raw)]


def test_reasons_are_shown_counted_and_hidden(dock, own_run, dark, qtbot):
    finish(dock, "make", qtbot)
    _, frames, hot, still = dark
    wanted = make_mask(
        frames, geometry=own_run.stack.geometry, bad=own_run.stack.geometry.static_mask()
    )
    assert np.array_equal(dock.made.reasons, wanted.reasons)
    assert dock.made.reasons[hot] & MaskReason.OFFSET
    assert dock.made.reasons[still] & MaskReason.DEAD
    n = np.count_nonzero(wanted.reasons & MaskReason.OFFSET)
    assert dock.findChild(QLabel, "count_offset").text() == str(n)
    assert np.array_equal(shown(own_run), picture(own_run, dock.made))
    dock.findChild(QCheckBox, "show_offset").click()
    assert "offset" not in shown(own_run)
    assert "dead" in shown(own_run)
    dock.release()
    assert layer(own_run) is None


def test_a_dragged_lambda_gives_the_mask_made_with_it(dock, own_run, dark, qtbot):
    finish(dock, "make", qtbot)
    dark[0].unlink()  # nothing is read again
    axes = dock.look_page.histogram.figure.axes[0]
    canvas = axes.figure.canvas
    canvas.draw()

    def place(x):
        px, py = axes.transData.transform((x, 3))
        return QPoint(round(px), round(canvas.height() - py))

    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(-6))
    qtbot.mouseMove(canvas, place(-4))
    qtbot.mouseMove(canvas, place(-3))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(-3))
    found = dock.made.settings.mask_lambda
    assert found == pytest.approx(3, abs=0.3)
    assert dock.make_page.form.settings().mask_lambda == found
    assert dock.look_page.histogram.ranges == [(-found, found)]
    geometry = own_run.stack.geometry
    wanted = make_mask(dark[1], geometry=geometry, bad=geometry.static_mask(), mask_lambda=found)
    assert np.array_equal(dock.made.reasons, wanted.reasons)
    assert np.array_equal(shown(own_run), picture(own_run, dock.made))


def test_a_mask_is_saved_and_used(dock, own_run, dark, tmp_path, qtbot, monkeypatch):
    finish(dock, "make", qtbot)
    finish(dock, "use", qtbot)
    path = tmp_path / "mask.h5"
    with h5py.File(path) as file:
        assert np.array_equal(file["/entry_1/data_1/mask"][()], dock.made.reasons)
    assert own_run.opened.mask == str(path)
    assert own_run.stack.mask.bad[dark[2]]
    assert layer(own_run) is not None
    before = path.read_bytes()
    answer = QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answer)
    finish(dock, "save", qtbot)
    assert path.read_bytes() == before


def test_bad_input_is_told(dock, own_run, tmp_path, qtbot):
    dock.findChild(QLineEdit, "dark_files").setText("")
    finish(dock, "make", qtbot)
    assert "Choose dark frames" in dock.message.text()
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["/entry_1/data_1/data"] = np.zeros((4, 30, 20), np.float32)
    dock.findChild(QLineEdit, "dark_files").setText(str(other))
    finish(dock, "make", qtbot)
    assert dock.made is None
    assert "same detector" in dock.message.text()
    preset = dock.findChild(QComboBox, "preset")
    preset.setFocus()
    qtbot.keyClick(preset, Qt.Key.Key_Down)
    assert dock.make_page.form.settings() == MaskSettings.paper()
    dock.findChild(QLineEdit, "mask_lambda").setText("7")
    assert preset.currentIndex() == -1
