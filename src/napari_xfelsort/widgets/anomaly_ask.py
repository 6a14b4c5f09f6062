"""Questions about the event shown, answered beside the window: the last one counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_xfelsort.widgets.workers import Job, Report

#: Milliseconds from a step to the question: not on each of many.
_DELAY = 120


class Asker(QObject):
    """Answers one question at a time; of those asked meanwhile only the last is kept.

    Parameters
    ----------
    name : str
        What it does, for the user.
    """

    answered = Signal(object)
    progressed = Signal(object)
    failed = Signal(str)
    #: It has begun, or has nothing more to do.
    changed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._wanted: Callable[[Report], Any] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether a question is to be answered."""
        return self._job is not None or self._timer.isActive()

    def ask(self, function: Callable[[Report], Any], delay: int = _DELAY) -> None:
        """Answer this soon, and no other; what is being answered is stopped."""
        self._wanted = function
        if self._job is not None:
            self._job.stop()
        else:
            self._timer.start(delay)
        self.changed.emit()

    def forget(self) -> None:
        """Answer nothing any more."""
        self._wanted = None
        self._timer.stop()
        if self._job is not None:
            self._job.stop()

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None or self._job is not None:
            return
        job = self._job = Job(self._name, wanted)
        job.progressed.connect(self._tell_progress)
        job.succeeded.connect(self._tell_answer)
        job.failed.connect(self._tell_failure)
        job.ended.connect(self._ended)
        job.start()
        self.changed.emit()

    def _tell_progress(self, state: Any) -> None:
        self.progressed.emit(state)

    def _tell_answer(self, answer: Any) -> None:
        if self._wanted is None:
            self.answered.emit(answer)

    def _tell_failure(self, sentence: str) -> None:
        if self._wanted is None:
            self.failed.emit(sentence)

    def _ended(self) -> None:
        self._job = None
        if self._wanted is not None:
            self._timer.start(0)
        self.changed.emit()
