"""``xfelsort spi classes`` and ``spi keep``: classes by expectation maximisation."""

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
    complain,
    facts,
    guarded,
    plural,
    refuse_existing,
    say,
    table,
)
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.spi.em_settings import EmSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.spi.em_classes import EmClasses

KeepOption = Annotated[
    str | None,
    typer.Option(metavar="NUMBERS", help="Classes whose events to write to a list: 3,7 or 0:4."),
]

#: Events that could not be read, of which so many are named.
_SHOWN = 10


@settings_options(EmSettings)
def classes(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="A sort's folder, a label folder, lists, or data."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")],
    settings: EmSettings,
    class_name: Annotated[
        str | None, typer.Option("--class", "-c", help="Class to take of a sort or of labels.")
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    keep: KeepOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")] = False,
) -> Status:
    """Put events into classes of patterns that are alike but for rotation and strength.

    Give it events of about the right size (spi size --keep). Look at the averages in
    classes.png, then choose: spi keep FOLDER --classes 3,7 -o kept.lst. Averages that are
    alike all around, of low anisotropy, are those of single round particles.
    """
    from napari_xfelsort._cli_spi import open_selected
    from napari_xfelsort.core.profiles.table import EventNames
    from napari_xfelsort.core.spi.em_classes import classes_of
    from napari_xfelsort.core.spi.em_counts import read_counts
    from napari_xfelsort.core.spi.em_files import DATA, average_rows, write_classes

    refuse_existing(out / DATA, overwrite)
    chosen = [] if keep is None else class_numbers(keep, settings.classes)
    stack = open_selected(paths, class_name, geometry, dataset, mask)
    with progress("Reading") as report:
        counts = read_counts(stack, settings, report)
    with progress("Classes", "iterations") as report:
        found = classes_of(counts, settings, EventNames(stack), report)
    written = write_classes(found, out, chosen, overwrite)
    header, *rows = average_rows(found)
    say(table(header, [[str(each) for each in row] for row in rows], indent=""))
    say(facts([*_summary(found), ("folder", out)], indent=""))
    if chosen:
        say(f"Kept: {plural(int(found.kept(chosen).sum()), 'event')} in {written[-1]}")
    for problem in list(found.problems.values())[:_SHOWN]:
        complain(problem)
    if len(found.problems) > _SHOWN:
        complain(f"... and {len(found.problems) - _SHOWN} more events that could not be read.")
    return Status.SOME_FAILED if stack.problems or found.problems else Status.DONE


def _summary(found: EmClasses) -> list[tuple[str, object]]:
    there = found.labels >= 0
    runs = [
        f"{n} iterations" + ("" if settled else ", not settled")
        for n, settled in zip(found.iterations, found.converged, strict=True)
    ]
    return [
        ("events", int(there.sum())),
        ("without a class", int((~there).sum())),
        ("runs", "; ".join(runs)),
        ("in the same class in all runs", f"{100 * (found.agreement[there] == 1).mean():.3g} %"),
    ]


def keep(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of spi classes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="List to write.")],
    numbers: Annotated[
        str | None,
        typer.Option("--classes", metavar="NUMBERS", help="Classes to keep: 3,7 or 0:4."),
    ] = None,
    anisotropy: Annotated[
        float | None,
        typer.Option(min=0, help="Keep the classes of less anisotropy, instead of --classes."),
    ] = None,
    least: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of the runs that must keep an event; 1: all of them."
        ),
    ] = None,
    of: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST",
            help="Write the events of this list but for those that no run would keep.",
        ),
    ] = None,
    voted: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="With --of: keep the classes of whose events the list has such a share, "
            "instead of --classes; 0.1 is a good one.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")] = False,
) -> Status:
    """Write the events of chosen classes to a list, or take the others away from one.

    With --of the list of another selection, as of a classifier, loses only the events that
    all runs agree to be in other classes.
    """
    import numpy as np

    from napari_xfelsort.core.spi.em_files import read_classes
    from napari_xfelsort.core.spi.selections import Selection

    refuse_existing(out, overwrite)
    if [numbers, anisotropy, voted].count(None) != 2:
        raise SettingsError(
            "Give one of --classes, --anisotropy and --voted: which classes to keep."
        )
    if voted is not None and of is None:
        raise SettingsError("--voted needs --of: the list whose events vote.")
    if of is not None and least is not None:
        raise SettingsError("--least and --of cannot go together: --of asks all runs.")
    found = read_classes(folder)
    whole = None if of is None else Selection.load(of)
    if numbers is not None:
        chosen = class_numbers(numbers, len(found))
    elif anisotropy is not None:
        chosen = found.round_classes(anisotropy)
    else:
        assert whole is not None
        assert voted is not None
        chosen = found.voted(np.array([event in whole for event in found.events]), voted)
    if whole is None:
        kept = found.selection("kept", found.kept(chosen, least))
    else:
        kept = whole - found.selection("rejected", found.rejected(chosen))
    kept.save(out, overwrite=overwrite)
    say(f"{out}: {plural(len(kept), 'event')}")
    return Status.DONE


def class_numbers(text: str, classes: int) -> list[int]:
    """Numbers of classes as on the command line.

    Raises
    ------
    SettingsError
        If they are none, or there is no such class.
    """
    found: list[int] = []
    for part in text.split(","):
        first, colon, last = part.strip().partition(":")
        try:
            low = int(first)
            high = int(last) if colon else low + 1
        except ValueError:
            raise SettingsError(
                f"{text!r} names no classes; write their numbers, as 3,7 or 0:4."
            ) from None
        if not 0 <= low < high <= classes:
            raise SettingsError(
                f"{part.strip()!r} names no class; they are numbered 0 to {classes - 1}."
            )
        found += range(low, high)
    return sorted(set(found))


def add_to(app: typer.Typer) -> None:
    """Make the commands known."""
    app.command("classes")(guarded()(classes))
    app.command("keep")(guarded()(keep))
