"""How the share of each class changes: along the run, and as its files appeared."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.decisions import FAILED, UNSURE
from napari_xfelsort.core.sorting.plan import FilePlan
from napari_xfelsort.core.sorting.tables import Table

#: Parts that a run is cut into to show its course, at most ...
MAX_BINS = 200
#: ... of this many events each, as the share of fewer is mostly chance ...
LEAST_EVENTS = 50
#: ... or a shorter run into so many.
_FEW_BINS = 10
#: Names of classes that are hits, where the model does not say which one is.
_HITS = ("good", "hit", "hits", "single")


def hit_class(class_names: Sequence[str], positive: str | None) -> str:
    """The class whose share is the hit fraction: the model's positive one, or by its name."""
    if positive in class_names and positive is not None:
        return positive
    by_name = {name.casefold(): name for name in reversed(class_names)}
    return next((by_name[name] for name in _HITS if name in by_name), class_names[0])


class CoursePart(NamedTuple):
    """Consecutive events of a run.

    Attributes
    ----------
    first : int
        Position of the first one.
    file : str
        Its file.
    counts : dict of int
        Events of each class, then unsure and failed ones.
    """

    first: int
    file: str
    counts: dict[str, int]

    def share(self, name: str) -> float | None:
        """Share of a class among the events that could be read; None where none could."""
        read = sum(self.counts.values()) - self.counts[FAILED]
        return self.counts[name] / read if read else None


def course(
    codes: NDArray[np.uint8], class_names: Sequence[str], plans: Sequence[FilePlan]
) -> list[CoursePart]:
    """The run cut into at most `MAX_BINS` equal parts of at least `LEAST_EVENTS`, if it is long.

    What is left at the end belongs to the last part if it is less than half of one.

    Parameters
    ----------
    codes : ndarray of uint8, shape (events,)
        Number of the class of each event in the order of the stack; the number of classes
        where it is unsure, anything above where it failed.
    class_names : sequence of str
        The classes.
    plans : sequence of FilePlan
        Where the events are.
    """
    names = (*class_names, UNSURE, FAILED)
    n = len(codes)
    step = max(1, min(LEAST_EVENTS, n // _FEW_BINS), -(-n // MAX_BINS))
    known = np.minimum(codes, len(names) - 1)
    firsts = list(range(0, n, step))
    if len(firsts) > 1 and 2 * (n - firsts[-1]) < step:
        firsts.pop()
    files = _files_of(firsts, plans)
    parts = []
    ends = [*firsts[1:], n] if firsts else []
    for first, end, file in zip(firsts, ends, files, strict=True):
        counts = np.bincount(known[first:end], minlength=len(names)).tolist()
        parts.append(CoursePart(first, file, dict(zip(names, counts, strict=True))))
    return parts


def _files_of(positions: Sequence[int], plans: Sequence[FilePlan]) -> list[str]:
    files = [""] * len(positions)
    wanted = np.asarray(positions, np.int64)
    for plan in plans:
        if isinstance(plan.positions, range):
            inside = (wanted >= plan.positions.start) & (wanted < plan.positions.stop)
        else:
            inside = np.isin(wanted, plan.positions)
        for k in np.flatnonzero(inside).tolist():
            files[k] = plan.source.path
    return files


def write_course(path: Path, parts: Sequence[CoursePart], hits: str) -> None:
    """Write ``hit-fraction.csv``: first, events, file, a column a class, unsure, failed, share.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    names = list(parts[0].counts) if parts else []
    rows: list[list[Any]] = [["first", "events", "file", *names, "hit_fraction"]]
    for part in parts:
        share = part.share(hits)
        told = "" if share is None else f"{share:.6f}"
        n = sum(part.counts.values())
        rows.append([part.first, n, part.file, *part.counts.values(), told])
    _write(path, rows)


def _write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text_atomic(path, text.getvalue().encode("utf-8", "replace").decode(), overwrite=True)


# --- as files appeared ------------------------------------------------------------------


class HitPoint(NamedTuple):
    """Events that a watch decided on in one round, of one file.

    Attributes
    ----------
    time : float
        When, in seconds since 1970.
    file : str
        The file.
    table : str
        Its table of decisions.
    counts : mapping of int
        The new events: of each class, then unsure and failed.
    """

    time: float
    file: str
    table: str
    counts: Mapping[str, int]


@dataclass(eq=False)
class Appearance:
    """What was decided when, while files appeared.

    Attributes
    ----------
    names : tuple of str
        The classes, then unsure and failed.
    hits : str
        The class whose share is the hit fraction.
    points : list of HitPoint
        In the order of time.
    """

    names: tuple[str, ...]
    hits: str
    points: list[HitPoint] = field(default_factory=list)

    def update(self, plans: Sequence[FilePlan], tables: Sequence[Table], now: float) -> None:
        """Add what is new in the tables; a file that was sorted anew counts once."""
        known: dict[str, dict[str, int]] = {}
        for point in self.points:
            sums = known.setdefault(point.table, dict.fromkeys(self.names, 0))
            for name, n in point.counts.items():
                sums[name] += n
        for plan, table in zip(plans, tables, strict=True):
            counts = table.state.tally.by_name()
            name = table.path.name
            before = known.pop(name, dict.fromkeys(self.names, 0))
            new = {k: n - before[k] for k, n in counts.items()}
            if any(n < 0 for n in new.values()):
                self.points = [point for point in self.points if point.table != name]
                new = counts
            if any(new.values()):
                self.points.append(HitPoint(now, plan.source.path, name, new))
        if known:  # tables that are gone
            self.points = [point for point in self.points if point.table not in known]

    def shares(self) -> list[tuple[float, float]]:
        """Number of events and hit fraction up to each point of time."""
        found, events, hits, read = [], 0, 0, 0
        for point in self.points:
            n = sum(point.counts.values())
            events += n
            read += n - point.counts[FAILED]
            hits += point.counts[self.hits]
            if read:
                found.append((float(events), hits / read))
        return found

    def write(self, path: Path) -> None:
        """Write ``watch.csv``: time, file, table, events, a column a class, unsure, failed.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        rows: list[list[Any]] = [["time", "file", "table", "events", *self.names]]
        for point in self.points:
            when = datetime.fromtimestamp(point.time, UTC).isoformat(timespec="milliseconds")
            counts = [point.counts[name] for name in self.names]
            rows.append([when, point.file, point.table, sum(counts), *counts])
        _write(path, rows)

    @classmethod
    def read(cls, path: Path, names: tuple[str, ...], hits: str) -> Appearance:
        """What an earlier watch wrote; empty where there is nothing usable."""
        found = cls(names, hits)
        try:
            if not os.path.lexists(path):
                return found
            with path.open(encoding="utf-8", newline="") as text:
                rows = csv.reader(text, strict=True)
                if next(rows) != ["time", "file", "table", "events", *names]:
                    return found
                for when, file, table, _, *counts in rows:
                    pairs = dict(zip(names, map(int, counts), strict=True))
                    time = datetime.fromisoformat(when).timestamp()
                    found.points.append(HitPoint(time, file, table, pairs))
        except (OSError, ValueError, csv.Error, StopIteration):
            found.points.clear()
        return found
