"""How likely photons in cells are for a photon energy and a camera length.

What is expected of a cell is water plus gas, each the tabulated curve at the cell's angle,
with solid angle and polarisation; the amounts are free. The shape along the radius
tells mostly energy times angle; obliquity and, more, what polarisation takes away along
the horizontal tell the angle, and so the camera length, by themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import SECTORS, CellCounts, CellPlaces, sums
from napari_xfelsort.core.beam.scattering import shapes

Floats = NDArray[np.float64]

#: Photons by which the innermost rings are judged.
_JUDGED = 40.0
#: Share of the usual brightness below which the rings next to the beam lie in a shadow,
#: and share of the radius within which that is looked for.
_DARK, _INNER = 0.6, 0.3
#: Step of derivatives, in logarithms.
_STEP = 1e-4
#: Rounds and sweeps in which amounts are found.
_REWEIGHTED, _SWEEPS = 5, 8


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
            amounts = least_squares(kinds[0], y, expected[0])[None]
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


def least_squares(kinds: Floats, photons: Floats, expected: Floats) -> Floats:
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


def bends(
    cells: Folded, at: Floats, amounts: Floats, table: Floats, polarisation: float
) -> tuple[Floats, Floats, Floats]:
    """Slope and Fisher information in the logarithms of energy and length.

    Parameters
    ----------
    cells : Folded
        Photons.
    at : ndarray, shape (2,)
        Logarithms of energy (eV) and length (m).
    amounts : ndarray, shape (kinds,)
        The best there; that they follow is taken into account.

    Returns
    -------
    slope : ndarray, shape (2,)
    information : ndarray, shape (2, 2)
    expected : ndarray, shape (cells,)
        Photons.
    """
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


def misfit_of(photons: Floats, expected: Floats) -> float:
    """Chi squared a cell, of cells with some photons."""
    enough = expected > 3.0
    if enough.sum() < 8:
        return 1.0
    chi = (photons - expected)[enough] ** 2 / expected[enough]
    return float(chi.sum() / (enough.sum() - 4))
