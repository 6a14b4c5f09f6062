"""Long work beside the window: the only place that starts threads for docks.

A `Job` runs one function of core in a thread. The function reports how far it is; the
report is also where it can be stopped. Qt and viewer are touched by the main thread
alone, through the job's signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_xfelsort.core.errors import XfelsortError

#: Seconds between two reports that are passed on: each costs the window time.
REPORT_SECONDS = 0.1

#: Passes an object on to the window; raises `Stopped` when the work is to stop.
Report = Callable[[Any], None]


class Stopped(BaseException):
    """The user asked for the work to stop.

    Like KeyboardInterrupt no error, so that nothing on the way takes it for one.
    """


class Job(QObject):
    """One function running beside the window.

    Parameters
    ----------
    name : str
        What it does, for the user: napari names it when it is asked to close meanwhile.
    function : callable
        Called with a `Report` function. At most every 100 ms a report is passed on.

    Of the signals, all emitted in the main thread, `ended` follows each of `succeeded`
    (what the function returned), `failed` (a sentence) and `stopped`.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(str)
    stopped = Signal()
    ended = Signal()

    #: Jobs are kept until they end, whether or not the dock that began them is.
    _running: set[Job] = set()  # noqa: RUF012

    def __init__(self, name: str, function: Callable[[Report], Any]) -> None:
        super().__init__()
        self.name = name
        self._function = function
        self._worker: Any = None
        self._stop = False
        self._reported = 0.0

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self in self._running

    def start(self) -> None:
        """Start the work. Connect to the signals before."""
        from napari.qt.threading import create_worker

        self._worker = create_worker(_Task(self), _start_thread=False)
        self._worker.returned.connect(self._take)
        self._worker.errored.connect(self._take_bug)
        self._worker.finished.connect(self._end)
        self._running.add(self)
        self._worker.start()

    def stop(self) -> None:
        """Ask the work to stop; it does at its next report."""
        self._stop = True

    def report(self, state: Any) -> None:
        """Called by the work, in its thread.

        Raises
        ------
        Stopped
            If it is to stop.
        """
        if self._stop or self._worker.abort_requested:
            raise Stopped
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self.progressed.emit(state)

    def _take(self, outcome: tuple[str, Any]) -> None:
        kind, value = outcome
        if kind == "succeeded":
            self.succeeded.emit(value)
        elif kind == "failed":
            self.failed.emit(value)
        else:
            self.stopped.emit()

    def _take_bug(self, error: Exception) -> None:
        # napari shows it, with its traceback, and logs it.
        self.failed.emit(f"An error that should not happen: {type(error).__name__}: {error}")

    def _end(self) -> None:
        self._running.discard(self)
        self.ended.emit()


class _Task:
    """What the thread calls; napari shows its name when the window is closed meanwhile."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.__name__ = job.name

    def __repr__(self) -> str:
        return self._job.name

    def __call__(self) -> tuple[str, Any]:
        job = self._job
        try:
            return "succeeded", job._function(job.report)
        except XfelsortError as error:
            return "failed", str(error)
        except Stopped:
            return "stopped", None


def counted(report: Report) -> Callable[[int, int], None]:
    """A progress function of core, of events done and in all, from a report."""
    return lambda done, total: report((done, total))
