"""What a run looks like as napari layers: the one place that says how they are drawn.

Everything here is data; nothing touches a viewer, so it may be made in another thread.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.browsing import BrowsedFrames
from napari_xfelsort.core.contrast import percentile_limits
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.rings import resolution_rings
from napari_xfelsort.core.stack import EventStack

if TYPE_CHECKING:
    from napari.layers import Image, Layer

#: Where a layer of ours says in its metadata what it is: a dictionary with ``role``,
#: ``run`` (equal for all layers of a run), and for events ``stack``, ``frames``, ``opened``.
KEY = "napari_xfelsort"

#: Roles of layers.
EVENTS, MASK, PEAKS, PANELS, RINGS, CENTRE = (
    "events",
    "mask",
    "peaks",
    "panels",
    "rings",
    "centre",
)

#: Roles of layers that show what the files say and are not to be edited.
SHOWN_ONLY = (MASK, PEAKS, PANELS, RINGS, CENTRE)

#: Pixels that were not measured, unlike any shade of grey.
NAN_COLOUR = (0.13, 0.19, 0.33, 1.0)
#: Colour of a masked pixel by reason; the first that applies is shown.
MASK_COLOURS: tuple[tuple[Reason, str, str], ...] = (
    (Reason.USER, "#e8348b", "yours"),
    (Reason.VALUE, "#f0a020", "value"),
    (Reason.GEOMETRY, "#7b5fe0", "geometry"),
    (Reason.FILE, "#e04040", "file"),
)
PEAK_COLOUR, PANEL_COLOUR, RING_COLOUR = "#39e639", "#4cc3ff", "#ffd166"
#: Events that contrast is judged from, spread over the run.
_CONTRAST_EVENTS = 4
#: Lines are this part of the picture wide, so that they are seen when all of it is.
_STROKE = 1 / 700
#: Least diameter of a peak's circle in pixels, and as a part of the picture.
_PEAK_PIXELS, _PEAK_PART = 12.0, 1 / 100

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Opened:
    """How a run was opened, to open it again: the arguments of `open_stack`."""

    paths: tuple[str, ...]
    geometry: str | None = None
    mask: str | None = None
    dataset: str | None = None


def run_layers(stack: EventStack, opened: Opened) -> list[LayerData]:
    """All layers of a run, the events first."""
    run = uuid.uuid4().hex
    frames = BrowsedFrames(stack)
    name = run_name(opened.paths)
    layers = [events_layer(frames, opened, run, name)]
    for made in (mask_layer(stack), panels_layer(stack.geometry), *ring_layers(stack, 0)):
        if made is not None:
            layers.append(made)
    if stack.peaks(0) is not None:
        layers.append(peaks_layer(stack, 0))
    for _, keywords, _ in layers[1:]:
        keywords["name"] = f"{keywords['name']}: {name}"
        keywords["metadata"][KEY]["run"] = run
    return layers


def run_name(paths: Sequence[str]) -> str:
    """A short name for what was opened."""
    first = os.path.basename(os.path.normpath(paths[0])) or paths[0]
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def events_layer(frames: BrowsedFrames, opened: Opened, run: str, name: str) -> LayerData:
    """The events as an image layer (event, y, x)."""
    limits = sampled_limits(frames)
    keywords = {
        "name": name,
        "axis_labels": ("event", "y", "x"),
        "contrast_limits": limits,
        "colormap": shown_colormap("gray"),
        "interpolation2d": "nearest",
        "cache": False,  # the frames have a cache of their own, with a budget
        "projection_mode": "none",  # the mean over one event would be one more pass
        "rgb": False,
        "metadata": {
            KEY: {
                "role": EVENTS,
                "run": run,
                "stack": frames.stack,
                "frames": frames,
                "opened": opened,
            }
        },
    }
    return frames.to_dask(), keywords, "image"


def sampled_limits(frames: BrowsedFrames) -> tuple[float, float]:
    """Contrast limits from a few events of the run, masked pixels left out."""
    n = len(frames)
    chosen = sorted({int(k) for k in np.linspace(0, n - 1, min(n, _CONTRAST_EVENTS))})
    return percentile_limits((frames.store.get(k) for k in chosen), masked_pixels(frames.stack))


def masked_pixels(stack: EventStack) -> NDArray[np.bool_] | None:
    """Pixels of the picture that are bad in every event; None when there are none."""
    reasons = picture_of_mask(stack, stack.mask)
    return None if reasons is None else reasons != 0


def picture_of_mask(stack: EventStack, mask: PixelMask | None) -> NDArray[np.uint8] | None:
    """A mask as it lies in the picture: reasons, 0 where good or in a gap."""
    if mask is None:
        return None
    if stack.geometry is None:
        return mask.reasons.reshape(-1, mask.reasons.shape[-1])
    return stack.geometry.assemble(mask.reasons)


def shown_colormap(name: str) -> Any:
    """A napari colormap that shows pixels without a value in a colour of their own."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    base = ensure_colormap(name)
    return Colormap(
        colors=base.colors,
        name=f"{base.name} + gaps",
        controls=base.controls,
        interpolation=base.interpolation,
        nan_color=NAN_COLOUR,
    )


def mask_layer(stack: EventStack, mask: PixelMask | None = None) -> LayerData | None:
    """Masked pixels, coloured by reason; None when the run has no mask."""
    from napari.utils.colormaps import DirectLabelColormap

    reasons = picture_of_mask(stack, stack.mask if mask is None else mask)
    if reasons is None:
        return None
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for value in range(1, 16):
        colours[value] = next(c for reason, c, _ in MASK_COLOURS if value & reason)
    colormap = DirectLabelColormap(color_dict=colours)
    colormap.map(reasons[:1, :1])  # compiles for a second, better here than in the window
    keywords = {
        "name": "mask",
        "opacity": 0.55,
        "colormap": colormap,
        "metadata": {KEY: {"role": MASK}},
    }
    return reasons, keywords, "labels"


def peaks_layer(stack: EventStack, i: int) -> LayerData:
    """The peaks stored with an event, as circles."""
    keywords = {
        "name": "peaks",
        "ndim": 2,
        "size": max(_PEAK_PIXELS, _PEAK_PART * max(stack.assembled_shape)),
        "symbol": "disc",
        "face_color": "transparent",
        "border_color": PEAK_COLOUR,
        "border_width": 1.5 * _stroke(stack.assembled_shape),
        "border_width_is_relative": False,
        "metadata": {KEY: {"role": PEAKS}},
    }
    return peak_points(stack, i), keywords, "points"


def peak_points(stack: EventStack, i: int) -> NDArray[np.float64]:
    """(y, x) in the picture of the peaks stored with an event; shape (peaks, 2)."""
    peaks = stack.peaks(i)
    if peaks is None:
        return np.empty((0, 2))
    points = stack.picture_points(peaks.fs, peaks.ss)
    return points[np.isfinite(points).all(axis=1)]


def panels_layer(geometry: Geometry | None, visible: bool = False) -> LayerData | None:
    """Outlines of the panels with their names; None without a geometry."""
    if geometry is None:
        return None
    outlines = geometry.outlines()
    keywords = {
        "name": "panels",
        "shape_type": "polygon",
        "features": {"panel": np.array(list(outlines))},
        "text": {"string": "{panel}", "size": 8, "color": PANEL_COLOUR, "anchor": "center"},
        "edge_color": PANEL_COLOUR,
        "face_color": "transparent",
        "edge_width": _stroke(geometry.shape),
        "visible": visible,
        "metadata": {KEY: {"role": PANELS}},
    }
    return list(outlines.values()), keywords, "shapes"


def ring_layers(stack: EventStack, i: int) -> list[LayerData]:
    """Resolution rings, and the beam centre with the rings' names.

    Empty unless geometry, photon energy and camera length are all known.
    """
    marks = ring_marks(stack, i)
    if marks is None:
        return []
    rings = {
        "name": "rings",
        "shape_type": "ellipse",
        "edge_color": RING_COLOUR,
        "face_color": "transparent",
        "edge_width": marks.stroke,
        "opacity": 0.6,
        "metadata": {KEY: {"role": RINGS}},
    }
    centre = {
        "name": "beam centre",
        "features": {"label": np.array(marks.labels)},
        "text": {
            "string": "{label}",
            "size": 9,
            "color": RING_COLOUR,
            "anchor": "lower_left",
        },
        "symbol": marks.symbols,
        "size": marks.sizes,
        "face_color": RING_COLOUR,
        "border_width": 0,
        "metadata": {KEY: {"role": CENTRE}},
    }
    return [(marks.ellipses, rings, "shapes"), (marks.points, centre, "points")]


@dataclass(frozen=True, eq=False)
class RingMarks:
    """Rings as napari draws them.

    Attributes
    ----------
    ellipses : list of ndarray, shape (4, 2)
        Corners (y, x) around each ring.
    points : ndarray, shape (1 + rings, 2)
        The beam centre, then the top of each ring.
    labels : list of str
        What stands beside each point.
    stroke : float
        Width of a ring's line, in pixels of the picture.
    """

    ellipses: list[NDArray[np.float64]]
    points: NDArray[np.float64]
    labels: list[str]
    stroke: float

    @property
    def symbols(self) -> list[str]:
        """Of each point."""
        return ["cross", *["disc"] * len(self.ellipses)]

    @property
    def sizes(self) -> list[float]:
        """Of each point; on a ring no more than its line, or it would cover its name."""
        return [18.0 * self.stroke, *[self.stroke] * len(self.ellipses)]


def ring_marks(stack: EventStack, i: int) -> RingMarks | None:
    """Rings of an event; None unless geometry, energy and camera length are known."""
    geometry = stack.geometry
    if geometry is None:
        return None
    energy, length = known_beam(stack, i)
    if not (energy > 0 and length > 0) or math.isinf(energy + length):
        return None
    y, x = geometry.beam_position
    rings = resolution_rings(geometry, energy, length)
    if not rings:
        return None
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], np.float64)
    return RingMarks(
        [np.array([y, x]) + corners * ring.radius for ring in rings],
        np.array([[y, x], *([y - ring.radius, x] for ring in rings)]),
        ["", *(f"{ring.resolution:g} Å" for ring in rings)],
        _stroke(stack.assembled_shape),
    )


def _stroke(shape: tuple[int, int]) -> float:
    """Width of a line in pixels."""
    return max(1.0, _STROKE * max(shape))


def make_own(layer: Image) -> None:
    """Make the events of a duplicated layer a run of its own, with its own cache."""
    said = layer.metadata[KEY]
    frames = BrowsedFrames(said["stack"], said["frames"].scale)
    layer.metadata[KEY] = {**said, "run": uuid.uuid4().hex, "frames": frames}
    layer.data = frames.to_dask()


def role_of(layer: Layer) -> str:
    """What a layer is of ours, empty when it is not."""
    said = layer.metadata.get(KEY)
    return said.get("role", "") if isinstance(said, dict) else ""


def run_of(layer: Layer) -> str:
    """Key of the run that a layer belongs to, empty when it is none of ours."""
    said = layer.metadata.get(KEY)
    return said.get("run", "") if isinstance(said, dict) else ""
