"""Where the pixels of a detector are: parsing, assembling, positions, masks."""

from __future__ import annotations

from napari_xfelsort.core.geometry.geometry import Geometry
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.panel import BadRegion, MaskSpec, Panel

__all__ = [
    "BadRegion",
    "Geometry",
    "HeaderValue",
    "MaskSpec",
    "Panel",
]
