"""Where the pixels of a detector are: parsing, assembling, positions, masks."""

from __future__ import annotations

from napari_xfelsort.core.geometry.geometry import Geometry
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.layout import DataLayout
from napari_xfelsort.core.geometry.masks import SharedMask
from napari_xfelsort.core.geometry.panel import BadRegion, MaskSpec, Panel

__all__ = [
    "BadRegion",
    "DataLayout",
    "Geometry",
    "HeaderValue",
    "MaskSpec",
    "Panel",
    "SharedMask",
]
