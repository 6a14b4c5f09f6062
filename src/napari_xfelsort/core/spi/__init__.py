"""Single-particle imaging: densities, sizes, selections, and files for orientation."""

from __future__ import annotations

from napari_xfelsort.core.spi.psd import (
    Contrast,
    Psd,
    PsdReader,
    background_level,
    contrast,
)
from napari_xfelsort.core.spi.rings import QRings
from napari_xfelsort.core.spi.run_sizes import SizeTable, find_sizes
from napari_xfelsort.core.spi.size_settings import SizeSettings
from napari_xfelsort.core.spi.sizing import Sizer, Sizes

__all__ = [
    "Contrast",
    "Psd",
    "PsdReader",
    "QRings",
    "SizeSettings",
    "SizeTable",
    "Sizer",
    "Sizes",
    "background_level",
    "contrast",
    "find_sizes",
]
