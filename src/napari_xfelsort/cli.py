"""The command line, ``xfelsort``: one thin command a task.

Exit status: 0 done, 1 an error of the user's (one sentence on standard error), 2 wrong
usage, 3 finished but some inputs failed (each is named), 130 stopped with Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated

import typer

from napari_xfelsort import (
    __version__,
    _cli_anomalies,
    _cli_beam,
    _cli_center,
    _cli_demo,
    _cli_export,
    _cli_info,
    _cli_label,
    _cli_mask,
    _cli_mask_convert,
    _cli_models,
    _cli_peaks,
    _cli_peaks_train,
    _cli_profile,
    _cli_simulate,
    _cli_simulate_spi,
    _cli_sort,
    _cli_spi,
    _cli_train,
    _cli_view,
)
from napari_xfelsort.cli_options import ManyValuesCommand
from napari_xfelsort.cli_support import interrupts, make_streams_robust, say

app = typer.Typer(
    name="xfelsort",
    help=(
        "Browse, label, classify and sort X-ray detector events. "
        "The straight line: info, label, train, sort; demo shows it."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(_cli_info.info)
app.command()(_cli_view.view)
app.command()(_cli_center.center)
app.command(cls=ManyValuesCommand)(_cli_label.label)
app.command()(_cli_profile.profile)
app.command()(_cli_mask.mask)
app.command()(_cli_mask_convert.mask_convert)
app.command()(_cli_train.train)
app.command()(_cli_models.models)
app.command()(_cli_peaks.peaks)
app.command(cls=_cli_beam.BeamCommand)(_cli_beam.beam)
app.command(cls=_cli_peaks_train.PeaksTrainCommand)(_cli_peaks_train.peaks_train)
app.command()(_cli_sort.sort)
app.command()(_cli_export.export)
app.command()(_cli_demo.demo)
app.add_typer(_cli_anomalies.app, name="anomalies")
_cli_simulate.app.command("spi")(_cli_simulate_spi.spi)
app.add_typer(_cli_simulate.app, name="simulate")
app.add_typer(_cli_spi.app, name="spi")


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"napari-xfelsort {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    make_streams_robust()
    interrupts.install()
    app()
