"""The card of a model before it sorts: what it is, and what speaks against it."""

from __future__ import annotations

import functools
import html
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import ModelError, XfelsortError
from napari_xfelsort.core.model import Model, load_model
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.widgets.dock import Message
from napari_xfelsort.widgets.layers import Opened
from napari_xfelsort.widgets.workers import Job, Report

#: Milliseconds after the last change of the form.
_DELAY = 200

#: Of what may matter; what is wrong has the colour of errors.
_CAUTION_COLOUR = "#ff9f0a"

#: Gives the model's path, and what it is to sort; each None where it is not named.
Asked = Callable[[], tuple[str | None, EventStack | Opened | None]]


class Card(NamedTuple):
    """What is known of a model and the data.

    Attributes
    ----------
    model : Model or None
    problem : str
        Why it cannot be used, in a sentence; empty when nothing hinders.
    cautions : tuple of str
        What a careful colleague would say about using it on these data.
    """

    model: Model | None = None
    problem: str = ""
    cautions: tuple[str, ...] = ()


def read_card(path: str, data: EventStack | Opened | None, report: Report) -> Card:
    """Load a model and hold it against the data, or the first file of them.

    Called in a job's thread.
    """
    try:
        model = load_model(os.path.expanduser(path))
    except XfelsortError as error:
        return Card(problem=str(error))
    report(None)
    try:
        return Card(model, cautions=tuple(_cautions(model, data)))
    except ModelError as error:
        return Card(model, problem=str(error))
    except XfelsortError:
        # The data cannot be read (yet, when they are watched); sorting tells why.
        return Card(model)


def _cautions(model: Model, data: EventStack | Opened | None) -> list[str]:
    if isinstance(data, EventStack):
        return model.check(data)
    if data is None:
        return []
    from napari_xfelsort.readers import open_stack
    from napari_xfelsort.readers.paths import expand

    items = expand(list(data.paths)).items
    if not items:
        return []
    stack = open_stack([items[0].file], data.geometry, data.mask, data.dataset)
    try:
        return model.check(stack)
    finally:
        stack.close()


class CardView(QWidget):
    """The card of the model that is entered; read beside the window.

    Parameters
    ----------
    asked : callable
        Says what is entered.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self._asked = asked
        self._job: Job | None = None
        self._is_old = False
        self.card = Card()
        self.text = QLabel()
        self.text.setObjectName("model_card")
        self.text.setWordWrap(True)
        self.caution = Message()
        self.caution.setObjectName("model_cautions")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.text)
        column.addWidget(self.caution)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY)
        self._timer.timeout.connect(self._read)
        self.setVisible(False)

    def look_again(self, *_: Any) -> None:
        """Something was entered."""
        self._timer.start()

    @property
    def is_current(self) -> bool:
        """Whether what is shown is about what is entered."""
        return self._job is None and not self._timer.isActive()

    def release(self) -> None:
        """Look no more."""
        self._timer.stop()
        self._is_old = False
        if self._job is not None:
            self._job.stop()

    def _read(self) -> None:
        if self._job is not None:
            self._is_old = True
            return
        path, data = self._asked()
        if path is None:
            self._show(Card())
            return
        self._job = Job(f"reading {path}", functools.partial(read_card, path, data))
        self._job.succeeded.connect(self._show)
        self._job.ended.connect(self._ended)
        self._job.start()

    def _ended(self) -> None:
        self._job = None
        if self._is_old:
            self._is_old = False
            self._timer.start()

    def _show(self, card: Card) -> None:
        self.card = card
        model = card.model
        self.text.setVisible(model is not None)
        if model is not None:
            full = model.report_text()
            classes = ", ".join(model.class_names)
            about = full.split("\n\n")[0].splitlines()
            self.text.setText("\n".join([f"Classes: {classes}", *about]))
            self.text.setToolTip(f"<pre>{html.escape(full)}</pre>")
        notes = [f"Note: {note}" for note in (*card.cautions, *_warnings(model))]
        if card.problem:
            self.caution.tell_error(card.problem)
        else:
            self.caution.tell("\n".join(notes))
            self.caution.setStyleSheet(f"color: {_CAUTION_COLOUR};")
        self.setVisible(bool(model is not None or card.problem))
        self.updateGeometry()


def _warnings(model: Model | None) -> list[str]:
    return [] if model is None else list(model.warnings)
