"""What a model says of each event, and the table it is written to."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.events import EventId

#: Decision for an event that was read but fits no class well enough.
UNSURE = "unsure"
#: Decision for an event that could not be read.
FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions on some events, in their order in the stack.

    Attributes
    ----------
    event_ids : list of EventId
        The events.
    class_names : tuple of str
        The classes that the model knows, in the order of the probabilities.
    chosen : ndarray of str, shape (events,)
        A class name, ``"unsure"`` or ``"failed"``.
    probabilities : ndarray of float64, shape (events, classes)
        NaN where there is no decision.
    flags : list of str
        A sentence on what was unusual about the event, mostly empty; begins with the model
        that decided where there are two.
    """

    event_ids: list[EventId]
    class_names: tuple[str, ...]
    chosen: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    flags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.event_ids)
        if not self.flags:
            object.__setattr__(self, "flags", [""] * n)
        shapes = (self.chosen.shape, self.probabilities.shape, len(self.flags))
        if shapes != ((n,), (n, len(self.class_names)), n):
            raise ValueError(f"{n} events and {len(self.class_names)} classes, but {shapes}")

    def __len__(self) -> int:
        return len(self.event_ids)

    @property
    def classes(self) -> NDArray[np.str_]:
        """The decision on each event: a class name, ``"unsure"`` or ``"failed"``."""
        return self.chosen

    def counts(self) -> dict[str, int]:
        """Number of events of each class, then of unsure and failed ones."""
        names = (*self.class_names, UNSURE, FAILED)
        return {name: int(np.count_nonzero(self.chosen == name)) for name in names}

    def events_of(self, name: str) -> list[EventId]:
        """The events decided as this class, ``"unsure"`` or ``"failed"``."""
        return [self.event_ids[i] for i in np.flatnonzero(self.chosen == name)]

    @classmethod
    def concatenate(cls, parts: Sequence[Decisions]) -> Decisions:
        """Decisions of one model on several blocks, one after another.

        Raises
        ------
        ValueError
            If there are no parts, or their classes differ.
        """
        if not parts or any(part.class_names != parts[0].class_names for part in parts):
            raise ValueError("decisions of different models cannot be joined")
        return cls(
            [event for part in parts for event in part.event_ids],
            parts[0].class_names,
            np.concatenate([part.chosen for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            [flag for part in parts for flag in part.flags],
        )

    def write_csv(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the table: file, event, class, p_CLASS ..., flags; one row an event.

        Probabilities are written so that reading them gives the same numbers.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, or cannot be written.
        """
        with (
            atomic_write(path, overwrite) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(table_header(self.class_names))
            writer.writerows(self.table_rows())

    def table_rows(self) -> Iterator[list[str]]:
        """Rows of the table without its header; a probability that is not known is empty."""
        for event, chosen, probabilities, flags in zip(
            self.event_ids,
            self.chosen.tolist(),
            self.probabilities.tolist(),
            self.flags,
            strict=True,
        ):
            values = ["" if p != p else repr(p) for p in probabilities]
            yield [event.file, event.event, chosen, *values, flags]

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> Decisions:
        """Read a table written by `write_csv`.

        Raises
        ------
        UnreadableFileError
            If the file cannot be read or is no such table; names the line.
        """
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as text:
                return cls._from_rows(csv.reader(text, strict=True), str(path))
        except (OSError, csv.Error) as error:
            raise UnreadableFileError(
                f"The decisions in {path} cannot be read: {error}."
            ) from error

    @classmethod
    def _from_rows(cls, rows: Iterable[list[str]], path: str) -> Decisions:
        rows = iter(rows)
        header = next(rows, [])
        names = tuple(name.removeprefix("p_") for name in header[3:-1])
        if header != table_header(names):
            raise UnreadableFileError(
                f"{path} is no table of decisions: its first line must be "
                "file, event, class, p_CLASS ..., flags."
            )
        events: list[EventId] = []
        chosen: list[str] = []
        probabilities: list[list[float]] = []
        flags: list[str] = []
        for number, row in enumerate(rows, start=2):
            values = _numbers(row[3:-1]) if len(row) == len(header) else None
            if values is None or row[2] not in (*names, UNSURE, FAILED):
                raise UnreadableFileError(
                    f"Row {number} of {path} is not a decision on an event; the table was "
                    "cut off or changed."
                )
            events.append(EventId(row[0], row[1]))
            chosen.append(row[2])
            probabilities.append(values)
            flags.append(row[-1])
        array = np.array(probabilities, np.float64).reshape(len(events), len(names))
        return cls(events, names, np.array(chosen, np.str_), array, flags)


def table_header(names: Sequence[str]) -> list[str]:
    """Column names of a table of decisions."""
    return ["file", "event", "class", *(f"p_{name}" for name in names), "flags"]


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) if cell else float("nan") for cell in cells]
    except ValueError:
        return None


def unknown(n: int, n_classes: int) -> NDArray[np.float64]:
    """Probabilities of events without a decision."""
    return np.full((n, n_classes), np.nan)
