"""The Mask dock in a real napari window, used with the mouse."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from dock_user import WAIT
from dock_user import drag as drag_plot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton, QSpinBox

from napari_window import camera_of, canvas
from napari_xfelsort.core.masks.settings import MaskReason
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.mask_dock import MaskDock
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.runs import runs_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(make_napari_viewer, own):
    """A window with a run and the dock: viewer, run, dock."""
    viewer = make_napari_viewer(show=True)
    opened = drawn.Opened((str(own.data),), str(own.geometry))
    run = runs_of(viewer).add(open_layers(opened))
    dock = MaskDock(viewer)
    viewer.window.add_dock_widget(dock, name="Mask", area="right")
    yield viewer, run, dock
    viewer.layers.clear()
    runs_of(viewer).close()


def click(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isVisible()
    assert widget.isEnabled()
    dock.ensureWidgetVisible(widget)
    qtbot.mouseClick(widget, LEFT)


def on_screen(viewer, row, column):
    """Where a point of the picture is on the canvas."""
    camera, native = camera_of(viewer), canvas()
    off = (np.array([row, column]) - np.array(camera.center)[-2:]) * camera.zoom
    return QPoint(round(native.width() / 2 + off[1]), round(native.height() / 2 + off[0]))


def stroke(viewer, layer, *places, qtbot):
    """Drag with the mouse over the picture; napari leaves out moves that come too soon."""
    native = canvas()
    qtbot.mousePress(native, LEFT, pos=on_screen(viewer, *places[0]))
    for place in places[1:]:
        before = np.array(layer.data)

        def move(place=place, before=before):
            for off in (1, 0):
                qtbot.mouseMove(native, on_screen(viewer, *place) + QPoint(off, 0))
            return not np.array_equal(layer.data, before)

        qtbot.waitUntil(move, timeout=WAIT)
    qtbot.mouseRelease(native, LEFT, pos=on_screen(viewer, *places[-1]))


def test_a_mask_is_made_judged_and_painted_on(window, tmp_path, qtbot):
    viewer, run, dock = window
    frames = np.random.default_rng(2).normal(50, 4, (12, *run.stack.raw_shape))
    frames[:, 20, 30] += 300
    with h5py.File(tmp_path / "dark.h5", "w") as file:
        file["/entry_1/data_1/data"] = frames.astype(np.float32)
    dock.findChild(QComboBox, "dark_source").setCurrentIndex(2)
    dock.findChild(QComboBox, "bright_source").setCurrentIndex(0)
    dock.findChild(QLineEdit, "dark_files").setText(str(tmp_path / "dark.h5"))
    click(dock, "make", qtbot)
    qtbot.waitUntil(lambda: dock.job is None and dock.made is not None, timeout=WAIT)
    assert dock.made.reasons[20, 30] & MaskReason.OFFSET
    n_bad = dock.made.n_bad
    drag_plot(dock.look_page.histogram.figure.axes[0], 6, 2.5, qtbot)
    assert dock.made.settings.mask_lambda == pytest.approx(2.5, abs=0.5)
    assert dock.made.n_bad > n_bad
    dock.show_page("Edit")
    dock.findChild(QSpinBox, "width").setValue(6)
    click(dock, "tool_paint", qtbot)
    layer, made = run.companions.layer("mask reasons"), dock.made.bad
    qtbot.waitUntil(lambda: run.is_drawn, timeout=WAIT)
    viewer.reset_view()
    looked_at, steps = tuple(camera_of(viewer).center), [made]
    for row in (40, 60, 80):
        stroke(viewer, layer, (row, 40), (row, 60), (row, 75), qtbot=qtbot)
        n = len(steps)
        qtbot.waitUntil(lambda n=n: len(dock.state.edits) == n, timeout=WAIT)
        steps.append(dock.mask.bad.copy())
        assert (steps[-1] >= steps[-2]).all()
        assert steps[-1].sum() > steps[-2].sum()
        picture = run.stack.geometry.assemble(steps[-1] & ~steps[-2])
        rows, columns = np.nonzero(picture)
        assert abs(rows.mean() - row) < 2
        assert abs(columns.mean() - 57.5) < 4
        assert layer.mode == "paint"
    assert tuple(camera_of(viewer).center) == pytest.approx(looked_at)  # it was not moved
    qtbot.keyClick(canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(dock.mask.bad, steps[2])
    assert np.array_equal(np.asarray(layer.data) != 0, run.stack.geometry.assemble(steps[2]))
