"""Photon energy and camera length from photons in cells: the likelihood, and its maximum.

What is expected of a cell is water plus gas, each the tabulated curve at the cell's angle,
with solid angle and polarisation; the two amounts are free. The shape along the radius
tells mostly energy times angle; obliquity and, more, what polarisation takes away along
the horizontal tell the angle, and so the camera length, by themselves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import SECTORS, CellCounts, CellPlaces, sums
from napari_xfelsort.core.beam.outliers import off_cells, streaks
from napari_xfelsort.core.beam.scattering import curves, shapes
from napari_xfelsort.core.beam.settings import BeamSettings

Floats = NDArray[np.float64]

#: Steps of the first look, along energy and length, and rings that are taken together.
_GRID, _COARSE = 36, 4
#: Starts that are followed from the best places of the grid.
_STARTS = 3
_ROUNDS = 10
#: Share of the pixels that must be left.
_LEAST_LEFT = 0.3
#: Photons by which the innermost rings are judged.
_JUDGED = 40.0
#: Share of the usual brightness below which the rings next to the beam lie in a shadow,
#: and share of the radius within which that is looked for.
_DARK, _INNER = 0.6, 0.3
#: Steps of a climb at most, the longest of them, and those of derivatives (in logarithms).
_STEPS, _LONGEST, _STEP = 40, 0.15, 1e-4
#: Rounds and sweeps in which amounts are found.
_REWEIGHTED, _SWEEPS = 5, 8
#: Logarithm of the likelihood that scattering towards the beam must gain.
_SEEN = 4.0


class Folded(NamedTuple):
    """Photons of the sectors that the scattering does not tell apart, together.

    Attributes
    ----------
    places : CellPlaces
    photons, exposure : ndarray, shape (cells,)
    """

    places: CellPlaces
    photons: Floats
    exposure: Floats


class Fit(NamedTuple):
    """The maximum of the likelihood.

    Attributes
    ----------
    energy, length : float
        In eV and m.
    covariance : ndarray, shape (2, 2)
        Of the logarithms of energy and length; zero for what was given. Larger by how badly
        the cells go with the fit.
    amounts : ndarray, shape (kinds,)
        Photons of each kind of scattering: water, gas, what is scattered towards the beam.
    table : ndarray, shape (kinds, steps)
        Their curves.
    polarisation : float
        As in the settings.
    misfit : float
        Chi squared a cell.
    quality : float
        The logarithm of the likelihood, without what does not depend on the parameters.
    used : Folded
        The cells that were used.
    """

    energy: float
    length: float
    covariance: Floats
    amounts: Floats
    table: Floats
    polarisation: float
    misfit: float
    quality: float
    used: Folded

    def expected(self, places: CellPlaces, exposure: Floats) -> Floats:
        """Photons of cells; of those that were used, as many in all as there are."""
        pair = np.array([self.energy]), np.array([self.length])
        own = shapes(self.used.places, *pair, self.table, self.polarisation)[0]
        per_kind = np.maximum((own * self.used.exposure).sum(axis=1), 1e-300)
        kinds = shapes(places, *pair, self.table, self.polarisation)[0] * exposure
        return np.asarray((self.amounts / per_kind) @ kinds)


def fold(counts: CellCounts, along: int = 1) -> Folded:
    """Sectors of the four quarters together, and neighbouring rings.

    Parameters
    ----------
    along : int
        Rings that are taken together.
    """
    kept = counts.exposure > 0
    quarter = SECTORS // 4
    sector = counts.places.sector % (2 * quarter)
    sector = np.where(sector < quarter, sector, 2 * quarter - 1 - sector)
    key = (counts.places.ring // along) * quarter + sector
    chosen, group = np.unique(key[kept], return_inverse=True)
    n = len(chosen)
    weights = counts.exposure[kept]
    own = counts.places.chosen(kept)
    return Folded(
        own.merged(group, n, weights),
        sums(group, counts.photons[kept], n),
        sums(group, weights, n),
    )


def first_lit_ring(cells: Folded) -> int:
    """Number of the innermost ring that a beam stop does not hide."""
    ring = cells.places.ring
    far = cells.places.radius / max(float(cells.places.radius.max(initial=0.0)), 1e-12)
    number = np.unique(ring[far < _INNER])
    if not len(number):
        return 0
    photons, pixels = (
        np.array([part[ring == k].sum() for k in number])
        for part in (cells.photons, cells.exposure)
    )
    # Rings with few photons are judged together with the next ones outwards.
    outward = np.array([_first_enough(photons[k:], pixels[k:]) for k in range(len(number))])
    dark = np.flatnonzero(outward < _DARK * float(np.median(outward[len(outward) // 3 :])))
    # Only what begins at the beam is a beam stop.
    if not len(dark) or dark[0] > max(2, len(number) // 4):
        return 0
    return int(number[min(dark[-1] + 2, len(number) - 1)]) + 1


def _first_enough(photons: Floats, pixels: Floats) -> float:
    """Photons a pixel of the first rings that have enough together."""
    total = np.cumsum(photons)
    k = min(int(np.searchsorted(total, _JUDGED)), len(total) - 1)
    return float(total[k] / max(np.cumsum(pixels)[k], 1e-12))


def profile(
    cells: Folded, energies: Floats, lengths: Floats, table: Floats, polarisation: float
) -> tuple[Floats, Floats]:
    """Logarithm of the likelihood at pairs of energy and length, at the best amounts.

    Returns
    -------
    quality : ndarray, shape (n,)
    amounts : ndarray, shape (n, kinds)
        None is below 0. Photons of each kind.
    """
    kinds = shapes(cells.places, energies, lengths, table, polarisation) * cells.exposure
    kinds /= np.maximum(kinds.sum(axis=2, keepdims=True), 1e-300)
    y = cells.photons
    total = max(float(y.sum()), 1.0)
    amounts = np.full(kinds.shape[:2], total / kinds.shape[1])
    expected = _summed(amounts, kinds)
    for _ in range(_REWEIGHTED if kinds.shape[1] > 1 else 0):
        if len(kinds) == 1:
            amounts = _least_squares(kinds[0], y, expected[0])[None]
        else:
            weighted = kinds / expected[:, None]
            normal = weighted @ kinds.transpose(0, 2, 1)
            amounts = _not_below_zero(normal, weighted @ y, amounts)
        new = _summed(amounts, kinds)
        moved = float(np.abs(new / expected - 1.0).max()) if len(kinds) == 1 else 1.0
        expected = new
        if moved < 1e-6:
            break
    # One common factor is known exactly.
    factor = total / np.maximum(expected.sum(axis=1, keepdims=True), 1e-300)
    return np.log(expected * factor) @ y, amounts * factor


def _summed(amounts: Floats, kinds: Floats) -> Floats:
    return np.maximum((amounts[:, None] @ kinds)[:, 0], 1e-12)


def _least_squares(kinds: Floats, photons: Floats, expected: Floats) -> Floats:
    """Amounts of one pair, none below zero, exactly."""
    from scipy.optimize import nnls

    weights = 1.0 / np.sqrt(expected)
    return np.asarray(nnls((kinds * weights).T, photons * weights)[0])


def _not_below_zero(normal: Floats, right: Floats, start: Floats) -> Floats:
    """Least squares with no amount below zero, many at once, one amount after another."""
    found = start.copy()
    for _ in range(_SWEEPS):
        for k in range(found.shape[1]):
            own = np.maximum(normal[:, k, k], 1e-300)
            left = right[:, k] - (normal[:, k] * found).sum(axis=1)
            found[:, k] = np.maximum(found[:, k] + left / own, 0.0)
    return found


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


def best_fit(counts: CellCounts, settings: BeamSettings) -> Fit:
    """Photon energy and camera length at the maximum of the likelihood.

    Rings and sectors that do not go with it (ice, shadows, streaks) are left out, and it is
    found anew. Scattering towards the beam is added to water and gas where it is seen.
    """
    counts = counts.without(streaks(counts))
    counts = counts.without(counts.places.ring < first_lit_ring(fold(counts)))
    fit = _search(counts, settings, curves(settings.gas, settings.forward == "always"))
    pixels = counts.exposure.sum()
    for k in range(_ROUNDS):
        if settings.forward == "auto" and k == 0:
            more = _search(counts, settings, curves(settings.gas, True))
            if more.quality > fit.quality + _SEEN:
                fit = more
        off = off_cells(counts, fit)
        off |= streaks(counts.without(off)) & (counts.exposure > 0)
        less = counts.without(off)
        if not off.any() or less.exposure.sum() < _LEAST_LEFT * pixels:
            break
        counts = less
        fit = _climb(fold(counts), fit.energy, fit.length, settings, fit.table)
    return fit


def _search(counts: CellCounts, settings: BeamSettings, table: Floats) -> Fit:
    """The best of what is found from several starts."""
    energies, lengths = grid(settings)
    coarse = fold(counts, _COARSE)
    quality, _ = profile(coarse, energies, lengths, table, settings.polarisation)
    starts = _peaks_of(quality, energies, lengths)
    cells = fold(counts)
    fits = [_climb(cells, energies[k], lengths[k], settings, table) for k in starts]
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
    cells: Folded, energy: float, length: float, settings: BeamSettings, table: Floats
) -> Fit:
    """Up to the maximum by Fisher's scoring with damped steps."""
    free = np.array([settings.known_energy is None, settings.known_length is None])
    low = np.log([settings.photon_energy_range[0], 1e-3 * settings.camera_length_range[0]])
    high = np.log([settings.photon_energy_range[1], 1e-3 * settings.camera_length_range[1]])
    polarisation = settings.polarisation

    def look(at: Floats) -> tuple[float, Floats]:
        energy, length = np.exp(at)
        pair = np.array([energy]), np.array([length])
        quality, amounts = profile(cells, *pair, table, polarisation)
        return float(quality[0]), amounts[0]

    at = np.log([energy, length])
    quality, amounts = look(at)
    damping = 1e-3
    for _ in range(_STEPS):
        if not free.any():
            break
        slope, information, _ = _bends(cells, at, amounts, table, polarisation)
        own = information[np.ix_(free, free)]
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
    _, information, expected = _bends(cells, at, amounts, table, polarisation)
    misfit = _misfit(cells.photons, expected)
    covariance = np.zeros((2, 2))
    own = information[np.ix_(free, free)]
    if free.any():
        covariance[np.ix_(free, free)] = np.linalg.pinv(own) * max(1.0, misfit)
    energy, length = np.exp(at)
    return Fit(
        float(energy),
        float(length),
        covariance,
        amounts,
        table,
        polarisation,
        misfit,
        quality,
        cells,
    )


def _bends(
    cells: Folded, at: Floats, amounts: Floats, table: Floats, polarisation: float
) -> tuple[Floats, Floats, Floats]:
    """Slope and Fisher information in the two logarithms, amounts taken out; photons expected."""
    moved = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * _STEP
    points = np.exp(at + moved)
    kinds = shapes(cells.places, points[:, 0], points[:, 1], table, polarisation)
    kinds = kinds * cells.exposure
    present = amounts > 1e-6 * amounts.sum()
    free = kinds[0] / np.maximum(kinds[0].sum(axis=1, keepdims=True), 1e-300)
    factor = amounts / np.maximum(kinds[0].sum(axis=1), 1e-300)
    expected = np.maximum(factor @ kinds[0], 1e-12)
    along = np.stack([factor @ (kinds[1] - kinds[2]), factor @ (kinds[3] - kinds[4])])
    along /= 2.0 * _STEP
    free = free[present]
    inverse = np.linalg.pinv((free / expected) @ free.T)
    toward = (along / expected) @ free.T @ inverse
    clear = (along - toward @ free) / expected
    return clear @ (cells.photons - expected), clear @ along.T, expected


def _misfit(photons: Floats, expected: Floats) -> float:
    enough = expected > 3.0
    if enough.sum() < 8:
        return 1.0
    chi = (photons - expected)[enough] ** 2 / expected[enough]
    return float(chi.sum() / (enough.sum() - 4))
