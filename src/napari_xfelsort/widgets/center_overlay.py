"""The beam centre in the picture: a cross and rings, dragged with the mouse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_xfelsort.widgets import layers as drawn

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes

    from napari_xfelsort.widgets.run import Run

#: Role of the layer, beside those in `layers`.
FIT = "beam centre fit"
#: Unlike peaks, panels, resolution rings and regions.
FIT_COLOUR = "#ff5edb"
#: Pixels of the screen within which the mouse takes hold of the cross or of a ring.
_CROSS_REACH, _RING_REACH = 12.0, 7.0
#: Half the length of the cross, and width of lines, as parts of the picture.
_ARM, _STROKE = 1 / 30, 1 / 450
#: Least radius of a ring in pixels.
_LEAST = 1.0


class Placed(NamedTuple):
    """Where the cross and the rings are, in pixels of the picture.

    Attributes
    ----------
    center : tuple of float
        Row and column.
    radii : tuple of float
        Of the rings.
    """

    center: tuple[float, float]
    radii: tuple[float, ...] = ()


class CentreOverlay(QObject):
    """A cross and rings over a run's picture.

    The cross is dragged, and a ring by its line: that changes its radius, and with Shift
    moves one side of it while the other stays, so that the centre moves as well.

    Attributes
    ----------
    placed : Placed or None
        What is shown; None when nothing is.
    """

    #: Something is being dragged: the `Placed` that it gives.
    dragged = Signal(object)
    #: The mouse button went up after that.
    dropped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.placed: Placed | None = None
        self._run: Run | None = None
        self._layer: Shapes | None = None

    @property
    def layer(self) -> Shapes | None:
        """The layer with cross and rings; None when nothing is shown, or it was removed."""
        run = self._run
        return None if run is None else run.companions.layer(FIT)

    def show(self, run: Run, placed: Placed) -> None:
        """Show the cross and rings of a run here, and its resolution rings around the cross."""
        if run is not self._run:
            self.remove()
        self._run, before, self.placed = run, self.placed, placed
        layer = self.layer
        if layer is None:
            self._add(run, placed)
        elif before is None or before.radii != placed.radii:
            _draw(layer, run, placed)
        if self.layer is not None:
            _move(self.layer, placed.center)
        self._move_rings()

    def remove(self) -> None:
        """Show nothing; resolution rings are where the geometry has them."""
        run, layer = self._run, self.layer
        self._let_go(self._layer)
        if run is not None and layer is not None:
            run.companions.remove(FIT)
        self.placed = None
        self._move_rings()
        self._run = None

    def activate(self) -> None:
        """Make the layer the selected one, so that it can be dragged."""
        layer, run = self.layer, self._run
        if layer is not None and run is not None and run.viewer is not None:
            run.viewer.layers.selection.active = layer

    # --- drawing --------------------------------------------------------------------------

    def _add(self, run: Run, placed: Placed) -> None:
        from napari.layers import Shapes

        viewer = run.viewer
        if viewer is None:
            return
        self._let_go(self._layer)
        layer = Shapes(
            ndim=2,
            name=f"beam centre fit: {run.name}",
            opacity=0.9,
            metadata={drawn.KEY: {"role": FIT, "run": run.key}},
        )
        layer.mouse_drag_callbacks.append(self._on_press)
        layer.mouse_move_callbacks.append(self._on_hover)
        layer.help = "drag the cross or a ring; Shift: the other side of the ring stays"
        self._layer = layer
        _draw(layer, run, placed)
        viewer.add_layer(layer)
        viewer.layers.selection.active = layer

    def _let_go(self, layer: Shapes | None) -> None:
        if layer is not None:
            layer.mouse_drag_callbacks.remove(self._on_press)
            layer.mouse_move_callbacks.remove(self._on_hover)
        self._layer = None

    def _move_rings(self) -> None:
        """Put the resolution rings around the cross; back when there is none."""
        run = self._run
        geometry = None if run is None else run.stack.geometry
        if run is None or geometry is None:
            return
        off = np.zeros(2)
        if self.placed is not None:
            off = np.array(self.placed.center) - geometry.beam_position
        for role in (drawn.RINGS, drawn.CENTRE):
            layer = run.companions.layer(role)
            if layer is not None:
                _move(layer, off)

    # --- the mouse ------------------------------------------------------------------------

    def _on_hover(self, layer: Shapes, event: Any) -> None:
        held = self._held(layer, event) is not None
        layer.cursor = "pointing" if held else "standard"
        layer.mouse_pan = not held

    def _on_press(self, layer: Shapes, event: Any) -> Iterator[None]:
        held = self._held(layer, event)
        before, start = self.placed, self._place(event)
        if held is None or before is None or start is None or event.button != 1:
            return
        layer.mouse_pan = False
        yield
        moved = False
        while event.type == "mouse_move":
            here = self._place(event)
            if here is not None and self._run is not None:
                moved = True
                now = _dragged(before, held, start, here, "Shift" in event.modifiers)
                self.show(self._run, now)
                self.dragged.emit(now)
            yield
        layer.mouse_pan = True
        if moved:
            self.dropped.emit()

    def _place(self, event: Any) -> NDArray[np.float64] | None:
        """Row and column in the picture of the mouse."""
        run = self._run
        if run is None or len(event.position) < run.layer.ndim:
            return None
        return np.array(run.layer.world_to_data(tuple(event.position))[-2:], np.float64)

    def _held(self, layer: Shapes, event: Any) -> int | None:
        """What the mouse would take hold of: -1 the cross, else the number of a ring."""
        here, placed = self._place(event), self.placed
        if here is None or placed is None:
            return None
        away = float(np.hypot(*(here - placed.center)))
        pixel = float(layer.scale_factor)
        off = [abs(away - radius) for radius in placed.radii]
        nearest = min(range(len(off)), key=off.__getitem__, default=None)
        if away <= _CROSS_REACH * pixel and (nearest is None or away <= off[nearest]):
            return -1
        if nearest is not None and off[nearest] <= _RING_REACH * pixel:
            return nearest
        return None


def _dragged(
    before: Placed,
    held: int,
    start: NDArray[np.float64],
    here: NDArray[np.float64],
    one_side: bool,
) -> Placed:
    """Where the cross and the rings are after a drag from one point to another."""
    center = np.array(before.center)
    if held < 0:
        return before._replace(center=_pair(center + here - start))
    radius = before.radii[held]
    away = start - center
    length = float(np.hypot(*away)) or 1.0
    radii = list(before.radii)
    if one_side:  # the point of the ring opposite to the mouse stays
        fixed = center - away * (radius / length)
        side = here - fixed
        new = max(_LEAST, float(np.hypot(*side)) / 2)
        center = fixed + side / 2
    else:
        grown = float(np.hypot(*(here - center))) - length
        new = max(_LEAST, radius + grown)
    radii[held] = new
    return Placed(_pair(center), tuple(radii))


def _pair(point: NDArray[np.float64]) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _move(layer: Layer, to: Sequence[float] | NDArray[np.float64]) -> None:
    where = np.asarray(to, np.float64)
    if not np.allclose(layer.translate[-2:], where, rtol=0, atol=1e-9):
        layer.translate = where


def _draw(layer: Shapes, run: Run, placed: Placed) -> None:
    """Draw cross and rings about (0, 0): the layer is moved to the centre."""
    side = max(run.stack.assembled_shape)
    width, arm = max(1.0, _STROKE * side), max(4.0, _ARM * side)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], np.float64)
    lines = [np.array([[-arm, 0.0], [arm, 0.0]]), np.array([[0.0, -arm], [0.0, arm]])]
    look = {"edge_color": FIT_COLOUR, "face_color": "transparent", "edge_width": width}
    layer.data = []
    layer.add_lines(lines, **look)
    if placed.radii:
        layer.add_ellipses([corners * radius for radius in placed.radii], **look)
    layer.selected_data = set()


def first_radii(shape: tuple[int, int], n: int) -> tuple[float, ...]:
    """Radii of rings that are seen whole in a picture of this shape."""
    reach = min(shape) / 2
    return tuple(math.floor(reach * (k + 1) / (n + 1)) for k in range(n))
