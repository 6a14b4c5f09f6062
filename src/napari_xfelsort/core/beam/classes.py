"""Photon energy and camera length as classes, learnt from frames of which both are known.

Linear in the photons of rings and sectors: each class has two parts, as water and air are,
that its frames are sums of, and the class whose sum makes the photons likeliest is chosen.
Likeliness being that of Poisson counts, one model is good for all fluxes, and its
probabilities tell where photons are too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import SECTORS, CellCounts, sums
from napari_xfelsort.core.beam.likelihood import least_squares
from napari_xfelsort.core.beam.outliers import narrow_rings, streaks
from napari_xfelsort.core.errors import ModelError, TrainingError

Floats = NDArray[np.float64]

#: Rings that are taken together, and sectors of a quarter of them.
_RINGS_TOGETHER, _SECTORS = 3, 3
#: Parts of a class, rounds of learning them, and of finding their amounts.
_PARTS, _UPDATES, _REWEIGHTED = 2, 2500, 4
#: Frames of a class at least.
_FEWEST = 3
#: Deviations of a cell that no class explains, and rounds in which they are left out.
_OFF, _ROUNDS = 4.0, 5
#: Frames that are so many times worse described than usual are not learnt from.
_ODD = 3.0
#: Probability above which a class is taken for known.
SURE = 0.95


class BeamClass(NamedTuple):
    """Photon energy in eV and camera length in m."""

    energy: float
    length: float

    def __str__(self) -> str:
        return f"{self.energy / 1e3:g} keV, {1e3 * self.length:g} mm"


@dataclass(frozen=True, eq=False)
class BeamChoice:
    """Which class a frame is of.

    Attributes
    ----------
    classes : tuple of BeamClass
        Those that there are.
    probabilities : ndarray, shape (classes,)
        Their sum is 1.
    """

    classes: tuple[BeamClass, ...]
    probabilities: Floats

    @property
    def best(self) -> BeamClass:
        """The most likely one."""
        return self.classes[int(np.argmax(self.probabilities))]

    @property
    def sure(self) -> bool:
        """Whether it is likely enough to be taken for known."""
        return bool(self.probabilities.max() >= SURE)

    @property
    def energy(self) -> tuple[float, float]:
        """The most likely photon energy (eV) whatever the length, and its probability."""
        return self._along(0)

    @property
    def length(self) -> tuple[float, float]:
        """The most likely camera length (m) at the energy chosen first, and its probability."""
        energy = self.energy[0]
        own = [k for k, each in enumerate(self.classes) if each.energy == energy]
        total = max(float(self.probabilities[own].sum()), 1e-300)
        best = max(own, key=lambda k: float(self.probabilities[k]))
        return self.classes[best].length, float(self.probabilities[best]) / total

    def _along(self, axis: int) -> tuple[float, float]:
        together: dict[float, float] = {}
        for each, share in zip(self.classes, self.probabilities.tolist(), strict=True):
            together[each[axis]] = together.get(each[axis], 0.0) + share
        value = max(together, key=lambda key: together[key])
        return value, together[value]


@dataclass(frozen=True, eq=False)
class BeamClassifier:
    """Tells classes apart; made by `train_beam_classes` or `class_file.load_beam_classes`.

    Attributes
    ----------
    classes : tuple of BeamClass
        Photon energies and camera lengths.
    keys : ndarray of int64, shape (cells,)
        Numbers of the cells.
    radius : ndarray, shape (cells,)
        Their distance from the beam in m.
    parts : ndarray, shape (classes, 2, cells)
        Brightness of a pixel of each cell, 1 on average, of the parts of each class.
    """

    classes: tuple[BeamClass, ...]
    keys: NDArray[np.int64]
    radius: Floats
    parts: Floats

    def choose(self, counts: CellCounts) -> BeamChoice:
        """The class of a frame, or of several together.

        Raises
        ------
        ModelError
            If the cells are not those that it was trained on.
        """
        photons, exposure = self._placed(counts)
        n = len(self.classes)
        if photons.sum() <= 0 or not (exposure > 0).any():
            return BeamChoice(self.classes, np.full(n, 1.0 / n))
        use = exposure > 0
        for _ in range(_ROUNDS):
            seen, pixels = photons[use], exposure[use]
            expected = np.array([_fitted(seen, pixels, parts[:, use]) for parts in self.parts])
            odd = np.min([np.abs(_deviations(seen, each)) for each in expected], axis=0) > _OFF
            left = use.copy()
            left[np.flatnonzero(use)[odd]] = False
            if not odd.any() or left.sum() < 0.5 * (exposure > 0).sum():
                break
            use = left
        quality = np.log(expected) @ seen
        best = expected[int(np.argmax(quality))]
        quality = quality / max(1.0, float((_deviations(seen, best) ** 2).mean()))
        weights = np.exp(quality - quality.max())
        return BeamChoice(self.classes, weights / weights.sum())

    def _placed(self, counts: CellCounts) -> tuple[Floats, Floats]:
        keys, radius, photons, exposure = _gathered(counts)
        place = np.searchsorted(self.keys, keys)
        known = place < len(self.keys)
        known[known] = self.keys[place[known]] == keys[known]
        lit = exposure > 0
        apart = np.abs(radius[known] - self.radius[place[known]])
        width = float(np.ptp(self.radius)) * 0.02
        if lit.any() and ((known & lit).sum() < 0.5 * lit.sum() or np.median(apart) > width):
            raise ModelError(
                "These classes of photon energy and camera length were learnt on another "
                "detector or geometry; train them on this one."
            )
        both = np.zeros((2, len(self.keys)))
        both[:, place[known]] = photons[known], exposure[known]
        return both[0], both[1]


def train_beam_classes(
    counts: Sequence[CellCounts], classes: Sequence[tuple[float, float]]
) -> BeamClassifier:
    """Learn classes of photon energy and camera length.

    Parameters
    ----------
    counts : sequence of CellCounts
        Frames of one detector, of any flux.
    classes : sequence of pair of float
        Photon energy (eV) and camera length (m) of each.

    Raises
    ------
    TrainingError
        If there are fewer than two classes, or few frames of one.
    """
    told = [BeamClass(float(energy), float(length)) for energy, length in classes]
    names = tuple(sorted(set(told)))
    if len(names) < 2:
        raise TrainingError(
            "Classes of photon energy and camera length need frames of at least two settings."
        )
    every = [_gathered(each) for each in counts]
    keys = np.unique(np.concatenate([each[0] for each in every]))
    radius, pixels = np.zeros(len(keys)), np.zeros(len(keys))
    photons, exposure = np.zeros((2, len(every), len(keys)))
    for k, (own, away, seen, size) in enumerate(every):
        place = np.searchsorted(keys, own)
        photons[k, place], exposure[k, place] = seen, size
        radius[place] += away
        pixels[place] += 1.0
    parts = []
    for name in names:
        rows = [k for k, each in enumerate(told) if each == name and photons[k].sum() > 0]
        if len(rows) < _FEWEST:
            raise TrainingError(
                f"There are {len(rows)} frames with photons of {name}; at least {_FEWEST} of "
                "each setting are needed."
            )
        for _ in range(_ROUNDS):
            found = _learnt(photons[rows], exposure[rows])
            off = [_misfit(photons[k], exposure[k], found) for k in rows]
            usual = [k for k, each in zip(rows, off, strict=True) if each < _ODD * np.median(off)]
            if len(usual) == len(rows) or len(usual) < _FEWEST:
                break
            rows = usual
        parts.append(found)
    return BeamClassifier(names, keys, radius / np.maximum(pixels, 1.0), np.array(parts))


def _misfit(photons: Floats, exposure: Floats, parts: Floats) -> float:
    """Mean square of the deviations of a frame."""
    use = exposure > 0
    fitted = _fitted(photons[use], exposure[use], parts[:, use])
    return float((_deviations(photons[use], fitted) ** 2).mean())


def _gathered(counts: CellCounts) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Numbers of larger cells, their distance from the beam, photons and pixels."""
    counts = counts.without(streaks(counts))
    counts = counts.without(narrow_rings(counts))
    half, quarter = SECTORS // 2, SECTORS // 4
    sector = counts.places.sector % half
    sector = np.where(sector < quarter, sector, half - 1 - sector) * _SECTORS // quarter
    key = counts.places.ring // _RINGS_TOGETHER * _SECTORS + sector
    chosen, group = np.unique(key, return_inverse=True)
    n = len(chosen)
    number = np.maximum(np.bincount(group, minlength=n), 1)
    radius = sums(group, counts.places.radius, n) / number
    return chosen, radius, sums(group, counts.photons, n), sums(group, counts.exposure, n)


def _learnt(photons: Floats, exposure: Floats) -> Floats:
    """Parts that the frames of a class are sums of; none is below zero.

    Lee and Seung's updates (Nature 401, 788, 1999) for Poisson counts, from the frames that
    are most and least like water.
    """
    mean = (photons.sum(axis=0) + 0.5) / (exposure.sum(axis=0) + 0.5)
    slope = np.linspace(-1.0, 1.0, photons.shape[1])
    parts = np.stack([mean * (1.0 + 0.3 * slope), mean * (1.0 - 0.3 * slope)])
    parts /= parts.mean(axis=1, keepdims=True)
    amounts = (
        np.full((len(photons), _PARTS), 0.5)
        * (photons.sum(axis=1) / np.maximum(exposure.sum(axis=1), 1e-12))[:, None]
    )
    for _ in range(_UPDATES):
        ratio = photons / np.maximum(exposure * (amounts @ parts), 1e-9)
        amounts *= (ratio * exposure) @ parts.T / np.maximum(exposure @ parts.T, 1e-12)
        ratio = photons / np.maximum(exposure * (amounts @ parts), 1e-9)
        parts *= (amounts.T @ (ratio * exposure) + 1e-6) / (amounts.T @ exposure + 1e-6)
        size = parts.mean(axis=1, keepdims=True)
        parts, amounts = parts / size, amounts * size[:, 0]
    return np.asarray(np.maximum(parts, 1e-9))


def _fitted(photons: Floats, exposure: Floats, parts: Floats) -> Floats:
    """Photons expected with the best amounts of the parts."""
    kinds = parts * exposure
    kinds = kinds / np.maximum(kinds.sum(axis=1, keepdims=True), 1e-300)
    expected = np.maximum(photons.sum() * kinds.mean(axis=0), 1e-9)
    for _ in range(_REWEIGHTED):
        expected = np.maximum(least_squares(kinds, photons, expected) @ kinds, 1e-9)
    return np.asarray(expected * (photons.sum() / expected.sum()))


def _deviations(photons: Floats, expected: Floats) -> Floats:
    return np.asarray((photons - expected) / np.sqrt(np.maximum(expected, 1.0)))
