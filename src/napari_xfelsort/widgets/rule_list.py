"""The rules that labelled events, each to be withdrawn as a whole."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QGroupBox, QLabel, QSizePolicy

from napari_xfelsort.core.label_journal import RULE
from napari_xfelsort.widgets.dock import button


class RuleList(QGroupBox):
    """A line for each rule: its name, the number of its labels, a button."""

    #: The user wants all labels of a rule taken back: its source.
    withdrawn = Signal(str)

    def __init__(self) -> None:
        super().__init__("Rules in the label folder")
        self._lines = QGridLayout(self)
        self._lines.setContentsMargins(6, 6, 6, 6)
        self._lines.setColumnStretch(0, 1)
        self._shown: dict[str, int] | None = None
        self.show_rules({})

    def show_rules(self, rules: Mapping[str, int]) -> None:
        """Show rules by their source, and how many labels each gave."""
        if dict(rules) == self._shown:
            return
        self._shown = dict(rules)
        while self._lines.count():
            widget = self._lines.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        if not rules:
            none = QLabel("None has labelled events yet.")
            none.setObjectName("no_rules")
            self._lines.addWidget(none, 0, 0)
        for line, (source, n) in enumerate(rules.items()):
            name = source.removeprefix(RULE)
            shown = QLabel(name)
            shown.setObjectName(f"rule_{name}")
            shown.setToolTip(f"Labels with the source {source}")
            shown.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            count = QLabel(f"{n} label{'s' * (n != 1)}")
            count.setObjectName(f"rule_{name}_count")
            tip = "Take all its labels back; what was there before counts again. Can be undone"
            back = button("Withdraw", f"withdraw_{name}", tip, self._clicked)
            back.setProperty("source", source)
            for column, widget in enumerate((shown, count, back)):
                self._lines.addWidget(widget, line, column)

    def _clicked(self) -> None:
        self.withdrawn.emit(self.sender().property("source"))
