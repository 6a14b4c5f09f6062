"""``xfelsort export``: selected events for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, guarded, plural, say, tell_problems
from napari_xfelsort.core.export.exporting import ExportSettings


@guarded()
@settings_options(ExportSettings)
def export(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="A sort's folder, a label folder, lists, or data files."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    settings: ExportSettings,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            "-c",
            help="Class to take of a sort or of labels; also unsure of a sort.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the data are now, when labels do not lead there; repeat for more."
        ),
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> Status:
    """Write selected events for other programs, without changing the data.

    As a virtual CXI file that shows the frames where they are, a CXI file with the frames in
    it, a list for CrystFEL, or a table; --kind chooses.
    """
    from napari_xfelsort.core.export import export as export_stack
    from napari_xfelsort.readers import open_stack
    from napari_xfelsort.readers.selecting import select

    stack = select(
        paths,
        class_name,
        data,
        lambda names: open_stack(names, geometry=geometry, mask=mask, dataset=dataset),
    )
    tell_problems(stack.problems)
    with progress("Exporting") as report:
        made = export_stack(stack, out, overwrite=overwrite, progress=report, **settings.to_dict())
    say(f"{plural(made.events, 'event')} written to {made.path}")
    for note in made.notes:
        say(note)
    return Status.SOME_FAILED if stack.problems else Status.DONE
