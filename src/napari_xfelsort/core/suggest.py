"""Which events are most worth labelling: uncertain ones that differ from one another.

Each event is a few numbers (`describe_events`). After a first handful of labels a quick
forest of randomised trees learns from them, and the events it is least sure of are
proposed, spread over what they look like (active learning by uncertainty and diversity:
B. Settles, Univ. of Wisconsin Computer Sciences Technical Report 1648, 2009).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.event_looks import (
    SuggestSettings,
    chunks,
    groups_of,
    squared_distances,
)
from napari_xfelsort.core.label_journal import IGNORE

_FOLDS = 5
#: Fewer labels than this say nothing of how well others are told.
MIN_FOR_ACCURACY = 10


class CurvePoint(NamedTuple):
    """How well events are told that the model had not seen, with so many labels.

    Attributes
    ----------
    n_labels : int
        Labelled events that were learnt from.
    accuracy : float
        Share of labelled events given their label by models fitted without them; NaN with
        too few labels. Where labels were suggested these are the difficult events, so that
        the accuracy on all events is mostly higher.
    """

    n_labels: int
    accuracy: float


class _Opinions(NamedTuple):
    """What a model thinks of all events."""

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]


class Suggester:
    """Proposes events to label, from the labels so far.

    Parameters
    ----------
    described : ndarray of float32, shape (events, numbers)
        From `describe_events`; a row of NaN is never proposed.
    settings : SuggestSettings, optional
        How; equal settings and labels give equal proposals.

    Attributes
    ----------
    curve : list of CurvePoint
        One for each `update`.

    Notes
    -----
    One thread may learn and propose while others ask for opinions.
    """

    def __init__(
        self, described: NDArray[np.float32], settings: SuggestSettings | None = None
    ) -> None:
        self.settings = settings or SuggestSettings()
        self._rows = described
        self._usable = np.isfinite(described).all(axis=1)
        self._labelled = np.zeros(len(described), bool)
        # Replaced as one: what is asked meanwhile belongs together.
        self._opinions = _Opinions((), np.full((len(described), 0), np.nan))
        self._learnt = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)
        self.curve: list[CurvePoint] = []

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that were learnt, sorted; empty while there are not two."""
        return self._opinions.classes

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """What the model thinks, (events, classes); NaN for events that cannot be used."""
        return self._opinions.probabilities

    def opinion(self, i: int) -> tuple[str, float] | None:
        """The most probable label of event ``i`` and its probability; None if unknown."""
        classes, probabilities = self._opinions
        if not classes or np.isnan(probabilities[i, 0]):
            return None
        best = int(probabilities[i].argmax())
        return classes[best], float(probabilities[i, best])

    def update(self, labels: Sequence[str | None], accuracy: bool = True) -> CurvePoint:
        """Learn from the labels of all events.

        Parameters
        ----------
        labels : sequence of str or None, shape (events,)
            As `LabelStore.aligned` gives them; ``"ignore"`` is not learnt, and such events
            are not proposed.
        accuracy : bool
            Judge the model on labelled events left out in turn.

        Raises
        ------
        LabelError
            If the labels are not as many as the events.
        """
        if len(labels) != len(self._rows):
            raise LabelError(
                f"There are {len(labels)} labels for {len(self._rows)} events; give one for each, "
                "None where there is none."
            )
        self._labelled = np.array([bool(label) for label in labels], bool)
        learnt = np.flatnonzero(
            self._usable & self._labelled & np.array([label != IGNORE for label in labels], bool)
        )
        names = [str(labels[k]) for k in learnt.tolist()]
        found = tuple(sorted(set(names)))
        self._learnt = learnt
        self._numbers = np.array([found.index(name) for name in names], np.int64)
        classes = found if len(found) > 1 else ()
        probabilities = np.full((len(self._rows), len(classes)), np.nan)
        if classes:
            model = self._fitted(learnt, self._numbers)
            for part in chunks(np.flatnonzero(self._usable)):
                probabilities[part] = model.predict_proba(self._rows[part])
        self._opinions = _Opinions(classes, probabilities)
        self.curve.append(CurvePoint(len(learnt), float("nan")))
        return self.judge() if accuracy else self.curve[-1]

    def judge(self) -> CurvePoint:
        """The accuracy with the labels learnt last, which takes longer than to learn them."""
        if self.curve:
            told = self._accuracy(self._learnt, self._numbers)
            self.curve[-1] = self.curve[-1]._replace(accuracy=told)
            return self.curve[-1]
        return CurvePoint(0, float("nan"))

    def _fitted(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier

        model = ExtraTreesClassifier(self.settings.trees, random_state=self.settings.seed)
        return model.fit(self._rows[rows], numbers)

    def _accuracy(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> float:
        if len(rows) < MIN_FOR_ACCURACY or not self.classes:
            return float("nan")
        rng = np.random.default_rng(self.settings.seed)
        folds = np.empty(len(rows), np.int64)
        for number in np.unique(numbers):
            members = rng.permutation(np.flatnonzero(numbers == number))
            folds[members] = (np.arange(len(members)) + number) % _FOLDS
        right = 0
        for fold in np.unique(folds):
            out = folds == fold
            model = self._fitted(rows[~out], numbers[~out])
            right += int((model.predict(self._rows[rows[out]]) == numbers[out]).sum())
        return right / len(rows)

    @property
    def uncertainty(self) -> NDArray[np.float64]:
        """How unsure the model is of each event, 0 to 1; NaN where it cannot say.

        One minus the distance of the two most probable classes.
        """
        if not self.classes:
            return np.full(len(self._rows), np.nan)
        highest = np.sort(self.probabilities, axis=1)[:, -2:]
        return np.asarray(1.0 - (highest[:, 1] - highest[:, 0]))

    def predicted(self) -> list[str | None]:
        """The most probable label of each event; None where the model cannot say."""
        if not self.classes:
            return [None] * len(self._rows)
        known = np.isfinite(self.probabilities[:, 0])
        best = np.argmax(np.nan_to_num(self.probabilities), axis=1)
        return [self.classes[k] if ok else None for k, ok in zip(best, known, strict=True)]

    def propose(self, n: int = 10, without: Collection[int] = ()) -> NDArray[np.int64]:
        """Events most worth labelling, the first first; fewer where not so many are left.

        Without labels they are typical of different groups of events; with labels of one
        class only, as unlike the labelled ones as can be; then uncertain and diverse.

        Parameters
        ----------
        n : int
            How many.
        without : collection of int
            Events that are not proposed, besides those with a label.
        """
        left = np.flatnonzero(self._usable & ~self._labelled)
        left = left[~np.isin(left, list(without))]
        rng = np.random.default_rng((self.settings.seed, int(self._labelled.sum())))
        if len(left) > self.settings.candidates:
            left = np.sort(rng.choice(left, self.settings.candidates, replace=False))
        n = min(n, len(left))
        if n <= 0:
            return np.empty(0, np.int64)
        if self.classes:
            unsure = self.uncertainty[left]
            top = left[np.argsort(-unsure, kind="stable")[: max(3 * n, 20)]]
            return self._spread(top, n, self.uncertainty[top])
        known = np.flatnonzero(self._usable & self._labelled)
        if len(known):
            return self._spread(left, n, np.ones(len(left)), self._rows[known])
        return self._typical(left, n)

    def _typical(self, left: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """The event nearest the middle of each of n groups, large groups first."""
        labels, centres = groups_of(self._rows[left], n, self.settings.seed)
        chosen = []
        sizes = np.bincount(labels, minlength=len(centres))
        for group in np.argsort(-sizes, kind="stable").tolist():
            members = left[labels == group]
            if len(members):
                away = squared_distances(self._rows[members], centres[group])
                chosen.append(int(members[away.argmin()]))
        rest = np.setdiff1d(left, chosen)
        return np.array([*chosen, *rest[: n - len(chosen)]], np.int64)

    def _spread(
        self,
        left: NDArray[np.int64],
        n: int,
        weights: NDArray[np.float64],
        known: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int64]:
        """Greedily the event whose weight times distance to those chosen is largest."""
        rows = self._rows[left]
        away = np.full(len(left), np.inf)
        for row in () if known is None else known:
            np.minimum(away, squared_distances(rows, row), out=away)
        weights = np.maximum(weights, 1e-9)
        first = weights if known is None else weights * np.sqrt(away)
        chosen = [int(first.argmax())]
        while len(chosen) < n:
            np.minimum(away, squared_distances(rows, rows[chosen[-1]]), out=away)
            value = weights * np.sqrt(away)
            value[chosen] = -1.0
            chosen.append(int(value.argmax()))
        return left[chosen]
