"""The form that says what to open and how: data, geometry, dataset, mask."""

from __future__ import annotations

import os
from typing import Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton, QWidget

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.widgets.dock import PathField
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.workers import Job, Report

_AUTOMATIC = "automatic"
_DATA = "Data and lists (*.cxi *.nxs *.h5 *.hdf5 *.lst *.emc *.txt);;All files (*)"


class SourceForm(QWidget):
    """What to open and how: the arguments of `open_stack`."""

    def __init__(self) -> None:
        super().__init__()
        self.data = PathField(
            "data", "files", "Choose files or lists", _DATA, "files, folder, list or pattern"
        )
        self.folder = QPushButton("Folder…")
        self.folder.setObjectName("data_folder")
        self.folder.setToolTip("Choose a folder of files, or the folder of a run")
        self.folder.clicked.connect(self._choose_folder)
        self.geometry_file = PathField(
            "geometry",
            "file",
            "Choose a CrystFEL geometry",
            "Geometry (*.geom);;All files (*)",
            "none: as the data say",
        )
        self.mask = PathField(
            "mask",
            "file",
            "Choose a mask file to add (HDF5, /entry_1/data_1/mask, 0 = good)",
            "HDF5 (*.h5 *.hdf5 *.cxi);;All files (*)",
            "only those of data and geometry",
        )
        self.dataset = QComboBox()
        self.dataset.setObjectName("dataset")
        self.dataset.setEditable(True)
        self.dataset.setToolTip("Where the frames are in the files; automatic is mostly right")
        self.dataset.setMinimumContentsLength(10)
        self.dataset.addItem(_AUTOMATIC)
        self._job: Job | None = None
        self._listed = ""
        self.data.chosen.connect(self._list_datasets)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.addRow("Data", self.data)
        form.addRow("", self.folder)
        form.addRow("Geometry", self.geometry_file)
        form.addRow("Dataset", self.dataset)
        form.addRow("Mask", self.mask)

    def opened(self) -> Opened | None:
        """What the form says; None when no data are named."""
        paths = self.data.paths()
        if not paths:
            return None
        dataset = self.dataset.currentText().strip()
        return Opened(
            tuple(os.path.expanduser(path) for path in paths),
            self.geometry_file.path(),
            self.mask.path(),
            None if dataset in ("", _AUTOMATIC) else dataset,
        )

    def show_opened(self, opened: Opened) -> None:
        """Fill the form with how a run was opened."""
        self.data.set_paths(*opened.paths)
        self.geometry_file.set_paths(*filter(None, [opened.geometry]))
        self.mask.set_paths(*filter(None, [opened.mask]))
        self.dataset.setCurrentText(opened.dataset or _AUTOMATIC)

    def _choose_folder(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        start = (self.data.paths() or [""])[0]
        found = QFileDialog.getExistingDirectory(self, "Choose a folder", start)
        if found:
            self.data.set_paths(found)
            self.data.chosen.emit(found)

    def _list_datasets(self, _: Any = None) -> None:
        """Offer the datasets of the first file that could hold frames."""
        first = (self.data.paths() or [""])[0]
        if first == self._listed or self._job is not None or not os.path.isfile(first):
            return
        self._listed = first
        self._job = Job(f"listing the datasets of {first}", _Candidates(first))
        self._job.succeeded.connect(self._offer)
        self._job.ended.connect(self._job_ended)
        self._job.start()

    def _offer(self, candidates: list[tuple[str, str]]) -> None:
        chosen = self.dataset.currentText()
        self.dataset.clear()
        self.dataset.addItem(_AUTOMATIC)
        for path, what in candidates:
            self.dataset.addItem(path)
            self.dataset.setItemData(self.dataset.count() - 1, what, 3)  # its tooltip
        self.dataset.setCurrentText(chosen)

    def _job_ended(self) -> None:
        self._job = None


class _Candidates:
    """Paths of datasets that may hold frames, with their shape and type."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, report: Report) -> list[tuple[str, str]]:
        from napari_xfelsort.readers import list_datasets

        try:
            found = list_datasets(self._path)
        except XfelsortError:  # a list, or no HDF5; opening will tell
            return []
        return [(c.path, f"{c.shape} {c.dtype}") for c in found]
