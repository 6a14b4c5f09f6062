"""Anomalies of diffraction frames: which an event has, several or none.

After RefleX (Czyzewski et al. 2021).
"""

from __future__ import annotations
