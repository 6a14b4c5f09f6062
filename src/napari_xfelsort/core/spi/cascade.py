"""Two models one after another: a quick one for all events, another for what is left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.decisions import FAILED, Decisions
from napari_xfelsort.core.errors import ModelError, SettingsError
from napari_xfelsort.core.learning.judging import judged_of

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]
#: One-sided confidence of the bound of a loss.
CONFIDENCE = 0.95


class Decider(Protocol):
    """What a cascade asks of a model; `Model` is one."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of probabilities."""
        ...

    @property
    def positive(self) -> str | None:
        """Of two classes the one that is looked for."""
        ...

    def predict(self, stack: EventStack, progress: Progress | None = None) -> Decisions:
        """Decide on every event."""
        ...


class Band(NamedTuple):
    """Between which probabilities of the first model the second one is asked.

    Attributes
    ----------
    low, high : float
        Below ``low`` an event is not positive, from ``high`` on it is.
    lost : float
        Share of the positive events of the validation that are below ``low``.
    lost_at_most : float
        Upper bound of it (Clopper & Pearson, 95 % one-sided).
    asked : float
        Share of the events of the validation that the second model is asked about.
    positives : int
        Positive events that it was found with.
    """

    low: float
    high: float
    lost: float
    lost_at_most: float
    asked: float
    positives: int


@dataclass(frozen=True, eq=False)
class CascadeDecisions:
    """What a cascade says.

    Attributes
    ----------
    decisions : Decisions
        Of every event: of the second model where it was asked, else of the first.
    asked : ndarray of bool, shape (events,)
        Where the second model was asked.
    """

    decisions: Decisions
    asked: NDArray[np.bool_]


def find_band(
    probabilities: Floats, positive: NDArray[np.bool_], loss: float = 0.01, precision: float = 0.99
) -> Band:
    """The band in which a second model is asked, from events that the first had not seen.

    Parameters
    ----------
    probabilities : ndarray, shape (events,)
        Of the positive class, by the first model; NaN is left out.
    positive : ndarray of bool, shape (events,)
        The labels.
    loss : float
        Share of the positive events that the first model may lose.
    precision : float
        Of what it may take by itself; 1 with nothing at all wrongly taken, above 1 for
        asking the second model about all that is not put aside.

    Raises
    ------
    SettingsError
        If no event is positive, or the loss is not in [0, 1).
    """
    if not 0 <= loss < 1:
        raise SettingsError(f"The loss is {loss} but must be at least 0 and below 1.")
    known = np.isfinite(probabilities)
    p, true = probabilities[known], np.asarray(positive, bool)[known]
    n = int(true.sum())
    if not n:
        raise SettingsError("No event that a band could be found with is positive.")
    own = np.sort(p[true])
    first = float(own[math.floor(loss * n + 1e-9)])  # the lowest that must be kept
    below = p[p < first]
    low = (first + float(below.max())) / 2 if len(below) else first
    if not low > (float(below.max()) if len(below) else -1.0):
        low = first
    lost = int((own < low).sum())
    high = max(low, _taken_from(p, true, precision))
    asked = float(((p >= low) & (p < high)).mean())
    return Band(low, high, lost / n, _at_most(lost, n), asked, n)


def _taken_from(p: Floats, true: NDArray[np.bool_], precision: float) -> float:
    """The lowest probability from which on so many are positive; above 1 where none is."""
    order = np.argsort(-p, kind="stable")
    p, hits = p[order], np.cumsum(true[order])
    fits = hits >= precision * np.arange(1, len(p) + 1) - 1e-9
    fits &= np.append(p[1:] < p[:-1], True)  # equal ones stay together
    kept = np.flatnonzero(fits)
    return float(p[kept[-1]]) if len(kept) else 1.0 + 1e-9


def _at_most(lost: int, n: int) -> float:
    from scipy.stats import beta

    return 1.0 if lost == n else float(beta.ppf(CONFIDENCE, lost + 1, n - lost))


@dataclass(frozen=True, eq=False)
class Cascade:
    """A quick model first, and another for the events that it leaves open.

    Parameters
    ----------
    first, second : Decider
        Models of the same two classes, for example `Model`.
    band : Band
        When the second is asked.

    Raises
    ------
    ModelError
        If they are not models of the same two classes and the same positive one.
    """

    first: Decider
    second: Decider
    band: Band

    def __post_init__(self) -> None:
        one, two = self.first, self.second
        same = sorted(one.class_names) == sorted(two.class_names)
        if one.positive is None or one.positive != two.positive or not same:
            raise ModelError(
                "The models of a cascade must be of the same two classes, and these are of "
                f"{'/'.join(one.class_names)} and {'/'.join(two.class_names)}."
            )
        if not self.band.low <= self.band.high:
            raise ModelError(f"The band {self.band.low:g} to {self.band.high:g} is none.")

    @classmethod
    def of_models(
        cls, first: Model, second: Decider, loss: float = 0.01, precision: float = 0.99
    ) -> Cascade:
        """With the band that `find_band` gives for the events that tested the first model.

        Raises
        ------
        ModelError
            If the first model does not keep all of them, or the classes differ.
        SettingsError
            As `find_band`.
        """
        judged = judged_of(first.metrics, len(first.class_names))
        if judged is None or first.positive is None:
            raise ModelError(
                "The first model of a cascade must be of two classes and keep the events that "
                "it was tested with."
            )
        column = first.class_names.index(first.positive)
        band = find_band(
            judged.probabilities[:, column], judged.classes == column, loss, precision
        )
        return cls(first, second, band)

    def predict(self, stack: EventStack, progress: Progress | None = None) -> CascadeDecisions:
        """Decide on every event; the second model reads only those that are left open.

        An event that the first cannot judge, but could read, is left open.

        Parameters
        ----------
        stack : EventStack
        progress : callable, optional
            Called with events done and events in all, of the first model; then of the
            second.

        Raises
        ------
        ModelError
            If a model does not suit the frames.
        """
        found = self.first.predict(stack, progress)
        names, positive = tuple(self.first.class_names), str(self.first.positive)
        other = next(name for name in names if name != positive)
        share = found.probabilities[:, names.index(positive)]
        failed = found.chosen == FAILED
        asked = (~(share < self.band.low) & ~(share >= self.band.high)) & ~failed
        longest = max(map(len, (*names, *found.chosen.tolist(), "unsure")))
        chosen = found.chosen.astype(f"<U{longest}")
        chosen[~asked & ~failed] = np.where(share >= self.band.high, positive, other)[
            ~asked & ~failed
        ]
        probabilities, flags = found.probabilities.copy(), list(found.flags)
        rows = np.flatnonzero(asked)
        if len(rows):
            second = self.second.predict(stack.subset(rows), progress)
            chosen[rows] = second.chosen
            columns = [list(second.class_names).index(name) for name in names]
            probabilities[rows] = second.probabilities[:, columns]
            for row, flag in zip(rows.tolist(), second.flags, strict=True):
                flags[row] = flag
        decided = Decisions(found.event_ids, names, chosen, probabilities, flags)
        return CascadeDecisions(decided, asked)
