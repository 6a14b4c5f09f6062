"""Hits from all places of a frame that may be peaks, the doubtful ones too.

A rule that counts peaks forgets what is a little below its cut. Here every place adds what it
is worth: numbers of places above several log-odds, the best of them, and a sum of
probabilities, weighed by a logistic regression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Log-odds above which places are counted, and how many of the best are looked at.
CUTS, BEST = (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0), 5
_FLOOR, _TOP = -6.0, 12.0


def hit_evidence(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the places of an event say of a crystal.

    Parameters
    ----------
    scores : ndarray, shape (places,)
        Log-odds that each is a peak, as of `learned.LearnedLook.judge`.

    Returns
    -------
    ndarray, shape (13,)
        Logarithms of one plus the numbers of places above each of `CUTS`, the `BEST` largest
        scores in decreasing order (-6 where there are fewer), and the logarithm of one plus
        the sum of probabilities above one half.
    """
    known = np.clip(np.asarray(scores, np.float64), _FLOOR, _TOP)
    counts = [np.log1p((known > cut).sum()) for cut in CUTS]
    best = np.full(BEST, _FLOOR)
    top = -np.sort(-known)[:BEST]
    best[: len(top)] = top
    likely = known[known > 0.0]
    total = np.log1p((1.0 / (1.0 + np.exp(-likely))).sum())
    return np.array([*counts, *best, total])
