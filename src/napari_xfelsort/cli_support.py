"""What the commands share: exit statuses, errors as sentences, text for any terminal."""

from __future__ import annotations

import functools
import inspect
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer

from napari_xfelsort.core.errors import OutputError, XfelsortError

#: Problems that are named when a task starts.
_TOLD = 20


class Status(IntEnum):
    """Exit statuses."""

    DONE = 0
    USER_ERROR = 1
    USAGE = 2
    SOME_FAILED = 3
    STOPPED = 130


def guarded(
    interrupted: str = "Stopped. Nothing half-written is left; the same command starts again.",
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Turn what a command returns or raises into an exit status and a sentence.

    Parameters
    ----------
    interrupted : str
        What is said when the user stops the command with Ctrl-C.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                status = command(*args, **kwargs)
                sys.stdout.flush()
            except XfelsortError as error:
                _refuse(str(error))
            except KeyboardInterrupt:
                complain(interrupted)
                raise typer.Exit(Status.STOPPED) from None
            except BrokenPipeError:
                # The reader of a pipe (head, less) has seen enough.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(Status.USER_ERROR) from None
            except MemoryError:
                _refuse("There is not enough memory for this; use fewer workers.")
            except OSError as error:
                _refuse(_system_sentence(error))
            else:
                if status:
                    raise typer.Exit(int(status))

        run.__doc__ = unwrapped(command.__doc__ or "")
        return run

    return decorate


def unwrapped(text: str) -> str:
    """The text with one line a paragraph, for help that is wrapped to the terminal."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(p.split("\n")) for p in paragraphs)


def _refuse(sentence: str) -> None:
    complain(" ".join(sentence.splitlines()))
    raise typer.Exit(Status.USER_ERROR)


def _system_sentence(error: OSError) -> str:
    if error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}."
    return f"The system says: {error}."


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Say before the work, not after it, that a file will not be replaced.

    Raises
    ------
    OutputError
        If it exists and must not be replaced.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name or use --overwrite.")


class Interrupts:
    """Sees to it that no Ctrl-C gets lost.

    Python drops a KeyboardInterrupt that is raised while it runs a callback of a weak
    reference, of which h5py makes many. It is remembered here and raised again by the
    next `check`, that is, when progress is told.
    """

    def __init__(self) -> None:
        self._pending = False

    def install(self) -> None:
        """Take over SIGINT; call it from the main thread."""
        signal.signal(signal.SIGINT, self._remember)
        hook = sys.unraisablehook

        def without_interrupts(unraisable: Any) -> None:
            if not isinstance(unraisable.exc_value, KeyboardInterrupt):
                hook(unraisable)

        sys.unraisablehook = without_interrupts

    def _remember(self, number: int, frame: object) -> None:
        self._pending = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was one."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


#: Those of this program.
interrupts = Interrupts()


def complain(text: str) -> None:
    """Write a line to standard error."""
    typer.echo(text, err=True)


def tell_problems(problems: Sequence[object]) -> None:
    """Name what could not be used, the first of many."""
    for problem in problems[:_TOLD]:
        complain(str(problem))
    if len(problems) > _TOLD:
        complain(f"... and {len(problems) - _TOLD} more; xfelsort info tells all.")


def say(text: str = "") -> None:
    """Write a line to standard output."""
    typer.echo(text)


def make_streams_robust() -> None:
    """Let every character be written, whatever the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def facts(pairs: Iterable[tuple[str, object]], indent: str = "  ") -> str:
    """Names and values, one pair a line, the values below one another."""
    pairs = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in pairs), default=0) + 2
    return "\n".join(f"{indent}{name:<{width}}{value}" for name, value in pairs)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "  ") -> str:
    """Plain columns: the first to the left, the others to the right."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    return "\n".join(
        indent
        + "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def plural(n: int, noun: str) -> str:
    """Number and noun: ``1 event``, ``5 events``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def known(number: float) -> float | None:
    """The number, None where it is NaN."""
    return None if math.isnan(number) else number
