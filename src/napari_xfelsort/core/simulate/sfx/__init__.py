"""Serial crystallography, simulated: crystals, jets and detectors, with the truth of each."""

from __future__ import annotations

from napari_xfelsort.core.simulate.sfx.events import SfxEvent, SfxMaker
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings
from napari_xfelsort.core.simulate.sfx.truth import heat_map, read_spots
from napari_xfelsort.core.simulate.sfx.writing import SfxRun, simulate_sfx

__all__ = [
    "SfxEvent",
    "SfxMaker",
    "SfxRun",
    "SfxSimulationSettings",
    "heat_map",
    "read_spots",
    "simulate_sfx",
]
