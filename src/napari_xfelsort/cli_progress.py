"""How far a long task is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_xfelsort.cli_support import complain, interrupts

if TYPE_CHECKING:
    from rich.progress import Progress, Task

#: Called with the number done and the number in all.
Report = Callable[[int, int], None]

#: Seconds between plain lines.
LINE_EVERY = 10.0


@contextmanager
def progress(label: str, unit: str = "events") -> Iterator[Report]:
    """Show how far a task is on standard error, with rate and time left.

    Yields
    ------
    callable
        To be called with the number done and the number in all.
    """
    if sys.stderr.isatty():
        with _bar(unit) as bar:
            task = bar.add_task(label, total=None)

            def report(done: int, total: int) -> None:
                interrupts.check()
                bar.update(task, completed=done, total=total)

            yield report
    else:
        yield PlainLines(label, unit)


class PlainLines:
    """Writes a line now and then, and one at the end.

    Parameters
    ----------
    label, unit : str
        What is done, and what is counted.
    clock : callable
        Seconds that only ever grow.
    """

    def __init__(self, label: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._unit = unit
        self._clock = clock
        self._begin = self._last = clock()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the task is; mostly does nothing."""
        interrupts.check()
        now = self._clock()
        if self._first is None:
            # What an earlier run had done already is no measure of speed.
            self._first = done - 1 if done else 0
        if done < total and now - self._last < LINE_EVERY:
            return
        self._last = now
        text = f"{self._label}: {done} of {total} {self._unit}"
        passed = now - self._begin
        rate = (done - self._first) / passed if passed > 0 else 0.0
        if rate > 0:
            text += f", {_short(rate)}/s"
            if done < total:
                text += f", {_duration((total - done) / rate)} left"
        complain(text)


def _short(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _bar(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Events a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{_short(speed)} {unit}/s" if speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
