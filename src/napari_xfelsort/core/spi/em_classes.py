"""Classes of the events of a stack by expectation maximisation, agreed on by several runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.profiles.table import EventNames
from napari_xfelsort.core.spi.em import EmMaker, EmRun, Progress
from napari_xfelsort.core.spi.em_counts import EmCounts, read_counts
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.em_symmetry import Symmetry, symmetry_of
from napari_xfelsort.core.spi.selections import Selection

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Ints = NDArray[np.int64]

#: Anisotropy below which a class may well have single particles.
ROUND = 0.25
#: Share of the events of a class that a classifier takes where it holds single hits.
VOTED = 0.1


@dataclass(frozen=True, eq=False)
class EmClasses:
    """Classes of the events of a stack, in its order; class 0 has most events.

    They are those of the likeliest run; the others tell how sure they are.

    Attributes
    ----------
    events : sequence of EventId
        Names of the events.
    models : ndarray of float32, shape (classes, side, side)
        Class averages; see `EmRun`.
    labels : ndarray of int, shape (events,)
        Class of each event; -1 of one that cannot be read or is empty.
    rotation, scale : ndarray, shape (events,)
        In degrees, and of a mean event; see `EmRun`. NaN without a class.
    probabilities : ndarray of float32, shape (events, classes)
        Of each class; NaN without one.
    run_labels : ndarray of int, shape (runs, events)
        Classes of each run, the likeliest first, numbered as its.
    likelihoods : tuple of float
        Mean logarithm of the likelihood of an event, of each run, in that order.
    iterations : tuple of int
        How many each run took.
    converged : tuple of bool
        Whether it ended because few events changed.
    settings : EmSettings
        How.
    q_step : float
        Side of a pixel of the averages in 1/nm.
    problems : dict of int to str
        Why an event could not be read.
    weights : ndarray of float32, shape (classes, side, side), optional
        What each pixel of the averages is the mean of; see `EmRun`.
    """

    events: Sequence[EventId]
    models: NDArray[np.float32]
    labels: Ints
    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    run_labels: Ints
    likelihoods: tuple[float, ...]
    iterations: tuple[int, ...]
    converged: tuple[bool, ...]
    settings: EmSettings
    q_step: float = math.nan
    problems: dict[int, str] = field(default_factory=dict)
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Classes."""
        return len(self.models)

    @property
    def counts(self) -> Ints:
        """Events of each class; shape (classes,)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self))

    @property
    def probability(self) -> NDArray[np.float64]:
        """Of the class that each event is in; shape (events,)."""
        there = self.labels >= 0
        found = np.full(len(self.labels), np.nan)
        found[there] = self.probabilities[there, self.labels[there]]
        return found

    @cached_property
    def agreement(self) -> NDArray[np.float64]:
        """Share of the runs that put an event into the same class; shape (events,).

        Classes of two runs are the same that have most events in common, one to one.
        """
        same = (self.run_labels == self.labels).mean(axis=0)
        return np.where(self.labels >= 0, same, np.nan)

    @cached_property
    def symmetry(self) -> Symmetry:
        """How symmetric the averages are."""
        return symmetry_of(self.models, self.weights)

    def round_classes(self, limit: float = ROUND) -> list[int]:
        """Classes with events whose averages have less anisotropy; see `Symmetry`."""
        with np.errstate(invalid="ignore"):
            chosen = (self.symmetry.anisotropy < limit) & (self.counts > 0)
        return [int(k) for k in np.flatnonzero(chosen)]

    def voted(self, chosen: NDArray[np.bool_], share: float = VOTED) -> list[int]:
        """Classes of whose events another selection holds such a share, at least.

        Which classes a classifier finds something in: those where it does not hold nearly
        nothing but what it took by mistake.

        Parameters
        ----------
        chosen : ndarray of bool, shape (events,)
            The other selection.
        share : float
            Of the events of a class.
        """
        held = np.bincount(self.labels[chosen & (self.labels >= 0)], minlength=len(self))
        wanted = (held > 0) & (held >= share * self.counts)
        return [int(k) for k in np.flatnonzero(wanted)]

    def votes(self, classes: Iterable[int]) -> NDArray[np.float64]:
        """Share of the runs that would keep an event when some classes are kept; (events,).

        A run keeps those of its own classes that hold more events of the kept classes than
        others. 0 for events without a class.

        Raises
        ------
        SettingsError
            If there is no such class.
        """
        wanted = np.zeros(len(self), bool)
        for k in classes:
            if not 0 <= k < len(self):
                raise SettingsError(
                    f"There is no class {k}; they are numbered 0 to {len(self) - 1}."
                )
            wanted[k] = True
        known = self.labels >= 0
        labels = self.labels[known]
        votes = np.zeros(len(self.labels))
        for own in self.run_labels[:, known]:
            inside = np.bincount(own, wanted[labels], len(self))
            votes[known] += (inside > np.bincount(own, minlength=len(self)) / 2)[own]
        return votes / len(self.run_labels)

    def kept(self, classes: Iterable[int], least: float | None = None) -> NDArray[np.bool_]:
        """Events of some classes; shape (events,).

        Parameters
        ----------
        classes : iterable of int
            The classes.
        least : float, optional
            Share of the runs that must keep an event (see `votes`); when omitted, the
            likeliest run decides alone.
        """
        chosen = list(classes)
        votes = self.votes(chosen)
        if least is None:
            return np.isin(self.labels, chosen)
        return np.asarray((votes > 0) & (votes >= least), bool)

    def rejected(self, classes: Iterable[int]) -> NDArray[np.bool_]:
        """Events that no run would keep when some classes are kept; shape (events,).

        What to take away from a selection that is trusted more, as one of a classifier. An
        event without a class is not rejected.
        """
        return np.asarray((self.votes(classes) == 0) & (self.labels >= 0), bool)

    def selection(self, name: str, chosen: NDArray[np.bool_]) -> Selection:
        """Some of the events, under a name."""
        return Selection(name, tuple(self.events[int(k)] for k in np.flatnonzero(chosen)))


def find_classes(
    stack: EventStack,
    settings: EmSettings | None = None,
    *,
    reading: Progress | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> EmClasses:
    """Put the events of a stack into classes of patterns that are alike but for rotation.

    Expectation maximisation (Assalauova et al. 2020), several times from different starts.
    Which classes to keep is for the eye, by their averages.

    Parameters
    ----------
    stack : EventStack
        With a geometry; sensibly events of about the right size.
    settings : EmSettings, optional
        How. Equal settings give equal classes.
    reading : callable, optional
        Called with events read and events to read; may raise to stop.
    progress : callable, optional
        Called with iterations done and most iterations; may raise to stop.
    **changes
        Single settings by name.

    Raises
    ------
    GeometryError
        If it is not known where the pixels are.
    RegionError
        If no pixel can be used.
    NoEventsError
        If no event has counts.
    SettingsError
        If a setting is unknown or out of range.
    """
    values = settings.to_dict() if settings is not None else {}
    settings = EmSettings.from_dict({**values, **changes})
    counts = read_counts(stack, settings, reading)
    return classes_of(counts, settings, EventNames(stack), progress)


def classes_of(
    counts: EmCounts,
    settings: EmSettings,
    events: Sequence[EventId],
    progress: Progress | None = None,
) -> EmClasses:
    """Classes of counts that were read; see `find_classes`."""
    maker = EmMaker(counts, settings)
    runs: list[EmRun] = []
    for k in range(settings.runs):

        def report(done: int, most: int, before: int = k) -> None:
            if progress is not None:
                progress(before * most + done, settings.runs * most)

        runs.append(maker.run(settings.seed + k, report))
        report(settings.iterations, settings.iterations)
    runs.sort(key=lambda run: -run.likelihood)
    best = runs[0]
    order = np.argsort(-np.bincount(best.labels, minlength=settings.classes), kind="stable")
    rank = np.argsort(order)
    own = rank[best.labels]
    labels = [own] + [matched(own, run.labels, settings.classes)[run.labels] for run in runs[1:]]
    return EmClasses(
        events,
        best.models[order],
        _spread(own, counts, -1),
        _spread(best.rotation, counts, math.nan),
        _spread(best.scale, counts, math.nan),
        _spread(best.probabilities[:, order], counts, math.nan),
        np.stack([_spread(each, counts, -1) for each in labels]),
        tuple(run.likelihood for run in runs),
        tuple(len(run.steps) for run in runs),
        tuple(run.converged for run in runs),
        settings,
        counts.q_step,
        counts.problems,
        best.weights[order],
    )


def matched(reference: Ints, labels: Ints, classes: int) -> Ints:
    """Which class of a reference each class of other labels is, one to one.

    The pairs are those that have most events in common together.

    Parameters
    ----------
    reference, labels : ndarray of int, shape (events,)
        Classes of the same events.
    classes : int
        How many.
    """
    from scipy.optimize import linear_sum_assignment

    common = np.bincount(labels * classes + reference, minlength=classes**2)
    _, found = linear_sum_assignment(common.reshape(classes, classes), maximize=True)
    return np.asarray(found, np.int64)


def _spread(values: NDArray[Any], counts: EmCounts, fill: float) -> NDArray[Any]:
    """Values of the events that have a class, put at their places in the stack."""
    found = np.full((counts.size, *values.shape[1:]), fill, values.dtype)
    found[counts.positions] = values
    return found
