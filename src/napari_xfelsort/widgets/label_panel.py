"""What the Label dock is made of: the event and its label, buttons, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.label_classes import ClassSet
from napari_xfelsort.core.label_journal import split_label
from napari_xfelsort.core.label_tally import LabelTally
from napari_xfelsort.widgets import keys
from napari_xfelsort.widgets.dock import button, row
from napari_xfelsort.widgets.keys import LABEL
from napari_xfelsort.widgets.overlay import COLOURS, OTHER_COLOUR, label_colour
from napari_xfelsort.widgets.progress import EventProgress

if TYPE_CHECKING:
    from napari_xfelsort.widgets.label_dock import LabelDock
    from napari_xfelsort.widgets.suggesting import Suggesting

_SHORTCUTS = {shortcut.action: shortcut for shortcut in LABEL}
_REST = {"ignore": "Ignore", keys.CLEAR: "Take back"}
_STEPS = {keys.REPEAT: "Repeat", keys.UNDO: "Undo", keys.REDO: "Redo"}


class EventPanel(QWidget):
    """The event shown and its label, large."""

    def __init__(self) -> None:
        super().__init__()
        self.place = QLabel()
        self.place.setObjectName("event_number")
        self.name = QElidingLabel()
        self.name.setObjectName("event_name")
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.label = QLabel()
        self.label.setObjectName("event_label")
        self.label.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(2)
        for widget in (self.place, self.name, self.label):
            widget.setTextFormat(Qt.TextFormat.PlainText)
            column.addWidget(widget)

    def show_nothing(self, why: str) -> None:
        """There is no event to label."""
        self.place.setText(why)
        self.name.setText("")
        self.name.setToolTip("")
        self._show_label("", OTHER_COLOUR)

    def show_event(
        self, event: EventId, i: int, n: int, label: str | None, classes: ClassSet
    ) -> None:
        """Show an event and its label."""
        self.place.setText(f"event {i} of {n}")
        self.name.setText(event.short)
        self.name.setToolTip(str(event))
        if label is None:
            self._show_label("no label", "#8a8f98")
        else:
            self._show_label(" + ".join(split_label(label)) or label, label_colour(label, classes))

    def _show_label(self, text: str, colour: str) -> None:
        style = f"font-size: 22px; font-weight: 600; padding: 0; margin: 0; color: {colour};"
        self.label.setStyleSheet(style)
        self.label.setText(text)


class LabelButtons(QWidget):
    """A button for each label, with its key.

    Parameters
    ----------
    label : callable
        Called with the action of the table of shortcuts.
    columns : int
        Buttons side by side.
    of_many : bool
        Whether they label what is selected, not the event shown.
    """

    def __init__(
        self, label: Callable[[str], None], columns: int = 2, of_many: bool = False
    ) -> None:
        super().__init__()
        self._label, self._columns, self._of_many = label, columns, of_many
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self.show_classes(ClassSet())

    def show_classes(self, classes: ClassSet) -> None:
        """A button for each of these classes, and those for no class."""
        while self._grid.count():
            gone = self._grid.takeAt(0).widget()
            gone.setParent(None)
            gone.deleteLater()
        helps = {each.action: each.help for each in keys.label_shortcuts(classes)}
        wanted = [
            (each.name, _title(each.name), each.key, each.colour) for each in classes.classes
        ]
        for action, title in _REST.items():
            wanted.append((action, title, _SHORTCUTS[action].key, COLOURS.get(action, "")))
        for number, (action, title, key, colour) in enumerate(wanted):
            tip = helps.get(action, f"label {action}")
            if self._of_many:
                tip = _of_selected(action)
            short = _short(title, 11 if self._columns == 2 else 9)
            made = button(
                f"{short}{'  '[: 4 - self._columns]}({key})" if key else short,
                f"label_{action.lstrip('/')}",
                f"{_title(tip)}; key {key}" if key else _title(tip),
                self._clicked,
            )
            made.setProperty("action", action)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the keys stay with the picture
            made.setStyleSheet(_style(colour, 14 if self._columns == 2 else 12))
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._grid.addWidget(made, *divmod(number, self._columns))

    def _clicked(self) -> None:
        sender = self.sender()
        assert sender is not None
        self._label(sender.property("action"))


class StepButtons(QWidget):
    """Buttons that repeat a label, undo and redo.

    Parameters
    ----------
    carry_out : callable
        Called with the action of the table of shortcuts.
    """

    def __init__(self, carry_out: Callable[[str], None]) -> None:
        super().__init__()
        self._carry_out = carry_out
        line = row()
        self._buttons: dict[str, QPushButton] = {}
        for action, title in _STEPS.items():
            key = _SHORTCUTS[action].key
            made = button(f"{title}  ({key})", action.lstrip("/"), "", self._clicked)
            made.setProperty("action", action)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self._buttons[action] = made
            line.addWidget(made)
        self.setLayout(line)
        self.show_steps("", "", "")

    def show_steps(self, repeat: str, undo: str, redo: str) -> None:
        """Say what each button would do; one that would do nothing cannot be pressed."""
        for (action, made), text in zip(self._buttons.items(), (repeat, undo, redo), strict=True):
            shortcut = _SHORTCUTS[action]
            said = f": {text}" if text else ""
            made.setToolTip(f"{shortcut.help.capitalize()}{said}; key {shortcut.key}")
            made.setEnabled(bool(text))

    def _clicked(self) -> None:
        sender = self.sender()
        assert sender is not None
        self._carry_out(sender.property("action"))


def _of_selected(action: str) -> str:
    if action == keys.CLEAR:
        return "take the labels of the selected events back"
    return f"label the selected events {action}"


def _short(title: str, most: int) -> str:
    return title if len(title) <= most else f"{title[: most - 2]}…"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _style(colour: str, pixels: int) -> str:
    size = f"min-height: 26px; font-size: {pixels}px; font-weight: 600; padding: 0;"
    if not colour:
        return f"QPushButton {{ {size} }}"
    return (
        f"QPushButton {{ {size} background-color: {colour}; color: {_ink(colour)}; }}"
        f"QPushButton:hover {{ border: 2px solid white; }}"
        "QPushButton:disabled { background-color: #4a4f57; color: #8a8f98; }"
    )


def _ink(colour: str) -> str:
    """Dark or white, whichever is read better on a colour."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#14161a" if 0.299 * red + 0.587 * green + 0.114 * blue > 105 else "white"


class TallyPanel(QWidget):
    """How many events are labelled as what, and what is done with the labels.

    Parameters
    ----------
    next_unlabelled, write_lists, reload : callable
        What the buttons do.
    """

    def __init__(
        self,
        next_unlabelled: Callable[[], None],
        write_lists: Callable[[], None],
        reload: Callable[[], None],
    ) -> None:
        super().__init__()
        key = _SHORTCUTS[keys.UNLABELLED]
        self.next_button = button(
            f"Next unlabelled  ({key.key})",
            "next_unlabelled",
            f"{key.help.capitalize()}; key {key.key}",
            next_unlabelled,
        )
        self.lists_button = button(
            "Write lists",
            "write_lists",
            "Write a list of events for each class (good.lst, …) into the label folder",
            write_lists,
        )
        self.reload_button = button(
            "Reload", "reload", "Read the label folder again: others' labels too", reload
        )
        self.counts = QLabel()
        self.counts.setObjectName("counts")
        self.counts.setWordWrap(True)
        self.counts.setTextFormat(Qt.TextFormat.PlainText)
        self.total = QLabel()
        self.total.setObjectName("total")
        self.total.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setObjectName("labelled")
        self.bar.setToolTip("Share of the run's events that have a label")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setStyleSheet(
            "QProgressBar { border: none; background: #3a3f47; }"
            f"QProgressBar::chunk {{ background: {OTHER_COLOUR}; }}"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.counts)
        column.addWidget(self.bar)
        column.addWidget(self.total)
        column.addLayout(row(self.lists_button, self.reload_button))
        for made in self._buttons():
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _buttons(self) -> tuple[QPushButton, ...]:
        return self.next_button, self.lists_button, self.reload_button

    def set_ready(self, ready: bool) -> None:
        """Whether the buttons may be used."""
        for made in self._buttons():
            made.setEnabled(ready)

    def show_nothing(self) -> None:
        """There is no run."""
        self.counts.setText("")
        self.total.setText("")
        self.bar.setMaximum(1)
        self.bar.setValue(0)

    def show_tally(
        self, tally: LabelTally, n_elsewhere: int, is_read: bool, classes: ClassSet
    ) -> None:
        """Show the labels of a run, and how many of the folder are of other events."""
        if not is_read:
            self.show_nothing()
            self.total.setText("The labels are being read …")
            return
        counts = {**dict.fromkeys(classes.names, 0), **tally.counts}
        self.counts.setText("   ".join(f"{name}: {count}" for name, count in counts.items()))
        elsewhere = f"; {n_elsewhere} labels of other events" if n_elsewhere else ""
        self.total.setText(f"{tally.n_labelled} of {len(tally)} labelled{elsewhere}")
        self.bar.setMaximum(len(tally))
        self.bar.setValue(tally.n_labelled)


class SuggestingState(QWidget):
    """How it stands with the most uncertain events; hidden while nobody asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self._suggesting: Suggesting | None = None
        self.text = QLabel()
        self.text.setObjectName("suggesting")
        self.text.setWordWrap(True)
        self.progress = EventProgress()
        self.stop_button = button(
            "Stop", "stop_looking", "Stop looking at all events", self._stop_looking
        )
        self.stop_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addLayout(row(self.progress, self.stop_button))
        self.setVisible(False)

    def follow(self, suggesting: Suggesting | None) -> None:
        """Show how it stands with these suggestions from now on; None for no more."""
        before = self._suggesting
        if suggesting is not before:
            self._suggesting = suggesting
            if suggesting is not None:
                suggesting.changed.connect(self.refresh)
                suggesting.progressed.connect(self.progress.show_counts)
            if before is not None:
                before.changed.disconnect(self.refresh)
                before.progressed.disconnect(self.progress.show_counts)
                before.let_go()
        self.refresh()

    def refresh(self) -> None:
        """Show how it stands now."""
        suggesting = self._suggesting
        looking = suggesting is not None and suggesting.looking
        if not looking:
            self.progress.stop()
        elif not self.progress.isVisibleTo(self):
            self.progress.start("Reading events…")
        self.stop_button.setVisible(looking)
        self.text.setText("" if suggesting is None else suggesting.state)
        self.setVisible(suggesting is not None)

    def _stop_looking(self) -> None:
        if self._suggesting is not None:
            self._suggesting.cancel()


def lay_out(dock: LabelDock) -> None:
    """Put the parts of the dock below one another."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.addRow("Run", dock.chooser)
    form.addRow("Labels in", dock.folder)
    form.addRow("Labeller", row(dock.labeller, dock.classes_button))
    dock.shortcuts.setObjectName("shortcuts")
    dock.shortcuts.setWordWrap(True)
    dock.classes_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    for combo in (dock.chooser, dock.advance):  # with the focus it would take letters
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    then = row("After labelling go to", dock.advance)
    forward = dock.tally_panel.next_button
    parts: list[Any] = [form, dock.event_panel, dock.buttons, dock.steps, then]
    parts += [dock.suggesting, forward]
    for part in (*parts, dock.message, dock.tally_panel, dock.shortcuts):
        if isinstance(part, QWidget):
            dock.body.addWidget(part)
        else:
            dock.body.addLayout(part)
    dock.body.addStretch(1)
