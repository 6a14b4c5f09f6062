"""Bragg peaks: found in frames, counted over runs, written for others."""

from __future__ import annotations

from napari_xfelsort.core.peaks.finding import PeakFinder
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.settings import PeakSettings

__all__ = ["PeakFinder", "PeakList", "PeakSettings"]
