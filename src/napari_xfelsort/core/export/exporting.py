"""`export`: the events of a stack, written in one of four ways."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import NoEventsError, OutputError
from napari_xfelsort.core.export.cxi import COMPRESSIONS, write_cxi
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.stack import EventStack

#: Ways to write events.
KINDS = ("virtual", "copy", "list", "csv")

#: Told the number done and the number in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Settings of `export`."""

    kind: str = setting(
        "virtual",
        "virtual: a CXI file that shows the frames where they are; copy: a CXI file with the "
        "frames in it; list: for CrystFEL; csv: a table",
        choices=KINDS,
    )
    compression: str = setting(
        "stored",
        "Of a copy; stored keeps that of the files, and copies without unpacking where it can",
        choices=COMPRESSIONS,
    )
    absolute: bool = setting(
        False, "Name files absolutely; otherwise from the folder of a virtual file, or as given"
    )
    masks: bool = setting(True, "Carry the masks along")
    peaks: bool = setting(True, "Carry stored peaks along")


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Attributes
    ----------
    path : Path
        The file.
    events : int
        Events in it.
    unpacked : int
        Frames of a copy that could not be copied as they are packed.
    notes : tuple of str
        What is worth knowing.
    """

    path: Path
    events: int
    unpacked: int = 0
    notes: tuple[str, ...] = ()


def export(
    stack: EventStack,
    path: str | os.PathLike[str],
    kind: str = "virtual",
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> ExportSummary:
    """Write the events of a stack to one file, in their order.

    Parameters
    ----------
    stack : EventStack
        The events; a list, the class of a sort, or all of some files.
    path : path
        The file to write; complete or not there at all.
    kind : str
        ``virtual``, ``copy``, ``list`` or ``csv``; see `ExportSettings`.
    overwrite : bool
        Replace a file that exists; never one of those that the events are in.
    progress : callable, optional
        Called with events done and events in all.
    **settings
        See `ExportSettings`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SettingsError
        If a setting is unknown or out of range.
    NoEventsError
        If there is no event.
    OutputError
        If the file exists and must not be replaced, cannot be written, or if a virtual file
        cannot show the frames; says why.
    UnreadableFileError
        If an event that is to be copied cannot be read; then nothing is written.
    """
    options = ExportSettings.from_dict({**settings, "kind": kind})
    if not len(stack):
        raise NoEventsError("There is no event to be written.")
    target = Path(path)
    refuse_inputs(stack, target)
    if not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} does not exist; make it first.")
    if options.kind == "list":
        events = (stack.event_id(i) for i in range(len(stack)))
        return ExportSummary(target, write_list(target, events, options.absolute, overwrite))
    if options.kind == "csv":
        with (
            atomic_write(target, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            csv.writer(out, lineterminator="\n").writerows(_table(stack, options, progress))
        return ExportSummary(target, len(stack))
    with atomic_write(target, overwrite) as temporary:
        unpacked, notes = write_cxi(
            stack,
            temporary,
            virtual=options.kind == "virtual",
            compression=options.compression,
            absolute=options.absolute,
            masks=options.masks,
            peaks=options.peaks,
            progress=progress,
        )
    return ExportSummary(target, len(stack), unpacked, tuple(notes))


def refuse_inputs(stack: EventStack, target: Path) -> None:
    """A file must not be replaced by what is made of its own events.

    Raises
    ------
    OutputError
        If the target is a file of the stack.
    """
    if not target.exists():
        return
    real = os.path.realpath(target)
    for source in stack.sources:
        if os.path.realpath(source.place or source.path) == real:
            raise OutputError(f"{target} holds the events themselves; choose another name.")


def _table(
    stack: EventStack, options: ExportSettings, progress: Progress | None
) -> Iterator[list[Any]]:
    yield ["file", "event", "identifier", "photon_energy_eV", "camera_length_m", "peaks"]
    n = len(stack)
    for i in range(n):
        event = stack.event_id(i)
        peaks = stack.peaks(i) if options.peaks else None
        file = event.place or event.file
        yield [
            os.path.abspath(file) if options.absolute else file,
            event.event,
            stack.identifier(i) or "",
            _number(stack.photon_energy(i)),
            _number(stack.camera_length(i)),
            "" if peaks is None else len(peaks.fs),
        ]
        if progress is not None:
            progress(i + 1, n)


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
