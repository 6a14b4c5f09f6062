"""Layers that regions are drawn on and shown with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.polygons import ellipse_polygon, line_polygons
from napari_xfelsort.core.region import Region
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
    """The region that the shapes of a layer mark, in the laboratory.

    Rectangles, ellipses and polygons are what they enclose. Lines and paths are what lies
    within half their edge width; they are at least one pixel of the picture wide.

    Raises
    ------
    RegionError
        If there is no layer, or no shape on it.
    """
    if run is None or run.stack.geometry is None or layer is None:
        raise RegionError(
            "Add a region layer, and draw a rectangle, ellipse, polygon, line or path on it."
        )
    if not len(layer.data):
        raise RegionError(f"The layer {layer.name!r} has no shape; draw one.")
    polygons: list[NDArray[np.float64]] = []
    shapes = zip(layer.data, layer.shape_type, layer.edge_width, strict=True)
    for corners, kind, width in shapes:
        points = points_on_picture(run, layer, corners)
        if kind in ("line", "path"):
            pixels = max(1.0, width * _enlarged(run, layer, corners[0]))
            polygons += line_polygons(points, pixels)
        else:
            polygons.append(ellipse_polygon(points) if kind == "ellipse" else points)
    grid = run.stack.geometry.grid
    return Region.from_polygons([grid.laboratory(points) for points in polygons])


def _enlarged(run: Run, layer: Shapes, place: NDArray[np.float64]) -> float:
    """Pixels of a run's picture for a step of 1 on another layer, by area."""
    steps = np.zeros((3, len(place)))
    steps[1, -2] = steps[2, -1] = 1
    origin, down, right = points_on_picture(run, layer, place + steps)
    return math.sqrt(abs(float(np.linalg.det([down - origin, right - origin]))))


def points_on_picture(run: Run, layer: Shapes, points: Any) -> NDArray[np.float64]:
    """(y, x) in a run's picture of points of another layer; shape (points, 2)."""
    return np.array([run.layer.world_to_data(layer.data_to_world(p))[-2:] for p in points])


def highlight(run: Run, panels: Sequence[str]) -> None:
    """Outline these panels in the picture, and no others."""
    geometry, viewer = run.stack.geometry, run.viewer
    layer = run.companions.layer(CHOSEN)
    if viewer is None or geometry is None or not panels:
        run.companions.remove(CHOSEN)
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
