"""``xfelsort simulate``: seeded data with known truth."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort._cli_simulate_sfx import SfxCommand, dark, sfx
from napari_xfelsort.cli_options import settings_options
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import facts, guarded, say
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.simulate.anomalies.settings import AnomalySimulationSettings
from napari_xfelsort.core.simulate.center_set import CenterSimulationSettings
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

app = typer.Typer(
    help="Write simulated data with known truth.", no_args_is_help=True, add_completion=False
)

OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier simulation.")
]

app.command("sfx", cls=SfxCommand)(sfx)
app.command("dark")(dark)


class AnomalyFormat(enum.StrEnum):
    """What simulated anomalies are written as."""

    CXI = "cxi"
    PICTURES = "pictures"


@app.command("detector")
@guarded()
@settings_options(DetectorSimulationSettings)
def detector(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    settings: DetectorSimulationSettings,
    overwrite: OverwriteOption = False,
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


@app.command("anomalies")
@guarded()
@settings_options(AnomalySimulationSettings)
def anomalies(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    settings: AnomalySimulationSettings,
    form: Annotated[
        AnomalyFormat,
        typer.Option("--format", help="A CXI run with geometry, or PNG pictures with a table."),
    ] = AnomalyFormat.CXI,
    overwrite: OverwriteOption = False,
) -> None:
    """Write frames with the seven anomalies, alone and together, and which each has.

    Background rings, ice, loops, diffuse scattering, strong background, uneven detectors
    and artifacts, on CCDs, PILATUS, EIGER, AGIPD and JUNGFRAU. Equal settings give equal
    data.
    """
    from napari_xfelsort.core.simulate import simulate_anomalies, simulate_anomaly_pictures

    write = simulate_anomalies if form == AnomalyFormat.CXI else simulate_anomaly_pictures
    with progress("Simulating") as report:
        run = write(out, settings, overwrite=overwrite, progress=report)
    rows: list[tuple[str, object]] = [("data", f"{run.data} ({len(run.labels)} events)")]
    if run.geometry is not None:
        rows.append(("geometry", run.geometry))
    for k, name in enumerate(ANOMALIES):
        number = int((run.labels[:, k] == 1).sum())
        rows.append((name, f"{run.lists[name]} ({number})" if run.lists else f"{number} events"))
    say(facts(rows, indent=""))


@app.command("center")
@guarded()
@settings_options(CenterSimulationSettings)
def center(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    settings: CenterSimulationSettings,
    overwrite: OverwriteOption = False,
) -> None:
    """Write frames with known beam centres, to try centre finders on.

    Five types of detector, beam stops, shadows, few counts, some centres off the detector.
    Equal settings give equal data.
    """
    from napari_xfelsort.core.simulate import simulate_center_set

    with progress("Simulating") as report:
        written = simulate_center_set(out, settings, overwrite=overwrite, progress=report)
    say(
        facts(
            [
                ("data", f"{written.data} ({len(written.centers)} frames)"),
                ("centers", written.table),
            ],
            indent="",
        )
    )
