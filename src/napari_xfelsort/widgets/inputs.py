"""One input for each kind of setting, around magicgui's widgets."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QGridLayout, QHBoxLayout, QWidget

from napari_xfelsort.core.errors import SettingsError

#: Whole numbers that any file format keeps exactly.
_MOST = 2**53
#: What is the case where no value is given, and nothing says what that means.
_NONE = "none"


class Input(QWidget):
    """An input for one setting: shows a value, and gives what was entered.

    Parameters
    ----------
    name : str
        Of the setting; also the object name of the widget to type or choose in.
    main : QWidget
        That widget.
    """

    #: Something was entered or shown.
    changed = Signal()

    def __init__(self, name: str, main: QWidget, *beside: QWidget) -> None:
        super().__init__()
        self.name, self.main = name, main
        main.setObjectName(name)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (*beside, main):
            if isinstance(widget, (QComboBox, QAbstractSpinBox)):
                needs_focus_for_wheel(widget)
            layout.addWidget(widget, 1 if widget is main else 0)
        self.setFocusProxy(main)

    def value(self) -> Any:
        """What was entered.

        Raises
        ------
        SettingsError
            If it is no value of this kind.
        """
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError

    def _tell(self, *_: Any) -> None:
        self.changed.emit()


class FlagInput(Input):
    """Yes or no."""

    def __init__(self, name: str) -> None:
        self._box = CheckBox(text="")
        super().__init__(name, self._box.native)
        self._box.changed.connect(self._tell)

    def value(self) -> bool:
        return bool(self._box.value)

    def show_value(self, value: Any) -> None:
        self._box.value = bool(value)


class ChoiceInput(Input):
    """One of some words."""

    def __init__(self, name: str, choices: Sequence[str]) -> None:
        self._box = ComboBox(choices=[(word.replace("_", " "), word) for word in choices])
        super().__init__(name, self._box.native)
        self._box.changed.connect(self._tell)

    def value(self) -> str:
        return str(self._box.value)

    def show_value(self, value: Any) -> None:
        self._box.value = value


class OptionalChoiceInput(Input):
    """One of some values that have names, or none of them.

    Parameters
    ----------
    without : str
        What is the case when none is chosen.
    choices : mapping of str to object
        The values by their names.
    """

    def __init__(self, name: str, without: str, choices: Mapping[str, Any]) -> None:
        self._box = QComboBox()
        for word, value in ((without, None), *choices.items()):
            self._box.addItem(word, value)
        super().__init__(name, self._box)
        self._box.currentIndexChanged.connect(self._tell)

    def value(self) -> Any:
        return self._box.currentData()

    def show_value(self, value: Any) -> None:
        self._box.setCurrentIndex(max(0, self._box.findData(value)))


class ManyChoicesInput(Input):
    """Some of some words: a box to tick for each, in two columns."""

    def __init__(self, name: str, choices: Sequence[str]) -> None:
        held = QWidget()
        grid = QGridLayout(held)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        self._boxes = {word: CheckBox(text=word.replace("_", " ")) for word in choices}
        for k, (word, box) in enumerate(self._boxes.items()):
            box.native.setObjectName(f"{name}_{word}")
            grid.addWidget(box.native, k // 2, k % 2)
        super().__init__(name, held)
        for box in self._boxes.values():
            box.changed.connect(self._tell)

    def value(self) -> tuple[str, ...]:
        return tuple(word for word, box in self._boxes.items() if box.value)

    def show_value(self, value: Any) -> None:
        for word, box in self._boxes.items():
            box.value = word in value


class WholeNumberInput(Input):
    """A whole number; where none may be given, a box to tick says what then happens.

    Parameters
    ----------
    without : str
        What is the case without a number: ``unlimited``; empty where there must be one.
    """

    def __init__(
        self, name: str, minimum: float | None, maximum: float | None, without: str = ""
    ) -> None:
        low = -_MOST if minimum is None else int(minimum)
        high = _MOST if maximum is None else int(maximum)
        self._spin = SpinBox(min=low, max=high, value=min(max(0, low), high))
        self._none = CheckBox(text=without) if without else None
        beside = []
        if self._none is not None:
            self._none.native.setObjectName(f"{name}_none")
            self._none.changed.connect(self._allow)
            beside.append(self._none.native)
        super().__init__(name, self._spin.native, *beside)
        self._spin.changed.connect(self._tell)

    def value(self) -> int | None:
        if self._none is not None and self._none.value:
            return None
        return int(self._spin.value)

    def show_value(self, value: Any) -> None:
        if self._none is not None:
            self._none.value = value is None
            self._spin.enabled = value is not None
        if value is not None:
            self._spin.value = value

    def _allow(self, none: bool) -> None:
        self._spin.enabled = not none
        self._tell()


class TextInput(Input):
    """Text, a number of any size, or several separated by commas; a line to type in.

    Parameters
    ----------
    kinds : tuple of type
        What the text may be, tried in order: ``float``, ``int``, ``str``.
    many : bool
        Whether the value is a tuple.
    optional : bool
        Whether an empty line means no value.
    without : str
        What is the case then, shown in the empty line.
    """

    def __init__(
        self,
        name: str,
        kinds: tuple[type, ...],
        many: bool = False,
        optional: bool = False,
        without: str = "",
    ) -> None:
        self._kinds, self._many, self._optional = kinds, many, optional
        self._line = LineEdit()
        self._line.native.setPlaceholderText(without)
        super().__init__(name, self._line.native)
        self._line.changed.connect(self._tell)

    def value(self) -> Any:
        text = str(self._line.value).strip()
        if self._optional and not text:
            return None
        if self._many:
            return tuple(self._read(part.strip()) for part in text.split(",") if part.strip())
        return self._read(text)

    def show_value(self, value: Any) -> None:
        if value is None:
            self._line.value = ""
        elif self._many:
            self._line.value = ", ".join(map(_written, value))
        else:
            self._line.value = _written(value)

    def _read(self, text: str) -> Any:
        return read_text(self.name, text, self._kinds)


class OfferInput(Input):
    """Some words to choose from, or something else that is typed."""

    def __init__(self, name: str, kinds: tuple[type, ...], offers: Sequence[str]) -> None:
        self._kinds = kinds
        self._box = QComboBox()
        self._box.setEditable(True)
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._box.addItems(list(offers))
        super().__init__(name, self._box)
        self._box.currentTextChanged.connect(self._tell)

    def offer(self, offers: Sequence[str]) -> None:
        """Offer other words; what was entered stays, or is the first of them if nothing was."""
        entered = self._box.currentText().strip()
        with QSignalBlocker(self._box):
            self._box.clear()
            self._box.addItems(list(offers))
            self._box.setCurrentText(entered or next(iter(offers), ""))
        self._tell()

    def value(self) -> Any:
        return read_text(self.name, self._box.currentText().strip(), self._kinds)

    def show_value(self, value: Any) -> None:
        self._box.setCurrentText(_written(value))


def make_input(
    field: dataclasses.Field[Any], hint: Any, offers: Sequence[str] = (), without: str = ""
) -> Input:
    """The input that suits a setting.

    Parameters
    ----------
    field : dataclasses.Field
        Made by `core.settings.setting`.
    hint : type
        Its resolved type.
    offers : sequence of str
        Words to choose from where other values may be typed.
    without : str
        What is the case where no value is given; by default what the help says.

    Raises
    ------
    TypeError
        If there is no input for settings of this type.
    """
    rules = field.metadata
    parts = typing.get_args(hint) if _is_union(hint) else (hint,)
    optional = type(None) in parts
    kinds = tuple(part for part in parts if part is not type(None))
    many = len(kinds) == 1 and typing.get_origin(kinds[0]) is tuple
    if many:
        kinds = (typing.get_args(kinds[0])[0],)
    if not set(kinds) <= {int, float, str, bool}:
        raise TypeError(f"no input can be made for settings of type {hint}")
    without = without or _case_without(rules.get("help", ""))
    if rules.get("choices"):
        if optional and not many:
            named = {word.replace("_", " "): word for word in rules["choices"]}
            return OptionalChoiceInput(field.name, without, named)
        made = ManyChoicesInput if many else ChoiceInput
        return made(field.name, rules["choices"])
    if offers:
        return OfferInput(field.name, _numbers_first(kinds), offers)
    if kinds == (bool,) and not many:
        if optional:
            return OptionalChoiceInput(field.name, without, {"yes": True, "no": False})
        return FlagInput(field.name)
    if kinds == (int,) and not many:
        case = without if optional else ""
        return WholeNumberInput(field.name, rules["minimum"], rules["maximum"], case)
    shown = "" if without == _NONE else without
    return TextInput(field.name, _numbers_first(kinds), many, optional, shown if optional else "")


def read_text(name: str, text: str, kinds: tuple[type, ...]) -> Any:
    """Text as the first of some kinds that it can be.

    Raises
    ------
    SettingsError
        If it is none of them.
    """
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    what = "whole number" if kinds == (int,) else "number"
    raise SettingsError(f"{name} is {text!r} but must be a {what}.")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _numbers_first(kinds: tuple[type, ...]) -> tuple[type, ...]:
    return tuple(sorted(kinds, key=lambda kind: (int, float, str).index(kind)))


def _written(value: Any) -> str:
    """A value as text that is read as the same value again."""
    return f"{value!r}".removesuffix(".0") if isinstance(value, float) else str(value)


def _case_without(help: str) -> str:
    """What is the case where a number is not given, if the help says so in one word."""
    return next((word for word in ("unlimited", "automatic") if word in help.lower()), _NONE)


def grey_out(box: QComboBox, value: Any, why: str) -> None:
    """No value to choose that cannot be had, with the reason; there is one if that is empty."""
    item = box.model().item(box.findData(value))
    item.setEnabled(not why)
    item.setToolTip(why)


class _WheelFilter(QObject):
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()  # so that the dock scrolls
            return True
        return False


def needs_focus_for_wheel(widget: QWidget) -> None:
    """Let the wheel change a value only after a click: over a dock it scrolls."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelFilter(widget))
