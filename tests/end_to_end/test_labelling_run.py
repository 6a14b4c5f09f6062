"""Labelling by real key presses in real windows: killed and resumed, undone, by two people."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

import napari_xfelsort as xs
from napari_window import PLUGIN, text_on
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.simulate import simulate_detector
from napari_xfelsort.widgets.runs import runs_of
from programs import program

GOOD, BAD, IGNORE = Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_0
UNDO, REDO, CLEAR, REPEAT = Qt.Key.Key_U, Qt.Key.Key_9, Qt.Key.Key_Q, Qt.Key.Key_8
NEXT, UNLABELLED = Qt.Key.Key_K, Qt.Key.Key_N


class Labeller:
    """A person at the keys of one napari window with the Label dock."""

    def __init__(self, viewer, paths, qtbot, name: str = "me") -> None:
        self.viewer, self.qtbot = viewer, qtbot
        viewer.open(paths, plugin=PLUGIN)
        self.run = runs_of(viewer).active
        self.dock = self.open_dock("Label events")
        self.type("labeller", name)

    def open_dock(self, name: str):
        return self.viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)[1]

    def settle(self) -> None:
        """Wait until labels are read and the picture is drawn."""
        self.qtbot.waitUntil(
            lambda: (
                self.dock.job is None and not self.dock._painted.isActive() and self.run.is_drawn
            ),
            timeout=30_000,
        )

    def press(self, *keys: Qt.Key) -> None:
        (canvas,) = self.dock.window().findChildren(QOpenGLWidget)
        for key in keys:
            self.settle()
            self.qtbot.keyClick(canvas, key)
        self.settle()

    def type(self, name: str, text: str) -> None:
        self.settle()
        line = self.dock.findChild(QLineEdit, name)
        line.clear()
        self.qtbot.keyClicks(line, text)
        self.qtbot.keyClick(line, Qt.Key.Key_Return)
        self.settle()

    def click(self, name: str, dock=None) -> None:
        self.settle()
        button = (dock or self.dock).findChild(QPushButton, name)
        assert button.isEnabled(), name
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def reads(self, name: str, dock=None) -> str:
        return (dock or self.dock).findChild(QLabel, name).text()

    @property
    def told(self) -> str:
        return self.dock.message.text()


@pytest.fixture
def own(tmp_path):
    """A run of 8 events whose label folder is beside it."""
    return simulate_detector(tmp_path / "run", n_events=8, seed=3)


@pytest.fixture
def labeller(make_napari_viewer, qtbot):
    """Opens data in a window of its own: ``labeller(paths, name)``."""

    def sit_down(paths, name: str = "me") -> Labeller:
        return Labeller(make_napari_viewer(show=True), paths, qtbot, name)

    return sit_down


def lines_of(path: Path) -> list[list[str]]:
    """File name, event and label of each line of a journal, as any program reads it."""
    with open(path, encoding="utf-8", newline="") as file:
        return [[Path(row[1]).name, *row[2:4]] for row in list(csv.reader(file))[1:]]


def labels_in(folder: Path, n_warnings: int = 0) -> dict[tuple[str, str], str]:
    """What counts for each file and event of a folder."""
    store = xs.LabelStore(folder, "reader", create=False)
    assert len(store.warnings) == n_warnings
    return {(Path(event.file).name, event.event): label for event, label in store.labels().items()}


# --- killed -----------------------------------------------------------------------------------

#: Labels by keys in a window of its own until it is killed, and tells each event it shows.
_ANOTHER_PROCESS = """
import sys
import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from napari_window import PLUGIN, canvas
from napari_xfelsort.widgets.runs import runs_of

viewer = napari.Viewer(show=True)
viewer.open(sys.argv[1], plugin=PLUGIN)
dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Label events")[1]
dock.labeller.setText("me")
run = runs_of(viewer).active
run.shown.connect(lambda i: print(i, flush=True))
print("ready", flush=True)
while True:
    QApplication.processEvents()
    if dock.job is None and not dock._painted.isActive() and run.is_drawn:
        QTest.keyClick(canvas(), Qt.Key.Key_G if run.current % 2 == 0 else Qt.Key.Key_W)
"""


def label_until_killed(data: Path, folder: Path, n_shown: int) -> None:
    """Label by keys in another process, which is killed when so many events were shown."""
    here = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]),
        "NAPARI_CONFIG": str(folder / "settings.yaml"),
    }
    command = [sys.executable, "-c", _ANOTHER_PROCESS, data]
    options = {"stdout": subprocess.PIPE, "text": True, "env": environment, "cwd": folder}
    with program(*command, **options) as child:
        told = iter(child.stdout.readline, "")
        assert "ready\n" in told
        shown = [int(next(told)) for _ in range(n_shown)]
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert shown == list(range(1, n_shown + 1))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("torn", [False, True], ids=["between labels", "within a line"])
def test_killed_while_keys_label_and_resumed_in_a_new_window(own, labeller, tmp_path, torn):
    label_until_killed(own.data, tmp_path, 4)
    journal = own.data.parent / "labels" / "labels-me.csv"
    kept = lines_of(journal)
    assert 4 <= len(kept) <= 8  # each label was on disk before the next event showed
    if torn:
        journal.write_bytes(journal.read_bytes()[:-9])
        kept = kept[:-1]  # at most the one being written is lost
    n = len(kept)
    expected = {("run0001.cxi", f"//{i}"): ("good", "bad")[i % 2] for i in range(n)}
    again = labeller(str(own.data))
    assert ("was cut off while it was written" in again.told) == torn
    assert {name: again.run.label_of(i) for i, name in enumerate(expected)} == expected
    assert again.reads("total") == f"{n} of 8 labelled"
    assert again.reads("event_label") == "good"
    if n < 8:
        again.press(UNLABELLED)
        assert again.run.current == n
        again.press(IGNORE)
        expected["run0001.cxi", f"//{n}"] = "ignore"
    again.press(UNDO, REDO)
    assert labels_in(journal.parent, n_warnings=torn) == expected
    whole = [row for row in lines_of(journal) if len(row) == 3 and row[2] in ("good", "bad")]
    assert whole[: n - 1] == kept[: n - 1]


# --- undo across files --------------------------------------------------------------------------


def test_undo_and_redo_across_the_files_of_a_run(labeller, tmp_path):
    folder = tmp_path / "data"
    for number in (1, 2):
        simulate_detector(tmp_path / f"made{number}", n_events=4, seed=number, run=number)
        (tmp_path / f"made{number}" / f"run000{number}.cxi").rename(
            _made(folder) / f"run000{number}.cxi"
        )
    me = labeller(str(folder))
    assert len(me.run) == 8
    assert me.run.stack.event_id(4).short == "run0002.cxi //0"
    me.run.go_to(2)
    me.press(GOOD, BAD, BAD, GOOD)  # 2 and 3 of the first file, 0 and 1 of the second
    assert me.run.current == 6
    names = {i: (Path(me.run.stack.event_id(i).file).name, f"//{i % 4}") for i in range(8)}
    all_four = {names[2]: "good", names[3]: "bad", names[4]: "bad", names[5]: "good"}
    labels = Path(me.run.labels.folder)
    assert labels_in(labels) == all_four
    me.run.go_to(4)
    me.press(GOOD)  # another mind
    assert labels_in(labels) == {**all_four, names[4]: "good"}
    seen = []
    for k in range(5):
        me.press(UNDO)
        undone = (4, 5, 4, 3, 2)[k]
        assert me.run.current == undone
        assert me.reads("event_name") == " ".join(names[undone])
        seen.append((me.reads("event_label"), len(labels_in(labels))))
        on_canvas = text_on(me.viewer).splitlines()
        assert " ".join(names[undone]) in on_canvas[0]
        assert on_canvas[1:] == [seen[-1][0]] * (seen[-1][0] != "no label")
    # the label that was there before, then none, over the border of the files
    assert seen == [("bad", 4), ("no label", 3), ("no label", 2), ("no label", 1), ("no label", 0)]
    me.press(UNDO)
    assert me.told == "There is nothing to undo."
    for again in (2, 3, 4, 5, 4):
        me.press(REDO)
        assert me.run.current == again
    assert labels_in(labels) == {**all_four, names[4]: "good"}
    me.press(REDO)
    assert me.told == "There is nothing to redo."
    assert me.reads("counts") == "good: 3   bad: 1"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


# --- two people ---------------------------------------------------------------------------------


def test_two_people_in_one_folder_at_the_same_time(own, labeller, qtbot):
    ann = labeller(str(own.data), "ann")
    ann.press(GOOD, GOOD, BAD, BAD, GOOD, GOOD)  # 0 to 5
    bob = labeller(str(own.data), "bob")
    assert bob.reads("total") == "6 of 8 labelled"
    bob.press(NEXT, NEXT, BAD, GOOD, GOOD, GOOD, GOOD, IGNORE)  # 2 to 7
    ann.press(BAD)  # 6, which bob called good, and which she cannot know of yet
    folder = own.data.parent / "labels"
    assert [row[1:] for row in lines_of(folder / "labels-ann.csv")] == [
        ["//0", "good"],
        ["//1", "good"],
        ["//2", "bad"],
        ["//3", "bad"],
        ["//4", "good"],
        ["//5", "good"],
        ["//6", "bad"],
    ]
    assert [row[1:] for row in lines_of(folder / "labels-bob.csv")] == [
        ["//2", "bad"],
        ["//3", "good"],
        ["//4", "good"],
        ["//5", "good"],
        ["//6", "good"],
        ["//7", "ignore"],
    ]

    ann.click("reload")
    table = ann.open_dock("Event table")

    def compared(start: str) -> None:
        qtbot.waitUntil(lambda: ann.reads("agreement", table).startswith(start), timeout=30_000)

    # Classes of both: 2 to 6. Ann: 3 bad, 2 good; Bob: 1 bad, 4 good; 3 of 5 agree.
    # By chance 3/5 1/5 + 2/5 4/5 = 0.44; kappa = (0.6 - 0.44) / (1 - 0.44) = 0.2857
    compared(
        "2 disagreements to settle in this run.\nann and bob: Cohen's kappa 0.29, 3 of 5 agree"
    )
    for i, verdict, left in ((3, "good", "1 disagreement "), (6, "bad", "0 disagreements ")):
        ann.click("next_disagreement", table)
        assert ann.run.current == i
        assert ann.reads("opinions", table) == f"Event {i}: ann: bad, bob: good"
        table.findChild(QComboBox, "settle_label").setCurrentText(verdict)
        ann.click("settle", table)
        assert ann.reads("event_label") == verdict
        compared(left)
    ann.click("next_disagreement", table)
    assert table.message.text().startswith("Labellers agree")

    bob.click("reload")
    bob.run.go_to(3)
    assert bob.reads("event_label") == "good"
    bob.run.go_to(6)
    assert bob.reads("event_label") == "bad"
    assert bob.reads("counts") == ann.reads("counts") == "good: 5   bad: 2   ignore: 1"
    bob.click("write_lists")
    lists = {name: read_list(folder / f"{name}.lst") for name in ("good", "bad")}
    assert {name: [e.event.event for e in entries] for name, entries in lists.items()} == {
        "good": ["//0", "//1", "//3", "//4", "//5"],
        "bad": ["//2", "//6"],
    }
    assert sorted(path.name for path in folder.glob("*.lst")) == ["bad.lst", "good.lst"]


# --- another mind -------------------------------------------------------------------------------


def test_another_mind_leaves_each_event_in_one_list_once(own, labeller, monkeypatch):
    from qtpy.QtWidgets import QMessageBox

    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    me = labeller(str(own.data))
    me.press(GOOD, GOOD, BAD, GOOD)
    me.run.go_to(0)
    me.press(BAD, BAD, GOOD, IGNORE)  # of each another mind
    for _ in range(2):  # and the same once more, which doubles nothing
        me.run.go_to(0)
        me.press(BAD, REPEAT, GOOD, IGNORE)
    me.run.go_to(4)
    me.press(GOOD, GOOD)
    me.run.go_to(5)
    me.press(CLEAR)
    told = []
    for i in range(6):
        me.run.go_to(i)
        me.settle()
        told.append(me.reads("event_label"))
    assert told == ["bad", "bad", "good", "ignore", "good", "no label"]
    folder = own.data.parent / "labels"
    for _ in range(2):
        me.click("write_lists")
        wanted = {"good": ["//2", "//4"], "bad": ["//0", "//1"]}
        for name, events in wanted.items():
            assert [e.event.event for e in read_list(folder / f"{name}.lst")] == events
    assert me.reads("counts") == "good: 2   bad: 2   ignore: 1"
    assert me.reads("total") == "5 of 8 labelled"
