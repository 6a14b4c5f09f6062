"""``xfelsort spi``: single particles, their sizes, selections, and files for orientation."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort import _cli_spi_em
from napari_xfelsort._cli_center import parse_events
from napari_xfelsort._cli_spi_models import cascade, make_map, rethreshold
from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import (
    Status,
    complain,
    facts,
    guarded,
    known,
    plural,
    refuse_existing,
    say,
    table,
    tell_problems,
)
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.spi.hand_over import HandOverSettings
from napari_xfelsort.core.spi.run_sizes import LARGEST, SMALLEST
from napari_xfelsort.core.spi.size_settings import SizeSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.spi.psd import Psd
    from napari_xfelsort.core.spi.run_sizes import SizeTable
    from napari_xfelsort.core.stack import EventStack

app = typer.Typer(
    help="Single-particle imaging: densities, sizes, selections, files for Dragonfly.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("map")(make_map)
app.command("rethreshold")(rethreshold)
app.command("cascade")(cascade)

PathsArgument = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="A sort's folder, a label folder, lists, or data files."),
]
ClassOption = Annotated[
    str | None, typer.Option("--class", "-c", help="Class to take of a sort or of labels.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

#: Events that could not be read, of which so many are named; bins of a printed histogram.
_SHOWN, _BARS, _WIDE = 10, 16, 40


def open_selected(
    paths: list[str],
    class_name: str | None,
    geometry: Path | None,
    dataset: str | None,
    mask: Path | None,
) -> EventStack:
    """The events that the arguments name; says which files could not be used."""
    from napari_xfelsort.readers import open_stack
    from napari_xfelsort.readers.selecting import select

    def opened(names: list[str]) -> EventStack:
        return open_stack(names, geometry=geometry, mask=mask, dataset=dataset)

    stack = select(paths, class_name, None, opened)
    tell_problems(stack.problems)
    return stack


@app.command("psd")
@guarded()
def psd(
    paths: PathsArgument,
    class_name: ClassOption = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="Only these events, from 0: 7 or 3,8 or 0:50."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table (CSV) to write: q and density.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Mean radial power spectral density of events, contrast of its fringes, background.

    Gaps and bad pixels are left out; solid angle and polarisation are corrected for. The
    contrast says how alike in size particles are, not whether they are single.
    """
    from napari_xfelsort.core.atomic import write_text_atomic
    from napari_xfelsort.core.spi.psd import PsdReader

    if out is not None:
        refuse_existing(out, overwrite)
    stack = open_selected(paths, class_name, geometry, dataset, mask)
    chosen = None if events is None else parse_events(events, len(stack))
    reader = PsdReader(stack)
    with progress("Reading") as report:
        found = reader.mean(chosen, report)
    if out is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["q_per_nm", "density", "pixels"])
        for q, value, n in zip(found.q, found.values, found.pixels, strict=True):
            writer.writerow([f"{q:.6g}", "" if math.isnan(value) else f"{value:.6g}", int(n)])
        write_text_atomic(out, text.getvalue(), overwrite)
    say(json.dumps(_of_psd(found), indent=2) if as_json else _psd_text(found, out))
    return Status.SOME_FAILED if stack.problems else Status.DONE


def _of_psd(found: Psd) -> dict[str, Any]:
    gamma, pairs = found.contrast
    return {
        "events": found.events,
        "gamma": known(gamma),
        "extrema_per_nm": [[float(found.q[a]), float(found.q[b])] for a, b in pairs],
        "background": known(found.background),
        "q_per_nm": [float(q) for q in found.q],
        "density": [known(float(v)) for v in found.values],
        "pixels": [int(n) for n in found.pixels],
    }


def _psd_text(found: Psd, out: Path | None) -> str:
    gamma, pairs = found.contrast
    there = [q for q, n in zip(found.q.tolist(), found.pixels.tolist(), strict=True) if n]
    rows: list[tuple[str, object]] = [
        ("events", found.events),
        ("q", f"{there[0]:.4g} to {there[-1]:.4g} 1/nm"),
        (
            "contrast",
            "no fringes"
            if math.isnan(gamma)
            else f"{gamma:.3f} (mean of {plural(len(pairs), 'pair')})",
        ),
        ("background", f"{found.background:.4g} a pixel, from high q"),
    ]
    if out is not None:
        rows.append(("table", out))
    return facts(rows, indent="")


@app.command("size")
@guarded()
@settings_options(SizeSettings)
def size(
    paths: PathsArgument,
    settings: SizeSettings,
    class_name: ClassOption = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table (CSV) to write, a row an event.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="List to write: events whose size is within limits.")
    ] = None,
    keep_from: Annotated[
        float, typer.Option(min=0, help="Smallest diameter to keep (nm).")
    ] = SMALLEST,
    keep_to: Annotated[
        float, typer.Option(min=0, help="Largest diameter to keep (nm).")
    ] = LARGEST,
    overwrite: OverwriteOption = False,
) -> Status:
    """Find the size of the particle of every event from its radial density.

    Diameters are those of spheres of the same volume. Pairs and groups of particles pass a
    filter of sizes as single ones do: it is no selection of single hits.
    """
    from napari_xfelsort.core.lists import write_list
    from napari_xfelsort.core.spi.run_sizes import find_sizes

    for path in (out, keep):
        if path is not None:
            refuse_existing(path, overwrite)
    if not keep_from < keep_to:
        raise SettingsError(f"No diameter is from {keep_from:g} to {keep_to:g} nm.")
    stack = open_selected(paths, class_name, geometry, dataset, mask)
    with progress("Sizing") as report:
        found = find_sizes(stack, settings, progress=report)
    passing = found.passing(keep_from, keep_to)
    if out is not None:
        found.write_csv(out, overwrite)
    if keep is not None:
        write_list(keep, (stack.event_id(int(i)) for i in passing.nonzero()[0]), False, overwrite)
    say(_histogram(found))
    rows: list[tuple[str, object]] = [
        ("events", len(found)),
        ("without a size", int((~(found.diameter > 0)).sum())),
        (f"{keep_from:g} to {keep_to:g} nm", int(passing.sum())),
    ]
    rows += [("table", out)] * (out is not None) + [("list", keep)] * (keep is not None)
    say(facts(rows, indent=""))
    for problem in list(found.problems.values())[:_SHOWN]:
        complain(problem)
    if len(found.problems) > _SHOWN:
        complain(f"... and {len(found.problems) - _SHOWN} more events that could not be read.")
    return Status.SOME_FAILED if stack.problems or found.problems else Status.DONE


def _histogram(found: SizeTable) -> str:
    """Bars of the sizes, equally wide from the smallest to the largest."""
    import numpy as np

    there = found.diameter[np.isfinite(found.diameter)]
    if not len(there):
        return "No event has a size."
    low, high = np.floor(there.min()), np.ceil(there.max()) + 1
    counts, edges = found.histogram(np.linspace(low, high, _BARS + 1))
    most = max(1, int(counts.max()))
    return "\n".join(
        f"{a:7.1f} to {b:6.1f} nm {n:8d} {'#' * math.ceil(_WIDE * n / most)}"
        for a, b, n in zip(edges, edges[1:], counts.tolist(), strict=False)
    )


@app.command("compare")
@guarded()
def compare(
    paths: PathsArgument,
    selection: Annotated[
        list[Path],
        typer.Option("--selection", "-s", help="List of events; repeat for more."),
    ],
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    sizes: Annotated[
        Path | None, typer.Option(help="Table of spi size, for histograms of sizes.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write tables (CSV) into.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> Status:
    """Compare selections of a run: counts, overlap, densities, contrast, sizes.

    Overlap is the number of events in both, divided by that in either.
    """
    from napari_xfelsort.core.spi.comparing import compare_selections
    from napari_xfelsort.core.spi.run_sizes import SizeTable
    from napari_xfelsort.core.spi.selections import Selection

    stack = open_selected(paths, None, geometry, dataset, mask)
    lists = [Selection.load(path) for path in selection]
    read = None if sizes is None else SizeTable.read_csv(sizes)
    if read is not None and len(read) != len(stack):
        raise SettingsError(
            f"{sizes} has the sizes of {plural(len(read), 'event')}, but there are {len(stack)}; "
            "make it of the same data."
        )
    with progress("Reading") as report:
        found = compare_selections(stack, lists, read, progress=report)
    header, *rows = found.summary_rows()
    say(table([str(each) for each in header], rows, indent=""))
    if len(lists) > 2:
        say(f"In all of them: {100 * found.together:.3g} % of the events in any.")
    if out is not None:
        for path in found.write(out, overwrite):
            say(f"Written: {path}")
    return Status.SOME_FAILED if stack.problems else Status.DONE


@app.command("export")
@guarded()
@settings_options(HandOverSettings)
def export(
    paths: PathsArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")],
    settings: HandOverSettings,
    class_name: ClassOption = None,
    only: Annotated[
        Path | None,
        typer.Option(help="List of the events to hand over, of those named."),
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    overwrite: OverwriteOption = False,
) -> Status:
    """Write photons, detector and configuration for Dragonfly.

    With --blacklist the photons of all events are written, and those that --only leaves out
    are put on a blacklist: another selection then needs no photons written anew.
    """
    from napari_xfelsort.core.spi.hand_over import hand_over
    from napari_xfelsort.core.spi.selections import Selection

    if settings.blacklist and only is None:
        raise SettingsError("--blacklist needs --only: the list of the events to keep.")
    stack = open_selected(paths, class_name, geometry, dataset, mask)
    chosen = None if only is None else Selection.load(only).chosen(stack)
    with progress("Writing") as report:
        made = hand_over(stack, out, chosen, settings, overwrite=overwrite, progress=report)
    photons = made.photons
    rows: list[tuple[str, object]] = [
        ("photons", f"{photons.path} ({plural(photons.events, 'event')})"),
        ("a mean event", f"{photons.photons / photons.events:.6g} photons"),
        ("detector", made.detector),
        ("configuration", made.config),
        ("events", made.events),
    ]
    if made.blacklist is not None:
        rows.append(("blacklist", f"{made.blacklist} ({made.kept} of them kept)"))
    say(facts(rows, indent=""))
    return Status.SOME_FAILED if stack.problems else Status.DONE


_cli_spi_em.add_to(app)
