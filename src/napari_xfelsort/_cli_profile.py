"""``xfelsort profile``: polynomials fitted to profiles, and labels by inflection points."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from napari_xfelsort._cli_train import with_offer
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
    guarded,
    plural,
    refuse_existing,
    say,
    table,
    tell_problems,
)
from napari_xfelsort.core.errors import LabelError, RegionError
from napari_xfelsort.core.profiles.settings import ProfileSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.profiles import ProfileTable, RangeCounts
    from napari_xfelsort.core.profiles.ranges import Range
    from napari_xfelsort.core.stack import EventStack

_SHOWN = 10


class Side(StrEnum):
    """Which events are good."""

    inside = "inside"
    outside = "outside"


RegionOption = Annotated[
    str | None,
    typer.Option(
        help="What is projected: panel:p6a0, q:1.2,2.4 (1/angstrom), window:0:512,0:128; the "
        "whole frame when omitted."
    ),
]
GoodOption = Annotated[
    Side, typer.Option(help="Which events are good: those inside of the ranges, or the others.")
]
RangesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="LOW,HIGH",
        help="Accepted range of an inflection point, one for each; those of the dominant peaks "
        "when omitted.",
    ),
]


@guarded()
@settings_options(ProfileSettings)
def profile(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    settings: ProfileSettings,
    region: RegionOption = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table to write (CSV): positions, coefficients, R2."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", "-l", help="Label folder to write to.")
    ] = None,
    good: GoodOption = Side.inside,
    ranges: RangesOption = None,
    labeller: Annotated[
        str | None, typer.Option(help="Who labels; the login name when omitted.")
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Replace labels by hand or from lists too.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that exists.")
    ] = False,
) -> Status:
    """Fit a polynomial to a profile of every event; label them by its inflection points.

    Says where inflection points are common. With --labels, events that have one in every
    accepted range are good and the others bad, or the other way round with --good outside;
    events whose profile cannot be fitted get no label.
    """
    return run_profile(
        Asked(paths, geometry, dataset, mask, region, settings),
        Wanted(labels, good.value, parse_ranges(ranges or []), labeller, relabel),
        out,
        overwrite,
    )


class Asked(NamedTuple):
    """What to fit: data, how they are opened, and how profiles are made."""

    paths: list[str]
    geometry: Path | None
    dataset: str | None
    mask: Path | None
    region: str | None
    settings: ProfileSettings


class Wanted(NamedTuple):
    """What to label: the folder (None: nothing), which side is good, ranges, who, and whether
    labels from elsewhere are replaced."""

    folder: Path | None
    good: str
    ranges: list[Range]
    labeller: str | None
    relabel: bool


def run_profile(
    asked: Asked, wanted: Wanted, out: Path | None = None, overwrite: bool = False
) -> Status:
    """Fit, tell, write the table, label.

    Raises
    ------
    XfelsortError
        Of any kind, as a sentence.
    """
    from napari_xfelsort.core.profiles import Profiler
    from napari_xfelsort.readers import open_stack

    if out is not None:
        refuse_existing(out, overwrite)
    stack = open_stack(
        asked.paths, geometry=asked.geometry, mask=asked.mask, dataset=asked.dataset
    )
    tell_problems(stack.problems)
    try:
        profiler = Profiler(stack, asked.region, asked.settings)
    except RegionError as error:
        raise with_offer(error, stack) from error
    with progress("Fitting profiles") as report:
        found = profiler.table(report)
    if out is not None:
        found.write_csv(out, overwrite)
    _tell_fits(found)
    label_profiles(stack, found, wanted)
    if out is not None:
        say(f"Table: {out}")
    return _status(stack, found)


def parse_ranges(texts: list[str]) -> list[Range]:
    """Accepted ranges from ``LOW,HIGH``.

    Raises
    ------
    LabelError
        If a text is no range.
    """
    ranges = []
    for text in texts:
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            low, high = 1.0, 0.0
        if not low <= high:
            raise LabelError(f"{text!r} is no range; write LOW,HIGH, for example --range 60.5,72.")
        ranges.append((low, high))
    return ranges


def label_profiles(stack: EventStack, found: ProfileTable, wanted: Wanted) -> None:
    """Tell which events are inside of the ranges, and label all in a folder, if one is given.

    Raises
    ------
    LabelError
        If labels are wanted, no range is given and no inflection point is common.
    """
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.profiles import RULE_NAME, count_ranges, find_peaks, store_labels

    folder, good = wanted.folder, wanted.good
    proposed = not wanted.ranges
    ranges = wanted.ranges or [peak.range for peak in find_peaks(found)]
    if not ranges:
        sentence = (
            "No inflection point is common to the events; try another region, axis or order, or "
            "give --range LOW,HIGH."
        )
        if folder is not None:
            raise LabelError(f"{sentence} Nothing was labelled.")
        complain(sentence)
        return
    counts = count_ranges(found, ranges)
    _tell_ranges(found, ranges, counts, proposed)
    if folder is None:
        return
    store = LabelStore(folder, wanted.labeller)
    done = store_labels(store, stack, found, ranges, good, wanted.relabel)
    other = "outside" if good == "inside" else "inside"
    hint = f"--good {other} takes the others" + (", --range other ranges." if proposed else ".")
    say(f"Good are the {getattr(counts, good)} events {good} of the ranges; {hint}")
    say(f"Labelled by rule:{RULE_NAME} into {store.folder} (labeller {store.labeller}):")
    say(table(("class", "events"), sorted(done.counts.items(), reverse=True)))
    if done.kept:
        say(f"{plural(done.kept, 'event')} kept a label that no rule gave; --relabel replaces it.")


def _tell_fits(found: ProfileTable) -> None:
    settings = found.settings
    say(
        f"Profiles of {found.region} along {settings.axis} ({settings.statistic}), polynomial of "
        f"order {settings.order}:"
    )
    say(table(("status", "events"), found.status_counts().items()))


def _tell_ranges(
    found: ProfileTable, ranges: list[Range], counts: RangeCounts, proposed: bool
) -> None:
    whose = "Dominant peaks of inflection points" if proposed else "Accepted ranges"
    say(f"{whose} (in {found.unit}):")
    rows = [
        (k + 1, f"{low:.6g}", f"{high:.6g}", n)
        for k, ((low, high), n) in enumerate(zip(ranges, counts.each, strict=True))
    ]
    say(table(("inflection point", "low", "high", "events"), rows))
    share = counts.inside / max(1, counts.inside + counts.outside)
    say(
        f"{counts.inside} events are inside of all ranges ({share:.0%}), {counts.outside} "
        f"outside, {counts.undecided} undecided."
    )


def _status(stack: EventStack, found: ProfileTable) -> Status:
    """Name events that could not be read."""
    told = list(found.problems.values())[:_SHOWN]
    for sentence in told:
        complain(sentence)
    if len(found.problems) > len(told):
        complain(f"... and {len(found.problems) - len(told)} more; the table has them all.")
    return Status.SOME_FAILED if stack.problems or found.problems else Status.DONE
