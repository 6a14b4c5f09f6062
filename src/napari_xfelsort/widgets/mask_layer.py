"""How masks look in the picture: their reasons, and how two of them differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.comparing import MaskComparison
from napari_xfelsort.core.masks.showing import SHOWN, reason_codes
from napari_xfelsort.widgets import layers as drawn

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_xfelsort.widgets.run import Run

#: Roles of layers, beside those in `layers`.
REASONS, COMPARED = "mask reasons", "compared masks"
#: Colour of a pixel by reason.
REASON_COLOURS = {
    "offset": "#56b4e9",
    "noise": "#e69f00",
    "bright": "#f0e442",
    "flicker": "#cc79a7",
    "dead": "#d55e00",
    "gain separation": "#009e73",
    "gain level": "#7fd6b8",
    "given": "#8f7fe8",
    "edge": "#6f8fd8",
    "geometry": "#5f5fc0",
    "data file": "#a06fc8",
    "saturated": "#ff5a5a",
    "shadow": "#8a8f98",
    "yours": "#ff4fd8",
}
#: Colour and name of each code of a `MaskComparison`.
COMPARED_COLOURS = {
    MaskComparison.ADDED: ("#e69f00", "added: bad in this mask only"),
    MaskComparison.REMOVED: ("#56b4e9", "removed: bad in the other only"),
    MaskComparison.AGREE: ("#8a8f98", "agree: bad in both"),
}


def show_reasons(run: Run, mask: PixelMask, shown: Collection[str]) -> None:
    """Show these reasons of a mask over the run's picture, in a layer of its own."""
    colours = {place: REASON_COLOURS[each.name] for place, each in enumerate(SHOWN, 1)}
    names = {place: each.name for place, each in enumerate(SHOWN, 1)}
    if run.companions.layer(REASONS) is None:
        show_own_mask(run, False)
    _show(run, REASONS, "bad pixels", reason_codes(mask, shown), colours, names)


def hide_reasons(run: Run) -> None:
    """Take the layer of reasons away; the run's own mask is seen again."""
    if run.companions.layer(REASONS) is not None:
        run.companions.remove(REASONS)
        show_own_mask(run, True)


def show_own_mask(run: Run, on: bool) -> None:
    """Show the mask that the run has, or hide it: it would shine through what was erased."""
    own = run.companions.layer(drawn.MASK)
    if own is not None and own.visible != on:
        own.visible = on


def show_comparison(run: Run, compared: MaskComparison) -> None:
    """Show where two masks differ over the run's picture, in a layer of its own."""
    colours = {code: colour for code, (colour, _) in COMPARED_COLOURS.items()}
    names = {code: text for code, (_, text) in COMPARED_COLOURS.items()}
    _show(run, COMPARED, "compared masks", compared.codes, colours, names)


def _show(
    run: Run,
    role: str,
    name: str,
    codes: NDArray[np.uint8],
    colours: Mapping[int, str],
    names: Mapping[int, str],
) -> None:
    layer: Labels | None = run.companions.layer(role)
    viewer = run.viewer
    if viewer is None:
        return
    picture = drawn.picture_of_mask(run.stack, PixelMask(codes))
    assert picture is not None
    if layer is not None:
        _change(layer, picture)
        return
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, Any] = {None: "transparent", 0: "transparent", **colours}
    active = viewer.layers.selection.active
    layer = Labels(
        picture.copy(),  # is written to
        name=f"{name}: {run.name}",
        opacity=0.8,
        colormap=DirectLabelColormap(color_dict=table),
        # The status bar says what lies under the cursor.
        features={"index": list(names), "bad by": list(names.values())},
        metadata={drawn.KEY: {"role": role, "run": run.key}},
    )
    layer.editable = False
    viewer.add_layer(layer)
    viewer.layers.selection.active = active


def _change(layer: Labels, picture: NDArray[np.uint8]) -> None:
    """Show another picture, in the array that the layer has.

    A new array would take a tool out of the user's hand, and be slower.
    """
    if layer.data.shape != picture.shape:
        editable = layer.editable
        layer.data = picture.copy()
        layer.editable = editable  # napari forgets it with new data
    elif not np.array_equal(layer.data, picture):
        layer.data[...] = picture
        layer.refresh(extent=False, highlight=False)
