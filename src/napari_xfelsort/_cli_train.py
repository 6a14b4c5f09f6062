"""``xfelsort train``: a model from labelled events."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, guarded, say, tell_problems
from napari_xfelsort.core.errors import OutputError, RegionError
from napari_xfelsort.core.train_settings import TrainSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


@guarded()
@settings_options(TrainSettings, leave_out=("train_share", "test_share"))
def train(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Labelled data: files, lists, folders or patterns."),
    ],
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Label folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write.")],
    settings: TrainSettings,
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model file that exists.")
    ] = False,
) -> Status:
    """Train a model on labelled events, and judge it on events it has not seen.

    Prints the confusion matrix and the classification report of the test share.
    """
    from napari_xfelsort.core.training import train_with
    from napari_xfelsort.readers import open_stack

    settings = with_shares(settings, train_percent, test_percent)
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists already; choose another name or use --overwrite.")
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    try:
        with progress("Reading labelled events") as report:
            model = train_with(stack, labels, settings, region, report)
    except RegionError as error:
        raise with_offer(error, stack) from error
    model.save(out, overwrite=overwrite)
    say(model.report_text())
    say(f"\nModel: {out}")
    return Status.SOME_FAILED if stack.problems else Status.DONE


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
