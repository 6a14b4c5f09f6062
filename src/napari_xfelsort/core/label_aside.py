"""Writing many labels in another thread, while single ones are given meanwhile.

What is known of labels changes in one thread only. Work on many of them is done on a copy
(`WrittenAside.aside`), which writes to the same journal, but as of the moment it was made:
whatever is labelled meanwhile came later, on disk as in memory, and so counts. When it is
done, `WrittenAside.take_over` puts that on top of the copy, in a time that does not grow
with what the copy wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from napari_xfelsort.core.label_journal import LabelEntry
from napari_xfelsort.core.label_match import EventKey

_STEP = timedelta(microseconds=1)


class WrittenAside:
    """The part of `LabelStore` that lets another thread write labels."""

    _entries: list[LabelEntry]
    _latest: dict[EventKey, LabelEntry]
    _said: dict[str, dict[EventKey, LabelEntry]]
    _files: dict[str, str]
    _renamed: dict[str, str]
    #: Another object after each reading of the journals.
    _reading: object
    #: Labels written from now on come after this.
    _floor = datetime.fromtimestamp(0, UTC)
    #: Of a copy: when all that it writes was said; and how many lines it began with.
    _pinned: datetime | None = None
    _n_before = 0

    def reload(self) -> None:
        """Read all journals again."""
        raise NotImplementedError

    def copy(self) -> Any:
        """A copy of what is known now."""
        raise NotImplementedError

    def recognise(self, renamed: Mapping[str, str]) -> None:
        """Take labels of files for labels of others."""
        raise NotImplementedError

    def _take(self, entries: Sequence[LabelEntry]) -> None:
        raise NotImplementedError

    def aside(self) -> Self:
        """A copy to write through in another thread, one at a time.

        All that is written through it is as of now. What is written through this store
        meanwhile comes later, and counts.
        """
        last = max((entry.time for entry in self._entries), default=self._floor)
        made: Self = self.copy()
        made._pinned = max(datetime.now(UTC), self._floor, last + _STEP)
        self._floor = made._pinned + _STEP
        made._n_before = len(self._entries)
        return made

    def take_over(self, aside: Self) -> list[LabelEntry] | None:
        """Know what a copy wrote, below what was written here since it was made.

        The copy must not be used any more.

        Returns
        -------
        list of LabelEntry or None
            What was written here meanwhile; None if the journals had to be read again.

        Raises
        ------
        LabelError
            If journals were read anew meanwhile and now cannot be read.
        """
        if aside._reading is not self._reading:
            self.reload()
            return None
        since = self._entries[aside._n_before :]
        aside.recognise({**aside._renamed, **self._renamed})
        self._entries, self._latest = aside._entries, aside._latest
        self._said, self._files = aside._said, aside._files
        self._renamed = aside._renamed
        self._reading = object()  # a copy made meanwhile does not know of this one
        self._take(since)
        return since

    def _time_after(self, known: Iterable[LabelEntry | None]) -> datetime:
        """Now, but after these lines; of a copy, when it was made.

        Clocks are set back and differ between computers; what a person did last counts.
        """
        if self._pinned is not None:
            return self._pinned
        times = (entry.time + _STEP for entry in known if entry)
        return max([datetime.now(UTC), self._floor, *times])
