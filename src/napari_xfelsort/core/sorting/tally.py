"""What is counted of decisions; the tallies of blocks add up to that of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.decisions import FAILED, UNSURE, Decisions

#: Bins of the histograms of probability, from 0 to 1.
BINS = 25
#: Failed events that are kept with their sentence.
MAX_FAILURES = 20


class Extreme(NamedTuple):
    """A very sure or very unsure decision: its confidence and its row in the table."""

    confidence: float
    row: int


class Failure(NamedTuple):
    """An event without decision: its row in the table and why."""

    row: int
    what: str


@dataclass(eq=False)
class Tally:
    """Counts of some decisions.

    Attributes
    ----------
    class_names : tuple of str
        Classes of the model.
    keep : int
        Extremes kept of each class.
    counts : ndarray of int, shape (classes + 2,)
        Events of each class, then unsure and failed ones.
    histogram : ndarray of int, shape (classes, BINS)
        Probability of each class over all decided events.
    surest, least_sure : dict of list of Extreme
        By class name or ``"unsure"``; best first, earlier events first among equals.
    failures : list of Failure
        The first ones.
    """

    class_names: tuple[str, ...]
    keep: int
    counts: NDArray[np.int64] = field(init=False)
    histogram: NDArray[np.int64] = field(init=False)
    surest: dict[str, list[Extreme]] = field(init=False)
    least_sure: dict[str, list[Extreme]] = field(init=False)
    failures: list[Failure] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.class_names) + 2, np.int64)
        self.histogram = np.zeros((len(self.class_names), BINS), np.int64)
        self.surest = {name: [] for name in self._decided}
        self.least_sure = {name: [] for name in self._decided}

    @property
    def _decided(self) -> tuple[str, ...]:
        return (*self.class_names, UNSURE)

    @property
    def events(self) -> int:
        """Number of events counted."""
        return int(self.counts.sum())

    @property
    def failed(self) -> int:
        """Number of events that could not be read."""
        return int(self.counts[-1])

    def by_name(self) -> dict[str, int]:
        """Events of each class, then unsure and failed ones."""
        names = (*self.class_names, UNSURE, FAILED)
        return {name: int(n) for name, n in zip(names, self.counts, strict=True)}

    @classmethod
    def of(cls, decisions: Decisions, keep: int) -> Tally:
        """Tally of a block, rows counted from its start."""
        tally = cls(decisions.class_names, keep)
        tally.counts[:] = list(decisions.counts().values())
        for k, column in enumerate(decisions.probabilities.T):
            seen = column[np.isfinite(column)]
            tally.histogram[k] = np.histogram(seen, BINS, (0.0, 1.0))[0]
        for name in tally._decided:
            tally._find_extremes(name, decisions)
        for row in np.flatnonzero(decisions.chosen == FAILED)[:MAX_FAILURES].tolist():
            tally.failures.append(Failure(row, decisions.flags[row]))
        return tally

    def _find_extremes(self, name: str, decisions: Decisions) -> None:
        rows = np.flatnonzero(decisions.chosen == name)
        if not self.keep or not len(rows):
            return
        values = decisions.probabilities[rows]
        if name in self.class_names:
            confidence = values[:, self.class_names.index(name)]
        else:
            confidence = np.max(values, axis=1, initial=0.0, where=np.isfinite(values))
        finite = np.isfinite(confidence)
        rows, confidence = rows[finite], confidence[finite]
        for target, order in ((self.surest, -confidence), (self.least_sure, confidence)):
            best = np.argsort(order, kind="stable")[: self.keep].tolist()
            target[name] = [Extreme(float(confidence[k]), int(rows[k])) for k in best]

    def add(self, other: Tally, offset: int) -> None:
        """Add the tally of rows that start at ``offset``."""
        self.counts += other.counts
        self.histogram += other.histogram
        for name in self._decided:
            for mine, new, best_first in (
                (self.surest, other.surest, True),
                (self.least_sure, other.least_sure, False),
            ):
                moved = [Extreme(e.confidence, e.row + offset) for e in new[name]]
                # Python's sort is stable: earlier events stay first among equals.
                merged = sorted(
                    [*mine[name], *moved], key=attrgetter("confidence"), reverse=best_first
                )
                mine[name] = merged[: self.keep]
        room = MAX_FAILURES - len(self.failures)
        self.failures += [Failure(f.row + offset, f.what) for f in other.failures[:room]]

    def to_dict(self) -> dict[str, Any]:
        """The tally for JSON."""
        return {
            "class_names": list(self.class_names),
            "keep": self.keep,
            "counts": self.counts.tolist(),
            "histogram": self.histogram.tolist(),
            "surest": self.surest,
            "least_sure": self.least_sure,
            "failures": self.failures,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        """Tally from `to_dict`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the values are no tally.
        """
        tally = cls(tuple(str(name) for name in values["class_names"]), int(values["keep"]))
        tally.counts[:] = values["counts"]
        tally.histogram[:] = values["histogram"]
        for mine, given in (
            (tally.surest, values["surest"]),
            (tally.least_sure, values["least_sure"]),
        ):
            for name in tally._decided:
                mine[name] = [Extreme(float(c), int(row)) for c, row in given[name]]
        tally.failures = [Failure(int(row), str(what)) for row, what in values["failures"]]
        return tally
