"""``xfelsort peaks-train``: the network of the learned peak finder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import GeometryOption, ManyValuesCommand, settings_options
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import facts, guarded, refuse_existing, say
from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings


class PeaksTrainCommand(ManyValuesCommand):
    """A command whose options of two numbers take both."""

    many = ("--photon-energy", "--camera-length", "--flux", "--crystal-size")


@guarded()
@settings_options(PeakTrainingSettings)
def peaks_train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Model to write, NAME.xfelpeaks by custom.")
    ],
    settings: PeakTrainingSettings,
    geometry: GeometryOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
) -> None:
    """Train a network for peaks --finder learned --model FILE on simulated frames.

    Frames of the geometry's detector (an EIGER2 4M when there is none) are simulated at the
    given energies, distances and fluxes; a part of the runs chooses from which probability on
    a place is a peak. Needs PyTorch.
    """
    from napari_xfelsort.core.deep.networks import torch_module
    from napari_xfelsort.core.deep.peak_samples import simulated_samples
    from napari_xfelsort.core.deep.peak_training import train_on_samples
    from napari_xfelsort.core.geometry import Geometry

    refuse_existing(out, overwrite)
    torch_module()  # before minutes are spent on frames
    detector = None if geometry is None else Geometry.from_crystfel(geometry)
    with progress("Simulating") as report:
        samples = simulated_samples(settings, detector, report)
    with progress("Training", "steps") as report:
        net = train_on_samples(samples, settings, report)
    net.save(out, overwrite)
    told, made = net.metrics, net.provenance
    say(
        facts(
            [
                ("trained on", f"{made['spots']} spots in {made['events']} simulated events"),
                ("tried on", f"{told['spots']} spots in {told['events']} others"),
                ("found", f"{told['found']} ({told['recall']:.1%})"),
                ("false peaks", f"{told['false_peaks']} (precision {told['precision']:.3f})"),
                ("probability", f"{net.probability:.3f}, from which on a place is a peak"),
            ],
            indent="",
        )
    )
    say(f"Model: {out}")
