"""How the reasons of a mask look in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.settings import MaskReason
from napari_xfelsort.widgets import layers as drawn

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run

#: Role of the layer, beside those in `layers`.
REASONS = "mask reasons"
#: Colour of a pixel by reason; the first that applies is shown.
REASON_COLOURS: dict[MaskReason, str] = {
    MaskReason.OFFSET: "#56b4e9",
    MaskReason.NOISE: "#e69f00",
    MaskReason.BRIGHT: "#f0e442",
    MaskReason.FLICKER: "#cc79a7",
    MaskReason.DEAD: "#d55e00",
    MaskReason.GAIN_SEPARATION: "#009e73",
    MaskReason.GAIN_LEVEL: "#7fd6b8",
    MaskReason.GIVEN: "#8f7fe8",
}
#: What each means, in words.
REASON_WORDS: dict[MaskReason, str] = {
    MaskReason.OFFSET: "offset: mean in the dark is off that of its neighbours",
    MaskReason.NOISE: "noise: deviation in the dark is off that of its neighbours",
    MaskReason.BRIGHT: "bright: answers to light unlike the others",
    MaskReason.FLICKER: "flicker: its answer to light varies too much",
    MaskReason.DEAD: "dead: never changes, or is never finite",
    MaskReason.GAIN_SEPARATION: "gain separation: gain stages overlap",
    MaskReason.GAIN_LEVEL: "gain level: the level of a gain stage is off",
    MaskReason.GIVEN: "given: edge, geometry, data file, saturated, yours",
}


def reason_name(reason: MaskReason) -> str:
    """Short name of one reason."""
    return str(reason.name).lower().replace("_", " ")


def show_reasons(run: Run, mask: PixelMask, shown: int) -> None:
    """Show these reasons of a mask over the run's picture, in a layer of its own."""
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    reasons = drawn.picture_of_mask(run.stack, PixelMask(mask.reasons & np.uint8(shown)))
    assert reasons is not None
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for value in range(1, 256):
        colours[value] = next(c for reason, c in REASON_COLOURS.items() if value & reason)
    layer, viewer = run.companions.layer(REASONS), run.viewer
    if layer is not None:
        layer.data = reasons
        return
    if viewer is None:
        return
    active = viewer.layers.selection.active
    layer = Labels(
        reasons,
        name=f"bad pixels: {run.name}",
        opacity=0.8,
        colormap=DirectLabelColormap(color_dict=colours),
        metadata={drawn.KEY: {"role": REASONS, "run": run.key}},
    )
    viewer.add_layer(layer)
    viewer.layers.selection.active = active


def remove_reasons(run: Run) -> None:
    """Take that layer from the picture, if there is one."""
    run.companions.remove(REASONS)
