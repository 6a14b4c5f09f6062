"""Classes of single-particle patterns with rotation in the plane: one run from one start.

Expectation maximisation after Assalauova et al. (2020): a class is a picture, an event one of
the classes, rotated and scaled, with counts after Poisson. Both steps are products of
matrices of 32-bit floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.spi.em_counts import EmCounts
from napari_xfelsort.core.spi.em_settings import EmSettings
from napari_xfelsort.core.spi.em_slices import Slices

Floats32 = NDArray[np.float32]

#: Called with iterations done and most iterations.
Progress = Callable[[int, int], None]

#: Bytes that the classes may take at all rotations.
MOST_BYTES = 8 << 30
#: Events that are compared with the classes at once.
BLOCK = 512
#: Probabilities below are none: numbers that small make products slow.
LEAST_PROBABILITY = 1e-12
#: Likeliest pairs of class and rotation of an event that its scale is found from.
_PAIRS_KEPT = 64
#: What the likelihood is raised to in the first iteration of an annealed run.
_COOLEST = 0.01
#: Iterations in a row in which few events change before a run ends.
_QUIET = 2


class Step(NamedTuple):
    """An iteration.

    Attributes
    ----------
    changed : float
        Share of the events whose class is another than before.
    likelihood : float
        Mean natural logarithm of the likelihood of an event, less terms of the counts alone.
    power : float
        What the likelihoods were raised to: below 1 while annealing.
    """

    changed: float
    likelihood: float
    power: float = 1.0


@dataclass(frozen=True, eq=False)
class EmRun:
    """Classes from one start.

    Attributes
    ----------
    models : ndarray of float32, shape (classes, side, side)
        Class averages, rows downwards as in the assembled picture; counts of a square of
        pixels in an event of mean scale; NaN where no event tells.
    weights : ndarray of float32, shape (classes, side, side)
        Squares of pixels, of events of mean scale, that each pixel is the mean of.
    probabilities : ndarray of float32, shape (events, classes)
        Of each class, over all rotations.
    labels : ndarray of int, shape (events,)
        The likeliest class.
    rotation : ndarray, shape (events,)
        Of the likeliest class in degrees: the event shows at an angle, from the right
        downwards, what the average shows at that angle and the rotation more.
    scale : ndarray, shape (events,)
        Strength of the event, of a mean one.
    steps : tuple of Step
        The iterations.
    converged : bool
        Whether it ended because few events changed.
    """

    models: Floats32
    weights: Floats32
    probabilities: Floats32
    labels: NDArray[np.int64]
    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    steps: tuple[Step, ...]
    converged: bool

    @property
    def likelihood(self) -> float:
        """Of the last iteration; see `Step`."""
        return self.steps[-1].likelihood


def first_models(settings: EmSettings, side: int, seed: int) -> Floats32:
    """Pictures to start from: 0.99 to 1, by chance; (classes, side * side)."""
    random = np.random.default_rng(seed)
    models = (0.99 + 0.01 * random.random((settings.classes, side * side))).astype(np.float32)
    return (models + models[:, ::-1]) * np.float32(0.5) if settings.friedel else models


class EmMaker:
    """Runs from different starts on the same counts.

    Parameters
    ----------
    counts : EmCounts
        The events.
    settings : EmSettings
        How.

    Raises
    ------
    SettingsError
        If classes at all rotations would take too much memory.
    """

    def __init__(self, counts: EmCounts, settings: EmSettings) -> None:
        needed = 8 * settings.classes * settings.rotations * len(counts.u)
        if needed > MOST_BYTES:
            raise SettingsError(
                f"{settings.classes} classes at {settings.rotations} rotations of "
                f"{len(counts.u)} points take {needed / 2**30:.0f} GiB; have fewer of them, or "
                "add up more pixels (binning)."
            )
        self.counts, self.settings = counts, settings
        self.slices = Slices(counts.u, counts.v, counts.side, settings.rotations, counts.friedel)
        self.spread = self.slices.spread(counts.exposure)
        self.pairs = settings.rotations * settings.classes
        # By Friedel's law every pixel is entered twice, also at the opposite place.
        self.times = np.float32(2 if counts.friedel else 1)
        self.totals = np.concatenate(
            [self.block(start).sum(axis=1, dtype=np.float64) for start in self.starts()]
        )

    def starts(self) -> range:
        """Where the blocks of events begin."""
        return range(0, len(self.counts), BLOCK)

    def block(self, start: int) -> Floats32:
        """Counts of the block that begins there; (events, points)."""
        return np.asarray(self.counts.counts[start : start + BLOCK], np.float32)

    def run(self, seed: int, progress: Progress | None = None) -> EmRun:
        """One run.

        Parameters
        ----------
        seed : int
            Of the start.
        progress : callable, optional
            Called with iterations done and most iterations; may raise to stop.
        """
        settings = self.settings
        state = _State(self, first_models(settings, self.counts.side, seed))
        steps: list[Step] = []
        quiet = 0

        def report() -> None:
            if progress is not None:
                progress(len(steps), settings.iterations)

        while len(steps) < settings.iterations and quiet < _QUIET:
            power = self._power(len(steps))
            steps.append(state.iterate(power, report))
            few = power == 1 and steps[-1].changed <= settings.tolerance
            quiet = quiet + 1 if few else 0
            report()
        return state.result(tuple(steps), quiet >= _QUIET)

    def _power(self, step: int) -> float:
        """What likelihoods are raised to: grows evenly on a logarithmic scale up to 1."""
        # All that is annealed must be left room to settle.
        steps = min(self.settings.annealing, self.settings.iterations // 2)
        return float(_COOLEST ** (1 - step / steps)) if step < steps else 1.0


class _State:
    """Where a run is."""

    def __init__(self, maker: EmMaker, models: Floats32) -> None:
        self.maker, self.models = maker, models
        n, classes = len(maker.counts), maker.settings.classes
        points = len(maker.counts.u)
        self.values = np.empty((maker.settings.rotations, classes, points), np.float32)
        # The likeliest pairs, rotation times classes plus class, and their probabilities.
        self.pairs = np.zeros((n, 1), np.int32)
        self.shares = np.ones((n, 1), np.float32)
        self.probabilities = np.zeros((n, classes), np.float32)
        self.labels = np.full(n, -1, np.int64)
        self.best = np.zeros(n, np.int64)
        self.scale = np.ones(n)

    def iterate(self, power: float, report: Callable[[], None]) -> Step:
        """Expectation, then maximisation."""
        maker = self.maker
        times = maker.times * np.float32(power)
        n_pairs, n = maker.pairs, len(maker.counts)
        values = self.values
        maker.slices.read(self.models, values)
        flat = values.reshape(n_pairs, -1)
        sums = flat @ maker.counts.exposure
        scale = maker.totals / self._expected(sums)
        level = _logarithms(flat)
        raw = np.zeros(flat.shape, np.float32)  # sums of counts by their probabilities
        weights = np.zeros(n_pairs)
        relative = (scale / scale.mean()).astype(np.float32)
        before, likelihood = self.labels.copy(), 0.0
        pairs: list[NDArray[np.int32]] = []
        shares: list[Floats32] = []
        for start in maker.starts():
            counts = maker.block(start)
            part = slice(start, start + len(counts))
            own = scale[part].astype(np.float32)
            fit = flat @ counts.T
            fit -= sums[:, np.newaxis] * own
            fit *= times
            highest = fit.max(axis=0)
            fit -= highest
            np.exp(fit, out=fit)
            totals = fit.sum(axis=0)
            fit /= totals
            fit[fit < LEAST_PROBABILITY] = 0
            known = counts @ level + maker.totals[part] * np.log(scale[part])
            likelihood += float((highest + np.log(totals) + times * known).sum())
            self._decide(part, fit)
            found = _likeliest(fit)
            pairs.append(found[0])
            shares.append(found[1])
            raw += fit @ counts
            weights += fit @ relative[part]
            report()
        self.pairs, self.shares = np.concatenate(pairs), np.concatenate(shares)
        self.scale = scale
        self._maximise(raw, weights)
        changed = float((self.labels != before).mean())
        return Step(changed, likelihood / n, power)

    def _expected(self, sums: Floats32) -> NDArray[np.float64]:
        """Counts that the averages say events of scale 1 have; (events,)."""
        there = (sums[self.pairs] * self.shares).sum(axis=1, dtype=np.float64)
        there /= self.shares.sum(axis=1, dtype=np.float64)
        return np.asarray(np.maximum(there, np.finfo(np.float32).tiny), np.float64)

    def _decide(self, part: slice, fit: Floats32) -> None:
        """Classes and rotations of a block; ``fit`` has shape (pairs, events)."""
        settings = self.maker.settings
        each = fit.reshape(settings.rotations, settings.classes, -1)
        by_class = each.sum(axis=0).T
        labels = by_class.argmax(axis=1)
        self.probabilities[part] = by_class
        self.labels[part] = labels
        self.best[part] = each[:, labels, np.arange(len(labels))].argmax(axis=0)

    def _maximise(self, raw: Floats32, weights: NDArray[np.float64]) -> None:
        maker, settings = self.maker, self.maker.settings
        up = maker.slices.put_back(raw.reshape(settings.rotations, settings.classes, -1))
        by_rotation = weights.reshape(settings.rotations, settings.classes).astype(np.float32)
        down = by_rotation.T @ maker.spread
        self.models = np.divide(up, down, out=np.zeros_like(up), where=down > 0)
        self.weights = down

    def result(self, steps: tuple[Step, ...], converged: bool) -> EmRun:
        maker = self.maker
        side = maker.counts.side
        pictures = np.where(self.weights > 0, self.models, np.float32(np.nan))
        return EmRun(
            pictures.reshape(-1, side, side),
            self.weights.reshape(-1, side, side),
            self.probabilities,
            self.labels,
            np.degrees(maker.slices.angles[self.best]),
            self.scale / self.scale.mean(),
            steps,
            converged,
        )


def _logarithms(flat: Floats32) -> Floats32:
    """Replace values by their logarithms, less the mean of each point, which is returned.

    What all pairs have in common changes no probability; taken away, 32 bits are enough for
    bright events. Zeros count as the smallest number.
    """
    np.maximum(flat, np.finfo(np.float32).tiny, out=flat)
    np.log(flat, out=flat)
    level = flat.mean(axis=0)
    flat -= level
    return np.asarray(level, np.float32)


def _likeliest(fit: Floats32) -> tuple[NDArray[np.int32], Floats32]:
    """The likeliest pairs of each event and their probabilities; (events, pairs kept)."""
    n = min(_PAIRS_KEPT, len(fit))
    found = np.argpartition(fit, len(fit) - n, axis=0)[len(fit) - n :]
    return found.T.astype(np.int32), np.take_along_axis(fit, found, axis=0).T
