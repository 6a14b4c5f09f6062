"""A person at a napari window: where keys and mouse go."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_xfelsort.widgets.overlay import text_overlay

#: Name of the plugin in napari.
PLUGIN = "napari-xfelsort"


def visible(kind: str, **properties: Any) -> QWidget:
    """The visible widget of this class with these Qt properties, shown last."""
    return [
        widget
        for widget in QApplication.allWidgets()
        if type(widget).__name__ == kind
        and widget.isVisible()
        and all(widget.property(name) == value for name, value in properties.items())
    ][-1]


def canvas() -> QWidget:
    """What keys and clicks on the picture go to."""
    return visible("CanvasBackendDesktop")


def press(key: Qt.Key) -> None:
    """Press and release a key over the picture."""
    QTest.keyClick(canvas(), key)


def camera_of(viewer: Any) -> Any:
    """napari's camera: of the scene since napari 0.9, of the viewer before."""
    return (viewer.scene if hasattr(viewer, "scene") else viewer).camera


def text_on(viewer: Any) -> str:
    """What is written on the canvas; empty when nothing is seen."""
    overlay = text_overlay(viewer)
    return overlay.text if overlay.visible else ""


def click_picture(viewer: Any, y: float, x: float) -> None:
    """Click on a point of the picture."""
    target, camera = canvas(), camera_of(viewer)
    middle_y, middle_x = camera.center[-2:]
    place = QPoint(
        round(target.width() / 2 + (x - middle_x) * camera.zoom),
        round(target.height() / 2 + (y - middle_y) * camera.zoom),
    )
    QTest.mouseMove(target, place)
    QTest.mouseClick(target, Qt.MouseButton.LeftButton, pos=place)
