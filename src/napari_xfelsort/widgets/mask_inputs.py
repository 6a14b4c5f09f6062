"""Which frames a mask is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_xfelsort.widgets.dock import PathField
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.layers import Opened

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run

NONE, RUN, FILES = range(3)


class FramesChooser(QWidget):
    """No frames, those of the open run, or those of files; of any dataset.

    Parameters
    ----------
    name : str
        ``dark``, ``bright``, ``ordinary``, ``gain_0`` ...
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
        needs_focus_for_wheel(self.source)
        shown = name.replace("_", " stage ")
        self.files = PathField(f"{name}_files", "files", tip, placeholder=f"{shown} files")
        self.files.line.setToolTip(tip)
        self.dataset = QLineEdit()
        self.dataset.setObjectName(f"{name}_dataset")
        self.dataset.setPlaceholderText("dataset: found by itself")
        self.dataset.setToolTip(
            "Path of the frames in the files, where another than the usual one is meant"
        )
        self.source.currentIndexChanged.connect(self._chosen)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for widget in (self.source, self.files, self.dataset):
            column.addWidget(widget)
        self._chosen(NONE)

    def opened(self, run: Run | None) -> Opened | None:
        """What to open for these frames; None for none or for the open run itself."""
        which, dataset = self.source.currentIndex(), self.dataset.text().strip() or None
        paths = self.files.paths()
        geometry = None if run is None else run.opened.geometry
        if which == FILES and paths:
            return Opened(tuple(paths), geometry, dataset=dataset)
        if which == RUN and dataset is not None and run is not None:
            return Opened(run.opened.paths, geometry, dataset=dataset)
        return None

    @property
    def is_run(self) -> bool:
        """Whether frames of the open run are meant, as they are shown."""
        return self.source.currentIndex() == RUN and not self.dataset.text().strip()

    def _chosen(self, which: int) -> None:
        self.files.setVisible(which == FILES)
        self.dataset.setVisible(which != NONE)
