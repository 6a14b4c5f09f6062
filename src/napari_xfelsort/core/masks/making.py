"""Bad-pixel masks from dark and bright frames: the robust mask maker of Sadri et al. 2022.

A. Sadri et al., J. Appl. Cryst. 55 (2022) 1549-1561, with two λ instead of one, and with
rules for what its features miss: pixels that never change, and those that flicker only in
the light. Frames are read in blocks and not kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.masks.robust import (
    LEAST_PIXELS,
    RobustSettings,
    SignalToNoise,
    fit_background,
    fit_values,
)
from napari_xfelsort.core.masks.settings import MaskReason, MaskSettings
from napari_xfelsort.core.masks.temporal import TemporalStatistics

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Part of a raw frame with two dimensions: a panel, or a module.
Tile = tuple[int | slice, ...]
#: Fewer frames than this have no spread worth judging.
_FEW_FRAMES = 5


class Feature(NamedTuple):
    """A feature of every pixel, and how far from the others it is.

    Attributes
    ----------
    values : ndarray of float, raw shape
        The feature; NaN where it is not known.
    ratio : ndarray of float, raw shape
        Scales away from what its neighbours have; NaN where that is not known.
    """

    values: NDArray[np.float64]
    ratio: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MadeMask(PixelMask):
    """A mask with what it was made of; its reasons are `MaskReason`.

    Attributes
    ----------
    features : dict of str to Feature
        ``offset``, ``noise``, ``bright``, ``flicker``, ``gain_level_0`` ...
    dark_frames : ndarray of bool, shape (frames,)
        The dark frames that were used (F1).
    settings : MaskSettings
        How it was made.
    separation : ndarray of float, raw shape, optional
        The λ from which gain stages overlap; NaN where not known.
    """

    features: dict[str, Feature] = field(default_factory=dict)
    dark_frames: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    settings: MaskSettings = field(default_factory=MaskSettings)
    separation: NDArray[np.float64] | None = None

    def count(self, reason: MaskReason) -> int:
        """Pixels that are bad for this reason (and perhaps others)."""
        return int(np.count_nonzero(self.reasons & np.uint8(reason)))

    def with_lambda(self, mask_lambda: float) -> MadeMask:
        """The mask that the same frames give with another λ of the mask; none is read.

        Raises
        ------
        SettingsError
            If λ is out of range.
        """
        settings = dataclasses.replace(self.settings, mask_lambda=mask_lambda)
        kept = MaskReason.DEAD | MaskReason.GIVEN
        reach = self.separation
        reasons = self.reasons & np.uint8(kept)
        for name, feature in self.features.items():
            away = feature.ratio if name in ONE_SIDED else np.abs(feature.ratio)
            reasons[away > mask_lambda] |= np.uint8(reason_of(name))
        if reach is not None:
            reasons[reach < mask_lambda] |= np.uint8(MaskReason.GAIN_SEPARATION)
        return dataclasses.replace(self, reasons=reasons, settings=settings)


#: Only what is far above the others is bad.
ONE_SIDED = ("flicker",)


def reason_of(feature: str) -> MaskReason:
    """Why a pixel is bad that is far off in this feature of a `MadeMask`."""
    return _REASONS[feature.rstrip("_0123456789")]


_REASONS = {
    "offset": MaskReason.OFFSET,
    "noise": MaskReason.NOISE,
    "bright": MaskReason.BRIGHT,
    "flicker": MaskReason.FLICKER,
    "gain_level": MaskReason.GAIN_LEVEL,
}

#: Gives the frames again, in blocks: shape (frames, ...raw shape).
Blocks = Callable[[], Iterator[NDArray[Any]]]


def tiles_of(raw_shape: Sequence[int], geometry: Geometry | None = None) -> list[Tile]:
    """The parts of a frame in which neighbours are alike: panels, else whole modules.

    Raises
    ------
    SettingsError
        If a frame has fewer than two dimensions.
    """
    shape = tuple(raw_shape)
    if len(shape) < 2:
        raise SettingsError(f"A mask needs frames with at least two dimensions, not {shape}.")
    if geometry is not None:
        return [panel.raw_index for panel in geometry.panels.values()]
    return [(*place, slice(None), slice(None)) for place in np.ndindex(*shape[:-2])]


class MaskMaker:
    """Makes the mask of a detector from frames that are given in blocks.

    Parameters
    ----------
    raw_shape : tuple of int
        Of a frame.
    settings : MaskSettings, optional
        How.
    geometry : Geometry, optional
        Its panels are looked at one by one; without one, the last two axes are a module.
    bad : ndarray of bool, raw shape, optional
        Pixels that are bad anyway; they are not looked at.
    workers : int
        Threads; the mask does not depend on it.
    """

    def __init__(
        self,
        raw_shape: Sequence[int],
        settings: MaskSettings | None = None,
        geometry: Geometry | None = None,
        bad: NDArray[np.bool_] | None = None,
        workers: int = 1,
    ) -> None:
        self.settings = settings or MaskSettings()
        self.raw_shape = tuple(raw_shape)
        self._tiles = tiles_of(raw_shape, geometry)
        self._workers = workers
        self._given = np.zeros(self.raw_shape, bool)
        if bad is not None:
            if bad.shape != self.raw_shape:
                raise SettingsError(f"The mask is of {bad.shape}, frames are of {raw_shape}.")
            self._given |= bad
        self._mask_edges()
        self._saturated = np.zeros(self.raw_shape, bool)
        self._reasons = np.zeros(self.raw_shape, np.uint8)
        self._features: dict[str, Feature] = {}
        self._separation = np.full(self.raw_shape, np.nan)
        self._offset: NDArray[np.float64] | None = None
        self._dark_frames = np.zeros(0, bool)

    # -- dark frames -------------------------------------------------------------------

    def dark(self, blocks: Blocks) -> None:
        """Look at dark frames: F1, F2, F3 and dead pixels.

        Frames whose mean is off (F1) are taken out again; only then are blocks asked for
        a second time.

        Raises
        ------
        SettingsError
            If there are no frames, or they have another shape.
        """
        statistics = [TemporalStatistics(self._given[tile].shape) for tile in self._tiles]
        means: list[NDArray[np.float64]] = []
        for frames in self._checked(blocks()):
            means.append(self._frame_means(frames))
            self._each(lambda k, f=frames: statistics[k].add(self._part(f, k)))  # type: ignore[misc]
            self._note_saturated(frames)
        if not means:
            raise SettingsError("There are no dark frames.")
        self._dark_frames = self._usable_frames(np.concatenate(means))
        if not self._dark_frames.all():
            self._take_out(blocks, statistics)
        self._judge_dark(statistics)

    def _frame_means(self, frames: NDArray[Any]) -> NDArray[np.float64]:
        """F1: robust mean of each frame, without bad pixels."""
        good = ~self._given
        rows = frames.reshape(len(frames), -1) if good.all() else frames[:, good]
        return fit_values(rows, settings=self.settings.robust).mean

    def _usable_frames(self, means: NDArray[np.float64]) -> NDArray[np.bool_]:
        found = fit_values(means, settings=self.settings.robust)
        if not found.inliers or not found.scale > 0:
            return np.isfinite(means)
        return np.abs(means - found.mean) <= self.settings.frame_lambda * found.scale

    def _take_out(self, blocks: Blocks, statistics: list[TemporalStatistics]) -> None:
        """Begin again without the frames that are off."""
        for k, tile in enumerate(self._tiles):
            statistics[k] = TemporalStatistics(self._given[tile].shape)
        start = 0
        for frames in self._checked(blocks()):
            keep = self._dark_frames[start : start + len(frames)]
            start += len(frames)
            used = frames if keep.all() else frames[keep]
            self._each(lambda k, f=used: statistics[k].add(self._part(f, k)))  # type: ignore[misc]

    def _judge_dark(self, statistics: list[TemporalStatistics]) -> None:
        offset, noise = self._feature("offset"), self._feature("noise")
        self._offset = offset.values

        def judge(k: int) -> None:
            tile, found = self._tiles[k], statistics[k]
            offset.values[tile], noise.values[tile] = found.mean, found.std
            dead = np.isnan(found.mean)
            if self.settings.dead and found.n_frames >= _FEW_FRAMES:
                still = found.std == 0
                # Most pixels of a photon counter never change in the dark.
                if 2 * np.count_nonzero(still) < still.size:
                    dead |= still
            self._mark(tile, dead & ~self._given[tile], MaskReason.DEAD)
            hidden = self._given[tile] | dead
            self._judge_window(offset, tile, hidden, MaskReason.OFFSET)
            if found.n_frames >= _FEW_FRAMES:
                self._judge_window(noise, tile, hidden, MaskReason.NOISE)

        self._each(judge)

    def _judge_window(
        self, feature: Feature, tile: Tile, hidden: NDArray[np.bool_], reason: MaskReason
    ) -> None:
        """Outliers from the planes of windows."""
        values = feature.values[tile]
        side = self.settings.window
        if min(values.shape[0], side) * min(values.shape[1], side) < LEAST_PIXELS:
            return
        plane = fit_background(values, hidden, (side, side), self.settings.robust)
        ratio = _ratio(values, plane.level, plane.scale)
        ratio[hidden] = np.nan
        feature.ratio[tile] = ratio
        self._mark(tile, self._is_out(ratio), reason)

    # -- bright frames -----------------------------------------------------------------

    def bright(self, blocks: Blocks) -> None:
        """Look at bright frames: F6, and pixels that flicker in the light.

        After `dark`, whose offsets are taken away.

        Raises
        ------
        SettingsError
            If there are no frames, they have another shape, or panels are too small.
        """
        side = self.settings.bright_window
        robust = RobustSettings(**{**self.settings.robust.to_dict(), "all_starts": False})
        offset = self._offset
        hidden = self._given | (self._reasons & np.uint8(MaskReason.DEAD) != 0)
        ratios = [
            SignalToNoise(
                self._given[tile].shape,
                None if offset is None else offset[tile],
                hidden[tile],
                (side, side),
                robust,
            )
            for tile in self._tiles
        ]
        n = 0
        for frames in self._checked(blocks()):
            self._each(lambda k, f=frames: ratios[k].add(self._part(f, k)))  # type: ignore[misc]
            self._note_saturated(frames)
            n += len(frames)
        if not n:
            raise SettingsError("There are no bright frames.")
        self._judge_bright(ratios, n)

    def _judge_bright(self, ratios: list[SignalToNoise], n_frames: int) -> None:
        bright, flicker = self._feature("bright"), self._feature("flicker")

        def judge(k: int) -> None:
            tile = self._tiles[k]
            bright.values[tile] = ratios[k].mean
            self._judge_all(bright, tile)
            self._mark(tile, self._is_out(bright.ratio[tile]), MaskReason.BRIGHT)
            if self.settings.flicker and n_frames >= _FEW_FRAMES:
                flicker.values[tile] = ratios[k].spread
                self._judge_all(flicker, tile)
                wild = flicker.ratio[tile] > self.settings.mask_lambda
                self._mark(tile, wild, MaskReason.FLICKER)

        self._each(judge)

    def _judge_all(self, feature: Feature, tile: Tile) -> None:
        """How far each pixel is from all others of its tile."""
        values = feature.values[tile]
        found = fit_values(values.ravel(), settings=self.settings.robust)
        if found.inliers:
            feature.ratio[tile] = _ratio(values, found.mean, found.scale)

    # -- gain stages -------------------------------------------------------------------

    def gain(self, stages: Sequence[Blocks]) -> None:
        """Look at the gain indicators of each stage, lowest values first: F4 and F5.

        Raises
        ------
        SettingsError
            If there are no frames of a stage, or they have another shape.
        """
        before: TemporalStatistics | None = None
        for number, blocks in enumerate(stages):
            found = TemporalStatistics(self.raw_shape)
            for frames in self._checked(blocks()):
                found.add(frames)
            if not found.n_frames:
                raise SettingsError(f"There are no frames of gain stage {number}.")
            level = self._feature(f"gain_level_{number}")
            level.values[...] = found.mean
            for tile in self._tiles:
                self._judge_all(level, tile)
                level.ratio[tile][self._given[tile]] = np.nan
                out = self._is_out(level.ratio[tile])
                self._mark(tile, out, MaskReason.GAIN_LEVEL)
            if before is not None:
                reach = self.settings.mask_lambda
                apart = _ratio(found.mean, before.mean, before.std + found.std)
                apart[self._given] = np.nan
                self._separation = np.fmin(self._separation, apart)
                self._mark((...,), apart < reach, MaskReason.GAIN_SEPARATION)
            before = found

    # -- the result --------------------------------------------------------------------

    def mask(self) -> MadeMask:
        """The mask of all that was looked at."""
        reasons = self._reasons.copy()
        reasons[self._given | self._saturated] |= np.uint8(MaskReason.GIVEN)
        return MadeMask(
            reasons, dict(self._features), self._dark_frames, self.settings, self._separation
        )

    # -- helpers -----------------------------------------------------------------------

    def _feature(self, name: str) -> Feature:
        unknown = np.full(self.raw_shape, np.nan)
        return self._features.setdefault(name, Feature(unknown, unknown.copy()))

    def _is_out(self, ratio: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(np.abs(ratio) > self.settings.mask_lambda)

    def _mark(self, tile: Any, where: NDArray[np.bool_], reason: MaskReason) -> None:
        self._reasons[tile] |= np.where(where, np.uint8(reason), np.uint8(0))

    def _mask_edges(self) -> None:
        edge = self.settings.edge
        if edge:
            for tile in self._tiles:
                inner = np.ones(self._given[tile].shape, bool)
                inner[edge:-edge, edge:-edge] = False
                self._given[tile] |= inner

    def _note_saturated(self, frames: NDArray[Any]) -> None:
        if self.settings.saturation is not None:
            self._saturated |= (frames > self.settings.saturation).any(axis=0)

    def _part(self, frames: NDArray[Any], k: int) -> NDArray[Any]:
        return frames[(slice(None), *self._tiles[k])]

    def _checked(self, blocks: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for frames in blocks:
            if frames.shape[1:] != self.raw_shape:
                raise SettingsError(
                    f"Frames of {self.raw_shape} were expected, not of {frames.shape[1:]}."
                )
            if len(frames):
                yield frames

    def _each(self, work: Callable[[int], None]) -> None:
        """Do it for every tile; tiles share no pixels."""
        if self._workers <= 1 or len(self._tiles) == 1:
            for k in range(len(self._tiles)):
                work(k)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(work, range(len(self._tiles))))


def _ratio(
    values: NDArray[np.float64], level: NDArray[np.float64] | Any, scale: NDArray[np.float64] | Any
) -> NDArray[np.float64]:
    """Distance in scales; infinite off a level without any scale, 0 on it."""
    away = values - level
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(away == 0, 0.0, away / scale), np.float64)
