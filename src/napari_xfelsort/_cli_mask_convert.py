"""``xfelsort mask-convert``: masks from and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_xfelsort.cli_options import GeometryOption
from napari_xfelsort.cli_support import Status, guarded, say

_NAMES = "crystfel, nxmx, cheetah, euxfel, psana or pyfai"


@guarded()
def mask_convert(
    given: Annotated[
        Path, typer.Argument(metavar="MASK", help="Mask file: HDF5, .npy, .tif or .edf.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write; its ending says how.")],
    wanted: Annotated[str, typer.Option("--as", metavar="NAME", help=f"Write for {_NAMES}.")],
    coded: Annotated[
        str, typer.Option("--from", metavar="NAME", help=f"What MASK is for: {_NAMES}.")
    ] = "crystfel",
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="PATH", help="Where the mask is in HDF5.")
    ] = None,
    out_dataset: Annotated[
        str | None,
        typer.Option("--out-dataset", metavar="PATH", help="Where to write it in HDF5."),
    ] = None,
    geometry: GeometryOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
) -> Status:
    """Convert a mask: mask.h5 --as nxmx -o pixel_mask.h5.

    Masks of this program are for crystfel. Reasons are kept as far as the other program has
    words for them. With --as crystfel the lines for the geometry file are printed, with
    --geometry for each of its panels.
    """
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.masks.exchange import (
        DATASETS,
        crystfel_lines,
        read_mask_as,
        write_mask_as,
    )

    panels = None if geometry is None else Geometry.from_crystfel(geometry)
    mask = read_mask_as(given, coded, dataset)
    write_mask_as(mask, out, wanted, out_dataset, overwrite)
    say(f"{mask.n_bad} of {mask.reasons.size} pixels are bad.")
    say(f"Mask: {out}")
    if wanted == "crystfel":
        say("For the geometry file:")
        say(crystfel_lines(out, out_dataset or DATASETS["crystfel"], panels).rstrip())
    return Status.DONE
