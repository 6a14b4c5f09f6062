"""A person at the Label dock, and what then lies on disk."""

from __future__ import annotations

import os

from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.dock import ERROR_COLOUR
from napari_xfelsort.widgets.label_dock import LabelDock


class User:
    """What a person does with the dock."""

    def __init__(self, dock: LabelDock, qtbot) -> None:
        self.dock, self.qtbot = dock, qtbot

    def settle(self) -> None:
        """Wait until labels are read and the picture is drawn."""
        self.qtbot.waitUntil(
            lambda: self.dock.job is None and not self.dock._painted.isActive(), timeout=10_000
        )

    def click(self, name: str) -> None:
        self.settle()
        found = self.dock.findChild(QPushButton, name)
        self.qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        self.settle()

    def press(self, key: str) -> None:
        self.settle()
        viewer = self.dock.runs.viewer
        handler = KeymapHandler()
        active = viewer.layers.selection.active
        handler.keymap_providers = [p for p in (active, viewer) if p is not None]
        handler.press_key(key)

    def type(self, name: str, text: str) -> None:
        line = self.dock.findChild(QLineEdit, name)
        line.setText(text)
        self.qtbot.keyClick(line, Qt.Key.Key_Return)
        self.settle()

    def reads(self, name: str) -> str:
        return self.dock.findChild(QLabel, name).text()

    @property
    def told(self) -> str:
        return self.dock.message.text()

    @property
    def is_red(self) -> bool:
        return ERROR_COLOUR in self.dock.message.styleSheet()


def journal(run, labeller: str = "") -> list[str]:
    """Event parts and labels in the journals on disk, in the order written."""
    folder = run.suggested_labels()
    lines = []
    for name in sorted(os.listdir(folder)):
        if name.startswith(f"labels-{labeller}"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                lines += [line.split(",")[2:4] for line in file.read().splitlines()[1:]]
    return [" ".join(parts) for parts in lines]


def labels_on_disk(run) -> dict[str, str]:
    """What counts, as another program reads it from disk."""
    store = LabelStore(run.suggested_labels(), "reader")
    return {event.event: label for event, label in store.labels().items()}


def canvas_of(dock: LabelDock) -> QOpenGLWidget:
    """The widget that shows the picture."""
    (found,) = dock.window().findChildren(QOpenGLWidget)
    return found


def settled(dock: LabelDock, qtbot) -> None:
    User(dock, qtbot).settle()
