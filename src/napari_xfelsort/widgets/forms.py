"""A form for any settings, made from what each of them says of itself."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.settings import Settings
from napari_xfelsort.widgets.dock import Message, button
from napari_xfelsort.widgets.inputs import Input, make_input

_TOML = "Settings (*.toml)"


class SettingsForm(QWidget):
    """One labelled input for each setting, and buttons to load, save and reset them.

    Parameters
    ----------
    kind : type of Settings
        What is to be set.
    first : sequence of str
        Settings that are shown first, in this order; the others are behind "More". All
        are shown when it is empty.
    leave_out : sequence of str
        Settings without an input; they keep the values of `set_settings`.
    offers : mapping of str to sequence of str, optional
        For settings that are a word or a number: the words to choose from.
    headings : mapping of str to str, optional
        Words above some settings behind "More", by the setting's name.
    name : str
        Object name; a form inside another has one of its own and no buttons.
    without : str
        What is the case where a value is not given, if the help does not say so.

    Attributes
    ----------
    inputs : dict of str to Input
        By the setting's name.
    rows : QFormLayout
        Those shown first; more rows may be added.
    message : Message
        What is wrong with what was entered.
    """

    #: Something was entered, loaded or reset.
    changed = Signal()

    def __init__(
        self,
        kind: type[Settings],
        first: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        offers: Mapping[str, Sequence[str]] | None = None,
        headings: Mapping[str, str] | None = None,
        name: str = "settings",
        without: str = "",
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.message = Message()
        self._kind = kind
        self._headings = headings or {}
        self._base = kind()
        fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in leave_out}
        hints = typing.get_type_hints(kind)
        names = list(first) or list(fields)
        self.inputs: dict[str, Input] = {}
        for each in dict.fromkeys([*names, *fields]):
            made = make_input(fields[each], hints[each], (offers or {}).get(each, ()), without)
            made.changed.connect(self._entered)
            self.inputs[each] = made
        self._lay_out(fields, names)
        self.set_settings(self._base)

    def settings(self) -> Settings:
        """The settings as they were entered.

        Raises
        ------
        SettingsError
            If a value is no number where one is needed, or out of range.
        """
        values = {name: made.value() for name, made in self.inputs.items()}
        return dataclasses.replace(self._base, **values)

    def set_settings(self, settings: Settings) -> None:
        """Show these settings; those without an input are kept as well."""
        self._base = settings
        with QSignalBlocker(self):
            for name, made in self.inputs.items():
                made.show_value(getattr(settings, name))
        self._entered()

    def reset(self) -> None:
        """Show the defaults."""
        self.set_settings(self._kind())

    def enable(self, name: str, enabled: bool) -> None:
        """Allow a setting to be entered, or not where it would change nothing."""
        self.inputs[name].setEnabled(enabled)
        self._labels[name].setEnabled(enabled)

    def show_row(self, name: str, shown: bool) -> None:
        """Show the input of a setting, or not where it would change nothing."""
        self.inputs[name].setVisible(shown)
        self._labels[name].setVisible(shown)

    # --- files --------------------------------------------------------------------------

    def load(self) -> None:
        """Ask for a TOML file and show its settings; others get their defaults."""
        path = QFileDialog.getOpenFileName(self, "Load settings", "", _TOML)[0]
        if not path:
            return
        try:
            self.set_settings(self._kind.from_toml(path))
        except SettingsError as error:
            self.message.tell_error(str(error))

    def save(self) -> None:
        """Ask for a name and write the settings to a TOML file."""
        try:
            text = self.settings().to_toml()
        except SettingsError as error:
            self.message.tell_error(str(error))
            return
        path = QFileDialog.getSaveFileName(
            self,
            "Save settings",
            "settings.toml",
            _TOML,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )[0]
        if not path:
            return
        target = file_to_write(self, path, ".toml")
        if target is None:
            return
        try:
            write_text_atomic(target.path, text, overwrite=target.replaces)
        except OutputError as error:
            self.message.tell_error(str(error))
        else:
            self.message.tell(f"The settings are in {target.path}.")

    # --- how it looks -------------------------------------------------------------------

    def _lay_out(self, fields: Mapping[str, dataclasses.Field[Any]], first: list[str]) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._labels: dict[str, QLabel] = {}
        self.rows = self._form([fields[name] for name in first])
        column.addLayout(self.rows)
        rest = [field for name, field in fields.items() if name not in first]
        if rest:
            column.addWidget(self._more(rest))
        if self.objectName() == "settings":
            column.addLayout(self._buttons())
        column.addWidget(self.message)

    def _buttons(self) -> QHBoxLayout:
        buttons = QHBoxLayout()
        buttons.addWidget(button("Defaults", "settings_reset", "Show the defaults", self.reset))
        buttons.addStretch()
        load = "Load settings from a TOML file; the command line's --settings reads the same"
        buttons.addWidget(button("Load…", "settings_load", load, self.load))
        save = "Save the settings to a TOML file, for here and for the command line"
        buttons.addWidget(button("Save…", "settings_save", save, self.save))
        return buttons

    def _more(self, fields: list[dataclasses.Field[Any]]) -> QCollapsible:
        title = "More" if self.objectName() == "settings" else f"More of the {self.objectName()}"
        more = QCollapsible(title, expandedIcon="▼", collapsedIcon="▶")
        more.setObjectName(f"{self.objectName()}_more")
        more.setDuration(0)
        held = QWidget()
        held.setLayout(self._form(fields))
        more.addWidget(held)
        more.layout().setContentsMargins(0, 0, 0, 0)
        more.content().layout().setContentsMargins(0, 4, 0, 0)
        more.collapse(animate=False)
        return more

    def _form(self, fields: list[dataclasses.Field[Any]]) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        for field in fields:
            made, label = self.inputs[field.name], QLabel(field.name.replace("_", " "))
            tip = tooltip(field)
            for widget in (label, made.main, *made.main.parent().findChildren(QWidget)):
                widget.setToolTip(tip)
            label.setBuddy(made.main)
            if field.name in self._headings:
                heading = QLabel(f"<b>{self._headings[field.name]}</b>")
                heading.setObjectName(f"heading_{field.name}")
                form.addRow(heading)
            self._labels[field.name] = label
            form.addRow(label, made)
        return form

    def _entered(self) -> None:
        try:
            self.settings()
        except SettingsError as error:
            self.message.tell_error(str(error))
        else:
            self.message.tell("")
        self.changed.emit()


def tooltip(field: dataclasses.Field[Any]) -> str:
    """What a setting is, with its unit, its range and what it is by default."""
    rules = field.metadata
    text = rules.get("help", "").rstrip(".")
    parts = [text[:1].upper() + text[1:]]
    if rules.get("unit"):
        parts[0] += f" ({rules['unit']})"
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None and high is not None:
        parts.append(f"From {low:g} to {high:g}")
    elif low is not None or high is not None:
        parts.append(f"At least {low:g}" if high is None else f"At most {high:g}")
    default = field.default
    if default is not None and default != "":
        shown = {True: "yes", False: "no"}.get(default) if isinstance(default, bool) else default
        parts.append(f"Default: {shown}")
    return ". ".join(parts) + "."


class Target(typing.NamedTuple):
    """A file that may be written: its whole path, and whether it replaces one."""

    path: str
    replaces: bool


def file_to_write(parent: QWidget, path: str, suffix: str = "") -> Target | None:
    """Where to write a file, asking before one that exists is replaced; None for not at all.

    Parameters
    ----------
    parent : QWidget
        Before which is asked.
    path : str
        As entered; ``~`` stands for the home.
    suffix : str
        How the name ends; added unless it does.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if not path.lower().endswith(suffix):
        path += suffix
    if not os.path.exists(path):
        return Target(path, False)
    answer = QMessageBox.question(
        parent,
        "Replace file?",
        f"{Path(path).name} exists already in {Path(path).parent}. Replace it?",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return Target(path, True) if answer == QMessageBox.StandardButton.Yes else None
