"""``xfelsort beam``: hits, photon energy and camera length of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    ManyValuesCommand,
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
    tell_problems,
)
from napari_xfelsort.core.beam.settings import BeamSettings
from napari_xfelsort.core.errors import SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.beam import BeamClassifier, BeamEstimate, RunBeam
    from napari_xfelsort.core.stack import EventStack

#: Warnings, and events that could not be read, of which so many are named.
_SHOWN = 5


class BeamCommand(ManyValuesCommand):
    """Ranges are given as two values."""

    many = (
        *("--photon-energy-range", "--camera-length-range"),
        *("--class-energies", "--class-lengths"),
    )


@guarded()
@settings_options(BeamSettings)
def beam(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Data: files, lists, folders or patterns."),
    ],
    settings: BeamSettings,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    together: Annotated[
        int,
        typer.Option(
            min=0, help="Neighbouring events taken together for energy and length; 0: all."
        ),
    ] = 1,
    min_peaks: Annotated[
        int | None, typer.Option(min=1, help="An event with at least so many peaks is a hit.")
    ] = None,
    class_energies: Annotated[
        list[float] | None,
        typer.Option(help="Photon energies (eV) that there are: which of them is it?"),
    ] = None,
    class_lengths: Annotated[
        list[float] | None, typer.Option(help="Camera lengths (mm) that there are.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="File of --train-classes: the classes that it learnt.")
    ] = None,
    train_classes: Annotated[
        Path | None,
        typer.Option(
            help="File to write (.npz): classes learnt from these events and their metadata."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table of events to write (CSV).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Hit or blank, photon energy, camera length: beam run.cxi -g run.geom -o beam.csv.

    They are found from the scattering of water and gas on the detector. What a frame does not
    tell is left open; what the files say otherwise is named. Exit status 3 when an event could
    not be read.
    """
    from napari_xfelsort.core.beam import find_beam
    from napari_xfelsort.core.peaks.settings import PeakSettings
    from napari_xfelsort.readers import open_stack

    for path in (out, train_classes):
        if path is not None:
            refuse_existing(path, overwrite)
    chosen = _classes(class_energies, class_lengths, classes)
    stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    tell_problems(stack.problems)
    peaks = PeakSettings() if min_peaks is None else PeakSettings(min_peaks=min_peaks)
    if train_classes is not None:
        return _train(stack, train_classes, overwrite)
    with progress("Looking at the beam") as report:
        found = find_beam(
            stack, settings, peaks, classes=chosen, together=together, progress=report
        )
    if out is not None:
        found.write_events(out, overwrite)
    if as_json:
        say(json.dumps(describe(found), indent=2, ensure_ascii=False))
    else:
        _tell(found)
        if out is not None:
            say(f"Written: {out}")
    _complain(found)
    return Status.SOME_FAILED if stack.problems or found.peaks.problems else Status.DONE


def _classes(
    energies: list[float] | None, lengths: list[float] | None, file: Path | None
) -> list[tuple[float, float]] | BeamClassifier | None:
    from napari_xfelsort.core.beam import load_beam_classes

    if file is not None:
        if energies or lengths:
            raise SettingsError("Give either --classes or energies and lengths, not both.")
        return load_beam_classes(file)
    if not energies and not lengths:
        return None
    if not energies or not lengths:
        raise SettingsError("Classes need both --class-energies and --class-lengths.")
    return [(energy, 1e-3 * length) for energy in energies for length in lengths]


def _train(stack: EventStack, path: Path, overwrite: bool) -> Status:
    from napari_xfelsort.core.beam import classes_of_stack, save_beam_classes

    with progress("Learning classes") as report:
        model, unread = classes_of_stack(stack, progress=report)
    save_beam_classes(model, path, overwrite)
    say(facts([("classes", "; ".join(map(str, model.classes)))]))
    say(f"Written: {path}")
    for sentence in unread[:_SHOWN]:
        complain(sentence)
    return Status.SOME_FAILED if stack.problems or unread else Status.DONE


def describe(found: RunBeam) -> dict[str, Any]:
    """What was found, ready for JSON."""
    energy, length = found.known
    return {
        "events": len(found),
        "unreadable": len(found.peaks.problems),
        "hits": int(found.peaks.hits.sum()),
        "photon_energy_known": energy,
        "camera_length_known": length,
        "together": _numbers(found.overall),
        "together_warning": found.overall_warning,
        "warnings": sum(map(bool, found.warnings)),
        "classes": dict(found.classes),
        "settings": found.settings.to_dict(),
    }


def _numbers(estimate: BeamEstimate) -> dict[str, Any]:
    finite = math.isfinite(estimate.energy)
    return {
        "photon_energy_ev": known(estimate.energy),
        "photon_energy_error_ev": estimate.energy_error if finite else None,
        "photon_energy_known": estimate.energy_known,
        "camera_length_mm": known(1e3 * estimate.length),
        "camera_length_error_mm": 1e3 * estimate.length_error if finite else None,
        "camera_length_known": estimate.length_known,
        "correlation": known(estimate.correlation),
        "reason": estimate.reason,
    }


def _tell(found: RunBeam) -> None:
    told = describe(found)
    pairs: list[tuple[str, object]] = [
        ("events", told["events"]),
        ("hits", told["hits"]),
        ("photon energy", f"known of {plural(told['photon_energy_known'], 'event')}"),
        ("camera length", f"known of {plural(told['camera_length_known'], 'event')}"),
    ]
    pairs += [("not known", f"{n}: {reason}") for reason, n in found.why_not[:_SHOWN]]
    pairs += [("class", f"{n}: {name}") for name, n in found.classes]
    pairs.append(("all together", found.overall.told()))
    say(facts(pairs))


def _complain(found: RunBeam) -> None:
    if found.overall_warning:
        complain(f"All events together: {found.overall_warning}")
    warnings = [(i, text) for i, text in enumerate(found.warnings) if text]
    for i, text in warnings[:_SHOWN]:
        complain(f"{found.peaks.stack.event_id(i)}: {text}")
    if len(warnings) > _SHOWN:
        complain(f"... and {len(warnings) - _SHOWN} more events whose metadata are contradicted.")
    problems = list(found.peaks.problems.values())
    for sentence in problems[:_SHOWN]:
        complain(sentence)
    if len(problems) > _SHOWN:
        complain(f"... and {len(problems) - _SHOWN} more events that could not be read.")
