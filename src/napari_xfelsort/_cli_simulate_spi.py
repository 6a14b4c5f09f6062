"""``xfelsort simulate spi``: a single-particle run with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import settings_options
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import facts, guarded, say
from napari_xfelsort.core.simulate.spi_settings import SpiSimulationSettings


@guarded()
@settings_options(SpiSimulationSettings)
def spi(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    settings: SpiSimulationSettings,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier simulation.")
    ] = False,
) -> None:
    """Write a single-particle run: CXI, geometry, and which event is what.

    Spheres or icosahedra of a distribution of sizes in random orientations, and what else is
    hit: pairs and groups of them, wrong sizes, deformed ones, streaks of the jet, nothing.
    Equal settings give equal data.
    """
    from napari_xfelsort.core.simulate.spi import simulate_spi

    with progress("Simulating") as report:
        run = simulate_spi(out, settings, overwrite=overwrite, progress=report)
    rows: list[tuple[str, object]] = [
        ("data", f"{run.data} ({len(run.names)} events)"),
        ("geometry", run.geometry),
    ]
    rows += [(name, f"{path} ({run.names.count(name)})") for name, path in run.lists.items()]
    say(facts(rows, indent=""))
