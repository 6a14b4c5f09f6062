"""Seeded simulated data with known truth: for the demo, for tests and for trying things out."""

from __future__ import annotations

from napari_xfelsort.core.simulate.anomalies import (
    AnomalySimulationSettings,
    simulate_anomalies,
    simulate_anomaly_event,
    simulate_anomaly_pictures,
)
from napari_xfelsort.core.simulate.center_set import CenterSimulationSettings, simulate_center_set
from napari_xfelsort.core.simulate.dark import DarkSimulationSettings, simulate_dark
from napari_xfelsort.core.simulate.detector import SimulatedRun, simulate_detector
from napari_xfelsort.core.simulate.scene import Scene, simulate_scene
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings
from napari_xfelsort.core.simulate.sfx import SfxSimulationSettings, simulate_sfx
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.simulate.spi_settings import CLASSES as SPI_CLASSES
from napari_xfelsort.core.simulate.spi_settings import SpiSimulationSettings

__all__ = [
    "SPI_CLASSES",
    "AnomalySimulationSettings",
    "CenterSimulationSettings",
    "DarkSimulationSettings",
    "DetectorSimulationSettings",
    "Scene",
    "SfxSimulationSettings",
    "SimulatedRun",
    "SpiSimulationSettings",
    "simulate_anomalies",
    "simulate_anomaly_event",
    "simulate_anomaly_pictures",
    "simulate_center_set",
    "simulate_dark",
    "simulate_detector",
    "simulate_scene",
    "simulate_sfx",
    "simulate_spi",
]
