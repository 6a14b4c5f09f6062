"""Two models one after another: a quick one for all events, another for what is left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.decisions import FAILED, Decisions
from napari_xfelsort.core.errors import ModelError, SettingsError
from napari_xfelsort.core.learning.judging import judged_of
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.stack import EventBlock

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.model import Model
    from napari_xfelsort.core.region import ResolvedRegion
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]
#: One-sided confidence of the bound of a loss.
CONFIDENCE = 0.95
#: How the flags of an event begin, by the model that decided on it.
BY_FIRST, BY_SECOND = "first model", "second model"


@dataclass(frozen=True)
class CascadeSettings(Settings):
    """What the first of two models may decide by itself."""

    loss: float = setting(
        0.01,
        "share of the positive events that the first of two models may lose",
        minimum=0.0,
        maximum=0.99,
    )
    precision: float = setting(
        0.99,
        "precision of what the first of two models may take by itself; above 1 it takes nothing",
        minimum=0.0,
        maximum=2.0,
    )


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

    It decides, and `sort` takes it, as a `Model`. Flags say which of the two decided.

    Parameters
    ----------
    first, second : Model
        Of the same two classes.
    band : Band
        When the second is asked.
    limits : CascadeSettings, optional
        What the band was found with.

    Raises
    ------
    ModelError
        If they are not models of the same two classes and the same positive one.
    """

    first: Model
    second: Model
    band: Band
    limits: CascadeSettings | None = None

    def __post_init__(self) -> None:
        one, two = self.first, self.second
        same = sorted(one.class_names) == sorted(two.class_names)
        if len(one.class_names) != 2 or not same or None in (one.positive, two.positive):
            raise ModelError(
                "The models of a cascade must be of the same two classes, and these are of "
                f"{'/'.join(one.class_names)} and {'/'.join(two.class_names)}."
            )
        if one.positive != two.positive:
            raise ModelError(
                "The models of a cascade must look for the same one of their classes, but the "
                f"first looks for {one.positive!r} and the second for {two.positive!r}; train one "
                "of them again with the other's target."
            )
        if not self.band.low <= self.band.high:
            raise ModelError(f"The band {self.band.low:g} to {self.band.high:g} is none.")

    @classmethod
    def of_models(
        cls,
        first: Model,
        second: Model,
        loss: float = CascadeSettings.loss,
        precision: float = CascadeSettings.precision,
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
        limits = CascadeSettings(loss, precision)
        column = first.class_names.index(first.positive)
        band = find_band(
            judged.probabilities[:, column], judged.classes == column, loss, precision
        )
        return cls(first, second, band, limits)

    # --- what is known of it as of a model --------------------------------------------

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities: as of the first model."""
        return self.first.class_names

    @property
    def positive(self) -> str | None:
        """The class that is looked for."""
        return self.second.positive

    @property
    def pixels(self) -> ResolvedRegion:
        """The pixels of the model that reads more of them."""
        both = (self.first.pixels, self.second.pixels)
        return max(both, key=lambda pixels: math.prod(pixels.shape))

    @property
    def metrics(self) -> dict[str, Any]:
        """How well the second model did by itself on its test share."""
        return self.second.metrics

    @property
    def provenance(self) -> dict[str, Any]:
        """Of the second model."""
        return self.second.provenance

    @property
    def warnings(self) -> list[str]:
        """What would be said about the training of both, and how they go together."""
        band = self.band
        together = (
            f"Two models decided: the first took an event as {self.positive!r} from a probability "
            f"of {band.high:.4g} on and put it aside below {band.low:.4g}; the second was asked "
            f"about the others. Below that limit were {band.lost:.1%} of the {band.positives} "
            f"such events that tested the first model (at most {band.lost_at_most:.1%} with "
            "95 % confidence). The test share is the second model's, which had all events."
        )
        return [together, *_of_first(self.first.warnings), *self.second.warnings]

    def check(self, stack: EventStack) -> list[str]:
        """Whether both models suit a stack; sentences and errors as of `Model.check`."""
        return [*_of_first(self.first.check(stack)), *self.second.check(stack)]

    def key(self) -> dict[str, str]:
        """What its decisions follow from, each in words."""
        return {
            "model": self.second.digest,
            "first model": self.first.digest,
            "set of limits of the first model": f"{self.band.low!r} {self.band.high!r}",
        }

    def facts(self) -> dict[str, float]:
        """The limits, and what they were found with, by name."""
        limits = {} if self.limits is None else self.limits.to_dict()
        return {**limits, **self.band._asdict()}

    # --- deciding ---------------------------------------------------------------------

    def predict_block(self, stack: EventStack, block: EventBlock) -> Decisions:
        """Decide on a block of events; the second model reads only those that are left open.

        Events fail and are unsure as in `Model.predict_block`.
        """
        found = self.first.predict_block(stack, block)
        asked = self._left_open(found)
        rows = np.flatnonzero(asked)
        second = None
        if len(rows):
            part = EventBlock(block.source, block.indices[rows], block.positions[rows])
            second = self.second.predict_block(stack, part)
        return self._joined(found, asked, second)

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
        asked = self._left_open(found)
        rows = np.flatnonzero(asked)
        second = self.second.predict(stack.subset(rows), progress) if len(rows) else None
        return CascadeDecisions(self._joined(found, asked, second), asked)

    def _share(self, found: Decisions) -> Floats:
        return found.probabilities[:, found.class_names.index(str(self.positive))]

    def _left_open(self, found: Decisions) -> NDArray[np.bool_]:
        share = self._share(found)
        decided = (share < self.band.low) | (share >= self.band.high)
        left: NDArray[np.bool_] = ~decided & (found.chosen != FAILED)
        return left

    def _joined(
        self, found: Decisions, asked: NDArray[np.bool_], second: Decisions | None
    ) -> Decisions:
        """The decisions of the first model with the second's in place of those left open."""
        names, positive = self.class_names, str(self.positive)
        other = next(name for name in names if name != positive)
        told = [] if second is None else second.chosen.tolist()
        longest = max(map(len, [*names, FAILED, *told]))
        chosen = np.where(self._share(found) >= self.band.high, positive, other)
        chosen = np.where(found.chosen == FAILED, FAILED, chosen).astype(f"<U{longest}")
        columns = [found.class_names.index(name) for name in names]
        probabilities = found.probabilities[:, columns]
        flags = _flags(BY_FIRST, found)
        if second is not None:
            chosen[asked] = second.chosen
            own = [second.class_names.index(name) for name in names]
            probabilities[asked] = second.probabilities[:, own]
            rows = np.flatnonzero(asked).tolist()
            for row, flag in zip(rows, _flags(BY_SECOND, second), strict=True):
                flags[row] = flag
        return Decisions(found.event_ids, names, chosen, probabilities, flags)


def with_first(
    model: Model | Cascade,
    first: Model | None,
    loss: float = CascadeSettings.loss,
    precision: float = CascadeSettings.precision,
) -> Model | Cascade:
    """The model, or the cascade with another one before it if there is one.

    Raises
    ------
    SettingsError
        If limits are given without a first model.
    ModelError
        As `Cascade.of_models`, or if the model is a cascade already.
    """
    if first is None:
        if CascadeSettings(loss, precision) != CascadeSettings():
            raise SettingsError(
                "loss and precision are limits of the first of two models; give that one as well."
            )
        return model
    if isinstance(model, Cascade):
        raise ModelError("The model is a cascade already and takes no other first model.")
    return Cascade.of_models(first, model, loss, precision)


def _of_first(sentences: list[str]) -> list[str]:
    return [f"First model: {sentence}" for sentence in sentences]


def _flags(by: str, decisions: Decisions) -> list[str]:
    """Who decided and what was unusual; of an event that failed, why."""
    return [
        (flag or by) if chosen == FAILED else (f"{by}; {flag}" if flag else by)
        for chosen, flag in zip(decisions.chosen.tolist(), decisions.flags, strict=True)
    ]
