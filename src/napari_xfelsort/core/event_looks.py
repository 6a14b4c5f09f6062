"""What events look like in a few numbers each, and orders in which like follows like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.features import (
    FeatureExtractor,
    FeatureSettings,
    FeatureTable,
    Progress,
    extract_stack,
)
from napari_xfelsort.core.region import Region, as_region
from napari_xfelsort.core.settings import Settings, setting

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Rows that are worked on at once, and rows that axes and groups are found with.
_CHUNK, _FIT_ROWS = 4096, 5000


@dataclass(frozen=True)
class SuggestSettings(Settings):
    """How events are described and chosen."""

    n_components: int = setting(
        20, "numbers that describe how an event looks", minimum=1, maximum=500
    )
    max_blocks: int = setting(
        2048, "most blocks of pixels that an event is averaged to", minimum=1, maximum=65536
    )
    memory: int = setting(
        256, "most memory for the averaged events", unit="MiB", minimum=1, maximum=65536
    )
    trees: int = setting(200, "trees of the quick model", minimum=1, maximum=10000)
    candidates: int = setting(
        20000, "most events that a proposal is chosen among", minimum=10, maximum=10**7
    )
    seed: int = setting(0, "seed of all that is random", minimum=0)


def describe_events(
    stack: EventStack,
    region: Region | str | None = None,
    settings: SuggestSettings | None = None,
    progress: Progress | None = None,
) -> FeatureTable:
    """A few numbers for each event of a run; reads the region once, memory is bounded.

    The region is averaged over blocks of pixels as small as memory allows. Each event is
    divided by the root of its mean square, then principal axes of all events are taken;
    beside them stand mean, spread and maximum of the blocks.

    Parameters
    ----------
    stack : EventStack
        The run.
    region : Region or str, optional
        The pixels to look at; the whole frame when omitted.
    settings : SuggestSettings, optional
        How.
    progress : callable, optional
        Called with events done and events in all.

    Returns
    -------
    FeatureTable
        ``matrix`` is float32, (events, numbers): the first axis and the statistics of unit
        spread, the other axes smaller; a row of NaN for an event that cannot be used,
        ``failed`` says why.

    Raises
    ------
    RegionError
        If the region cannot be resolved, or all of it is masked.
    """
    settings = settings or SuggestSettings()
    blocks = _block_extractor(stack, as_region(region), settings)
    table = extract_stack(stack, range(len(stack)), blocks, progress)
    return FeatureTable(describe(table.matrix, settings), table.failed)


def _block_extractor(
    stack: EventStack, region: Region, settings: SuggestSettings
) -> FeatureExtractor:
    """The finest blocks that fit the settings."""
    most = min(settings.max_blocks, settings.memory * 2**20 // (4 * len(stack)))
    side = 2
    while True:
        extractor = FeatureExtractor.for_region(
            FeatureSettings(bin=side),
            region,
            stack.raw_shape,
            stack.geometry,
            stack.mask,
            stack.photon_energy(0),
            stack.camera_length(0),
        )
        if extractor.n_features <= max(1, most) or side >= max(stack.raw_shape[-2:]):
            return extractor
        side *= 2


def describe(
    blocks: NDArray[np.float32], settings: SuggestSettings | None = None
) -> NDArray[np.float32]:
    """Principal axes and simple statistics of events, from their blocks of pixels.

    Parameters
    ----------
    blocks : ndarray of float32, shape (events, blocks)
        A row of NaN for an event without a usable value. Overwritten.
    settings : SuggestSettings, optional
        How many axes, and the seed.

    Returns
    -------
    ndarray of float32, shape (events, numbers)
    """
    settings = settings or SuggestSettings()
    usable = np.flatnonzero(np.isfinite(blocks).all(axis=1))
    statistics = np.full((len(blocks), 3), np.nan)
    for part in chunks(usable):
        rows = blocks[part].astype(np.float64)
        mean, spread, highest = rows.mean(axis=1), rows.std(axis=1), rows.max(axis=1)
        size = np.sqrt(np.square(rows).mean(axis=1))
        size[size == 0] = 1.0
        statistics[part] = np.column_stack([mean, spread / size, highest / size])
        blocks[part] = rows / size[:, np.newaxis]
    axes = _principal_axes(blocks, usable, settings)
    described = np.full((len(blocks), axes.n + 3), np.nan, np.float32)
    for part in chunks(usable):
        described[part, : axes.n] = axes.of(blocks[part])
    described[usable, axes.n :] = _standardised(statistics[usable])
    return described


class _Axes(NamedTuple):
    """Principal axes, the first of unit spread: subtract, divide, turn."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    turn: NDArray[np.float32]

    @property
    def n(self) -> int:
        return int(self.turn.shape[1])

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(((rows - self.mean) / self.scale) @ self.turn, np.float32)


def _principal_axes(
    blocks: NDArray[np.float32], usable: NDArray[np.int64], settings: SuggestSettings
) -> _Axes:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(settings.seed)
    if len(usable) > _FIT_ROWS:
        usable = np.sort(rng.choice(usable, _FIT_ROWS, replace=False))
    n = min(settings.n_components, blocks.shape[1], len(usable) - 1)
    if n < 1:
        none = np.zeros(blocks.shape[1], np.float32)
        return _Axes(none, none + 1, np.zeros((blocks.shape[1], 0), np.float32))
    rows = blocks[usable]
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    rows = (rows - mean) / scale
    pca = PCA(n, svd_solver="randomized", random_state=settings.seed).fit(rows)
    lengths = np.sqrt(pca.explained_variance_)
    real = lengths > 1e-6 * max(lengths[0], 1e-30)
    # Not whitened: axes that hold little but noise must not count as much in distances.
    turn = pca.components_[real].T / max(lengths[0], 1e-30)
    return _Axes(mean, scale, turn.astype(np.float32))


def _standardised(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(columns):
        return columns
    scale = columns.std(axis=0)
    scale[scale == 0] = 1.0
    return np.asarray((columns - columns.mean(axis=0)) / scale)


def chunks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows in parts that are worked on at once."""
    return [rows[k : k + _CHUNK] for k in range(0, len(rows), _CHUNK)]


# -- orders for looking through


def similar_to(described: NDArray[np.float32], i: int) -> NDArray[np.int64]:
    """All events, those most like event ``i`` first, itself at the head.

    Events that cannot be used (a row of NaN) come last, in their order; for such an event
    ``i`` nothing is like it, and the order is that of the run after it.
    """
    away = squared_distances(described, described[i])
    away[np.isnan(away)] = np.inf
    away[i] = -1.0
    return np.asarray(np.argsort(away, kind="stable"))


def similar_order(described: NDArray[np.float32], seed: int = 0) -> NDArray[np.int64]:
    """All events in an order in which neighbours look alike.

    Groups of similar events are visited one after the other, each time the nearest that
    is left, and the events of a group in the direction of travel. Events that cannot be
    used come last.
    """
    usable = np.flatnonzero(np.isfinite(described).all(axis=1))
    rest = np.setdiff1d(np.arange(len(described)), usable)
    if len(usable) < 3:
        return np.concatenate([usable, rest])
    rows = described[usable].astype(np.float64)
    labels, centres = groups_of(rows, int(np.clip(np.sqrt(len(usable)), 2, 200)), seed)
    route = _route(centres)
    order = []
    for k, group in enumerate(route):
        members = np.flatnonzero(labels == group)
        ahead = centres[route[min(k + 1, len(route) - 1)]] - centres[route[max(k - 1, 0)]]
        order.append(members[np.argsort(rows[members] @ ahead, kind="stable")])
    return np.concatenate([usable[np.concatenate(order)], rest])


def groups_of(
    rows: NDArray[Any], n: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of the group of each row, and the groups' middles; groups may be empty."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    some = rows if len(rows) <= _FIT_ROWS else rows[rng.choice(len(rows), _FIT_ROWS, False)]
    distinct = len(np.unique(some, axis=0))
    model = KMeans(min(n, distinct), n_init=1, random_state=seed).fit(some.astype(np.float64))
    labels = np.concatenate(
        [model.predict(rows[part].astype(np.float64)) for part in chunks(np.arange(len(rows)))]
    )
    return labels.astype(np.int64), model.cluster_centers_


def _route(points: NDArray[np.float64]) -> list[int]:
    """From an outermost point always to the nearest that was not visited."""
    here = int(squared_distances(points, points.mean(axis=0)).argmax())
    left = np.ones(len(points), bool)
    route = []
    while True:
        route.append(here)
        left[here] = False
        if not left.any():
            return route
        away = squared_distances(points, points[here])
        away[~left] = np.inf
        here = int(away.argmin())


def squared_distances(rows: NDArray[Any], row: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distance of each row to one."""
    difference = rows.astype(np.float64) - row
    return np.asarray(np.einsum("ij,ij->i", difference, difference))
