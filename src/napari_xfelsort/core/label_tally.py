"""Which events of a run are labelled, kept so that asking never costs time with its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


class LabelTally:
    """The labels of a run's events, counted as they change.

    Parameters
    ----------
    labels : sequence of str or None
        Label of each event, None where there is none: `LabelStore.aligned`.
    """

    def __init__(self, labels: Sequence[str | None]) -> None:
        self._labels = list(labels)
        self._free = np.array([label is None for label in labels], bool)
        self._counts = Counter(label for label in labels if label is not None)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def n_labelled(self) -> int:
        """Number of events that have a label, ``"ignore"`` included."""
        return self._counts.total()

    @property
    def counts(self) -> dict[str, int]:
        """Number of events with each label that some event has, sorted by label."""
        return dict(sorted(self._counts.items()))

    def label(self, i: int) -> str | None:
        """Label of event ``i``, None when it has none."""
        return self._labels[i]

    def set(self, i: int, label: str | None) -> None:
        """Take note of the label that event ``i`` has now; None when it was taken back."""
        before = self._labels[i]
        if before is not None:
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]
        if label is not None:
            self._counts[label] += 1
        self._labels[i] = label
        self._free[i] = label is None

    def next_unlabelled(self, after: int) -> int | None:
        """The first event without a label after event ``after``, then from the run's start.

        The event itself comes last; None when all events are labelled.
        """
        for start, part in ((after + 1, self._free[after + 1 :]), (0, self._free[: after + 1])):
            if part.size and part.any():
                return start + int(part.argmax())
        return None

    def random_unlabelled(self, other_than: int, random: np.random.Generator) -> int | None:
        """An event without a label chosen at random, another one than ``other_than`` if any.

        None when all events are labelled.
        """
        free = np.flatnonzero(self._free)
        others = free[free != other_than]
        if others.size:
            return int(random.choice(others))
        return int(free[0]) if free.size else None
