"""The Label dock, driven by clicks and keys; what counts is what lies on disk."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref

import numpy as np
import pytest
from label_user import User, canvas_of, journal, settled
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QMessageBox,
    QProgressBar,
    QPushButton,
)

from napari_xfelsort.core.browsing import CACHE
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets import label_dock
from napari_xfelsort.widgets.label_dock import RANDOM, STAY, UNLABELLED, LabelDock
from napari_xfelsort.widgets.layers import run_layers
from napari_xfelsort.widgets.runs import runs_of

# --- labelling ---------------------------------------------------------------------------


def test_nothing_open(viewer, user):
    user.press("G")
    assert user.reads("event_number") == "Open a run to label its events."
    assert not user.dock.findChild(QPushButton, "label_good").isEnabled()
    user.dock.label("good")
    assert user.told == "Open a run to label its events."


def test_buttons_label_on_disk_and_go_on(own_run, user):
    assert not os.path.exists(own_run.suggested_labels())  # nothing before the first label
    seen = []
    own_run.shown.connect(lambda i: seen.append((i, journal(own_run))))
    for name in ("label_good", "label_bad", "label_ignore"):
        user.click(name)
    assert journal(own_run) == ["//0 good", "//1 bad", "//2 ignore"]
    # each label was on disk before the next event showed
    assert seen == [(k, journal(own_run)[:k]) for k in (1, 2, 3)]
    assert user.reads("counts") == "good: 1   bad: 1   ignore: 1"
    assert user.reads("total") == "3 of 8 labelled"
    bar = user.dock.findChild(QProgressBar, "labelled")
    assert (bar.value(), bar.maximum()) == (3, 8)
    own_run.go_to(1)
    assert user.reads("event_label") == "bad"
    user.click("label_clear")
    assert own_run.current == 1
    assert journal(own_run)[-1] == "//1 "
    assert user.reads("event_label") == "no label"
    assert user.reads("counts") == "good: 1   bad: 0   ignore: 1"
    user.click("label_clear")
    assert user.told == "Event 1 has no label to take back."
    assert len(journal(own_run)) == 4


def test_keys_label(own_run, user):
    for key in "GW0":
        user.press(key)
    user.press("N")
    assert own_run.current == 4
    own_run.go_to(1)
    user.press("Q")
    assert journal(own_run) == ["//0 good", "//1 bad", "//2 ignore", "//1 "]


def test_the_last_event_stays(own_run, user):
    own_run.go_to(7)
    user.press("G")
    assert (own_run.current, user.told) == (7, "This was the last event of the run.")


def test_ways_to_go_on(own_run, user):
    user.dock.advance.setCurrentText(STAY)
    user.press("G")
    assert own_run.current == 0
    user.dock.advance.setCurrentText(UNLABELLED)
    own_run.go_to(7)
    user.press("W")
    assert own_run.current == 1  # round the end, past the labelled 0
    user.dock.advance.setCurrentText(RANDOM)
    for _ in range(6):
        user.press("G")
    assert user.told == "All 8 events are labelled."
    assert sorted(line.split()[0] for line in journal(own_run)) == [f"//{k}" for k in range(8)]
    user.click("next_unlabelled")
    assert user.told == "All 8 events are labelled."
    user.press("Q")
    here = own_run.current
    user.click("next_unlabelled")
    assert (own_run.current, user.told) == (here, "This is the only event without a label.")


# --- what must not be labelled -------------------------------------------------------------


def test_a_key_typed_ahead_labels_nothing(own_run, user):
    user.press("G")
    user.dock.carry_out("good")  # before events were processed: nobody saw event 1
    assert user.told == "Nothing was labelled: the picture is not drawn yet."
    assert journal(own_run) == ["//0 good"]
    user.settle()
    user.dock.carry_out("good")
    assert journal(own_run) == ["//0 good", "//1 good"]


def test_a_picture_still_loading_is_not_labelled(own_run, user, monkeypatch):
    user.settle()
    monkeypatch.setattr(type(own_run), "is_drawn", False)
    user.press("G")
    assert user.told == "Event 0 was not labelled: its picture is not drawn yet."
    assert (user.is_red, own_run.current, own_run.labels) == (True, 0, None)


def test_a_hidden_or_covered_run_is_not_labelled(own_run, user, open_run, simulated_second):
    own_run.layer.visible = False
    user.press("G")
    assert user.told.endswith(f"the layer {own_run.name} is hidden.")
    own_run.layer.visible = True
    second = open_run(simulated_second.data, simulated_second.geometry)
    runs_of(own_run.viewer).activate(own_run)
    second.layer.visible = True
    user.press("G")
    assert user.told.endswith(f"{second.name} lies over {own_run.name}; hide that layer.")
    assert own_run.labels is None
    second.layer.visible = False
    user.press("G")
    assert journal(own_run) == ["//0 good"]


def test_past_the_end_of_the_shorter_run(own_run, user, open_run, simulated_second):
    second = open_run(simulated_second.data)
    second.layer.visible = False
    runs_of(own_run.viewer).activate(own_run)
    second.go_to(20)
    assert own_run.current is None
    user.press("G")
    assert user.told.startswith("The slider is past this run's last event")
    user.press("N")
    assert own_run.current == 0


def test_an_unreadable_event_is_ignored_only(own, open_run, user, monkeypatch):
    source = open_stack(str(own.data)).sources[0]
    read = type(source).read

    def broken(self, index, *args, **kwargs):
        if index == 6:
            raise UnreadableFileError("Event 6 is torn.")
        return read(self, index, *args, **kwargs)

    monkeypatch.setattr(type(source), "read", broken)
    own_run = open_run(own.data, own.geometry)
    own_run.go_to(6)
    user.press("G")
    assert "cannot be read" in user.told
    assert "Event 6 is torn." in user.told
    assert own_run.current == 6
    user.press("0")
    assert journal(own_run) == ["//6 ignore"]
    assert own_run.current == 7


def test_a_folder_that_cannot_be_made(own_run, user, tmp_path):
    (tmp_path / "file").write_text("")
    user.type("label_folder", str(tmp_path / "file" / "labels"))
    user.press("G")
    assert user.is_red
    assert str(tmp_path / "file") in user.told
    assert own_run.current == 0
    assert user.reads("counts") == "good: 0   bad: 0"


def test_a_label_that_cannot_be_written_stays(own_run, user, monkeypatch):
    user.press("G")
    folder = own_run.suggested_labels()

    def full(*_):
        raise OSError(28, "No space left on device")

    user.settle()
    monkeypatch.setattr(os, "fsync", full)
    user.press("W")
    assert user.is_red
    assert "No space left" in user.told
    assert own_run.current == 1
    assert user.reads("event_label") == "no label"
    assert user.reads("counts") == "good: 1   bad: 0"
    monkeypatch.undo()
    user.press("W")
    assert user.told == ""
    assert LabelStore(folder).counts() == {"good": 1, "bad": 1}


# --- folders and labellers -----------------------------------------------------------------


def test_labelling_resumes(own, open_run, user, viewer):
    folder = own.data.parent / "labels"
    earlier = LabelStore(folder, "earlier")
    run = runs_of(viewer)
    assert run.active is None
    opened = open_run(own.data, own.geometry)
    user.settle()
    assert opened.labels is None  # the folder is there, but holds no label
    viewer.layers.clear()
    stack_ids = [opened.stack.event_id(i) for i in range(3)]
    earlier.set_many([(stack_ids[0], "good"), (stack_ids[2], "bad")])
    opened = open_run(own.data, own.geometry)
    user.settle()
    assert user.reads("counts") == "good: 1   bad: 1"
    assert user.reads("event_label") == "good"
    user.click("next_unlabelled")
    assert opened.current == 1
    user.click("next_unlabelled")
    assert opened.current == 3


def test_others_labels_after_reload(own_run, user):
    user.press("G")
    other = LabelStore(own_run.suggested_labels(), "colleague")
    other.set(own_run.stack.event_id(5), "bad")
    other.set(own_run.stack.event_id(0), "bad")
    assert user.reads("counts") == "good: 1   bad: 0"
    user.click("reload")
    assert user.reads("counts") == "good: 0   bad: 2"
    user.press("G")  # goes on into the same journal
    assert journal(own_run, "colleague") == ["//5 bad", "//0 bad"]
    assert LabelStore(own_run.suggested_labels()).counts() == {"bad": 2, "good": 1}


def test_labeller_names_the_journal(own_run, user):
    user.type("labeller", "Jo Li")
    user.press("G")
    user.type("labeller", "Mo")
    user.press("W")
    folder = own_run.suggested_labels()
    assert sorted(os.listdir(folder)) == ["labels-Jo Li.csv", "labels-Mo.csv"]
    assert (journal(own_run, "Jo"), journal(own_run, "Mo")) == (["//0 good"], ["//1 bad"])
    assert user.reads("counts") == "good: 1   bad: 1"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 65, ".hidden", "CON"])
def test_bad_labellers(own_run, user, name):
    user.type("labeller", name)
    assert user.is_red
    assert "labeller" in user.told
    user.press("G")
    assert user.is_red
    assert own_run.labels is None
    assert not os.path.exists(own_run.suggested_labels())


def test_names_typed_but_not_left_count(own_run, user, tmp_path):
    user.dock.labeller.setText("Jo")
    user.dock.folder.line.setText(str(tmp_path / "there"))
    user.press("G")
    assert os.listdir(tmp_path / "there") == ["labels-Jo.csv"]
    user.dock.labeller.setText("Mo")
    user.press("G")  # Mo's store is opened first
    assert "Nothing was labelled" in user.told
    user.press("G")
    assert sorted(os.listdir(tmp_path / "there")) == ["labels-Jo.csv", "labels-Mo.csv"]


def test_another_folder(own_run, user, tmp_path):
    user.press("G")
    LabelStore(tmp_path / "two", "x").set(own_run.stack.event_id(4), "bad")
    user.type("label_folder", str(tmp_path / "two"))
    assert user.reads("counts") == "good: 0   bad: 1"
    assert own_run.label_of(4) == "bad"
    user.type("label_folder", "")
    assert own_run.labels is None
    user.press("G")
    assert user.told == "Choose a folder for the labels first."
    user.type("label_folder", own_run.suggested_labels())
    assert user.reads("counts") == "good: 1   bad: 0"


def test_a_file_is_no_folder(own_run, user, own):
    user.type("label_folder", str(own.data))
    assert user.is_red
    assert "is a file" in user.told


def test_lines_that_cannot_be_used_are_told(own, open_run, user):
    folder = own.data.parent / "labels"
    folder.mkdir()
    (folder / "labels-x.csv").write_text("time,file,event,label,source,note\nrubbish\n")
    open_run(own.data)
    user.settle()
    assert "labels-x.csv" in user.told


def test_labels_of_other_events_are_counted_apart(own, open_run, user, simulated_second):
    run = open_run(own.data)
    user.press("G")
    other = open_run(simulated_second.data)
    user.type("label_folder", run.suggested_labels())
    user.settle()
    assert user.reads("total") == "0 of 30 labelled; 1 labels of other events"
    assert run.labels is not other.labels


def test_each_run_keeps_its_store(own_run, user, open_run, simulated_second, tmp_path):
    user.press("G")
    second = open_run(simulated_second.data)
    user.type("label_folder", str(tmp_path / "second"))
    user.press("W")
    assert user.reads("total") == "1 of 30 labelled"
    second.layer.visible = False
    runs_of(own_run.viewer).activate(own_run)
    own_run.go_to(1)
    user.press("G")
    assert user.reads("total") == "2 of 8 labelled"
    assert user.dock.folder.path() == own_run.suggested_labels()
    assert journal(own_run) == ["//0 good", "//1 good"]
    assert LabelStore(tmp_path / "second").counts() == {"bad": 1}


def test_a_run_that_is_opened_anew_keeps_its_labels(own_run, user, own):
    user.press("G")
    user.press("W")
    own_run.replace(run_layers(open_stack(str(own.data)), own_run.opened))  # no geometry
    user.settle()
    assert user.reads("total") == "2 of 8 labelled"
    assert user.dock._of(own_run).stack is own_run.stack


def test_two_docks_of_a_viewer(viewer, own_run, user, qtbot):
    second = LabelDock(viewer)
    qtbot.addWidget(second)
    other = User(second, qtbot)
    user.click("label_good")
    user.settle()
    other.settle()
    other.click("label_bad")
    assert user.reads("counts") == other.reads("counts") == "good: 1   bad: 1"
    user.dock.release()
    other.press("G")
    second.release()
    other.press("G")
    assert journal(own_run) == ["//0 good", "//1 bad", "//2 good"]


# --- lists ---------------------------------------------------------------------------------


def test_write_lists(own_run, user, monkeypatch):
    user.click("write_lists")
    assert user.told.startswith("Nothing is labelled yet")
    user.press("0")
    user.click("write_lists")
    assert user.told == "No event has a class yet, so no list was written."
    for key in "GGW":
        user.press(key)
    user.click("write_lists")
    folder = own_run.suggested_labels()
    assert user.told == f"Wrote bad.lst (1), good.lst (2) in {folder}."

    def lines(name: str) -> list[str]:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return [line.split()[-1] for line in file]

    assert (lines("good.lst"), lines("bad.lst")) == (["//1", "//2"], ["//3"])
    user.press("W")
    asked = []

    def answer(parent, title, text):
        asked.append(text)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(label_dock.QMessageBox, "question", answer)
    user.click("write_lists")
    assert lines("bad.lst") == ["//3"]
    assert asked == [f"Replace bad.lst, good.lst in {folder}?"]
    monkeypatch.setattr(
        label_dock.QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes
    )
    user.click("write_lists")
    assert lines("bad.lst") == ["//3", "//4"]


def test_lists_that_cannot_be_written(own_run, user):
    user.press("G")
    os.mkdir(os.path.join(own_run.suggested_labels(), "good.lst"))
    user.dock._may_replace = lambda paths: True
    user.click("write_lists")
    assert user.is_red
    assert "good.lst" in user.told


# --- in a real window ----------------------------------------------------------------------


def send(widget, kind: QEvent.Type, key: Qt.Key, repeated: bool) -> None:
    """What the window system sends: a held key is many presses and releases, marked so."""
    text = chr(key).lower()
    event = QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier, text, repeated)
    QApplication.sendEvent(widget, event)


def test_keys_on_the_canvas(window, qtbot):
    _, run, dock = window
    canvas = canvas_of(dock)
    for key in (Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_0):
        settled(dock, qtbot)
        qtbot.keyClick(canvas, key)
    assert journal(run) == ["//0 good", "//1 bad", "//2 ignore"]
    settled(dock, qtbot)
    qtbot.keyClick(dock.buttons, Qt.Key.Key_G)  # the dock passes keys on
    assert journal(run)[3:] == ["//3 good"]


def test_a_held_label_key_labels_once(window, qtbot):
    _, run, dock = window
    canvas = canvas_of(dock)
    settled(dock, qtbot)
    send(canvas, QEvent.Type.KeyPress, Qt.Key.Key_G, repeated=False)
    for _ in range(10):
        settled(dock, qtbot)
        send(canvas, QEvent.Type.KeyRelease, Qt.Key.Key_G, repeated=True)
        send(canvas, QEvent.Type.KeyPress, Qt.Key.Key_G, repeated=True)
    send(canvas, QEvent.Type.KeyRelease, Qt.Key.Key_G, repeated=False)
    assert journal(run) == ["//0 good"]
    assert run.current == 1


def test_keys_typed_ahead_label_what_was_seen(window, qtbot):
    _, run, dock = window
    canvas = canvas_of(dock)
    settled(dock, qtbot)
    none = Qt.KeyboardModifier.NoModifier
    for _ in range(3):
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            QApplication.postEvent(canvas, QKeyEvent(kind, Qt.Key.Key_G, none, "g"))
    qtbot.waitUntil(lambda: run.current == 1)
    settled(dock, qtbot)
    assert journal(run) == ["//0 good"]
    assert dock.message.text() == "Nothing was labelled: the picture is not drawn yet."


def test_holding_k_goes_on_and_stops(window, qtbot):
    _, run, dock = window
    canvas = canvas_of(dock)
    canvas.setFocus()
    settled(dock, qtbot)
    send(canvas, QEvent.Type.KeyPress, Qt.Key.Key_K, repeated=False)
    qtbot.waitUntil(lambda: run.current >= 3)
    send(canvas, QEvent.Type.KeyRelease, Qt.Key.Key_K, repeated=False)
    here = run.current
    assert here < 7
    qtbot.wait(100)
    assert run.current == here
    assert run.labels is None


def test_label_keys_leave_other_layers_alone(window, qtbot):
    viewer, run, dock = window
    canvas = canvas_of(dock)
    mask = run.companions.layer("mask")
    shapes = viewer.add_shapes([np.array([[0, 0], [0, 9], [9, 9], [9, 0]])])
    shapes.selected_data = {0}
    for layer in (mask, shapes):
        viewer.layers.selection.active = layer
        before = (layer.mode, np.array(layer.data).copy(), len(viewer.layers))
        selected = getattr(layer, "selected_label", None)
        for key in (Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_0, Qt.Key.Key_Q, Qt.Key.Key_N):
            settled(dock, qtbot)
            qtbot.keyClick(canvas, key)
        assert (layer.mode, len(viewer.layers)) == (before[0], before[2])
        np.testing.assert_array_equal(np.array(layer.data), before[1])
        assert getattr(layer, "selected_label", None) == selected
    assert len(journal(run)) == 6  # Q found nothing to take back


def test_nothing_is_left_of_a_dock_that_is_removed(window, qtbot):
    viewer, run, _ = window
    dock = LabelDock(viewer)
    viewer.window.add_dock_widget(dock, name="Second", area="right")
    canvas = canvas_of(dock)
    settled(dock, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    viewer.window.remove_dock_widget(window[2])
    viewer.window.remove_dock_widget(dock)
    gone = weakref.ref(dock)
    del dock
    for key in (Qt.Key.Key_G, Qt.Key.Key_W):
        qtbot.keyClick(canvas, key)
    assert journal(run) == ["//0 good"]
    free = {"G", "W", "0", "Q", "N"}
    for owner in (viewer, *viewer.layers):
        assert not free & {str(key) for key in owner.keymap}
    run.go_to(4)  # what the dock listened to goes on without it
    run.set_label(4, "bad")
    viewer.layers.remove(run.layer)
    qtbot.wait(50)
    gc.collect()
    assert gone() is None


def test_a_picture_that_loads_in_the_background(window, qtbot, monkeypatch):
    from napari.settings import get_settings

    viewer, run, dock = window
    viewer.layers.remove(run.companions.layer("peaks"))  # of peaks is another test
    canvas = canvas_of(dock)
    source = run.stack.sources[0]
    read, gate = type(source).read, threading.Event()

    def slow(self, index, *args, **kwargs):
        assert gate.wait(120)
        return read(self, index, *args, **kwargs)

    qtbot.waitUntil(lambda: not run.frames.store.fetching)  # what is near was fetched ahead
    CACHE.drop(lambda key: True)
    settings = get_settings().experimental
    monkeypatch.setattr(settings, "async_", True)
    monkeypatch.setattr(type(source), "read", slow)
    try:
        run.go_to(7)
        settled(dock, qtbot)
        assert not run.is_drawn
        qtbot.keyClick(canvas, Qt.Key.Key_G)
        assert dock.message.text() == "Event 7 was not labelled: its picture is not drawn yet."
        assert run.labels is None
    finally:
        gate.set()
    qtbot.waitUntil(lambda: run.is_drawn)
    settled(dock, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert journal(run) == ["//7 good"]
    settings.async_ = False  # what napari still slices ends before its window does
    qtbot.wait(100)


def test_a_hidden_dock_labels_nothing_and_says_so(window, qtbot, monkeypatch):
    _, run, dock = window
    canvas = canvas_of(dock)
    holder = dock.parentWidget()
    while not isinstance(holder, QDockWidget):
        holder = holder.parentWidget()
    told = []
    monkeypatch.setattr(label_dock, "show_warning", told.append)
    settled(dock, qtbot)
    holder.hide()
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert (run.labels, run.current) == (None, 0)
    assert len(told) == 1
    assert "the Label dock is hidden" in told[0]
    holder.show()
    settled(dock, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    holder.setFloating(True)
    settled(dock, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_W)
    assert journal(run) == ["//0 good", "//1 bad"]


def test_several_events_at_once_are_not_labelled(own_run, user, viewer):
    user.settle()
    viewer.dims.order = (1, 0, 2)  # 8 events are few enough to be shown as an axis
    user.press("G")
    assert own_run.labels is None
    assert "several events are shown at once" in user.told
    viewer.dims.order = (0, 1, 2)
    user.press("G")
    assert journal(own_run) == ["//0 good"]
    viewer.dims.ndisplay = 3
    user.press("W")
    assert journal(own_run) == ["//0 good"]


def test_only_a_folder_that_is_not_there_is_said_to_be_made(own_run, user, tmp_path):
    user.press("G")
    user.type("label_folder", str(tmp_path / "new"))
    assert user.told == f"{tmp_path / 'new'} is made with the first label."
    user.type("label_folder", own_run.suggested_labels())
    assert (user.told, user.reads("counts")) == ("", "good: 1   bad: 0")


def test_a_label_folder_that_was_deleted_is_made_anew_after_reload(own_run, user):
    user.press("G")
    shutil.rmtree(own_run.suggested_labels())
    user.press("W")
    assert (user.is_red, own_run.current) == (True, 1)
    user.click("reload")
    assert user.reads("counts") == "good: 0   bad: 0"
    user.press("W")
    assert journal(own_run) == ["//1 bad"]
