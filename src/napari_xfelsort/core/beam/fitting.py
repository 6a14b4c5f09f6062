"""The photon energy and camera length that are most likely, of one frame or of several.

Of several frames each has its own amounts of water and gas, and its own cells that are left
out; energy and length are common.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import CellCounts, CellPlaces, summed
from napari_xfelsort.core.beam.likelihood import (
    Folded,
    bends,
    first_lit_ring,
    fold,
    misfit_of,
    profile,
)
from napari_xfelsort.core.beam.outliers import narrow_rings, off_cells, streaks
from napari_xfelsort.core.beam.scattering import curves, shapes
from napari_xfelsort.core.beam.settings import BeamSettings

Floats = NDArray[np.float64]

#: Steps of the first look, along energy and length, and rings that are taken together.
_GRID, _COARSE = 36, 4
#: Starts that are followed from the best places of the grid.
_STARTS = 3
#: Rounds in which cells are left out: of one frame, and of several.
_ROUNDS, _ROUNDS_TOGETHER = 10, 4
#: Share of the pixels that a round must leave.
_LEAST_LEFT = 0.3
#: Steps of a climb at most, and the longest of them, in logarithms.
_STEPS, _LONGEST = 40, 0.15
#: Logarithm of the likelihood that scattering towards the beam must gain.
_SEEN = 4.0


class Part(NamedTuple):
    """One frame of a fit.

    Attributes
    ----------
    cells : Folded
        Those that were used.
    amounts : ndarray, shape (kinds,)
        Photons of each kind of scattering: water, gas, what is scattered towards the beam.
    expected : ndarray, shape (cells,)
        Photons.
    misfit : float
        Chi squared a cell.
    """

    cells: Folded
    amounts: Floats
    expected: Floats
    misfit: float


class Fit(NamedTuple):
    """The maximum of the likelihood.

    Attributes
    ----------
    energy, length : float
        In eV and m.
    covariance : ndarray, shape (2, 2)
        Of the logarithms of energy and length; zero for what was given. Larger by how badly
        the cells go with the fit.
    table : ndarray, shape (kinds, steps)
        Curves of the kinds of scattering.
    polarisation : float
        As in the settings.
    quality : float
        The logarithm of the likelihood, without what does not depend on the parameters.
    parts : list of Part
        Of each frame.
    """

    energy: float
    length: float
    covariance: Floats
    table: Floats
    polarisation: float
    quality: float
    parts: list[Part]

    def expected(self, part: Part, places: CellPlaces, exposure: Floats) -> Floats:
        """Photons of any cells of a frame; of those used, as many in all as there are."""
        pair = np.array([self.energy]), np.array([self.length])
        used = part.cells
        own = shapes(used.places, *pair, self.table, self.polarisation)[0]
        per_kind = np.maximum((own * used.exposure).sum(axis=1), 1e-300)
        kinds = shapes(places, *pair, self.table, self.polarisation)[0] * exposure
        return np.asarray((part.amounts / per_kind) @ kinds)


def grid(settings: BeamSettings) -> tuple[Floats, Floats]:
    """Pairs of energy (eV) and length (m) of the first look."""
    (low, high), (near, far) = settings.photon_energy_range, settings.camera_length_range
    fine = 4 * _GRID
    energies, lengths = np.geomspace(low, high, _GRID), np.geomspace(near, far, _GRID)
    if settings.known_energy is not None:
        energies, lengths = np.array([settings.known_energy]), np.geomspace(near, far, fine)
    if settings.known_length is not None:
        lengths = np.array([settings.known_length])
        if settings.known_energy is None:
            energies = np.geomspace(low, high, fine)
    lengths = 1e-3 * lengths
    pairs = np.meshgrid(energies, lengths, indexing="ij")
    return pairs[0].reshape(-1), pairs[1].reshape(-1)


def best_fit(frames: Sequence[CellCounts], settings: BeamSettings) -> Fit:
    """Photon energy and camera length at the maximum of the likelihood.

    Rings and sectors that do not go with it (ice, shadows, streaks) are left out, and it is
    found anew. Scattering towards the beam is added to water and gas where it is seen.

    Parameters
    ----------
    frames : sequence of CellCounts
        At least one. Of several the sum is a start, from which all are climbed together.
    """
    fit = _of_one(summed(frames), settings)
    if len(frames) == 1:
        return fit
    first = int(fit.parts[0].cells.places.ring.min())
    kept = [each.without(each.places.ring < first) for each in frames]
    kept = [each.without(streaks(each) | narrow_rings(each)) for each in kept]
    settled = dataclasses.replace(settings, known_energy=fit.energy, known_length=1e3 * fit.length)
    folded = [fold(each) for each in kept]
    begun = _climb(folded, fit.energy, fit.length, settled, fit.table)
    weights = 1.0 / np.maximum([part.misfit for part in begun.parts], 1.0)
    for _ in range(_ROUNDS_TOGETHER):
        folded = [fold(each) for each in kept]
        fit = _climb(folded, fit.energy, fit.length, settings, fit.table, weights)
        weights = 1.0 / np.maximum([part.misfit for part in fit.parts], 1.0)
        less = [_less(each, fit, k) for k, each in enumerate(kept)]
        if all(new is None for new in less):
            break
        kept = [old if new is None else new for old, new in zip(kept, less, strict=True)]
    return fit


def _of_one(counts: CellCounts, settings: BeamSettings) -> Fit:
    counts = counts.without(streaks(counts))
    counts = counts.without(counts.places.ring < first_lit_ring(fold(counts)))
    counts = counts.without(narrow_rings(counts))
    fit = _search(counts, settings, curves(settings.gas, settings.forward == "always"))
    if settings.forward == "auto":
        more = _search(counts, settings, curves(settings.gas, True))
        if more.quality > fit.quality + _SEEN:
            fit = more
    for _ in range(_ROUNDS):
        less = _less(counts, fit, 0)
        if less is None:
            break
        counts = less
        fit = _climb([fold(counts)], fit.energy, fit.length, settings, fit.table)
    return fit


def _less(counts: CellCounts, fit: Fit, k: int) -> CellCounts | None:
    """A frame without cells that do not go with a fit; None if all do, or too few do."""
    due = fit.expected(fit.parts[k], counts.places, counts.exposure)
    off = off_cells(counts, np.maximum(due, 1e-12))
    off |= streaks(counts.without(off)) & (counts.exposure > 0)
    less = counts.without(off)
    few = less.exposure.sum() < _LEAST_LEFT * counts.exposure.sum()
    return None if few or not off.any() else less


def _search(counts: CellCounts, settings: BeamSettings, table: Floats) -> Fit:
    """The best of what is found from several starts."""
    energies, lengths = grid(settings)
    coarse = fold(counts, _COARSE)
    quality, _ = profile(coarse, energies, lengths, table, settings.polarisation)
    starts = _peaks_of(quality, energies, lengths)
    cells = fold(counts)
    fits = [_climb([cells], energies[k], lengths[k], settings, table) for k in starts]
    return max(fits, key=lambda each: each.quality)


def _peaks_of(quality: Floats, energies: Floats, lengths: Floats) -> list[int]:
    """The best place of the grid, and the best that are not beside a better one."""
    step = 2.5 * max(_log_step(energies), _log_step(lengths), 1e-9)
    found: list[int] = []
    for k in np.argsort(-quality):
        away = [
            max(abs(math.log(energies[k] / energies[j])), abs(math.log(lengths[k] / lengths[j])))
            for j in found
        ]
        if not away or min(away) > step:
            found.append(int(k))
        if len(found) == _STARTS:
            break
    return found


def _log_step(values: Floats) -> float:
    different = np.unique(values)
    return float(np.log(different[1] / different[0])) if len(different) > 1 else 0.0


def _climb(
    frames: list[Folded],
    energy: float,
    length: float,
    settings: BeamSettings,
    table: Floats,
    weights: Floats | None = None,
) -> Fit:
    """Up to the maximum by Fisher's scoring with damped steps."""
    free = np.array([settings.known_energy is None, settings.known_length is None])
    low = np.log([settings.photon_energy_range[0], 1e-3 * settings.camera_length_range[0]])
    high = np.log([settings.photon_energy_range[1], 1e-3 * settings.camera_length_range[1]])
    polarisation = settings.polarisation
    weight = np.ones(len(frames)) if weights is None else weights

    def look(at: Floats) -> tuple[float, list[Floats]]:
        pair = np.exp(at[:1]), np.exp(at[1:])
        seen = [profile(cells, *pair, table, polarisation) for cells in frames]
        return float(weight @ [q[0] for q, _ in seen]), [amounts[0] for _, amounts in seen]

    def bent(at: Floats, amounts: list[Floats]) -> list[tuple[Floats, Floats, Floats]]:
        pairs = zip(frames, amounts, strict=True)
        return [bends(cells, at, own, table, polarisation) for cells, own in pairs]

    at = np.log([energy, length])
    quality, amounts = look(at)
    damping = 1e-3
    for _ in range(_STEPS if free.any() else 0):
        every = bent(at, amounts)
        slope = np.tensordot(weight, [each[0] for each in every], 1)
        own = np.tensordot(weight, [each[1] for each in every], 1)[np.ix_(free, free)]
        damped = own + damping * np.diag(np.maximum(np.diag(own), 1e-12))
        step = np.zeros(2)
        step[free] = np.linalg.solve(damped, slope[free])
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-12))
        new = np.where(free, np.clip(at + step, low, high), at)
        better, more = look(new)
        if better >= quality:
            gain, moved = better - quality, float(np.abs(new - at).max())
            at, quality, amounts = new, better, more
            damping = max(0.2 * damping, 1e-6)
            if moved < 1e-6 or gain < 1e-4:
                break
        else:
            damping *= 10.0
            if damping > 1e8:
                break
    every = bent(at, amounts)
    parts = [
        Part(cells, own, expected, misfit_of(cells.photons, expected))
        for cells, own, (_, _, expected) in zip(frames, amounts, every, strict=True)
    ]
    surely = 1.0 / np.maximum([part.misfit for part in parts], 1.0)
    information = np.tensordot(surely, [each[1] for each in every], 1)
    covariance = np.zeros((2, 2))
    if free.any():
        covariance[np.ix_(free, free)] = np.linalg.pinv(information[np.ix_(free, free)])
    energy, length = (float(value) for value in np.exp(at))
    return Fit(energy, length, covariance, table, polarisation, quality, parts)
