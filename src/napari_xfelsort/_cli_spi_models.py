"""``xfelsort spi map``: events of a run among each other, without any label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import DatasetOption, GeometryOption, MaskOption
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, facts, guarded, refuse_existing, say, tell_problems


@guarded()
def make_map(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Data files or lists.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Table (CSV) to write: event, x and y.")
    ],
    method: Annotated[
        str, typer.Option(help="pca (principal components) or diffusion.")
    ] = "diffusion",
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that exists.")
    ] = False,
) -> Status:
    """Give every event a place in two dimensions, near others that scatter alike.

    No label is needed. Coordinates are of root mean square 1.
    """
    import numpy as np

    from napari_xfelsort.core.errors import SettingsError
    from napari_xfelsort.core.spi.embedding import (
        METHODS,
        embed_features,
        run_features,
        write_map,
    )
    from napari_xfelsort.readers import open_stack

    if method not in METHODS:
        raise SettingsError(f"The map {method!r} is not one of {', '.join(METHODS)}.")
    refuse_existing(out, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Reading") as report:
        features = run_features(stack, progress=report)
    places = embed_features(features, method)
    write_map(out, stack, places, overwrite)
    placed = int(np.isfinite(places[:, 0]).sum())
    say(facts([("events", len(stack)), ("with a place", placed), ("table", out)], indent=""))
    return Status.SOME_FAILED if stack.problems else Status.DONE
