"""Simulated frames with the seven anomalies of Czyzewski et al. (2021), truth known."""

from __future__ import annotations

from napari_xfelsort.core.simulate.anomalies.events import (
    AnomalyEvent,
    AnomalyMaker,
    simulate_anomaly_event,
)
from napari_xfelsort.core.simulate.anomalies.settings import AnomalySimulationSettings
from napari_xfelsort.core.simulate.anomalies.writing import (
    AnomalyRun,
    simulate_anomalies,
    simulate_anomaly_pictures,
)

__all__ = [
    "AnomalyEvent",
    "AnomalyMaker",
    "AnomalyRun",
    "AnomalySimulationSettings",
    "simulate_anomalies",
    "simulate_anomaly_event",
    "simulate_anomaly_pictures",
]
