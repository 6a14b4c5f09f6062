"""How sure the numbers are: confidence intervals and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
#: Fewer groups than this say too little of how groups differ.
_LEAST_GROUPS = 5
_RESAMPLES, _LEAST_RESAMPLES = 1000, 200
#: Events times resamples that are worth waiting for.
_MOST_DRAWN = 4_000_000

Interval = list[float] | None


def wilson(part: float, whole: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share; None where there is nothing to share.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    if whole <= 0:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = part / whole
    centre = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = (
        z
        / (1 + z * z / whole)
        * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    )
    return [max(0.0, centre - half), min(1.0, centre + half)]


def mcnemar(first_only: int, second_only: int) -> float:
    """Probability that two equally good models differ at least so much.

    Exact two-sided test of Q. McNemar, Psychometrika 12, 153 (1947).

    Parameters
    ----------
    first_only, second_only : int
        Events that only the first, only the second model decided rightly.
    """
    n, k = first_only + second_only, min(first_only, second_only)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(k + 1))
    return min(1.0, float(2 * tail / 2**n))


def resampled_groups(groups: NDArray[np.int64] | None, n: int) -> tuple[NDArray[np.int64], str]:
    """What a bootstrap draws: whole groups where there are enough of them, else events.

    Returns
    -------
    groups : ndarray of int, shape (events,)
        From 0 without gaps.
    what : str
        ``"groups"`` or ``"events"``.
    """
    if groups is not None:
        _, numbers = np.unique(groups, return_inverse=True)
        if len(numbers) and numbers.max() + 1 >= _LEAST_GROUPS:
            return numbers.astype(np.int64), "groups"
    return np.arange(n), "events"


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: NDArray[np.int64],
    seed: int,
    resamples: int = _RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of a statistic when groups of events are drawn with replacement.

    B. Efron, Ann. Stat. 7, 1 (1979). Of very many events fewer resamples are drawn, but 200
    at least.

    Parameters
    ----------
    statistic : callable
        Given how often each event was drawn; NaN where it cannot be said.
    groups : ndarray of int, shape (events,)
        From `resampled_groups`.

    Returns
    -------
    list of float or None
        None where all resamples agree, which says nothing of how sure the number is.
    """
    if len(groups) == 0:
        return None
    rng = np.random.default_rng(seed)
    n_groups = int(groups.max()) + 1
    even = np.full(n_groups, 1 / n_groups)
    resamples = min(resamples, max(_LEAST_RESAMPLES, _MOST_DRAWN // len(groups)))
    found = []
    for _ in range(resamples):
        found.append(statistic(rng.multinomial(n_groups, even)[groups]))
    known = np.array([value for value in found if not math.isnan(value)])
    if len(known) < resamples / 2:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    if low == high:  # without a single mistake, resampling says nothing of the next one
        return None
    return [float(low), float(high)]


def macro_f1(confusion: NDArray[np.float64]) -> float:
    """Mean F1 of the classes from a confusion matrix, whose further columns are no class.

    A class that is neither there nor decided is left out; NaN where all are.
    """
    n = len(confusion)
    square = confusion[:, :n]
    whole = square.sum(axis=0) + confusion.sum(axis=1)
    known = whole > 0
    if not known.any():
        return math.nan
    return float((2 * np.diag(square)[known] / whole[known]).mean())
