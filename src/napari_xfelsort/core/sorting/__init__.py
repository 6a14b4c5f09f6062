"""Apply a model to every event of a stack: parallel, resumable, memory bounded."""

from __future__ import annotations

from napari_xfelsort.core.sorting.engine import sort
from napari_xfelsort.core.sorting.options import SortSettings
from napari_xfelsort.core.sorting.summary import FileResult, SortProgress, SortSummary

__all__ = ["FileResult", "SortProgress", "SortSettings", "SortSummary", "sort"]
