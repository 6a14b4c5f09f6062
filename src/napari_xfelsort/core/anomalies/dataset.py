"""Labelled pictures in a folder with a table beside them, as the RefleX data are published.

Names of columns differ between such tables, so they are taken liberally; what was not
understood is told.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.errors import LabelError, Problem, UnreadableFileError

#: What else a class is called; letters only.
_WORDS = {
    "loop_scattering": ("loop", "loopscattering", "loopscatter", "loops"),
    "background_ring": ("backgroundring", "bgring", "backgroundrings", "ringbackground"),
    "strong_background": ("strongbackground", "strongbg", "highbackground", "background"),
    "diffuse_scattering": ("diffuse", "diffusescattering", "diffusescatter"),
    "artifact": ("artifact", "artifacts", "artefact", "artefacts"),
    "ice_ring": ("ice", "icering", "icerings"),
    "non_uniform_detector": (
        *("nonuniform", "nonuniformdetector", "nonunif", "nonuniformdetectorresponse"),
        *("nonuniformresponse", "detectornonuniformity"),
    ),
}
_IMAGE = ("image", "imagename", "img", "imageid", "file", "filename", "name", "id", "picture")
_TAGS = ("tags", "labels", "label", "classes", "anomalies")
_YES, _NO = ("true", "yes", "y", "t", "x"), ("false", "no", "n", "f", "", "nan", "none", "na")
_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
_CENTER_ROW = ("row", "y", "cy", "centery", "beamy", "ycenter")
_CENTER_COLUMN = ("col", "column", "x", "cx", "centerx", "beamx", "xcenter")
_MOST_TOLD = 20


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures and what they are labelled with.

    Attributes
    ----------
    paths : list of Path
        The pictures.
    class_names : tuple of str
        Classes that the table has.
    scores : ndarray, shape (pictures, classes)
        0 or 1, or between where raters disagreed: the mean of the rows of a picture.
    problems : list of Problem
        Columns, values and pictures that could not be used.
    """

    paths: list[Path]
    class_names: tuple[str, ...]
    scores: NDArray[np.float64]
    problems: list[Problem]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Classes that at least half of the raters saw."""
        return np.asarray(self.scores >= 0.5)


def read_labelled_pictures(
    folder: str | os.PathLike[str], table: str | os.PathLike[str] | None = None
) -> LabelledPictures:
    """Read a table of labels, and find its pictures.

    Parameters
    ----------
    folder : path
        Pictures, also in folders below.
    table : path, optional
        CSV; the only one in the folder when omitted. It has a column of pictures (named
        image, file, name ... with or without ending; the first when none is), and either a
        column for each class (0/1, yes/no, or shares of raters) or one of tags, which are
        divided by blanks, commas, semicolons or ``|``.

    Raises
    ------
    LabelError
        If there is no such folder or table, or not exactly one table; if no class was
        understood, or none of its pictures was found.
    """
    place = Path(folder)
    if not place.is_dir():
        raise LabelError(f"There is no folder {place}.")
    file = Path(table) if table is not None else _only_table(place)
    header, rows = _read_table(file)
    problems: list[Problem] = []
    columns = {k: name for k, text in enumerate(header) if (name := anomaly_of(text))}
    image = _column(header, _IMAGE)
    image = 0 if image is None else image
    columns.pop(image, None)
    tags = None if columns else _column(header, _TAGS)
    if not columns and tags is None:
        raise LabelError(
            f"No column of {file} names an anomaly ({', '.join(ANOMALIES)}) or is called tags; "
            f"it has {', '.join(header)}."
        )
    unknown = [h for k, h in enumerate(header) if k not in columns and k not in (image, tags)]
    if unknown:
        problems.append(Problem(str(file), f"Columns not understood: {', '.join(unknown)}."))
    said: dict[str, list[dict[str, float]]] = {}
    misread: dict[str, None] = {}
    for row in rows:
        if tags is None:
            scores = _of_columns(row, columns, misread)
        else:
            scores = _of_tags(row[tags] if tags < len(row) else "", misread)
        if image < len(row) and row[image].strip():
            said.setdefault(row[image].strip(), []).append(scores)
    if misread:
        told = ", ".join(repr(m) for m in list(misread)[:_MOST_TOLD])
        problems.append(Problem(str(file), f"Values not understood: {told}."))
    seen = set(columns.values()) | {n for each in said.values() for row in each for n in row}
    names = tuple(name for name in ANOMALIES if name in seen)
    return _found(place, file, said, names, problems)


def read_centers(path: str | os.PathLike[str]) -> dict[str, tuple[float, float]]:
    """Beam centres (y, x) of pictures, by name without ending, from a CSV.

    Raises
    ------
    LabelError
        If it cannot be read, or has no columns of rows and columns.
    """
    header, rows = _read_table(Path(path))
    image, y, x = (_column(header, words) for words in (_IMAGE, _CENTER_ROW, _CENTER_COLUMN))
    if y is None or x is None:
        raise LabelError(f"{path} has no columns for row and column of the beam.")
    found = {}
    for row in rows:
        try:
            place = float(row[y]), float(row[x])
        except (ValueError, IndexError):
            continue
        if all(map(math.isfinite, place)):
            found[_stem(row[image or 0].strip())] = place
    return found


def read_picture(path: str | os.PathLike[str], inverted: bool = True) -> NDArray[np.float32]:
    """A picture as numbers that grow with the counts; shape (rows, columns).

    Parameters
    ----------
    path : path
        PNG, JPEG, TIFF ...
    inverted : bool
        Whether what is dark has many counts, as in the published pictures.

    Raises
    ------
    UnreadableFileError
        If it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            deep = picture.mode in ("I", "F", "I;16")
            values = np.asarray(picture if deep else picture.convert("L"), np.float32)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableFileError(f"The picture {path} cannot be read: {error}.") from error
    return values.max(initial=0) - values if inverted else values


def anomaly_of(text: str) -> str | None:
    """The anomaly that a column or tag means, None when it is none."""
    word = re.sub(r"[^a-z]", "", text.lower())
    for name, words in _WORDS.items():
        if word == name.replace("_", "") or word in words:
            return name
    return None


def _of_columns(
    row: Sequence[str], columns: Mapping[int, str], misread: dict[str, None]
) -> dict[str, float]:
    scores = {}
    for k, name in columns.items():
        text = row[k].strip().lower() if k < len(row) else ""
        if text in _YES or text in _NO:
            scores[name] = float(text in _YES)
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if 0 <= value <= 1:
            scores[name] = value
        else:
            misread[text] = None
    return scores


def _of_tags(text: str, misread: dict[str, None]) -> dict[str, float]:
    scores = {}
    for tag in re.split(r"[\s,;|]+", text.strip()):
        name = anomaly_of(tag)
        if name is not None:
            scores[name] = 1.0
        elif tag.lower() not in (*_NO, "clean", "good", "ok"):
            misread[tag] = None
    return scores


def _found(
    place: Path,
    file: Path,
    said: Mapping[str, Sequence[Mapping[str, float]]],
    names: tuple[str, ...],
    problems: list[Problem],
) -> LabelledPictures:
    """The pictures that are there, and the mean of what is said of each."""
    there = _pictures(place)
    paths: list[Path] = []
    scores: list[list[float]] = []
    lost: list[str] = []
    for text, rows in said.items():
        path = there.get(Path(text).name) or there.get(_stem(text))
        if path is None:
            lost.append(text)
            continue
        paths.append(path)
        scores.append([float(np.mean([row.get(n, 0.0) for row in rows])) for n in names])
    if lost:
        some = ", ".join(lost[:3])
        more = " ..." if len(lost) > 3 else ""
        problems.append(
            Problem(str(file), f"{len(lost)} of {len(said)} pictures are not there: {some}{more}")
        )
    if not paths:
        raise LabelError(f"None of the {len(said)} pictures of {file} is in {place}.")
    return LabelledPictures(paths, names, np.array(scores).reshape(len(paths), -1), problems)


def _pictures(place: Path) -> dict[str, Path]:
    """Pictures below a folder, by name and by name without ending."""
    found: dict[str, Path] = {}
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() in _ENDINGS and path.is_file():
            found.setdefault(path.name, path)
            found.setdefault(path.stem, path)
    return found


def _stem(text: str) -> str:
    path = Path(text)
    return path.stem if path.suffix.lower() in _ENDINGS else path.name


def _only_table(place: Path) -> Path:
    tables = sorted(place.glob("*.csv"))
    if len(tables) != 1:
        raise LabelError(
            f"There are {len(tables)} tables (*.csv) in {place}; say which has the labels."
        )
    return tables[0]


def _read_table(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"The table {file} cannot be read: {error}.") from error
    if len(rows) < 2:
        raise LabelError(f"The table {file} has no rows.")
    return [text.strip() for text in rows[0]], rows[1:]


def _column(header: Iterable[str], words: tuple[str, ...]) -> Any:
    for k, text in enumerate(header):
        if re.sub(r"[^a-z]", "", text.lower()) in words:
            return k
    return None
