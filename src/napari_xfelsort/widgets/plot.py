"""The one small canvas for plots: looks like napari, and can be saved as a picture."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QSizePolicy, QVBoxLayout, QWidget

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.runs import unwrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Draws on an empty figure; called again when napari's theme changes.
Drawing = Callable[["Figure"], None]

_PICTURES = "Picture (*.png);;Vector graphics (*.svg);;Document (*.pdf)"
_ENDINGS = (".png", ".svg", ".pdf")
#: Dots per inch of a saved picture.
_SAVED_DPI = 200
#: Text of all plots; in saved pictures words stay words.
FONT = {"font.size": 8.0, "svg.fonttype": "none", "pdf.fonttype": 42}


class Plot(QWidget):
    """A plot in a dock.

    The colours are those of napari's theme; saved pictures are on white, for logbooks and
    papers. matplotlib is imported when something is drawn.

    Parameters
    ----------
    napari_viewer : Viewer
        Whose theme is followed.
    name : str
        Object name; also offered as the name of a saved picture.
    """

    #: A picture was saved (its path) or could not be (the reason); and whether it was.
    told = Signal(str, bool)

    def __init__(self, napari_viewer: Any, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._viewer = unwrapped(napari_viewer)
        self._drawing: Drawing | None = None
        self._canvas: Any = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.setToolTip("Right-click to save the picture")
        self.setVisible(False)
        self._viewer.events.theme.connect(self._redraw)

    @property
    def figure(self) -> Figure | None:
        """What is shown; None before something is."""
        return None if self._canvas is None else self._canvas.figure

    def draw(self, drawing: Drawing, height: int) -> None:
        """Show a plot.

        Parameters
        ----------
        drawing : callable
            Draws on the figure it is given.
        height : int
            Of the plot, in pixels of the screen.
        """
        if self._canvas is None:
            self._canvas = _canvas_class()()
            self._canvas.installEventFilter(_WheelPasser(self._canvas))
            self._canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._column.addWidget(self._canvas)
        self._drawing = drawing
        self._canvas.setFixedHeight(height)
        self._redraw()
        self.setVisible(True)

    def clear(self) -> None:
        """Show nothing."""
        self._drawing = None
        self.setVisible(False)

    def release(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self._redraw)

    def save(self) -> None:
        """Ask for a name and save the picture: PNG, SVG or PDF."""
        if self._drawing is None:
            return
        path, chosen = QFileDialog.getSaveFileName(
            self,
            "Save picture",
            f"{self.objectName()}.png",
            _PICTURES,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not path:
            return
        if not path.lower().endswith(_ENDINGS):
            path += next((ending for ending in _ENDINGS if ending in chosen), ".png")
        target = file_to_write(self, path)
        if target is None:
            return
        try:
            self._write(*target)
        except OutputError as error:
            self.told.emit(str(error), False)
        else:
            self.told.emit(f"The picture is in {target.path}.", True)

    def _write(self, path: str, replace: bool) -> None:
        from matplotlib import style
        from matplotlib.figure import Figure

        assert self._drawing is not None
        size = tuple(self._canvas.figure.get_size_inches())
        with style.context(["default", FONT]), atomic_write(path, overwrite=replace) as target:
            figure = Figure(figsize=size, layout="constrained")
            self._drawing(figure)
            ending = os.path.splitext(path)[1][1:].lower()
            with target.open("wb") as file:
                figure.savefig(file, format=ending, dpi=_SAVED_DPI)

    def _show_menu(self, position: Any) -> None:
        menu = QMenu(self)
        menu.addAction("Save picture…", self.save)
        menu.exec(self.mapToGlobal(position))
        menu.deleteLater()

    def _redraw(self, event: Any = None) -> None:
        if self._drawing is None or self._canvas is None:
            return
        figure = self._canvas.figure
        figure.clear()
        with _themed(str(self._viewer.theme)) as background:
            figure.set_facecolor(background)
            self._drawing(figure)
        self._canvas.draw_idle()


@contextmanager
def _themed(theme: str) -> Iterator[str]:
    """What is drawn meanwhile has the colours of a theme of napari; gives the background."""
    from matplotlib import style
    from napari.utils.theme import get_theme

    colours = get_theme(theme)
    text, background = colours.text.as_hex(), colours.background.as_hex()
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    rules = dict.fromkeys(names, text) | {
        "axes.facecolor": background,
        "figure.facecolor": background,
        "legend.facecolor": background,
        "grid.color": colours.secondary.as_hex(),
    }
    with style.context(["default", FONT, rules]):
        yield background


@functools.cache
def _canvas_class() -> Any:
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from matplotlib.figure import Figure

    class Canvas(FigureCanvasQTAgg):
        def __init__(self) -> None:
            super().__init__(Figure(layout="constrained"))

        def draw(self) -> None:
            with warnings.catch_warnings():
                # A dock may be too narrow for a moment, while it is laid out.
                warnings.filterwarnings("ignore", "constrained_layout not applied")
                try:
                    super().draw()
                except RuntimeError:
                    if isalive(self):
                        raise
                    # The dock is no more since the drawing began.

    return Canvas


class _WheelPasser(QObject):
    """Lets the dock scroll when the wheel is turned over a plot."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False
