"""Seeded simulated data with known truth: for the demo, for tests and for trying things out."""

from __future__ import annotations

from napari_xfelsort.core.simulate.detector import SimulatedRun, simulate_detector
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

__all__ = ["DetectorSimulationSettings", "SimulatedRun", "simulate_detector"]
