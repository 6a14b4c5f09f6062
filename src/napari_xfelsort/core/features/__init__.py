"""Numbers a classifier sees of each event, the same in training and in sorting.

`FeatureSettings` declares them as data, `FeatureExtractor` computes them, `extract_stack`
does so for the events of a stack.
"""

from __future__ import annotations

from napari_xfelsort.core.features.blocks import Progress, block_events, without_bad
from napari_xfelsort.core.features.components import principal_components
from napari_xfelsort.core.features.extractor import FeatureExtractor, no_value
from napari_xfelsort.core.features.places import FeaturePlaces, PixelBins, find_places
from napari_xfelsort.core.features.settings import KINDS, PIXEL_KINDS, FeatureSettings
from napari_xfelsort.core.features.stored import StoredEvent
from napari_xfelsort.core.features.table import (
    BlockFeatures,
    FeatureReader,
    FeatureTable,
    extract_stack,
)

__all__ = [
    "KINDS",
    "PIXEL_KINDS",
    "BlockFeatures",
    "FeatureExtractor",
    "FeaturePlaces",
    "FeatureReader",
    "FeatureSettings",
    "FeatureTable",
    "PixelBins",
    "Progress",
    "StoredEvent",
    "block_events",
    "extract_stack",
    "find_places",
    "no_value",
    "principal_components",
    "without_bad",
]
