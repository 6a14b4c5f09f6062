"""A person at a dock: clicks, reads, and drags in its plots."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLabel, QPushButton

#: Milliseconds after which what a dock does in the background has failed.
WAIT = 60_000


def shown(dock, qtbot, is_idle):
    """The dock in a width that it has in napari; let go of when it is idle."""

    def finish(dock):
        qtbot.waitUntil(is_idle, timeout=WAIT)
        dock.release()

    qtbot.addWidget(dock, before_close_func=finish)
    dock.resize(360, 1400)
    dock.show()
    return dock


def click(dock, name, qtbot):
    """Click a button."""
    widget = dock.findChild(QPushButton, name)
    assert widget.isEnabled(), name
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def text(dock, name):
    """What a label says."""
    return dock.findChild(QLabel, name).text()


def on_canvas(axes, x):
    """Where a value of a plot is on its canvas, half way up, for Qt."""
    px = axes.transData.transform((x, 1))[0]
    canvas = axes.figure.canvas
    y = sum(axes.get_window_extent().intervaly) / 2
    return canvas, QPoint(round(px), round(canvas.height() - y))


def drag(axes, start, end, qtbot):
    """Drag in a plot from one value to another; gives how much of the axis a pixel is."""
    axes.figure.canvas.draw()
    canvas, here = on_canvas(axes, start)
    there = on_canvas(axes, end)[1]
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=here)
    qtbot.mouseMove(canvas, (here + there) / 2)
    qtbot.mouseMove(canvas, there)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=there)
    left, right = axes.get_window_extent().intervalx
    return (axes.get_xlim()[1] - axes.get_xlim()[0]) / (right - left)
