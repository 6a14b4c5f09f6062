"""The Beam centre dock: finds the centre, fits it by hand, and writes it back."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from qtpy.QtCore import QModelIndex

from napari_xfelsort.core.center.look import Look, find_centers
from napari_xfelsort.core.center.result import CenterResult
from napari_xfelsort.core.center.shifting import write_shifted
from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.widgets.center_form import CenterForm, described
from napari_xfelsort.widgets.center_overlay import CentreOverlay, Placed, first_radii
from napari_xfelsort.widgets.center_place import PlacePanel, WritePanel
from napari_xfelsort.widgets.center_profile import LiveRadial
from napari_xfelsort.widgets.center_table import (
    BY_HAND,
    GEOMETRY,
    Found,
    FoundModel,
    FoundView,
)
from napari_xfelsort.widgets.dock import Dock, RunChooser, row
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.layers import LayerData, Opened
from napari_xfelsort.widgets.progress import EventProgress
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job, Report, counted

#: Pixels of the picture by which a geometry may lie differently to be the same picture.
_SAME = 0.02


class Former(NamedTuple):
    """How a run was before a centre was written back.

    Attributes
    ----------
    opened : Opened
        With the geometry that it had.
    placed : Placed
        The centre and rings that were chosen then.
    """

    opened: Opened
    placed: Placed


class CenterDock(Dock):
    """Finds where the beam meets the detector.

    Attributes
    ----------
    placed : Placed or None
        Centre and rings that are chosen, in pixels of the picture; None when not known.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._run: Run | None = None
        self.placed: Placed | None = None
        self.overlay = CentreOverlay()
        self._geometry: str | None = None
        self._expected: Placed | None = None
        self._former: dict[str, list[Former]] = {}
        self._build(napari_viewer)
        self.chooser.run_chosen.connect(self._use_run)
        self._use_run(self.chooser.run)

    def release(self) -> None:
        """Let go of callbacks and work, and take cross and rings from the picture."""
        self.overlay.remove()
        self.form.region.release()
        self.live.release()
        super().release()

    # --- the run ------------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if self.job is not None:
            self.job.stop()
        self.overlay.remove()
        self._run = run
        self.follow_run(run, shown=self._on_event, changed=self._run_changed)
        self.form.set_run(run)
        self.message.tell("")
        self._begin()
        self.set_busy(self.job is not None)

    def _begin(self) -> None:
        """Forget what was found; begin with what the geometry says."""
        run = self._run
        geometry = None if run is None else run.stack.geometry
        self._geometry = None if geometry is None else geometry.digest
        self.table.set_rows([] if geometry is None else [_of_geometry(geometry)])
        self.write.show_run(run)
        self.placed = None
        if run is not None and geometry is not None:
            self.placed = Placed(geometry.beam_position, self._first_radii(run))
        self._show()

    def _run_changed(self) -> None:
        """The run was opened again, by us or by another dock."""
        run, expected, self._expected = self._run, self._expected, None
        geometry = None if run is None else run.stack.geometry
        now = None if geometry is None else geometry.digest
        if expected is None and now != self._geometry:
            self.message.tell("")
            self._begin()
            return
        self._geometry = now
        if expected is not None and geometry is not None:
            self.placed = expected
            self.table.put(_of_geometry(geometry))
            self.write.show_run(run)
        self._show()

    def _on_event(self, _: int) -> None:
        self._ask()

    # --- finding ------------------------------------------------------------------------

    def find(self) -> None:
        """Look for the centre as the form says."""
        run = self._run
        if self.job is not None:
            return
        if run is None or run.current is None:
            self.message.tell_error("Open a run, and go to one of its events.")
            return
        try:
            look = self.form.look(run.current)
        except RegionError as error:
            self.message.tell_error(str(error))
            return
        stack, methods = run.stack, self.form.methods()

        def work(report: Report) -> tuple[Run, Any, Look, list[CenterResult]]:
            return run, stack, look, find_centers(stack, look, methods, counted(report))

        job = Job("finding the beam centre", work)
        job.succeeded.connect(self._take)
        job.stopped.connect(self._stopped)
        job.progressed.connect(self._progressed)
        self._start(job, "Looking for the centre…")
        self.form.cancel_button.setEnabled(True)

    def _start(self, job: Job, doing: str) -> None:
        self.message.tell("")
        self.progress.start(doing)
        self.run_job(job)

    def _progressed(self, counts: tuple[int, int]) -> None:
        self.progress.show_counts(counts, "steps")

    def _stopped(self) -> None:
        self.message.tell("Stopped; nothing was changed.")

    def _take(self, made: tuple[Run, Any, Look, list[CenterResult]]) -> None:
        run, stack, look, results = made
        if run is not self._run or stack is not run.stack:
            return  # another run was chosen meanwhile, or another geometry
        text = described(look, len(look.events(stack)))
        found = [Found(text, result) for result in results]
        places = [self.table.put(each) for each in found]
        first = next((k for k, each in enumerate(found) if each.center is not None), None)
        if first is None:
            self.message.tell_error(found[0].sentence())
            return
        self.view.selectRow(places[first])
        self.message.tell(_told(found[first]))
        self._choose(found[first].center)

    def _clicked(self, index: QModelIndex) -> None:
        found = self.table.rows[index.row()]
        if found.center is None:
            self.message.tell_error(found.sentence())
        else:
            self.message.tell(found.sentence())
            self._choose(found.center)

    def _choose(self, center: tuple[float, float] | None) -> None:
        run = self._run
        if run is None or center is None:
            return
        radii = self.placed.radii if self.placed else self._first_radii(run)
        self.placed = Placed(center, radii)
        self._show()
        self.overlay.activate()

    # --- by hand ------------------------------------------------------------------------

    def drag(self) -> None:
        """Let the cross and rings be dragged; where nothing is known, from the middle."""
        run = self._run
        if run is None:
            return
        if self.placed is None:
            height, width = run.stack.assembled_shape
            middle = (height - 1) / 2, (width - 1) / 2
            self.placed = Placed(middle, self._first_radii(run))
            self.message.tell(
                "The cross is in the middle of the picture to begin with; drag it to the beam."
            )
        self._show()
        self.overlay.activate()

    def _dragged(self, placed: Placed) -> None:
        moved = self.placed is None or placed.center != self.placed.center
        self.placed = placed
        self._show()
        if moved:
            self._note_by_hand()

    def _typed(self, y: float, x: float) -> None:
        if self.placed is not None and self._run is not None:
            self.placed = self.placed._replace(center=(y, x))
            self._note_by_hand()
            self._show()

    def _note_by_hand(self) -> None:
        assert self.placed is not None
        y, x = self.placed.center
        self.view.selectRow(self.table.put(Found(BY_HAND, CenterResult(y, x, None, "–"))))

    def _first_radii(self, run: Run) -> tuple[float, ...]:
        return first_radii(run.stack.assembled_shape, self.place.rings.value())

    def _want_rings(self, n: int) -> None:
        if self.placed is not None and self._run is not None:
            # Those that are there stay; others are put where no ring is near.
            kept = self.placed.radii[:n]
            offered = first_radii(self._run.stack.assembled_shape, 2 * n + 1)
            while len(kept) < n:
                kept += (max(offered, key=lambda r: min((abs(r - k) for k in kept), default=r)),)
            self.placed = self.placed._replace(radii=kept)
            self._show()

    # --- what is shown ------------------------------------------------------------------

    def _show(self) -> None:
        run = self._run
        if run is None or self.placed is None:
            self.overlay.remove()
        else:
            self.overlay.show(run, self.placed)
        self.place.show_place(run, self.placed)
        self._allow()
        self._ask()

    def _ask(self) -> None:
        """Ask for the profile of the event shown about the centre."""
        run = self._run
        if run is None or run.current is None or self.placed is None:
            self.live.show_nothing()
            return
        try:
            region = self.form.region.region()
        except RegionError as error:
            self.live.show_nothing(str(error), error=True)
            return
        self.live.ask(run.frames, run.current, region, self.placed)

    def _region_changed(self) -> None:
        self._ask()

    # --- writing back -------------------------------------------------------------------

    def save(self) -> None:
        """Write the geometry with this centre, asking before a file is replaced."""
        self._write(use=False)

    def use(self) -> None:
        """Write the geometry with this centre, and open the run again with it."""
        self._write(use=True)

    def _write(self, use: bool) -> None:
        run, placed, path = self._run, self.placed, self.write.file.path()
        geometry = None if run is None else run.stack.geometry
        if self.job is not None or run is None or placed is None or geometry is None:
            return
        if path is None:
            self.message.tell_error("Choose a file to write the shifted geometry to.")
            return
        target = file_to_write(self, path, ".geom")
        if target is None:
            return
        before, opened = run.opened, dataclasses.replace(run.opened, geometry=target.path)
        stack = run.stack

        def work(report: Report) -> tuple[Run, Any, Former, str, list[LayerData] | None]:
            write_shifted(geometry, *placed.center, target.path, target.replaces)
            layers = open_layers(opened) if use else None
            return run, stack, Former(before, placed), target.path, layers

        job = Job("writing a geometry", work)
        job.succeeded.connect(self._written)
        self._start(job, "Writing the geometry…")

    def _written(self, made: tuple[Run, Any, Former, str, list[LayerData] | None]) -> None:
        run, stack, former, path, layers = made
        if layers is None or run not in self.runs.runs or run.stack is not stack:
            self.message.tell(f"The shifted geometry is in {path}.")
            return
        self._former.setdefault(run.key, []).append(former)
        self._replace(run, layers, former.placed.radii, former.placed.center)
        self.message.tell(f"{run.name} is shown with {path}; Undo shows it as before.")

    def undo(self) -> None:
        """Open the run with the geometry that it had before the last one was used."""
        run = self._run
        former = self._former.get(run.key, []) if run is not None else []
        if self.job is not None or run is None or not former:
            return
        last, stack = former[-1], run.stack
        opened = dataclasses.replace(run.opened, geometry=last.opened.geometry)

        def work(report: Report) -> tuple[Run, Any, Former, list[LayerData]]:
            return run, stack, last, open_layers(opened)

        job = Job("opening the former geometry", work)
        job.succeeded.connect(self._undone)
        self._start(job, "Opening the run with its former geometry…")

    def _undone(self, made: tuple[Run, Any, Former, list[LayerData]]) -> None:
        run, stack, last, layers = made
        if run not in self.runs.runs or run.stack is not stack:
            return
        self._former[run.key].remove(last)
        self._replace(run, layers, last.placed.radii, last.placed.center, exact=True)
        self.message.tell(f"{run.name} has its former geometry again.")

    def _replace(
        self,
        run: Run,
        layers: list[LayerData],
        radii: tuple[float, ...],
        center: tuple[float, float],
        exact: bool = False,
    ) -> None:
        """Show the run's new layers; the centre is now where their geometry has the beam."""
        geometry = layers[0][1]["metadata"]["napari_xfelsort"]["stack"].geometry
        beam = center if exact or geometry is None else geometry.beam_position
        if run is self._run:
            self._expected = Placed(beam, radii)
            if not exact and not np.allclose(beam, center, rtol=0, atol=_SAME):
                self.table.set_rows([])  # the picture lies elsewhere now
        run.replace(layers)

    # --- how it looks -------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """One work at a time; cross and rings can be dragged meanwhile."""
        self.form.find_button.setEnabled(not busy and self._run is not None)
        self.form.cancel_button.setEnabled(False)
        self.chooser.setEnabled(not busy and len(self.runs.runs) > 1)
        self._allow()
        if not busy:
            self.progress.stop()

    def _allow(self) -> None:
        run, free = self._run, self.job is None
        geometry = None if run is None else run.stack.geometry
        writes = geometry is not None and geometry.text is not None
        undo = run is not None and bool(self._former.get(run.key))
        self.write.allow(free and writes and self.placed is not None, free and undo)

    def _build(self, napari_viewer: Any) -> None:
        self.chooser = RunChooser(self.runs)
        self.form = CenterForm(self.runs)
        self.progress = EventProgress()
        self.table = FoundModel(self)
        self.view = FoundView(self.table)
        self.place = PlacePanel()
        self.live = LiveRadial(napari_viewer)
        self.write = WritePanel()
        about = row("Run", self.chooser)
        about.setStretch(1, 1)
        self.body.addLayout(about)
        for widget in (
            self.form,
            self.progress,
            self.message,
            self.view,
            self.place,
            self.live,
            self.write,
        ):
            self.body.addWidget(widget)
        self.body.addStretch()
        self.form.find_wanted.connect(self.find)
        self.form.cancel_wanted.connect(self.cancel)
        self.form.region.changed.connect(self._region_changed)
        self.view.clicked.connect(self._clicked)
        self.place.typed.connect(self._typed)
        self.place.rings_wanted.connect(self._want_rings)
        self.place.drag_wanted.connect(self.drag)
        self.overlay.dragged.connect(self._dragged)
        self.live.plot.told.connect(self.message.tell_done)
        self.write.save_wanted.connect(self.save)
        self.write.use_wanted.connect(self.use)
        self.write.undo_wanted.connect(self.undo)


def _of_geometry(geometry: Geometry) -> Found:
    """What the geometry says, as a line of the table."""
    y, x = geometry.beam_position
    return Found(GEOMETRY, CenterResult(float(y), float(x), None, "–"))


def _told(found: Found) -> str:
    problems = found.result.details.get("problems", ())
    left = f" {len(problems)} events could not be read: {problems[0]}" if problems else ""
    return found.sentence() + left
