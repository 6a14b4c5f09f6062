"""How a mask is made: modules are looked at one by one or together, and put into one mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.frames import Frames
from napari_xfelsort.core.masks.look import ModuleLook
from napari_xfelsort.core.masks.made import (
    ONE_SIDED,
    Feature,
    MadeMask,
    MaskGroups,
    judge,
    place_of,
    reason_of,
)
from napari_xfelsort.core.masks.modules import Module, Tile, Unit, tiles_of
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings, MaskSource

__all__ = [
    "ONE_SIDED", "Collector", "Feature", "Found", "Inputs", "Look", "MadeMask", "Tile",
    "look_at", "ordinary_sample", "reason_of", "tiles_of",
]  # fmt: skip

#: Bytes of the frames of ordinary runs that are held at once.
_SAMPLE_BYTES = 1024**3


@dataclass(frozen=True)
class Inputs:
    """The frames that a mask is made from."""

    dark: Frames | None = None
    bright: Frames | None = None
    gain: tuple[Frames, ...] = ()
    ordinary: Frames | None = None

    def with_ordinary(self, frames: Frames) -> Inputs:
        """With other ordinary frames."""
        return replace(self, ordinary=frames)

    def given(self) -> list[Frames]:
        """Those that there are."""
        every = (self.dark, *self.gain, self.bright, self.ordinary)
        return [frames for frames in every if frames is not None]


@dataclass(frozen=True)
class Look:
    """A piece of the work, done without any other: some modules, and frames of a group.

    Attributes
    ----------
    unit : Unit
        The modules, which are read together.
    inputs : Inputs
        The frames.
    settings : MaskSettings
        How.
    hidden : ndarray of bool, shape of the unit's window
        Pixels that are not looked at.
    group : int
        Number of the group of frames.
    shadow : ndarray of bool, shape of the unit's window, optional
        Pixels that are not looked at in the light.
    """

    unit: Unit
    inputs: Inputs
    settings: MaskSettings
    hidden: NDArray[np.bool_]
    group: int = 0
    shadow: NDArray[np.bool_] | None = None


class Found(NamedTuple):
    """What was found in a module; see `ModuleLook`."""

    module: Module
    features: dict[str, Feature]
    dead: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    separation: NDArray[np.float32]
    dark_frames: NDArray[np.bool_]


def look_at(
    look: Look, workers: int = 1, seen: Callable[[int], None] | None = None
) -> Iterator[list[Found]]:
    """Do a piece of work; gives what is known after each kind of frames, in the end all.

    Parameters
    ----------
    look : Look
        What.
    workers : int
        Threads.
    seen : callable, optional
        Called with the number of frames that were read for the first time.

    Raises
    ------
    SettingsError
        If panels are too small for the windows.
    """
    inputs = look.inputs
    with ThreadPoolExecutor(max(1, workers)) as pool:
        team = _Team(look, pool if workers > 1 else None, workers, seen)
        if inputs.dark is not None:
            team.feed(inputs.dark, ModuleLook.add_dark)
            again = [k for k, one in enumerate(team.looks) if one.leave_frames_out()]
            if again:
                team.feed(inputs.dark, ModuleLook.add_used, again)
            team.each(lambda k: team.looks[k].judge_dark())
            yield team.found()
        for number, stage in enumerate(inputs.gain):
            team.feed(stage, ModuleLook.add_gain)
            for one in team.looks:
                one.judge_gain(number)
        if inputs.bright is not None:
            team.feed(inputs.bright, ModuleLook.add_bright)
            n_bright = len(inputs.bright)
            team.each(lambda k: team.looks[k].judge_bright(n_bright))
            yield team.found()
        if inputs.ordinary is not None:
            team.feed_at_once(inputs.ordinary)
        yield team.found()


class _Team:
    """The looks at all modules of a unit, each a thread's work at a time."""

    def __init__(
        self,
        look: Look,
        pool: ThreadPoolExecutor | None,
        workers: int,
        seen: Callable[[int], None] | None,
    ) -> None:
        self._unit, self._pool, self._seen = look.unit, pool, seen
        modules = look.unit.modules
        self._places = [look.unit.within(module) for module in modules]
        self.looks = [
            ModuleLook(
                module.shape,
                list(module.tiles.values()),
                look.settings,
                np.ascontiguousarray(look.hidden[place[1:]]),
                None if look.shadow is None else look.shadow[place[1:]],
                max(1, workers // len(modules)),
            )
            for module, place in zip(modules, self._places, strict=True)
        ]

    def each(self, work: Callable[[int], None], some: Sequence[int] | None = None) -> None:
        """Do it for all modules, or some; modules share no pixels."""
        numbers = range(len(self.looks)) if some is None else some
        if self._pool is None or len(numbers) == 1:
            for k in numbers:
                work(k)
        else:
            list(self._pool.map(work, numbers))

    def feed(
        self,
        frames: Frames,
        take: Callable[[ModuleLook, NDArray[Any]], None],
        again: Sequence[int] | None = None,
    ) -> None:
        """Give all modules their frames; or some, once more."""
        for block in frames.blocks(self._unit.window):
            self.each(lambda k, b=block: take(self.looks[k], b[self._places[k]]), again)  # type: ignore[misc]
            if self._seen is not None and again is None:
                self._seen(len(block))

    def feed_at_once(self, frames: Frames) -> None:
        """Give all modules their ordinary frames."""
        sample = np.concatenate(list(frames.blocks(self._unit.window)))
        self.each(lambda k: self.looks[k].judge_ordinary(sample[self._places[k]]))
        if self._seen is not None:
            self._seen(len(sample))

    def found(self) -> list[Found]:
        """What is known by now."""
        return [
            Found(
                module, dict(one.features), one.dead, one.saturated, one.separation,
                one.dark_frames,
            )
            for module, one in zip(self._unit.modules, self.looks, strict=True)
        ]  # fmt: skip


def ordinary_sample(frames: Frames, units: Sequence[Unit], wanted: int) -> Frames:
    """As many frames of ordinary runs as are wanted, or fit into memory; evenly spread."""
    pixels = max(int(np.prod([w.stop - w.start for w in unit.window])) for unit in units)
    # Read, and sorted beside it.
    most = _SAMPLE_BYTES // max(1, 2 * pixels * frames.itemsize)
    return frames.sample(max(20, min(wanted, most)))


class Collector:
    """Puts what was found in modules and groups of frames into one mask.

    Parameters
    ----------
    raw_shape : tuple of int
        Of a frame.
    settings : MaskSettings
        How it is made.
    sources : ndarray of uint8, raw shape
        Bits of `MaskSource` of pixels that were not looked at.
    n_dark, n_ordinary : int
        Frames.
    groups : ndarray of int64, optional
        Labels of the groups.
    per_group : bool
        Keep the mask of each group.
    """

    def __init__(
        self,
        raw_shape: tuple[int, ...],
        settings: MaskSettings,
        sources: NDArray[np.uint8],
        n_dark: int = 0,
        n_ordinary: int = 0,
        groups: NDArray[np.int64] | None = None,
        per_group: bool = False,
    ) -> None:
        self._shape, self._settings = raw_shape, settings
        self._sources = sources.copy()
        self._n_ordinary = n_ordinary
        self._features: dict[str, Feature] = {}
        self._dead = np.zeros(raw_shape, bool)
        self._separation = np.full(raw_shape, np.nan, np.float32)
        self._dark_frames = np.ones(n_dark, bool)
        self._groups: MaskGroups | None = None
        if groups is not None:
            kept = np.zeros((len(groups), *raw_shape), np.uint8) if per_group else None
            counts = np.zeros(raw_shape, np.uint16)
            self._groups = MaskGroups(groups, np.zeros(len(groups), np.int64), counts, kept)

    def put(self, look: Look, found: Sequence[Found]) -> None:
        """Take what is known of the modules of a look; a later one of the same knows more."""
        for each in found:
            place = each.module.place
            for name, feature in each.features.items():
                self._put_feature(name, feature, place)
            self._dead[place] |= each.dead
            self._separation[place] = np.fmin(self._separation[place], each.separation)
            if each.saturated.any():
                self._sources[place] |= np.where(
                    each.saturated, np.uint8(MaskSource.SATURATED), np.uint8(0)
                )
            if look.inputs.dark is not None and len(each.dark_frames):
                self._dark_frames[look.inputs.dark.positions] &= each.dark_frames

    def put_group(self, look: Look, found: Sequence[Found]) -> None:
        """Count what is bad in one group of frames; once for each look, at its end."""
        if self._groups is None:
            return
        for each in found:
            place = each.module.place
            reasons = np.where(each.dead, np.uint8(MaskReason.DEAD), np.uint8(0))
            judge(reasons, each.features, each.separation, self._settings.mask_lambda)
            self._groups.n_bad[look.group] += np.count_nonzero(reasons)
            self._groups.counts[place] += (reasons != 0).astype(np.uint16)
            if self._groups.reasons is not None:
                given = (self._sources[place] != 0) | each.saturated
                reasons |= np.where(given, np.uint8(MaskReason.GIVEN), np.uint8(0))
                self._groups.reasons[look.group][place] = reasons

    def mask(self) -> MadeMask:
        """The mask of all that was put in until now."""
        reasons = np.where(self._dead, np.uint8(MaskReason.DEAD), np.uint8(0))
        reasons[self._sources != 0] |= np.uint8(MaskReason.GIVEN)
        features = {
            name: Feature(*(part.copy() for part in self._features[name]))
            for name in sorted(self._features, key=place_of)
        }
        separation = self._separation.copy()
        judge(reasons, features, separation, self._settings.mask_lambda)
        return MadeMask(
            reasons, features, self._dark_frames.copy(), self._settings, separation,
            self._sources.copy(), self._n_ordinary, self._groups,
        )  # fmt: skip

    def _put_feature(self, name: str, feature: Feature, place: Tile) -> None:
        """Each pixel keeps the worst of its groups."""
        if name not in self._features:
            unknown = np.full(self._shape, np.nan, np.float32)
            self._features[name] = Feature(unknown, unknown.copy())
        values, ratio = (part[place] for part in self._features[name])
        old, new = ratio, feature.ratio
        if name not in ONE_SIDED:
            old, new = np.abs(ratio), np.abs(new)
        with np.errstate(invalid="ignore"):
            worse = (new > old) | np.isnan(old)
        values[worse] = feature.values[worse]
        ratio[worse] = feature.ratio[worse]
