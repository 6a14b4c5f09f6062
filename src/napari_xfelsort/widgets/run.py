"""A run that is shown: its events, which of them is shown, and how."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer
from superqt.utils import ensure_main_thread

from napari_xfelsort.core.browsed_array import BrowsedArray
from napari_xfelsort.core.browsing import BrowsedFrames, log_scaled, log_unscaled
from napari_xfelsort.core.contrast import percentile_limits
from napari_xfelsort.core.errors import LabelError, ListError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_history import Change, LabelHistory
from napari_xfelsort.core.label_journal import split_label
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.readout import Readout, read_out
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.companions import Companions
from napari_xfelsort.widgets.overlay import COLOURS, label_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer


class Run:
    """A run that is shown.

    Parameters
    ----------
    viewer : ViewerModel
        Where it is shown; held weakly.
    layer : Image
        Its events; made by `layers.run_layers`.

    Attributes
    ----------
    stack : EventStack
    opened : Opened
        How it was opened.
    frames : BrowsedFrames
        What the layer shows.
    labels : LabelStore or None
        Where its labels are kept, once a folder is chosen.
    tally : LabelTally or None
        Those labels beside the run's events.
    current : int or None
        The event that the slider is at; None when the slider is past the run's end.
    percentiles : pair of float or None
        Contrast is set to these for every event that is shown; None leaves it.
    """

    #: Another event is shown: its number.
    shown = Signal(int)
    #: The stack was replaced: other geometry, mask, dataset or files.
    changed = Signal()
    #: Some label changed, or another label folder is used.
    labelled = Signal()
    #: The viewer asked for the whole run at once and was refused; told a moment later.
    refused = Signal()
    #: The layer was removed.
    closed = Signal()

    def __init__(self, viewer: ViewerModel, layer: Image) -> None:
        self._viewer = weakref.ref(viewer)
        self.layer = layer
        said = layer.metadata[drawn.KEY]
        self.key: str = said["run"]
        self.stack: EventStack = said["stack"]
        self.opened: drawn.Opened = said["opened"]
        self.frames: BrowsedFrames = said["frames"]
        self.labels: LabelStore | None = None
        self.history: LabelHistory | None = None
        self.classes = ClassSet()
        self.tally: LabelTally | None = None
        self.current: int | None = None
        self.percentiles: tuple[float, float] | None = None
        self._hidden: list[Layer] = []
        self._random = np.random.default_rng()
        self._next_random: int | None = None
        self._watch(layer.data)
        self._set_limits(tuple(layer.contrast_limits))
        self.companions = Companions(self)
        layer.events.colormap.connect(self._keep_nan_colour)
        self._name_axes(viewer)

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def viewer(self) -> ViewerModel | None:
        """Where it is shown; None once the viewer is gone."""
        return self._viewer()

    @property
    def name(self) -> str:
        """The name of its layer."""
        return str(self.layer.name)

    def close(self) -> None:
        """Let go of files, threads and callbacks; the layer is removed."""
        self.layer.events.colormap.disconnect(self._keep_nan_colour)
        self.companions.close()
        self.frames.store.close()
        self.closed.emit()

    def set_visible(self, visible: bool) -> None:
        """Hide all layers of the run, or show those again that were shown before."""
        if visible == (not self._hidden):
            return
        if visible:
            for layer in self._hidden:
                layer.visible = True
            self._hidden = []
            return
        self._hidden = [la for la in (self.layer, *self.companions.layers()) if la.visible]
        for layer in self._hidden:
            layer.visible = False

    # --- which event --------------------------------------------------------------------

    @property
    def axis(self) -> int:
        """The viewer's axis along which the events are."""
        viewer = self.viewer
        return 0 if viewer is None else max(0, viewer.dims.ndim - self.layer.ndim)

    def _name_axes(self, viewer: ViewerModel) -> None:
        """Call the slider "event", unless it has a name; napari does since 0.9."""
        n = self.layer.ndim
        names = tuple(viewer.dims.axis_labels)
        if len(names) >= n and all(name.lstrip("-").isdigit() for name in names[-n:]):
            viewer.dims.axis_labels = names[:-n] + tuple(self.layer.axis_labels)

    def follow_slider(self) -> None:
        """Take note of the event that the slider is at."""
        viewer = self.viewer
        if viewer is None or viewer.dims.ndim < self.layer.ndim:
            return
        # Not world_to_data: it takes as long as drawing.
        place = viewer.dims.point[self.axis] - self.layer.translate[0]
        i = round(float(place / self.layer.scale[0]))
        now = i if 0 <= i < len(self) else None
        if now == self.current:
            return
        self.current = now
        self.companions.follow(now)
        if now is not None:
            if self.percentiles is not None:
                self.set_contrast(*self.percentiles)
            self.shown.emit(now)

    def go_to(self, i: int) -> None:
        """Show event ``i``; the first or last one when it is past an end."""
        viewer = self.viewer
        if viewer is None:
            return
        i = min(max(i, 0), len(self) - 1)
        world = self.layer.translate[0] + i * self.layer.scale[0]
        viewer.dims.set_point(self.axis, float(world))

    def step(self, by: int) -> None:
        """Go on by so many events; not past an end."""
        here = self.current
        self.go_to(len(self) - 1 if here is None else here + by)

    def go_to_random(self) -> None:
        """Show an event chosen at random; the one after it is fetched meanwhile."""
        chosen = self._next_random
        if chosen is None or chosen >= len(self) or chosen == self.current:
            chosen = self._pick(self.current)
        self.go_to(chosen)
        self._next_random = self._pick(chosen)
        self.frames.store.fetch_ahead([self._next_random])

    def _pick(self, other_than: int | None) -> int:
        n = len(self)
        if n == 1 or other_than is None:
            return int(self._random.integers(n))
        i = int(self._random.integers(n - 1))
        return i + (i >= other_than)

    def find(self, text: str) -> int | None:
        """Number of the event that a person names: a number, or CrystFEL's event id.

        The file may be left out (``//12``, ``tag-7//``); then the first event so named in
        any file counts. None when there is no such event.
        """
        text = text.strip()
        if text.lstrip("+-").isdigit():
            i = int(text)
            return i if 0 <= i < len(self) else None
        try:
            event = EventId.parse(text)
            found = self.stack.find(event)
            if found is not None or "//" not in text or event.event:
                return found
            for source in self.stack.sources:
                found = self.stack.find(EventId(source.path, text))
                if found is not None:
                    return found
        except ListError:
            pass
        return None

    @property
    def is_drawn(self) -> bool:
        """Whether the picture is that of the current event: it may still be loading."""
        return bool(self.layer.loaded) and self.current is not None

    @property
    def is_one_event(self) -> bool:
        """Whether the picture is one event: events are on a slider, not an axis of it."""
        viewer = self.viewer
        return viewer is not None and self.axis not in viewer.dims.displayed

    def caption(self) -> tuple[str, str]:
        """What is written beside the current event, and its colour."""
        i = self.current
        if i is None:
            return "", COLOURS[""]
        lines = [f"event {i} of {len(self)}    {self.stack.event_id(i).short}"]
        failure = self.frames.store.failures.get(i)
        if failure:
            return "\n".join([*lines, failure]), COLOURS["failed"]
        label = self.label_of(i)
        if label:
            lines.append(" + ".join(split_label(label)) or label)
        return "\n".join(lines), label_colour(label, self.classes)

    def readout(self, position: Sequence[float]) -> Readout | None:
        """What is under a point of the world, as napari gives the cursor's; None outside."""
        if self.current is None or len(position) < self.layer.ndim:
            return None
        _, y, x = self.layer.world_to_data(tuple(position))
        return read_out(self.frames, self.current, float(y), float(x))

    # --- labels -------------------------------------------------------------------------

    def use_labels(self, store: LabelStore | None, tally: LabelTally | None = None) -> None:
        """Keep labels in this store from now on.

        Parameters
        ----------
        store : LabelStore or None
            None for no labels.
        tally : LabelTally, optional
            Its labels beside the events of this run; made here if omitted, which takes
            time with the number of events.
        """
        self.labels = store
        self.history = LabelHistory.going_on(self.history, store)
        if store is not None and tally is None:
            matched = store.match(self.stack)
            store.recognise(matched.renamed)
            tally = LabelTally(matched.labels)
        self.tally = tally
        self.labelled.emit()

    def use_classes(self, classes: ClassSet) -> None:
        """Label with these classes from now on."""
        if classes != self.classes:
            self.classes = classes
            self.labelled.emit()

    def label_of(self, i: int) -> str | None:
        """Label of event ``i``, None when it has none."""
        return None if self.tally is None else self.tally.label(i)

    def suggested_labels(self) -> str:
        """A folder for labels: beside the data where one may write, else in the home."""
        first = os.path.abspath(self.opened.paths[0])
        beside = first if os.path.isdir(first) else os.path.dirname(first)
        if os.access(beside, os.W_OK):
            return os.path.join(beside, "labels")
        name = os.path.splitext(os.path.basename(first))[0]
        return os.path.join(os.path.expanduser("~"), "xfelsort", f"{name}-labels")

    def set_label(self, i: int, label: str | None) -> None:
        """Label event ``i``, or take its label back (None); on disk when this returns.

        Raises
        ------
        LabelError
            If no label folder is chosen, or it cannot be written.
        """
        if self.history is None:
            raise LabelError("Choose a folder for the labels first.")
        event = self.stack.event_id(i)
        if label is None:
            self.history.clear(event)
        else:
            self.history.set(event, label)
        if self.tally is not None:
            self.tally.set(i, self.history.store.get(event))
        self.labelled.emit()

    def undo(self) -> Change | None:
        """Take the last labels back, be they one or many; None when there is nothing.

        Raises
        ------
        LabelError
            If this cannot be stored.
        """
        return self._changed_labels(None if self.history is None else self.history.undo())

    def redo(self) -> Change | None:
        """Do again what was undone last; None when there is nothing.

        Raises
        ------
        LabelError
            If this cannot be stored.
        """
        return self._changed_labels(None if self.history is None else self.history.redo())

    def _changed_labels(self, change: Change | None) -> Change | None:
        if change is not None:
            self.note_labels(change.events)
        return change

    def note_labels(self, events: Sequence[EventId]) -> None:
        """Take note that these events were labelled through the store or the history."""
        if self.labels is None or self.tally is None:
            return
        for event in events:
            i = self.stack.find(event)
            if i is not None:
                self.tally.set(i, self.labels.get(event))
        self.labelled.emit()

    # --- how it looks -------------------------------------------------------------------

    def set_scale(self, scale: str) -> None:
        """Show values as they are (``linear``) or their logarithm (``log``)."""
        before = self.frames.scale
        if scale == before:
            return
        change = log_scaled if scale == "log" else log_unscaled
        low, high = change(np.array(self.layer.contrast_limits, np.float32)).tolist()
        self._use(self.frames.with_scale(scale))
        self._set_limits((low, high))

    def set_contrast(self, low: float, high: float) -> None:
        """Set contrast to percentiles of the current event, masked pixels left out."""
        if self.current is None:
            return
        frame = np.asarray(self.frames[self.current])
        self._set_limits(percentile_limits([frame], self._masked(), low, high))

    def _masked(self) -> Any:
        mask = self.companions.layer(drawn.MASK)
        return None if mask is None else np.asarray(mask.data) != 0

    def _set_limits(self, limits: tuple[float, float]) -> None:
        low, high = limits
        span = max(high - low, 1e-6)
        # napari keeps the slider within the first limits given; brighter peaks lie above.
        self.layer.contrast_limits_range = (min(low - span, 0.0), high + 4 * span)
        self.layer.contrast_limits = (low, max(high, low + 1e-6))

    def _keep_nan_colour(self, event: Any = None) -> None:
        """Another colormap must not make gaps look like zero."""
        if not np.allclose(self.layer.colormap.nan_color, drawn.NAN_COLOUR):
            self.layer.colormap = drawn.shown_colormap(self.layer.colormap)

    def _use(self, frames: BrowsedFrames) -> None:
        self.frames = frames
        self.layer.metadata[drawn.KEY]["frames"] = frames
        array = frames.to_dask()
        self._watch(array)
        self.layer.data = array

    def _watch(self, array: Any) -> None:
        """Be told when the viewer asks for the whole run."""
        held = weakref.WeakMethod(self._after_refusal)

        @ensure_main_thread  # type: ignore[misc]
        def tell() -> None:
            method = held()
            if method is not None:
                QTimer.singleShot(0, method)

        if isinstance(array, BrowsedArray):
            array.on_refused = tell

    def _after_refusal(self) -> None:
        self.refused.emit()

    def replace(self, layers: list[drawn.LayerData]) -> None:
        """Show other layers of the same data: another geometry, mask, or a new look at it.

        The event shown stays, if it is still there; so do contrast, when values are the
        same kind, and layers that are not ours.

        Parameters
        ----------
        layers : list of LayerData
            From `layers.run_layers`.
        """
        from napari.layers import Layer

        viewer = self.viewer
        if viewer is None:
            return
        here = None if self.current is None else self.stack.event_id(self.current)
        scale, old, shape = self.frames.scale, self.frames.store, self.layer.data.shape[1:]
        said = layers[0][1]["metadata"][drawn.KEY]
        shown = {drawn.role_of(la): la.visible for la in self.companions.layers()}
        for layer in self.companions.layers():
            viewer.layers.remove(layer)
        self.stack, self.opened = said["stack"], said["opened"]
        if self.labels is not None:
            matched = self.labels.match(self.stack)
            self.labels.recognise(matched.renamed)
            self.tally = LabelTally(matched.labels)
        self.layer.metadata[drawn.KEY].update(stack=self.stack, opened=self.opened)
        self._use(said["frames"].with_scale(scale))
        old.close()
        place = viewer.layers.index(self.layer)
        for number, data in enumerate(layers[1:], 1):
            layer = Layer.create(*data)
            layer.metadata[drawn.KEY]["run"] = self.key
            layer.visible = shown.get(drawn.role_of(layer), layer.visible)
            viewer.layers.insert(place + number, layer)
        self.companions.renew()
        viewer.layers.selection.active = self.layer
        found = None if here is None else self.stack.find(here)
        self.current = None
        self.go_to(0 if found is None else found)
        self.follow_slider()
        if self.layer.data.shape[1:] != shape:
            viewer.reset_view()
        self.changed.emit()
