"""The Gallery dock: thumbnails, orders, and labels by rubber band, click and key."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel, QPoint, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QSpinBox

from napari_xfelsort.core.event_scores import ScoreSettings, event_scores
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets import gallery_view, keys
from napari_xfelsort.widgets.gallery_dock import PAGE, GalleryDock
from napari_xfelsort.widgets.layers import Opened, run_layers
from napari_xfelsort.widgets.runs import runs_of


@pytest.fixture
def own_run(open_run, simulated, tmp_path):
    """The simulated run, labelled in a folder of its own."""
    run = open_run(simulated.data, simulated.geometry)
    run.use_labels(LabelStore(tmp_path / "labels", "me"))
    return run


@pytest.fixture
def dock(viewer, own_run, qtbot):
    # Not given to qtbot: it would be deleted before its thumbnails are awaited.
    made = GalleryDock(viewer)
    made.resize(360, 900)
    made.show()
    yield made
    made.release()
    qtbot.waitUntil(lambda: made.job is None and made._thumbnails is None, timeout=60_000)
    made.close()


@pytest.fixture
def order(dock, qtbot):
    def choose(text, descending=False):
        combo = dock.findChild(QComboBox, "order")
        dock.findChild(QCheckBox, "descending").setChecked(descending)
        combo.setCurrentText(text)
        combo.activated.emit(combo.currentIndex())
        qtbot.waitUntil(lambda: dock.job is None, timeout=60_000)
        return shown(dock)

    return choose


def shown(dock):
    return [dock.model.event_at(k) for k in range(dock.model.rowCount())]


def select(dock, rows):
    selection = dock.view.selectionModel()
    selection.clear()
    for k in rows:
        selection.select(dock.model.index(k), QItemSelectionModel.SelectionFlag.Select)


def test_thumbnails_of_what_is_seen_come_by_themselves(dock, qtbot):
    qtbot.waitUntil(lambda: len(dock.model._pictures) >= 9, timeout=60_000)
    picture = dock.model._pictures[0].toImage()
    colours = {picture.pixel(x, y) for x in range(0, 90, 5) for y in range(0, 90, 5)}
    assert len(colours) > 20


def test_no_more_thumbnails_are_kept_than_fit(dock, qtbot, monkeypatch):
    monkeypatch.setattr(gallery_view, "_KEPT", 5)
    for i in range(20):
        dock.model.put(i, np.zeros((4, 4, 3), np.uint8))
    assert len(dock.model._pictures) == 5


def test_events_are_shown_by_number_label_and_score(dock, own_run, order):
    assert shown(dock) == list(range(40))
    assert order("event number", descending=True) == list(range(39, -1, -1))
    peaks = event_scores(own_run.stack, ScoreSettings("peaks")).values
    by_peaks = order("stored peaks")
    assert [peaks[i] for i in by_peaks] == sorted(peaks)
    own_run.set_label(7, "bad")
    own_run.set_label(3, "good")
    assert order("label", descending=True)[:2] == [3, 7]


def test_like_stands_beside_like(dock, own_run, order, simulated):
    own_run.go_to(5)
    like = order("like the event shown")
    assert like[0] == 5
    assert sorted(like) == list(range(40))
    looks = order("looks")
    assert sorted(looks) == list(range(40))
    truth = np.array(simulated.good)[looks]
    by_chance = np.array(simulated.good)
    changes = np.count_nonzero(truth[1:] != truth[:-1])
    assert changes < np.count_nonzero(by_chance[1:] != by_chance[:-1])


def test_keys_label_what_is_selected_as_one_step(dock, own_run, qtbot, tmp_path):
    select(dock, [2, 3, 10])
    qtbot.keyClick(dock.view, Qt.Key.Key_W)
    store = LabelStore(tmp_path / "labels", create=False)
    assert {e.event: label for e, label in store.labels().items()} == {
        "//2": "bad",
        "//3": "bad",
        "//10": "bad",
    }
    assert own_run.label_of(10) == "bad"
    assert "3 selected; 3 of 40" in dock.findChild(QLabel, "state").text()
    own_run.undo()
    assert [own_run.label_of(i) for i in (2, 3, 10)] == [None] * 3
    own_run.redo()
    qtbot.keyClick(dock.view, Qt.Key.Key_Q)
    assert own_run.label_of(3) is None
    qtbot.keyClick(dock.view, Qt.Key.Key_0)
    assert own_run.label_of(3) == "ignore"


def test_a_rubber_band_selects(dock, qtbot, own_run):
    viewport = dock.view.viewport()
    qtbot.waitUntil(lambda: dock.view.visualRect(dock.model.index(4)).isValid())
    last = dock.view.visualRect(dock.model.index(4)).bottomRight()
    start = QPoint(dock.view.visualRect(dock.model.index(0)).topLeft())
    dock.view.selectionModel().clear()
    dock.view.setSelection(
        dock.view.visualRect(dock.model.index(0)).united(
            dock.view.visualRect(dock.model.index(4))
        ),
        QItemSelectionModel.SelectionFlag.ClearAndSelect,
    )
    assert viewport is not None
    assert start != last
    chosen = dock.view.selected_events()
    assert set(chosen) >= {0, 4}
    qtbot.mouseClick(dock.findChild(QPushButton, "label_good"), Qt.MouseButton.LeftButton)
    assert all(own_run.label_of(i) == "good" for i in chosen)


def test_a_click_selects_and_a_double_click_goes_there(dock, qtbot, own_run):
    place = dock.view.visualRect(dock.model.index(1)).center()
    qtbot.mouseClick(dock.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert dock.view.selected_events() == [1]
    qtbot.mouseDClick(dock.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert own_run.current == 1


def test_labels_are_seen_on_the_thumbnails(dock, own_run):
    index = dock.model.index(6)
    assert index.data(gallery_view.COLOURS_ROLE) == []
    own_run.set_label(6, "bad")
    (colour,) = index.data(gallery_view.COLOURS_ROLE)
    own_run.set_label(6, "good")
    assert index.data(gallery_view.COLOURS_ROLE) not in ([], [colour])
    assert "good" in index.data(Qt.ItemDataRole.ToolTipRole)


def test_buttons_are_those_of_the_users_classes(dock, qtbot, own_run):
    names = ("good", "bad", *(f"kind{k}" for k in range(8)))
    classes = ClassSet.of_names(names, taken_keys=keys.RESERVED)
    classes.save(own_run.labels.folder)
    own_run.use_classes(classes)
    for each in classes.classes:
        found = dock.findChild(QPushButton, f"label_{each.name}")
        assert each.colour in found.styleSheet()
        assert f"({each.key})" in found.text()
        assert found.toolTip() == f"Label the selected events {each.name}; key {each.key}"
    select(dock, [4, 6])
    qtbot.mouseClick(dock.findChild(QPushButton, "label_kind7"), Qt.MouseButton.LeftButton)
    assert [own_run.label_of(i) for i in (4, 5, 6)] == ["kind7", None, "kind7"]
    (colour,) = dock.model.index(4).data(gallery_view.COLOURS_ROLE)
    assert colour == classes["kind7"].colour
    qtbot.mouseClick(dock.findChild(QPushButton, "label_ignore"), Qt.MouseButton.LeftButton)
    assert own_run.label_of(4) == "ignore"
    qtbot.mouseClick(dock.findChild(QPushButton, "label_clear"), Qt.MouseButton.LeftButton)
    assert own_run.label_of(4) is None
    dock.resize(340, 900)
    qtbot.wait(10)
    assert dock.widget().width() <= 340
    places = [b.geometry() for b in dock.buttons.findChildren(QPushButton)]
    assert max(place.right() for place in places) < 340
    assert not any(a.intersects(b) for k, a in enumerate(places) for b in places[:k])


def test_of_several_classes_one_is_put_on_all_and_taken_off_all(dock, qtbot, own_run):
    classes = ClassSet.of_names(("good", "bad", "ice"), True, keys.RESERVED)
    classes.save(own_run.labels.folder)
    own_run.use_classes(classes)
    own_run.set_label(1, "bad")
    own_run.set_label(2, "bad|ice")
    select(dock, [1, 2, 3])
    ice = dock.findChild(QPushButton, "label_ice")
    qtbot.mouseClick(ice, Qt.MouseButton.LeftButton)
    assert [own_run.label_of(i) for i in (1, 2, 3)] == ["bad|ice", "bad|ice", "ice"]
    qtbot.mouseClick(ice, Qt.MouseButton.LeftButton)
    assert [own_run.label_of(i) for i in (1, 2, 3)] == ["bad", "bad", None]


def test_nothing_selected_is_said(dock, qtbot, own_run):
    dock.view.selectionModel().clear()
    qtbot.keyClick(dock.view, Qt.Key.Key_G)
    assert "Select events" in dock.message.text()
    assert own_run.tally.n_labelled == 0


def test_a_folder_that_cannot_be_written_is_said(dock, qtbot, own_run, monkeypatch):
    from napari_xfelsort.core.errors import LabelError

    def fail(*_):
        raise LabelError("The disk is full.")

    monkeypatch.setattr(own_run.history, "write", fail)
    select(dock, [1])
    qtbot.keyClick(dock.view, Qt.Key.Key_G)
    assert dock.message.text() == "The disk is full."
    assert own_run.label_of(1) is None


def test_long_runs_are_shown_in_pages(viewer, qtbot):
    frames = np.zeros((2 * PAGE + 10, 4, 5), np.float32)
    stack = EventStack([ArraySource(frames, "many.h5")])
    runs_of(viewer).add(run_layers(stack, Opened(("many.h5",))))
    made = GalleryDock(viewer)
    page = made.findChild(QSpinBox, "page")
    assert (page.maximum(), made.model.rowCount()) == (3, PAGE)
    page.setValue(3)
    assert shown(made) == list(range(2 * PAGE, 2 * PAGE + 10))
    made.release()
    qtbot.waitUntil(lambda: made._thumbnails is None, timeout=60_000)


def test_another_region_makes_other_thumbnails(dock, qtbot):
    qtbot.waitUntil(lambda: 0 in dock.model._pictures, timeout=60_000)
    before = dock.model._pictures[0].toImage()
    way = dock.region.way
    way.setCurrentIndex(way.findData("panels"))
    dock.region.panels.setText("p6a0")
    dock.view.viewport().update()
    qtbot.waitUntil(
        lambda: 0 in dock.model._pictures and dock.model._pictures[0].toImage() != before,
        timeout=60_000,
    )
