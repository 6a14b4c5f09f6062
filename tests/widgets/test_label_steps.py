"""Undo, redo and repeat in the Label dock, by buttons and by real keys."""

from __future__ import annotations

import os

from label_user import canvas_of, journal, labels_on_disk, settled
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_xfelsort.core.label_journal import LabelLine
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.label_dock import LabelDock


def test_undo_and_redo_without_end(own_run, user):
    for key in "GWG0W":
        user.press(key)
    own_run.go_to(1)
    user.press("Q")
    states = [labels_on_disk(own_run)]
    told = []
    for _ in range(6):
        user.press("U")
        told.append((own_run.current, user.told))
        states.append(labels_on_disk(own_run))
    assert told[0] == (1, "Undone: label taken back of run0001.cxi //1.")
    assert told[1] == (4, "Undone: label bad of run0001.cxi //4.")
    assert told[5] == (0, "Undone: label good of run0001.cxi //0.")
    assert states[1] == {"//0": "good", "//1": "bad", "//2": "good", "//3": "ignore", "//4": "bad"}
    assert states[6] == {}
    assert user.reads("total") == "0 of 8 labelled"
    user.press("U")
    assert user.told == "There is nothing to undo."
    for k in range(6):
        user.press("9")
        assert labels_on_disk(own_run) == states[5 - k]
    assert (own_run.current, user.told) == (1, "Done again: label taken back of run0001.cxi //1.")
    user.press("9")
    assert user.told == "There is nothing to redo."
    assert user.reads("counts") == "good: 2   bad: 1   ignore: 1"


def test_a_new_label_ends_redo(own_run, user):
    user.press("G")
    user.press("U")
    user.press("W")
    user.press("9")
    assert user.told == "There is nothing to redo."
    assert labels_on_disk(own_run) == {"//0": "bad"}


def test_buttons_say_what_they_do(own_run, user):
    repeat, undo, redo = (
        user.dock.findChild(QPushButton, name) for name in ("repeat", "undo", "redo")
    )
    assert not any(one.isEnabled() for one in (repeat, undo, redo))
    user.press("W")
    assert "label bad of run0001.cxi //0" in undo.toolTip()
    assert "bad" in repeat.toolTip()
    user.click("repeat")
    assert labels_on_disk(own_run) == {"//0": "bad", "//1": "bad"}
    user.click("undo")
    assert (labels_on_disk(own_run), own_run.current) == ({"//0": "bad"}, 1)
    user.click("redo")
    assert labels_on_disk(own_run) == {"//0": "bad", "//1": "bad"}
    assert not redo.isEnabled()


def test_undo_puts_a_colleagues_label_back(own, open_run, user):
    run = open_run(own.data, own.geometry)
    other = LabelStore(run.suggested_labels(), "colleague")
    other.set(run.stack.event_id(0), "bad")
    user.click("reload")
    user.press("G")
    user.press("U")
    assert labels_on_disk(run) == {"//0": "bad"}
    assert user.reads("event_label") == "bad"


def test_what_can_be_undone_outlives_reload(own_run, user):
    user.press("G")
    user.click("reload")
    user.press("U")
    assert labels_on_disk(own_run) == {}
    assert own_run.label_of(0) is None


def test_undo_of_many_labels_of_another_dock(own_run, user):
    user.press("G")
    many = [LabelLine(own_run.stack.event_id(i), "bad", "rule:x") for i in range(8)]
    own_run.history.write(many, "rule x")
    own_run.note_labels([line.event for line in many])
    assert user.reads("counts") == "good: 0   bad: 8"
    user.press("U")
    assert user.told == "Undone: rule x."
    assert user.reads("counts") == "good: 1   bad: 0"
    assert labels_on_disk(own_run) == {"//0": "good"}


def test_nothing_to_repeat(own_run, user):
    user.press("8")
    assert (user.told, user.is_red) == ("There is no label to repeat yet.", True)
    assert own_run.labels is None


def test_undo_that_cannot_be_written(own_run, user, monkeypatch):
    user.press("G")
    user.settle()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    user.press("U")
    assert "No space left" in user.told
    assert user.reads("counts") == "good: 1   bad: 0"
    monkeypatch.undo()
    user.press("U")
    assert labels_on_disk(own_run) == {}


def test_real_keys_undo_redo_repeat(window, qtbot):
    _, run, dock = window
    canvas = canvas_of(dock)
    for key in (Qt.Key.Key_W, Qt.Key.Key_8, Qt.Key.Key_U, Qt.Key.Key_U, Qt.Key.Key_9):
        settled(dock, qtbot)
        qtbot.keyClick(canvas, key)
    assert labels_on_disk(run) == {"//0": "bad"}
    assert run.current == 0
    assert journal(run) == ["//0 bad", "//1 bad", "//1 ", "//0 ", "//0 bad"]


def test_undo_while_the_dock_is_hidden_is_refused(own_run, user, monkeypatch):
    user.press("G")
    user.settle()
    monkeypatch.setattr(LabelDock, "is_put_away", True)
    monkeypatch.setattr("napari_xfelsort.widgets.label_dock.show_warning", lambda _: None)
    user.dock.carry_out("/undo")
    assert labels_on_disk(own_run) == {"//0": "good"}


def test_a_label_is_counted_once(own_run, user, monkeypatch):
    panel, counted = user.dock.tally_panel, []
    show_tally = panel.show_tally

    def counting(tally, *rest):
        counted.append(tally.n_labelled)
        show_tally(tally, *rest)

    user.press("G")  # the label folder is made, and read
    monkeypatch.setattr(panel, "show_tally", counting)
    for n in range(2, 9):
        user.press("W")
        assert user.reads("total") == f"{n} of 8 labelled"
    assert counted == list(range(2, 9))
    user.press("0")  # of the last event, which stays
    assert user.reads("counts") == "good: 1   bad: 6   ignore: 1"
    assert user.reads("event_label") == "ignore"
    assert len(counted) == 8
    user.dock.advance.setCurrentText("stay")
    counted.clear()
    user.press("G")
    assert (user.reads("event_label"), counted) == ("good", [8])
