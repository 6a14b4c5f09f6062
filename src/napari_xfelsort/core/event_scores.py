"""A number for each event of a run: what a rule puts a range on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.block_reader import BlockReader
from napari_xfelsort.core.errors import SettingsError, XfelsortError
from napari_xfelsort.core.features import Progress, block_events, without_bad
from napari_xfelsort.core.region import Region, ResolvedRegion, as_region
from napari_xfelsort.core.settings import Settings, setting

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventBlock, EventStack

#: Scores that need no pixels.
STORED = ("peaks", "metadata")
_STORED_BLOCK = 256
#: What `stack.metadata` does not tell under its name.
_HEADER = ("photon_energy", "camera_length")


@dataclass(frozen=True)
class ScoreSettings(Settings):
    """What number a rule looks at."""

    kind: str = setting(
        "peaks",
        "number of stored peaks, mean or percentile of a region, number of its pixels above a "
        "value, or a number stored with the event",
        choices=("peaks", "mean", "percentile", "saturated", "metadata"),
    )
    percentile: float = setting(50.0, "which percentile", unit="%", minimum=0, maximum=100)
    saturation: float = setting(16000.0, "a pixel above this is saturated", unit="ADU")
    column: str = setting(
        "", "name of the stored number: photon_energy (eV), camera_length (m) or of the metadata"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "metadata" and not self.column:
            raise SettingsError("A rule on metadata needs the name of a column.")

    def __str__(self) -> str:
        texts = {
            "percentile": f"percentile {self.percentile:g}",
            "saturated": f"pixels above {self.saturation:g}",
            "metadata": self.column,
        }
        return texts.get(self.kind, self.kind)


class EventScores(NamedTuple):
    """A number for each event.

    Attributes
    ----------
    values : ndarray of float64, shape (events,)
        NaN where an event has none.
    failed : dict of int to str
        Why, by position in the stack.
    """

    values: NDArray[np.float64]
    failed: dict[int, str]


def event_scores(
    stack: EventStack,
    settings: ScoreSettings,
    region: Region | str | None = None,
    progress: Progress | None = None,
) -> EventScores:
    """The number that a rule looks at, of every event; memory does not grow with the run.

    Masked pixels are left out. For saturated pixels these are only those that are bad in
    every event: a value that a file or geometry flags as too high is to be counted.

    Parameters
    ----------
    stack : EventStack
        The run.
    settings : ScoreSettings
        What number.
    region : Region or str, optional
        Pixels to look at, the whole frame when omitted; not used for stored numbers.
    progress : callable, optional
        Called with events done and events in all; may raise to stop.

    Raises
    ------
    RegionError
        If the region cannot be resolved, or all of it is masked.
    """
    values = np.full(len(stack), np.nan)
    failed: dict[int, str] = {}
    size, score = _STORED_BLOCK, _stored(stack, settings)
    if settings.kind not in STORED:
        pixels = _resolved(stack, as_region(region))
        size = block_events(pixels.window, stack.dtype.itemsize)
        score = _of_pixels(stack, settings, pixels)
    done = 0
    for block in stack.blocks(size):
        found, problems = score(block)
        values[block.positions] = found
        failed.update((int(block.positions[k]), text) for k, text in problems.items())
        done += len(block.positions)
        if progress is not None:
            progress(done, len(stack))
    return EventScores(values, failed)


#: Scores of a block, and why its events (by number in the block) have none.
_Scorer = Callable[["EventBlock"], tuple[NDArray[np.float64], dict[int, str]]]


def _resolved(stack: EventStack, region: Region) -> ResolvedRegion:
    pixels = region.resolve(
        stack.raw_shape, stack.geometry, stack.photon_energy(0), stack.camera_length(0)
    )
    return without_bad(pixels, stack.mask, region)


def _stored(stack: EventStack, settings: ScoreSettings) -> _Scorer:
    def score(block: EventBlock) -> tuple[NDArray[np.float64], dict[int, str]]:
        found = np.full(len(block.positions), np.nan)
        problems: dict[int, str] = {}
        for k, i in enumerate(block.positions.tolist()):
            try:
                found[k] = _stored_number(stack, i, settings)
            except (XfelsortError, OSError) as error:
                problems[k] = str(error)
            else:
                if math.isnan(found[k]):
                    what = "peaks" if settings.kind == "peaks" else f"number {settings.column!r}"
                    problems[k] = f"No {what} stored with {stack.event_id(i)}."
        return found, problems

    return score


def _stored_number(stack: EventStack, i: int, settings: ScoreSettings) -> float:
    if settings.kind == "peaks":
        peaks = stack.peaks(i)
        return math.nan if peaks is None else float(len(peaks.fs))
    if settings.column in _HEADER:
        return float(getattr(stack, settings.column)(i))
    value = stack.metadata(i).get(settings.column, math.nan)
    try:
        return float(value)
    except (TypeError, ValueError):  # a text, or several numbers
        return math.nan


def metadata_columns(stack: EventStack) -> tuple[str, ...]:
    """Names of the numbers stored with the first event that a rule can look at."""
    found = [name for name in _HEADER if not math.isnan(getattr(stack, name)(0))]
    for name in sorted(stack.metadata(0)):
        if not math.isnan(_stored_number(stack, 0, ScoreSettings(kind="metadata", column=name))):
            found.append(name)
    return tuple(dict.fromkeys(found))


def _of_pixels(stack: EventStack, settings: ScoreSettings, pixels: ResolvedRegion) -> _Scorer:
    reader = BlockReader(stack, pixels)
    inside = np.ones(pixels.shape, bool) if pixels.inside is None else pixels.inside

    def score(block: EventBlock) -> tuple[NDArray[np.float64], dict[int, str]]:
        read = reader.read(block)
        problems = dict(read.failed)
        values = read.frames[:, inside]
        if settings.kind == "saturated":
            found = (values > settings.saturation).sum(axis=1).astype(np.float64)
        else:
            good = None if read.bad is None else ~read.bad[:, inside]
            if values.dtype.kind == "f":
                finite = np.isfinite(values)
                good = finite if good is None else good & finite
            found = _statistic(values, good, settings)
        for k in np.flatnonzero(np.isnan(found)).tolist():
            problems.setdefault(k, "All pixels of the region are bad in this event.")
        found[list(read.failed)] = np.nan
        return found, problems

    return score


def _statistic(
    values: NDArray[Any], good: NDArray[np.bool_] | None, settings: ScoreSettings
) -> NDArray[np.float64]:
    """Mean or percentile of the good values of each row; NaN where there is none."""
    if good is not None and good.all():
        good = None
    if settings.kind == "mean":
        if good is None:
            return np.asarray(values.mean(axis=1, dtype=np.float64))
        sums = np.where(good, values, 0).sum(axis=1, dtype=np.float64)
        counts = good.sum(axis=1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    if good is None:
        return np.asarray(np.percentile(values, settings.percentile, axis=1), np.float64)
    return np.array(
        [
            np.percentile(row[use], settings.percentile) if use.any() else np.nan
            for row, use in zip(values, good, strict=True)
        ],
        np.float64,
    )


class ScoreSides(NamedTuple):
    """Which events are in a range of a score, which are not, and which have no score.

    Attributes
    ----------
    inside, outside, without : ndarray of bool, shape (events,)
    """

    inside: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    without: NDArray[np.bool_]


def score_sides(
    values: NDArray[np.float64], low: float = -math.inf, high: float = math.inf
) -> ScoreSides:
    """On which side of a range each event is; both ends belong to it."""
    inside, without = (values >= low) & (values <= high), np.isnan(values)
    return ScoreSides(inside, ~inside & ~without, without)


def score_histogram(
    values: NDArray[np.float64], bins: int = 100
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Histogram of scores, NaN left out.

    Returns
    -------
    counts : ndarray of int, shape (n,)
    edges : ndarray of float, shape (n + 1,)
        Of whole numbers that are few enough, each has a bin with itself in the middle.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(1, np.int64), np.array([0.0, 1.0])
    low, high = float(known.min()), float(known.max())
    if (known == np.rint(known)).all() and high - low < bins:
        edges = np.arange(low - 0.5, high + 1.0)
    elif low == high:
        edges = np.array([low - 0.5, high + 0.5])
    else:
        edges = np.linspace(low, high, bins + 1)
    counts, edges = np.histogram(known, edges)
    return counts.astype(np.int64), np.asarray(edges)
