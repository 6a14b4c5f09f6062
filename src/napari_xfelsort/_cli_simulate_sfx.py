"""``xfelsort simulate sfx`` and ``simulate dark``: serial crystallography and bad pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import GeometryOption, ManyValuesCommand, settings_options
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import facts, guarded, say
from napari_xfelsort.core.simulate.dark import DarkSimulationSettings
from napari_xfelsort.core.simulate.sfx.settings import RANGES, SfxSimulationSettings

OutArgument = Annotated[Path, typer.Argument(help="Folder to write into.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier simulation.")
]


class SfxCommand(ManyValuesCommand):
    """A command whose options of several numbers take all up to the next option."""

    many = (
        "--photon-energy",
        "--camera-length",
        "--flux",
        "--cell",
        *(f"--{name.replace('_', '-')}" for name in RANGES),
    )


@guarded()
@settings_options(SfxSimulationSettings, leave_out=("geometry",))
def sfx(
    out: OutArgument,
    settings: SfxSimulationSettings,
    geometry: GeometryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a run of serial crystallography: CXI, geometry, and the truth of every event.

    Bragg spots of randomly turned crystals, water, gas, ice, streaks, beam stop, blanks,
    counting noise and bad pixels, at several photon energies, camera lengths and fluxes,
    on an EIGER2 4M or the panels of any geometry. Equal settings give equal data.
    """
    from napari_xfelsort.core.simulate.sfx import simulate_sfx

    with progress("Simulating") as report:
        run = simulate_sfx(out, settings, geometry=geometry, overwrite=overwrite, progress=report)
    count = {kind: int((run.labels == kind).sum()) for kind in (1, 0, -1)}
    say(
        facts(
            [
                ("data", f"{run.data} ({len(run.labels)} events)"),
                ("geometry", run.geometry),
                ("hits", f"{run.hits_list} ({count[1]})"),
                ("blanks", f"{run.blanks_list} ({count[0]})"),
                ("unsure", f"{count[-1]} (fewer than three spots can be found)"),
                ("spots", f"{run.n_spots} can be found"),
            ],
            indent="",
        )
    )


@guarded()
@settings_options(DarkSimulationSettings, leave_out=("geometry",))
def dark(
    out: OutArgument,
    settings: DarkSimulationSettings,
    geometry: GeometryOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a dark and a flat-field run of one detector, with planted defects.

    Dead, hot, noisy, quiet and stuck pixels, pixels of wrong gain, dead lines and blocks;
    which they are is told. Equal settings give equal data.
    """
    from napari_xfelsort.core.simulate.dark import DEFECTS, simulate_dark

    with progress("Simulating") as report:
        pair = simulate_dark(
            out, settings, geometry=geometry, overwrite=overwrite, progress=report
        )
    kinds = ", ".join(f"{name.replace('_', ' ')} {pair.count(name)}" for name in DEFECTS)
    say(
        facts(
            [
                ("dark", f"{pair.dark} ({settings.n_events} frames)"),
                ("flat field", f"{pair.flat} ({settings.n_events} frames)"),
                ("geometry", pair.geometry),
                ("bad pixels", kinds),
            ],
            indent="",
        )
    )
