"""What there is to train with, told before it is begun."""

from __future__ import annotations

import html
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.learning.overview import Overview
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.widgets.train_work import Summary, summing_up
from napari_xfelsort.widgets.workers import Job

#: Milliseconds until it is looked again: not at each of many labels that are set.
_DELAY = 300
#: Of what is to be careful about; readable in a dark and in a light theme.
CAUTION_COLOUR = "#d98200"


class SummaryPanel(QWidget):
    """Events, files, features and memory of a training set, and what speaks against it."""

    #: It was looked at: a `Summary`.
    found = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.summary: Summary | None = None
        self._asked: tuple[Any, ...] | None = None
        self._job: Job | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY)
        self._timer.timeout.connect(self._look)
        self.counts = _text("label_counts")
        self.about = _text("summary")
        self.notes = _text("summary_notes")
        self.notes.setTextFormat(Qt.TextFormat.RichText)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for widget in (self.counts, self.about, self.notes):
            column.addWidget(widget)
        self._show()

    def ask(
        self,
        stack: EventStack | None,
        folder: str | None,
        settings: TrainSettings | None,
        region: Region | None,
    ) -> None:
        """Look at this training set, a moment from now.

        Parameters
        ----------
        stack : EventStack or None
            None if there is no run.
        folder : str or None
            Of labels; None if none is chosen.
        settings, region : TrainSettings, Region, or None
            None where what was entered is wrong, which is told elsewhere.
        """
        self._asked = None if folder is None else (stack, folder, settings, region)
        if folder is None:
            self.summary = None
            self._show()
        self._timer.start()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at what was asked for while it was hidden."""
        super().showEvent(event)
        if self._asked is not None:
            self._timer.start()

    def release(self) -> None:
        """Stop."""
        self._timer.stop()
        self._asked = None
        if self._job is not None:
            self._job.stop()

    @property
    def busy(self) -> bool:
        """Whether it is being looked at, or will be."""
        return self._job is not None or self._timer.isActive()

    def _look(self) -> None:
        asked = self._asked
        # Behind another tab nobody sees it, and large folders take a while to read.
        if asked is None or self._job is not None or not self.isVisible():
            return
        self._asked = None
        self._job = Job("looking at the training set", summing_up(*asked))
        self._job.succeeded.connect(self._take)
        self._job.failed.connect(self._fail)
        self._job.ended.connect(self._ended)
        self._job.start()

    def _take(self, summary: Summary) -> None:
        self.summary = summary
        self._show()
        self.found.emit(summary)

    def _fail(self, sentence: str) -> None:
        self.summary = Summary({}, why_not=sentence)
        self._show()

    def _ended(self) -> None:
        self._job = None
        if self._asked is not None:  # asked anew meanwhile
            self._timer.start()

    def _show(self) -> None:
        summary = self.summary
        counts, about, notes = "", "", []
        if summary is not None:
            counts = ", ".join(f"{name} {n}" for name, n in summary.counts.items())
            if not counts and not summary.why_not:
                counts = "no labels yet"
            if summary.overview is not None:
                about, notes = overview_text(summary.overview), summary.overview.notes
            elif summary.why_not:
                notes = [summary.why_not]
        for label, text in (
            (self.counts, counts),
            (self.about, about),
            (self.notes, notes_html(notes)),
        ):
            label.setText(text)
            label.setVisible(bool(text))


def overview_text(found: Overview) -> str:
    """A training set in three short lines."""
    parts = [
        f"{name}: {found.train[name]} train, {found.test[name]} test" for name in found.counts
    ]
    where = f"{_plural(found.n_events, 'event')} of {_plural(found.n_files, 'file')}"
    if found.n_runs != found.n_files:
        where += f" and {_plural(found.n_runs, 'run')}"
    size = f"{_plural(found.n_features, 'feature')} each, {memory_text(found.n_bytes)}"
    return f"{where}, {size}\n" + "; ".join(parts)


def memory_text(n_bytes: int) -> str:
    """Memory in units that suit it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


def notes_html(notes: list[str]) -> str:
    """What to be careful about, a paragraph each."""
    word = f'<b style="color:{CAUTION_COLOUR}">Note:</b>'
    paragraphs = [
        f'<p style="margin-top:3px;margin-bottom:3px">{word} {html.escape(note)}</p>'
        for note in notes
    ]
    return "".join(paragraphs)


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    return label
