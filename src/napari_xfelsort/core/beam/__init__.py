"""Photon energy and camera length from what water and gas scatter."""

from __future__ import annotations

from napari_xfelsort.core.beam.cells import CellCounts, CellLayout, summed
from napari_xfelsort.core.beam.class_file import load_beam_classes, save_beam_classes
from napari_xfelsort.core.beam.classes import (
    BeamChoice,
    BeamClass,
    BeamClassifier,
    train_beam_classes,
)
from napari_xfelsort.core.beam.estimate import BeamEstimate, contradiction, estimate_beam
from napari_xfelsort.core.beam.run_beam import RunBeam
from napari_xfelsort.core.beam.running import EventBeam, beam_of_run, classes_of_stack, find_beam
from napari_xfelsort.core.beam.settings import BeamSettings

__all__ = [
    "BeamChoice",
    "BeamClass",
    "BeamClassifier",
    "BeamEstimate",
    "BeamSettings",
    "CellCounts",
    "CellLayout",
    "EventBeam",
    "RunBeam",
    "beam_of_run",
    "classes_of_stack",
    "contradiction",
    "estimate_beam",
    "find_beam",
    "load_beam_classes",
    "save_beam_classes",
    "summed",
    "train_beam_classes",
]
