"""Which events of a run are labelled, kept so that asking never costs time with its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.label_journal import split_label


class LabelTally:
    """The labels of a run's events, counted as they change.

    Parameters
    ----------
    labels : sequence of str or None
        Label of each event, None where there is none: `LabelStore.aligned`.
    """

    def __init__(self, labels: Sequence[str | None]) -> None:
        self._labels = list(labels)
        found = Counter(self._labels)
        #: Each event's label as a number; 0 for none.
        self._numbers: dict[str | None, int] = {None: 0}
        for label in found:
            self._numbers.setdefault(label, len(self._numbers))
        n = len(self._labels)
        self._codes = np.fromiter(map(self._numbers.__getitem__, self._labels), np.int32, n)
        self._n_labelled = n - found[None]
        self._counts: Counter[str] = Counter()
        for label, number in found.items():
            self._count(label, number)

    def _count(self, label: str | None, number: int) -> None:
        """Count a label for each of its classes."""
        for name in () if label is None else split_label(label) or (label,):
            self._counts[name] += number
            if not self._counts[name]:
                del self._counts[name]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def n_labelled(self) -> int:
        """Number of events that have a label, ``"ignore"`` included."""
        return self._n_labelled

    @property
    def counts(self) -> dict[str, int]:
        """Number of events with each class that some event has, and ``"ignore"``; sorted.

        An event that has several classes counts for each.
        """
        return dict(sorted(self._counts.items()))

    def label(self, i: int) -> str | None:
        """Label of event ``i``, None when it has none."""
        return self._labels[i]

    def having(self, name: str) -> NDArray[np.bool_]:
        """Which events have a class, or ``"ignore"``; with an empty name, those without a label.

        Returns
        -------
        ndarray of bool, shape (events,)
        """
        wanted = [k for label, k in self._numbers.items() if name in _parts(label)]
        return np.isin(self._codes, wanted)

    def counts_of(self, events: NDArray[np.integer[Any]]) -> dict[str, int]:
        """Number of some events with each class and ``"ignore"``; ``""`` counts the others."""
        numbers = np.bincount(self._codes[events], minlength=len(self._numbers)).tolist()
        counts: Counter[str] = Counter()
        for label, k in self._numbers.items():
            for name in _parts(label) if numbers[k] else ():
                counts[name] += numbers[k]
        return dict(counts)

    def set(self, i: int, label: str | None) -> None:
        """Take note of the label that event ``i`` has now; None when it was taken back."""
        before = self._labels[i]
        self._count(before, -1)
        self._count(label, 1)
        self._n_labelled += (label is not None) - (before is not None)
        self._labels[i] = label
        self._codes[i] = self._numbers.setdefault(label, len(self._numbers))

    def set_all(self, labels: Sequence[str | None]) -> None:
        """Take note of the labels that all events have now."""
        self.__init__(labels)  # type: ignore[misc]

    def next_unlabelled(self, after: int) -> int | None:
        """The first event without a label after event ``after``, then from the run's start.

        The event itself comes last; None when all events are labelled.
        """
        free = self._codes == 0
        for start, part in ((after + 1, free[after + 1 :]), (0, free[: after + 1])):
            if part.size and part.any():
                return start + int(part.argmax())
        return None

    def random_unlabelled(self, other_than: int, random: np.random.Generator) -> int | None:
        """An event without a label chosen at random, another one than ``other_than`` if any.

        None when all events are labelled.
        """
        free = np.flatnonzero(self._codes == 0)
        others = free[free != other_than]
        if others.size:
            return int(random.choice(others))
        return int(free[0]) if free.size else None


def _parts(label: str | None) -> tuple[str, ...]:
    return split_label(label or "") or (label or "",)
