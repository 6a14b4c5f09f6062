"""How far long work is, and how long it will take."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QProgressBar

#: Seconds before the time left can be told.
_SETTLED = 1.0


class EventProgress(QProgressBar):
    """Events done and in all, and the time left; hidden when nothing is going on."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("progress")
        self.setToolTip("Events done, events in all, and about how long the rest takes")
        self._started = 0.0
        self._first = 0
        self.setVisible(False)

    def start(self, text: str) -> None:
        """Work begins; it is not known yet how much."""
        self._started = 0.0
        self.setRange(0, 0)
        self.setFormat(text)
        self.setVisible(True)

    def show_counts(self, counts: tuple[int, int], noun: str = "events") -> None:
        """Show events, or other things, done and in all."""
        done, total = counts
        if not self._started:
            self._started, self._first = time.monotonic(), done
        self.setRange(0, max(1, total))
        self.setValue(done)
        left = time_left(time.monotonic() - self._started, done - self._first, total - done)
        self.setFormat(f"%v of %m {noun}{left and ', '}{left}")

    def stop(self) -> None:
        """Work ended."""
        self.setVisible(False)


def time_left(seconds: float, done: int, to_do: int) -> str:
    """About how long the rest takes; empty when it cannot be told yet.

    Parameters
    ----------
    seconds : float
        That the work has taken.
    done, to_do : int
        How much was done in them, and how much is left.
    """
    if seconds < _SETTLED or done <= 0 or to_do <= 0:
        return ""
    left = round(seconds * to_do / done)
    if left < 60:
        return f"{left} s left"
    if left < 3600:
        return f"{left // 60} min {left % 60:02d} s left"
    return f"{left // 3600} h {left % 3600 // 60:02d} min left"
