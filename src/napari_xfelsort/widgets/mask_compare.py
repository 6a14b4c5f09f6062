"""A mask beside another one: what was added, what removed, and where both agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.comparing import MaskComparison, compare_masks
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.mask_files import MaskFileChooser, read_any
from napari_xfelsort.widgets.mask_layer import COMPARED, COMPARED_COLOURS, show_comparison
from napari_xfelsort.widgets.mask_reasons import swatch
from napari_xfelsort.widgets.workers import Job, Report

if TYPE_CHECKING:
    from napari_xfelsort.widgets.mask_state import MaskState


class MaskComparePanel(QWidget):
    """Chooses the other mask, and shows where it differs; follows λ and edits.

    Parameters
    ----------
    state : MaskState
        The mask.
    """

    #: It cannot be done: a sentence.
    refused = Signal(str)

    def __init__(self, state: MaskState) -> None:
        super().__init__()
        self.state = state
        self.compared: MaskComparison | None = None
        self._other: PixelMask | None = None
        self._job: Job | None = None
        self.chooser = MaskFileChooser("other", "file")
        self.start_button = button(
            "Compare", "compare", "Show what differs, over the picture", self.compare
        )
        self.stop_button = button("Stop", "compare_stop", "Show the mask again", self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.chooser)
        column.addLayout(row(self.start_button, self.stop_button))
        column.addWidget(self._legend())
        state.changed.connect(self._update)
        state.replaced.connect(self._replaced)
        self._update()

    @property
    def on(self) -> bool:
        """Whether a comparison is shown."""
        return self._other is not None

    def release(self) -> None:
        """Stop work, and take the layer from the picture."""
        self.forget()

    def compare(self) -> None:
        """Read the other mask and show where it differs."""
        path = self.chooser.file.path()
        if self._job is not None or self.state.run is None:
            return
        if path is None:
            self.refused.emit("Choose the other mask's file.")
            return
        self.state.begin_with_own()
        name, place, run = self.chooser.name, self.chooser.place, self.state.run

        def work(report: Report) -> tuple[object, PixelMask]:
            return run, read_any(path, name, place)

        self._job = Job("reading a mask", work)
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self.refused)
        self._job.ended.connect(self._ended)
        self.start_button.setEnabled(False)
        self._job.start()

    def forget(self, *_: object) -> None:
        """Compare no more."""
        if self._job is not None:
            self._job.stop()
        self._other = self.compared = None
        run = self.state.run
        if run is not None:
            run.companions.remove(COMPARED)
        self._update()

    def stop(self) -> None:
        """Compare no more, and show the mask again."""
        if self.on:
            self.forget()
            self.state.changed.emit()

    def _take(self, found: tuple[object, PixelMask]) -> None:
        run, other = found
        if run is self.state.run:
            self._other = other
            self.state.changed.emit()

    def _ended(self) -> None:
        self._job = None
        self.start_button.setEnabled(True)

    def _replaced(self) -> None:
        if self.state.mask is None:
            self.forget()

    def _update(self) -> None:
        mask, run = self.state.mask, self.state.run
        self.compared = None
        if mask is not None and run is not None and self._other is not None:
            try:
                self.compared = compare_masks(mask, self._other)
            except XfelsortError as error:
                self.forget()
                self.refused.emit(str(error))
                return
            show_comparison(run, self.compared)
        found = self.compared
        self.legend.setVisible(found is not None)
        self.stop_button.setEnabled(found is not None)
        if found is not None:
            counts = {
                MaskComparison.ADDED: found.added,
                MaskComparison.REMOVED: found.removed,
                MaskComparison.AGREE: found.agree,
            }
            for code, label in self.counts.items():
                label.setText(f"{counts[code]:,}")

    def _legend(self) -> QWidget:
        self.legend = QWidget()
        grid = QGridLayout(self.legend)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        self.counts: dict[int, QLabel] = {}
        for line, (code, (colour, text)) in enumerate(COMPARED_COLOURS.items()):
            mark, count = QLabel(), QLabel("0")
            mark.setPixmap(swatch(colour).pixmap(12, 12))
            count.setObjectName(f"compared_{text.split(':')[0]}")
            grid.addWidget(mark, line, 0)
            grid.addWidget(QLabel(text), line, 1)
            grid.addWidget(count, line, 2)
            self.counts[code] = count
        return self.legend
