"""Where the events of a run lie among each other, as a map in two dimensions.

Principal components are the directions in which features vary most. A diffusion map
(R. Coifman & S. Lafon, Appl. Comput. Harmon. Anal. 21, 2006) follows the shape of the cloud
instead: near on it is what a random walk from event to event soon reaches. It is made of
some of the events, and the others are put in their places by Nyström's extension, so that
time and memory grow with the number of events, not with its square.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings, extract_stack

if TYPE_CHECKING:
    from napari_xfelsort.core.features import Progress
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

METHODS = ("pca", "diffusion")
#: Spreads from the median that a feature may be away: further out it is cut.
_FAR = 5.0
#: Components that distances of a diffusion map are measured in, events it is made of at
#: most, and the neighbour whose distance is the width of its kernel.
_COMPONENTS, _LANDMARKS, _NEIGHBOUR = 20, 1500, 10
#: Events that are put in their places at once.
_AT_ONCE = 4096


def run_features(
    stack: EventStack,
    settings: FeatureSettings | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Features of every event of a stack, for `embed_features`.

    Parameters
    ----------
    stack : EventStack
        With a geometry.
    settings : FeatureSettings, optional
        Which; scattering features when omitted.
    progress : callable, optional
        Called with events read and events in all; may raise to stop.

    Returns
    -------
    ndarray of float32, shape (events, features)
        Rows of NaN for events that cannot be read or have no good pixel.

    Raises
    ------
    RegionError
        If the geometry does not say where the pixels are.
    """
    which = settings or FeatureSettings(kinds=("scattering",))
    extractor = FeatureExtractor.for_stack(which, None, stack)
    return extract_stack(stack, np.arange(len(stack)), extractor, progress).matrix


def embed_features(features: NDArray[Any], method: str = "diffusion", *, seed: int = 0) -> Floats:
    """Two coordinates of each event, near where features are alike; no label is needed.

    Features are centred at their median and divided by their spread (1.4826 times the median
    absolute deviation; the standard deviation where that is 0), cut at five of it, and
    those that never change are left out.

    Parameters
    ----------
    features : ndarray, shape (events, features)
        Rows that are not finite get no place.
    method : str
        Of `METHODS`: ``pca`` or ``diffusion``.
    seed : int
        Of the events that a diffusion map of many is made of.

    Returns
    -------
    ndarray of float64, shape (events, 2)
        In units of the root mean square, the coordinate that says more first; NaN for
        events without features. Of each coordinate the largest value is positive, so that
        equal input gives equal pictures.

    Raises
    ------
    SettingsError
        If the method is unknown, or there are too few events with features that differ.
    """
    if method not in METHODS:
        raise SettingsError(f"The map {method!r} is not one of {', '.join(METHODS)}.")
    matrix = np.asarray(features, np.float64)
    if matrix.ndim != 2:
        raise SettingsError("Features of events are a table: a row an event.")
    known = np.asarray(np.isfinite(matrix).all(axis=1))
    scaled = _scaled(matrix[known])
    if len(scaled) < 4 or not scaled.shape[1]:
        raise SettingsError(
            "A map needs at least four events whose features are known and differ; there are "
            f"{len(scaled)}."
        )
    places = np.full((len(matrix), 2), np.nan)
    if method == "pca":
        places[known] = _principal(scaled, 2)
    else:
        places[known] = _diffusion(_principal(scaled, _COMPONENTS), seed)
    return _oriented(places, known)


def write_map(
    path: str | os.PathLike[str], stack: EventStack, places: Floats, overwrite: bool = False
) -> None:
    """Write coordinates as a table (CSV) with columns event, x and y; empty where unknown.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced, or cannot be written.
    """
    import csv
    import io

    from napari_xfelsort.core.atomic import write_text_atomic

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["event", "x", "y"])
    for i, place in enumerate(places.tolist()):
        writer.writerow([str(stack.event_id(i)), *("" if v != v else f"{v:.6g}" for v in place)])
    write_text_atomic(path, text.getvalue(), overwrite)


def _scaled(matrix: Floats) -> Floats:
    if not len(matrix):
        return matrix
    away = matrix - np.median(matrix, axis=0)
    spread = 1.4826 * np.median(np.abs(away), axis=0)
    spread = np.where(spread > 0, spread, matrix.std(axis=0))
    differs = spread > 1e-12 * np.abs(matrix).max(axis=0, initial=0.0)
    scaled = np.clip(away[:, differs] / spread[differs], -_FAR, _FAR)
    return np.asarray(scaled - scaled.mean(axis=0), np.float64)


def _principal(scaled: Floats, n: int) -> Floats:
    """Coordinates along the first principal components, at least two columns."""
    _, axes = np.linalg.eigh(scaled.T @ scaled)
    found = scaled @ axes[:, ::-1][:, :n]
    short = max(0, 2 - found.shape[1])
    return np.pad(found, ((0, 0), (0, short)))


def _diffusion(cloud: Floats, seed: int) -> Floats:
    """First two coordinates of a diffusion map with kernels as wide as the cloud is thin."""
    n = len(cloud)
    chosen = np.arange(n)
    if n > _LANDMARKS:
        chosen = np.sort(np.random.default_rng(seed).choice(n, _LANDMARKS, replace=False))
    marks = cloud[chosen]
    squares = _squares(marks, marks)
    near = min(_NEIGHBOUR, len(marks) - 1)
    width = np.sqrt(np.partition(squares, near, axis=1)[:, near])
    width = np.maximum(width, 1e-9 * max(float(width.max()), 1e-300))
    kernel = np.exp(-squares / (width[:, np.newaxis] * width))
    density = kernel.sum(axis=1)
    kernel /= density[:, np.newaxis] * density  # so that the crowd does not pull
    whole = np.sqrt(kernel.sum(axis=1))
    values, vectors = np.linalg.eigh(kernel / (whole[:, np.newaxis] * whole))
    values, vectors = values[-3:-1][::-1], vectors[:, -3:-1][:, ::-1]
    coordinates = vectors / whole[:, np.newaxis]
    if n == len(marks):
        return np.asarray(coordinates * values)
    found = np.empty((n, 2))
    for start in range(0, n, _AT_ONCE):
        part = cloud[start : start + _AT_ONCE]
        squares = _squares(part, marks)
        own = np.sqrt(np.partition(squares, near, axis=1)[:, near : near + 1])
        # The logarithms are shifted so that an event far from all has a nearest, too.
        power = -squares / (np.maximum(own, width.min()) * width)
        weight = np.exp(power - power.max(axis=1, keepdims=True)) / density
        found[start : start + len(part)] = weight @ coordinates / weight.sum(1, keepdims=True)
    return found


def _squares(a: Floats, b: Floats) -> Floats:
    """Squared distances, shape (len(a), len(b))."""
    found = (a * a).sum(axis=1)[:, np.newaxis] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(found, 0.0))


def _oriented(places: Floats, known: NDArray[np.bool_]) -> Floats:
    own = places[known]
    size = np.sqrt((own**2).mean(axis=0))
    own = own / np.where(size > 0, size, 1.0)
    largest = own[np.abs(own).argmax(axis=0), np.arange(2)]
    places[known] = own * np.where(largest < 0, -1.0, 1.0)
    return places
