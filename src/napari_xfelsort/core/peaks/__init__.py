"""Bragg peaks: found in frames, counted over runs, written for others."""

from __future__ import annotations

from napari_xfelsort.core.peaks.finding import PeakFinder
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.run_peaks import RunPeaks
from napari_xfelsort.core.peaks.running import EventPeaks, find_peaks
from napari_xfelsort.core.peaks.settings import FINDERS, PeakSettings

__all__ = [
    "FINDERS",
    "EventPeaks",
    "PeakFinder",
    "PeakList",
    "PeakSettings",
    "RunPeaks",
    "find_peaks",
]
