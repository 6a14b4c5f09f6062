"""Selections of the SPI dock are there again when the dock is opened again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton
from spi_user import select

from napari_xfelsort.core.spi import kept_selections
from napari_xfelsort.core.spi.kept_selections import FOLDER, REMOVED
from napari_xfelsort.core.spi.selections import Selection
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.spi_dock import SpiDock

WAIT = 60_000


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(own_run):
    return own_run


@pytest.fixture
def folder(own):
    return own.data.parent / FOLDER


@pytest.fixture
def make_dock(viewer, qtbot):
    def make():
        dock = SpiDock(viewer)
        qtbot.addWidget(dock, before_close_func=lambda dock: close(dock, qtbot))
        dock.show()
        dock.tabs.setCurrentWidget(dock.choosing)
        return dock

    return make


def close(dock, qtbot):
    """As napari does: the dock is let go of; once more does no harm."""
    qtbot.waitUntil(lambda: dock.job is None and not dock.densities.reading, timeout=WAIT)
    dock.release()
    dock.hide()


def press(dock, name, qtbot):
    qtbot.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def contents(dock):
    return {name: chosen.numbers.tolist() for name, chosen in dock.selections.items.items()}


def problems(dock):
    return dock.findChild(QLabel, "selection_problems").text()


def test_all_come_back_when_the_dock_is_opened_again(
    make_dock, run, folder, tmp_path, qtbot, monkeypatch
):
    dock = make_dock()
    dock.sizes.keep("55-84 nm", [1, 3, 5, 6], "diameters from 55 to 84 nm")
    dock.classes.keep("classes", np.array([5, 3, 0]))
    listed = tmp_path / "theirs.lst"
    Selection("", tuple(run.stack.event_id(k) for k in (0, 7))).save(listed)
    monkeypatch.setattr(
        QFileDialog, "getOpenFileNames", staticmethod(lambda *_, **__: ([str(listed)], ""))
    )
    press(dock, "load_lists", qtbot)
    listed.unlink()  # a copy is kept
    for name in ("union", "intersection", "difference"):
        select(dock, "55-84 nm", "classes")
        press(dock, name, qtbot)
    made = contents(dock)
    assert made == {
        "55-84 nm": [1, 3, 5, 6],
        "classes": [0, 3, 5],
        "theirs": [0, 7],
        "55-84 nm | classes": [0, 1, 3, 5, 6],
        "55-84 nm & classes": [3, 5],
        "55-84 nm - classes": [1, 6],
    }
    assert FOLDER in dock.findChild(QLabel, "kept_in").text()
    events = {name: item.selection.events for name, item in dock.selections.items.items()}
    close(dock, qtbot)
    again = make_dock()
    assert list(again.selections.items) == list(made)
    assert contents(again) == made
    for name, item in again.selections.items.items():
        assert item.selection.events == events[name]
    assert "6 selections of this run are here again" in again.message.text()
    tip = again.choosing.table.item(0, 0).toolTip()
    assert "Diameters from 55 to 84 nm" in tip
    assert str(folder) in tip
    assert "Union of '55-84 nm', 'classes'" in again.choosing.table.item(3, 0).toolTip()
    assert problems(again) == ""
    # Another geometry or mask changes nothing.
    run.changed.emit()
    assert contents(again) == made


def test_a_removed_one_does_not_come_back(make_dock, run, folder, qtbot):
    dock = make_dock()
    dock.sizes.keep("right", [1, 2])
    dock.sizes.keep("wrong", [3])
    select(dock, "wrong")
    press(dock, "remove_selection", qtbot)
    assert "'wrong' was removed. Its list is in" in dock.message.text()
    assert contents(dock) == {"right": [1, 2]}
    close(dock, qtbot)
    assert contents(make_dock()) == {"right": [1, 2]}
    assert len(list((folder / REMOVED).glob("* wrong.lst"))) == 1


def test_two_windows_keep_what_the_other_made(make_dock, run, qtbot):
    one, two = make_dock(), make_dock()
    one.sizes.keep("right", [1, 2])
    two.sizes.keep("right", [5])
    assert contents(two) == {"right": [1, 2], "right 2": [5]}
    one.sizes.keep("right", [6])
    assert contents(one) == {"right": [1, 2], "right 2": [5], "right 3": [6]}
    # What one removes, the other may remove as well.
    for dock in (one, two):
        select(dock, "right")
        press(dock, "remove_selection", qtbot)
        assert "right" not in dock.selections.items
    close(one, qtbot)
    close(two, qtbot)
    assert sorted(contents(make_dock()).values()) == [[5], [6]]


def test_another_run_has_its_own(make_dock, run, own, open_run, qtbot, tmp_path):
    other = tmp_path / "run" / "other.h5"
    shutil.copy(own.data, other)
    dock = make_dock()
    dock.sizes.keep("right", [1, 2])
    open_run(other, own.geometry)
    dock.sizes.keep("right", [4])
    assert contents(dock) == {"right": [], "right 2": [4]}
    close(dock, qtbot)
    assert contents(make_dock()) == {"right 2": [4]}


def test_damage_is_a_sentence(make_dock, run, folder, qtbot):
    dock = make_dock()
    dock.sizes.keep("one", [1])
    dock.sizes.keep("two", [2])
    dock.sizes.keep("three", [3])
    close(dock, qtbot)
    paths = {name: item.kept.path for name, item in dock.selections.items.items()}
    paths["one"].write_bytes(b"\0")
    paths["two"].with_suffix(".json").write_text("{")
    about = paths["three"].with_suffix(".json")
    about.write_text(about.read_text().replace(": 8", ": 9"))  # events of the run then
    again = make_dock()
    assert contents(again) == {paths["two"].stem: [2], "three": [3]}
    assert "binary file" in again.message.text()
    assert "(and 2 more: see Selections)" in again.message.text()
    said = problems(again)
    assert "binary file" in said
    assert "two.json is damaged" in said
    assert "8 events, and had 9 when 'three' was made" in said
    # It goes on, and the damaged file stays as it is.
    again.sizes.keep("one", [6])
    assert paths["one"].read_bytes() == b"\0"
    assert contents(again)["one"] == [6]


def test_a_disk_that_takes_nothing_is_a_sentence(make_dock, run, folder, home, qtbot):
    folder.write_text("")
    home.write_text("")
    dock = make_dock()
    dock.sizes.keep("right", [1, 2])
    assert "has 2 events; see Selections. It is not kept on disk:" in dock.message.text()
    assert "cannot be made" in problems(dock)
    assert contents(dock) == {"right": [1, 2]}
    folder.unlink()  # there is place again
    run.changed.emit()
    assert problems(dock) == ""
    close(dock, qtbot)
    assert contents(make_dock()) == {"right": [1, 2]}


def test_a_file_that_cannot_be_moved_stays(make_dock, run, qtbot, monkeypatch):
    dock = make_dock()
    dock.sizes.keep("right", [1, 2])

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept_selections.os, "rename", refuse)
    select(dock, "right")
    press(dock, "remove_selection", qtbot)
    assert "cannot be removed: Permission denied" in dock.message.text()
    assert contents(dock) == {"right": [1, 2]}


def test_lists_read_before_a_run_is_open_are_kept_with_it(make_dock, open_run, own, qtbot):
    dock = make_dock()
    stack = open_stack(str(own.data))
    dock.selections.add(Selection("listed", (stack.event_id(2),)))
    assert dock.selections.problems == []
    open_run(own.data, own.geometry)
    assert list(contents(dock).values()) == [[2]]
    close(dock, qtbot)
    assert list(contents(make_dock()).values()) == [[2]]
    kept = next((own.data.parent / FOLDER).glob("*.json"))
    assert json.loads(kept.read_text())["run"] == {f"../{own.data.name}": 8}
