"""Photon energy and camera length from what water and gas scatter."""

from __future__ import annotations

from napari_xfelsort.core.beam.cells import CellCounts, CellLayout, summed
from napari_xfelsort.core.beam.estimate import BeamEstimate, contradiction, estimate_beam
from napari_xfelsort.core.beam.run_beam import RunBeam
from napari_xfelsort.core.beam.running import EventBeam, beam_of_run, find_beam
from napari_xfelsort.core.beam.settings import BeamSettings

__all__ = [
    "BeamEstimate",
    "BeamSettings",
    "CellCounts",
    "CellLayout",
    "EventBeam",
    "RunBeam",
    "beam_of_run",
    "contradiction",
    "estimate_beam",
    "find_beam",
    "summed",
]
