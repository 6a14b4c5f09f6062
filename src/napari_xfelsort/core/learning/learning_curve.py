"""How the accuracy grows with the number of labels: is it worth labelling more?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.estimators import fit, make_estimator
from napari_xfelsort.core.learning.folds import make_folds
from napari_xfelsort.core.learning.intervals import macro_f1
from napari_xfelsort.core.train_settings import TrainSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.training import Prepared


class LearningPoint(NamedTuple):
    """How well models do that were trained with so many labels.

    Attributes
    ----------
    n_labels : int
        Events that each was fitted to.
    accuracy, macro_f1 : float
        Means over the parts left out.
    accuracy_sd, macro_f1_sd : float
        Standard deviations over these parts.
    """

    n_labels: int
    accuracy: float
    accuracy_sd: float
    macro_f1: float
    macro_f1_sd: float


def learning_curve(
    prepared: Prepared,
    settings: TrainSettings,
    points: int = 6,
    progress: Progress | None = None,
) -> list[LearningPoint]:
    """Accuracy against the number of labels, inside the training share.

    The training share is cut into parts, files or runs kept together as in the split. Each
    part is decided by models fitted to more and more events of the others, always the same
    first ones, every class in its proportion. The test share is not looked at.

    Parameters
    ----------
    prepared : Prepared
        From `training.prepare`.
    settings : TrainSettings
        Of the algorithm; nothing is searched.
    points : int
        Numbers of labels, about evenly spaced in their logarithm.
    progress : callable, optional
        Called with fits done and fits in all; may raise to stop.

    Raises
    ------
    TrainingError
        If there are too few events.
    """
    division = prepared.division
    side = ~division.test
    matrix, classes = prepared.data.matrix[side], prepared.data.classes[side]
    groups = None if division.groups is None else division.groups[side]
    folds, _ = make_folds(classes, groups, settings.folds, settings.seed)
    parts = np.unique(folds)
    orders = [_order(classes, np.flatnonzero(folds != part), settings.seed) for part in parts]
    least = max(2 * len(np.unique(classes)), _least(settings), _first_with_all(classes, orders))
    most = min(map(len, orders))
    if most < least:
        raise TrainingError(
            f"A learning curve needs parts of {least} events at least, and there are {most}; "
            "label more events."
        )
    sizes = np.unique(np.geomspace(least, most, points).round().astype(int)).tolist()
    found: list[LearningPoint] = []
    for size in sizes:
        scores = []
        for part, order in zip(parts, orders, strict=True):
            rows, left_out = order[:size], folds == part
            estimator = make_estimator(settings, classes[rows])
            fit(estimator, matrix[rows], classes[rows])
            scores.append(_scores(estimator.predict(matrix[left_out]), classes[left_out]))
            if progress is not None:
                progress(len(found) * len(parts) + len(scores), len(sizes) * len(parts))
        accuracy, f1 = np.array(scores).T
        found.append(
            LearningPoint(
                size,
                float(accuracy.mean()),
                float(accuracy.std()),
                float(f1.mean()),
                float(f1.std()),
            )
        )
    return found


def _order(classes: NDArray[np.int64], rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Events in an order whose every beginning has the classes about in proportion."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    place = np.empty(len(rows))
    for number in np.unique(classes[rows]):
        mine = np.flatnonzero(classes[rows] == number)
        place[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
    return rows[np.argsort(place, kind="stable")]


def _first_with_all(classes: NDArray[np.int64], orders: list[NDArray[np.int64]]) -> int:
    """How many events it takes until every order has had two of each class it will have."""
    needed = 0
    for order in orders:
        for number in np.unique(classes):
            at = np.flatnonzero(classes[order] == number)
            needed = max(needed, int(at[min(1, len(at) - 1)]) + 1)
    return needed


def _least(settings: TrainSettings) -> int:
    neighbours = settings.n_neighbors if settings.model == "k_nearest_neighbours" else 0
    return max(neighbours, settings.components)


def _scores(chosen: NDArray[np.int64], true: NDArray[np.int64]) -> tuple[float, float]:
    n = int(max(chosen.max(), true.max())) + 1
    confusion = np.zeros((n, n))
    np.add.at(confusion, (true, chosen), 1)
    return float((chosen == true).mean()), macro_f1(confusion)
