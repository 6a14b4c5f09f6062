"""Tables of decisions that grow block by block and survive being cut off.

A table grows as ``.NAME.csv.part`` and is renamed to ``NAME.csv`` when complete.
``NAME.json`` beside it says what the table was made from, how far it is good (rows,
bytes and their SHA-256) and what is counted in it, so that a later call neither
repeats what is there nor trusts what was cut off, changed, or made from other input.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from napari_xfelsort.core.atomic import flush_folder, write_text_atomic
from napari_xfelsort.core.decisions import Decisions, table_header
from napari_xfelsort.core.errors import OutputError, UnreadableFileError
from napari_xfelsort.core.sorting.tally import Tally

FORMAT = 1
#: Seconds of work that a kill may cost a file that is not complete.
CHECKPOINT_SECONDS = 5.0
#: Parts of a table's key that change when the file grows.
_GROWS = ("events", "selection", "token", "size", "mtime_ns")


def header_text(class_names: tuple[str, ...]) -> bytes:
    """First line of a table, as `Decisions.write_csv` writes it."""
    return _csv([table_header(class_names)])


def rows_text(decisions: Decisions) -> bytes:
    """Lines of a table without its header, as `Decisions.write_csv` writes them."""
    return _csv(decisions.table_rows())


def _csv(rows: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_rows(path: Path) -> Iterator[list[str]]:
    """Rows of a complete table one by one, without its header.

    Raises
    ------
    UnreadableFileError
        If the table cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            rows = csv.reader(text, strict=True)
            next(rows, None)
            yield from rows
    except (OSError, csv.Error) as error:
        raise UnreadableFileError(f"The decisions in {path} cannot be read: {error}.") from error


@dataclass(eq=False)
class TableState:
    """What is known of a table.

    Attributes
    ----------
    key : dict
        What the table was made from; equal keys mean equal rows.
    rows, size : int
        Events and bytes that are good.
    sha256 : str
        Of these bytes.
    tally : Tally
        What is counted in these rows.
    block_events : int
        Events of the blocks it was made in; a table is continued in equal blocks only,
        because the last digit of a probability may depend on the block.
    complete : bool
        All events of the file are there.
    retry : bool
        Events failed for a reason that may pass, so a later call tries again.
    whole_blocks : dict, optional
        Rows, size, sha256 and tally (as `Tally.to_dict`) before the last block where that
        one is short: from there the table of a file that grew is continued.
    """

    key: dict[str, Any]
    rows: int
    size: int
    sha256: str
    tally: Tally
    block_events: int
    complete: bool = False
    retry: bool = False
    whole_blocks: dict[str, Any] | None = None

    def grown_from(self, key: dict[str, Any]) -> bool:
        """Whether this is a table of the same file with no more events than ``key`` says."""
        changing = dict.fromkeys(_GROWS)
        return {**self.key, **changing} == {**key, **changing} and self.rows <= key["events"]

    def to_whole_blocks(self) -> None:
        """Forget a last block that is short.

        Raises
        ------
        KeyError, TypeError, ValueError
            If what was stored is no such state.
        """
        if self.rows % self.block_events:
            before = self.whole_blocks or {}
            self.tally = Tally.from_dict(before["tally"])
            self.rows, self.size = int(before["rows"]), int(before["size"])
            self.sha256 = str(before["sha256"])
            if self.tally.events != self.rows:
                raise ValueError("rows and counts differ")
        self.complete, self.whole_blocks = False, None

    def write(self, path: Path) -> None:
        """Write it beside the table.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        values = {**vars(self), "format": FORMAT, "tally": self.tally.to_dict()}
        write_text_atomic(path, json.dumps(values), overwrite=True)

    @classmethod
    def read(cls, path: Path) -> TableState | None:
        """What was written beside a table; None where there is nothing usable."""
        try:
            values = json.loads(path.read_bytes())
            if values.pop("format") != FORMAT:
                return None
            values["tally"] = Tally.from_dict(values["tally"])
            state = cls(**values)
            return state if state.tally.events == state.rows else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


class Table:
    """The table of one file, made, continued or found complete.

    Parameters
    ----------
    folder : Path
        Where tables are.
    name : str
        Name of the table without ``.csv``.
    key : dict
        What it is made from; JSON values only.
    empty : Tally
        A tally of nothing.
    block_events : int
        Events of a block.
    """

    def __init__(
        self, folder: Path, name: str, key: dict[str, Any], empty: Tally, block_events: int
    ) -> None:
        self.path = folder / f"{name}.csv"
        self._part = folder / f".{name}.csv.part"
        self._sidecar = folder / f"{name}.json"
        self._out: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._saved_at = 0.0
        self.state = TableState(key, 0, 0, "", empty, block_events)

    def find_complete(self, try_again: bool = True) -> bool:
        """Whether the table is complete, unchanged and made from the same; then it is used.

        Parameters
        ----------
        try_again : bool
            A table with events that failed for a reason that may pass is not complete.
        """
        state = TableState.read(self._sidecar)
        if state is None or not state.complete or state.key != self.state.key:
            return False
        if state.retry and try_again:
            return False
        if _digest(self.path, state.size, exactly=True) != state.sha256:
            return False
        self.state = state
        return True

    def start(self, grown: bool = False) -> None:
        """Continue the table where its last good block ended, else begin it.

        Parameters
        ----------
        grown : bool
            The file is known to have grown at its end only: a table of its first events
            is continued too.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with _told(self.path):
            saved = self._find_part() or self._find_shorter(grown)
            if saved is None:
                self._out = self._part.open("wb")
                self._write(header_text(self.state.tally.class_names))
            else:
                self.state = saved
                self._out = self._part.open("r+b")
                while chunk := self._out.read(min(1 << 20, saved.size - self._out.tell())):
                    self._hash.update(chunk)
                self._out.truncate(saved.size)
            self._saved_at = time.monotonic()

    def _find_part(self) -> TableState | None:
        saved = TableState.read(self._sidecar)
        mine = self.state
        if saved is None or saved.complete:
            return None
        if (saved.key, saved.block_events) != (mine.key, mine.block_events):
            return None
        good = _digest(self._part, saved.size) == saved.sha256
        return saved if good else None

    def _find_shorter(self, grown: bool) -> TableState | None:
        """A complete table of fewer events of the same file, made one to be continued."""
        saved = TableState.read(self._sidecar)
        mine = self.state
        if saved is None or not saved.complete or saved.retry or not saved.grown_from(mine.key):
            return None
        unchanged = all(saved.key.get(k) == mine.key.get(k) for k in ("size", "mtime_ns"))
        if saved.block_events != mine.block_events or not (grown or unchanged):
            return None
        if _digest(self.path, saved.size, exactly=True) != saved.sha256:
            return None
        try:
            saved.to_whole_blocks()
        except (KeyError, TypeError, ValueError):
            return None
        if _digest(self.path, saved.size) != saved.sha256:
            return None
        saved.key = mine.key
        os.replace(self.path, self._part)
        saved.write(self._sidecar)
        return saved

    def append(self, text: bytes, tally: Tally, lost: bool = False) -> None:
        """Add the next block.

        Parameters
        ----------
        text : bytes
            Its rows.
        tally : Tally
            What is counted in them.
        lost : bool
            The block failed as a whole, which may pass.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with _told(self.path):
            if tally.events < self.state.block_events:
                self._remember_whole_blocks()
            self._write(text)
            self.state.tally.add(tally, self.state.rows)
            self.state.rows += tally.events
            self.state.retry |= lost
            if time.monotonic() - self._saved_at > CHECKPOINT_SECONDS:
                self._save()

    def finish(self) -> None:
        """Give the table its name: all events are there.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        assert self._out is not None
        state = self.state
        with _told(self.path):
            self._flush()
            self._close()
            os.replace(self._part, self.path)
            flush_folder(self.path.parent)
            state.complete = True
            # A file of which nothing could be read may be there again next time.
            state.retry |= state.rows > 0 and state.tally.failed == state.rows
            state.sha256 = self._hash.hexdigest()
            state.write(self._sidecar)

    def leave(self) -> None:
        """Stop before the table is complete; `start` goes on from here."""
        if self._out is None:
            return
        with suppress(OSError, OutputError):
            self._save()
        with suppress(OSError):
            self._close()

    def _remember_whole_blocks(self) -> None:
        state = self.state
        state.whole_blocks = {
            "rows": state.rows,
            "size": state.size,
            "sha256": self._hash.hexdigest(),
            "tally": json.loads(json.dumps(state.tally.to_dict())),  # a copy that stays
        }

    def _write(self, text: bytes) -> None:
        assert self._out is not None
        self._out.write(text)
        self._hash.update(text)
        self.state.size += len(text)

    def _save(self) -> None:
        self._flush()
        self.state.sha256 = self._hash.hexdigest()
        self.state.write(self._sidecar)
        self._saved_at = time.monotonic()

    def _flush(self) -> None:
        assert self._out is not None
        self._out.flush()
        os.fsync(self._out.fileno())

    def _close(self) -> None:
        out, self._out = self._out, None
        if out is not None:
            out.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn a failure of the disk into a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. What is complete is kept; "
            "the same call goes on from there."
        ) from error


def _digest(path: Path, size: int, exactly: bool = False) -> str | None:
    """SHA-256 of the first bytes of a file, None where there are not that many."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source:
            length = os.fstat(source.fileno()).st_size
            if length < size or (exactly and length != size):
                return None
            while chunk := source.read(min(1 << 20, size - source.tell())):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
