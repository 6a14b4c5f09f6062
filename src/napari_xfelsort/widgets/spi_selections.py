"""Selections in the SPI dock: files, sets, overlap, browsing, labels."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_xfelsort.core.errors import OutputError, XfelsortError
from napari_xfelsort.core.label_history import LabelHistory
from napari_xfelsort.core.label_rules import LabelRule, RuleOutcome, apply_rule, withdraw
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.spi.selections import Selection, iou_table
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import (
    Message,
    button,
    choose_whole_rows,
    label_folder_field,
    row,
    text_line,
)
from napari_xfelsort.widgets.forms import file_to_write
from napari_xfelsort.widgets.spi_tab import Chosen, Selections, SpiTab

_LISTS = "Lists of events (*.lst);;All files (*)"
#: Name of the rule that labels are given by.
RULE_NAME = "selection"
_REMOVE = "Forget it; lists that were read stay, the list kept of it goes to the folder removed"


def labelling(
    stack: EventStack, chosen: Chosen, label: str, store: LabelStore, history: LabelHistory
) -> RuleOutcome:
    """Work: label the events of a selection; one step to undo."""
    inside = np.full(len(stack), np.nan)
    inside[chosen.numbers] = 1.0
    rule = LabelRule(RULE_NAME, 0.5, 1.5, label, "", f"selection {chosen.selection.name}")
    return apply_rule(store, stack, inside, rule, history=history)


def taking_back(store: LabelStore, history: LabelHistory) -> int:
    """Work: take these labels back; one step to undo."""
    return withdraw(store, f"rule:{RULE_NAME}", history)


def told(name: str, chosen: Chosen) -> str:
    """What is known of a selection, in some lines."""
    lines = [name]
    if chosen.how:
        lines.append(chosen.how[0].upper() + chosen.how[1:])
    kept = chosen.kept
    if kept is not None:
        if kept.made:
            lines.append(f"{_local(kept.made)}, by {kept.by}")
        lines.append(f"Kept in {kept.path}")
    return "\n".join(lines)


def _short(folder: str) -> str:
    """The end of a path, for narrow docks."""
    return os.path.join("…", *Path(folder).parts[-2:])


def _local(made: str) -> str:
    try:
        return f"{datetime.fromisoformat(made).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return made


class SelectionsTab(SpiTab):
    """The selections made so far, and what can be done with them."""

    #: Work with labels of the run: what it does, the function, whether labels are made.
    labels_wanted = Signal(str, object, bool)

    def __init__(self, selections: Selections) -> None:
        super().__init__(selections)
        self._build()
        selections.changed.connect(self._show)
        self._show()

    @property
    def names(self) -> list[str]:
        """The selections that are selected in the table, from the top."""
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        return [self.table.item(k, 0).text() for k in rows]

    def set_busy(self, busy: bool) -> None:
        """Labels are written once at a time."""
        self.labels.setEnabled(not busy)

    # --- sets ---------------------------------------------------------------------------

    def unite(self) -> None:
        """Events in any of those selected."""
        self._combine(Selection.__or__, "union of")

    def intersect(self) -> None:
        """Events in all of them."""
        self._combine(Selection.__and__, "intersection of")

    def subtract(self) -> None:
        """Events of the first that are in none of the others."""
        self._combine(Selection.__sub__, "difference of")

    def _combine(self, how: Callable[[Selection, Selection], Selection], words: str) -> None:
        names = self.names
        if len(names) < 2:
            self.told.emit("Select two or more selections in the table, with Ctrl.", False)
            return
        made = functools.reduce(how, (self.selections.items[name].selection for name in names))
        if not len(made):
            self.told.emit(f"{made.name} has no event.", False)
            return
        name = self.selections.add(made, f"{words} {', '.join(map(repr, names))}")
        self.tell_made(name, f"{name} has {len(made)} events.")

    def remove(self) -> None:
        """Forget those that are selected; their lists are put aside."""
        for name in self.names:
            try:
                aside = self.selections.remove(name)
            except OutputError as error:
                self.told.emit(str(error), False)
                return
            where = f" Its list is in {_short(os.path.dirname(aside))}." if aside else ""
            self.told.emit(f"{name!r} was removed.{where}", True)

    def next_event(self) -> None:
        """Show the next event of the selection."""
        name = self._one()
        if name is not None:
            self.browsed.emit(self.selections.items[name].numbers)

    def _one(self) -> str | None:
        names = self.names
        if len(names) != 1:
            self.told.emit("Select one selection in the table.", False)
            return None
        return names[0]

    # --- files and labels ---------------------------------------------------------------

    def load(self) -> None:
        """Ask for lists and read them."""
        for path in QFileDialog.getOpenFileNames(self, "Read lists", "", _LISTS)[0]:
            try:
                read = Selection.load(path)
            except XfelsortError as error:
                self.told.emit(str(error), False)
                continue
            name = self.selections.add(read, f"read from {path}")
            if self.selections.why_not_kept(name):
                self.tell_made(name, f"{name!r} was read.")

    def save(self) -> None:
        """Ask for a name and write the selection as a list."""
        name = self._one()
        if name is None:
            return
        quiet = QFileDialog.Option.DontConfirmOverwrite
        offered = "".join(c if c.isalnum() or c in "-_." else "-" for c in name) + ".lst"
        path = QFileDialog.getSaveFileName(self, "Write list", offered, _LISTS, options=quiet)[0]
        target = file_to_write(self, path, ".lst") if path else None
        if target is None:
            return
        try:
            self.selections.items[name].selection.save(target.path, overwrite=target.replaces)
        except XfelsortError as error:
            self.told.emit(str(error), False)
        else:
            self.told.emit(f"{name!r} is in {target.path}.", True)

    def label(self) -> None:
        """Label the events of the selection."""
        name = self._one()
        if name is None or self.stack is None:
            return
        label = self.class_name.text().strip() or "good"
        work = functools.partial(labelling, self.stack, self.selections.items[name], label)
        self.labels_wanted.emit("labelling a selection", work, True)

    def withdraw(self) -> None:
        """Take the labels of selections back."""
        self.labels_wanted.emit("withdrawing labels of selections", taking_back, False)

    def told_labels(self, outcome: RuleOutcome | int, store: LabelStore) -> None:
        """Say what was labelled, or taken back."""
        if isinstance(outcome, int):
            self.told.emit(f"Took {outcome} labels back in {store.folder}.", True)
            return
        what = ", ".join(f"{n} {name}" for name, n in outcome.counts.items()) or "nothing"
        text = f"Labelled {what} in {store.folder}."
        if outcome.kept:
            text += f" Labelled by hand and left so: {outcome.kept}."
        self.told.emit(text, True)

    def follow_labels(self, store: LabelStore | None) -> None:
        """Use the label folder of the run, if one is in use."""
        if store is not None:
            self.folder.set_paths(os.path.abspath(store.folder))
        self.folder.setEnabled(store is None)

    # --- how it looks -------------------------------------------------------------------

    def _show(self) -> None:
        items = self.selections.items
        before = set(self.names)
        self.table.setRowCount(len(items))
        for k, (name, chosen) in enumerate(items.items()):
            n, here = len(chosen.selection), len(chosen.numbers)
            count = str(n) if n == here else f"{n}, {here} here"
            for column, text in enumerate((name, count)):
                cell = QTableWidgetItem(text)
                cell.setToolTip(told(name, chosen))
                self.table.setItem(k, column, cell)
        self.table.clearSelection()
        for k, name in enumerate(items):
            if name in before or len(items) == 1:
                self.table.selectionModel().select(
                    self.table.model().index(k, 0),
                    self.table.selectionModel().SelectionFlag.Select
                    | self.table.selectionModel().SelectionFlag.Rows,
                )
        self._show_overlap([chosen.selection for chosen in items.values()])
        folder = self.selections.folder
        self.where.tell(f"Kept in {_short(folder)}" if folder else "")
        self.where.setToolTip(folder)
        self.problems.tell_error("\n".join(self.selections.problems))

    def _show_overlap(self, selections: list[Selection]) -> None:
        n = len(selections)
        self.overlap.setVisible(n > 1)
        self.overlap_title.setVisible(n > 1)
        if n < 2:
            return
        shares = iou_table(selections)
        self.overlap.setRowCount(n)
        self.overlap.setColumnCount(n)
        names = [selection.name for selection in selections]
        self.overlap.setHorizontalHeaderLabels([str(k + 1) for k in range(n)])
        self.overlap.setVerticalHeaderLabels([f"{k + 1}" for k in range(n)])
        for i in range(n):
            for j in range(n):
                cell = QTableWidgetItem(f"{100 * shares[i, j]:.0f}")
                cell.setToolTip(f"{names[i]} and {names[j]}")
                cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.overlap.setItem(i, j, cell)
        self.overlap.resizeColumnsToContents()
        self.overlap.resizeRowsToContents()
        heights = sum(self.overlap.rowHeight(k) for k in range(n))
        self.overlap.setFixedHeight(
            self.overlap.horizontalHeader().sizeHint().height() + heights + 6
        )

    def _build(self) -> None:
        self.table = QTableWidget(0, 2)
        self.table.setObjectName("selections")
        self.table.setHorizontalHeaderLabels(["selection", "events"])
        self.table.setToolTip("Click one; with Ctrl or Shift several")
        choose_whole_rows(self.table)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.table.verticalHeader().setVisible(True)
        self.table.setMinimumHeight(150)
        files = (
            button("Load…", "load_lists", "Read lists of events", self.load),
            button("Save…", "save_list", "Write the selection as a list", self.save),
            button("Remove", "remove_selection", _REMOVE, self.remove),
        )
        sets = (
            button("Union", "union", "Events in any of those selected", self.unite),
            button("Intersection", "intersection", "Events in all of them", self.intersect),
            button("Difference", "difference", "The first without the others", self.subtract),
        )
        tip = "Show the next event of the selection; after the last comes the first"
        browse = button("Next event", "next_of_selection", tip, self.next_event)
        self.overlap_title = Message()
        self.overlap_title.setObjectName("overlap_title")
        self.overlap_title.tell("Overlap in %: events in both by events in either.")
        self.overlap = QTableWidget()
        self.overlap.setObjectName("overlap")
        self.overlap.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.overlap.setToolTip("By the order of the selections above")
        self.where, self.problems = Message(), Message()
        self.where.setObjectName("kept_in")
        self.problems.setObjectName("selection_problems")
        for widget in (self.table, self.where, self.problems):
            self.column.addWidget(widget)
        self.column.addLayout(row(*files))
        self.column.addLayout(row(*sets))
        for widget in (browse, self.overlap_title, self.overlap, self._build_labels()):
            self.column.addWidget(widget)
        self.column.addStretch()

    def _build_labels(self) -> QGroupBox:
        self.labels = QGroupBox("Label the selection")
        self.class_name = text_line("selection_class", "good", "Class that its events get")
        self.folder = label_folder_field("Folder of labels; the Label dock's, once in use")
        tip = "Label the events; labels by hand stay, and one step undoes it"
        label = button("Label", "label_selection", tip, self.label)
        tip = "Take labels of selections back; what was there before counts again"
        back = button("Withdraw", "withdraw_selection", tip, self.withdraw)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Class", self.class_name)
        form.addRow("Labels", self.folder)
        column = QVBoxLayout(self.labels)
        column.setContentsMargins(6, 6, 6, 6)
        column.addLayout(form)
        column.addLayout(row(label, back))
        return self.labels
