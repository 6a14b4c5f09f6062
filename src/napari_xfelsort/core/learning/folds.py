"""Parts of the training share that are left out in turn."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray


def make_folds(
    classes: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    n_folds: int,
    seed: int,
) -> tuple[NDArray[np.int64], list[str]]:
    """Number of the part of each event; every part leaves all classes in the rest.

    Parameters
    ----------
    classes : ndarray of int, shape (events,)
        Number of each event's class; at least two events of each.
    groups : ndarray of int, optional
        File or run of each event, where the events of one are kept together.
    n_folds : int
        Parts wanted; there are fewer where there are fewer groups.
    seed : int
        Equal seeds give equal parts.

    Returns
    -------
    folds : ndarray of int, shape (events,)
    notes : list of str
        A sentence where groups could not be kept together.
    """
    rng = np.random.default_rng(seed)
    notes = []
    if groups is not None:
        folds = _group_folds(classes, groups, n_folds, rng)
        if folds is not None:
            return folds, []
        notes.append(
            "The files or runs of the training share cannot be divided so that every part leaves "
            "all classes; cross-validation had events of one in several parts, so that what was "
            "chosen by it may be too hopeful."
        )
    folds = np.empty(len(classes), np.int64)
    for number in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == number))
        folds[members] = np.arange(len(members)) % n_folds
    return folds, notes


def _group_folds(
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    n_folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64] | None:
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(n_folds, len(np.unique(groups)))
    if n_folds < 2:
        return None
    folds = np.empty(len(classes), np.int64)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare classes: looked after below
        parts = list(splitter.split(classes, classes, groups))
    for number, (_, part) in enumerate(parts):
        folds[part] = number
    n_classes = len(np.unique(classes))
    complete = all(len(np.unique(classes[rest])) == n_classes for rest, _ in parts)
    return folds if complete else None
