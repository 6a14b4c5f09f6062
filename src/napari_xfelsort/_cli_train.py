"""``xfelsort train``: a model from labelled events."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import Report, progress
from napari_xfelsort.cli_support import (
    Status,
    complain,
    guarded,
    plural,
    refuse_existing,
    say,
    tell_problems,
)
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
from napari_xfelsort.core.errors import RegionError, SettingsError
from napari_xfelsort.core.train_settings import ALGORITHMS, NETWORKS, TrainSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


@guarded(
    "Stopped. Nothing half-written is left; the same command starts again, and goes on with "
    "networks where they were."
)
@settings_options(SpiNetworkSettings, "network", panel="Networks (--model spi_cnn)")
@settings_options(TrainSettings, leave_out=("train_share", "test_share"))
def train(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Labelled data: files, lists, folders or patterns."),
    ],
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Label folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write.")],
    settings: TrainSettings,
    network: SpiNetworkSettings,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Pixels to use: panel:p6a0, q:1.2,2.4 (1/angstrom), window:0:512,0:128; the "
            "whole frame when omitted."
        ),
    ] = None,
    train_percent: Annotated[
        float | None,
        typer.Option(
            "--train", help="Share of the labelled events to train with (%).", show_default="70"
        ),
    ] = None,
    test_percent: Annotated[
        float | None,
        typer.Option(
            "--test", help="Share of them that is only used to test (%).", show_default="30"
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Train every algorithm on the same events, show them side by side, and save the "
            "best by cross-validation.",
        ),
    ] = False,
    save_all: Annotated[
        bool,
        typer.Option(
            "--save-all", help="With --compare: save every model, as NAME-ALGORITHM.xfelmodel."
        ),
    ] = False,
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="List events of the test share decided wrongly.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model file that exists.")
    ] = False,
) -> Status:
    """Train a model on labelled events, and judge it on events it has not seen.

    Prints the confusion matrix and the classification report of the test share.
    """
    from napari_xfelsort.core.deep.spi_fit import training_time
    from napari_xfelsort.core.learning.comparison import compare_prepared
    from napari_xfelsort.core.learning.model_text import mistakes_text
    from napari_xfelsort.core.training import prepare, train_prepared
    from napari_xfelsort.readers import open_stack

    settings = with_shares(settings, train_percent, test_percent)
    is_network = settings.model in NETWORKS
    if not is_network and network != SpiNetworkSettings():
        raise SettingsError("Options of networks were given; add --model spi_cnn.")
    if is_network and compare:
        raise SettingsError("--compare trains all but networks; leave out --model or --compare.")
    if save_all and not compare:
        raise SettingsError("--save-all saves what --compare trains; give both.")
    files = {"": out} | (_files_of_all(out) if save_all else {})
    for file in files.values():
        refuse_existing(file, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    try:
        with progress("Reading labelled events") as report:
            prepared = prepare(stack, labels, settings, region, report)
    except RegionError as error:
        raise with_offer(error, stack) from error
    if compare:
        with progress("Training", "fits") as report:
            compared = compare_prepared(prepared, settings, fit_progress=report)
        model = compared.best
        say(compared.text() + "\n")
        for row in compared.rows:
            if save_all and row.model is not None:
                row.model.save(files[row.name], overwrite=overwrite)
                say(f"Model: {files[row.name]}")
    else:
        if is_network:
            complain(training_time(prepared, settings, network)[1])
        elif settings.planned_fits > 1:
            complain(f"Up to {plural(settings.planned_fits, 'fit')} to do.")
        with _fits(settings) as report:
            model = train_prepared(prepared, settings, report, network)
    model.save(out, overwrite=overwrite)
    say(model.report_text())
    if mistakes and (text := mistakes_text(model)):
        say(f"\nDecided wrongly, the surest first:\n{text}")
    say(f"\nModel: {out}")
    return Status.SOME_FAILED if stack.problems else Status.DONE


def _files_of_all(out: Path) -> dict[str, Path]:
    return {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in ALGORITHMS}


def _fits(settings: TrainSettings) -> AbstractContextManager[Report | None]:
    """Progress of fits, where there are several, or of epochs."""
    if settings.model in NETWORKS:
        return progress("Training", "epochs")
    return progress("Training", "fits") if settings.planned_fits > 1 else nullcontext()


def with_shares(
    settings: TrainSettings, train_percent: float | None, test_percent: float | None
) -> TrainSettings:
    """The settings with shares given in percent; one of them alone gives the other.

    Raises
    ------
    SettingsError
        If both are given and do not add to 100 %.
    """
    if train_percent is None and test_percent is None:
        return settings
    if train_percent is None:
        train_percent = 100 - (test_percent or 0)
    if test_percent is None:
        test_percent = 100 - train_percent
    return dataclasses.replace(
        settings, train_share=train_percent / 100, test_share=test_percent / 100
    )


def with_offer(error: RegionError, stack: EventStack) -> RegionError:
    """The error, with the geometry that would help where one lies beside the data."""
    if stack.geometry is not None or stack.offered_geometry is None:
        return error
    return RegionError(
        f"{error} One that fits lies beside the data: --geometry {stack.offered_geometry}"
    )
