"""How symmetric class averages are: a hint at what is in a class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Orders that are told, and those that they are a share of.
ORDERS = (2, 3, 4, 5, 6)
MOST = 50
#: Directions that a ring is read at.
_DIRECTIONS = 256
#: Of the variance of counting, what is left after counts were put onto an average bilinearly
#: and read again, in the mean over all places between pixels: 1/2 along each axis.
_LEFT = 0.25


class Symmetry(NamedTuple):
    """Of class averages.

    Attributes
    ----------
    scores : ndarray, shape (classes, orders)
        For each of `ORDERS`, its share of the first 50 coefficients of the autocorrelation
        over directions; the mean over the rings, each by its counts.
    anisotropy : ndarray, shape (classes,)
        Standard deviation over the directions of a ring by its mean, without what counting
        photons adds to it; the mean over the rings, each by its counts.
    """

    scores: Floats
    anisotropy: Floats

    def order(self, k: int) -> int:
        """The order of the highest score of class ``k``; 0 without a score."""
        own = self.scores[k]
        return ORDERS[int(np.nanargmax(own))] if np.isfinite(own).any() else 0


def symmetry_of(
    models: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]] | None = None
) -> Symmetry:
    """Symmetry of class averages about their middle.

    Parameters
    ----------
    models : ndarray, shape (classes, side, side)
        NaN where nothing is known; rings that are not known all around do not count.
    weights : ndarray, same shape, optional
        What each pixel is the mean of (`EmRun`), for the noise of counting; without them it
        is not taken away.

    Notes
    -----
    With Friedel's law odd orders have no score. Pairs of particles have fringes along one
    direction, thus mostly order 2; an icosahedron has more of orders 4 and 6.
    """
    from scipy.ndimage import map_coordinates

    side = models.shape[-1]
    middle = side // 2
    radius = np.arange(1, middle)[:, np.newaxis]
    angle = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    where = np.stack([middle + radius * np.sin(angle), middle + radius * np.cos(angle)])
    scores = np.full((len(models), len(ORDERS)), np.nan)
    anisotropy = np.full(len(models), np.nan)
    for k, model in enumerate(models):
        polar = map_coordinates(model.astype(np.float64), where, order=1, cval=np.nan)
        mean = polar.mean(axis=1)
        whole = np.isfinite(mean) & (mean > 0)
        if not whole.any():
            continue
        noise = np.zeros(int(whole.sum()))
        if weights is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                variance = _LEFT * model.astype(np.float64) / weights[k]
            noise = map_coordinates(variance, where, order=1, cval=np.nan).mean(axis=1)[whole]
        polar, mean = polar[whole], mean[whole]
        # Counts of the ring.
        weight = mean * radius[whole, 0]
        power = np.abs(np.fft.rfft(polar, axis=1)) ** 2
        total = power[:, 1 : MOST + 1].sum(axis=1)
        varied = total > 1e-12 * power[:, 0]
        if varied.any():
            share = power[varied][:, ORDERS] / total[varied, np.newaxis]
            scores[k] = np.average(share, axis=0, weights=weight[varied])
        spread = np.sqrt(np.maximum(polar.var(axis=1) - noise, 0))
        anisotropy[k] = np.average(spread / mean, weights=weight)
    return Symmetry(scores, anisotropy)
