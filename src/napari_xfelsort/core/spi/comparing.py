"""Selections beside one another: counts, overlap, densities, contrast, sizes."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import make_folder, write_text_atomic
from napari_xfelsort.core.errors import NoEventsError, OutputError
from napari_xfelsort.core.spi.psd import Progress, Psd, PsdReader
from napari_xfelsort.core.spi.run_sizes import SizeTable
from napari_xfelsort.core.spi.selections import (
    Selection,
    checked_names,
    common_table,
    iou_table,
    overlap,
)

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack


@dataclass(frozen=True, eq=False)
class SelectionComparison:
    """What `compare_selections` found.

    Attributes
    ----------
    names : tuple of str
        The selections.
    counts : ndarray of int, shape (selections,)
        Events of each.
    common : ndarray of int, shape (selections, selections)
        Events in both.
    iou : ndarray, shape (selections, selections)
        Events in both divided by events in either.
    together : float
        Events in all divided by events in any.
    psds : tuple of Psd
        Mean density of each.
    edges : ndarray
        Limits of the sizes counted, in nm; empty without sizes.
    histograms : ndarray of int, shape (selections, bins)
        Events of each size.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    common: NDArray[np.int64]
    iou: NDArray[np.float64]
    together: float
    psds: tuple[Psd, ...]
    edges: NDArray[np.float64]
    histograms: NDArray[np.int64]

    @property
    def gammas(self) -> list[float]:
        """Contrast of the mean density of each; says nothing about multiplicity."""
        return [psd.contrast.gamma for psd in self.psds]

    def summary_rows(self) -> list[list[Any]]:
        """Name, events, contrast and overlap with each other, with a header."""
        header = ["selection", "events", "gamma", *(f"iou {name}" for name in self.names)]
        rows: list[list[Any]] = [header]
        for k, name in enumerate(self.names):
            shares = [_text(v) for v in self.iou[k].tolist()]
            rows.append([name, int(self.counts[k]), _text(self.gammas[k]), *shares])
        return rows

    def write(self, folder: str | os.PathLike[str], overwrite: bool = False) -> list[Path]:
        """Write ``selections.csv``, ``psd.csv`` and, with sizes, ``sizes.csv`` into a folder.

        Raises
        ------
        OutputError
            If a file exists and must not be replaced, or cannot be written.
        """
        place = Path(folder)
        density = [["q_per_nm", *self.names]]
        columns = np.stack([psd.values for psd in self.psds], axis=1)
        for q, row in zip(self.psds[0].q.tolist(), columns.tolist(), strict=True):
            density.append([f"{q:.6g}", *(_text(v) for v in row)])
        tables: dict[str, list[list[Any]]] = {
            "selections.csv": self.summary_rows(),
            "psd.csv": density,
        }
        if len(self.edges):
            sizes: list[list[Any]] = [["from_nm", "to_nm", *self.names]]
            for k, counts in enumerate(self.histograms.T.tolist()):
                sizes.append([f"{self.edges[k]:g}", f"{self.edges[k + 1]:g}", *counts])
            tables["sizes.csv"] = sizes
        for name in tables:
            if (place / name).exists() and not overwrite:
                raise OutputError(f"{place / name} exists already; choose another folder.")
        make_folder(place)
        for name, rows in tables.items():
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            write_text_atomic(place / name, text.getvalue(), overwrite)
        return [place / name for name in tables]


def compare_selections(
    stack: EventStack,
    selections: Sequence[Selection],
    sizes: SizeTable | None = None,
    edges: NDArray[np.float64] | None = None,
    progress: Progress | None = None,
) -> SelectionComparison:
    """Compare selections of a run: counts, overlap, mean densities, contrast, sizes.

    Parameters
    ----------
    stack : EventStack
        The run, with a geometry.
    selections : sequence of Selection
        Of its events; with names of their own.
    sizes : SizeTable, optional
        Of the same stack, for the histograms.
    edges : ndarray, optional
        Limits of the bins in nm; of 1 nm where omitted.
    progress : callable, optional
        Called with events read and events to read.

    Raises
    ------
    NoEventsError
        If there is no selection, or one has no event of the stack.
    SettingsError
        If two have the same name.
    """
    names = checked_names(selections)
    positions = [selection.positions(stack) for selection in selections]
    for name, own in zip(names, positions, strict=True):
        if not len(own):
            raise NoEventsError(f"No event of the selection {name!r} is among the data.")
    reader = PsdReader(stack)
    total, done, psds = sum(map(len, positions)), 0, []
    for own in positions:
        before = done

        def report(n: int, of: int, before: int = before) -> None:
            if progress is not None:
                progress(before + n, total)

        psds.append(reader.mean(own.tolist(), report))
        done += len(own)
    counted: list[NDArray[np.int64]] = []
    limits = np.empty(0)
    if sizes is not None:
        limits = sizes.histogram(edges)[1]
        counted = [sizes.histogram(limits, own)[0] for own in positions]
    return SelectionComparison(
        tuple(names),
        np.array([len(s) for s in selections], np.int64),
        common_table(selections),
        iou_table(selections),
        overlap(selections),
        tuple(psds),
        limits,
        np.array(counted, np.int64).reshape(len(counted), max(0, len(limits) - 1)),
    )


def _text(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
