"""Layers that regions are drawn on and shown with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.region import Region, ellipse_polygon
from napari_xfelsort.widgets import layers as drawn

if TYPE_CHECKING:
    from napari.layers import Shapes

    from napari_xfelsort.widgets.run import Run

#: Roles of layers, beside those in `layers`.
REGION, CHOSEN = "region", "chosen panels"
REGION_COLOUR = "#ff8c42"
_EDGE = 2


def shapes_layers(viewer: Any) -> list[Shapes]:
    """Layers that a region may be drawn on, the newest first: not ours of panels or rings."""
    from napari.layers import Shapes

    if viewer is None:
        return []
    fit = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Shapes) and drawn.role_of(layer) in ("", REGION)
    ]
    return fit[::-1]


def add_region_layer(run: Run, region: Region | None = None) -> Shapes:
    """Add a layer to draw on, with the polygons of a region if one is given."""
    from napari.layers import Shapes

    geometry, viewer = run.stack.geometry, run.viewer
    assert geometry is not None
    assert viewer is not None
    polygons = [] if region is None else [geometry.grid.picture(p) for p in region.polygons]
    # Without the run's key: it is the user's, and stays when the run's layers are replaced.
    layer = Shapes(
        polygons or None,
        ndim=2,
        shape_type="polygon",
        name=f"region: {run.name}",
        edge_color=REGION_COLOUR,
        face_color="transparent",
        edge_width=_EDGE,
        metadata={drawn.KEY: {"role": REGION}},
    )
    # What is drawn next looks the same.
    layer.current_edge_color = REGION_COLOUR
    layer.current_face_color = "transparent"
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    if not polygons:
        layer.mode = "add_rectangle"
    return layer


def region_of_shapes(run: Run | None, layer: Shapes | None) -> Region:
    """The region that the shapes of a layer enclose, in the laboratory.

    Raises
    ------
    RegionError
        If there is no layer, or no shape on it that encloses anything.
    """
    if run is None or run.stack.geometry is None or layer is None:
        raise RegionError("Add a region layer, and draw a rectangle, ellipse or polygon on it.")
    polygons = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("rectangle", "polygon", "ellipse"):
            points = points_on_picture(run, layer, corners)
            polygons.append(ellipse_polygon(points) if kind == "ellipse" else points)
    if not polygons:
        raise RegionError(
            f"The layer {layer.name!r} has no rectangle, ellipse or polygon; draw one."
        )
    grid = run.stack.geometry.grid
    return Region.from_polygons([grid.laboratory(points) for points in polygons])


def points_on_picture(run: Run, layer: Shapes, points: Any) -> NDArray[np.float64]:
    """(y, x) in a run's picture of points of another layer; shape (points, 2)."""
    return np.array([run.layer.world_to_data(layer.data_to_world(p))[-2:] for p in points])


def highlight(run: Run, panels: Sequence[str]) -> None:
    """Outline these panels in the picture, and no others."""
    geometry, viewer = run.stack.geometry, run.viewer
    layer = run.companions.layer(CHOSEN)
    if viewer is None or geometry is None or not panels:
        remove_highlight(run)
        return
    outlines = geometry.outlines()
    corners = [outlines[name] for name in panels]
    if layer is None:
        from napari.layers import Shapes

        active = viewer.layers.selection.active
        layer = Shapes(
            ndim=2,
            name=f"chosen panels: {run.name}",
            metadata={drawn.KEY: {"role": CHOSEN, "run": run.key}},
        )
        viewer.add_layer(layer)
        viewer.layers.selection.active = active
    layer.data = []
    layer.add_polygons(
        corners, edge_color=REGION_COLOUR, face_color="transparent", edge_width=_EDGE
    )


def remove_highlight(run: Run) -> None:
    """Take the outlines from the picture."""
    layer, viewer = run.companions.layer(CHOSEN), run.viewer
    if layer is not None and viewer is not None:
        viewer.layers.remove(layer)
