"""``xfelsort info``: what is in files, lists and folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort.cli_options import DatasetOption, GeometryOption, MaskOption
from napari_xfelsort.cli_support import Status, complain, facts, guarded, known, plural, say
from napari_xfelsort.core.errors import NoEventsError

if TYPE_CHECKING:
    from napari_xfelsort.core.source import EventSource
    from napari_xfelsort.core.stack import EventStack

#: Files that the text describes one by one; ``--json`` has them all.
_SHOWN_FILES = 20
_SHOWN_PROBLEMS = 50


@guarded()
def info(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, lists, folders or patterns.")
    ],
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> Status:
    """Tell what is in there: layout, events, shape, energy, masks, peaks, problems.

    Reads headers, and a few masks where they differ by event. Exit status 3 when a file
    or event could not be used.
    """
    from napari_xfelsort.readers import open_stack

    try:
        stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
    except NoEventsError:
        _offer_datasets(paths)
        raise
    what = describe(stack)
    if len(stack.sources) == 1 and stack.sources[0].layout.startswith("HDF5"):
        what["datasets"] = _datasets(stack.sources[0].path)
    say(json.dumps(what, indent=2, ensure_ascii=False) if as_json else as_text(what))
    return Status.SOME_FAILED if stack.problems else Status.DONE


def describe(stack: EventStack) -> dict[str, Any]:
    """What is known of a stack, ready for JSON."""
    last = len(stack) - 1
    mask = stack.mask
    geometry = stack.geometry
    return {
        "events": len(stack),
        "raw_shape": list(stack.raw_shape),
        "dtype": str(stack.dtype),
        "first": _describe_event(stack, 0),
        "last": _describe_event(stack, last),
        "bad_pixels": None if mask is None else mask.n_bad,
        "assembled_shape": None if geometry is None else list(stack.assembled_shape),
        "offered_geometry": stack.offered_geometry,
        "files": [_describe_source(source) for source in stack.sources],
        "problems": [{"file": p.file, "what": str(p)} for p in stack.problems],
        "notes": [{"file": n.file, "what": str(n)} for n in stack.notes],
    }


def _describe_event(stack: EventStack, i: int) -> dict[str, Any]:
    peaks = stack.peaks(i)
    return {
        "id": str(stack.event_id(i)),
        "identifier": stack.identifier(i),
        "photon_energy_eV": known(stack.photon_energy(i)),
        "camera_length_m": known(stack.camera_length(i)),
        "peaks": None if peaks is None else len(peaks.fs),
    }


def _describe_source(source: EventSource) -> dict[str, Any]:
    return {
        "path": source.path,
        "layout": source.layout,
        "dataset": source.dataset,
        "events": len(source),
        "dtype": str(source.dtype),
    }


def as_text(what: dict[str, Any]) -> str:
    """The description for people to read."""
    files = what["files"]
    first, last = what["first"], what["last"]
    shape = " x ".join(map(str, what["raw_shape"]))
    pairs = [
        ("events", f"{what['events']} in {plural(len(files), 'file')}"),
        ("frame", f"{shape}, {what['dtype']}"),
        ("layout", ", ".join(sorted({f["layout"] for f in files}))),
        ("dataset", ", ".join(sorted({f["dataset"] for f in files}))),
        ("photon energy", _range(first, last, "photon_energy_eV", 1.0, "eV")),
        ("camera length", _range(first, last, "camera_length_m", 1e3, "mm")),
        ("first event", _event_name(first)),
        ("last event", _event_name(last)),
        ("mask", _count(what["bad_pixels"], "none stored", "bad pixel")),
        ("stored peaks", _count(first["peaks"], "none", "peak") + _of_first(first)),
    ]
    if what["assembled_shape"]:
        pairs.append(("assembled", " x ".join(map(str, what["assembled_shape"])) + " (y x)"))
    lines = [facts(pairs, indent="")]
    if len(files) > 1:
        lines += ["", "files:"]
        lines += [
            f"  {f['path']}: {plural(f['events'], 'event')}, {f['layout']}, {f['dataset']}"
            for f in files[:_SHOWN_FILES]
        ]
        lines += _more(len(files) - _SHOWN_FILES)
    for datasets in [what.get("datasets") or []]:
        if len(datasets) > 1:
            lines += ["", "datasets that may hold frames (choose with --dataset):"]
            lines += [f"  {d['path']}  {d['shape']} {d['dtype']}" for d in datasets]
    for name in ("notes", "problems"):
        if what[name]:
            lines += ["", f"{name}:"]
            lines += [f"  {item['what']}" for item in what[name][:_SHOWN_PROBLEMS]]
            lines += _more(len(what[name]) - _SHOWN_PROBLEMS)
    return "\n".join(lines)


def _more(number: int) -> list[str]:
    return [f"  ... and {number} more; --json tells all."] if number > 0 else []


def _range(first: dict[str, Any], last: dict[str, Any], key: str, scale: float, unit: str) -> str:
    values = [e[key] * scale for e in (first, last) if e[key] is not None]
    if not values:
        return "unknown"
    texts = list(dict.fromkeys(f"{value:.6g}" for value in values))
    note = " (first and last event)" if len(texts) > 1 else ""
    return f"{', '.join(texts)} {unit}{note}"


def _event_name(event: dict[str, Any]) -> str:
    own = f" ({event['identifier']})" if event["identifier"] else ""
    return f"{event['id']}{own}"


def _count(number: int | None, nothing: str, noun: str) -> str:
    return nothing if number is None else plural(number, noun)


def _of_first(first: dict[str, Any]) -> str:
    return "" if first["peaks"] is None else " in the first event"


def _datasets(path: str) -> list[dict[str, Any]]:
    from napari_xfelsort.readers import list_datasets

    return [
        {"path": d.path, "shape": list(d.shape), "dtype": str(d.dtype)}
        for d in list_datasets(path)
    ]


def _offer_datasets(paths: list[str]) -> None:
    """Before a refusal, show what datasets the files have."""
    for path in paths:
        found = _datasets(path) if Path(path).is_file() else []
        for d in found[:_SHOWN_PROBLEMS]:
            complain(f"{path}: {d['path']}  {d['shape']} {d['dtype']}")
