"""Windows of images: which there are, fitting planes to them, and threads that do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Bytes of windows that are fitted at once: they stay in a near cache.
WINDOW_BYTES = 512 * 1024


def windows_of(shape: tuple[int, int], window: tuple[int, int]) -> NDArray[np.int64]:
    """Windows of an image: top, left, and the first row and column that are its own.

    Every pixel is a window's own exactly once. Ordered by row of windows.
    """
    found = [
        (min(top, shape[0] - window[0]), min(left, shape[1] - window[1]), top, left)
        for top in range(0, shape[0], window[0])
        for left in range(0, shape[1], window[1])
    ]
    return np.array(found, np.int64)


class Fitted(NamedTuple):
    """Windows of frames, shape (frames, windows, ...), and their planes."""

    values: NDArray[np.float32]
    bases: NDArray[np.float64]
    planes: NDArray[np.float32]
    scales: NDArray[np.float32]
    inliers: NDArray[np.int64]


def fitted(
    frames: NDArray[Any],
    offset: NDArray[np.float32],
    bad: NDArray[np.bool_],
    windows: NDArray[np.int64],
    window: tuple[int, int],
    places: tuple[NDArray[np.float32], NDArray[np.float32]],
    numbers: NDArray[np.float64],
) -> Fitted:
    """Take windows from frames and fit planes to them.

    Loops that take are compiled for each type of frames, the one that fits only once: it is
    given arrays of its own, so that results do not depend on whether frames are mapped,
    strided or read-only.
    """
    from napari_xfelsort.core.masks.plane_loops import take_windows
    from napari_xfelsort.core.masks.window_loops import fit_windows

    u, v = places
    shape = (len(frames), len(windows))
    values, used = np.empty((*shape, u.size), np.float32), np.empty(shape, np.int64)
    found = Fitted(
        values,
        np.empty(shape),
        np.zeros((*shape, 3), np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.int64),
    )
    take_windows(frames, offset, bad, windows, *window, values, used, found.bases)
    flat = values.reshape(-1, u.size)
    fit_windows(
        flat, used.ravel(), u, v, numbers,
        found.planes.reshape(-1, 3), found.scales.ravel(), found.inliers.ravel(),
    )  # fmt: skip
    return found


def in_threads(work: Callable[[slice], None], windows: NDArray[np.int64], workers: int) -> None:
    """Give each thread whole rows of windows; no two write to the same pixel."""
    if workers <= 1:
        work(slice(0, len(windows)))
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, rows_of(windows, workers)):
            pass


def rows_of(windows: NDArray[np.int64], parts: int, first: int = 0) -> Iterator[slice]:
    """At most so many parts of windows, of whole rows; the first window has a number."""
    starts = np.flatnonzero(np.diff(windows[:, 2], prepend=-1)).tolist()
    bounds = [*starts, len(windows)]
    for rows in np.array_split(np.arange(len(starts)), min(parts, len(starts))):
        yield slice(first + bounds[rows[0]], first + bounds[rows[-1] + 1])
