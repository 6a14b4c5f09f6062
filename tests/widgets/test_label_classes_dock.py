"""Classes of the user's own in the Label dock: keys, buttons, several an event."""

from __future__ import annotations

import os

import pytest
from label_user import User, canvas_of, journal, labels_on_disk, settled
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox, QPushButton

from napari_xfelsort.core.label_classes import ClassSet, LabelClass
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.class_dialog import ClassDialog
from napari_xfelsort.widgets.overlay import text_overlay

THREE = ClassSet.of_names(["hit", "blank", "ice"], taken_keys="089HJKNQU")


class Dialog:
    """What a person does in the table of classes."""

    def __init__(self, user: User) -> None:
        self.user = user
        user.click("edit_classes")
        (self.dialog,) = user.dock.findChildren(ClassDialog)

    def press(self, name: str) -> None:
        found = self.dialog.findChild(QPushButton, name)
        self.user.qtbot.mouseClick(found, Qt.MouseButton.LeftButton)

    def ok(self) -> str:
        box = self.dialog.findChild(QDialogButtonBox)
        found = box.button(QDialogButtonBox.StandardButton.Ok)
        self.user.qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        return self.dialog.message.text()

    def fill(self, *rows: tuple[str, str]) -> None:
        table = self.dialog.table
        while table.rowCount() < len(rows):
            self.press("class_add")
        for number, (name, key) in enumerate(rows):
            table.item(number, 0).setText(name)
            table.item(number, 2).setText(key)


def titles(user: User) -> list[str]:
    return [made.text() for made in user.dock.buttons.findChildren(QPushButton)]


def test_classes_from_the_dialog_label_and_are_kept(own_run, user):
    dialog = Dialog(user)
    dialog.fill(("hit", "1"), ("blank", "b"), ("ice", "I"))
    assert dialog.ok() == ""
    assert titles(user) == ["Hit  (1)", "Blank  (B)", "Ice  (I)", "Ignore  (0)", "Take back  (Q)"]
    assert not os.path.exists(own_run.suggested_labels())
    for key in "1BI":
        user.press(key)
    assert labels_on_disk(own_run) == {"//0": "hit", "//1": "blank", "//2": "ice"}
    user.press("G")  # good is no class now
    assert own_run.current == 3
    assert len(journal(own_run)) == 3
    kept = ClassSet.load(own_run.suggested_labels())
    assert [(each.name, each.key) for each in kept.classes] == [
        ("hit", "1"),
        ("blank", "B"),
        ("ice", "I"),
    ]
    assert user.reads("counts") == "hit: 1   blank: 1   ice: 1"
    assert "B: label blank, and advance" in user.reads("shortcuts")


@pytest.mark.parametrize("key", ["0", "8", "9", "U", "K", "N"])
def test_reserved_keys_are_refused(own_run, user, key):
    dialog = Dialog(user)
    dialog.fill(("hit", key), ("blank", "B"))
    assert dialog.ok().startswith(f"The key {key} of the class 'hit' is taken (")
    assert dialog.dialog.isVisible()
    assert own_run.classes == ClassSet()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((("a/b", "1"), ("c", "2")), "cannot name a class"),
        ((("ignore", "1"), ("c", "2")), "meaning of its own"),
        ((("a", "1"), ("A", "2")), "differ only by capitals"),
        ((("a", "1"), ("b", "1")), "both have the key 1"),
        ((("a", "10"), ("b", "1")), "must be one letter"),
        ((("", "1"), ("b", "2")), "1 to 64 letters"),
    ],
)
def test_wrong_classes_are_refused(own_run, user, rows, said):
    dialog = Dialog(user)
    dialog.fill(*rows)
    assert said in dialog.ok()
    assert own_run.classes == ClassSet()


def test_ten_classes_and_no_more(own_run, user):
    dialog = Dialog(user)
    for _ in range(9):
        dialog.press("class_add")
    assert dialog.dialog.table.rowCount() == 10
    assert "10" in dialog.dialog.message.text()
    assert dialog.ok() == ""
    assert len(own_run.classes.names) == 10


def test_a_class_in_use_stays(own_run, user):
    user.press("G")
    dialog = Dialog(user)
    dialog.dialog.table.setCurrentCell(0, 0)
    dialog.press("class_remove")
    dialog.ok()
    assert user.told == "Some events are still labelled good, so this stays a class."
    assert own_run.classes.names == ("bad", "good")


def test_several_classes_an_event(own_run, user):
    dialog = Dialog(user)
    dialog.fill(("hit", "1"), ("ice", "I"), ("shadow", "S"))
    user.qtbot.mouseClick(dialog.dialog.several, Qt.MouseButton.LeftButton)
    dialog.dialog.several.setChecked(True)
    assert dialog.ok() == ""
    for key in "IS1S":
        user.press(key)
    assert own_run.current == 0
    assert labels_on_disk(own_run) == {"//0": "hit|ice"}
    assert user.reads("event_label") == "hit + ice"
    assert user.reads("counts") == "hit: 1   ice: 1   shadow: 0"
    user.press("U")
    assert labels_on_disk(own_run) == {"//0": "hit|ice|shadow"}
    user.press("K")
    user.press("8")
    assert labels_on_disk(own_run)["//1"] == "hit|ice"
    user.press("I")
    user.press("1")
    assert "//1" not in labels_on_disk(own_run)
    assert ClassSet.load(own_run.suggested_labels()).multi_label


def test_classes_of_the_folder_are_loaded(own, open_run, user, viewer):
    folder = own.data.parent / "labels"
    folder.mkdir()
    THREE.save(folder)
    run = open_run(own.data, own.geometry)
    user.settle()
    assert run.classes == THREE
    user.press(THREE["hit"].key)
    assert labels_on_disk(run) == {"//0": "hit"}
    run.go_to(0)
    expected = [int(THREE["hit"].colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    assert list(text_overlay(viewer).color)[:3] == pytest.approx(expected, abs=0.01)


def test_a_classes_file_that_cannot_be_used_is_told(own, open_run, user):
    folder = own.data.parent / "labels"
    folder.mkdir()
    (folder / "classes.toml").write_text("class = 3\n")
    run = open_run(own.data, own.geometry)
    user.settle()
    assert "classes.toml" in user.told
    assert run.classes == ClassSet()


def test_reserved_keys_of_a_file_are_not_bound(own, open_run, user):
    folder = own.data.parent / "labels"
    folder.mkdir()
    ClassSet((LabelClass("hit", "#009e73", "K"), LabelClass("x", "#d55e00", "X"))).save(folder)
    run = open_run(own.data, own.geometry)
    user.settle()
    user.press("K")
    assert (run.current, journal(run) if run.labels and os.listdir(folder)[1:] else []) == (1, [])
    user.press("X")
    assert labels_on_disk(run) == {"//1": "x"}


def test_classes_that_labels_have_besides(own, open_run, user):
    run = open_run(own.data, own.geometry)
    LabelStore(run.suggested_labels(), "colleague").set(run.stack.event_id(2), "ice")
    user.click("reload")
    assert run.classes.names == ("good", "bad", "ice")
    assert user.reads("counts") == "good: 0   bad: 0   ice: 1"
    user.click("label_ice")
    assert labels_on_disk(run) == {"//2": "ice", "//0": "ice"}


def test_two_runs_with_other_classes(own_run, user, open_run, simulated_second, tmp_path, viewer):
    THREE.save(tmp_path)
    second = open_run(simulated_second.data)
    user.type("label_folder", str(tmp_path))
    assert user.dock.buttons.findChild(QPushButton, "label_ice") is not None
    second.layer.visible = False
    viewer.layers.selection.active = own_run.layer
    user.settle()
    assert titles(user)[:2] == ["Good  (G)", "Bad  (W)"]
    user.press("G")
    assert labels_on_disk(own_run) == {"//0": "good"}


def test_real_keys_of_classes_win_over_those_of_napari(window, qtbot):
    viewer, run, dock = window
    canvas = canvas_of(dock)
    settled(dock, qtbot)
    dock.use_classes(
        ClassSet((LabelClass("one", "#009e73", "1"), LabelClass("two", "#d55e00", "V")))
    )
    before = (run.layer.mode, run.layer.visible)
    for key in (Qt.Key.Key_1, Qt.Key.Key_V, Qt.Key.Key_1):
        settled(dock, qtbot)
        qtbot.keyClick(canvas, key)
    assert labels_on_disk(run) == {"//0": "one", "//1": "two", "//2": "one"}
    assert (run.layer.mode, run.layer.visible) == before
    points = viewer.add_points([[0, 1, 1]])  # its own keys are left to it
    viewer.layers.selection.active = points
    settled(dock, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_1)
    assert len(labels_on_disk(run)) == 3
