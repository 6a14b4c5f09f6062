"""The events of a run and their labels as a Qt table; nothing of it grows with the run but
two numbers an event."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from napari_xfelsort.core.agreement import PairAgreement, disagreements, pair_agreements
from napari_xfelsort.core.label_journal import split_label
from napari_xfelsort.core.label_match import EventKey, stack_keys
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.overlay import label_colour
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Report

COLUMNS = ("event", "name", "label", "labeller", "source")
_NUMBER, _NAME, _LABEL, _LABELLER, _SOURCE = range(5)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
#: Up to so many rows come and go one by one, so that selection and scrolling stay.
_FEW = 16


class EventFilter(NamedTuple):
    """Which events are listed; all that apply must hold.

    Attributes
    ----------
    label : str or None
        A class or ``"ignore"``; empty for events without a label; None for any.
    labeller : str or None
        Events that this labeller, or rule, has labelled.
    file : str or None
        Path of a file of the run.
    disagreement : bool
        Only events that labellers disagree on, until settled.
    """

    label: str | None = None
    labeller: str | None = None
    file: str | None = None
    disagreement: bool = False


class Comparison(NamedTuple):
    """What labellers said of a run, beside its events; made by `compare`.

    Attributes
    ----------
    labelled : dict of str to ndarray of int64
        Events that each labeller, or rule, has labelled.
    disputed : ndarray of int64
        Events that labellers disagree on and nobody settled, ascending.
    pairs : list of PairAgreement
        Of every two labellers, over the whole label folder.
    """

    labelled: dict[str, NDArray[np.int64]] = {}  # noqa: RUF012  (a tuple's default)
    disputed: NDArray[np.int64] = np.zeros(0, np.int64)
    pairs: list[PairAgreement] = []  # noqa: RUF012


def comparing(store: LabelStore, stack: EventStack) -> Callable[[Report], Comparison]:
    """Work that compares labellers; takes a second for a hundred thousand events.

    Parameters
    ----------
    store : LabelStore
        A copy that nobody writes to meanwhile.
    stack : EventStack
        The events of the run.
    """

    def among(keys: Iterable[EventKey], positions: dict[EventKey, int]) -> NDArray[np.int64]:
        found = [positions[key] for key in keys if key in positions]
        return np.sort(np.array(found, np.int64))

    def work(report: Report) -> Comparison:
        positions = {key: i for i, key in enumerate(stack_keys(stack))}
        labelled = {}
        for voice in store.voices:
            report(None)
            said = store.said(voice).items()
            labelled[voice] = among((key for key, entry in said if entry.label), positions)
        if len(store.voices) < 2:
            return Comparison(labelled)
        disputed = disagreements(store)
        report(None)
        keys = (store.key(each.event) for each in disputed)
        return Comparison(labelled, among(keys, positions), pair_agreements(store))

    return work


class EventRows:
    """Which events of a run a filter leaves.

    Parameters
    ----------
    run : Run
        The run.

    Attributes
    ----------
    compared : Comparison
        What filters by labeller and by disagreement go by.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.compared = Comparison()

    def rows(self, wanted: EventFilter) -> NDArray[np.int64]:
        """Numbers of the events, ascending."""
        n, tally = len(self.run), self.run.tally
        chosen = np.ones(n, bool)
        if wanted.label is not None:
            chosen &= wanted.label == "" if tally is None else tally.having(wanted.label)
        if wanted.file is not None:
            chosen &= self._in_file(wanted.file)
        if wanted.labeller is not None:
            labelled = self.compared.labelled.get(wanted.labeller)
            chosen &= self._among(self.compared.disputed[:0] if labelled is None else labelled)
        if wanted.disagreement:
            chosen &= self._among(self.compared.disputed)
        return np.flatnonzero(chosen).astype(np.int64)

    def _in_file(self, file: str) -> NDArray[np.bool_]:
        chosen = np.zeros(len(self.run), bool)
        for block in self.run.stack.blocks(1 << 16):
            if block.source.path == file:
                chosen[block.positions] = True
        return chosen

    def _among(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        chosen = np.zeros(len(self.run), bool)
        chosen[numbers[numbers < len(chosen)]] = True
        return chosen

    def files(self) -> dict[str, Counter[str]]:
        """How many events of each file have each class; ``""`` counts those without."""
        counts: dict[str, Counter[str]] = {}
        tally = self.run.tally
        for block in self.run.stack.blocks(1 << 16):
            n = len(block.positions)
            found = {"": n} if tally is None else tally.counts_of(block.positions)
            counts.setdefault(block.source.path, Counter()).update(found)
        return counts


def _parts(label: str) -> tuple[str, ...]:
    return split_label(label) or (label,)


def file_summary(path: str, counts: Counter[str], n_events: int) -> str:
    """A line on the labels of a file."""
    labelled = n_events - counts[""]
    each = ", ".join(f"{name}: {counts[name]}" for name in sorted(counts) if name)
    return f"{os.path.basename(path)}: {labelled} of {n_events} labelled" + (
        f" ({each})" if each else ""
    )


class EventTableModel(QAbstractTableModel):
    """Rows are made when they are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.rows: NDArray[np.int64] = np.zeros(0, np.int64)

    def show_run(self, run: Run | None, rows: NDArray[np.int64]) -> None:
        """Show events of a run."""
        self.beginResetModel()
        self.run, self.rows = run, rows
        self.endResetModel()

    def set_rows(self, rows: NDArray[np.int64]) -> None:
        """Show other events of the run; a few come and go without disturbing the rest."""
        gone = np.setdiff1d(self.rows, rows, assume_unique=True)
        new = np.setdiff1d(rows, self.rows, assume_unique=True)
        if gone.size + new.size > _FEW:
            self.show_run(self.run, rows)
            return
        for i in gone.tolist():
            at = int(np.searchsorted(self.rows, i))
            self.beginRemoveRows(QModelIndex(), at, at)
            self.rows = np.delete(self.rows, at)
            self.endRemoveRows()
        for i in new.tolist():
            at = int(np.searchsorted(self.rows, i))
            self.beginInsertRows(QModelIndex(), at, at)
            self.rows = np.insert(self.rows, at, i)
            self.endInsertRows()

    def labels_changed(self) -> None:
        """What is seen of the labels is drawn anew; nothing is reset."""
        if self.rows.size:
            last = self.index(len(self.rows) - 1, _SOURCE)
            self.dataChanged.emit(self.index(0, _LABEL), last)

    def row_of(self, i: int) -> int | None:
        """The row of event ``i``; None when it is not listed."""
        at = int(np.searchsorted(self.rows, i))
        return at if at < len(self.rows) and self.rows[at] == i else None

    # -- Qt's questions

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of events listed."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        run, column = self.run, index.column()
        if run is None or not index.isValid() or index.row() >= len(self.rows):
            return None
        i = int(self.rows[index.row()])
        if i >= len(run):  # the stack was replaced a moment ago
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(run, i, column)
        if role == Qt.ItemDataRole.ToolTipRole and column == _NAME:
            return str(run.stack.event_id(i))
        if role == Qt.ItemDataRole.TextAlignmentRole and column == _NUMBER:
            return _RIGHT
        if role == Qt.ItemDataRole.ForegroundRole and column == _LABEL:
            return QColor(label_colour(run.label_of(i), run.classes))
        return None

    def _text(self, run: Run, i: int, column: int) -> str:
        if column == _NUMBER:
            return str(i)
        if column == _NAME:
            return run.stack.event_id(i).short
        label = run.label_of(i)
        if column == _LABEL:
            return " + ".join(_parts(label)) if label else ""
        entry = None if run.labels is None else run.labels.entry(run.stack.event_id(i))
        if label is None or entry is None:
            return ""
        return entry.labeller if column == _LABELLER else entry.source
