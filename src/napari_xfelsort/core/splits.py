"""Which labelled events train a model and which test it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import TrainingError

#: Events of each class that both sides need.
LEAST = 2
_ALL_DIVISIONS = 12  # up to so many files every division is looked at
_TRIES = 300


class Split(NamedTuple):
    """A division of the labelled events.

    Attributes
    ----------
    test : ndarray of bool, shape (events,)
        True for the test share.
    by : str
        ``"run"``, ``"file"`` or ``"event"``.
    why : str
        A sentence.
    groups : ndarray of int, shape (events,), or None
        The file or run of each event, where these are kept on one side.
    """

    test: NDArray[np.bool_]
    by: str
    why: str
    groups: NDArray[np.int64] | None = None


def split_events(
    classes: NDArray[np.int64],
    files: NDArray[np.int64],
    class_names: tuple[str, ...],
    test_share: float,
    by: str,
    seed: int,
    runs: NDArray[np.int64] | None = None,
) -> Split:
    """Divide labelled events into a training and a test share, class by class.

    Parameters
    ----------
    classes : ndarray of int, shape (events,)
        Number of each event's class.
    files : ndarray of int, shape (events,)
        Number of each event's file.
    class_names : tuple of str
        Names of the classes.
    test_share : float
        Share of each class that tests.
    by : str
        ``"file"`` keeps the events of a file together, ``"run"`` those of a run,
        ``"event"`` neither; ``"auto"`` keeps files together when both shares then get at
        least two events of every class.
    seed : int
        Equal seeds give equal divisions.
    runs : ndarray of int, shape (events,), optional
        Number of each event's run, to divide by.

    Raises
    ------
    TrainingError
        If a share would have too few events of a class.
    """
    rng = np.random.default_rng(seed)
    noun, groups = ("run", runs) if by == "run" and runs is not None else ("file", files)
    n_groups = len(np.unique(groups))
    counts = np.zeros((int(groups.max()) + 1, len(class_names)), int)
    np.add.at(counts, (groups, classes), 1)
    if by != "event":
        # A share that lacks a class cannot be avoided sometimes, but is never chosen freely.
        least_test = LEAST if by == "auto" else 0
        chosen = _divide_groups(counts, test_share, least_test, rng) if n_groups > 1 else None
        if chosen is not None:
            why = (
                f"the events of a {noun} are alike, so each of the {n_groups} {noun}s is on one "
                "side only"
            )
            return Split(chosen[groups], noun, f"Split by {noun}: {why}.", groups)
        if by != "auto":
            raise TrainingError(
                f"The labelled events are in {n_groups} {noun}{'s' * (n_groups > 1)}, which "
                f"cannot be divided so that at least {LEAST} events of every class are left to "
                f"train; label events in more {noun}s, or split by event."
            )
    for name, count in zip(class_names, counts.sum(axis=0).tolist(), strict=True):
        if count < 2 * LEAST:
            raise TrainingError(
                f"The class {name!r} has {count} labelled event{'s' * (count != 1)}; it needs at "
                f"least {2 * LEAST}: {LEAST} to train and {LEAST} to test."
            )
    if by == "event":
        why = "as asked for"
    elif n_groups == 1:
        why = "all labels are in one file"
    else:
        why = f"no division of the files leaves {LEAST} events of every class on both sides"
    return Split(_divide_events(classes, test_share, rng), "event", f"Split by event: {why}.")


def _divide_events(
    classes: NDArray[np.int64], test_share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    test = np.zeros(len(classes), bool)
    for number in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == number))
        n_test = round(test_share * len(members))
        test[members[: np.clip(n_test, LEAST, len(members) - LEAST)]] = True
    return test


def _divide_groups(
    counts: NDArray[np.int64],
    test_share: float,
    least_test: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Groups to test with, as near to the share in every class as whole groups allow."""
    best, best_score = None, np.inf
    for test_counts, files_of in _ways(counts, rng):
        scores = _scores(test_counts, counts.sum(axis=0), test_share, least_test)
        k = int(scores.argmin())
        if scores[k] < best_score:
            best, best_score = files_of(k), scores[k]
    return None if best is None else np.isin(np.arange(len(counts)), best)


def _ways(
    counts: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], Callable[[int], NDArray[np.int64]]]]:
    """Ways of choosing files to test with: events of each class, and which files."""
    files = rng.permutation(np.flatnonzero(counts.sum(axis=1)))
    n = len(files)
    if n <= _ALL_DIVISIONS:
        chosen = ((np.arange(1, 2**n - 1)[:, np.newaxis] >> np.arange(n)) & 1).astype(bool)
        yield chosen.astype(np.int64) @ counts[files], lambda k: files[chosen[k]]
        return
    for _ in range(_TRIES):
        order = rng.permutation(files)
        first = np.cumsum(counts[order[:-1]], axis=0)
        yield first, lambda k, order=order: order[: k + 1]  # type: ignore[misc]


def _scores(
    test: NDArray[np.int64], total: NDArray[np.int64], test_share: float, least_test: int
) -> NDArray[np.float64]:
    """How far each way is from the share wanted; infinite where a side lacks events."""
    scores = np.abs(test / np.maximum(total, 1) - test_share).sum(axis=1)
    scores += len(total) * (test < LEAST).sum(axis=1)  # worse than any that has all classes
    possible = (total - test >= LEAST).all(axis=1) & (test >= least_test).all(axis=1)
    return np.where(possible, scores, np.inf)
