"""``xfelsort peaks``: Bragg peaks and hits of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
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
    complain,
    facts,
    guarded,
    plural,
    refuse_existing,
    say,
    tell_problems,
)
from napari_xfelsort.core.errors import NoEventsError
from napari_xfelsort.core.peaks.settings import PeakSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.peaks import RunPeaks

#: Events that could not be read, of which so many are named.
_SHOWN = 10


@guarded()
@settings_options(PeakSettings)
def peaks(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    settings: PeakSettings,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table of events to write (CSV): peaks, hit or blank."),
    ] = None,
    peak_table: Annotated[
        Path | None, typer.Option(help="Table of all peaks to write (CSV).")
    ] = None,
    cxi: Annotated[
        Path | None,
        typer.Option(help="CXI file to write: peaks as Cheetah writes them, frames shown."),
    ] = None,
    only_hits: Annotated[
        bool, typer.Option("--only-hits", help="The CXI file has hits only.")
    ] = False,
    hits: Annotated[Path | None, typer.Option(help="CrystFEL list of hits to write.")] = None,
    blanks: Annotated[
        Path | None, typer.Option(help="CrystFEL list of the other events to write.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", "-l", help="Label folder to write to: hit and blank."),
    ] = None,
    labeller: Annotated[
        str | None, typer.Option(help="Who labels; the login name when omitted.")
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Replace labels by hand or from lists too.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 works in this one.")
    ] = 0,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to use instead: tcp://host:port."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Find Bragg peaks, and tell hits from blanks: peaks run.cxi -g run.geom --hits hits.lst.

    The finder poisson needs no parameter: thresholds follow the background, and what stays
    at one pixel from event to event is left out. Nor does robust, which wants no geometry and
    no round background: peaks above robust planes. learned judges the places of poisson with
    a network (peaks-train). peakfinder8 has CrystFEL's parameters and finds the same peaks.
    Exit status 3 when an event could not be read.
    """
    from napari_xfelsort.core.peaks.running import find_peaks
    from napari_xfelsort.readers import open_stack

    files = (out, peak_table, cxi, hits, blanks)
    for path in files:
        if path is not None:
            refuse_existing(path, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    with progress("Finding peaks") as report:
        found = find_peaks(
            stack, settings, processes=processes, scheduler=scheduler, progress=report
        )
    _write_tables(found, out, peak_table, overwrite)
    _write_lists(found, hits, blanks, overwrite)
    if cxi is not None:
        _write_cxi(found, cxi, only_hits, overwrite)
    if labels is not None:
        _label(found, labels, labeller, relabel, as_json)
    if as_json:
        say(json.dumps(describe(found), indent=2, ensure_ascii=False))
    else:
        _tell(found)
        for path in files:
            if path is not None:
                say(f"Written: {path}")
    for sentence in list(found.problems.values())[:_SHOWN]:
        complain(sentence)
    if len(found.problems) > _SHOWN:
        complain(f"... and {len(found.problems) - _SHOWN} more events that could not be read.")
    return Status.SOME_FAILED if stack.problems or found.problems else Status.DONE


def describe(found: RunPeaks) -> dict[str, Any]:
    """Numbers of a run, ready for JSON."""
    counts = found.counts
    read = counts[counts >= 0]
    return {
        "events": len(found),
        "unreadable": len(found.problems),
        "hits": int(found.hits.sum()),
        "hit_rate": float(found.hits.sum() / len(read)) if len(read) else None,
        "peaks": int(read.sum()),
        "median_peaks_of_hits": (
            float(np.median(counts[found.hits])) if found.hits.any() else None
        ),
        "left_out": found.left_out,
        "settings": found.settings.to_dict(),
    }


def _tell(found: RunPeaks) -> None:
    told = describe(found)
    settings = found.settings
    rate = "" if told["hit_rate"] is None else f" ({told['hit_rate']:.1%})"
    pairs = [
        ("finder", settings.finder),
        ("events", told["events"]),
        ("peaks", told["peaks"]),
        ("hits", f"{told['hits']}{rate}, with at least {plural(settings.min_peaks, 'peak')}"),
    ]
    if told["median_peaks_of_hits"] is not None:
        pairs.append(("peaks of a hit", f"{told['median_peaks_of_hits']:g} (median)"))
    if found.left_out:
        pairs.append(
            ("left out", f"{found.left_out}, at one pixel, ring or streak in many events")
        )
    say(facts(pairs))


def _write_tables(
    found: RunPeaks, out: Path | None, peak_table: Path | None, overwrite: bool
) -> None:
    if out is not None:
        found.write_events(out, overwrite)
    if peak_table is not None:
        found.write_peaks(peak_table, overwrite)


def _write_lists(found: RunPeaks, hits: Path | None, blanks: Path | None, overwrite: bool) -> None:
    for path, status in ((hits, "hit"), (blanks, "blank")):
        if path is not None:
            found.write_list(path, status, overwrite)


def _write_cxi(found: RunPeaks, path: Path, only_hits: bool, overwrite: bool) -> None:
    positions = np.flatnonzero(found.hits).tolist() if only_hits else None
    if positions == []:
        raise NoEventsError(f"There are no hits; {path} was not written.")
    found.write_cxi(path, positions, overwrite)


def _label(
    found: RunPeaks, folder: Path, labeller: str | None, relabel: bool, quiet: bool
) -> None:
    from napari_xfelsort.core.labels import LabelStore

    store = LabelStore(folder, labeller)
    done = found.store_labels(store, relabel)
    if quiet:
        return
    counts = ", ".join(f"{n} {label}" for label, n in sorted(done.counts.items()))
    say(f"Labelled by rule:found_peaks into {store.folder} ({counts}).")
    if done.kept:
        say(f"{plural(done.kept, 'event')} kept a label that no rule gave; --relabel replaces it.")
