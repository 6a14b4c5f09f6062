"""What a frame looks like to a classifier: pictures of one size, rings, directions.

After RefleX (Czyzewski et al. 2021), but pixels are divided exactly, masks are known, and
numbers are kept as they are.
"""

from __future__ import annotations

from napari_xfelsort.core.representations.frame_table import FrameTable, frame_table
from napari_xfelsort.core.representations.pictures import (
    cartesian,
    grey_picture,
    polar,
    polar_reach,
)
from napari_xfelsort.core.representations.rings import (
    BIN_STATISTICS,
    VECTOR_STATISTICS,
    BinTable,
    equal_rings,
)

__all__ = [
    "BIN_STATISTICS",
    "VECTOR_STATISTICS",
    "BinTable",
    "FrameTable",
    "cartesian",
    "equal_rings",
    "frame_table",
    "grey_picture",
    "polar",
    "polar_reach",
]
