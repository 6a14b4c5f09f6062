"""The Mask dock: bad pixels from dark and bright frames, why they are bad, other thresholds."""

from __future__ import annotations

import dataclasses
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout, QGroupBox, QVBoxLayout

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.making import MadeMask
from napari_xfelsort.core.masks.settings import MaskSettings
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Dock, PathField, RunChooser, button, row
from napari_xfelsort.widgets.forms import SettingsForm, file_to_write
from napari_xfelsort.widgets.layers import LayerData, Opened
from napari_xfelsort.widgets.mask_histogram import FeatureHistogram
from napari_xfelsort.widgets.mask_inputs import FramesChooser
from napari_xfelsort.widgets.mask_layer import remove_reasons, show_reasons
from napari_xfelsort.widgets.mask_reasons import ReasonTable
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report, counted

_FIRST = ("mask_lambda", "scale_lambda", "window", "bright_window")


class MaskDock(Dock):
    """Makes a bad-pixel mask of the detector of a run.

    Attributes
    ----------
    made : MadeMask or None
        The mask, with the λ that is chosen now.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.made: MadeMask | None = None
        self._run: Run | None = None
        self._inputs: dict[str, str] = {}
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work, and of the layer."""
        self._forget()
        super().release()
        self.histogram.release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self.job is not None:
            self.job.stop()
        self._forget()
        self._run = run
        self.follow_run(run, changed=self._show_layer)
        self.message.tell("" if run is not None else "Open a run of this detector first.")
        self.set_busy(self.job is not None)

    def _forget(self) -> None:
        if self._run is not None and self._run in self.runs.runs:
            remove_reasons(self._run)
        self.made = None
        self.results.setVisible(False)

    # --- making -------------------------------------------------------------------------

    def make(self) -> None:
        """Make the mask from the frames that are chosen."""
        run = self._run
        if self.job is not None or run is None:
            return
        try:
            settings = self.form.settings()
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        stack = run.stack
        chosen: dict[str, EventStack | Opened] = {}
        for chooser in (self.dark, self.bright):
            opened = stack if chooser.is_run else chooser.opened(run)
            if opened is not None:
                chosen[chooser.name] = opened
        if not chosen:
            self.message.tell_error("Choose dark frames, bright frames or both.")
            return

        def work(report: Report) -> tuple[EventStack, MadeMask, dict[str, str]]:
            return (stack, *_make(chosen, stack, settings, report))

        job = Job("making a mask", work)
        job.succeeded.connect(self._take)
        job.stopped.connect(self._stopped)
        job.progressed.connect(self._show_progress)
        self._start(job, "Looking at frames…")
        self.cancel_button.setEnabled(True)

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self.progress.start(doing)
        self.run_job(job)

    def _show_progress(self, counts: tuple[int, int]) -> None:
        self.progress.show_counts(counts, "frames")

    def cancel(self) -> None:
        """Ask the work to stop."""
        if self.job is not None:
            self.job.stop()
            self.message.tell("Stopping after the frames that are being read…")

    def _stopped(self) -> None:
        self.message.tell("Stopped; nothing was kept.")

    def _take(self, found: tuple[EventStack, MadeMask, dict[str, str]]) -> None:
        stack, made, self._inputs = found
        if self._run is None or stack is not self._run.stack:
            return  # another run was chosen meanwhile
        self.made = made
        self.results.setVisible(True)
        with QSignalBlocker(self.feature):
            self.feature.clear()
            self.feature.addItems(list(made.features))
        self._show_feature()
        self._show_mask()
        left_out = int((~made.dark_frames).sum())
        if left_out:
            self.message.tell(
                f"{left_out} of {len(made.dark_frames)} dark frames were left out (F1)."
            )

    # --- what is shown ------------------------------------------------------------------

    def _show_mask(self) -> None:
        if self.made is not None:
            self.reasons.show_mask(self.made)
            self._show_layer()

    def _show_layer(self) -> None:
        run, made = self._run, self.made
        if run is None or made is None:
            return
        if run.stack.raw_shape != made.reasons.shape:
            self._forget()
            return
        show_reasons(run, made, self.reasons.shown)

    def _show_feature(self) -> None:
        if self.made is not None and self.feature.currentText():
            self.histogram.show_feature(self.made, self.feature.currentText())

    def _use_lambda(self, value: float) -> None:
        """Judge by another λ; no frame is read again."""
        if self.made is None or value == self.made.settings.mask_lambda:
            return
        self.made = self.made.with_lambda(value)
        with QSignalBlocker(self.form):
            now = dataclasses.replace(self.form.settings(), mask_lambda=value)
            self.form.set_settings(now)
        self._show_mask()

    def _entered(self) -> None:
        """λ was typed: the mask that is there follows it."""
        try:
            value = self.form.settings().mask_lambda
        except SettingsError:
            return
        if self.made is not None and value != self.made.settings.mask_lambda:
            self.made = self.made.with_lambda(value)
            self._show_feature()
            self._show_mask()

    def _use_paper(self) -> None:
        self.form.set_settings(MaskSettings.paper())

    # --- file and run -------------------------------------------------------------------

    def save(self) -> None:
        """Write the mask file, asking before one is replaced."""
        self._save(use=False)

    def use(self) -> None:
        """Write the mask file, and open the run again with it, so that all tasks honour it."""
        self._save(use=True)

    def _save(self, use: bool) -> None:
        run, made, path = self._run, self.made, self.file.path()
        if self.job is not None or run is None or made is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to save the mask in.")
            return
        target = file_to_write(self, path, ".h5")
        if target is None:
            return
        inputs, opened = self._inputs, dataclasses.replace(run.opened, mask=target.path)

        def work(report: Report) -> tuple[str, Run, list[LayerData] | None]:
            from napari_xfelsort.core.masks.mask_file import write_mask

            write_mask(made, target.path, target.replaces, inputs)
            return target.path, run, open_layers(opened) if use else None

        job = Job("saving a mask", work)
        job.succeeded.connect(self._saved)
        self._start(job, "Saving the mask…")

    def _saved(self, done: tuple[str, Run, list[LayerData] | None]) -> None:
        path, run, layers = done
        self.file.set_paths(path)
        if layers is not None and run in self.runs.runs:
            run.replace(layers)
            self.message.tell(f"{run.name} is masked with {path}.")
        else:
            self.message.tell(f"The mask is in {path}.")

    # --- how it looks -------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One work at a time; what is shown can be looked at meanwhile."""
        self.make_button.setEnabled(not busy and self._run is not None)
        self.cancel_button.setEnabled(False)
        self.chooser.setEnabled(not busy and len(self.runs.runs) > 1)
        self.form.setEnabled(not busy)
        self.histogram.setEnabled(not busy)
        self.save_button.setEnabled(not busy)
        self.use_button.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.dark = FramesChooser("dark", "Frames without X-rays")
        self.bright = FramesChooser(
            "bright", "Frames in smooth light, without Bragg peaks that stay at one place"
        )
        self.bright.source.setCurrentIndex(1)
        inputs = QFormLayout()
        inputs.addRow("Run", self.chooser)
        inputs.addRow("Dark", self.dark)
        inputs.addRow("Bright", self.bright)
        self.form = SettingsForm(MaskSettings, first=_FIRST)
        self.form.changed.connect(self._entered)
        paper = button("Paper", "paper", "As Sadri et al. 2022: 8 for every λ", self._use_paper)
        self.make_button = button("Make mask", "make", "Look at all frames", self.make)
        self.cancel_button = button("Cancel", "cancel", "Stop; nothing is kept", self.cancel)
        self.progress = EventProgress()
        self.body.addLayout(inputs)
        self.body.addWidget(self.form)
        self.body.addLayout(row(paper, self.make_button, self.cancel_button))
        self.body.addWidget(self.progress)
        self.body.addWidget(self.message)
        self.body.addWidget(self._build_results(napari_viewer))
        self.body.addStretch()

    def _build_results(self, napari_viewer: Any) -> QGroupBox:
        self.results = QGroupBox("Bad pixels")
        column = QVBoxLayout(self.results)
        self.reasons = ReasonTable()
        self.reasons.ticked.connect(self._show_layer)
        self.feature = QComboBox()
        self.feature.setObjectName("feature")
        self.feature.setToolTip("The feature whose histogram is shown")
        self.feature.currentIndexChanged.connect(self._show_feature)
        self.histogram = FeatureHistogram(napari_viewer)
        self.histogram.lambda_dragged.connect(self._use_lambda)
        self.file = PathField("mask_file", "new file", "Mask file", "Mask (*.h5)", "mask.h5")
        self.save_button = button("Save", "save", "Write the mask file", self.save)
        tip = "Write the mask file, and open the run again with it: every task honours it"
        self.use_button = button("Use on this run", "use", tip, self.use)
        column.addWidget(self.reasons)
        column.addLayout(row("Feature", self.feature))
        column.addWidget(self.histogram)
        column.addLayout(row("File", self.file))
        column.addLayout(row(self.save_button, self.use_button))
        return self.results


def _make(
    chosen: dict[str, EventStack | Opened],
    stack: EventStack,
    settings: MaskSettings,
    report: Report,
) -> tuple[MadeMask, dict[str, str]]:
    from napari_xfelsort.core.masks.make import make_mask
    from napari_xfelsort.readers import open_stack

    stacks, inputs = {}, {}
    for name, frames in chosen.items():
        if isinstance(frames, Opened):
            inputs[name] = "\n".join(frames.paths)
            frames = open_stack(list(frames.paths), geometry=frames.geometry)
        else:
            inputs[name] = "\n".join(source.path for source in frames.sources)
        if frames.raw_shape != stack.raw_shape:
            raise SettingsError(
                f"The {name} frames are of {frames.raw_shape}, those of the run of "
                f"{stack.raw_shape}; choose frames of the same detector."
            )
        stacks[name] = frames
    made = make_mask(
        **stacks, geometry=stack.geometry, progress=counted(report), **settings.to_dict()
    )
    return made, inputs
