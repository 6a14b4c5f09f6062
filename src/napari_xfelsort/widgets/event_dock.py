"""The Event table dock: all events of a run with their labels, and where labellers disagree."""

from __future__ import annotations

import functools
import os
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
)

from napari_xfelsort.core.agreement import opinions_of, settle
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_import import Imported, import_beside
from napari_xfelsort.core.label_journal import IGNORE
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.widgets.dock import Dock, RunChooser, button, choose_whole_rows, row
from napari_xfelsort.widgets.event_table import (
    Comparison,
    EventFilter,
    EventRows,
    EventTableModel,
    comparing,
    file_summary,
)
from napari_xfelsort.widgets.keys import RESERVED
from napari_xfelsort.widgets.labelling import event_to_label
from napari_xfelsort.widgets.list_dialog import ListDialog
from napari_xfelsort.widgets.rule_labels import LabelJob
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.workers import Job

_ANY, _NONE = "any label", "no label"
#: Milliseconds after the last label until lists and counts follow.
_PAUSE = 200
_LISTS = "Lists of events (*.lst *.txt *.list);;All files (*)"
_WIDTHS = (46, 116, 68, 56, 36)


class EventTableDock(Dock):
    """Lists the events of the active run, and compares its labellers.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.chooser = RunChooser(self.runs)
        self.label = _combo("filter_label", "Only events that have this class, or no label")
        self.labeller = _combo("filter_labeller", "Only events that this labeller has labelled")
        self.file = _combo("filter_file", "Only events of this file; each with its labels")
        self.disputed = QCheckBox("only where labellers disagree")
        self.disputed.setObjectName("filter_disagreement")
        self.disputed.setToolTip("Only events that nobody settled yet")
        self.model = EventTableModel()
        self.view = QTableView()
        self.listed = QLabel()
        self.agreement = QLabel()
        self.said = QLabel()
        self.next_button = button(
            "Next disagreement",
            "next_disagreement",
            "Show the next event that labellers gave different labels",
            self.next_disagreement,
        )
        self.verdict = _combo("settle_label", "What the event shown is to be")
        self.settle_button = button(
            "Settle",
            "settle",
            "Decide on the event shown; what each labeller said stays known",
            self.settle,
        )
        self.import_button = button(
            "Import lists …",
            "import_lists",
            "Take labels from lists of events (PADT, CrystFEL, Cheetah), a class each",
            self.import_lists,
        )
        self._run: Run | None = None
        self._rows: EventRows | None = None
        self._comparing: Job | None = None
        self._is_compared = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE)
        self._pause.timeout.connect(self.catch_up)
        self._lay_out()
        for combo in (self.label, self.labeller, self.file):
            combo.currentIndexChanged.connect(self._filter)
        self.disputed.toggled.connect(self._filter)
        self.view.doubleClicked.connect(self._go)
        self.chooser.run_chosen.connect(self._show_run)
        self._show_run(self.chooser.run)

    def _lay_out(self) -> None:
        view = self.view
        view.setObjectName("events")
        view.setToolTip("Double click shows an event")
        view.setModel(self.model)
        choose_whole_rows(view)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setWordWrap(False)
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the number is at the end
        view.setMinimumHeight(220)
        # Not by contents: that would ask for every row.
        view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column, width in enumerate(_WIDTHS):
            view.setColumnWidth(column, width)
        view.horizontalHeader().setStretchLastSection(True)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Run", self.chooser)
        form.addRow("Label", self.label)
        form.addRow("Labeller", self.labeller)
        form.addRow("File", self.file)
        for label, name in (
            (self.listed, "listed"),
            (self.agreement, "agreement"),
            (self.said, "opinions"),
        ):
            label.setObjectName(name)
            label.setWordWrap(True)
        self.body.addLayout(form)
        self.body.addWidget(self.disputed)
        self.body.addWidget(view, 1)
        self.body.addWidget(self.listed)
        self.body.addWidget(self.agreement)
        self.body.addWidget(self.said)
        self.body.addWidget(self.next_button)
        self.body.addLayout(row("Settle as", self.verdict, self.settle_button))
        self.body.addWidget(self.import_button)
        self.body.addWidget(self.message)

    def release(self) -> None:
        """Let go of callbacks and work."""
        self._pause.stop()
        self._watch(None)
        self._outdated()
        self.model.show_run(None, self.model.rows[:0])
        super().release()

    # --- the run ------------------------------------------------------------------------

    def _watch(self, run: Run | None) -> None:
        self._run = run
        self._rows = None if run is None else EventRows(run)
        self.follow_run(
            run,
            shown=self._on_shown,
            labelled=self._on_labelled,
            changed=self._on_changed,
        )

    def _show_run(self, run: Run | None) -> None:
        self._watch(run)
        self.message.tell("")
        self.set_busy(self.job is not None)
        self._on_changed()

    def _on_changed(self) -> None:
        """Another run, or other events of it."""
        rows = self._rows
        if rows is not None:
            rows.compared = Comparison()
        self._fill()
        self.model.show_run(
            self._run, self.model.rows[:0] if rows is None else rows.rows(self.wanted)
        )
        self.catch_up()

    def _on_shown(self, _: int) -> None:
        self._follow_slider()
        self._show_opinions()

    def _on_labelled(self) -> None:
        self.model.labels_changed()
        self._outdated()
        self._pause.start()
        self._show_agreement()

    def catch_up(self) -> None:
        """Lists and counts are those of the labels there are now; labellers are compared."""
        self._pause.stop()
        self._fill()
        self._filter()
        self.model.labels_changed()
        self._compare()

    # --- comparing labellers, in the background -----------------------------------------

    @property
    def is_comparing(self) -> bool:
        """Whether agreement and filters by labeller are yet to follow the labels."""
        return self._pause.isActive() or self._comparing is not None

    def _outdated(self) -> None:
        """What is being compared, or was, is not what the labels are now."""
        self._is_compared = False
        if self._comparing is not None:
            self._comparing.stop()

    def _compare(self) -> None:
        """Compare the labellers anew, after what is being compared has ended."""
        self._outdated()
        run = self._run
        if run is not None and run.labels is not None and self._comparing is None:
            job = Job("comparing labellers", comparing(run.labels.copy(), run.stack))
            job.succeeded.connect(self._take_comparison)
            job.failed.connect(self.message.tell_error)
            job.ended.connect(self._comparison_ended)
            self._comparing, self._is_compared = job, True
            self._compared_of = (run.labels, run.stack)
            job.start()
        self._show_agreement()

    def _take_comparison(self, compared: Comparison) -> None:
        run, rows = self._run, self._rows
        if rows is None or run is None or not self._is_compared:
            return  # labels changed meanwhile
        if self._compared_of == (run.labels, run.stack):
            rows.compared = compared
            self._filter()

    def _comparison_ended(self) -> None:
        self._comparing = None
        if self._is_compared or self._run is None:
            self._show_agreement()
        elif not self._pause.isActive():
            self._compare()

    # --- the table ----------------------------------------------------------------------

    @property
    def wanted(self) -> EventFilter:
        """What the inputs say."""
        return EventFilter(
            self.label.currentData(),
            self.labeller.currentData(),
            self.file.currentData(),
            self.disputed.isChecked(),
        )

    def _fill(self) -> None:
        run, rows = self._run, self._rows
        names = () if run is None else run.classes.names
        _offer(self.label, [(_ANY, None), (_NONE, ""), *((n, n) for n in names), (IGNORE, IGNORE)])
        _offer(self.verdict, [*((name, name) for name in names), (IGNORE, IGNORE)])
        voices = () if run is None or run.labels is None else run.labels.voices
        _offer(self.labeller, [("any labeller", None), *((voice, voice) for voice in voices)])
        counts = {} if rows is None else rows.files()
        n_events = {} if run is None else _lengths(run)
        lines = [(file_summary(path, counts[path], n_events[path]), path) for path in counts]
        _offer(self.file, [("any file", None), *lines])

    def _filter(self, *_: Any) -> None:
        rows = self._rows
        if rows is None:
            self.listed.setText("")
            return
        self.model.set_rows(rows.rows(self.wanted))
        self.listed.setText(f"{self.model.rowCount()} of {len(rows.run)} events listed")
        self._follow_slider()

    def _follow_slider(self) -> None:
        run = self._run
        at = None if run is None or run.current is None else self.model.row_of(run.current)
        if at is None:
            self.view.clearSelection()
        else:
            self.view.setCurrentIndex(self.model.index(at, 0))

    def _go(self, index: QModelIndex) -> None:
        if self._run is not None:
            self._run.go_to(int(self.model.rows[index.row()]))

    # --- agreement ----------------------------------------------------------------------

    def _show_agreement(self) -> None:
        store = None if self._run is None else self._run.labels
        several = store is not None and len(store.voices) > 1
        for widget in (self.next_button, self.verdict, self.settle_button, self.disputed):
            widget.setEnabled(several)
        if several and self.is_comparing:
            self.agreement.setText("Comparing labellers …")
        elif store is None or not several:
            self.agreement.setText("Labellers are compared when there are two of them.")
        else:
            compared = Comparison() if self._rows is None else self._rows.compared
            n = len(compared.disputed)
            lines = [f"{n} disagreement{'s' * (n != 1)} to settle in this run."]
            lines += [
                f"{pair.first} and {pair.second}: Cohen's kappa {pair.kappa:.2f}, "
                f"{pair.n_agree} of {pair.n_events} agree"
                for pair in compared.pairs
            ]
            self.agreement.setText("\n".join(lines))
        self._show_opinions()

    def _show_opinions(self) -> None:
        run = self._run
        if run is None or run.labels is None or run.current is None:
            self.said.setText("")
            return
        found = opinions_of(run.labels, run.stack.event_id(run.current))
        said = ", ".join(f"{voice}: {label}" for voice, label in found.said.items())
        settled = f"; settled: {found.label}" if found.settled else ""
        self.said.setText(f"Event {run.current}: {said}{settled}" if said else "")

    def next_disagreement(self) -> None:
        """Show the next event that labellers disagree on; from the end go on at the start."""
        run, rows = self._run, self._rows
        if run is None or rows is None:
            return
        if self.is_comparing:
            self.message.tell("Wait a moment: labellers are being compared.")
            return
        disputed = rows.compared.disputed.tolist()
        here = -1 if run.current is None else run.current
        after = [i for i in disputed if i > here] or disputed
        if not after:
            self.message.tell("Labellers agree, or what they disagree on is settled.")
            return
        self.message.tell("")
        if after[0] == here:
            self.message.tell("This is the only disagreement left.")
        run.go_to(after[0])

    def settle(self) -> None:
        """Decide on the event shown."""
        run = self._run
        try:
            if run is None or run.labels is None or run.history is None:
                raise LabelError("There are no labels to settle.")
            label = self.verdict.currentData()
            i = event_to_label(run, self.runs.runs, label)
            event = run.stack.event_id(i)
            if not opinions_of(run.labels, event).disagree:
                raise LabelError(f"Labellers do not disagree on event {i}.")
            settle(run.history, event, label)
            run.note_labels([event])
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        self.catch_up()
        self.message.tell(f"Event {i} is settled as {label}.")

    # --- lists --------------------------------------------------------------------------

    def set_busy(self, busy: bool) -> None:
        """Lists are imported one time after the other."""
        self.import_button.setEnabled(self._run is not None and not busy)

    def import_lists(self) -> None:
        """Let the user choose lists, and their classes."""
        start = "" if self._run is None else os.path.dirname(self._run.stack.sources[0].path)
        paths = QFileDialog.getOpenFileNames(self, "Lists of events", start, _LISTS)[0]
        if paths:
            dialog = ListDialog(self, paths)
            dialog.chosen.connect(self.take_lists)
            dialog.finished.connect(dialog.deleteLater)
            dialog.open()

    def take_lists(self, lists: list[tuple[str, str]]) -> None:
        """Label the events of lists, each a class and a path, in the background."""
        run = self._run
        if run is None or self.job is not None:
            return
        work = functools.partial(import_beside, lists=lists, stack=run.stack)
        try:
            job = LabelJob("importing lists", run, work, run.suggested_labels())
        except LabelError as error:
            self.message.tell_error(str(error))
            return
        job.labelled.connect(functools.partial(self._imported, run))
        self.message.tell("Importing lists …")
        self.run_job(job)

    def _imported(self, run: Run, done: Imported, store: LabelStore) -> None:
        if run.labels is not None and done.renamed:
            run.labels.recognise(done.renamed)
        run.use_classes(run.classes.with_used(store.classes, RESERVED))
        self.message.tell(f"{done.text} The Label dock can undo it.")


def _combo(name: str, tip: str) -> QComboBox:
    made = QComboBox()
    made.setObjectName(name)
    made.setToolTip(tip)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def _offer(combo: QComboBox, items: list[tuple[str, Any]]) -> None:
    """Offer these, and keep what was chosen if it is among them."""
    before = [(combo.itemText(k), combo.itemData(k)) for k in range(combo.count())]
    if before == items:
        return
    chosen = combo.currentData()
    combo.blockSignals(True)
    combo.clear()
    for text, data in items:
        combo.addItem(text, data)
    values = [data for _, data in items]
    combo.setCurrentIndex(values.index(chosen) if chosen in values else 0)
    view = combo.view()
    if view is not None:  # what is offered is read in full, however narrow the dock is
        view.setMinimumWidth(view.sizeHintForColumn(0) + 2 * view.frameWidth() + 20)
    combo.blockSignals(False)


def _lengths(run: Run) -> dict[str, int]:
    """Number of events of each file."""
    lengths: dict[str, int] = {}
    for each in run.stack.files():
        lengths[each.source.path] = lengths.get(each.source.path, 0) + each.n_events
    return lengths
