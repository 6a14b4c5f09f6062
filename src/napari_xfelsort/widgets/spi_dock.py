"""The SPI dock: sizes, densities, classes and selections of single particles."""

from __future__ import annotations

import functools
import os
from typing import Any

from qtpy.QtWidgets import QFormLayout, QSizePolicy, QTabWidget

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.widgets import spi_map
from napari_xfelsort.widgets.dock import Dock, RunChooser, button, row
from napari_xfelsort.widgets.labelling import go_to_next_of
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.runs import unwrapped
from napari_xfelsort.widgets.spi_classes import ClassesTab
from napari_xfelsort.widgets.spi_densities import DensitiesTab
from napari_xfelsort.widgets.spi_selections import SelectionsTab
from napari_xfelsort.widgets.spi_sizes import SizesTab
from napari_xfelsort.widgets.spi_tab import Numbers, Selections, SpiTab
from napari_xfelsort.widgets.workers import Job

_PLUGIN = "napari-xfelsort"


class SpiDock(Dock):
    """Sizes, radial densities, classes and selections of the events of a run.

    Attributes
    ----------
    selections : Selections
        Made in any tab, or read from lists.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None
        self._viewer = napari_viewer
        self.selections = Selections()
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work."""
        super().release()
        self._run = None
        for tab in self.parts:
            tab.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        self._run = run
        self.message.tell("")
        self.follow_run(
            run, shown=self._on_event, changed=self._changed, labelled=self._follow_labels
        )
        if run is not None:
            self.choosing.folder.set_paths(os.path.abspath(run.suggested_labels()))
        self._changed()

    def _changed(self) -> None:
        """Other events, or the same with another geometry or mask: what was found is void."""
        if self.job is not None:
            self.job.stop()
        run = self._run
        stack = None if run is None else run.stack
        restored = self.selections.use(stack)
        for tab in self.parts:
            tab.use(stack)
            tab.show_event(None if run is None else run.current)
        self._tell_restored(restored)
        self._follow_labels()
        self.set_busy(self.job is not None)

    def _tell_restored(self, n: int) -> None:
        """Say how many selections were made before, and what is wrong with some."""
        problems = self.selections.problems
        if problems:
            more = f" (and {len(problems) - 1} more: see Selections)" if problems[1:] else ""
            self.message.tell_error(problems[0] + more)
        elif n:
            are = "1 selection of this run is" if n == 1 else f"{n} selections of this run are"
            self.message.tell(f"{are} here again; see Selections.")

    def _on_event(self, event: int) -> None:
        for tab in self.parts:
            tab.show_event(event)

    def _follow_labels(self) -> None:
        self.choosing.follow_labels(None if self._run is None else self._run.labels)

    # --- work ---------------------------------------------------------------------------

    def _start(self, job: Job, doing: str) -> None:
        if self.job is not None:
            return
        self.message.tell("")
        self.progress.start(doing)
        job.progressed.connect(self._progressed)
        job.stopped.connect(self._stopped)
        self.run_job(job)
        self.cancel_button.setVisible(True)

    def _progressed(self, state: tuple[Any, ...]) -> None:
        done, total = state[:2]
        self.progress.show_counts((done, total), *state[2:])

    def _stopped(self) -> None:
        self.message.tell("Stopped; nothing was kept.")

    def set_busy(self, busy: bool) -> None:
        """One work at a time; browsing goes on."""
        self.cancel_button.setVisible(False)
        for tab in self.parts:
            tab.set_busy(busy)
        if not busy:
            self.progress.stop()

    def _label(self, name: str, work: Any, create: bool) -> None:
        run = self._run
        if self.job is not None or run is None:
            return
        try:
            job = LabelJob(name, run, work, self.choosing.folder.path(), create=create)
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        job.labelled.connect(self.choosing.told_labels)
        self._start(job, "Labels…")

    def _browse(self, numbers: Numbers) -> None:
        if self._run is not None and len(numbers):
            go_to_next_of(self._run, numbers)

    def _fit(self, current: int) -> None:
        """Be as high as the tab that is seen, not as the highest."""
        wide = QSizePolicy.Policy.Preferred
        for k, tab in enumerate(self.parts):
            tab.setSizePolicy(wide, wide if k == current else QSizePolicy.Policy.Ignored)

    def _open(self, title: str) -> None:
        """Open another dock of ours."""
        window = getattr(unwrapped(self._viewer), "window", None)
        if window is None:
            self.message.tell_error(f"Open {title} from the Plugins menu.")
            return
        window.add_plugin_dock_widget(_PLUGIN, title)

    # --- how it looks -------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.progress = EventProgress()
        self.progress.setToolTip("How far it is, and about how long the rest takes")
        tip = "Stop; nothing is kept of what was begun"
        self.cancel_button = button("Cancel", "cancel", tip, self.cancel)
        self.sizes = SizesTab(napari_viewer, self.selections)
        self.densities = DensitiesTab(napari_viewer, self.selections)
        self.classes = ClassesTab(self.selections)
        self.choosing = SelectionsTab(self.selections)
        self.parts: list[SpiTab] = [self.sizes, self.densities, self.classes]
        titles = ["Sizes", "Density", "Classes"]
        if spi_map.is_there():
            self.parts.append(spi_map.MapTab(napari_viewer, self.selections))
            titles.append("Map")
        self.parts.append(self.choosing)
        titles.append("Selections")
        self.tabs = QTabWidget()
        self.tabs.setObjectName("spi_tabs")
        self.tabs.setUsesScrollButtons(False)
        for tab, title in zip(self.parts, titles, strict=True):
            self.tabs.addTab(tab, title)
            tab.job_wanted.connect(self._start)
            tab.browsed.connect(self._browse)
            tab.told.connect(self.message.tell_done)
        self.choosing.labels_wanted.connect(self._label)
        self.tabs.currentChanged.connect(self._fit)
        self._fit(0)
        form = QFormLayout()
        form.addRow("Run", self.chooser)
        self.body.addLayout(form)
        line = row(self.progress, self.cancel_button)
        line.setStretch(0, 1)
        self.body.addLayout(line)
        for widget in (self.message, self.tabs):
            self.body.addWidget(widget)
        tip = "Models of single hits are trained on labels, in a dock of their own"
        train = functools.partial(self._open, "Train a model")
        sort = functools.partial(self._open, "Sort events")
        self.body.addLayout(
            row(
                button("Train a model…", "open_train", tip, train),
                button("Sort events…", "open_sort", "Sort the run by a model", sort),
            )
        )
        self.body.addStretch()
