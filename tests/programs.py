"""Programs that tests start, and that are gone when the test ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

#: Seconds after which what a test waits for will not come any more. A busy machine may take
#: long over anything; nothing waits so long when all is well.
PATIENCE = 120


def wait_for(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


@contextmanager
def program(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program in a group of its own, which is killed when the block is left.

    Parameters
    ----------
    *arguments : object
        Its command line, each as text.
    **options
        Of ``subprocess.Popen``.
    """
    process = subprocess.Popen([str(a) for a in arguments], start_new_session=True, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a program and what it started, and close its pipes."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):  # of what was still to be written
                pipe.close()
