"""Sizes of the events of a run in the SPI dock: histogram, and a filter with two handles."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QWidget

from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.spi.run_sizes import LARGEST, SMALLEST, SizeTable, find_sizes
from napari_xfelsort.core.spi.size_settings import SizeSettings
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, PathField, button, row, stacked
from napari_xfelsort.widgets.forms import SettingsForm, file_to_write
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.rule_histogram import ScoreHistogram, ScoreScale
from napari_xfelsort.widgets.spi_tab import Numbers, Selections, SpiTab
from napari_xfelsort.widgets.workers import Job, Report, counted

_FIRST = ("shape", "smallest", "largest")
#: Largest diameter that can be typed, in nm.
_MOST = 1e6


def sizing(stack: EventStack, settings: SizeSettings, report: Report) -> SizeTable:
    """Work: sizes of a run."""
    return find_sizes(stack, settings, progress=counted(report))


class SizesTab(SpiTab):
    """Finds sizes and keeps the events within limits.

    Attributes
    ----------
    found : SizeTable or None
        Sizes of the run.
    limits : pair of float
        Diameters in nm that pass.
    """

    def __init__(self, napari_viewer: Any, selections: Selections) -> None:
        super().__init__(selections)
        self.found: SizeTable | None = None
        self.limits = (SMALLEST, LARGEST)
        self._event: int | None = None
        self._scale = ScoreScale(np.zeros(0))
        self._build(napari_viewer)
        self.forget()

    def forget(self) -> None:
        """Forget the sizes."""
        self.found = None
        self.plot.clear()
        self.results.setVisible(False)
        self.set_busy(False)

    def release(self) -> None:
        """Let go of the viewer."""
        self.plot.release()

    def set_busy(self, busy: bool) -> None:
        """Sizes are looked for once at a time."""
        self.find_button.setEnabled(not busy and self.stack is not None)
        self.write_button.setEnabled(not busy)

    def find(self) -> None:
        """Find the sizes of all events."""
        if self.stack is None:
            return
        try:
            settings = self.form.settings()
        except SettingsError:
            self.told.emit("Correct the settings first.", False)
            return
        job = Job("finding sizes", functools.partial(sizing, self.stack, settings))
        job.succeeded.connect(functools.partial(self._take, self.stack))
        self.job_wanted.emit(job, "Finding sizes…")

    def _take(self, stack: EventStack, found: SizeTable) -> None:
        if stack is not self.stack:
            return  # another run was chosen meanwhile
        self.found = found
        self.results.setVisible(True)
        self._draw()
        self.show_event(self._event)
        if found.problems:
            why = next(iter(found.problems.values()))
            self.told.emit(f"{len(found.problems)} events could not be read: {why}", False)

    # --- the filter ---------------------------------------------------------------------

    @property
    def passing(self) -> Numbers:
        """Numbers of the events within the limits."""
        low, high = self.limits
        if self.found is None or not low < high:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.found.passing(low, high))

    def _draw(self) -> None:
        assert self.found is not None
        sizes = self.found.diameter
        self._scale = ScoreScale(sizes)
        for end in self.limits:
            self._scale = self._scale.with_place_for(end)
        self.plot.show_scores(sizes, self._scale, self.limits, "diameter (nm)")
        self._show_limits()

    def _show_limits(self) -> None:
        for box, end, limit in zip(self._boxes, self.limits, (0.0, _MOST), strict=True):
            with QSignalBlocker(box):
                box.setValue(end if math.isfinite(end) else limit)
        passing = self.passing
        n = 0 if self.found is None else len(self.found)
        self.counts.tell(
            f"{len(passing)} of {n} events pass. Pairs and groups of particles of the right size "
            "pass as well."
        )
        for each in self._with_events:
            each.setEnabled(len(passing) > 0)

    def _dragged(self, number: int, low: float, high: float) -> None:
        self.limits = self._scale.dragged(low, high)
        self._show_limits()

    def _typed(self, _: float) -> None:
        low, high = (box.value() for box in self._boxes)
        if not low < high:
            self.counts.tell_error(f"No diameter is from {low:g} to {high:g} nm.")
            return
        self.limits = (low, high)
        self._draw()

    def show_event(self, event: int | None) -> None:
        """Mark the event in the histogram, and tell its size."""
        self._event = event
        if self.found is None:
            return
        if event is None or event >= len(self.found):
            self.about.tell("")
            self.plot.mark(math.nan)
            return
        self.plot.mark(float(self.found.diameter[event]))
        self.about.tell(told_size(self.found, event))

    def _to_selection(self) -> None:
        low, high = self.limits
        how = f"diameters from {low:.4g} to {high:.4g} nm"
        self.keep(f"{low:.4g}-{high:.4g} nm", self.passing, how)

    def _next(self) -> None:
        self.browsed.emit(self.passing)

    def _write(self) -> None:
        path = self.file.path()
        if self.found is None:
            return
        if path is None:
            self.told.emit("Choose a file to write.", False)
            return
        target = file_to_write(self, path, ".csv")
        if target is None:
            return
        try:
            self.found.write_csv(target.path, target.replaces)
        except OutputError as error:
            self.told.emit(str(error), False)
        else:
            self.told.emit(f"The sizes are in {target.path}.", True)

    # --- how it looks -------------------------------------------------------------------

    def _build(self, napari_viewer: Any) -> None:
        self.form = SettingsForm(SizeSettings, _FIRST)
        tip = "Find the size of the particle of every event; you can browse meanwhile"
        self.find_button = button("Find sizes", "find_sizes", tip, self.find)
        self.plot = ScoreHistogram(napari_viewer, "sizes")
        self.plot.dragged.connect(self._dragged)
        self.plot.told.connect(self.told)
        self._boxes = [_box(name) for name in ("smallest", "largest")]
        for box in self._boxes:
            box.valueChanged.connect(self._typed)
        self.counts, self.about = Message(), Message()
        self.counts.setObjectName("passing")
        self.about.setObjectName("event_size")
        tip = "Keep the events that pass as a selection"
        keep = button("To selection", "keep_sizes", tip, self._to_selection)
        tip = "Show the next event that passes"
        browse = button("Next that passes", "next_passing", tip, self._next)
        self._with_events = (keep, browse)
        self.file = PathField(
            "sizes_file", "new file", "Table to write", "Table (*.csv)", "a file"
        )
        tip = "Write the sizes as a table; a file that exists is replaced only after asking"
        self.write_button = button("Write table", "write_sizes", tip, self._write)
        self.results = self._results(row(keep, browse))
        for widget in (self.form, self.find_button, self.plot, self.results):
            self.column.addWidget(widget)
        self.column.addStretch()

    def _results(self, buttons: Any) -> QWidget:
        part = stacked(self.about)
        column = part.layout()
        column.addLayout(row("from", self._boxes[0], "to", self._boxes[1], QLabel("nm")))
        column.addWidget(self.counts)
        column.addLayout(buttons)
        line = row(self.file, self.write_button)
        line.setStretch(0, 1)
        column.addLayout(line)
        return part


def told_size(found: SizeTable, event: int) -> str:
    """What was found of an event, in a sentence."""
    if event in found.problems:
        return f"Event {event} could not be read: {found.problems[event]}"
    sizes = found.sizes
    diameter = float(sizes.diameter[event])
    if not math.isfinite(diameter):
        return f"Event {event} has no size."
    text = f"Event {event}: {diameter:.4g} ± {float(sizes.uncertainty[event]):.2g} nm, "
    text += f"{float(sizes.photons[event]):.3g} photons, "
    return text + f"second-best size {float(sizes.ambiguity[event]):.3g} times as bad."


def _box(end: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(f"{end}_kept")
    box.setToolTip(f"The {end} diameter that passes (nm)")
    box.setRange(0, _MOST)
    box.setDecimals(2)
    box.setKeyboardTracking(False)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    needs_focus_for_wheel(box)
    return box
