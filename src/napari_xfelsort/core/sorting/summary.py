"""What came of a sort: for the terminal, for a table, and for another program."""

from __future__ import annotations

import csv
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_xfelsort.core.atomic import atomic_write, write_text_atomic
from napari_xfelsort.core.decisions import FAILED
from napari_xfelsort.core.errors import Problem

#: Failures that are named on the terminal.
_TOLD = 10
_PACKAGES = ("napari-xfelsort", "numpy", "h5py", "scikit-learn", "dask", "distributed")


@dataclass(frozen=True)
class SortProgress:
    """How far a sort has come.

    Attributes
    ----------
    done_events, total_events : int
        Events that are decided on or failed, those of an earlier call included.
    done_files, total_files : int
        Files of which every event is done.
    file : str
        The file that was worked on last; empty when nothing was.
    failed : int
        Events that failed so far.
    kept_events : int
        Of the events that are done, those of an earlier call.
    number : int
        Which source of the stack that file is; -1 when none was worked on.
    counts : mapping of str to int
        Events of that file so far: each class, then unsure and failed.
    rate : float
        Events of that file that one worker decides on in a second; 0 where none was.
    """

    done_events: int
    total_events: int
    done_files: int
    total_files: int
    file: str
    failed: int
    kept_events: int = 0
    number: int = -1
    counts: Mapping[str, int] = field(default_factory=dict)
    rate: float = 0.0


@dataclass(frozen=True)
class FileResult:
    """What came of one file.

    Attributes
    ----------
    file : str
        As the user gave it.
    counts : dict of int
        Events of each class, then ``"unsure"`` and ``"failed"``.
    what : str
        What went wrong, in a sentence; empty when nothing did.
    table : str
        Its table of decisions, relative to the folder; empty when there is none.
    """

    file: str
    counts: dict[str, int]
    what: str = ""
    table: str = ""

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Number of events that could not be decided on."""
        return self.counts.get(FAILED, 0)

    @property
    def status(self) -> str:
        """``done``, ``some failed``, ``failed``, or ``problem`` for what could not be used."""
        if not self.table:
            return "problem"
        if not self.failed:
            return "done"
        return "failed" if self.failed == self.events else "some failed"


@dataclass(frozen=True)
class SortSummary:
    """What came of a sort.

    Attributes
    ----------
    out : Path
        The folder.
    files : list of FileResult
        In the order of the stack, then what could not be opened.
    totals : dict of int
        Events of each class, then ``"unsure"`` and ``"failed"``.
    failures : list of Problem
        Events and files that failed, the first of each file.
    warnings : list of str
        What the model said before it was applied.
    sorted_now : int
        Events decided on by this call; the rest was there already.
    elapsed : float
        Seconds that this call took.
    by_second : int, optional
        Where two models decided, the events that the second one decided on.
    """

    out: Path
    files: list[FileResult]
    totals: dict[str, int]
    failures: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sorted_now: int = 0
    elapsed: float = 0.0
    by_second: int | None = None

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(self.totals.values())

    @property
    def failed(self) -> int:
        """Number of events that could not be decided on."""
        return self.totals.get(FAILED, 0)

    @property
    def problems(self) -> list[Problem]:
        """Files that could not be opened or used, each with a sentence."""
        return [Problem(row.file, row.what) for row in self.files if not row.table]

    @property
    def ok(self) -> bool:
        """False when an event failed or a file could not be used."""
        return not self.failed and not self.problems

    def to_text(self) -> str:
        """The result as some lines for the terminal."""
        lines = [f"{self.events} events of {self.n_files} sorted into {self.out}"]
        width = max(len(name) for name in self.totals)
        for name, n in self.totals.items():
            share = f"{n / self.events:7.1%}" if self.events else ""
            lines.append(f"  {name:<{width}} {n:>10}  {share}".rstrip())
        if self.by_second is not None:
            share = f" ({self.by_second / self.events:.1%})" if self.events else ""
            lines.append(f"{self.by_second} of them were decided by the second model{share}.")
        if self.sorted_now < self.events:
            kept = self.events - self.sorted_now
            lines.append(f"{kept} of them were sorted by an earlier call and kept.")
        rate = f" ({self.sorted_now / self.elapsed:.0f} events/s)" if self.elapsed > 0 else ""
        lines.append(f"{self.sorted_now} events in {self.elapsed:.1f} s{rate}")
        lines += [f"Warning: {warning}" for warning in self.warnings]
        lines += [str(failure) for failure in self.failures[:_TOLD]]
        if len(self.failures) > _TOLD:
            lines.append(f"... and {len(self.failures) - _TOLD} more, see summary.csv")
        return "\n".join(lines)

    @property
    def n_files(self) -> str:
        """Number of files that were sorted, in words."""
        n = sum(bool(row.table) for row in self.files)
        return f"{n} file" if n == 1 else f"{n} files"

    def write_csv(self, path: Path) -> None:
        """Write ``summary.csv``: file, events, a column a class, unsure, failed, status, what.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with (
            atomic_write(path, overwrite=True) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
        ):
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["file", "events", *self.totals, "status", "what", "table"])
            for row in self.files:
                counts = [row.counts.get(name, 0) for name in self.totals]
                writer.writerow([row.file, row.events, *counts, row.status, row.what, row.table])


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a decision can depend on."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_run(path: Path, sections: Mapping[str, Any], inputs: Sequence[dict[str, Any]]) -> None:
    """Write ``run.toml``: how the results came about.

    Parameters
    ----------
    path : Path
        The file.
    sections : mapping
        Tables of the file.
    inputs : sequence of dict
        A table each, as ``[[inputs]]``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import tomlkit

    parts = [tomlkit.dumps(dict(sections))]
    # One by one: tomlkit takes time with the square of the entries of one document.
    parts += [f"[[inputs]]\n{tomlkit.dumps(entry)}" for entry in inputs]
    text = "\n".join(parts)
    write_text_atomic(path, text.encode("utf-8", "replace").decode(), overwrite=True)
