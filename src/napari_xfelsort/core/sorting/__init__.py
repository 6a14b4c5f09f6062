"""Apply a model to every event of a stack: parallel, resumable, memory bounded."""

from __future__ import annotations

from napari_xfelsort.core.sorting.clusters import ClusterSettings
from napari_xfelsort.core.sorting.engine import sort
from napari_xfelsort.core.sorting.hits import HitPoint
from napari_xfelsort.core.sorting.options import SortSettings, WatchSettings
from napari_xfelsort.core.sorting.summary import FileResult, SortProgress, SortSummary
from napari_xfelsort.core.sorting.watching import WatchProgress, watch

__all__ = [
    "ClusterSettings",
    "FileResult",
    "HitPoint",
    "SortProgress",
    "SortSettings",
    "SortSummary",
    "WatchProgress",
    "WatchSettings",
    "sort",
    "watch",
]
