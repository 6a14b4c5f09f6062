"""A person at the Sort dock, and frames of which one sees at a glance what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QPushButton

import napari_xfelsort as xs
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.sort_dock import SortDock

SECONDS = 60_000
DATA = "/entry_1/data_1/data"
SHAPE = (8, 6)
BLOCK = 4


def frames(good: list[bool], seed: int = 0) -> np.ndarray:
    """Bright frames where an event is good, dark ones elsewhere."""
    noise = np.random.default_rng(seed).normal(0, 1, (len(good), *SHAPE))
    return (noise + np.where(good, 20, 5)[:, None, None]).astype(np.float32)


def write(path: Path, good: list[bool], seed: int = 0) -> np.ndarray:
    """A CXI file of such frames."""
    data = frames(good, seed)
    with h5py.File(path, "w") as file:
        file.create_dataset(DATA, data=data, chunks=(1, *SHAPE), maxshape=(None, *SHAPE))
    return data


def append(path: Path, good: list[bool], seed: int = 0) -> None:
    """More frames at the end of the file."""
    with h5py.File(path, "a") as file:
        data = file[DATA]
        n = len(data)
        data.resize(n + len(good), axis=0)
        data[n:] = frames(good, seed)


def write_all(folder: Path, files: Mapping[str, list[bool]]) -> None:
    """A folder of such files."""
    folder.mkdir()
    for k, (name, good) in enumerate(files.items()):
        write(folder / name, good, k)


def make_model(path: Path, kind: str = "logistic_regression", seed: int = 99, **how) -> Path:
    """A model that tells bright frames from dark ones."""
    good = [True, False] * 30
    stack = EventStack([ArraySource(frames(good, seed), "a.cxi")])
    labels = ["good" if each else "bad" for each in good]
    xs.train(stack, labels, model=kind, **how).save(path)
    return path


class SortUser:
    """Types, chooses and clicks in the dock.

    Parameters
    ----------
    dock : SortDock
    qtbot : QtBot
    """

    def __init__(self, dock: SortDock, qtbot) -> None:
        self.dock, self.qtbot = dock, qtbot

    def enter(self, workers: int | None = 0, **lines: object) -> None:
        """Fill lines of the form."""
        for name, text in lines.items():
            line = self.dock.findChild(QLineEdit, name)
            line.setFocus()
            line.setText(str(text))
            self.qtbot.keyClick(line, Qt.Key.Key_Return)
        if workers is not None:
            self.dock.where.workers.setValue(workers)
        self.dock.settings.inputs["block_events"].show_value(BLOCK)

    def choose(self, name: str, text: str) -> None:
        """Choose in a combo box."""
        box = self.dock.findChild(QComboBox, name)
        assert box.findText(text) >= 0
        box.setCurrentText(text)

    def watch(self, poll: float = 0.05, settle: float = 0.3, idle: str = "") -> None:
        """Tick the box, and say when to look."""
        box = self.dock.findChild(QCheckBox, "watch")
        self.qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
        assert box.isChecked()
        for name, value in (("poll", poll), ("settle", settle), ("idle", idle)):
            self.dock.findChild(QLineEdit, name).setText(str(value))

    def press(self, name: str, wait: bool = True) -> None:
        """Click a button, and wait until the work has ended."""
        found = self.dock.findChild(QPushButton, name)
        assert found.isEnabled()
        assert found.isVisibleTo(self.dock)
        self.qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        if wait:
            self.wait(lambda: self.dock.job is None)

    def wait(self, is_so) -> None:
        """Wait until something is so."""
        self.qtbot.waitUntil(is_so, timeout=SECONDS)

    def click(self, line: int) -> None:
        """Click a line of the table, and wait until the file is shown."""
        view = self.dock.view
        at = view.visualRect(self.dock.table.index(line, 0)).center()
        self.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
        self.wait(lambda: not self.dock.opener.busy)

    @property
    def said(self) -> str:
        """The message line."""
        return self.dock.message.text()

    def text(self, name: str) -> str:
        """What a label says."""
        return self.dock.findChild(QLabel, name).text()

    def rows(self) -> dict[str, dict[str, str]]:
        """The table as it is shown: the cells of each file by the title of their column."""
        model = self.dock.table
        titles = [
            model.headerData(k, Qt.Orientation.Horizontal) for k in range(model.columnCount())
        ]
        found = {}
        for i in range(model.rowCount()):
            cells = {title: model.index(i, k).data() for k, title in enumerate(titles)}
            found[cells["File"]] = cells
        return found

    def close(self) -> None:
        """Stop what is going on and let go."""
        if self.dock.job is not None:
            self.dock.job.stop()
        self.wait(lambda: self.dock.job is None and not self.dock.opener.busy)
        self.wait(lambda: self.dock.card.is_current)
        self.dock.release()


@contextmanager
def at_dock(viewer, qtbot, data: Path, model: Path, out: Path) -> Iterator[SortUser]:
    """Someone at a dock who has entered other data, a model and where results go."""
    dock = SortDock(viewer)
    dock.resize(340, 1600)
    dock.show()
    someone = SortUser(dock, qtbot)
    someone.choose("what", "other data")
    someone.enter(data=data, model=model, out=out)
    yield someone
    someone.close()
    dock.close()


def written(out: Path) -> dict[str, bytes]:
    """Lists, tables and summary of a sort."""
    files = [*out.glob("*.lst"), *out.glob("decisions/*.csv"), out / "summary.csv"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
