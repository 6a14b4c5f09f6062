"""The current event and its label, written on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_xfelsort.core.label_classes import ClassSet

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Colours of the text by what it says, if no class.
COLOURS = {
    "": "#ffffff",
    "ignore": "#c0c0c0",
    "failed": "#ff9f0a",
}
#: Behind the text, whatever the theme.
BACKGROUND = "#000000b3"
#: For labels that have no colour of their own.
OTHER_COLOUR = "#4cc3ff"


def on_canvas(viewer: ViewerModel) -> Any:
    """What has napari's ``grid`` and ``overlays.text``: its canvas since napari 0.9, or None."""
    canvas = getattr(viewer, "canvas", None)
    return canvas if hasattr(canvas, "overlays") and hasattr(canvas, "grid") else None


def text_overlay(viewer: ViewerModel) -> Any:
    """napari's text on the canvas."""
    canvas = on_canvas(viewer)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def grid_of(viewer: ViewerModel) -> Any:
    """napari's grid of layers."""
    canvas = on_canvas(viewer)
    return viewer.grid if canvas is None else canvas.grid


def label_colour(label: str | None, classes: ClassSet) -> str:
    """The colour of a label; that of the first class where it has several."""
    if not label or label in COLOURS:
        return COLOURS[label or ""]
    return _bright(next(iter(classes.colours_of(label)), OTHER_COLOUR))


def _bright(colour: str) -> str:
    """The colour, mixed with white where text of it could not be read on a dark ground."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    if 0.299 * red + 0.587 * green + 0.114 * blue >= 100:
        return colour
    return "#" + "".join(f"{(2 * value + 255) // 3:02x}" for value in (red, green, blue))


def write_on_canvas(viewer: ViewerModel, text: str, colour: str = COLOURS[""]) -> None:
    """Write text in the upper left corner; an empty text hides it."""
    overlay = text_overlay(viewer)
    if not text:
        overlay.visible = False
        return
    overlay.position = "top_left"
    overlay.font_size = 12
    overlay.color = colour
    if hasattr(overlay, "box_color"):  # else that of the theme, on a light one too light
        overlay.box_color = BACKGROUND
    overlay.text = text
    overlay.visible = True
