"""The Mask dock: makes bad-pixel masks, shows why pixels are bad, edits, exchanges files."""

from __future__ import annotations

import dataclasses
from typing import Any

from qtpy.QtWidgets import QTabBar, QWidget

from napari_xfelsort.core.errors import SettingsError, XfelsortError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.widgets.dock import Dock, RunChooser, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.layers import LayerData
from napari_xfelsort.widgets.mask_edit import EditPage
from napari_xfelsort.widgets.mask_files import FilesPage, read_any
from napari_xfelsort.widgets.mask_layer import (
    REASONS,
    hide_reasons,
    show_own_mask,
    show_reasons,
)
from napari_xfelsort.widgets.mask_look import LookPage
from napari_xfelsort.widgets.mask_make import Looked, Made, MakePage
from napari_xfelsort.widgets.mask_state import MaskState
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report

MAKE, LOOK, EDIT, FILES = "Make", "Look", "Edit", "Files"


class MaskDock(Dock):
    """Makes, shows, edits and saves the bad-pixel mask of a detector.

    Attributes
    ----------
    state : MaskState
        The mask and its edits.
    """

    finishing = "the frames that are being read"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.state = MaskState()
        self._partial: MadeMask | None = None
        self._build(napari_viewer)
        self.state.changed.connect(self._show_layer)
        self.state.refused.connect(self.message.tell_error)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    @property
    def made(self) -> MadeMask | None:
        """The mask before edits, with the λ that is chosen now; None when there is none."""
        return self.state.made

    @property
    def mask(self) -> MadeMask | None:
        """The mask with its edits; None when there is none."""
        return self.state.mask

    def release(self) -> None:
        """Let go of callbacks and work, and of the layers."""
        self.edit_page.release()
        self._forget()
        self.look_page.release()
        super().release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self.job is not None:
            self.job.stop()
        self.edit_page.put_down()
        self._forget()
        self.state.run = run
        self.follow_run(run, changed=self._run_changed)
        self.make_page.show_run(run)
        self.message.tell("")
        self.state.replaced.emit()
        self.set_busy(self.job is not None)

    def _run_changed(self) -> None:
        """The run was opened again: what was drawn on lies elsewhere, or is gone."""
        run, mask = self.state.run, self.state.mask
        self.edit_page.put_down()
        self.look_page.pixel.forget()
        if run is None or mask is None:
            return
        if run.stack.raw_shape != mask.reasons.shape:
            self._forget()
            return
        show_own_mask(run, False)
        try:
            self.state.begin(mask, self.state.inputs, self.state.frames)
        except XfelsortError as error:
            self._forget()
            self.message.tell_error(str(error))

    def _forget(self) -> None:
        run = self.state.run
        self.look_page.compare.forget()
        self.look_page.pixel.forget()
        if run is not None and run in self.runs.runs:
            hide_reasons(run)
        self._partial = None
        self.state.forget()
        self.files_page.show_lines("")

    # --- making -------------------------------------------------------------------------

    def make(self) -> None:
        """Make the mask from the frames that are chosen."""
        if self.job is not None:
            return
        try:
            request = self.make_page.request(self.state.run)
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        job = Job("making a mask", request.carry_out)
        job.succeeded.connect(self._take_made)
        job.stopped.connect(self._stopped)
        job.failed.connect(self._show_layer)
        job.progressed.connect(self._show_progress)
        self.edit_page.put_down()
        self._start(job, "Looking at frames…")
        self.make_page.cancel_button.setEnabled(True)

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self.progress.start(doing)
        self.run_job(job)

    def _show_progress(self, looked: Looked) -> None:
        self.progress.show_counts(looked.counts, "frames")
        run = self.state.run
        if run is None or looked.mask is None or looked.mask is self._partial:
            return
        if looked.mask.reasons.shape == run.stack.raw_shape:
            self._partial = looked.mask
            show_reasons(run, looked.mask, self.look_page.reasons.shown)
            n = len(looked.panels)
            self.message.tell(f"{n} panel{'s' * (n != 1)} so far; the picture shows them.")

    def _stopped(self) -> None:
        self.message.tell("Stopped; nothing was kept.")
        self._show_layer()

    def _take_made(self, made: Made) -> None:
        if made.layers is not None and self.state.run is None:
            self._use_run(self.runs.add(made.layers))
        run = self.state.run
        if run is None or run.stack.sources is not made.stack.sources:
            return  # another run was chosen meanwhile
        self._partial = None
        self._begin(made.mask, made.inputs, made.frames)
        told = []
        left_out = int((~made.mask.dark_frames).sum())
        if left_out:
            told.append(
                f"{left_out} of {len(made.mask.dark_frames)} dark frames were left out (F1)."
            )
        if made.mask.n_ordinary and "dark" not in made.inputs:
            told.append(
                "Made from ordinary frames: bad pixels in light that stays at one place cannot "
                "be told from good ones."
            )
        self.message.tell(" ".join(told))
        self.show_page(LOOK)

    def _begin(self, mask: PixelMask, inputs: Any = None, frames: Any = None) -> None:
        self.state.begin(mask, inputs, frames)
        made = self.state.made
        if made is not None and made.features:
            self.make_page.show_lambda(made.settings.mask_lambda)

    # --- what is shown ------------------------------------------------------------------

    def show_page(self, name: str) -> None:
        """Show one of the pages: make, look, edit or files."""
        self.tabs.setCurrentIndex(list(self.pages).index(name))

    def _page(self, *_: Any) -> None:
        shown = self.tabs.tabText(self.tabs.currentIndex())
        for name, page in self.pages.items():
            page.setVisible(name == shown)
        if shown != EDIT:
            self.edit_page.put_down()
        self.look_page.pixel.paused = shown == EDIT
        self.verticalScrollBar().setValue(0)

    def _see_pixel(self) -> None:
        """A pixel was clicked: what is known of it lies below the histogram."""
        self.ensureWidgetVisible(self.look_page.pixel, 0, 0)

    def _show_layer(self, *_: Any) -> None:
        run, mask = self.state.run, self.state.mask
        self._tell_size()
        if run is None or run not in self.runs.runs:
            return
        if mask is None:
            hide_reasons(run)
            return
        show_reasons(run, mask, self.look_page.reasons.shown)
        layer = run.companions.layer(REASONS)
        hidden = self.look_page.compare.on
        if layer is not None and layer.visible == hidden:  # else napari drops the tool in use
            layer.visible = not hidden

    def _tell_size(self) -> None:
        mask = self.state.mask
        for widget in (self.files_page.save_button, self.files_page.use_button):
            widget.setEnabled(mask is not None and self.job is None)
        self.files_page.export_button.setEnabled(mask is not None and self.job is None)

    def _use_lambda(self, value: float) -> None:
        """λ was dragged; no frame is read again."""
        if self.state.set_lambda(value):
            self.make_page.show_lambda(value)

    def _entered(self) -> None:
        """λ was typed: the mask that is there follows it."""
        value = self.make_page.mask_lambda()
        made = self.state.made
        follows = made is not None and bool(made.features) and self.job is None
        if value is not None and follows and self.state.set_lambda(value):
            self.look_page.show_feature()

    # --- files --------------------------------------------------------------------------

    def save(self) -> None:
        """Write the mask file, asking before one is replaced."""
        self._save(use=False)

    def use(self) -> None:
        """Write the mask file, and open the run again with it, so that all tasks honour it."""
        self._save(use=True)

    def _save(self, use: bool) -> None:
        run, mask, path = self.state.run, self.state.mask, self.files_page.file.path()
        if self.job is not None or run is None or mask is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to save the mask in.")
            return
        target = file_to_write(self, path, ".h5")
        if target is None:
            return
        inputs, opened = self.state.inputs, dataclasses.replace(run.opened, mask=target.path)

        def work(report: Report) -> tuple[str, Run, list[LayerData] | None]:
            from napari_xfelsort.core.masks.mask_file import write_mask

            write_mask(mask, target.path, target.replaces, inputs)
            return target.path, run, open_layers(opened) if use else None

        job = Job("saving a mask", work)
        job.succeeded.connect(self._saved)
        self._start(job, "Saving the mask…")

    def _saved(self, done: tuple[str, Run, list[LayerData] | None]) -> None:
        path, run, layers = done
        self.files_page.file.set_paths(path)
        if layers is not None and run in self.runs.runs:
            run.replace(layers)
            self.message.tell(
                f"{run.name} is masked with {path}, also when it is opened again with another "
                "geometry or dataset."
            )
        else:
            self.message.tell(f"The mask is in {path}.")

    def read(self) -> None:
        """Go on with the mask of a file."""
        page, run = self.files_page, self.state.run
        path = page.other.file.path()
        if self.job is not None:
            return
        if run is None:
            self.message.tell_error("Open a run of this detector first, to see the mask on it.")
            return
        if path is None:
            self.message.tell_error("Choose a mask file to open.")
            return
        name, place = page.other.name, page.other.place

        def work(report: Report) -> tuple[Run, str, PixelMask]:
            return run, path, read_any(path, name, place)

        job = Job("reading a mask", work)
        job.succeeded.connect(self._take_read)
        self._start(job, "Reading the mask…")

    def _take_read(self, found: tuple[Run, str, PixelMask]) -> None:
        run, path, mask = found
        if run is not self.state.run:
            return
        if mask.reasons.shape != run.stack.raw_shape:
            self.message.tell_error(
                f"The mask in {path} is of {mask.reasons.shape}, frames of {run.name} are of "
                f"{run.stack.raw_shape}."
            )
            return
        try:
            self._begin(mask, {"mask": path})
        except XfelsortError as error:
            self.message.tell_error(str(error))
            return
        self.message.tell(f"This is the mask of {path}.")

    def export(self) -> None:
        """Write the mask as another program has it."""
        page, run, mask = self.files_page, self.state.run, self.state.mask
        path = page.target.file.path()
        if self.job is not None or run is None or mask is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to export the mask to.")
            return
        target = file_to_write(self, path)
        if target is None:
            return
        name, place, geometry = page.target.name, page.target.place, run.stack.geometry

        def work(report: Report) -> tuple[str, str]:
            from napari_xfelsort.core.masks import exchange

            exchange.write_mask_as(mask, target.path, name, place, target.replaces)
            if name != "crystfel" or not target.path.lower().endswith((".h5", ".hdf5", ".cxi")):
                return target.path, ""
            dataset = place or exchange.DATASET
            return target.path, exchange.crystfel_lines(target.path, dataset, geometry)

        job = Job("exporting a mask", work)
        job.succeeded.connect(self._exported)
        self._start(job, "Exporting the mask…")

    def _exported(self, done: tuple[str, str]) -> None:
        path, lines = done
        self.files_page.show_lines(lines)
        paste = " Paste the lines below into the geometry." if lines else ""
        self.message.tell(f"The mask is in {path}.{paste}")

    # --- how it looks -------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One work at a time; what is shown can be looked at meanwhile."""
        self.make_page.make_button.setEnabled(not busy)
        self.make_page.cancel_button.setEnabled(False)
        self.make_page.form.setEnabled(not busy)
        self.make_page.preset.setEnabled(not busy)
        self.chooser.setEnabled(not busy and len(self.runs.runs) > 1)
        self.look_page.histogram.setEnabled(not busy)
        self.edit_page.setEnabled(not busy and self.state.run is not None)
        self.files_page.read_button.setEnabled(not busy)
        self._tell_size()
        if not busy:
            self.progress.stop()

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.make_page = MakePage()
        self.look_page = LookPage(napari_viewer, self.runs, self.state)
        self.edit_page = EditPage(self.state)
        self.files_page = FilesPage()
        self.pages: dict[str, QWidget] = {
            MAKE: self.make_page,
            LOOK: self.look_page,
            EDIT: self.edit_page,
            FILES: self.files_page,
        }
        self.tabs = QTabBar()
        self.tabs.setObjectName("pages")
        self.tabs.setExpanding(True)
        self.tabs.setDrawBase(False)
        for name, tip in (
            (MAKE, "Frames and settings that a mask is made from"),
            (LOOK, "Why pixels are bad; other thresholds; another mask beside it"),
            (EDIT, "Draw on the mask by hand"),
            (FILES, "Save the mask, use it, and exchange it with other programs"),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(name), tip)
        self.progress = EventProgress()
        chosen = row("Run", self.chooser)
        chosen.setStretch(1, 1)
        self.body.addLayout(chosen)
        self.body.addWidget(self.tabs)
        self.body.addWidget(self.progress)
        self.body.addWidget(self.message)
        for page in self.pages.values():
            self.body.addWidget(page)
        self.body.addStretch()
        self.tabs.currentChanged.connect(self._page)
        self.make_page.make_wanted.connect(self.make)
        self.make_page.cancel_wanted.connect(self.cancel)
        self.make_page.entered.connect(self._entered)
        self.look_page.lambda_dragged.connect(self._use_lambda)
        self.look_page.reasons.ticked.connect(self._show_layer)
        self.look_page.pixel.refused.connect(self.message.tell_error)
        self.look_page.pixel.came.connect(self._see_pixel)
        self.look_page.compare.refused.connect(self.message.tell_error)
        self.edit_page.refused.connect(self.message.tell_error)
        self.edit_page.painting.connect(self.look_page.compare.stop)
        self.edit_page.drawing.nothing_drawn.connect(self._show_layer)
        self.files_page.save_wanted.connect(self.save)
        self.files_page.use_wanted.connect(self.use)
        self.files_page.read_wanted.connect(self.read)
        self.files_page.export_wanted.connect(self.export)
        self._page()
