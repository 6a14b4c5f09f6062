"""``xfelsort sort``: a model's decision on every event."""

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
from napari_xfelsort.cli_support import Status, guarded, say, tell_problems
from napari_xfelsort.core.sorting.options import SortSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.sorting import SortProgress


@guarded("Stopped. What was sorted is kept; the same command resumes.")
@settings_options(SortSettings)
def sort(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    model: Annotated[Path, typer.Option("--model", "-m", help="Model file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    settings: SortSettings,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Worker processes here, 0 to work in this one; one a core when omitted."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to use instead: tcp://host:port."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of other input or model.")
    ] = False,
) -> Status:
    """Decide on every event; writes lists, tables, a summary and a report.

    CLASS.lst and unsure.lst can be given to CrystFEL as they are. Stopped or killed, the
    same command resumes. Exit status 3 when events or files failed; each is named.
    """
    from napari_xfelsort.core.model import load_model
    from napari_xfelsort.core.sorting import sort as sort_stack
    from napari_xfelsort.readers import open_stack

    chosen = load_model(model)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Sorting") as report:

        def tell(state: SortProgress) -> None:
            report(state.done_events, state.total_events)

        summary = sort_stack(
            stack,
            chosen,
            out,
            workers=workers,
            scheduler=scheduler,
            overwrite=overwrite,
            progress=tell,
            **settings.to_dict(),
        )
    say(summary.to_text())
    return Status.DONE if summary.ok else Status.SOME_FAILED
