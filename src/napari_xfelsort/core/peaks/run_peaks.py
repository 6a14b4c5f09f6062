"""The peaks of a run: hits, powder of peaks, tables and CXI files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write
from napari_xfelsort.core.export.exporting import refuse_inputs
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.peaks.peak_list import PeakList
from napari_xfelsort.core.peaks.settings import PeakSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.label_history import LabelHistory
    from napari_xfelsort.core.label_rules import RuleOutcome
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.stack import EventStack

#: Labels that `RunPeaks.store_labels` gives have the source ``rule:found_peaks``.
RULE_NAME = "found_peaks"
#: Labels of hits, and of the other events.
HIT, BLANK = "hit", "blank"

_EVENT_COLUMNS = ("file", "event", "status", "peaks", "intensity", "best_resolution")
_PEAK_COLUMNS = (
    *("file", "event", "panel", "fs", "ss", "x", "y"),
    *("radius", "resolution", "intensity", "snr", "pixels"),
)


@dataclass(frozen=True, eq=False)
class RunPeaks:
    """Peaks of all events of a stack, in its order; every event once.

    Attributes
    ----------
    stack : EventStack
        The run.
    settings : PeakSettings
        How they were found.
    lists : list of PeakList
        Of each event; none for one that could not be read.
    problems : dict of int to str
        Why an event (its position) could not be read.
    left_out : int
        Peaks that were left out because they repeat from event to event.
    """

    stack: EventStack
    settings: PeakSettings
    lists: list[PeakList]
    problems: dict[int, str] = field(default_factory=dict)
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of peaks of each event; -1 where it could not be read."""
        counts = np.array([len(peaks) for peaks in self.lists], np.int64)
        counts[list(self.problems)] = -1
        return counts

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Events with at least as many peaks as the settings want."""
        return np.asarray(self.counts >= self.settings.min_peaks)

    @property
    def statuses(self) -> list[str]:
        """``hit``, ``blank`` or ``unreadable`` for each event."""
        return [
            "unreadable" if i in self.problems else HIT if hit else BLANK
            for i, hit in enumerate(self.hits)
        ]

    def powder(self, intensities: bool = True) -> NDArray[np.float32]:
        """All peaks of the run in one picture of the frame as stored.

        Parameters
        ----------
        intensities : bool
            Add intensities at the pixel of each peak; else count peaks.

        Returns
        -------
        ndarray, raw shape
        """
        shape = self.stack.raw_shape
        flat = np.zeros(int(np.prod(shape)), np.float32)
        for peaks in self.lists:
            row, column = (np.rint(place).astype(np.int64) for place in (peaks.ss, peaks.fs))
            amount = peaks.intensity if intensities else np.ones(len(peaks))
            np.add.at(flat, row * shape[-1] + column, amount.astype(np.float32))
        return flat.reshape(shape)

    # -- labels and lists

    def store_labels(
        self, store: LabelStore, relabel: bool = False, history: LabelHistory | None = None
    ) -> RuleOutcome:
        """Label hits and blanks, with one write to disk; a rule that can be withdrawn.

        Parameters
        ----------
        store : LabelStore
            Where to.
        relabel : bool
            Replace labels that no rule gave (by hand, from lists) too.
        history : LabelHistory, optional
            Of this store; this is then one step that can be undone.

        Raises
        ------
        LabelError
            If labels cannot be stored.
        """
        from napari_xfelsort.core.label_rules import LabelRule, apply_rule

        counts = self.counts.astype(np.float64)
        counts[counts < 0] = np.nan
        told = "; ".join(f"{name}={value}" for name, value in self.settings.to_dict().items())
        low = float(self.settings.min_peaks)
        rule = LabelRule(RULE_NAME, low=low, inside=HIT, outside=BLANK, what=told)
        return apply_rule(store, self.stack, counts, rule, relabel, history)

    def write_list(
        self, path: str | os.PathLike[str], status: str = HIT, overwrite: bool = False
    ) -> int:
        """Write a CrystFEL list of the events of one status; how many there are.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, holds the events themselves, or cannot
            be written.
        """
        refuse_inputs(self.stack, Path(path))
        ids = (self.stack.event_id(i) for i, s in enumerate(self.statuses) if s == status)
        return write_list(path, ids, overwrite=overwrite)

    # -- tables

    def write_events(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a table (CSV) with a row for each event; complete or not at all.

        Columns: file, event, status, peaks, intensity (the sum), best_resolution (angstrom).

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, holds the events themselves, or cannot
            be written.
        """
        refuse_inputs(self.stack, Path(path))
        _write_csv(path, _EVENT_COLUMNS, self._event_rows(), overwrite)

    def write_peaks(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a table (CSV) with a row for each peak; complete or not at all.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, holds the events themselves, or cannot
            be written.
        """
        refuse_inputs(self.stack, Path(path))
        _write_csv(path, _PEAK_COLUMNS, self._peak_rows(), overwrite)

    def write_cxi(
        self,
        path: str | os.PathLike[str],
        positions: Sequence[int] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a CXI file with the peaks of events, which shows their frames where they are.

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, holds the events themselves, or frames
            cannot be shown.
        """
        from napari_xfelsort.core.peaks.peak_file import write_peak_cxi

        refuse_inputs(self.stack, Path(path))
        chosen = range(len(self)) if positions is None else positions
        stack = self.stack if positions is None else self.stack.subset(positions)
        lists = [self.lists[i] for i in chosen]
        write_peak_cxi(Path(path), stack, lists, self.settings, overwrite)

    def _event_rows(self) -> Iterator[list[Any]]:
        for i, (peaks, status) in enumerate(zip(self.lists, self.statuses, strict=True)):
            known = peaks.resolution[np.isfinite(peaks.resolution)]
            best = _number(known.min()) if len(known) else ""
            readable = status != "unreadable"
            total = _number(peaks.intensity.sum())
            yield [*self._name(i), status, *([len(peaks), total, best] if readable else [""] * 3)]

    def _peak_rows(self) -> Iterator[list[Any]]:
        for i, peaks in enumerate(self.lists):
            numbers = (peaks.fs, peaks.ss, peaks.x, peaks.y, peaks.radius, peaks.resolution)
            columns = zip(*numbers, peaks.intensity, peaks.snr, strict=True)
            for panel, values, pixels in zip(
                peaks.panel_names, columns, peaks.n_pixels.tolist(), strict=True
            ):
                yield [*self._name(i), panel, *map(_number, values), pixels]

    def _name(self, i: int) -> tuple[str, str]:
        event = self.stack.event_id(i)
        return event.place or event.file, event.event


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def _write_csv(
    path: str | os.PathLike[str],
    columns: Sequence[str],
    rows: Iterator[list[Any]],
    overwrite: bool,
) -> None:
    with (
        atomic_write(path, overwrite) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
