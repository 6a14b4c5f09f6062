"""Importing lists of events in the Event table dock."""

from __future__ import annotations

import pytest
from label_user import labels_on_disk
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QTableWidget

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.event_dock import EventTableDock
from napari_xfelsort.widgets.list_dialog import ListDialog


@pytest.fixture
def dock(viewer, own_run, qtbot):
    made = EventTableDock(viewer)  # not given to qtbot: it would be deleted before its work ends
    yield made
    qtbot.waitUntil(lambda: made.job is None and not made.is_comparing, timeout=30_000)
    made.release()
    made.close()


@pytest.fixture
def pick(dock, own, qtbot, monkeypatch):
    """Chooses lists of these texts, changes classes, and imports; the message is returned."""

    def choose(texts, classes=None):
        folder = own.data.parent / "lists"
        folder.mkdir(exist_ok=True)
        paths = [str(folder / name) for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            with open(path, "w") as out:
                out.write(text.replace("DATA", str(own.data)))
        monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (paths, ""))
        qtbot.mouseClick(dock.import_button, Qt.MouseButton.LeftButton)
        (dialog,) = dock.findChildren(ListDialog)
        table = dialog.findChild(QTableWidget, "lists")
        for k, name in enumerate(classes or []):
            table.item(k, 0).setText(name)
        shown = [table.item(k, 0).text() for k in range(table.rowCount())]
        (accept,) = [b for b in dialog.findChildren(QPushButton) if b.text() == "Import"]
        qtbot.mouseClick(accept, Qt.MouseButton.LeftButton)
        refused = dialog.message.text()
        if refused:
            dialog.reject()
        qtbot.waitUntil(
            lambda: dock.job is None and dock.message.text() != "Importing lists …",
            timeout=30_000,
        )
        qtbot.waitUntil(lambda: not dock.findChildren(ListDialog), timeout=30_000)
        return shown, refused or dock.message.text()

    return choose


def test_lists_are_labels_of_the_class_they_are_named_after(dock, own_run, pick):
    shown, told = pick({"good.lst": "DATA //0\nDATA //3\n", "bad.txt": "DATA //1\nDATA //1\n"})
    assert shown == ["good", "bad"]
    assert told.startswith("Labelled from lists: 2 good, 1 bad.")
    assert "bad.txt names 1 event more than once; each counts once." in told
    assert labels_on_disk(own_run) == {"//0": "good", "//1": "bad", "//3": "good"}
    assert [own_run.label_of(i) for i in range(4)] == ["good", "bad", None, "good"]
    own_run.undo()
    assert [own_run.label_of(i) for i in range(4)] == [None] * 4
    own_run.redo()
    assert own_run.label_of(3) == "good"


def test_the_class_can_be_changed_and_several_lists_be_of_one(dock, own_run, pick):
    texts = {"a.lst": "DATA //0\n", "b.lst": "DATA //2\nDATA //0\n", "hits.lst": "DATA //5\n"}
    shown, told = pick(texts, ["ice", "ice"])
    assert shown == ["ice", "ice", "hits"]
    assert "2 ice, 1 hits" in told
    assert "b.lst names 1 event more than once" in told
    assert labels_on_disk(own_run) == {"//0": "ice", "//2": "ice", "//5": "hits"}
    assert set(own_run.classes.names) == {"good", "bad", "ice", "hits"}


def test_lists_of_padt_are_good_and_bad_whatever_file_they_are_of(dock, own_run, pick):
    texts = {
        "goodEvents-modelSort-run1.list": "DATA //0\n",
        "goodEvents-advanceSort-run2.list": "DATA //1\n",
        "badEvents-modelSort-run1.list": "DATA //2\n",
    }
    assert pick(texts)[0] == ["good", "good", "bad"]
    assert labels_on_disk(own_run) == {"//0": "good", "//1": "good", "//2": "bad"}


def test_contradictory_lists_label_nothing(dock, own_run, pick):
    _, told = pick({"good.lst": "DATA //0\nDATA //1\n", "bad.lst": "DATA //2\nDATA //1\n"})
    assert "//1 is in" in told
    assert "line 2 of" in told
    assert told.endswith("Nothing was labelled.")
    assert own_run.tally is None or own_run.tally.n_labelled == 0


def test_what_people_labelled_is_kept(dock, own_run, pick):
    folder = own_run.suggested_labels()
    ids = [own_run.stack.event_id(i) for i in range(4)]
    LabelStore(folder, "ann").set(ids[0], "bad")
    LabelStore(folder, "ann").set(ids[1], "bad", source="rule:mean")
    LabelStore(folder, "ann").set(ids[2], "good")
    own_run.use_labels(LabelStore(folder, "me"))
    _, told = pick({"good.lst": "".join(f"DATA //{i}\n" for i in range(4)) + "x.h5 //7\n"})
    assert "Labelled from lists: 3 good." in told
    assert "1 that people labelled otherwise keep their labels." in told
    assert "1 had the same label already." in told
    assert "1 are not events of this run." in told
    assert [own_run.label_of(i) for i in range(4)] == ["bad", "good", "good", "good"]


def test_files_that_are_no_lists_are_told(dock, own_run, pick):
    _, told = pick({"good.lst": "DATA //0\n", "bad.lst": "\0\0"})
    assert "is a binary file and no list of events" in told
    _, told = pick({"good.lst": "DATA //0\n"}, ["no/class"])
    assert "'no/class' cannot name a class" in told
    _, told = pick({"good.lst": "DATA //0\n"}, ["ignore"])
    assert "cannot name a class" in told
    assert own_run.tally is None or own_run.tally.n_labelled == 0


def test_no_run_no_button_and_nothing_chosen(viewer, qtbot, monkeypatch):
    made = EventTableDock(viewer)
    qtbot.addWidget(made)
    assert not made.import_button.isEnabled()
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([], ""))
    made.import_lists()
    assert made.findChildren(ListDialog) == []
    assert made.findChild(QLabel, "listed").text() == ""
    made.release()
