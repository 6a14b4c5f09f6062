"""``xfelsort mask``: bad pixels from dark, bright and ordinary runs."""

from __future__ import annotations

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
from napari_xfelsort.cli_support import (
    Status,
    guarded,
    refuse_existing,
    say,
    table,
    tell_problems,
)
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings, MaskSource

if TYPE_CHECKING:
    from napari_xfelsort.core.masks.made import MadeMask
    from napari_xfelsort.core.stack import EventStack


@guarded()
@settings_options(MaskSettings)
def mask(
    out: Annotated[Path, typer.Option("--out", "-o", help="Mask file to write (HDF5).")],
    settings: MaskSettings,
    dark: Annotated[
        list[str] | None,
        typer.Option("--dark", metavar="PATH", help="Frames without X-rays; may be repeated."),
    ] = None,
    bright: Annotated[
        list[str] | None,
        typer.Option("--bright", metavar="PATH", help="Frames in smooth light; may be repeated."),
    ] = None,
    gain: Annotated[
        list[str] | None,
        typer.Option(
            "--gain",
            metavar="PATH",
            help="Gain indicators of a stage; once for each, lowest values first.",
        ),
    ] = None,
    gain_dataset: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Where --gain files hold the indicators, if not as --dataset."
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="PATH",
            help="Ordinary frames, where there are no dark ones; may be repeated.",
        ),
    ] = None,
    cells: Annotated[
        bool,
        typer.Option("--cells", help="Judge the frames of each memory cell by themselves."),
    ] = False,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    begin_with: MaskOption = None,
    paper: Annotated[
        bool,
        typer.Option("--paper", help="Settings of Sadri et al. 2022: 8 for every lambda."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; one a core when omitted.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=0, help="Worker processes that read modules and cells in parallel.")
    ] = 0,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to use instead: tcp://host:port."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a mask that exists.")
    ] = False,
) -> Status:
    """Make a bad-pixel mask: --dark run1_dark.h5 --bright run2.h5 -o mask.h5.

    Each pixel gets its reasons (bits; 0 is good). Dark frames tell pixels that are off,
    noisy or dead; bright ones those that answer wrongly to light, which must be smooth: no
    Bragg peaks that stay at one place. Without dark frames ordinary ones (--run) tell less:
    light that stays looks like bad pixels, and where most pixels count nothing few are found.
    CrystFEL and --mask of the other commands take the file.
    """
    from napari_xfelsort.core.masks.make import make_mask
    from napari_xfelsort.core.masks.mask_file import write_mask
    from napari_xfelsort.readers import open_stack

    refuse_existing(out, overwrite)
    if paper:
        if settings != MaskSettings():
            raise SettingsError("--paper sets everything; leave the other settings out.")
        settings = MaskSettings.paper()
    given = {"dark": dark, "bright": bright, "ordinary": run}

    def opened(paths: list[str], place: str | None = dataset) -> EventStack:
        stack = open_stack(paths, geometry=geometry, mask=begin_with, dataset=place)
        tell_problems(stack.problems)
        return stack

    stacks = {name: opened(paths) for name, paths in given.items() if paths}
    stages = [opened([path], gain_dataset or dataset) for path in gain or []]
    with progress("Looking at frames") as report:
        made = make_mask(
            stacks.get("dark"),
            stacks.get("bright"),
            stages,
            workers=workers,
            progress=report,
            ordinary=stacks.get("ordinary"),
            groups="cell" if cells else None,
            processes=processes,
            scheduler=scheduler,
            **settings.to_dict(),
        )
    inputs = {name: "\n".join(paths) for name, paths in given.items() if paths}
    write_mask(made, out, overwrite, inputs | {"gain": "\n".join(gain or [])})
    _tell(made, out)
    problems = any(stack.problems for stack in (*stacks.values(), *stages))
    return Status.SOME_FAILED if problems else Status.DONE


def _tell(made: MadeMask, out: Path) -> None:
    n = made.reasons.size
    rows = [(_words(reason), made.count(reason)) for reason in MaskReason]
    rows += [(f"  by {_words(source)}", made.count_source(source)) for source in MaskSource]
    say(table(("reason", "pixels"), [(name, count) for name, count in rows if count]))
    say(f"{made.n_bad} of {n} pixels are bad ({100 * made.n_bad / n:.2f} %).")
    left_out = int((~made.dark_frames).sum())
    if left_out:
        say(f"{left_out} of {len(made.dark_frames)} dark frames were left out: their mean is off.")
    if made.groups is not None:
        some = made.groups.n_bad
        say(f"{len(some)} memory cells; bad pixels in one of them: {some.min()} to {some.max()}.")
    if made.n_ordinary:
        say(
            f"{made.n_ordinary} ordinary frames were looked at. They tell neither a bad pixel "
            "from light that stays (a ring of ice, the edge of a shadow) nor how gain stages "
            "behave, and little where most pixels count nothing in most frames; dark frames "
            "tell more."
        )
    say(f"Mask: {out}")
    say(
        "CrystFEL: mask0_file = this file, mask0_data = /entry_1/data_1/mask, mask0_badbits = 0xff"
    )


def _words(bit: MaskReason | MaskSource) -> str:
    return str(bit.name).lower().replace("_", " ")
