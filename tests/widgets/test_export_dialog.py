"""The Export dialog: what it writes is held against the frames that were written by hand."""

from __future__ import annotations

import csv
import threading

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QMessageBox, QPushButton
from sort_user import DATA, SECONDS, at_dock, make_model, write

from napari_xfelsort.widgets import export_dialog
from napari_xfelsort.widgets.workers import counted

T, F = True, False
GOOD = {"a.cxi": [F, F, T, F, T], "b.cxi": [F, T, T]}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("exported") / "bright.xfelmodel")


@pytest.fixture
def data(tmp_path):
    """The frames of two files, in a folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return {name: write(folder / name, good, k) for k, (name, good) in enumerate(GOOD.items())}


@pytest.fixture
def person(viewer, qtbot, model, data, tmp_path):
    """Someone who has sorted the files."""
    with at_dock(viewer, qtbot, tmp_path / "data", model, tmp_path / "out") as someone:
        someone.press("sort")
        yield someone


@pytest.fixture
def dialog(person, qtbot):
    """The dialog, opened by a click."""
    person.press("export", wait=False)
    made = person.dock.results.dialog
    assert made.isVisible()
    return made


@pytest.fixture
def press(dialog, qtbot):
    def click(name: str, wait: bool = True) -> None:
        found = dialog.findChild(QPushButton, name)
        assert found.isEnabled()
        qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        if wait:
            qtbot.waitUntil(lambda: dialog.job is None, timeout=SECONDS)

    return click


def choose(dialog, name: str, text: str) -> None:
    box = dialog.findChild(QComboBox, name)
    assert box.findText(text) >= 0
    box.setCurrentText(text)


def target(dialog, path: object) -> None:
    dialog.findChild(QLineEdit, "export_target").setText(str(path))


def expected(data, good: bool) -> np.ndarray:
    """Frames of a class in the order of the files."""
    return np.concatenate([data[name][np.array(GOOD[name]) == good] for name in GOOD])


@pytest.mark.parametrize("kind", ["virtual", "copy"])
@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_cxi_file_holds_the_frames_of_the_class(dialog, press, data, tmp_path, kind, name):
    choose(dialog, "export_class", name)
    choose(dialog, "kind", kind)
    press("export_write")
    path = tmp_path / f"out-{name}.cxi"
    frames = expected(data, name == "good")
    assert f"{len(frames)} events written to {path}." in dialog.message.text()
    with h5py.File(path) as file:
        assert file[DATA].is_virtual == (kind == "virtual")
        np.testing.assert_array_equal(file[DATA][:], frames)


def test_a_copy_is_packed_as_was_chosen(dialog, press, data, tmp_path):
    assert not dialog.form.inputs["compression"].isEnabled()
    choose(dialog, "kind", "copy")
    assert dialog.form.inputs["compression"].isEnabled()
    choose(dialog, "compression", "gzip")
    target(dialog, tmp_path / "packed.cxi")
    press("export_write")
    with h5py.File(tmp_path / "packed.cxi") as file:
        assert file[DATA].compression == "gzip"
        np.testing.assert_array_equal(file[DATA][:], expected(data, good=True))


def test_a_list_and_a_table_name_the_events(dialog, press, tmp_path):
    names = [(f, f"//{i}") for f in GOOD for i, good in enumerate(GOOD[f]) if good]
    choose(dialog, "kind", "list")
    assert dialog.findChild(QLineEdit, "export_target").text().endswith("out-good.lst")
    press("export_write")
    lines = (tmp_path / "out-good.lst").read_text().splitlines()
    assert lines == [f"{tmp_path}/data/{file} {event}" for file, event in names]
    choose(dialog, "kind", "csv")
    press("export_write")
    with (tmp_path / "out-good.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(r["file"], r["event"]) for r in rows] == [
        (f"{tmp_path}/data/{file}", event) for file, event in names
    ]


def test_a_file_is_replaced_only_after_asking(dialog, press, data, tmp_path, monkeypatch):
    path = tmp_path / "mine.cxi"
    path.write_text("mine")
    target(dialog, path)
    asked = []
    answer = QMessageBox.StandardButton.No
    monkeypatch.setattr(
        QMessageBox, "question", lambda _, title, text, *more: asked.append(text) or answer
    )
    press("export_write")
    assert "mine.cxi exists already" in asked[0]
    assert path.read_text() == "mine"
    assert dialog.message.text() == "Nothing was written."
    answer = QMessageBox.StandardButton.Yes
    press("export_write")
    with h5py.File(path) as file:
        assert len(file[DATA]) == 4
    # Never a file that the events are in.
    target(dialog, tmp_path / "data" / "a.cxi")
    press("export_write")
    assert "holds the events themselves" in dialog.message.text()
    with h5py.File(tmp_path / "data" / "a.cxi") as file:
        np.testing.assert_array_equal(file[DATA][:], data["a.cxi"])


@pytest.mark.parametrize("how", ["export_cancel", "export_close", "release"])
def test_stopped_leaves_no_file(dialog, press, person, tmp_path, monkeypatch, qtbot, how):
    reached, go_on = threading.Event(), threading.Event()

    def held(report):
        tell = counted(report)

        def at_event(done: int, total: int) -> None:
            reached.set()
            assert go_on.wait(120)
            tell(done, total)

        return at_event

    monkeypatch.setattr(export_dialog, "counted", held)
    choose(dialog, "kind", "copy")
    target(dialog, tmp_path / "half.cxi")
    press("export_write", wait=False)
    qtbot.waitUntil(reached.is_set, timeout=SECONDS)
    assert not dialog.findChild(QPushButton, "export_write").isEnabled()
    job = dialog.job
    if how == "release":
        person.dock.results.release()
    else:
        press(how, wait=False)
    go_on.set()
    qtbot.waitUntil(lambda: not job.running, timeout=SECONDS)
    assert not list(tmp_path.glob("*half*"))
    if how == "export_cancel":
        assert dialog.message.text() == "Stopped; no file was written."
    else:
        assert person.dock.results.dialog is None


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("good", "", "Choose the file to write."),
        ("good", "nowhere/a.cxi", "nowhere does not exist"),
        ("unsure", "a.cxi", "No event of"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(dialog, press, tmp_path, name, path, sentence):
    choose(dialog, "export_class", name)
    target(dialog, tmp_path / path if path else "")
    press("export_write")
    assert sentence in dialog.message.text()
    assert "\n" not in dialog.message.text()


def test_a_file_that_went_away_is_told(dialog, press, tmp_path):
    (tmp_path / "data" / "a.cxi").unlink()
    (tmp_path / "data" / "b.cxi").unlink()
    choose(dialog, "kind", "copy")
    press("export_write")
    assert "a.cxi" in dialog.message.text()
    assert not (tmp_path / "out-good.cxi").exists()


def test_enter_in_the_line_presses_no_button_beside_it(dialog, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_xfelsort.widgets.dock.QFileDialog.getSaveFileName", lambda *_, **__: 1 / 0
    )
    line = dialog.findChild(QLineEdit, "export_target")
    line.setText(str(tmp_path / "typed.cxi"))
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dialog.job is None and (tmp_path / "typed.cxi").exists())
