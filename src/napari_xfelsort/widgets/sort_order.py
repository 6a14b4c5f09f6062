"""An order to sort: carried out beside the window, and what came of it in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from napari_xfelsort.core.cascade import Cascade
from napari_xfelsort.core.decisions import FAILED, UNSURE
from napari_xfelsort.core.errors import OtherResultsError
from napari_xfelsort.core.model import Model
from napari_xfelsort.core.sorting import (
    ClusterSettings,
    SortProgress,
    SortSettings,
    SortSummary,
    WatchProgress,
    WatchSettings,
    sort,
)
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.sort_board import SortBoard, WatchBoard
from napari_xfelsort.widgets.sort_card import Deciders
from napari_xfelsort.widgets.workers import Report


class SortOrder(NamedTuple):
    """What was entered: what to sort, with what, where, and where to.

    Attributes
    ----------
    data : EventStack or Opened
        An open run's events, or how to open others.
    opened : Opened
        How they were or will be opened.
    deciders : Deciders
        Model files.
    out : str
        Folder for the results.
    workers : int or None
    scheduler : str or None
    cluster : ClusterSettings or None
    settings : SortSettings
    watching : WatchSettings or None
        Given when what appears is to be sorted as well; then ``data`` is `Opened`.
    """

    data: EventStack | Opened
    opened: Opened
    deciders: Deciders
    out: str
    workers: int | None
    scheduler: str | None
    cluster: ClusterSettings | None
    settings: SortSettings
    watching: WatchSettings | None = None

    def carry_out(self, overwrite: bool, stop: Callable[[], bool], report: Report) -> SortOutcome:
        """Open, sort and write; called in a job's thread, to which progress is told.

        Parameters
        ----------
        overwrite : bool
            Replace results of something else.
        stop : callable
            Asked whether a watch is to take all as it is and come to its end.
        report : callable
            Given the board that tells how far it is.
        """
        model = self.deciders.load()
        report(None)
        try:
            if self.watching is not None:
                return self._watch(model, overwrite, stop, report)
            return self._sort(model, overwrite, report)
        except OtherResultsError as error:
            return SortOutcome(self, refused=str(error))

    def _common(self, overwrite: bool) -> dict[str, Any]:
        return {
            "workers": self.workers,
            "scheduler": self.scheduler,
            "cluster": self.cluster,
            "overwrite": overwrite,
            **self.settings.to_dict(),
        }

    def _sort(self, model: Model | Cascade, overwrite: bool, report: Report) -> SortOutcome:
        data = self.data
        if isinstance(data, Opened):
            data = open_stack(list(data.paths), data.geometry, data.mask, data.dataset)
        board = SortBoard(data, _names(model))

        def tell(progress: SortProgress) -> None:
            board.note(progress)
            report(board)

        try:
            made = sort(data, model, self.out, progress=tell, **self._common(overwrite))
        finally:
            if data is not self.data:
                data.close()
        return SortOutcome(self, made, board)

    def _watch(
        self, model: Model | Cascade, overwrite: bool, stop: Callable[[], bool], report: Report
    ) -> SortOutcome:
        from napari_xfelsort.readers.watching import watch

        assert self.watching is not None
        board = WatchBoard(_names(model))

        def tell(progress: WatchProgress) -> None:
            board.note(progress)
            report(board)

        def asked() -> bool:
            report(board)  # what came too soon after another report, and where it is cancelled
            return stop()

        opened = self.opened
        made = watch(
            list(opened.paths),
            model,
            self.out,
            opened.geometry,
            opened.mask,
            opened.dataset,
            progress=tell,
            stop=asked,
            **self.watching.to_dict(),
            **self._common(overwrite),
        )
        return SortOutcome(self, made, board)


def _names(model: Model | Cascade) -> tuple[str, ...]:
    return (*model.class_names, UNSURE, FAILED)


class SortOutcome(NamedTuple):
    """What came of it: a summary and the board, or why results were not replaced."""

    order: SortOrder
    summary: SortSummary | None = None
    board: SortBoard | WatchBoard | None = None
    refused: str = ""


def suggested_folder(data: str) -> str:
    """A folder for the results of sorting data: beside it where one may write, else at home."""
    path = os.path.abspath(data.split(" //")[0])
    name = os.path.splitext(os.path.basename(path))[0].strip("*?.") or "run"
    beside = os.path.dirname(path)
    if os.path.isdir(beside) and os.access(beside, os.W_OK):
        return os.path.join(beside, f"{name}-sorted")
    return os.path.join(os.path.expanduser("~"), "xfelsort", f"{name}-sorted")


def told(summary: SortSummary, kept: int | None = None) -> str:
    """What came of a sort, for the message line.

    Parameters
    ----------
    summary : SortSummary
    kept : int, optional
        Events that an earlier call had done; by default those that the summary knows of,
        which of a watch is about its last look alone.
    """
    counts = ", ".join(f"{n} {name}" for name, n in summary.totals.items())
    parts = [f"{plural(summary.events, 'event')} of {summary.n_files} sorted: {counts}."]
    if summary.by_second is not None:
        parts.append(f"{summary.by_second} of them were decided by the second model.")
    parts += _kept(summary.events - summary.sorted_now if kept is None else kept)
    if summary.problems:
        parts.append(f"{plural(len(summary.problems), 'problem')}, see the table.")
    return " ".join([*parts, *(f"Note: {warning}" for warning in summary.warnings)])


def told_of_watch(progress: WatchProgress, kept: int) -> str:
    """How a watch stands, for the message line; ``kept`` events were done before."""
    parts = []
    if progress.summary is None:
        parts.append("Nothing sorted yet.")
    else:
        counts = ", ".join(f"{n} {name}" for name, n in progress.summary.totals.items())
        n_events = plural(progress.summary.events, "event")
        parts.append(f"{n_events} of {progress.summary.n_files} so far: {counts}.")
        parts += _kept(kept)
        parts += [f"Note: {warning}" for warning in progress.summary.warnings]
    files = [os.path.basename(p.file) or p.file for p in progress.waiting if p.file]
    if files:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        parts.append(f"Waiting for {', '.join(files[:3])}{more}: not readable yet.")
    parts += [p.what for p in progress.waiting if not p.file][:1]
    return " ".join(parts)


def _kept(n: int) -> list[str]:
    return [f"{n} of them were done before."] if n else []


def plural(n: int, noun: str) -> str:
    """Number and noun: ``1 event``, ``5 events``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
