"""A real napari window: slider, play, keys, 3-D button, docks and viewers that close."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_window import PLUGIN, canvas, text_on, visible
from napari_xfelsort.readers import hdf5
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.open_dock import OpenDock
from napari_xfelsort.widgets.runs import runs_of

N_MANY = 100_000


@pytest.fixture
def shown(make_napari_viewer):
    """A viewer that is shown."""
    return make_napari_viewer(show=True)


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Path:
    """A virtual file of 100 000 events; pixel 0 says which of the source's it is."""
    folder = tmp_path_factory.mktemp("many")
    n_sources = 50
    each = N_MANY // n_sources
    layout = h5py.VirtualLayout((N_MANY, 24, 32), "i4")
    for number in range(n_sources):
        name = folder / f"part{number:02}.h5"
        with h5py.File(name, "w") as file:
            data = file.create_dataset("data", (each, 24, 32), "i4", chunks=(100, 24, 32))
            frames = np.zeros((each, 24, 32), "i4")
            frames[:] = (np.arange(each) + number * each)[:, None, None]
            data[...] = frames
        source = h5py.VirtualSource(name.name, "data", (each, 24, 32))
        layout[number * each : (number + 1) * each] = source
    path = folder / "many.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    return path


def opened(viewer, path):
    viewer.open(str(path), plugin=PLUGIN)
    return runs_of(viewer).active


def picture(run):
    """What napari has loaded of the current event."""
    return run.frames.store.get(run.current)


def test_a_run_is_opened_by_napari_itself(shown, simulated, qtbot):
    run = opened(shown, simulated.data)
    kinds = {drawn.role_of(layer): type(layer).__name__ for layer in shown.layers}
    assert kinds == {"events": "Image", "mask": "Labels", "peaks": "Points"}
    assert run.current == 0
    qtbot.waitUntil(lambda: shown.layers.selection.active is run.layer)
    assert tuple(shown.dims.axis_labels)[-3:] == ("event", "y", "x")
    assert len(run.layer.metadata["napari_xfelsort"]["stack"]) == 40
    before = len(run.companions.layer(drawn.PEAKS).data)
    run.go_to(0)
    counts = []
    for i in range(6):
        run.go_to(i)
        counts.append(len(run.companions.layer(drawn.PEAKS).data))
    with h5py.File(simulated.data) as file:
        assert counts == file["entry_1/result_1/nPeaks"][:6].tolist()
    assert before


def test_a_second_run_shows_its_own_first_event(shown, simulated, simulated_second):
    first = opened(shown, simulated.data)
    first.go_to(25)
    second = opened(shown, simulated_second.data)
    assert second.current == 0
    with h5py.File(simulated_second.data) as file:
        n = int(file["entry_1/result_1/nPeaks"][0])
        fs = file["entry_1/result_1/peakXPosRaw"][0, :n]
    points = second.companions.layer(drawn.PEAKS).data
    assert sorted(points[:, 1]) == pytest.approx(sorted(fs))
    first.step(3)
    assert second.current == 3
    with h5py.File(simulated_second.data) as file:
        n = int(file["entry_1/result_1/nPeaks"][3])
    assert len(second.companions.layer(drawn.PEAKS).data) == n


def test_geometry_files_are_opened(shown, simulated):
    shown.open(str(simulated.geometry), plugin=PLUGIN)
    (layer,) = shown.layers
    assert type(layer).__name__ == "Shapes"
    assert next(iter(layer.features["panel"])) == "p0a0"


def test_what_is_no_data_is_refused_with_a_sentence(shown, tmp_path):
    (tmp_path / "empty.cxi").write_bytes(b"")
    with pytest.raises(Exception, match="is empty"):
        shown.open(str(tmp_path / "empty.cxi"), plugin=PLUGIN)
    assert not shown.layers


def test_slider_jump_and_random_on_many_events(shown, many, qtbot):
    run = opened(shown, many)
    assert len(run) == N_MANY
    for i in (0, 1, 99_999, 50_000, 12_345):
        shown.dims.set_current_step(0, i)
        assert run.current == i
        assert picture(run)[0, 0] == i
        assert np.asarray(run.layer.data[i])[3, 3] == i
    for _ in range(20):
        run.go_to_random()
        assert picture(run)[5, 5] == run.current
    assert run.find(f"{many} //77777") == 77_777
    assert f"event {run.current} of {N_MANY}" in text_on(shown)


def test_keys_step_and_a_held_key_stops_when_it_goes_up(shown, many, qtbot):
    run = opened(shown, many)
    target = canvas()
    QTest.keyClick(target, Qt.Key.Key_K)
    assert run.current == 1
    QTest.keyClick(target, Qt.Key.Key_J)
    assert run.current == 0
    QTest.keyClick(target, Qt.Key.Key_Right)
    assert run.current == 1
    QTest.keyClick(target, Qt.Key.Key_Left)
    assert run.current == 0
    QTest.keyClick(target, Qt.Key.Key_H)
    assert run.current != 0
    run.go_to(0)
    QTest.keyPress(target, Qt.Key.Key_K)
    qtbot.waitUntil(lambda: run.current > 5, timeout=10_000)
    QTest.keyRelease(target, Qt.Key.Key_K)
    stopped_at = run.current
    qtbot.wait(150)
    assert run.current == stopped_at


def test_keys_work_whatever_layer_is_selected(shown, simulated):
    run = opened(shown, simulated.data)
    shapes = shown.add_shapes([np.array([[0, 0], [0, 9], [9, 9], [9, 0]])])
    for layer in [*run.companions.layers(), shapes, run.layer]:
        shown.layers.selection.active = layer
        before = run.current
        QTest.keyClick(canvas(), Qt.Key.Key_K)
        assert run.current == before + 1, layer.name
    assert len(shapes.data) == 1


def test_play_goes_through_events(shown, many, qtbot):
    from napari.settings import get_settings

    run = opened(shown, many)
    run.go_to(10)
    get_settings().application.playback_fps = 30
    play = visible("QtPlayButton")
    qtbot.mouseClick(play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: run.current > 15, timeout=20_000)
    qtbot.mouseClick(play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not visible("QtDims").is_playing, timeout=10_000)
    assert picture(run)[0, 0] == run.current


def test_the_3d_button_is_refused_and_the_event_stays(shown, many, qtbot, monkeypatch):
    from napari.utils.notifications import notification_manager

    run = opened(shown, many)
    run.go_to(4321)
    told = []
    monkeypatch.setattr(
        notification_manager, "receive_error", lambda kind, error, trace: told.append(error)
    )
    reads = []
    load = run.frames.store.get
    monkeypatch.setattr(run.frames.store, "get", lambda i: reads.append(i) or load(i))
    button = visible("QtViewerPushButton", mode="ndisplay_button")
    with qtbot.captureExceptions() as raised:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: shown.dims.ndisplay == 2, timeout=10_000)
        qtbot.waitUntil(lambda: run.current == 4321, timeout=10_000)
    errors = [error for _, error, _ in raised] + told
    assert errors
    assert all("100000 events" in str(error) for error in errors)
    assert len(set(reads)) < 10
    run.step(1)
    assert picture(run)[0, 0] == 4322


def test_closing_the_dock_lets_go_of_the_viewer(shown, simulated, qtbot):
    opened(shown, simulated.data)
    before = len(shown.cursor.events.position.callbacks)
    dock_widget, dock = shown.window.add_plugin_dock_widget(PLUGIN, "Open run")
    assert isinstance(dock, OpenDock)
    assert len(shown.cursor.events.position.callbacks) == before + 1
    held = weakref.ref(dock)
    shown.window.remove_dock_widget(dock_widget)
    assert len(shown.cursor.events.position.callbacks) == before
    del dock, dock_widget
    gc.collect()
    runs_of(shown).active.step(1)  # what is left must not answer
    assert held() is None or held().parent() is None


def test_closing_the_viewer_leaves_no_file_and_no_thread(make_napari_viewer, simulated, qtbot):
    viewer = make_napari_viewer(show=True)
    run = opened(viewer, simulated.data)
    run.go_to(20)
    store = run.frames.store
    assert str(simulated.data) in hdf5.POOL.open_paths()
    viewer.close()
    assert str(simulated.data) not in hdf5.POOL.open_paths()
    assert not store.fetching
    assert not [t for t in threading.enumerate() if t.name == "xfelsort-prefetch"]


def test_two_viewers_keep_apart(make_napari_viewer, simulated, simulated_second):
    first, second = make_napari_viewer(), make_napari_viewer()
    _, dock = first.window.add_plugin_dock_widget(PLUGIN, "Open run")
    runs_of(second)
    one = opened(first, simulated.data)
    two = opened(second, simulated_second.data)
    assert runs_of(first).runs == [one]
    assert runs_of(second).runs == [two]
    one.go_to(9)
    assert (one.current, two.current) == (9, 0)
    second.close()
    one.step(1)
    assert one.current == 10
    assert dock.chooser.run is one


def test_a_file_replaced_on_disk_is_shown_as_it_is_now(
    shown, simulated, simulated_second, tmp_path
):
    data = tmp_path / "run.cxi"
    shutil.copy(simulated.data, data)
    run = opened(shown, data)
    run.go_to(6)
    old = picture(run).copy()
    shutil.copy(simulated_second.data, tmp_path / "new.cxi")
    (tmp_path / "new.cxi").replace(data)
    told = []
    runs_of(shown).warned.connect(told.append)
    run.go_to(7)
    run.go_to(6)
    with h5py.File(simulated_second.data) as file:
        assert np.array_equal(picture(run), file["entry_1/data_1/data"][6])
    assert not np.array_equal(picture(run), old)
    assert len(told) == 1


def test_nothing_is_cut_off_on_a_small_screen(shown, simulated, qtbot):
    opened(shown, simulated.folder)
    _, dock = shown.window.add_plugin_dock_widget(PLUGIN, "Open run")
    shown.window.resize(1366, 768)
    qtbot.waitUntil(lambda: dock.widget().width() <= dock.viewport().width())
    for button in dock.findChildren(QPushButton):
        if button.isVisible() and button.text():
            needed = button.fontMetrics().horizontalAdvance(button.text())
            assert button.width() >= needed, button.text()
