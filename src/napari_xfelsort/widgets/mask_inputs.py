"""Which frames a mask is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_xfelsort.widgets.dock import PathField
from napari_xfelsort.widgets.layers import Opened

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run

NONE, RUN, FILES = range(3)


class FramesChooser(QWidget):
    """No frames, those of the open run, or those of files.

    Parameters
    ----------
    name : str
        ``dark`` or ``bright``.
    tip : str
        What the frames should be.
    """

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.name = name
        self.source = QComboBox()
        self.source.setObjectName(f"{name}_source")
        self.source.addItems(["none", "the open run", "files"])
        self.source.setToolTip(tip)
        self.files = PathField(f"{name}_files", "files", tip, placeholder=f"{name} files")
        self.files.line.setToolTip(tip)
        self.files.setVisible(False)
        self.source.currentIndexChanged.connect(self._chosen)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.source)
        column.addWidget(self.files)

    def opened(self, run: Run | None) -> Opened | None:
        """What to open for these frames; None for none or for the open run itself."""
        if self.source.currentIndex() != FILES or not self.files.paths():
            return None
        geometry = None if run is None else run.opened.geometry
        return Opened(tuple(self.files.paths()), geometry)

    @property
    def is_run(self) -> bool:
        """Whether frames of the open run are meant."""
        return self.source.currentIndex() == RUN

    def _chosen(self, which: int) -> None:
        self.files.setVisible(which == FILES)
