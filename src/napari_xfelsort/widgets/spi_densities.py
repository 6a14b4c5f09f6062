"""Radial densities in the SPI dock: of the event shown, and of selections over one another."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QHeaderView, QTableWidget, QTableWidgetItem

from napari_xfelsort.core.spi.comparing import SelectionComparison, compare_selections
from napari_xfelsort.core.spi.psd import Psd, PsdReader
from napari_xfelsort.core.spi.selections import Selection
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message, button, choose_whole_rows
from napari_xfelsort.widgets.plot import Plot
from napari_xfelsort.widgets.spi_tab import Selections, SpiTab
from napari_xfelsort.widgets.workers import Job, Report, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels of the screen; milliseconds from a step to the density of its event.
_HEIGHT, _DELAY = 230, 80
#: Of the selections; the event is drawn grey.
_COLOURS = ("#4cc3ff", "#ff9f0a", "#3fae5a", "#e377c2", "#bcbd22", "#9467bd")
_EVENT = "#9a9a9a"
CAVEAT = (
    "γ says how alike in size the particles are, not whether they are single: pairs have as much "
    "or more. Do not select by it."
)


def comparing(
    stack: EventStack, selections: list[Selection], report: Report
) -> SelectionComparison:
    """Work: mean densities of selections."""
    return compare_selections(stack, selections, progress=counted(report))


class DensityPlot(Plot):
    """Densities against q, on a logarithmic scale."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, "densities")
        self.lines: list[tuple[str, Psd, str]] = []

    def show_lines(self, lines: list[tuple[str, Psd, str]]) -> None:
        """Draw densities, each with a name and a colour; nothing where there is none."""
        self.lines = lines
        if lines:
            self.draw(self._draw, _HEIGHT)
        else:
            self.clear()

    def _draw(self, figure: Figure) -> None:
        import numpy as np

        axes = figure.subplots()
        for name, psd, colour in self.lines:
            shown = np.where(psd.values > 0, psd.values, np.nan)
            axes.plot(psd.q, shown, color=colour, linewidth=1.2, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("q (1/nm)")
        axes.set_ylabel("mean of a pixel")
        axes.legend(fontsize=7, frameon=False)


class DensitiesTab(SpiTab):
    """Draws densities, and tells the contrast of their fringes.

    Attributes
    ----------
    compared : SelectionComparison or None
        The selections that are drawn.
    """

    def __init__(self, napari_viewer: Any, selections: Selections) -> None:
        super().__init__(selections)
        self.compared: SelectionComparison | None = None
        self._reader: PsdReader | None = None
        self._of_event: tuple[int, Psd | None] | None = None
        self._event: int | None = None
        self._reading: Job | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DELAY)
        self._soon.timeout.connect(self._read)
        self._build(napari_viewer)
        self.forget()

    @property
    def reading(self) -> bool:
        """Whether the density of an event is being made, or soon will be."""
        return self._reading is not None or self._soon.isActive()

    def forget(self) -> None:
        """Forget all densities."""
        self.compared = self._of_event = self._reader = None
        self._show()
        self.set_busy(False)
        self._soon.start()

    def release(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        self.stack = None
        self.plot.release()

    def set_busy(self, busy: bool) -> None:
        """Selections are compared once at a time."""
        self.draw_button.setEnabled(not busy and self.stack is not None)

    # --- the event shown ----------------------------------------------------------------

    def show_event(self, event: int | None) -> None:
        """Draw the density of the event a moment later."""
        self._event = event
        self._soon.start()

    def showEvent(self, event: Any) -> None:
        """Draw what was not drawn while the tab was hidden."""
        super().showEvent(event)
        self._soon.start()

    def _read(self) -> None:
        event = self._event
        if self._reading is not None or self.stack is None or not self.isVisible():
            return
        if event is None or not self.with_event.isChecked():
            self._of_event = None
            self._show()
            return
        if self._of_event is not None and self._of_event[0] == event:
            return
        job = Job("density of an event", functools.partial(self._density, self.stack, event))
        job.succeeded.connect(functools.partial(self._take_event, self.stack, event))
        job.failed.connect(functools.partial(self._refused, event))
        job.ended.connect(self._read_ended)
        self._reading = job
        job.start()

    def _density(self, stack: EventStack, event: int, report: Report) -> Psd:
        """In a thread, one at a time."""
        reader = self._reader
        if reader is None or reader.stack is not stack:
            self._reader = reader = PsdReader(stack)
        return reader.event(event)

    def _take_event(self, stack: EventStack, event: int, psd: Psd) -> None:
        if stack is self.stack:
            self._of_event = (event, psd)
            self.why.tell("")
            self._show()

    def _refused(self, event: int, sentence: str) -> None:
        self._of_event = (event, None)
        self.why.tell_error(sentence)
        self._show()

    def _read_ended(self) -> None:
        self._reading = None
        if self._of_event is None or self._of_event[0] != self._event:
            self._soon.start()

    def _toggled(self, _: bool) -> None:
        self._soon.start()

    # --- selections ---------------------------------------------------------------------

    def compare(self) -> None:
        """Draw the mean densities of the selections that have events in the run."""
        if self.stack is None:
            return
        chosen = [each.selection for each in self.selections.items.values() if len(each.numbers)]
        if not chosen:
            self.told.emit("There is no selection yet: make one of sizes or of classes.", False)
            return
        job = Job("densities of selections", functools.partial(comparing, self.stack, chosen))
        job.succeeded.connect(functools.partial(self._take, self.stack))
        self.job_wanted.emit(job, "Densities…")

    def _take(self, stack: EventStack, compared: SelectionComparison) -> None:
        if stack is self.stack:
            self.compared = compared
            self._show()

    def _show(self) -> None:
        lines: list[tuple[str, Psd, str]] = []
        if self.compared is not None:
            for k, (name, psd) in enumerate(
                zip(self.compared.names, self.compared.psds, strict=True)
            ):
                lines.append((name, psd, _COLOURS[k % len(_COLOURS)]))
        if self._of_event is not None and self._of_event[1] is not None:
            lines.append((f"event {self._of_event[0]}", self._of_event[1], _EVENT))
        self.plot.show_lines(lines)
        self.table.setRowCount(len(lines))
        for k, (name, psd, _) in enumerate(lines):
            gamma = psd.contrast.gamma
            texts = (name, str(psd.events), "–" if math.isnan(gamma) else f"{gamma:.3f}")
            for column, text in enumerate(texts):
                self.table.setItem(k, column, QTableWidgetItem(text))
        self.table.setVisible(bool(lines))
        self.caveat.setVisible(bool(lines))
        self.table.setFixedHeight(30 + 22 * max(1, len(lines)))

    def _build(self, napari_viewer: Any) -> None:
        self.with_event = QCheckBox("the event shown")
        self.with_event.setObjectName("density_of_event")
        self.with_event.setToolTip("Draw the density of the event that is shown, too")
        self.with_event.setChecked(True)
        self.with_event.toggled.connect(self._toggled)
        tip = "Read the events of all selections and draw their mean densities"
        self.draw_button = button("Draw selections", "draw_densities", tip, self.compare)
        self.plot = DensityPlot(napari_viewer)
        self.plot.told.connect(self.told)
        self.why = Message()
        self.why.setObjectName("density_message")
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("contrasts")
        self.table.setHorizontalHeaderLabels(["density of", "events", "γ"])
        self.table.setToolTip("Contrast γ of the fringes of each density")
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        choose_whole_rows(self.table)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.caveat = Message()
        self.caveat.setObjectName("caveat")
        self.caveat.tell(CAVEAT)
        for widget in (self.with_event, self.draw_button, self.why, self.plot, self.table):
            self.column.addWidget(widget)
        self.column.addWidget(self.caveat)
        self.column.addStretch()
