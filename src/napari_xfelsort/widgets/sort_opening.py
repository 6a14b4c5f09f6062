"""From a line of the table to the event in the viewer."""

from __future__ import annotations

import csv
import functools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from qtpy.QtCore import QObject, Signal

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.sorting.folder import MANIFEST, TABLES
from napari_xfelsort.widgets.layers import LayerData, Opened
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import ViewerRuns
from napari_xfelsort.widgets.sort_table import SortRow
from napari_xfelsort.widgets.workers import Job, Report

#: Of the chooser: the first event, whatever it is.
ANY = "any class"


class Wanted(NamedTuple):
    """What is to be shown.

    Attributes
    ----------
    row : SortRow
        The file.
    place : str
        Where it is.
    name : str
        The class whose first event is wanted, or `ANY`.
    out : str
        Folder of the results.
    opened : Opened
        How the data are opened.
    """

    row: SortRow
    place: str
    name: str
    out: str
    opened: Opened


class Found(NamedTuple):
    """The event, if there is one, and the layers of its file, unless it is open."""

    wanted: Wanted
    event: EventId | None
    layers: list[LayerData] | None


def first_event(wanted: Wanted) -> EventId | None:
    """The first event of the class in the tables of decisions of a file.

    A table that is still being made counts as far as it is on disk.
    """
    for path in _tables(Path(wanted.out), wanted.row):
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
                for cells in _whole_rows(text):
                    file, event, name = cells[:3]
                    if wanted.name in (ANY, name):
                        return EventId(file, event)
        except (OSError, csv.Error):
            continue
    return None


def _whole_rows(text: Any) -> Iterator[list[str]]:
    """Rows without the header; not one that is cut off."""
    rows = csv.reader(line for line in text if line.endswith("\n"))
    header = next(rows, [])
    return (cells for cells in rows if len(cells) == len(header))


def _tables(out: Path, row: SortRow) -> list[Path]:
    """The tables of a file: complete ones, and those that are being made."""
    if row.table and (out / row.table).is_file():
        return [out / row.table]
    try:
        named = json.loads((out / MANIFEST).read_bytes())["tables"]
        names = [str(name) for path, _, _, name in named if path == row.path]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    found = []
    for name in names:
        found += [out / TABLES / f"{name}.csv", out / TABLES / f".{name}.csv.part"]
    return [path for path in found if path.is_file()]


def find(wanted: Wanted, is_open: bool, report: Report) -> Found:
    """Look for the event, and open the file; called in a job's thread."""
    event = first_event(wanted)
    report(None)
    if event is None or is_open:
        return Found(wanted, event, None)
    opened = replace(wanted.opened, paths=(wanted.place,))
    layers = open_layers(opened)
    report(None)  # the dock may have been closed meanwhile
    return Found(wanted, event, layers)


class FileOpener(QObject):
    """Shows the first event of a class of a file in the viewer, opening it where needed.

    The file that was opened for the click before makes way, unless it is labelled.

    Parameters
    ----------
    runs : ViewerRuns
        Those of the viewer.
    """

    #: What came of it, in a sentence; and whether an event is shown.
    told = Signal(str, bool)

    def __init__(self, runs: ViewerRuns) -> None:
        super().__init__()
        self._runs = runs
        self._job: Job | None = None
        self._next: Wanted | None = None
        self._ours: Run | None = None

    @property
    def busy(self) -> bool:
        """Whether a file is being opened."""
        return self._job is not None

    def show(self, wanted: Wanted) -> None:
        """Show an event; of several clicks in a row the last one counts."""
        if self._job is not None:
            self._next = wanted
            return
        is_open = self._run_of(wanted.place) is not None
        self._job = Job(f"opening {wanted.row.path}", functools.partial(find, wanted, is_open))
        self._job.succeeded.connect(self._show_found)
        self._job.failed.connect(self._failed)
        self._job.ended.connect(self._ended)
        self._job.start()

    def release(self) -> None:
        """Open no more."""
        self._next = None
        if self._job is not None:
            self._job.stop()

    def _run_of(self, place: str) -> Run | None:
        """An open run that has the file."""
        real = os.path.realpath(place)
        for run in (self._runs.active, *self._runs.runs):
            if run is not None and any(
                os.path.realpath(source.place or source.path) == real
                for source in run.stack.sources
            ):
                return run
        return None

    def _show_found(self, found: Found) -> None:
        row, name = found.wanted.row, found.wanted.name
        file = os.path.basename(os.path.normpath(row.path)) or row.path
        if found.event is None:
            what = "No event" if name == ANY else f"No {name} event"
            self.told.emit(f"{what} of {file} is decided on." if not row.what else row.what, False)
            return
        run = self._run_of(found.wanted.place)
        if run is None and found.layers is not None:
            run = self._add(found.layers)
        if run is None:
            self.told.emit(f"{file} was closed meanwhile; click it again.", False)
            return
        self._runs.activate(run)
        i = run.stack.find(found.event)
        if i is None:
            i = run.stack.find(EventId(found.wanted.place, found.event.event))
        if i is None:
            self.told.emit(
                f"{found.event.short} came after the file was opened; press Reload in the "
                "Open run dock, then click again.",
                False,
            )
            return
        run.go_to(i)
        told = "the first event" if name == ANY else f"the first {name} event"
        self.told.emit(f"Shown: {told} of {file}, {found.event.short}.", True)

    def _add(self, layers: list[LayerData]) -> Run:
        before, viewer = self._ours, self._runs.viewer
        run = self._ours = self._runs.add(layers)
        if before in self._runs.runs and before is not None and before.labels is None:
            assert viewer is not None
            for layer in (*before.companions.layers(), before.layer):
                viewer.layers.remove(layer)
            self._runs.activate(run)
        return run

    def _failed(self, sentence: str) -> None:
        self.told.emit(sentence, False)

    def _ended(self) -> None:
        self._job = None
        wanted, self._next = self._next, None
        if wanted is not None:
            self.show(wanted)
