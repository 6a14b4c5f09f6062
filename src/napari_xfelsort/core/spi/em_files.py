"""Classes by expectation maximisation on disk: lists, tables, averages."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.errors import OutputError, UnreadableFileError
from napari_xfelsort.core.lists import located, read_list, write_list
from napari_xfelsort.core.spi.em_classes import EmClasses
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.em_symmetry import ORDERS

#: Files of a folder of classes, besides a list for each class that has events.
DATA, TABLE, AVERAGES = "classes.h5", "classes.csv", "averages.csv"
PICTURE, EVENTS, KEPT = "classes.png", "events.lst", "kept.lst"

#: Columns of the table of events, after their names.
COLUMNS = ("class", "rotation_deg", "scale", "probability", "agreement")
_CLASS_LIST = re.compile(r"class\d{2,}\.lst")
_NUMBERS = ("rotation", "scale")


def class_list(k: int) -> str:
    """Name of the list of a class."""
    return f"class{k:02d}.lst"


def write_classes(
    found: EmClasses,
    folder: str | os.PathLike[str],
    keep: Iterable[int] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Write classes into a folder.

    ``classes.h5`` has all that was found, ``classes.png`` the averages, ``averages.csv`` what
    is to be said of each, ``classes.csv`` a row an event, ``classNN.lst`` the events of each
    class that has some, ``events.lst`` all of them, ``kept.lst`` those of the classes kept.

    Parameters
    ----------
    found : EmClasses
        The classes.
    folder : path
        Made when it is not there.
    keep : iterable of int
        Classes whose events go to ``kept.lst``; none: there is no such list.
    overwrite : bool
        Replace files that exist; lists of classes that were there before go.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        If a file exists and must not be replaced, or cannot be written.
    SettingsError
        If there is no such class.
    """
    place, chosen = Path(folder), list(keep)
    lists: dict[str, NDArray[np.intp]] = {EVENTS: np.arange(len(found.labels))}
    for k in np.flatnonzero(found.counts).tolist():
        lists[class_list(k)] = np.flatnonzero(found.labels == k)
    if chosen:
        lists[KEPT] = np.flatnonzero(found.kept(chosen))
    targets = [place / name for name in (DATA, TABLE, AVERAGES, PICTURE, *lists)]
    if not overwrite:
        for target in targets:
            if os.path.lexists(target):
                raise OutputError(f"{target} exists already; choose another folder.")
    make_folder(place)
    for name, rows in lists.items():
        write_list(place / name, (found.events[int(k)] for k in rows), False, overwrite)
    with (
        atomic_write(place / TABLE, overwrite) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        _write_table(found, csv.writer(out, lineterminator="\n"))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(average_rows(found))
    write_text_atomic(place / AVERAGES, text.getvalue(), overwrite)
    with atomic_write(place / PICTURE, overwrite) as temporary:
        temporary.write_bytes(montage(found))
    with atomic_write(place / DATA, overwrite) as temporary, h5py.File(temporary, "w") as file:
        _write_data(found, file)
    _remove_others(place, set(lists))
    return targets


def _remove_others(place: Path, written: set[str]) -> None:
    """Remove lists of classes that were replaced by fewer ones."""
    for path in place.iterdir():
        if _CLASS_LIST.fullmatch(path.name) and path.name not in written:
            path.unlink()


def _write_table(found: EmClasses, writer: Any) -> None:
    probability = found.probability
    writer.writerow(["file", "event", *COLUMNS])
    for k, label in enumerate(found.labels.tolist()):
        event = found.events[k]
        numbers = (found.rotation[k], found.scale[k], probability[k], found.agreement[k])
        known = ["" if label < 0 else label, *(_text(float(each)) for each in numbers)]
        writer.writerow([event.file, event.event, *known])


def average_rows(found: EmClasses) -> list[list[Any]]:
    """Class, events, agreement, anisotropy and symmetry, with a header."""
    rows: list[list[Any]] = [
        ["class", "events", "agreement", "anisotropy", *(f"order{n}" for n in ORDERS)]
    ]
    scores, anisotropy = found.symmetry
    for k, n in enumerate(found.counts.tolist()):
        agreed = float(found.agreement[found.labels == k].mean()) if n else math.nan
        numbers = [agreed, float(anisotropy[k]), *scores[k].tolist()]
        rows.append([k, n, *(_text(each) for each in numbers)])
    return rows


def _write_data(found: EmClasses, file: h5py.File) -> None:
    file.attrs["settings"] = json.dumps(found.settings.to_dict())
    file.attrs["q_step_per_nm"] = found.q_step
    for name in ("labels", "run_labels", "models", "weights", "probabilities", *_NUMBERS):
        value = getattr(found, name)
        if value is not None:
            file.create_dataset(name, data=value, compression="gzip")
    file["likelihoods"] = np.array(found.likelihoods)
    file["iterations"] = np.array(found.iterations, np.int64)
    file["converged"] = np.array(found.converged, bool)


def read_classes(folder: str | os.PathLike[str]) -> EmClasses:
    """Read a folder of `write_classes`.

    Raises
    ------
    UnreadableFileError
        If it has no classes or they do not fit one another.
    ListError
        If its list of events cannot be read.
    """
    path = Path(folder) / DATA
    if not path.is_file():
        raise UnreadableFileError(f"{folder} has no classes: there is no {DATA} in it.")
    events = [entry.event for entry in located(read_list(path.with_name(EVENTS)), path)]
    try:
        with h5py.File(path) as file:
            values = {
                name: file[name][()]
                for name in ("labels", "run_labels", "probabilities", "models", "weights")
            }
            found = EmClasses(
                events,
                **values,
                **{name: file[name][()] for name in _NUMBERS},
                likelihoods=tuple(file["likelihoods"][()].tolist()),
                iterations=tuple(file["iterations"][()].tolist()),
                converged=tuple(file["converged"][()].tolist()),
                settings=EmSettings.from_dict(json.loads(file.attrs["settings"])),
                q_step=float(file.attrs["q_step_per_nm"]),
            )
            n, classes = len(events), len(found)
            shapes = (
                (found.labels, (n,)),
                (found.run_labels, (len(found.likelihoods), n)),
                (found.probabilities, (n, classes)),
                (found.rotation, (n,)),
                (found.scale, (n,)),
                (values["weights"], found.models.shape),
            )
            if any(each.shape != shape for each, shape in shapes) or found.models.ndim != 3:
                raise UnreadableFileError(f"{path} does not fit the events of {EVENTS}.")
            for each in (found.labels, found.run_labels):
                if each.dtype.kind != "i" or (n and not -1 <= each.min() <= each.max() < classes):
                    raise UnreadableFileError(f"{path} has classes that are not in it.")
            known = found.labels >= 0
            if not found.likelihoods or ((found.run_labels >= 0) != known).any():
                raise UnreadableFileError(f"{path} has runs that do not fit its classes.")
            names = ("models", "weights", "probabilities", *_NUMBERS)
            if any(getattr(found, name).dtype.kind != "f" for name in names):
                raise UnreadableFileError(f"{path} has words where numbers should be.")
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFileError(f"{path} cannot be read: {error}.") from error
    return found


def montage(found: EmClasses, columns: int = 5) -> bytes:
    """The class averages beside one another, with number and events of each; PNG.

    Each on a logarithmic scale of its own; white where nothing is known.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(1.8 * columns, 2 * rows), layout="constrained")
    for k, n in enumerate(found.counts.tolist()):
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.set_axis_off()
        axes.set_title(f"{k}: {n}", fontsize=9)
        axes.imshow(shown(found.models[k]), cmap="inferno", vmin=0, vmax=1)
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)  # type: ignore[no-untyped-call]
    return out.getvalue()


def shown(model: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """A class average for the eye: logarithms, from 0 to 1; NaN where nothing is known.

    Three decades below the brightest hundredth of its pixels.
    """
    values = model.astype(np.float64)
    known = np.isfinite(values)
    high = float(np.quantile(values[known], 0.99)) if known.any() else 0.0
    if not high > 0:
        return np.where(known, 0.0, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(1 + np.log10(values / high) / 3, 0, 1), np.float64)


def _text(number: float) -> str:
    return f"{number:.6g}" if math.isfinite(number) else ""
