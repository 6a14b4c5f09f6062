"""The Beam centre dock on a simulated run whose centre is known."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QTableView,
)

from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.simulate.detectors import plane_detector
from napari_xfelsort.core.simulate.optics import Optics
from napari_xfelsort.core.simulate.plane_file import PlaneFile, plane_geometry_text, plane_mask
from napari_xfelsort.core.simulate.scene import simulate_scene
from napari_xfelsort.widgets import center_dock
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.center_dock import CenterDock
from napari_xfelsort.widgets.center_overlay import FIT

WAIT = 60_000
SIDE, N = 256, 6
#: Where the geometry has the beam: off the truth by this (rows, columns).
OFF = np.array([6.0, -9.0])
EMPTY = N - 1


@pytest.fixture(scope="session")
def beam_run(tmp_path_factory):
    """Events with one centre, the last of them dark; a geometry with another centre."""
    folder = tmp_path_factory.mktemp("beam")
    scene = simulate_scene(3, SIDE, "pilatus", "reflex")
    optics = scene.truth["wavelength"], scene.truth["distance"]
    plane = plane_detector("pilatus", SIDE)
    rng = np.random.default_rng(5)
    with h5py.File(folder / "beam.cxi", "w") as file:
        writer = PlaneFile(file, N, SIDE, "none", plane_mask(plane, scene.mask), {})
        for i in range(N):
            counts = rng.poisson(scene.expected) * (i != EMPTY)
            writer.write(i, counts.astype(np.int32), optics, {})
    wrong = tuple((np.array(scene.center) + OFF).tolist())
    text = plane_geometry_text(plane, Optics(wrong, *optics))
    (folder / "beam.geom").write_text(text)
    return SimpleNamespace(
        data=folder / "beam.cxi",
        geometry=folder / "beam.geom",
        center=np.array(scene.center),
        mask=scene.mask,
        optics=optics,
    )


@pytest.fixture
def geometry(beam_run, tmp_path):
    """The geometry in a folder of its own."""
    path = tmp_path / "beam.geom"
    path.write_bytes(beam_run.geometry.read_bytes())
    return path


@pytest.fixture
def run(open_run, beam_run, geometry):
    return open_run(beam_run.data, geometry)


@pytest.fixture
def show(viewer, qtbot):
    """Shows the dock, and lets go of it in the end."""

    def finish(dock):
        qtbot.waitUntil(lambda: dock.job is None and not dock.live.busy, timeout=WAIT)
        dock.release()

    def make():
        made = CenterDock(viewer)
        qtbot.addWidget(made, before_close_func=finish)
        made.resize(360, 1400)
        made.show()
        return made

    return make


@pytest.fixture
def dock(run, show):
    return show()


def press(dock, name, qtbot):
    widget = dock.findChild(QPushButton, name)
    assert widget.isEnabled(), name
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def done(dock, name, qtbot):
    press(dock, name, qtbot)
    qtbot.waitUntil(lambda: dock.job is None and not dock.live.busy, timeout=WAIT)


def choose(dock, name, value):
    box = dock.findChild(QComboBox, name)
    box.setCurrentIndex(box.findData(value))


def said(dock, name="message"):
    return dock.findChild(QLabel, name).text()


def typed(dock):
    """Row and column in the boxes."""
    boxes = (dock.findChild(QDoubleSpinBox, name) for name in ("center_y", "center_x"))
    return np.array([box.value() for box in boxes])


def cells(dock):
    """The lines of the table by method, or by what they are of."""
    model = dock.findChild(QTableView, "found").model()
    lines = [
        [model.data(model.index(row, column)) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]
    return {line[1] if line[1] != "–" else line[0]: line for line in lines}


def click_line(dock, name, qtbot):
    view = dock.findChild(QTableView, "found")
    place = view.visualRect(view.model().index(list(cells(dock)).index(name), 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def on_picture(run):
    """Row and column of the cross in the picture."""
    layer = run.companions.layer(FIT)
    return np.asarray(layer.translate)[-2:]


def radii(run):
    layer = run.companions.layer(FIT)
    kinds = zip(layer.data, layer.shape_type, strict=True)
    return [float(np.ptp(corners[:, -1])) / 2 for corners, kind in kinds if kind == "ellipse"]


def drag(run, *places, modifiers=(), release=True):
    """The mouse is pressed at the first of these places, moved, and let go at the last."""
    layer = run.companions.layer(FIT)
    event = SimpleNamespace(type="mouse_press", button=1, modifiers=list(modifiers))
    event.position = (0.0, *places[0])
    started = [callback(layer, event) for callback in layer.mouse_drag_callbacks]
    started = [each for each in started if each is not None and hasattr(each, "send")]
    for each in started:
        next(each, None)
    for place in places[1:]:
        event.type, event.position = "mouse_move", (0.0, *place)
        for each in started:
            next(each, None)
    if release:
        event.type = "mouse_release"
        for each in started:
            next(each, None)
    return layer


def settled(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.live.busy, timeout=WAIT)
    return dock.live.shown


def test_it_begins_with_the_geometry_and_finds_the_truth(dock, run, beam_run, qtbot):
    beam = np.array(run.stack.geometry.beam_position)
    assert on_picture(run) == pytest.approx(beam_run.center + OFF, abs=0.01)
    assert "This is where the geometry has the beam" in said(dock, "difference")
    done(dock, "find", qtbot)
    line = cells(dock)["auto"]
    found, within = np.array([float(line[3]), float(line[2])]), float(line[4])
    assert np.hypot(*(found - beam_run.center)) < within < 1
    assert typed(dock) == pytest.approx(found, abs=0.006)
    assert on_picture(run) == pytest.approx(found, abs=0.006)
    off = found - beam
    pixel = 0.3 / SIDE * 1000
    numbers = [float(n) for n in re.findall(r"[+-]?\d+\.\d+", said(dock, "difference"))]
    wanted = [np.hypot(*off), np.hypot(*off) * pixel, off[1], off[0]]
    assert numbers == pytest.approx([*wanted, -off[1] * pixel, off[0] * pixel], abs=0.012)
    # Resolution rings follow.
    assert np.asarray(run.companions.layer(drawn.RINGS).translate)[-2:] == pytest.approx(
        off, abs=0.01
    )


def test_methods_are_compared_and_one_is_taken(dock, run, beam_run, qtbot):
    choose(dock, "method", "all")
    done(dock, "find", qtbot)
    lines = cells(dock)
    assert list(lines) == [
        "geometry",
        "auto",
        "radial",
        "symmetry",
        "beam_stop",
        "reflex",
        "friedel",
    ]
    assert lines["friedel"][2:] == ["not known", "", ""]  # the files store no peaks
    click_line(dock, "symmetry", qtbot)
    wanted = [float(lines["symmetry"][3]), float(lines["symmetry"][2])]
    assert typed(dock) == pytest.approx(wanted)
    click_line(dock, "friedel", qtbot)
    assert "not known" in said(dock)
    assert "no peaks" in said(dock)
    assert typed(dock) == pytest.approx(wanted)
    click_line(dock, "geometry", qtbot)
    assert typed(dock) == pytest.approx(beam_run.center + OFF, abs=0.006)


def test_what_is_not_known_is_told(dock, run, qtbot):
    before = typed(dock)
    run.go_to(EMPTY)
    done(dock, "find", qtbot)
    assert "the centre is not known" in said(dock)
    assert cells(dock)["auto"][2:] == ["not known", "", ""]
    assert typed(dock) == pytest.approx(before)


@pytest.mark.parametrize("kind", ["mean", "median", "max"])
def test_many_events_as_one_picture(dock, beam_run, kind, qtbot):
    choose(dock, "look_at", kind)
    dock.findChild(QSpinBox, "n_events").setValue(4)
    done(dock, "find", qtbot)
    line = cells(dock)["auto"]
    assert line[0] == f"{kind} of 4"
    found = np.array([float(line[3]), float(line[2])])
    assert np.hypot(*(found - beam_run.center)) < float(line[4])


def test_a_part_of_the_detector(dock, beam_run, qtbot):
    choose(dock, "region_way", "text")
    dock.findChild(QLineEdit, "region_text").setText(f"window:0:{SIDE},0:150")
    done(dock, "find", qtbot)
    line = cells(dock)["auto"]
    assert line[0] == "event 0, part"
    found = np.array([float(line[3]), float(line[2])])
    assert np.hypot(*(found - beam_run.center)) < 2
    dock.findChild(QLineEdit, "region_text").setText("window:0:9999")
    press(dock, "find", qtbot)
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    assert "window" in said(dock) or "region" in said(dock)
    dock.findChild(QLineEdit, "region_text").setText("nonsense")
    press(dock, "find", qtbot)
    assert "is no region" in said(dock)


def test_work_is_stopped(dock, monkeypatch, qtbot):
    begun, go_on = threading.Event(), threading.Event()

    def slow(stack, look, methods, progress):
        for k in range(1000):
            progress(k, 1000)
            begun.set()
            go_on.wait(60)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(center_dock, "find_centers", slow)
    before = cells(dock)
    press(dock, "find", qtbot)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    assert not dock.findChild(QPushButton, "find").isEnabled()
    press(dock, "cancel", qtbot)
    go_on.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT)
    assert "Stopped" in said(dock)
    assert cells(dock) == before


def test_the_cross_is_dragged_and_the_profile_follows(dock, run, beam_run, qtbot):
    first = settled(dock, qtbot)
    start = on_picture(run).copy()
    layer = drag(run, start + 0.5, start, beam_run.center + 0.5, release=False)
    assert not layer.mouse_pan
    shown = settled(dock, qtbot)  # while it is still held
    assert shown is not first
    assert shown.profile.center == pytest.approx(beam_run.center)
    assert typed(dock) == pytest.approx(beam_run.center, abs=0.006)
    assert "by hand" in cells(dock)
    assert on_picture(run) == pytest.approx(beam_run.center)


def test_the_profile_is_the_mean_of_good_pixels_at_each_q(dock, run, beam_run, qtbot):
    dock.findChild(QDoubleSpinBox, "center_x").setValue(beam_run.center[1])
    dock.findChild(QDoubleSpinBox, "center_y").setValue(beam_run.center[0])
    shown = settled(dock, qtbot)
    center = typed(dock)
    assert shown.profile.center == pytest.approx(center)
    with h5py.File(beam_run.data) as file:
        frame = file["entry_1/data_1/data"][0].astype(float)
    rows, columns = np.indices(frame.shape)
    away = np.hypot(rows - center[0], columns - center[1])
    good = ~beam_run.mask
    edges = (shown.profile.radii[:-1] + shown.profile.radii[1:]) / 2
    for k in (10, 40, 80):
        near = good & (np.abs(away - shown.profile.radii[k]) < 1.5)
        assert shown.profile.values[k] == pytest.approx(frame[near].mean(), rel=0.15)
    assert np.diff(edges).max() < 3
    wavelength, distance = beam_run.optics
    theta = np.arctan(shown.profile.radii / distance) / 2
    assert shown.axis == pytest.approx(4 * np.pi * np.sin(theta) / wavelength, rel=2e-3)
    assert "Å⁻¹" in shown.unit
    dock.findChild(QComboBox, "radial_statistic").setCurrentText("median")
    median = settled(dock, qtbot)
    assert not np.array_equal(median.profile.values, shown.profile.values)


def test_a_ring_is_dragged(dock, run, qtbot):
    center, (radius,) = typed(dock), radii(run)
    below = center + np.array([radius, 0])
    drag(run, below, below + np.array([5, 0]), below + np.array([12.5, 0]))
    assert radii(run) == pytest.approx([radius + 12.5], abs=0.01)
    assert typed(dock) == pytest.approx(center)
    # With Shift the far side stays.
    start = center + np.array([radius + 12.5, 0])
    drag(run, start, start + np.array([-10, 0]), modifiers=["Shift"])
    assert radii(run) == pytest.approx([radius + 7.5], abs=0.01)
    assert typed(dock) == pytest.approx(center - np.array([5, 0]), abs=0.011)
    dock.findChild(QSpinBox, "n_rings").setValue(3)
    assert len(radii(run)) == 3
    assert radii(run)[0] == pytest.approx(radius + 7.5, abs=0.01)
    marks = settled(dock, qtbot).marks
    assert len(marks) == 3
    before = radii(run), typed(dock).tolist()
    drag(run, center + np.array([0, 400]), center + np.array([0, 500]))  # nothing is there
    assert (radii(run), typed(dock).tolist()) == before


def test_the_cross_is_typed(dock, run, qtbot):
    box = dock.findChild(QDoubleSpinBox, "center_x")
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, "-17.25")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert on_picture(run)[1] == pytest.approx(-17.25)
    assert settled(dock, qtbot).profile.center[1] == pytest.approx(-17.25)


def test_the_centre_is_written_used_and_undone(dock, run, beam_run, geometry, tmp_path, qtbot):
    text = geometry.read_text()
    old = run.stack.geometry
    done(dock, "find", qtbot)
    center = on_picture(run).copy()
    path = tmp_path / "beam-centre.geom"
    assert dock.findChild(QLineEdit, "shifted_file").text() == str(path)
    done(dock, "use", qtbot)
    assert geometry.read_text() == text
    changed = [
        (a, b)
        for a, b in zip(text.splitlines(), path.read_text().splitlines(), strict=True)
        if a != b
    ]
    assert changed
    assert all("/corner_" in before for before, _ in changed)
    assert run.opened.geometry == str(path)
    assert run.stack.geometry.beam_position == pytest.approx(center, abs=1e-3)
    assert np.hypot(*(center - beam_run.center)) < 0.5
    # Rings are drawn anew, cross and readout agree with them.
    assert run.companions.layer(drawn.CENTRE).data[0] == pytest.approx(center, abs=1e-3)
    assert np.asarray(run.companions.layer(drawn.RINGS).translate)[-2:] == pytest.approx(
        [0, 0], abs=1e-3
    )
    assert on_picture(run) == pytest.approx(center, abs=1e-3)
    assert "This is where the geometry has the beam" in said(dock, "difference")
    place = (0, center[0] + 60, center[1] + 30)
    wavelength, distance = beam_run.optics
    theta = np.arctan(np.hypot(60, 30) / distance) / 2
    readout = run.readout(place)
    assert readout.q == pytest.approx(4 * np.pi * np.sin(theta) / wavelength, rel=0.02)
    done(dock, "undo", qtbot)
    assert run.opened.geometry == str(geometry)
    assert run.stack.geometry.digest == old.digest
    assert on_picture(run) == pytest.approx(center, abs=1e-3)
    assert not dock.findChild(QPushButton, "undo").isEnabled()
    assert path.exists()


def test_no_file_is_replaced_unasked(dock, tmp_path, monkeypatch, qtbot):
    target = tmp_path / "mine.geom"
    target.write_text("mine")
    dock.findChild(QLineEdit, "shifted_file").setText(str(target))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    press(dock, "save", qtbot)
    assert dock.job is None
    assert target.read_text() == "mine"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    done(dock, "save", qtbot)
    assert "corner_x" in target.read_text()
    dock.findChild(QLineEdit, "shifted_file").setText("")
    press(dock, "save", qtbot)
    assert "Choose a file" in said(dock)


def test_a_file_that_cannot_be_written_is_told(dock, monkeypatch, tmp_path, qtbot):
    def refuse(*_):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(center_dock, "write_shifted", refuse)
    dock.findChild(QLineEdit, "shifted_file").setText(str(tmp_path / "new.geom"))
    done(dock, "use", qtbot)
    assert said(dock) == "The disk is full."
    assert not dock.findChild(QPushButton, "undo").isEnabled()


def test_a_run_without_geometry(open_run, beam_run, show, qtbot):
    run = open_run(beam_run.data)
    dock = show()
    assert run.companions.layer(FIT) is None
    assert "not known yet" in said(dock, "difference")
    assert not dock.findChild(QDoubleSpinBox, "center_x").isEnabled()
    for name in ("save", "use", "undo"):
        assert not dock.findChild(QPushButton, name).isEnabled()
    assert "give the run one" in said(dock, "write_hint")
    press(dock, "drag", qtbot)
    assert on_picture(run) == pytest.approx([(SIDE - 1) / 2] * 2)
    assert "middle" in said(dock)
    done(dock, "find", qtbot)
    line = cells(dock)["auto"]
    found = np.array([float(line[3]), float(line[2])])
    assert np.hypot(*(found - beam_run.center)) < float(line[4])
    assert "no geometry" in said(dock, "difference")
    shown = settled(dock, qtbot)
    assert shown.unit == "radius (px)"
    assert np.array_equal(shown.axis, shown.profile.radii)


def test_layers_go_away_with_the_run_and_with_the_dock(dock, viewer, run, qtbot):
    settled(dock, qtbot)
    assert run.companions.layer(FIT) is not None
    viewer.layers.remove(run.layer)
    assert [la for la in viewer.layers if drawn.role_of(la) == FIT] == []
    assert "Open a run first" in said(dock, "difference")
    assert not dock.findChild(QPushButton, "find").isEnabled()


def test_letting_go_puts_rings_back(dock, run, qtbot):
    done(dock, "find", qtbot)
    rings = run.companions.layer(drawn.RINGS)
    assert np.abs(rings.translate).max() > 5
    dock.release()
    assert run.companions.layer(FIT) is None
    assert np.abs(rings.translate).max() == 0
    drag_callbacks = [la.mouse_drag_callbacks for la in run.viewer.layers]
    assert not any("center_overlay" in repr(each) for each in drag_callbacks)


def test_another_geometry_begins_anew(dock, run, beam_run, qtbot):
    from napari_xfelsort.widgets.layers import Opened
    from napari_xfelsort.widgets.reading import open_layers

    done(dock, "find", qtbot)
    assert "auto" in cells(dock)
    run.replace(open_layers(Opened(run.opened.paths)))
    assert cells(dock) == {}
    assert run.companions.layer(FIT) is None
    run.replace(open_layers(Opened(run.opened.paths, str(beam_run.geometry))))
    assert list(cells(dock)) == ["geometry"]
    assert on_picture(run) == pytest.approx(beam_run.center + OFF, abs=0.01)


def test_no_run(show):
    dock = show()
    assert "Open a run first" in said(dock, "difference")
    for name in ("find", "drag", "save", "use", "undo", "cancel"):
        assert not dock.findChild(QPushButton, name).isEnabled()


def test_a_real_window_is_dragged_in(make_napari_viewer, beam_run, qtbot):
    from napari_window import camera_of, canvas
    from napari_xfelsort.widgets.reading import open_layers
    from napari_xfelsort.widgets.runs import runs_of

    viewer = make_napari_viewer(show=True)
    opened = drawn.Opened((str(beam_run.data),), str(beam_run.geometry))
    run = runs_of(viewer).add(open_layers(opened))
    dock = CenterDock(viewer)
    viewer.window.add_dock_widget(dock, name="Beam centre", area="right")
    viewer.reset_view()
    press(dock, "drag", qtbot)
    native, camera, layer = canvas(), camera_of(viewer), dock.overlay.layer
    before, by, steps = typed(dock), np.array([20.0, 30.0]), iter(range(10**6))

    def at(place):
        off = (np.array(place) - np.array(camera.center)[-2:]) * camera.zoom
        return QPoint(round(native.width() / 2 + off[1]), round(native.height() / 2 + off[0]))

    def is_held():  # once the window is laid out, and the picture fitted to it
        viewer.reset_view()
        qtbot.mouseMove(native, at(before) + QPoint(next(steps) % 2, 0))
        return run.is_drawn and not layer.mouse_pan

    qtbot.waitUntil(is_held, timeout=WAIT)
    looked_at, left = tuple(camera.center), Qt.MouseButton.LeftButton
    qtbot.mousePress(native, left, pos=at(before))
    for part in (0.3, 0.6, 1.0):
        now = typed(dock)
        qtbot.mouseMove(native, at(before + part * by))
        qtbot.waitUntil(lambda now=now: (typed(dock) != now).any(), timeout=WAIT)
    qtbot.mouseRelease(native, left, pos=at(before + by))
    assert typed(dock) == pytest.approx(before + by, abs=3 / camera.zoom)
    assert tuple(camera.center) == pytest.approx(looked_at)  # the picture was not moved
    qtbot.waitUntil(lambda: not dock.live.busy, timeout=WAIT)
    viewer.layers.clear()
    runs_of(viewer).close()
