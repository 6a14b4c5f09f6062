"""The current event and its label, written on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Colours of the text by what it says.
COLOURS = {
    "": "#ffffff",
    "good": "#4cd964",
    "bad": "#ff5a52",
    "ignore": "#c0c0c0",
    "failed": "#ff9f0a",
}
#: Behind the text, whatever the theme.
BACKGROUND = "#000000b3"
#: For labels that have no colour of their own.
OTHER_COLOUR = "#4cc3ff"


def text_overlay(viewer: ViewerModel) -> Any:
    """napari's text on the canvas: of the canvas since napari 0.9, of the viewer before."""
    canvas = getattr(viewer, "canvas", None)
    return canvas.overlays.text if hasattr(canvas, "overlays") else viewer.text_overlay


def write_on_canvas(viewer: ViewerModel, text: str, kind: str = "") -> None:
    """Write text in the upper left corner, coloured by label; an empty text hides it."""
    overlay = text_overlay(viewer)
    if not text:
        overlay.visible = False
        return
    colour = COLOURS.get(kind, OTHER_COLOUR)
    overlay.position = "top_left"
    overlay.font_size = 12
    overlay.color = colour
    if hasattr(overlay, "box_color"):  # else that of the theme, on a light one too light
        overlay.box_color = BACKGROUND
    overlay.text = text
    overlay.visible = True
