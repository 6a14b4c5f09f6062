"""The card of a model before it sorts: what it is, and what speaks against it."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from typing import Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_xfelsort.core.cascade import Cascade, CascadeSettings, with_first
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


class Deciders(NamedTuple):
    """The model files that sort.

    Attributes
    ----------
    model : str
    first : str or None
        A quicker one that decides first.
    limits : CascadeSettings
        What that one may decide by itself.
    """

    model: str
    first: str | None = None
    limits: CascadeSettings = CascadeSettings()

    def load(self) -> Model | Cascade:
        """What decides.

        Raises
        ------
        ModelError
            If a file is no model, or they do not go together.
        """
        first = None if self.first is None else load_model(self.first)
        return with_first(load_model(self.model), first, **self.limits.to_dict())


#: Gives the models, and what they are to sort; each None where it is not named.
Asked = Callable[[], tuple[Deciders | None, EventStack | Opened | None]]


class Card(NamedTuple):
    """What is known of a model and the data.

    Attributes
    ----------
    model : Model, Cascade or None
    problem : str
        Why it cannot be used, in a sentence; empty when nothing hinders.
    cautions : tuple of str
        What a careful colleague would say about using it on these data.
    """

    model: Model | Cascade | None = None
    problem: str = ""
    cautions: tuple[str, ...] = ()


def read_card(deciders: Deciders, data: EventStack | Opened | None, report: Report) -> Card:
    """Load a model and hold it against the data, or the first file of them.

    Called in a job's thread.
    """
    try:
        model = deciders.load()
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


def _cautions(model: Model | Cascade, data: EventStack | Opened | None) -> list[str]:
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
        deciders, data = self._asked()
        if deciders is None:
            self._show(Card())
            return
        work = functools.partial(read_card, deciders, data)
        self._job = Job(f"reading {deciders.model}", work)
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
            about, full = _about(model)
            self.text.setText(about)
            self.text.setToolTip(f"<pre>{html.escape(full)}</pre>")
        notes = [f"Note: {note}" for note in (*card.cautions, *_warnings(model))]
        if card.problem:
            self.caution.tell_error(card.problem)
        else:
            self.caution.tell("\n".join(notes))
            self.caution.setStyleSheet(f"color: {_CAUTION_COLOUR};")
        self.setVisible(bool(model is not None or card.problem))
        self.updateGeometry()


def _about(model: Model | Cascade) -> tuple[str, str]:
    """What a model is in a few lines, and all that is known of it."""
    if not isinstance(model, Cascade):
        full = model.report_text()
        return "\n".join([f"Classes: {', '.join(model.class_names)}", full.split("\n\n")[0]]), full
    about, full = _about(model.second)
    band = model.band
    told = (
        f"First model: takes events from a probability of {band.high:.3g} on and puts those below "
        f"{band.low:.3g} aside, {100 * band.lost:.2g} % of what is looked for with them (at most "
        f"{100 * band.lost_at_most:.2g} %). {100 * band.asked:.2g} % of the events that tested it "
        "were left to the other model."
    )
    return f"{about}\n{told}", f"{full}\n\nThe first model:\n\n{model.first.report_text()}"


def _warnings(model: Model | Cascade | None) -> list[str]:
    if isinstance(model, Cascade):  # how they go together is in the lines above
        return [*(f"First model: {note}" for note in model.first.warnings), *model.second.warnings]
    return [] if model is None else list(model.warnings)
