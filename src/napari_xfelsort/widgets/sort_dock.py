"""The dock that sorts events with a trained model: lists, tables and a report."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QMessageBox

from napari_xfelsort.core.cascade import CascadeSettings
from napari_xfelsort.core.decisions import FAILED
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.sorting import SortProgress, SortSettings, SortSummary
from napari_xfelsort.core.sorting.folder import list_names
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Dock
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.run import Run
from napari_xfelsort.widgets.sort_board import SortBoard, WatchBoard
from napari_xfelsort.widgets.sort_card import Deciders
from napari_xfelsort.widgets.sort_form import SortParts
from napari_xfelsort.widgets.sort_opening import ANY, FileOpener, Wanted
from napari_xfelsort.widgets.sort_order import (
    SortOrder,
    SortOutcome,
    plural,
    suggested_folder,
    told,
    told_of_watch,
)
from napari_xfelsort.widgets.sort_table import SortRow, rate_text
from napari_xfelsort.widgets.workers import Job

_OPEN_RUN, _OTHER_DATA = 0, 1


class SortDock(SortParts, Dock):
    """Sorts the open run, or other data, with a model file; also what still appears."""

    finishing = "the events that are in work"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._board: SortBoard | WatchBoard | None = None
        self._order: SortOrder | None = None
        self._refused: SortOutcome | None = None
        self._finish = threading.Event()
        self._kept = 0
        self._round = 0
        self._told_last = self._suggested = self._model_followed = ""
        self.opener = FileOpener(self.runs)
        self._build(napari_viewer)
        self._connect()
        self._follow_model(self.runs.model_path or "")
        self.follow_run(self.chooser.run, changed=self.card.look_again)
        self.what.setCurrentIndex(_OTHER_DATA if self.chooser.run is None else _OPEN_RUN)
        self._choose_what()
        self._show_watching(False)
        self.set_busy(False)

    def _connect(self) -> None:
        self.chooser.run_chosen.connect(self._use_run)
        self.source.data.chosen.connect(self._suggest)
        self.what.currentIndexChanged.connect(self._choose_what)
        for field in (
            self.source.data,
            self.source.geometry_file,
            self.source.mask,
            self.model_file,
            self.first_file,
        ):
            field.chosen.connect(self.card.look_again)
        self.source.dataset.currentTextChanged.connect(self.card.look_again)
        self.first_file.chosen.connect(self._show_limits)
        self.limits.changed.connect(self.card.look_again)
        self.watch_box.toggled.connect(self._show_watching)
        self.view.file_chosen.connect(self.show_file)
        self.opener.told.connect(self.message.tell_done)
        self.results.failed.connect(self.message.tell_error)
        self.course.plot.told.connect(self.message.tell_done)
        self.runs.model_saved.connect(self._follow_model)

    def release(self) -> None:
        super().release()
        self.runs.model_saved.disconnect(self._follow_model, missing_ok=True)
        self.card.release()
        self.opener.release()
        self.results.release()
        self.course.release()

    # --- what is entered ------------------------------------------------------------------

    def _use_run(self, run: Run | None) -> None:
        if run is not None and not self.source.data.path():
            self.what.setCurrentIndex(_OPEN_RUN)
        self.follow_run(run, changed=self.card.look_again)
        self._suggest()

    def _choose_what(self, *_: Any) -> None:
        of_run = self.what.currentIndex() == _OPEN_RUN
        self.chooser.setVisible(of_run)
        self.source.setVisible(not of_run)
        self._suggest()

    def _show_watching(self, watching: bool) -> None:
        self.watching.setVisible(watching)
        self.finish_button.setVisible(watching)
        self.sort_button.setText("Watch" if watching else "Sort")

    def _show_limits(self, *_: Any) -> None:
        self.limits.setVisible(self.first_file.path() is not None)

    def _follow_model(self, path: str) -> None:
        """Use the model that was saved last, unless another was chosen."""
        if (self.model_file.path() or "") == self._model_followed:
            self._model_followed = path
            self.model_file.set_paths(*filter(None, [path]))
            self.card.look_again()

    def _suggest(self, *_: Any) -> None:
        """Suggest a folder for the results, unless one was chosen."""
        self.card.look_again()
        if (self.out.path() or "") == self._suggested:
            opened = self._opened()
            self._suggested = "" if opened is None else suggested_folder(opened.paths[0])
            self.out.set_paths(*filter(None, [self._suggested]))

    def add_data_folder(self) -> None:
        """Let the user choose one more folder or run to sort."""
        found = self.ask_folder()
        if found:
            self.source.data.set_paths(*self.source.data.paths(), found)
            self.source.data.chosen.emit(found)

    def _opened(self) -> Opened | None:
        """How the data are opened that were entered."""
        if self.what.currentIndex() == _OPEN_RUN:
            return None if self.chooser.run is None else self.chooser.run.opened
        return self.source.opened()

    def _deciders(self) -> Deciders | None:
        """The models that were entered.

        Raises
        ------
        SettingsError
            If a limit of the first is no number, or out of range.
        """
        model, first = self.model_file.path(), self.first_file.path()
        if model is None:
            return None
        if first is None:
            return Deciders(os.path.expanduser(model))
        limits = self.limits.settings()
        assert isinstance(limits, CascadeSettings)
        return Deciders(os.path.expanduser(model), os.path.expanduser(first), limits)

    def for_card(self) -> tuple[Deciders | None, EventStack | Opened | None]:
        """The models and the data that were entered, as far as they were."""
        of_run = self.what.currentIndex() == _OPEN_RUN and self.chooser.run is not None
        data = self.chooser.run.stack if of_run else self._opened()
        try:
            return self._deciders(), data
        except SettingsError:  # which is told beside the limit
            return None, data

    def order(self) -> SortOrder:
        """What was entered.

        Raises
        ------
        SettingsError
            A sentence about what is missing or wrong.
        """
        of_run = self.what.currentIndex() == _OPEN_RUN
        opened = self._opened()
        if opened is None:
            raise SettingsError(
                "Open a run, or choose other data to sort."
                if of_run
                else "Choose the files, folder or list to sort."
            )
        deciders, out = self._deciders(), self.out.path()
        if deciders is None:
            raise SettingsError("Choose the model to sort with; the Train dock makes one.")
        if out is None:
            raise SettingsError("Choose a folder for the results.")
        settings = self.settings.settings()
        assert isinstance(settings, SortSettings)
        watching = self.watching.settings() if self.watch_box.isChecked() else None
        is_stack = of_run and watching is None
        return SortOrder(
            self.chooser.run.stack if is_stack else opened,
            opened,
            deciders,
            os.path.abspath(os.path.expanduser(out)),
            *self.where.team(),
            settings,
            watching,
        )

    # --- sorting --------------------------------------------------------------------------

    def sort(self) -> None:
        """Sort as was entered; the same folder again goes on where it was stopped."""
        if self.job is not None:
            return
        try:
            order = self.order()
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        self._start(order, overwrite=False)

    def _start(self, order: SortOrder, overwrite: bool) -> None:
        self._order = order
        self._board = self._refused = None
        self._kept = self._round = 0
        self._told_last = ""
        self._finish = threading.Event()
        self.results.clear()
        self.course.start()
        self.message.tell("")
        self._show_rate("")
        self.files.setVisible(False)
        self.progress.start("Opening data and model…")
        doing = "watching" if order.watching else "sorting"
        work = functools.partial(order.carry_out, overwrite, self._finish.is_set)
        job = Job(f"{doing} into {order.out}", work)
        job.progressed.connect(self._show_progress)
        job.succeeded.connect(self._finished)
        job.stopped.connect(self._stopped)
        self.run_job(job)

    def finish(self) -> None:
        """End a watch: all files are taken as they are, and the results written."""
        if self.job is not None:
            self._finish.set()
            self.finish_button.setEnabled(False)
            self.message.tell("Sorting what is there as it is, then writing the results…")

    def _show_progress(self, board: SortBoard | WatchBoard | None) -> None:
        if isinstance(board, SortBoard):
            self._show_sort(board)
        elif board is not None:
            self._show_watch(board)

    def _show_sort(self, board: SortBoard) -> None:
        progress = board.progress
        assert progress is not None
        if board is not self._board:
            self._board = board
            self._show_table(board.rows(), board.names)
        self._tell_kept(progress)
        self.table.change(board.take_changes())
        if progress.file or progress.done_events:
            self._show_counts(board, progress)
        else:
            self.progress.start("Starting…")

    def _tell_kept(self, progress: SortProgress) -> None:
        if progress.kept_events != self._kept:
            self._kept = progress.kept_events
            self.message.tell(f"Resumes: {progress.kept_events} events were done before.")

    def _show_counts(self, board: SortBoard | WatchBoard, progress: SortProgress) -> None:
        if progress.done_events >= progress.total_events:
            self.progress.start("Writing lists and report…")
        else:
            self.progress.show_counts((progress.done_events, progress.total_events))
        rate = board.rate()
        parts = [] if rate is None else [f"{rate_text(rate)} events/s"]
        parts.append(f"{progress.done_files} of {plural(progress.total_files, 'file')}")
        parts.append(f"{progress.failed} failed")
        self._show_rate(", ".join(parts))

    def _show_watch(self, board: WatchBoard) -> None:
        progress = board.progress
        if progress is None:
            return
        if board is not self._board:
            self._board = board
            self._show_table([], board.names)
        rows = board.take_rows()
        if rows is not None:
            self.table.follow(rows, board.names)
        if progress.sort is not None and (progress.sort.file or progress.sort.done_events):
            self._show_counts(board, progress.sort)
        elif progress.sort is None:
            self.progress.start("Waiting for new events…")
            self._show_rate(f"Waiting for new events; last change {progress.quiet:.0f} s ago.")
            self._tell_watch(told_of_watch(progress, board.kept))
        self.course.show_points(progress.points, board.names, progress.hits)
        if progress.rounds != self._round and progress.summary is not None:
            self._round = progress.rounds
            self._show_results(progress.summary)

    def _tell_watch(self, sentence: str) -> None:
        """Tell how the watch stands when that is new: meanwhile other things are told."""
        if sentence != self._told_last and not self._finish.is_set():
            self._told_last = sentence
            self.message.tell(sentence)

    def _show_rate(self, text: str) -> None:
        self.rate.setText(text)
        self.rate.setVisible(bool(text))

    def _show_table(self, rows: list[SortRow], names: tuple[str, ...]) -> None:
        self.table.show_rows(rows, names)
        self.show_classes(names)
        self.files.setVisible(True)
        self.view.fit_columns()
        QTimer.singleShot(0, self._scroll_to_files)

    def _show_results(self, summary: SortSummary) -> None:
        assert self._order is not None
        names = list_names([n for n in summary.totals if n != FAILED][:-1])
        lists = [str(summary.out / name) for name in names.values()]
        self.results.show_results(summary.out, lists, tuple(names), self._order.opened)

    def _stopped(self) -> None:
        button = self.sort_button.text()
        self.message.tell(
            f"Stopped. What was sorted is kept; {button} with the same folder goes on from there."
        )

    def _finished(self, outcome: SortOutcome) -> None:
        summary = outcome.summary
        if summary is None:
            self._refused = outcome
            return
        board = self._board = outcome.board
        assert board is not None
        rows = [SortRow.of(result, board.rates.get(result.file, 0.0)) for result in summary.files]
        if isinstance(board, WatchBoard) and board.progress is not None:
            self.course.show_points(board.progress.points, board.names, board.progress.hits)
        if self.files.isHidden():
            self._show_table(rows, tuple(summary.totals))
        self.table.follow(rows, tuple(summary.totals))
        self.table.sort_again()
        self._show_rate("")
        self.message.tell(told(summary, board.kept if isinstance(board, WatchBoard) else None))
        self._show_results(summary)
        QTimer.singleShot(0, self._scroll_to_results)

    def _scroll_to_files(self) -> None:
        self.ensureWidgetVisible(self.files, 0, 0)

    def _scroll_to_results(self) -> None:
        self.ensureWidgetVisible(self.results, 0, 0)

    def _job_ended(self) -> None:
        super()._job_ended()
        if self._refused is not None:
            QTimer.singleShot(0, self._ask_to_replace)

    def _ask_to_replace(self) -> None:
        outcome, self._refused = self._refused, None
        if outcome is None or self.job is not None:
            return
        why = outcome.refused.split("; choose")[0]
        answer = QMessageBox.question(
            self,
            "Replace results?",
            f"{why}. Replace them?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._start(outcome.order, overwrite=True)
        else:
            self.message.tell_error(f"{why}. They are kept; choose another folder.")

    def set_busy(self, busy: bool) -> None:
        self.sort_button.setEnabled(not busy)
        self.cancel_button.setEnabled(busy)
        self.finish_button.setEnabled(busy)
        for part in (self.inputs, self.more):
            part.setEnabled(not busy)
        if not busy:
            self.progress.stop()

    # --- from a line to the event ---------------------------------------------------------

    def show_file(self, row: SortRow) -> None:
        """Show the first event of the chosen class of a file in the viewer."""
        if self._order is None or self._board is None:
            return
        name = self.first_of.currentText() or ANY
        place = self._board.places.get(row.path, row.path)
        self.opener.show(Wanted(row, place, name, self._order.out, self._order.opened))
