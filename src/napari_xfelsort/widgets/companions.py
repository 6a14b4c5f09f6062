"""The layers beside a run's events: masks, peaks, rings; they follow the event shown."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.workers import Job, Report

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_xfelsort.widgets.runs import Run

#: Milliseconds after a step until a mask of the event's own is read: not on each of many.
_MASK_DELAY = 150
#: Relative change of energy or camera length from which rings are drawn anew.
_MOVED = 1e-3


class Companions:
    """The layers of a run besides its events.

    Parameters
    ----------
    run : Run
        Held weakly: it owns this object.
    """

    def __init__(self, run: Run) -> None:
        self._run = weakref.ref(run)
        self._beam = known_beam(run.stack, 0)
        self._differs: bool | None = None
        self._job: Job | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MASK_DELAY)
        self._timer.timeout.connect(self._read_mask)

    def close(self) -> None:
        """Stop what is going on."""
        self._timer.stop()
        if self._job is not None:
            self._job.stop()

    def layers(self) -> list[Layer]:
        """The layers beside the events, lowest first."""
        run = self._run()
        viewer = None if run is None else run.viewer
        if run is None or viewer is None:
            return []
        return [
            layer
            for layer in viewer.layers
            if drawn.run_of(layer) == run.key and drawn.role_of(layer) != drawn.EVENTS
        ]

    def layer(self, role: str) -> Layer | None:
        """The layer with this role, None when the run has none."""
        return next((la for la in self.layers() if drawn.role_of(la) == role), None)

    def remove(self, role: str) -> None:
        """Take the layer with this role from the picture, if there is one."""
        run, layer = self._run(), self.layer(role)
        if run is not None and run.viewer is not None and layer is not None:
            run.viewer.layers.remove(layer)

    def follow(self, i: int | None) -> None:
        """Show what belongs to event ``i``; nothing when there is none."""
        run = self._run()
        if run is None:
            return
        self._move_peaks(run, i)
        if i is None:
            return
        with suppress(XfelsortError):  # an event that cannot be read says so on the canvas
            self._move_rings(run, i)
        if self.layer(drawn.MASK) is not None and self._differs is not False:
            self._timer.start()

    def renew(self) -> None:
        """Forget what was known of a stack that is replaced by another."""
        run = self._run()
        self.close()
        self._differs = None
        if run is not None:
            self._beam = known_beam(run.stack, 0)

    def _move_peaks(self, run: Run, i: int | None) -> None:
        layer = self.layer(drawn.PEAKS)
        if layer is None:
            return
        points = np.empty((0, 2))
        with suppress(XfelsortError):
            if i is not None:
                points = drawn.peak_points(run.stack, i)
        if len(points) or len(layer.data):
            layer.selected_data = set()
            set_points(layer, points)
            layer.editable = False  # napari forgets it with new data

    def _move_rings(self, run: Run, i: int) -> None:
        rings, centre = self.layer(drawn.RINGS), self.layer(drawn.CENTRE)
        if rings is None or centre is None:
            return
        beam = known_beam(run.stack, i)
        if np.allclose(beam, self._beam, rtol=_MOVED, atol=0, equal_nan=True):
            return
        self._beam = beam
        marks = drawn.ring_marks(run.stack, i)
        rings.data = [] if marks is None else [(e, "ellipse") for e in marks.ellipses]
        centre.data = np.empty((0, 2)) if marks is None else marks.points
        if marks is not None:
            centre.features = {"label": np.array(marks.labels)}
            centre.symbol, centre.size = marks.symbols, marks.sizes
        rings.editable = centre.editable = False

    # --- masks that differ from event to event -------------------------------------------

    def _read_mask(self) -> None:
        run = self._run()
        if run is None or run.current is None:
            return
        mask = self.layer(drawn.MASK)
        if mask is None or not mask.visible:
            return
        if self._job is not None:  # look again when it has ended
            self._timer.start()
            return
        stack, i = run.stack, run.current

        def work(report: Report) -> Any:
            if not (stack.locate(i)[0].has_event_masks or _has_flags(stack)):
                return None
            return i, drawn.picture_of_mask(stack, stack.event_mask(i))

        self._job = Job(f"reading the mask of event {i}", work)
        self._job.succeeded.connect(self._show_mask)
        self._job.ended.connect(self._forget_job)
        self._job.start()

    def _show_mask(self, found: Any) -> None:
        self._differs = found is not None
        run, mask = self._run(), self.layer(drawn.MASK)
        if found is None or run is None or mask is None or found[0] != run.current:
            return
        reasons = found[1]
        if reasons is None:
            reasons = np.zeros(run.stack.assembled_shape, np.uint8)
        if reasons.shape == mask.data.shape:
            mask.data = reasons
            mask.editable = False

    def _forget_job(self) -> None:
        self._job = None


def set_points(layer: Any, points: Any) -> None:
    """Show other points.

    While napari slices beside the window, a slice of more points may still be under way,
    and would index the new ones: then points are hidden instead of taken away.
    """
    from napari.settings import get_settings

    surplus = len(layer.data) - len(points) if get_settings().experimental.async_ else 0
    if surplus <= 0:
        layer.data = points
        layer.shown = True
        return
    layer.data = np.concatenate([points, np.zeros((surplus, 2))])
    layer.shown = np.arange(len(layer.data)) < len(points)


def _has_flags(stack: Any) -> bool:
    return stack.geometry is not None and stack.geometry.has_flags
