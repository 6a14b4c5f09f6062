"""The Open run dock: open data, apply a geometry, browse, read out pixels."""

from __future__ import annotations

import os
from typing import Any

from qtpy.QtCore import QModelIndex
from qtpy.QtWidgets import QLabel, QPushButton, QWidget
from superqt import QCollapsible

from napari_xfelsort.widgets.browse_panel import Contrast, Cursor, GoTo, as_position
from napari_xfelsort.widgets.dock import Dock, Message, RunChooser, button, row
from napari_xfelsort.widgets.files_table import FilesModel, file_rows, files_view, summary
from napari_xfelsort.widgets.keys import BROWSE, help_text
from napari_xfelsort.widgets.layers import LayerData, Opened
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.source_form import SourceForm
from napari_xfelsort.widgets.workers import Job, Report


class OpenDock(Dock):
    """Opens runs, and browses the active one.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.form = SourceForm()
        self.open_button = button("Open", "open", "Open these data as a run", self.open_new)
        self.apply_button = button(
            "Apply to run",
            "apply",
            "Show the active run with this geometry, dataset and mask",
            self.apply,
        )
        self.reload_button = button(
            "Reload", "reload", "Look at the active run's files again", self.reload
        )
        self.offer = Offer(self._take_offer)
        self.chooser = RunChooser(self.runs)
        self.summary = QLabel("")
        self.summary.setObjectName("summary")
        self.summary.setWordWrap(True)
        self.files = FilesModel(self)
        self.table = files_view(self.files)
        self.table.doubleClicked.connect(self._go_to_file)
        self.problem = Message()
        self.go_to = GoTo(self.message)
        self.contrast = Contrast()
        self.cursor_panel = Cursor()
        self._run: Run | None = None
        self._lay_out()
        self.chooser.run_chosen.connect(self._show_run)
        self.runs.warned.connect(self.message.tell_error)
        viewer = self.runs.viewer
        if viewer is not None:
            viewer.cursor.events.position.connect(self._on_cursor)
        self._show_run(self.chooser.run)
        if self.chooser.run is not None:
            self.data_section.collapse(animate=False)

    def _lay_out(self) -> None:
        data = section("Data", self.form, expanded=True)
        data.addWidget(_box(row(self.open_button, self.apply_button, self.reload_button)))
        keys = QLabel(help_text(BROWSE))
        keys.setWordWrap(True)
        self.body.addWidget(data)
        self.body.addWidget(self.message)
        self.body.addWidget(self.offer)
        self.body.addWidget(self.chooser)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.problem)
        self.body.addWidget(self.go_to)
        self.body.addWidget(section("Under the cursor", self.cursor_panel, expanded=True))
        self.body.addWidget(section("Contrast", self.contrast, expanded=True))
        self.body.addWidget(section("Files", self.table, expanded=False))
        self.body.addWidget(section("Keys", keys, expanded=False))
        self.body.addStretch(1)
        self.data_section = data

    def release(self) -> None:
        """Let go of the viewer's callbacks; the dock was closed."""
        super().release()
        viewer = self.runs.viewer
        if viewer is not None:
            viewer.cursor.events.position.disconnect(self._on_cursor)
        self.runs.warned.disconnect(self.message.tell_error, missing_ok=True)
        self._follow(None)

    def set_busy(self, busy: bool) -> None:
        """No second opening while one goes on."""
        self.open_button.setEnabled(not busy)
        self.apply_button.setEnabled(not busy and self._run is not None)
        self.reload_button.setEnabled(not busy and self._run is not None)

    # --- opening ------------------------------------------------------------------------

    def open_new(self) -> None:
        """Open what the form says as a new run."""
        opened = self.form.opened()
        if opened is None:
            self.message.tell_error("Choose files, a list or a folder first.")
            return
        self._start(opened, "opening", self._add)

    def apply(self) -> None:
        """Show the active run again with the form's geometry, dataset and mask."""
        opened = self.form.opened()
        if self._run is None or opened is None:
            return
        same = Opened(self._run.opened.paths, opened.geometry, opened.mask, opened.dataset)
        self._start(same, "applying the geometry", self._replace)

    def reload(self) -> None:
        """Open the active run again as it was."""
        if self._run is not None:
            self._start(self._run.opened, "reloading", self._replace)

    def _take_offer(self, geometry: str) -> None:
        self.form.geometry_file.set_paths(geometry)
        self.apply()

    def _start(self, opened: Opened, doing: str, done: Any) -> None:
        if self.job is not None:
            return
        self.message.tell(f"{doing.capitalize()} {'; '.join(opened.paths)} …")
        self.offer.hide()

        def work(report: Report) -> list[LayerData]:
            layers = open_layers(opened)
            report(None)  # the dock may have been closed meanwhile
            return layers

        job = Job(doing, work)
        job.succeeded.connect(done)
        self._target = self._run
        self.run_job(job)

    def _add(self, layers: list[LayerData]) -> None:
        self.message.tell("")
        run = self.runs.add(layers)
        if run is self._run:
            self._show_stack()
        self.data_section.collapse(animate=False)

    def _replace(self, layers: list[LayerData]) -> None:
        self.message.tell("")
        if self._target is not None and self._target in self.runs.runs:
            self._target.replace(layers)

    # --- the run that is shown ----------------------------------------------------------

    def _show_run(self, run: Run | None) -> None:
        self._follow(run)
        if run is not None:
            self.form.show_opened(run.opened)
        self._show_stack()

    def _follow(self, run: Run | None) -> None:
        if self._run is not None:
            self._run.shown.disconnect(self._on_event, missing_ok=True)
            self._run.changed.disconnect(self._show_stack, missing_ok=True)
        self._run = self.go_to.run = self.cursor_panel.run = run
        self.contrast.show_run(run)
        if run is not None:
            run.shown.connect(self._on_event)
            run.changed.connect(self._show_stack)
            if run.current is not None:
                self._on_event(run.current)

    def _show_stack(self) -> None:
        run = self._run
        self.set_busy(self.job is not None)
        for widget in (self.go_to, self.contrast, self.table):
            widget.setEnabled(run is not None)
        if run is None:
            self.summary.setText("Open a run: choose data above, or drop files on the window.")
            self.problem.tell("")
            self.files.set_rows([])
            self.offer.hide()
            self.data_section.expand(animate=False)
            return
        stack = run.stack
        self.form.show_opened(run.opened)
        self.summary.setText(_described(run))
        self.files.set_rows(file_rows(stack))
        shown = [str(problem) for problem in stack.problems[:2]]
        if len(stack.problems) > len(shown):
            shown.append(f"… {len(stack.problems) - len(shown)} more, see Files.")
        self.problem.tell_error("\n".join(shown))
        self.offer.show_geometry(stack.offered_geometry if stack.geometry is None else None)

    def _on_event(self, i: int) -> None:
        self.go_to.line.setText(str(i))
        self.cursor_panel.look()

    def _on_cursor(self, event: Any) -> None:
        self.cursor_panel.move(as_position(event))

    def _go_to_file(self, index: QModelIndex) -> None:
        first = self.files.rows[index.row()].first
        if self._run is not None and first is not None:
            self._run.go_to(first)


class Offer(QWidget):
    """A geometry that lies beside the data and fits: one click applies it.

    Parameters
    ----------
    take : bound method
        Called with its path.
    """

    def __init__(self, take: Any) -> None:
        super().__init__()
        self._take = take
        self._geometry = ""
        self.text = QLabel("")
        self.text.setWordWrap(True)
        self.button: QPushButton = button(
            "Use it", "use_offered", "Apply this geometry", self._clicked
        )
        line = row(self.text, self.button)
        line.setStretch(0, 1)
        self.setLayout(line)
        self.hide()

    def show_geometry(self, path: str | None) -> None:
        """Offer this geometry; None offers nothing."""
        self._geometry = path or ""
        self.setVisible(path is not None)
        if path is not None:
            self.text.setText(f"{os.path.basename(path)} lies beside the data and fits.")
            self.text.setToolTip(path)

    def _clicked(self) -> None:
        self._take(self._geometry)


def _described(run: Run) -> str:
    stack = run.stack
    shape = " × ".join(map(str, stack.raw_shape))
    lines = [summary(stack, stack.problems), f"{stack.sources[0].layout}: {shape} {stack.dtype}"]
    if stack.geometry is not None:
        panels = len(stack.geometry.panels)
        source = os.path.basename(stack.geometry.source)
        lines.append(f"{panels} panel{'s' * (panels != 1)}, from {source}")
    return "\n".join(lines)


def section(title: str, content: QWidget, expanded: bool) -> QCollapsible:
    """A part of a dock that can be folded away."""
    made = QCollapsible(title)
    made.setObjectName(title.lower().replace(" ", "_"))
    made.setDuration(0)
    made.layout().setContentsMargins(0, 0, 0, 0)
    made.content().layout().setContentsMargins(4, 2, 0, 2)
    made.addWidget(content)
    if expanded:
        made.expand(animate=False)
    return made


def _box(layout: Any) -> QWidget:
    box = QWidget()
    box.setLayout(layout)
    return box
