"""What a careful colleague would say of a training set and its division."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.learning.runs import run_of_file
from napari_xfelsort.core.splits import Split
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training_set import LabelledEvents

_FEW_EVENTS = 20
_SHARE_TOLERANCE = 0.1
#: Nearer than this part of what is usual between neighbours is nearly the same frame.
_NEAR = 0.05
#: Directions that frames are compared along before they are compared pixel by pixel.
_DIRECTIONS = 32
_MOST_COMPARED = 20_000
#: Along fewer numbers than this, neighbours are near by chance.
_LEAST_FEATURES = 8
_COLUMNS = 2048
_MANY_FEATURES = 5000


def advice(data: LabelledEvents, division: Split, settings: TrainSettings) -> list[str]:
    """Sentences on classes, shares and leaks."""
    return [
        *_of_counts(data, division.test),
        *_of_shares(data, division, settings),
        *_of_twins(data, division.test),
        *_of_algorithm(settings, data.matrix.shape[1]),
    ]


def early_advice(
    data: LabelledEvents, division: Split, settings: TrainSettings, n_features: int
) -> list[str]:
    """As `advice`, before features are read: nothing is said of events that are the same."""
    return [
        *_of_counts(data, division.test),
        *_of_shares(data, division, settings),
        *_of_algorithm(settings, n_features),
    ]


def _of_counts(data: LabelledEvents, test: NDArray[np.bool_]) -> list[str]:
    said = []
    for name, count in data.counts(~test).items():
        if count < _FEW_EVENTS:
            said.append(f"The class {name!r} has few events to train with: {count}.")
    for name, count in data.counts(test).items():
        if count == 0:
            said.append(
                f"The test share has no event of the class {name!r}: how well it is recognised "
                "is not known."
            )
        elif count < _FEW_EVENTS:
            said.append(
                f"The class {name!r} has few events to test with ({count}), so its numbers are "
                "uncertain."
            )
    return said


def _of_shares(data: LabelledEvents, division: Split, settings: TrainSettings) -> list[str]:
    test, said = division.test, []
    if abs(test.mean() - settings.test_share) > _SHARE_TOLERANCE:
        said.append(
            f"Whole {division.by}s make a test share of {100 * test.mean():.0f} % instead of "
            f"{100 * settings.test_share:.0f} %."
        )
    if division.by == "event":
        said.append(
            "Events of one file are on both sides of the split; on new files the model may do "
            "worse than these numbers say."
        )
    elif division.by == "file":
        shared = sorted(
            {run for event in _some(data, data.runs, test) if (run := run_of_file(event.file))}
        )
        if shared:
            said.append(
                f"Files of one run are on both sides of the split ({', '.join(shared[:3])}"
                f"{', ...' if len(shared) > 3 else ''}); split by run to see how the model does "
                "on a run that it has not seen."
            )
    return said


def _some(
    data: LabelledEvents, groups: NDArray[np.int64], test: NDArray[np.bool_]
) -> list[EventId]:
    """An event of each group that is on both sides."""
    both = np.intersect1d(groups[test], groups[~test])
    _, first = np.unique(groups, return_index=True)
    return [data.events[k] for k in first if groups[k] in both]


def _of_twins(data: LabelledEvents, test: NDArray[np.bool_]) -> list[str]:
    same, near, example = twins(data.matrix, test)
    if not same and not near:
        return []
    kinds = [f"{same} the same" * bool(same), f"{near} nearly the same" * bool(near)]
    what = " and ".join(kind for kind in kinds if kind)
    first, second = (data.events[k] for k in example)
    return [
        f"Of the events to test with, {what} as one to train with (for example {first} and "
        f"{second}); the numbers are better than they would be on new events."
    ]


def twins(
    matrix: NDArray[np.float32], test: NDArray[np.bool_]
) -> tuple[int, int, tuple[int, int]]:
    """Events of the test share whose features are in the training share, too.

    Nearly the same are two events whose distance (features divided by their standard
    deviation) is less than 5 % of the median distance of a test event from the nearest
    event to train with. Candidates are found along random directions.

    Returns
    -------
    same, near : int
        How many events of the test share have an equal, a nearly equal one.
    example : tuple of int
        Rows of one such pair, test first.
    """
    known: dict[bytes, int] = {}
    for row in np.flatnonzero(~test).tolist():
        known.setdefault(matrix[row].tobytes(), row)
    rows = np.flatnonzero(test)
    pairs = {int(row): known[key] for row in rows if (key := matrix[row].tobytes()) in known}
    rest = np.array([row for row in rows.tolist() if row not in pairs], np.int64)
    close = _near_pairs(matrix, rest[:_MOST_COMPARED], np.flatnonzero(~test)[:_MOST_COMPARED])
    example = next(iter({**pairs, **close}.items()), (0, 0))
    return len(pairs), len(close), example


def _near_pairs(
    matrix: NDArray[np.float32], test: NDArray[np.int64], train: NDArray[np.int64]
) -> dict[int, int]:
    if min(len(test), len(train)) < 2 or matrix.shape[1] < _LEAST_FEATURES:
        return {}
    from sklearn.neighbors import NearestNeighbors

    weights, places = _projected(matrix, train)
    seen = NearestNeighbors(n_neighbors=1).fit(places[train])
    distance, nearest = seen.kneighbors(places[test])
    limit = _NEAR * float(np.median(distance))
    pairs = {}
    for k in np.flatnonzero(distance[:, 0] < 2 * limit).tolist():
        row, other = int(test[k]), int(train[nearest[k, 0]])
        difference = (matrix[row].astype(np.float64) - matrix[other]) * weights
        if float(np.sqrt((difference**2).sum())) < limit:
            pairs[row] = other
    return pairs


def _projected(
    matrix: NDArray[np.float32], train: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale of each feature, and events along random directions, in bounded memory."""
    rng = np.random.default_rng(0)
    weights = np.zeros(matrix.shape[1])
    places = np.zeros((len(matrix), _DIRECTIONS))
    for k in range(0, matrix.shape[1], _COLUMNS):
        part = matrix[:, k : k + _COLUMNS].astype(np.float64)
        part -= part[train].mean(axis=0)
        scale = part[train].std(axis=0)
        weight = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        weights[k : k + _COLUMNS] = weight
        directions = rng.normal(size=(part.shape[1], _DIRECTIONS)) / np.sqrt(_DIRECTIONS)
        places += (part * weight) @ directions
    return weights, places


def _of_algorithm(settings: TrainSettings, n_features: int) -> list[str]:
    if settings.model == "k_nearest_neighbours" and settings.class_weight == "balanced":
        return ["k-nearest neighbours has no class weights; rare classes count less."]
    wide = n_features > _MANY_FEATURES and not settings.components
    if settings.model == "gradient_boosting" and wide:
        return [
            f"Gradient boosting takes long on {n_features} features; larger blocks of pixels "
            "(bin) or principal components are faster and seldom worse."
        ]
    return []
