"""The heat map of where an anomaly is, as a layer over the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.widgets import layers as drawn
from napari_xfelsort.widgets.anomaly_bars import title_of

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run

#: Role of the layer, beside those in `layers`.
HEAT = "anomaly heat"
#: Part of the largest value from which on the map covers the frame.
_CLEAR = 0.6
#: Largest values above this share of the pixels are drawn alike.
_TOP = 99.8


def show_heat(run: Run, heat: NDArray[np.float32], class_name: str, event: int) -> None:
    """Show a map over the run's picture; the layer that is there gets the new one."""
    viewer = run.viewer
    if viewer is None:
        return
    positive = heat[np.isfinite(heat) & (heat > 0)]
    limit = float(np.percentile(positive, _TOP)) if positive.size else 1.0
    limits = (0.0, max(limit, 1e-6))
    name = f"{title_of(class_name)} in event {event}: {run.name}"
    layer = run.companions.layer(HEAT)
    if layer is not None and layer.data.shape == heat.shape:
        layer.data, layer.name = heat, name
        layer.contrast_limits_range = limits
        layer.contrast_limits = limits
        return
    from napari.layers import Image

    remove_heat(run)
    active = viewer.layers.selection.active
    layer = Image(
        heat,
        name=name,
        colormap=_colormap(),
        contrast_limits=limits,
        interpolation2d="nearest",
        blending="translucent",
        opacity=0.65,
        metadata={drawn.KEY: {"role": HEAT, "run": run.key}},
    )
    viewer.layers.insert(viewer.layers.index(run.layer) + 1, layer)
    viewer.layers.selection.active = active if active in viewer.layers else run.layer


def remove_heat(run: Run) -> None:
    """Take the map of a run from the picture, if there is one."""
    run.companions.remove(HEAT)


def _colormap() -> object:
    """Clear where nothing is."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colours = np.array(ensure_colormap("inferno").colors)
    colours[:, 3] = np.clip(np.linspace(0, 1, len(colours)) / _CLEAR, 0, 1)
    return Colormap(colours, name="anomaly", nan_color=(0.0, 0.0, 0.0, 0.0))
