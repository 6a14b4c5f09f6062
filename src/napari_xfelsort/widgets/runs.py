"""The runs that are open in a viewer: what every dock asks, and what follows the slider.

A `Run` belongs to one image layer of events; `runs_of` gives those of a viewer. napari's
events are received here alone, by bound methods, which napari holds weakly; docks connect
to the signals of these objects.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.keys import KeyBinder
from napari_xfelsort.widgets.overlay import grid_of, write_on_canvas
from napari_xfelsort.widgets.run import Run

if TYPE_CHECKING:
    from napari.components import ViewerModel


def unwrapped(viewer: Any) -> ViewerModel:
    """The viewer itself: every plugin widget is given a proxy of its own."""
    found: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return found


class ViewerRuns:
    """The runs of one viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Held weakly.

    Attributes
    ----------
    model_path : str or None
        The model file that was saved or loaded last.
    """

    #: Runs came or went, or have another name.
    changed = Signal()
    #: Another run is active, or none: the run or None.
    activated = Signal(object)
    #: Layers came or went, of runs or not.
    layers_changed = Signal()
    #: Something the user should know: a sentence.
    warned = Signal(str)
    #: A model file was saved or loaded: its path.
    model_saved = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self.runs: list[Run] = []
        self.model_path: str | None = None
        self._active: Run | None = None
        self._told: set[tuple[int, str]] = set()
        self._keys: KeyBinder | None = None
        self._connect(viewer)
        self._take_in()

    # --- asking -------------------------------------------------------------------------

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer; None once it is gone."""
        return self._viewer()

    @property
    def active(self) -> Run | None:
        """The run whose layers were selected last; None when none is open."""
        return self._active

    def activate(self, run: Run) -> None:
        """Make a run the active one: its events become the selected layer."""
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.selection.active = run.layer

    def of_layer(self, layer: Any) -> Run | None:
        """The run that a layer belongs to."""
        key = drawn.run_of(layer)
        return next((run for run in self.runs if run.key == key), None) if key else None

    def add(self, layers: list[drawn.LayerData]) -> Run:
        """Show the layers of `layers.run_layers`; the run becomes the active one."""
        from napari.layers import Layer

        viewer = self._viewer()
        assert viewer is not None
        for data in layers:
            viewer.add_layer(Layer.create(*data))
        run = self.of_layer(viewer.layers[-1])
        assert run is not None
        run.go_to(0)
        viewer.layers.selection.active = run.layer
        return run

    def use_model(self, path: str) -> None:
        """Remember the model file that was saved or loaded, and tell other docks."""
        self.model_path = path
        self.model_saved.emit(path)

    # --- napari's events ----------------------------------------------------------------

    def _connect(self, viewer: ViewerModel) -> None:
        # Called after napari has loaded the event.
        viewer.dims.events.point.connect(self._on_slider, position="last")
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_selection)

    def close(self) -> None:
        """Let go of everything; the viewer is closed, or has no run any more."""
        viewer = self._viewer()
        if viewer is not None:
            viewer.dims.events.point.disconnect(self._on_slider)
            viewer.layers.events.inserted.disconnect(self._on_layers)
            viewer.layers.events.removed.disconnect(self._on_layers)
            viewer.layers.selection.events.active.disconnect(self._on_selection)
        for run in self.runs:
            run.layer.events.name.disconnect(self._on_renamed)
            run.close()
        self.runs.clear()
        self._bind_keys()

    def _on_layers(self, event: Any) -> None:
        before = list(self.runs)
        self._take_in()
        self._protect()
        run = self.of_layer(event.value) if event.type == "inserted" else None
        if run is not None and run not in before:
            run.go_to(0)  # napari begins in the middle
        elif run is not None:  # made for the first event, while another may be shown
            run.companions.follow(run.current)
            QTimer.singleShot(0, self._select_events)
        self.layers_changed.emit()

    def _protect(self) -> None:
        """Keep keys and mouse from changing what the files say: it would not be kept."""
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            if drawn.role_of(layer) in drawn.SHOWN_ONLY and layer.editable:
                layer.editable = False

    def _select_events(self) -> None:
        """After a run is opened its events are selected, not the layer that came last."""
        viewer = self._viewer()
        layer = None if viewer is None else viewer.layers.selection.active
        if layer is not None and drawn.role_of(layer) in drawn.SHOWN_ONLY:
            run = self.of_layer(layer)
            if run is not None:
                self.activate(run)

    def _take_in(self) -> None:
        """Make the runs those of the layers that are there."""
        viewer = self._viewer()
        if viewer is None:
            return
        there = [la for la in viewer.layers if drawn.role_of(la) == drawn.EVENTS]
        gone = [run for run in self.runs if run.layer not in there]
        new = [la for la in there if all(run.layer is not la for run in self.runs)]
        for run in gone:
            run.layer.events.name.disconnect(self._on_renamed)
            self.runs.remove(run)
            run.close()
        for layer in new:
            if self.of_layer(layer) is not None:
                drawn.make_own(layer)
            run = Run(viewer, layer)
            self.runs.append(run)
            layer.events.name.connect(self._on_renamed)
            run.refused.connect(self._keep_slider)
            run.shown.connect(self._write)
            run.labelled.connect(self._write)
            run.changed.connect(self._write)
        if new or gone:
            self._choose(self.runs[-1] if new else self._active)
            self._on_slider()
            self._bind_keys()
            self.changed.emit()

    def _on_renamed(self, event: Any = None) -> None:
        self.changed.emit()

    def _bind_keys(self) -> None:
        """Bind the browsing keys while there is a run."""
        if self.runs and self._keys is None:
            self._keys = KeyBinder(self, keys.BROWSE, self.browse)
        elif not self.runs and self._keys is not None:
            self._keys.close()
            self._keys = None

    def browse(self, action: str) -> None:
        """Carry out a browsing shortcut on the active run."""
        run = self._active
        if run is None:
            return
        if action == "random":
            run.go_to_random()
        else:
            run.step(1 if action == "next" else -1)

    def _on_selection(self, event: Any = None) -> None:
        viewer = self._viewer()
        layer = None if viewer is None else viewer.layers.selection.active
        run = None if layer is None else self.of_layer(layer)
        if run is not None:
            self._choose(run)

    def _choose(self, run: Run | None) -> None:
        if run not in self.runs:
            run = self.runs[-1] if self.runs else None
        if run is not self._active:
            self._active = run
            self._show_active()
            self.activated.emit(run)
            self._write()

    def _show_active(self) -> None:
        """Hide the other runs, unless they are shown side by side: one would cover another."""
        viewer = self._viewer()
        if viewer is None or grid_of(viewer).enabled:
            return
        for run in self.runs:
            run.set_visible(run is self._active)

    def _on_slider(self, event: Any = None) -> None:
        for run in self.runs:
            run.follow_slider()
            i = run.current
            if i is not None and run.frames.store.changed(i):
                self._warn_once(
                    f"{run.stack.event_id(i).file} changed on disk after it was opened; what "
                    "is shown is read anew. Press Reload in the Open run dock to count its "
                    "events again.",
                    run,
                )
        if self._active is not None and self._active.current is None:
            self._write()

    def _warn_once(self, sentence: str, run: Run) -> None:
        key = (id(run.stack), sentence)
        if key not in self._told:
            self._told.add(key)
            self.warned.emit(sentence)
            from napari.utils.notifications import show_warning

            show_warning(sentence)

    def _keep_slider(self) -> None:
        """Put the events back on a slider: shown as an axis, the whole run would be read."""
        viewer = self._viewer()
        if viewer is None:
            return
        here = [(run, run.current) for run in self.runs]
        with suppress(MemoryError):  # the first of the two may still ask for the run
            viewer.dims.ndisplay = 2
        if any(run.axis in viewer.dims.displayed for run in self.runs):
            viewer.dims.order = tuple(range(viewer.dims.ndim))
        for run, i in here:  # napari went to the first event meanwhile
            if i is not None:
                run.go_to(i)

    def _write(self, *_: Any) -> None:
        """Write the active run's event and label on the canvas."""
        viewer, run = self._viewer(), self._active
        if viewer is None:
            return
        if run is None or run.current is None:
            write_on_canvas(viewer, "")
            return
        write_on_canvas(viewer, *run.caption())


_RUNS: weakref.WeakKeyDictionary[Any, ViewerRuns] = weakref.WeakKeyDictionary()


def runs_of(viewer: Any) -> ViewerRuns:
    """The runs of a viewer, watched from the first call on."""
    viewer = unwrapped(viewer)
    found = _RUNS.get(viewer)
    if found is None:
        found = _RUNS[viewer] = ViewerRuns(viewer)
    return found
