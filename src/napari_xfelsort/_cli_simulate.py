"""``xfelsort simulate``: seeded data with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import settings_options
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import facts, guarded, say
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

app = typer.Typer(
    help="Write simulated data with known truth.", no_args_is_help=True, add_completion=False
)


@app.command("detector")
@guarded()
@settings_options(DetectorSimulationSettings)
def detector(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    settings: DetectorSimulationSettings,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier simulation.")
    ] = False,
) -> None:
    """Write a segmented detector's run: CXI, geometry, and which events are good.

    Water ring, Bragg spots and counting noise; on a share of the events pixels above a
    level are lowered, as when gain switching goes wrong. Equal settings give equal data.
    """
    from napari_xfelsort.core.simulate import simulate_detector

    with progress("Simulating") as report:
        run = simulate_detector(out, settings, overwrite=overwrite, progress=report)
    good = sum(run.good)
    say(
        facts(
            [
                ("data", f"{run.data} ({len(run.good)} events)"),
                ("geometry", run.geometry),
                ("good events", f"{run.good_list} ({good})"),
                ("bad events", f"{run.bad_list} ({len(run.good) - good})"),
            ],
            indent="",
        )
    )
