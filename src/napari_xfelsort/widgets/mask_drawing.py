"""Drawing on the picture with napari's own tools; what is drawn becomes edits of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.masks.canvas import Canvas
from napari_xfelsort.core.masks.edits import (
    Edit,
    Ellipse,
    Line,
    Paint,
    Pixels,
    Points,
    Polygon,
    Rectangle,
)
from napari_xfelsort.core.masks.showing import SHOWN
from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.mask_layer import REASON_COLOURS, REASONS
from napari_xfelsort.widgets.region_layers import points_on_picture

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes

    from napari_xfelsort.widgets.run import Run

#: Role of the layer, beside those in `layers`.
DRAWING = "mask drawing"
#: Tools by name, and napari's modes of a Shapes layer; painting is on the mask's own layer.
PAINT = "paint"
MODES = {
    "rectangle": "add_rectangle",
    "ellipse": "add_ellipse",
    "polygon": "add_polygon",
    "lasso": "add_polygon_lasso",
    "line": "add_line",
    "path": "add_polyline",
}
_KEYS = ("Control-Z", "Control-Shift-Z")
_ERASING, _MARKING = "#f4f4f4", REASON_COLOURS["yours"]


class MaskDrawing(QObject):
    """What is drawn while a tool is chosen.

    Strokes are painted on the layer of the mask, shapes on a layer of their own, from
    which each is taken when it is finished.
    """

    #: An edit was drawn.
    drawn = Signal(object)
    #: What was drawn is no edit: the mask is as it was.
    nothing_drawn = Signal()
    #: Ctrl-Z or Ctrl-Shift-Z was pressed in the picture.
    undo_wanted = Signal()
    redo_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._run: Run | None = None
        self._shapes: Shapes | None = None
        self._labels: Labels | None = None
        self._erase, self._width = False, 1.0
        self._stroke: tuple[list[tuple[float, ...]], float, bool] | None = None
        self._painted: list[tuple[Any, Any, Any]] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)  # when napari is done with it
        self._timer.timeout.connect(self._take)

    @property
    def on(self) -> bool:
        """Whether a tool is chosen."""
        return self._run is not None

    def start(self, run: Run, tool: str, width: float, erase: bool) -> None:
        """Draw with this tool from now on.

        Parameters
        ----------
        run : Run
            On whose picture; for painting its mask must be shown.
        tool : str
            `PAINT` or one of `MODES`.
        width : float
            Of lines and the brush, in pixels of the picture.
        erase : bool
            What is drawn becomes good.
        """
        self.stop()
        self._run = run
        self._erase, self._width = erase, width
        if tool == PAINT:
            self._start_painting(run)
        else:
            self._start_shapes(run, MODES[tool])

    def stop(self) -> None:
        """Draw no more; what is not finished is gone."""
        run, self._run = self._run, None
        shapes, self._shapes = self._shapes, None
        labels, self._labels = self._labels, None
        self._timer.stop()
        self._stroke, self._painted = None, []
        if shapes is not None:
            shapes.events.data.disconnect(self._on_shapes)
            if run is not None:
                run.companions.remove(DRAWING)
        if labels is not None:
            labels.events.paint.disconnect(self._on_paint)
            labels.mouse_drag_callbacks.remove(self._on_drag)
            for key in _KEYS:
                labels.bind_key(key, None)
            labels.mode = "pan_zoom"
            labels.editable = False
        viewer = None if run is None else run.viewer
        if run is not None and viewer is not None and run.layer in viewer.layers:
            viewer.layers.selection.active = run.layer

    # --- shapes -------------------------------------------------------------------------

    def _start_shapes(self, run: Run, mode: str) -> None:
        from napari.layers import Shapes

        viewer = run.viewer
        if viewer is None:
            return
        colour = _ERASING if self._erase else _MARKING
        layer = Shapes(
            ndim=2,
            name=f"{'erase from' if self._erase else 'draw on'} the mask: {run.name}",
            metadata={drawn.KEY: {"role": DRAWING, "run": run.key}},
        )
        layer.current_edge_color = colour
        layer.current_face_color = "transparent"
        layer.current_edge_width = max(1.0, self._width)
        self._bind(layer)
        layer.events.data.connect(self._on_shapes)
        self._shapes = layer
        viewer.add_layer(layer)
        viewer.layers.selection.active = layer
        layer.mode = mode

    def _on_shapes(self, event: Any) -> None:
        if str(getattr(event.action, "value", event.action)) == "added":
            self._timer.start()

    def _take_shapes(self, run: Run, layer: Shapes) -> list[Edit]:
        edits: list[Edit] = []
        for corners, kind in zip(layer.data, layer.shape_type, strict=True):
            points = self._places(points_on_picture(run, layer, corners))
            if kind in ("line", "path"):
                edits.append(Line(points, self._erase, self._size(run, self._width)))
            else:
                made = {"rectangle": Rectangle, "ellipse": Ellipse, "polygon": Polygon}[kind]
                edits.append(made(points, self._erase))
        layer.data = []
        return edits

    # --- painting -----------------------------------------------------------------------

    def _start_painting(self, run: Run) -> None:
        layer, viewer = run.companions.layer(REASONS), run.viewer
        if layer is None or viewer is None:
            return
        self._labels = layer
        layer.editable = True
        layer.selected_label = len(SHOWN)
        layer.brush_size = max(1, round(self._width))
        layer.events.paint.connect(self._on_paint)
        layer.mouse_drag_callbacks.append(self._on_drag)
        self._bind(layer)
        viewer.layers.selection.active = layer
        layer.mode = "erase" if self._erase else "paint"

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        if event.button != 1 or layer.mode not in ("paint", "erase"):
            return
        places = [tuple(event.position)]
        yield
        while event.type == "mouse_move":
            places.append(tuple(event.position))
            yield
        erase = layer.mode == "erase" or layer.selected_label == 0
        self._stroke = places, float(layer.brush_size), erase
        self._timer.start()

    def _on_paint(self, event: Any) -> None:
        """Pixels of the layer were changed: by a stroke, or by another of its tools."""
        self._painted += event.value
        self._timer.start()

    def _take_stroke(self, run: Run) -> list[Edit]:
        stroke, self._stroke = self._stroke, None
        painted, self._painted = self._painted, []
        if stroke is not None:
            places, size, erase = stroke
            on = np.array([run.layer.world_to_data(place)[-2:] for place in places])
            return [Paint(self._places(on), erase, self._size(run, size))]
        canvas = Canvas(run.stack.raw_shape, run.stack.geometry)
        return [
            Pixels(canvas.numbers_at(where[-2], where[-1]), erase=not np.any(value))
            for where, _, value in painted
        ]

    # --- both ---------------------------------------------------------------------------

    def _take(self) -> None:
        run = self._run
        if run is None:
            return
        edits: list[Edit] = []
        try:
            if self._shapes is not None:
                edits = self._take_shapes(run, self._shapes)
            elif self._labels is not None:
                edits = self._take_stroke(run)
        except XfelsortError:  # of no extent
            self.nothing_drawn.emit()
            return
        for edit in edits:
            self.drawn.emit(edit)

    def _places(self, points: NDArray[np.float64]) -> Points:
        """Points (row, column) of the picture as edits have them."""
        geometry = None if self._run is None else self._run.stack.geometry
        found = points[:, ::-1] if geometry is None else geometry.grid.laboratory(points)
        return tuple((x, y) for x, y in found.tolist())

    @staticmethod
    def _size(run: Run, pixels: float) -> float:
        geometry = run.stack.geometry
        return pixels if geometry is None else pixels * geometry.grid.pixel

    def _bind(self, layer: Any) -> None:
        layer.bind_key("Control-Z", self._undo, overwrite=True)
        layer.bind_key("Control-Shift-Z", self._redo, overwrite=True)

    def _undo(self, layer: Any) -> None:
        self.undo_wanted.emit()

    def _redo(self, layer: Any) -> None:
        self.redo_wanted.emit()
