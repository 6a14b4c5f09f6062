"""Profiles of a region, the polynomials fitted to them, and labels by inflection points.

table = fit_profiles(stack, "panel:p6a0", axis="ss", order=4)
ranges = [peak.range for peak in find_peaks(table)]
labels = labels_of(table, ranges, good="inside")
"""

from __future__ import annotations

from napari_xfelsort.core.profiles.fitting import STATUSES
from napari_xfelsort.core.profiles.labelling import (
    RULE_NAME,
    describe,
    store_labels,
)
from napari_xfelsort.core.profiles.profiler import EventProfile, Profiler, fit_profiles
from napari_xfelsort.core.profiles.ranges import (
    Histogram,
    Peak,
    RangeCounts,
    count_ranges,
    find_peaks,
    histogram,
    inside,
    labels_of,
    nearest_points,
)
from napari_xfelsort.core.profiles.settings import AXES, ProfileSettings
from napari_xfelsort.core.profiles.table import ProfileTable

__all__ = [
    "AXES",
    "RULE_NAME",
    "STATUSES",
    "EventProfile",
    "Histogram",
    "Peak",
    "ProfileSettings",
    "ProfileTable",
    "Profiler",
    "RangeCounts",
    "count_ranges",
    "describe",
    "find_peaks",
    "fit_profiles",
    "histogram",
    "inside",
    "labels_of",
    "nearest_points",
    "store_labels",
]
