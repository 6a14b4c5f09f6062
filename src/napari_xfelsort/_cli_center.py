"""``xfelsort center``: where the beam meets the detector."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort.cli_options import DatasetOption, GeometryOption, MaskOption
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
from napari_xfelsort.core.errors import GeometryError, OutputError, SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.center import CenterResult
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack

#: Events that could not be read, of which so many are named.
_SHOWN = 10


class Method(StrEnum):
    """How the centre is found."""

    auto = "auto"
    radial = "radial"
    symmetry = "symmetry"
    beam_stop = "beam_stop"
    friedel = "friedel"
    reflex = "reflex"


class Powder(StrEnum):
    """What is made of many events."""

    mean = "mean"
    median = "median"
    max = "max"


@guarded()
def center(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    method: Annotated[
        Method,
        typer.Option(help="How: auto is the one that knows how sure it is."),
    ] = Method.auto,
    powder: Annotated[
        Powder, typer.Option(help="The picture that is made of all events.")
    ] = Powder.mean,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="Events to take the mean of instead, from 0: 7 or 3,8,12 or 0:50.",
        ),
    ] = None,
    write_geometry: Annotated[
        Path | None,
        typer.Option(help="CrystFEL geometry to write: the one given, moved to the centre."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a geometry that exists.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Find where the beam meets the detector: row and column, and how sure that is.

    Rows and columns are those of the assembled picture, pixel centres at whole numbers. No
    beam, calibrant or peaks are needed; beam stops, shadows, gaps and bad pixels do not
    harm, and the centre may lie off the detector. Exit status 3 when it is not known, or an
    event could not be read.
    """
    from napari_xfelsort.core.center.of_stack import find_center_of_stack
    from napari_xfelsort.readers import open_stack

    if write_geometry is not None:
        if geometry is None:
            raise SettingsError("--write-geometry moves a geometry; give it with --geometry.")
        if write_geometry.exists() and write_geometry.samefile(geometry):
            raise OutputError("--write-geometry must name another file than --geometry.")
        refuse_existing(write_geometry, overwrite)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    chosen = powder.value if events is None else parse_events(events, len(stack))
    with progress("Reading") as report:
        found = find_center_of_stack(stack, chosen, method.value, report)
    if as_json:
        say(json.dumps(describe(found, stack), indent=2, ensure_ascii=False))
    else:
        _tell(found, stack)
    if found.known and write_geometry is not None:
        _write(stack.geometry, found, write_geometry, overwrite, as_json)
    problems = found.details["problems"]
    for sentence in problems[:_SHOWN]:
        complain(sentence)
    if len(problems) > _SHOWN:
        complain(f"... and {len(problems) - _SHOWN} more events that could not be read.")
    failed = stack.problems or problems or not found.known
    return Status.SOME_FAILED if failed else Status.DONE


def parse_events(text: str, n_events: int) -> list[int]:
    """Numbers of events from ``7``, ``3,8,12`` or ``0:50`` (the last not among them).

    Raises
    ------
    SettingsError
        If the text is none of these.
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, colon, last = part.partition(":")
            if colon:
                numbers += range(n_events)[slice(*(int(n) if n else None for n in (first, last)))]
            else:
                numbers.append(int(part))
    except ValueError:
        raise SettingsError(
            f"{text!r} names no events; write for example --events 3,8,12 or --events 0:50."
        ) from None
    if not numbers:
        raise SettingsError(f"{text!r} names none of the events 0 to {n_events - 1}.")
    return numbers


def describe(found: CenterResult, stack: EventStack) -> dict[str, Any]:
    """An answer, ready for JSON."""
    geometry = stack.geometry
    return {
        "y": found.y,
        "x": found.x,
        "uncertainty": found.uncertainty,
        "method": found.method,
        "reason": found.reason,
        "events": found.details["events"],
        "shape": list(stack.assembled_shape),
        "geometry_center": None if geometry is None else list(geometry.beam_position),
        "problems": found.details["problems"],
    }


def _tell(found: CenterResult, stack: EventStack) -> None:
    used = plural(found.details["events"], "event")
    if found.y is None or found.x is None:
        say(f"The centre is not known (method {found.method}, {used}). {found.reason}")
        return
    known = "not known" if found.uncertainty is None else f"{found.uncertainty:.2f} pixels"
    height, width = stack.assembled_shape
    inside = -0.5 <= found.y < height - 0.5 and -0.5 <= found.x < width - 0.5
    pairs = [
        (
            "centre",
            f"row {found.y:.2f}, column {found.x:.2f}" + ("" if inside else " (off the detector)"),
        ),
        ("uncertainty", known),
        ("method", found.method),
        ("events", found.details["events"]),
    ]
    if stack.geometry is not None:
        y, x = stack.geometry.beam_position
        pairs.append(("geometry", f"row {y:.2f}, column {x:.2f}"))
        pairs.append(("difference", f"{found.y - y:+.2f} rows, {found.x - x:+.2f} columns"))
    say(facts(pairs))


def _write(
    geometry: Geometry | None, found: CenterResult, out: Path, overwrite: bool, quiet: bool
) -> None:
    from napari_xfelsort.core.center.shifting import write_shifted

    if geometry is None or found.y is None or found.x is None:
        raise GeometryError("There is no geometry to move.")
    write_shifted(geometry, found.y, found.x, out, overwrite)
    if not quiet:
        say(f"Geometry: {out}")
    if any(region.in_laboratory for region in geometry.bad_regions):
        complain(
            "The geometry has bad regions in x and y; these stay where they were in the "
            "laboratory and may need to be moved by hand."
        )
