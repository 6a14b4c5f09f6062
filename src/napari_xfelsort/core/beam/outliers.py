"""Cells that do not go with a fit: ice rings, streaks, shadows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.beam.cells import SECTORS, CellCounts, sums

Floats = NDArray[np.float64]

#: Deviations, and share of what is expected, by which a part is off; the worst are left out
#: first, and what is beside them from so many deviations on.
_OFF, _OFF_SHARE, _WORST, _BESIDE = 4.0, 0.003, 0.4, 1.5
#: Deviations of both sides of the beam together by which a streak goes through it.
_LINE = 3.7
#: Photons of rings that are judged together, and numbers of zones from the beam outwards.
_JUDGED = 100.0
_ZONES = (1, 3, 12, 60)
#: Near the beam: within this share of the radius; much: that share of the cells.
_INNER, _MUCH = 0.35, 0.15
#: Share of the rings to either side of a crest that is too narrow (and a number at least),
#: the least logarithm by which it is brighter, and photons of a ring that is judged so.
_NARROW, _NARROWEST, _BRIGHTER, _MANY = 0.05, 2, 0.06, 3000.0


def off_cells(counts: CellCounts, due: Floats) -> NDArray[np.bool_]:
    """Cells in rings, or in sectors of zones, that are not as the fit expects.

    Parameters
    ----------
    counts : CellCounts
        Of which those with exposure were fitted.
    due : ndarray, shape (cells,)
        Photons that the fit expects.

    Returns
    -------
    ndarray of bool, shape (cells,)
    """
    off = np.zeros(len(due), bool)
    ring, sector = counts.places.ring, counts.places.sector
    n_rings = int(ring.max()) + 1
    in_ring = sums(ring, due, n_rings)
    order = np.cumsum(in_ring)
    # Rings alone: the slopes of what is off are in the rings beside.
    block = _blocks(np.floor(order / _JUDGED), n_rings)
    z = _deviation(block[ring], counts.photons, due, int(block.max()) + 1)
    bad = _worst(z)
    wide = bad.copy()
    wide[1:] |= bad[:-1]
    wide[:-1] |= bad[1:]
    off |= wide[block[ring]]
    for zones in _ZONES:
        if order[-1] < 2.0 * _JUDGED * zones:
            continue
        zone = _blocks(np.floor(order * (zones * (1.0 - 1e-9) / order[-1])), n_rings)
        n = int(zone.max()) + 1
        key = zone[ring] * SECTORS + sector
        z = _deviation(key, counts.photons, due, n * SECTORS)
        worst = _worst(z).reshape(n, SECTORS)
        near = np.abs(z.reshape(n, SECTORS)) > _BESIDE * _usual(z)
        worst = worst | near & (np.roll(worst, 1, axis=1) | np.roll(worst, -1, axis=1))
        off |= worst.reshape(-1)[key]
        # What goes through the beam is on both sides of it.
        half = SECTORS // 2
        key = zone[ring] * half + sector % half
        z = _deviation(key, counts.photons, due, n * half)
        limit = max(_LINE * _usual(z), _WORST * float(z.max(initial=0.0)))
        highest = z.reshape(n, half).max(axis=0)
        off |= highest[sector % half] > limit
    return np.asarray(off & (counts.exposure > 0))


def streaks(counts: CellCounts) -> NDArray[np.bool_]:
    """Cells in sectors of which much was left out near the beam, and in those opposite.

    What goes through the beam on one line, a jet's streak or a beam stop's arm, is faint
    farther out, but there.

    Returns
    -------
    ndarray of bool, shape (cells,)
    """
    places = counts.places
    inner = places.radius < _INNER * float(places.radius.max(initial=0.0))
    there = np.bincount(places.sector[inner], minlength=SECTORS)
    gone = np.bincount(places.sector[inner & (counts.exposure <= 0)], minlength=SECTORS)
    share = gone / np.maximum(there, 1)
    usual = float(np.median(share[there > 0])) if there.any() else 0.0
    odd = np.flatnonzero(share > usual + _MUCH)
    bad = np.zeros(SECTORS, bool)
    bad[odd] = bad[(odd + SECTORS // 2) % SECTORS] = len(odd) <= SECTORS // 3
    return np.asarray(bad[places.sector])


def narrow_rings(counts: CellCounts) -> NDArray[np.bool_]:
    """Cells in rings much brighter than those around them: ice, before there is a fit.

    What scatters otherwise has no crest so narrow; judged where photons are many.

    Returns
    -------
    ndarray of bool, shape (cells,)
    """
    ring = counts.places.ring
    n = int(ring.max()) + 1
    photons, pixels = sums(ring, counts.photons, n), sums(ring, counts.exposure, n)
    many = (photons > _MANY) & (pixels > 0)
    level = np.log(np.where(many, photons / np.maximum(pixels, 1e-12), 1.0))
    bright = np.zeros(n, bool)
    # Rings of another height of the detector begin anew.
    lit = np.flatnonzero(many)
    for part in np.split(lit, np.flatnonzero(np.diff(lit) > 1) + 1):
        reach = max(_NARROWEST, round(_NARROW * len(part)))
        if len(part) > 2 * reach:
            over = level[part] - _opened(level[part], reach)
            bright[part] = over > _BRIGHTER + 5.0 / np.sqrt(photons[part])
    wide = bright.copy()
    for step in (1, 2):
        wide[step:] |= bright[:-step]
        wide[:-step] |= bright[step:]
    return np.asarray(wide[ring])


def _opened(values: Floats, reach: int) -> Floats:
    """The greatest of what is least around each value: crests narrower than twice the reach go."""
    window = 2 * reach + 1
    padded = np.pad(values, reach, mode="edge")
    least = np.lib.stride_tricks.sliding_window_view(padded, window).min(axis=1)
    padded = np.pad(least, reach, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, window).max(axis=1))


def _blocks(number: Floats, n: int) -> NDArray[np.int64]:
    """Numbers of neighbouring rings that are judged together."""
    limited = np.minimum(number, np.arange(n)).astype(np.int64)
    return np.asarray(np.unique(limited, return_inverse=True)[1])


def _deviation(key: NDArray[np.int64], photons: Floats, due: Floats, n: int) -> Floats:
    """How many deviations each part is off; 0 where it is no more than a small share."""
    seen, expected = sums(key, photons, n), sums(key, due, n)
    z = (seen - expected) / np.sqrt(np.maximum(expected, 1.0))
    return np.asarray(np.where(np.abs(seen - expected) > _OFF_SHARE * expected, z, 0.0))


def _usual(z: Floats) -> float:
    """Usual size of deviations, 1 if they are those of photons."""
    some = z[z != 0.0]
    return max(1.0, 1.4826 * float(np.median(np.abs(some)))) if len(some) else 1.0


def _worst(z: Floats) -> NDArray[np.bool_]:
    size = np.abs(z)
    limit = max(_OFF * _usual(z), _WORST * float(size.max(initial=0.0)))
    return np.asarray(size > limit)
