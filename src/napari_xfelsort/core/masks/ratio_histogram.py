"""`ratio_histogram`: how far pixels are from the others, and the Gaussian that most follow."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.robust import RobustSettings, fit_values

#: So many values tell of a Gaussian as well as all.
_SAMPLE = 200_000


class RatioHistogram(NamedTuple):
    """A histogram with a robust fit.

    Attributes
    ----------
    counts : ndarray of int64, shape (bars,)
        Values in each bar; those beyond the ends are in the last ones.
    edges : ndarray of float64, shape (bars + 1,)
        Where bars end.
    centre, scale : float
        Of the Gaussian that most values follow; NaN where there are too few.
    n_inliers : float
        Values that it stands for.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    centre: float
    scale: float
    n_inliers: float

    def curve(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values that the Gaussian has in a bar around x; NaN without a fit, or a scale."""
        if not self.scale > 0:
            return np.full(np.shape(x), np.nan)
        height = self.n_inliers * (self.edges[1] - self.edges[0]) / self.scale
        away = (np.asarray(x, np.float64) - self.centre) / self.scale
        return np.asarray(height * np.exp(-(away**2) / 2) / math.sqrt(2 * math.pi))


def ratio_histogram(
    ratio: NDArray[np.floating], reach: float, n_bars: int = 120
) -> RatioHistogram:
    """The histogram of ratios, as of a `Feature`, and a robust fit to them.

    Parameters
    ----------
    ratio : ndarray of float
        NaN does not count; infinite ones are in the last bars.
    reach : float
        The bars end there; they begin at minus it, or at 0 where nothing is negative.
    n_bars : int
        Of one width.
    """
    known = ratio[~np.isnan(ratio)]
    first = -reach if known.size and known.min() < 0 else 0.0
    counts, edges = np.histogram(np.clip(known, first, reach), n_bars, (first, reach))
    sample = known[:: max(1, -(-known.size // _SAMPLE))]
    fit = fit_values(sample)
    scale = float(fit.scale)
    share = math.erf(RobustSettings().scale_lambda / math.sqrt(2))
    n_inliers = float(fit.inliers) / share * known.size / max(1, sample.size)
    return RatioHistogram(counts, edges.astype(np.float64), float(fit.mean), scale, n_inliers)
