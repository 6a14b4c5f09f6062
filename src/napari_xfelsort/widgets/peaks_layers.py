"""Found peaks, and the powder of a run's peaks, as layers over the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.companions import set_points

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run

#: Roles of the layers, beside those in `layers`.
FOUND, POWDER = "found peaks", "powder of peaks"
#: Unlike stored peaks, panels and rings.
FOUND_COLOUR = "#ff9f0a"
#: Least side of a peak's square in pixels, and as a part of the picture; round stored ones.
_PIXELS, _PART = 16.0, 1 / 75
#: Width of lines, and side of a peak in the powder, as parts of the picture.
_STROKE, _SPOT = 1 / 470, 1 / 250

#: Of the powder, so that places with a single peak are seen.
_GAMMA = 0.5


def show_found(run: Run, points: NDArray[np.float64]) -> None:
    """Show squares around these points (y, x) of the picture; the layer is made once."""
    viewer, layer = run.viewer, run.companions.layer(FOUND)
    if viewer is None:
        return
    if layer is not None:
        if len(points) or len(layer.data):
            layer.selected_data = set()
            set_points(layer, points)
            layer.editable = False
        return
    from napari.layers import Points

    side = max(run.stack.assembled_shape)
    layer = Points(
        points,
        ndim=2,
        name=f"found peaks: {run.name}",
        size=max(_PIXELS, _PART * side),
        symbol="square",
        face_color="transparent",
        border_color=FOUND_COLOUR,
        border_width=max(1.0, _STROKE * side),
        border_width_is_relative=False,
        metadata={drawn.KEY: {"role": FOUND, "run": run.key}},
    )
    layer.editable = False
    active = viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection.active = active if active in viewer.layers else run.layer


def remove_found(run: Run) -> None:
    """Take the found peaks of a run from the picture."""
    run.companions.remove(FOUND)


def spot_side(shape: tuple[int, int]) -> int:
    """Side of a peak in the powder that can be seen in a picture of this shape; odd."""
    return 2 * round(max(1.0, _SPOT * max(shape)) / 2) + 1


def show_powder(run: Run, picture: NDArray[np.float32]) -> None:
    """Show how many peaks of the run are at each place, over the frame."""
    viewer = run.viewer
    if viewer is None:
        return
    from napari.layers import Image

    remove_powder(run)
    active = viewer.layers.selection.active
    layer = Image(
        picture,
        name=f"powder of peaks: {run.name}",
        colormap="inferno",
        gamma=_GAMMA,
        contrast_limits=(0.0, max(1.0, float(picture.max(initial=0)))),
        interpolation2d="nearest",
        blending="additive",
        metadata={drawn.KEY: {"role": POWDER, "run": run.key}},
    )
    viewer.layers.insert(viewer.layers.index(run.layer) + 1, layer)
    viewer.layers.selection.active = active if active in viewer.layers else run.layer


def remove_powder(run: Run) -> None:
    """Take the powder from the picture."""
    run.companions.remove(POWDER)
