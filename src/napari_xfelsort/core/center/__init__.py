"""Where the beam meets the detector."""

from __future__ import annotations

from napari_xfelsort.core.center.auto import METHODS, find_center
from napari_xfelsort.core.center.result import CenterResult

__all__ = ["METHODS", "CenterResult", "find_center"]
