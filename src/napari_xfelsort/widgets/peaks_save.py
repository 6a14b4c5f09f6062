"""The peaks of a run, written as a list, a table or a CXI file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGroupBox, QVBoxLayout

from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.peaks import RunPeaks
from napari_xfelsort.core.peaks.run_peaks import BLANK, HIT
from napari_xfelsort.widgets.dock import Message, PathField, button, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.workers import Report


def _hits_cxi(found: RunPeaks, path: str, replace: bool) -> None:
    hits = np.flatnonzero(found.hits)
    if not len(hits):
        raise NoEventsError("There is no hit to write.")
    found.write_cxi(path, hits.tolist(), replace)


def _hits_list(found: RunPeaks, path: str, replace: bool) -> None:
    found.write_list(path, HIT, replace)


def _blanks_list(found: RunPeaks, path: str, replace: bool) -> None:
    found.write_list(path, BLANK, replace)


def _whole_cxi(found: RunPeaks, path: str, replace: bool) -> None:
    found.write_cxi(path, None, replace)


#: What can be written: its name, its words, how files end, and who writes it.
KINDS: tuple[tuple[str, str, str, Callable[[RunPeaks, str, bool], Any]], ...] = (
    ("hits", "list of hits", ".lst", _hits_list),
    ("blanks", "list of blanks", ".lst", _blanks_list),
    ("events", "table of events", ".csv", RunPeaks.write_events),
    ("peaks", "table of peaks", ".csv", RunPeaks.write_peaks),
    ("cxi", "CXI file with peaks", ".cxi", _whole_cxi),
    ("cxi_hits", "CXI file with peaks, hits only", ".cxi", _hits_cxi),
)


class PeakSaving(QGroupBox):
    """What to write, and where; asks before a file is replaced."""

    #: Work for a job: writes, and returns a sentence about it.
    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__("Write")
        self._found: RunPeaks | None = None
        self.kind = QComboBox()
        self.kind.setObjectName("write_kind")
        for name, words, _, _ in KINDS:
            self.kind.addItem(words, name)
        self.kind.setToolTip(
            "Lists are read by CrystFEL, the Event table and all commands; CXI files have peaks "
            "as Cheetah writes them and show the frames where they are"
        )
        needs_focus_for_wheel(self.kind)
        files = "Lists, tables, CXI files (*.lst *.csv *.cxi)"
        self.file = PathField("write_file", "new file", "Where to write", files, "a file")
        self.file.line.setToolTip("The file to write; it gets its ending if it has none")
        tip = "Write it; a file that exists is replaced only after asking"
        self.button = button("Write", "write", tip, self.write)
        self.told = Message()
        self.told.setObjectName("written")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        line = row(self.kind, self.button)
        line.setStretch(0, 1)
        column.addLayout(line)
        column.addWidget(self.file)
        column.addWidget(self.told)

    def use(self, found: RunPeaks | None) -> None:
        """Write this from now on."""
        self._found = found

    def write(self) -> None:
        """Write what is chosen."""
        found, path = self._found, self.file.path()
        if found is None:
            return
        if path is None:
            self.told.tell_error("Choose a file to write.")
            return
        name = self.kind.currentData()
        words, ending, writer = next(kind[1:] for kind in KINDS if kind[0] == name)
        target = file_to_write(self, path, ending)
        if target is None:
            return

        def work(report: Report) -> str:
            writer(found, target.path, target.replaces)
            return f"The {words} is in {target.path}."

        self.told.tell("")
        self.wanted.emit(work)
