"""The Sort dock, driven by typing and clicking; core called without it is the oracle."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QAbstractItemModel, Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTableView,
)

import napari_xfelsort as xs
from napari_xfelsort.core.sorting import SortProgress
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import hdf5
from napari_xfelsort.widgets.runs import runs_of
from napari_xfelsort.widgets.sort_board import SortBoard
from napari_xfelsort.widgets.sort_dock import SortDock
from napari_xfelsort.widgets.sort_order import suggested_folder
from napari_xfelsort.widgets.sort_table import SortModel, SortRow
from programs import wait_for

SECONDS = 60_000
#: Events: rounding of a probability depends on how many are multiplied at once.
BLOCK = 7


@pytest.fixture(scope="session")
def model_file(simulated, tmp_path_factory) -> Path:
    """A model trained without any dock on the first run's truth."""
    labels = ["good" if good else "bad" for good in simulated.good]
    stack = xs.open_stack(simulated.data, geometry=simulated.geometry)
    model = xs.train(stack, labels, region="panel:p6a0", model="logistic_regression")
    path = tmp_path_factory.mktemp("model") / "first.xfelmodel"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def copies(simulated_second, tmp_path_factory) -> Path:
    """A folder with the second run's file under four names."""
    folder = tmp_path_factory.mktemp("copies") / "data"
    folder.mkdir()
    for k in range(4):
        shutil.copy(simulated_second.data, folder / f"copy{k}.cxi")
    return folder


@pytest.fixture(scope="session")
def headless(copies, simulated_second, model_file, tmp_path_factory) -> dict[str, bytes]:
    """What core writes of the copies."""
    out = tmp_path_factory.mktemp("headless")
    stack = xs.open_stack(copies, geometry=simulated_second.geometry)
    xs.sort(stack, xs.load_model(model_file), out, workers=0, block_events=BLOCK)
    return written(out)


def written(out: Path) -> dict[str, bytes]:
    """Lists, tables and summary."""
    files = [*out.glob("*.lst"), *out.glob("decisions/*.csv"), out / "summary.csv"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def dock(viewer, qtbot):
    made = SortDock(viewer)
    made.resize(340, 700)
    made.show()
    yield made
    if made.job is not None:
        made.job.stop()
    qtbot.waitUntil(lambda: made.job is None, timeout=SECONDS)
    qtbot.waitUntil(lambda: made.card.is_current and not made.opener.busy, timeout=SECONDS)
    made.release()
    made.close()


@pytest.fixture
def enter(dock, qtbot):
    """Fills the form."""

    def fill(workers: int | None = 0, **lines: object) -> None:
        if "scheduler" in lines:
            dock.findChild(QComboBox, "where").setCurrentText("a dask scheduler")
        for name, text in lines.items():
            line = dock.findChild(QLineEdit, name)
            line.setFocus()
            line.setText(str(text))
            qtbot.keyClick(line, Qt.Key.Key_Return)
        if workers is not None:
            dock.findChild(QSpinBox, "workers").setValue(workers)

    return fill


@pytest.fixture
def press(dock, qtbot):
    def click(name: str, wait: bool = True) -> None:
        found = dock.findChild(QPushButton, name)
        assert found.isEnabled()
        qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        if wait:
            qtbot.waitUntil(lambda: dock.job is None, timeout=SECONDS)

    return click


@pytest.fixture
def of_copies(dock, enter, copies, simulated_second, model_file, tmp_path):
    """The form filled with the copies; where the results go."""
    dock.findChild(QComboBox, "what").setCurrentText("other data")
    out = tmp_path / "out"
    geometry = simulated_second.geometry
    enter(data=copies, geometry=geometry, model=model_file, out=out)
    dock.settings.inputs["block_events"].show_value(BLOCK)
    return out


@pytest.fixture
def answer(monkeypatch):
    """Answers the question whether to replace; what was asked is in the list."""
    asked: list[str] = []
    given = {"answer": QMessageBox.StandardButton.No}

    def question(parent, title, text, *_):
        asked.append(text)
        return given["answer"]

    monkeypatch.setattr(QMessageBox, "question", question)

    def prepare(yes: bool) -> list[str]:
        names = QMessageBox.StandardButton
        given["answer"] = names.Yes if yes else names.No
        return asked

    return prepare


def said(dock) -> str:
    return dock.findChild(QLabel, "message").text()


def cells(model: QAbstractItemModel) -> list[list[str]]:
    header = [model.headerData(k, Qt.Orientation.Horizontal) for k in range(model.columnCount())]
    rows = range(model.rowCount())
    return [header] + [[model.index(i, k).data() for k in range(len(header))] for i in rows]


def processes() -> set[int]:
    return {p.pid for p in psutil.Process().children(recursive=True) if "spawn" in _line(p)}


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def hold(monkeypatch):
    """Holds a sort back at a block, and when files are done: an event says that it is there,
    another lets it go."""

    def at(n_blocks: int, n_files: int = 0) -> tuple[threading.Event, threading.Event]:
        note, reached, go_on, seen = SortBoard.note, threading.Event(), threading.Event(), []

        def counted(board: SortBoard, progress: SortProgress) -> None:
            note(board, progress)
            seen.extend([progress] * bool(progress.file))
            enough = len(seen) >= n_blocks and progress.done_files >= n_files
            if enough and not reached.is_set():
                reached.set()
                assert go_on.wait(120)

        monkeypatch.setattr(SortBoard, "note", counted)
        return reached, go_on

    return at


# --- the straight line --------------------------------------------------------------------


def test_the_open_run_is_sorted_as_without_a_dock(
    dock, enter, press, run, simulated, model_file, tmp_path
):
    assert dock.findChild(QComboBox, "what").currentText() == "the open run"
    assert dock.findChild(QLineEdit, "out").text() == str(simulated.data)[:-4] + "-sorted"
    enter(model=model_file, out=tmp_path / "dock")
    press("sort")
    stack = xs.open_stack(simulated.data, geometry=simulated.geometry)
    summary = xs.sort(stack, xs.load_model(model_file), tmp_path / "core", workers=0)
    assert written(tmp_path / "dock") == written(tmp_path / "core")
    assert (tmp_path / "dock" / "report.html").is_file()
    for name, n in summary.totals.items():
        assert f"{n} {name}" in said(dock)
    table = cells(dock.findChild(QTableView, "sorted_files").model())
    assert table[0] == ["File", "State", "Events", *summary.totals, "events/s"]
    assert table[1][:-1] == [simulated.data.name, "done", "40", *map(str, summary.totals.values())]
    assert float(table[1][-1]) > 0
    lists = dock.findChild(QPlainTextEdit, "lists").toPlainText().split("\n")
    assert {Path(path).name for path in lists} == {"good.lst", "bad.lst", "unsure.lst"}
    assert all(Path(path).is_file() for path in lists)


@pytest.mark.parametrize("workers", [0, 2])
def test_other_data_by_any_number_of_workers_give_the_same_bytes(
    dock, enter, press, of_copies, headless, workers, copies
):
    before = processes()
    enter(workers=workers)
    press("sort")
    assert written(of_copies) == headless
    assert "120 events of 4 files sorted" in said(dock)
    assert processes() <= before
    assert not [path for path in hdf5.POOL.open_paths() if path.startswith(str(copies))]
    assert threading.active_count() < 20


def test_settings_of_the_form_are_used(dock, enter, press, of_copies):
    dock.settings.inputs["report"].show_value(False)
    dock.settings.inputs["absolute"].show_value(True)
    press("sort")
    assert not (of_copies / "report.html").exists()
    assert not dock.findChild(QPushButton, "open_report").isEnabled()
    assert (of_copies / "good.lst").read_text().startswith("/")


def test_a_list_is_sorted_in_its_order(dock, enter, press, simulated_second, model_file, tmp_path):
    chosen = [5, 3, 17]
    events = tmp_path / "some.lst"
    events.write_text("".join(f"{simulated_second.data} //{i}\n" for i in chosen))
    geometry = simulated_second.geometry
    enter(data=events, geometry=geometry, model=model_file, out=tmp_path / "out")
    press("sort")
    lines = []
    for path in (tmp_path / "out").glob("*.lst"):
        lines += path.read_text().splitlines()
    assert sorted(lines) == sorted(events.read_text().splitlines())


def test_report_and_folder_are_opened_by_the_desktop(dock, press, of_copies, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) or False)
    press("sort")
    press("open_report")
    press("open_folder")
    assert [Path(url.toLocalFile()) for url in opened] == [of_copies / "report.html", of_copies]
    assert "No program was found" in said(dock)


# --- stopping and going on ----------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_cancel_keeps_what_is_done_and_the_same_folder_goes_on(
    dock, enter, press, of_copies, headless, workers, hold, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    enter(workers=workers)
    before = processes()
    reached, go_on = hold(12, n_files=1)
    press("sort", wait=False)
    qtbot.waitUntil(reached.is_set, timeout=SECONDS)
    press("cancel", wait=False)
    go_on.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=SECONDS)
    assert "Stopped" in said(dock)
    assert "same folder" in said(dock)
    assert processes() <= before
    assert list((of_copies / "decisions").glob("*.csv")) != []
    assert not (of_copies / "good.lst").exists()
    told = []
    monkeypatch.setattr(dock.message, "tell", lambda text: told.append(text))
    press("sort")
    resumed = [text for text in told if text.startswith("Resumes: ")][-1]
    kept = re.search(r"(\d+) of them were done before", told[-1])[1]
    assert int(kept) > 0
    assert resumed == f"Resumes: {kept} events were done before."
    assert written(of_copies) == headless


@pytest.mark.parametrize("workers", [0, 2])
def test_letting_go_of_the_dock_stops_the_sort(
    dock, enter, press, of_copies, qtbot, workers, hold
):
    enter(workers=workers)
    before = processes()
    reached, go_on = hold(3)
    press("sort", wait=False)
    qtbot.waitUntil(reached.is_set, timeout=SECONDS)
    dock.release()
    go_on.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=SECONDS)
    assert processes() <= before
    assert not (of_copies / "summary.csv").exists()


@pytest.mark.parametrize("closed", ["dock", "viewer"])
def test_closing_dock_or_viewer_stops_the_sort(
    closed, make_napari_viewer, copies, simulated_second, model_file, tmp_path, hold, qtbot
):
    viewer = make_napari_viewer(show=True)
    holder, dock = viewer.window.add_plugin_dock_widget("napari-xfelsort", "Sort events")
    out = tmp_path / "out"
    dock.source.data.set_paths(str(copies))
    dock.source.geometry_file.set_paths(str(simulated_second.geometry))
    dock.model_file.set_paths(str(model_file))
    dock.out.set_paths(str(out))
    dock.settings.inputs["block_events"].show_value(BLOCK)
    dock.where.workers.setValue(2)
    before = processes()
    reached, go_on = hold(3)
    qtbot.mouseClick(dock.sort_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(reached.is_set, timeout=SECONDS)
    job = dock.job

    def go_on_when_stopped():
        wait_for(lambda: job._stop or job._worker.abort_requested)
        go_on.set()

    # napari waits for threads when it is closed.
    threading.Thread(target=go_on_when_stopped, daemon=True).start()
    if closed == "dock":
        holder.destroyOnClose()
    else:
        viewer.close()
    qtbot.waitUntil(lambda: not job.running, timeout=SECONDS)
    assert processes() <= before
    assert not (out / "summary.csv").exists()
    assert (out / "decisions").is_dir()


def test_the_table_fills_while_sorting(dock, press, of_copies, qtbot, hold, monkeypatch):
    monkeypatch.setattr("napari_xfelsort.widgets.workers.REPORT_SECONDS", 0.0)
    reached, go_on = hold(9)  # 30 events of a file are 4 blocks of 7 and one of 2
    press("sort", wait=False)
    qtbot.waitUntil(reached.is_set, timeout=SECONDS)
    seen = ("21 of 30", "28 of 30")  # the ninth block is known, and told when it goes on
    qtbot.waitUntil(lambda: bool(dock.table.rows) and dock.table.rows[1].state in seen)
    view = dock.findChild(QTableView, "sorted_files")
    assert view.isVisible()
    rows = cells(view.model())[1:]
    assert [row[2] for row in rows] == ["30"] * 4
    assert [row[1] for row in rows][::2] == ["sorted", ""]
    assert "1 of 4 files, 0 failed" in dock.findChild(QLabel, "rate").text()
    go_on.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=SECONDS)
    assert {row[1] for row in cells(view.model())[1:]} == {"done"}


# --- what must not happen -----------------------------------------------------------------


def test_results_of_another_model_are_replaced_only_on_request(
    dock, enter, press, of_copies, qtbot, simulated, headless, tmp_path, answer
):
    press("sort")
    kept = written(of_copies)
    labels = ["bad" if good else "good" for good in simulated.good]
    stack = xs.open_stack(simulated.data, geometry=simulated.geometry)
    other = tmp_path / "other.xfelmodel"
    xs.train(stack, labels, region="panel:p6a0", model="decision_tree").save(other)
    enter(model=other)
    asked = answer(False)
    press("sort")
    qtbot.waitUntil(lambda: "They are kept" in said(dock))
    assert "another model" in asked[0]
    assert written(of_copies) == kept == headless
    answer(True)
    press("sort", wait=False)
    qtbot.waitUntil(lambda: "120 events" in said(dock), timeout=SECONDS)
    assert written(of_copies) != kept


def test_a_file_of_the_users_is_not_replaced_and_nothing_asked(
    dock, press, of_copies, answer, qtbot
):
    of_copies.mkdir()
    (of_copies / "good.lst").write_text("mine\n")
    asked = answer(True)
    press("sort")
    assert "was not made by this sort" in said(dock)
    assert asked == []
    assert (of_copies / "good.lst").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ({"data": ""}, "Choose the files, folder or list to sort."),
        ({"model": ""}, "Choose the model to sort with; the Train dock makes one."),
        ({"out": ""}, "Choose a folder for the results."),
        ({"model": "/nowhere/m.xfelmodel"}, "/nowhere/m.xfelmodel"),
        ({"data": "/nowhere/run.cxi"}, "/nowhere/run.cxi"),
        ({"geometry": "/nowhere/a.geom"}, "/nowhere/a.geom"),
        ({"scheduler": "nonsense"}, "nonsense"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence(
    dock, enter, press, of_copies, lines, sentence, monkeypatch
):
    monkeypatch.setattr("napari_xfelsort.core.sorting.pools.CONNECT_SECONDS", 1)
    enter(**lines)
    press("sort")
    assert sentence in said(dock)
    assert "\n" not in said(dock)
    assert not list(of_copies.glob("*.lst"))
    assert dock.findChild(QPushButton, "sort").isEnabled()


def test_a_model_of_another_detector_is_refused(dock, enter, press, of_copies, tmp_path):
    frames = np.random.default_rng(1).normal(10, 1, (40, 8, 6)).astype("f4")
    frames[::2] += 5
    stack = EventStack([ArraySource(frames, "a.cxi")])
    model = xs.train(stack, ["good", "bad"] * 20, model="logistic_regression")
    model.save(tmp_path / "small.xfelmodel")
    enter(model=tmp_path / "small.xfelmodel")
    press("sort")
    assert "8" in said(dock)
    assert not list(of_copies.glob("*.lst"))


def test_a_file_that_is_torn_costs_that_file_and_is_named(
    dock, enter, press, copies, simulated_second, model_file, tmp_path
):
    folder = tmp_path / "data"
    shutil.copytree(copies, folder)
    (folder / "torn.cxi").write_bytes((folder / "copy0.cxi").read_bytes()[:3000])
    geometry = simulated_second.geometry
    enter(data=folder, geometry=geometry, model=model_file, out=tmp_path / "out")
    press("sort")
    assert "1 problem, see the table." in said(dock)
    table = cells(dock.findChild(QTableView, "sorted_files").model())
    assert table[-1][:3] == ["torn.cxi", "problem", "none"]
    index = dock.table.index(dock.table.rowCount() - 1, 0)
    assert "torn.cxi" in index.data(Qt.ItemDataRole.ToolTipRole)


def test_without_a_run_other_data_are_asked_for(dock, press, viewer):
    assert dock.findChild(QComboBox, "what").currentText() == "other data"
    dock.findChild(QComboBox, "what").setCurrentText("the open run")
    press("sort")
    assert said(dock) == "Open a run, or choose other data to sort."


def test_a_second_click_while_sorting_does_nothing(dock, press, of_copies, qtbot):
    press("sort", wait=False)
    job = dock.job
    dock.sort()
    assert dock.job is job
    assert not dock.findChild(QPushButton, "sort").isEnabled()
    qtbot.waitUntil(lambda: dock.job is None, timeout=SECONDS)


# --- what is suggested --------------------------------------------------------------------


def test_the_model_saved_last_is_taken_unless_another_was_chosen(dock, enter, viewer):
    runs_of(viewer).use_model("/models/a.xfelmodel")
    assert dock.findChild(QLineEdit, "model").text() == "/models/a.xfelmodel"
    runs_of(viewer).use_model("/models/b.xfelmodel")
    assert dock.findChild(QLineEdit, "model").text() == "/models/b.xfelmodel"
    enter(model="/mine.xfelmodel")
    runs_of(viewer).use_model("/models/c.xfelmodel")
    assert dock.findChild(QLineEdit, "model").text() == "/mine.xfelmodel"


def test_a_dock_opened_later_knows_the_model(viewer, qtbot):
    runs_of(viewer).use_model("/models/a.xfelmodel")
    late = SortDock(viewer)
    qtbot.addWidget(late)
    assert late.findChild(QLineEdit, "model").text() == "/models/a.xfelmodel"
    late.release()


def test_a_folder_for_the_results_is_suggested_where_one_may_write(tmp_path, monkeypatch):
    assert suggested_folder(str(tmp_path / "run7.cxi")) == str(tmp_path / "run7-sorted")
    assert suggested_folder(f"{tmp_path}/run7.cxi //3") == str(tmp_path / "run7-sorted")
    assert suggested_folder(f"{tmp_path}/*.cxi") == str(tmp_path / "run-sorted")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert suggested_folder("/proc/1/run7.cxi") == str(tmp_path / "home/xfelsort/run7-sorted")


def test_a_chosen_folder_is_kept_when_another_run_is_opened(
    dock, enter, open_run, simulated, simulated_second, tmp_path
):
    open_run(simulated.data, simulated.geometry)
    assert dock.findChild(QLineEdit, "out").text().endswith("run0001-sorted")
    open_run(simulated_second.data, simulated_second.geometry)
    assert dock.findChild(QLineEdit, "out").text().endswith("run0002-sorted")
    enter(out=tmp_path / "mine")
    open_run(simulated.data, simulated.geometry)
    assert dock.findChild(QLineEdit, "out").text() == str(tmp_path / "mine")


# --- the board and its table --------------------------------------------------------------


def board_of(n_files: int, each: int) -> SortBoard:
    frames = np.zeros((each, 2, 2), "f4")
    sources = [ArraySource(frames, f"{k}.cxi") for k in range(n_files)]
    return SortBoard(EventStack(sources), ("good", "failed"))


def test_the_board_shows_the_newest_of_each_file():
    board = board_of(3, 10)
    board.note(SortProgress(0, 30, 0, 3, "", 0))
    board.note(SortProgress(4, 30, 0, 3, "0.cxi", 0, 0, 0, {"good": 4, "failed": 0}))
    board.note(SortProgress(10, 30, 0, 3, "2.cxi", 1, 0, 2, {"good": 5, "failed": 1}))
    board.note(SortProgress(16, 30, 1, 3, "0.cxi", 1, 0, 0, {"good": 10, "failed": 0}))
    assert board.take_changes() == {
        0: SortRow("0.cxi", 10, "sorted", {"good": 10, "failed": 0}),
        2: SortRow("2.cxi", 10, "6 of 10", {"good": 5, "failed": 1}),
    }
    assert board.take_changes() == {}


def test_ten_thousand_files_are_asked_for_only_where_they_are_seen(qtbot):
    board = board_of(10_000, 1)
    model = SortModel()
    asked = []
    text = model._text
    model._text = lambda row, column: asked.append(1) or text(row, column)
    view = QTableView()
    qtbot.addWidget(view)
    view.setModel(model)
    view.resize(340, 200)
    view.show()
    model.show_rows(board.rows(), ("good", "unsure", "failed"))
    board.note(SortProgress(0, 10_000, 0, 10_000, "", 0))
    for k in range(500):
        board.note(SortProgress(k + 1, 10_000, k + 1, 10_000, f"{k}.cxi", 0, 0, k, {"good": 1}))
    changed = []
    model.dataChanged.connect(lambda *_: changed.append(1))
    model.change(board.take_changes())
    qtbot.wait(50)
    assert len(changed) == 500
    assert model.rows[499].state == "sorted"
    assert model.rows[500].state == ""
    assert len(asked) < 2000
