"""An order to sort: carried out beside the window, and what came of it in words."""

from __future__ import annotations

import os
from typing import NamedTuple

from napari_xfelsort.core.decisions import FAILED, UNSURE
from napari_xfelsort.core.errors import OtherResultsError
from napari_xfelsort.core.model import load_model
from napari_xfelsort.core.sorting import SortProgress, SortSettings, SortSummary, sort
from napari_xfelsort.core.sorting.folder import list_names
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.sort_table import SortBoard
from napari_xfelsort.widgets.workers import Report


class SortOrder(NamedTuple):
    """What was entered: what to sort, with what, and where to.

    Attributes
    ----------
    data : EventStack or Opened
        An open run's events, or how to open others.
    model, out : str
        Model file and folder for the results.
    workers : int or None
    scheduler : str or None
    settings : SortSettings
    """

    data: EventStack | Opened
    model: str
    out: str
    workers: int | None
    scheduler: str | None
    settings: SortSettings

    def carry_out(self, overwrite: bool, report: Report) -> SortOutcome:
        """Open, sort and write; called in a job's thread, to which progress is told."""
        model = load_model(self.model)
        report(None)
        data = self.data
        if isinstance(data, Opened):
            data = open_stack(list(data.paths), data.geometry, data.mask, data.dataset)
        board = SortBoard(data)
        names = (*model.class_names, UNSURE, FAILED)

        def tell(progress: SortProgress) -> None:
            board.note(progress)
            report((board, names))

        try:
            summary = sort(
                data,
                model,
                self.out,
                workers=self.workers,
                scheduler=self.scheduler,
                overwrite=overwrite,
                progress=tell,
                **self.settings.to_dict(),
            )
        except OtherResultsError as error:
            return SortOutcome(self, refused=str(error))
        finally:
            if data is not self.data:
                data.close()
        lists = [str(summary.out / name) for name in list_names(model.class_names).values()]
        return SortOutcome(self, summary, tuple(lists))


class SortOutcome(NamedTuple):
    """What came of it: a summary and the lists, or why results were not replaced."""

    order: SortOrder
    summary: SortSummary | None = None
    lists: tuple[str, ...] = ()
    refused: str = ""


def suggested_folder(data: str) -> str:
    """A folder for the results of sorting data: beside it where one may write, else at home."""
    path = os.path.abspath(data.split(" //")[0])
    name = os.path.splitext(os.path.basename(path))[0].strip("*?.") or "run"
    beside = os.path.dirname(path)
    if os.path.isdir(beside) and os.access(beside, os.W_OK):
        return os.path.join(beside, f"{name}-sorted")
    return os.path.join(os.path.expanduser("~"), "xfelsort", f"{name}-sorted")


def told(summary: SortSummary) -> str:
    """What came of a sort, for the message line."""
    counts = ", ".join(f"{n} {name}" for name, n in summary.totals.items())
    parts = [f"{plural(summary.events, 'event')} of {summary.n_files} sorted: {counts}."]
    kept = summary.events - summary.sorted_now
    if kept:
        parts.append(f"{kept} of them were done before.")
    if summary.problems:
        parts.append(f"{plural(len(summary.problems), 'problem')}, see the table.")
    return " ".join([*parts, *(f"Note: {warning}" for warning in summary.warnings)])


def plural(n: int, noun: str) -> str:
    """Number and noun: ``1 event``, ``5 events``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
