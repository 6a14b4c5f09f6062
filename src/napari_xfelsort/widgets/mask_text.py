"""Wrapped text in a part that can be folded: as high as its lines, whatever the width."""

from __future__ import annotations

from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel


class WrappedText(QLabel):
    """A label that asks for the height of all its lines.

    Parts that fold are as high as their hint, which for wrapped text is of another width.
    """

    def __init__(self, name: str) -> None:
        super().__init__("")
        self.setObjectName(name)
        self.setWordWrap(True)

    def setText(self, text: str) -> None:
        """Show a text, and ask for its height."""
        super().setText(text)
        self._ask()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Other lines fit into another width."""
        super().resizeEvent(event)
        self._ask()

    def _ask(self) -> None:
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))
