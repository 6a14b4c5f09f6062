"""Anomalies of diffraction frames: which an event has, several or none.

After RefleX (Czyzewski et al. 2021).
"""

from __future__ import annotations

from napari_xfelsort.core.anomalies.default import default_model

__all__ = ["default_model"]
