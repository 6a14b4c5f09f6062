"""Single-particle imaging: densities, sizes, selections, and files for orientation."""

from __future__ import annotations

from napari_xfelsort.core.spi.comparing import SelectionComparison, compare_selections
from napari_xfelsort.core.spi.em_classes import EmClasses, find_classes
from napari_xfelsort.core.spi.em_opening import OpenedClasses, open_classes
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.hand_over import HandOver, HandOverSettings, hand_over
from napari_xfelsort.core.spi.kept_selections import KeptSelection, SelectionFolders
from napari_xfelsort.core.spi.psd import (
    Contrast,
    Psd,
    PsdReader,
    background_level,
    contrast,
)
from napari_xfelsort.core.spi.rings import QRings
from napari_xfelsort.core.spi.run_sizes import SizeTable, find_sizes
from napari_xfelsort.core.spi.selections import Selection, iou_table, overlap
from napari_xfelsort.core.spi.size_settings import SizeSettings
from napari_xfelsort.core.spi.sizing import Sizer, Sizes

__all__ = [
    "Contrast",
    "EmClasses",
    "EmSettings",
    "HandOver",
    "HandOverSettings",
    "KeptSelection",
    "OpenedClasses",
    "Psd",
    "PsdReader",
    "QRings",
    "Selection",
    "SelectionComparison",
    "SelectionFolders",
    "SizeSettings",
    "SizeTable",
    "Sizer",
    "Sizes",
    "background_level",
    "compare_selections",
    "contrast",
    "find_classes",
    "find_sizes",
    "hand_over",
    "iou_table",
    "open_classes",
    "overlap",
]
