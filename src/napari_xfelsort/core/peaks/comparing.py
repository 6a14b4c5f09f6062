"""Found peaks beside those of a file, and the peaks and hits of a run to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_xfelsort.core.peaks.run_peaks import RunPeaks

#: Events that the hit rate at a time is at least of, and at most parts of a run.
_LEAST_EVENTS, _PARTS = 10, 40


def pairs_within(
    first: NDArray[np.float64], second: NDArray[np.float64], within: float
) -> NDArray[np.int64]:
    """Points of two sets that are near one another, each once, the nearest first.

    Parameters
    ----------
    first, second : ndarray, shapes (n, 2) and (m, 2)
        Points; those that are not finite have no partner.
    within : float
        Largest distance, in their unit.

    Returns
    -------
    ndarray of int64, shape (pairs, 2)
        Numbers of the points of either set.
    """
    from scipy.spatial import cKDTree

    own = [np.flatnonzero(np.isfinite(points).all(axis=1)) for points in (first, second)]
    if not len(own[0]) or not len(own[1]):
        return np.empty((0, 2), np.int64)
    trees = [cKDTree(points[k]) for points, k in zip((first, second), own, strict=True)]
    near = trees[0].sparse_distance_matrix(trees[1], within, output_type="ndarray")
    taken: tuple[set[int], set[int]] = set(), set()
    pairs: list[tuple[int, int]] = []
    for i, j, _ in near[np.argsort(near["v"], kind="stable")].tolist():
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((int(own[0][i]), int(own[1][j])))
    return np.array(pairs, np.int64).reshape(-1, 2)


class HitCourse(NamedTuple):
    """Peaks and hits over a run, drawn together where there are more events than columns.

    Attributes
    ----------
    ends : ndarray of int64, shape (columns + 1,)
        First event of each column, and the number of events.
    most : ndarray, shape (columns,)
        Most peaks of an event of each; NaN where none is known.
    rate : ndarray, shape (columns,)
        Share of hits among the events around each that are known; NaN where none is.
    """

    ends: NDArray[np.int64]
    most: NDArray[np.float64]
    rate: NDArray[np.float64]


def hit_course(counts: NDArray[np.float64], min_peaks: int, columns: int = 320) -> HitCourse:
    """Peaks and hit rate over a run.

    Parameters
    ----------
    counts : ndarray, shape (events,)
        Number of peaks of each event; NaN where not known.
    min_peaks : int
        Events with so many are hits.
    columns : int
        At most so many.
    """
    n = len(counts)
    ends = np.linspace(0, n, min(n, columns) + 1).astype(np.int64)
    if not n:
        return HitCourse(ends, np.zeros(0), np.zeros(0))
    known = np.isfinite(counts)
    hits = np.cumsum(np.concatenate([[0], known & (np.nan_to_num(counts) >= min_peaks)]))
    read = np.cumsum(np.concatenate([[0], known]))
    reach = max(_LEAST_EVENTS, n // _PARTS) / 2
    middle = (ends[:-1] + ends[1:]) / 2
    low = np.clip(np.floor(middle - reach), 0, n).astype(np.int64)
    high = np.clip(np.ceil(middle + reach), 0, n).astype(np.int64)
    of = read[high] - read[low]
    rate = np.divide(hits[high] - hits[low], of, out=np.full(len(of), np.nan), where=of > 0)
    return HitCourse(ends, np.fmax.reduceat(counts, ends[:-1]), rate)


def powder_picture(found: RunPeaks, side: int = 1) -> NDArray[np.float32]:
    """How many peaks of a run are at each place of the assembled picture.

    Parameters
    ----------
    found : RunPeaks
    side : int
        Each peak fills a square of so many pixels, an odd number.

    Returns
    -------
    ndarray of float32, shape (y, x)
        At each pixel the largest count of the pixels in such a square around it.
    """
    picture = np.zeros(found.stack.assembled_shape, np.float32)
    for peaks in found.lists:
        place = np.column_stack([peaks.y, peaks.x])
        place = np.rint(place[np.isfinite(place).all(axis=1)]).astype(np.int64)
        inside = ((place >= 0) & (place < picture.shape)).all(axis=1)
        np.add.at(picture, tuple(place[inside].T), 1)
    if side > 1:
        from scipy.ndimage import maximum_filter

        picture = maximum_filter(picture, side, mode="constant")
    return picture
