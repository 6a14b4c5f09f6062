"""`ModuleLook`: what frames tell of the pixels of one module.

The robust mask maker of A. Sadri et al., J. Appl. Cryst. 55 (2022) 1549-1561, with rules for
what its features miss: pixels that never change, and those that flicker only in the light.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.made import Feature, in_scales
from napari_xfelsort.core.masks.modules import Tile
from napari_xfelsort.core.masks.robust import (
    LEAST_PIXELS,
    RobustSettings,
    SignalToNoise,
    fit_background,
    fit_values,
)
from napari_xfelsort.core.masks.settings import MaskSettings
from napari_xfelsort.core.masks.temporal import TemporalStatistics

#: Fewer frames than this have no spread worth judging.
FEW_FRAMES = 5
#: A pixel should change in so many frames before one that does not is dead: e^-15 by chance.
_LEAST_CHANGES = 15
#: Share of the least, and of the largest, values of a pixel that ordinary runs leave out.
_TRIMMED = 0.1
#: Deviation of a Gaussian without them, in its own.
_TRIMMED_SPREAD = 0.6616


class ModuleLook:
    """Looks at the frames of a module, given in blocks of shape (frames, ss, fs).

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    tiles : sequence of index expressions
        Its panels.
    settings : MaskSettings
        How.
    hidden : ndarray of bool
        Pixels that are bad anyway; they are not looked at.
    shadow : ndarray of bool, optional
        Pixels without light: they are not looked at in the light.
    workers : int
        Threads; results do not depend on it.

    Attributes
    ----------
    features : dict of str to Feature
        As in a `MadeMask`.
    dead, saturated : ndarray of bool
        Pixels that never change, or are never finite; those above the saturation.
    separation : ndarray of float32
        The λ from which gain stages overlap; NaN where not known.
    dark_frames : ndarray of bool, shape (frames,)
        Dark frames whose mean is not off (F1).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        tiles: list[Tile],
        settings: MaskSettings,
        hidden: NDArray[np.bool_],
        shadow: NDArray[np.bool_] | None = None,
        workers: int = 1,
    ) -> None:
        self._shape, self._tiles, self._settings = shape, tiles, settings
        self._hidden, self._workers = hidden, workers
        self._unlit = hidden if shadow is None else hidden | shadow
        self.features: dict[str, Feature] = {}
        self.dead, self.saturated = np.zeros(shape, bool), np.zeros(shape, bool)
        self.separation = np.full(shape, np.nan, np.float32)
        self.dark_frames = np.zeros(0, bool)
        self._offset: NDArray[np.float64] | None = None
        self._statistics = TemporalStatistics(shape)
        self._means: list[NDArray[np.float64]] = []
        self._ratios: list[SignalToNoise] = []
        self._stage: TemporalStatistics | None = None
        self._stage_before: TemporalStatistics | None = None
        self._seen = 0

    # -- dark frames -------------------------------------------------------------------

    def add_dark(self, frames: NDArray[Any]) -> None:
        """Look at dark frames."""
        good = ~self._hidden
        rows = frames.reshape(len(frames), -1) if good.all() else frames[:, good]
        self._means.append(fit_values(rows, settings=self._settings.robust).mean)
        self._statistics.add(frames)
        self._note_saturated(frames)

    def leave_frames_out(self) -> bool:
        """F1: find frames whose mean is off; whether all must be given again to `add_used`."""
        means = np.concatenate(self._means)
        found = fit_values(means, settings=self._settings.robust)
        self.dark_frames = np.isfinite(means) | bool(self._hidden.all())
        if found.inliers and found.scale > 0:
            reach = self._settings.frame_lambda * found.scale
            self.dark_frames = np.abs(means - found.mean) <= reach
        if self.dark_frames.all():
            return False
        self._statistics, self._seen = TemporalStatistics(self._shape), 0
        return True

    def add_used(self, frames: NDArray[Any]) -> None:
        """The dark frames once more; those that are off are left out now."""
        keep = self.dark_frames[self._seen : self._seen + len(frames)]
        self._seen += len(frames)
        self._statistics.add(frames if keep.all() else frames[keep])

    def judge_dark(self) -> None:
        """F2, F3 and dead pixels."""
        found = self._statistics
        self._offset = found.mean
        self.dead |= np.isnan(found.mean) & ~self._hidden
        spread = found.std
        if self._settings.dead and found.n_frames >= FEW_FRAMES:
            self._find_dead(spread == 0)
        self._judge_windows("offset", found.mean, self._settings.window, self._hidden)
        if found.n_frames >= FEW_FRAMES:
            self._judge_windows("noise", spread, self._settings.window, self._hidden)
        else:
            self._feature("noise").values[...] = spread
        self._statistics = TemporalStatistics(self._shape)

    def _find_dead(self, still: NDArray[np.bool_]) -> None:
        """Pixels that never change, in panels where most others do."""
        for tile in self._tiles:
            # Most pixels of a photon counter never change in the dark.
            if 2 * np.count_nonzero(still[tile]) < still[tile].size:
                self.dead[tile] |= still[tile] & ~self._hidden[tile]

    def _should_change(self, changes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Pixels whose neighbours change so often that none stays as it is by chance.

        ``changes``: frames in which each pixel is not at its least value.
        """
        from scipy.ndimage import uniform_filter

        expected = np.zeros(self._shape)
        for tile in self._tiles:
            alive = changes[tile] > 0
            if not alive.any():
                continue
            side = self._settings.bright_window
            share = uniform_filter(alive.astype(np.float64), side)
            mean = uniform_filter(changes[tile].astype(np.float64), side)
            usual = float(np.median(changes[tile][alive]))
            few = share < 0.5 / side**2  # nobody around changes: a dead region
            expected[tile] = np.where(few, usual, mean / np.where(few, 1, share))
        return np.asarray(expected >= _LEAST_CHANGES)

    def _judge_windows(
        self,
        name: str,
        values: NDArray[np.float64],
        side: int,
        hidden: NDArray[np.bool_],
        floor: float = 0.0,
    ) -> None:
        """Outliers from the planes of windows."""
        feature, hidden = self._feature(name), hidden | self.dead
        feature.values[...] = values
        for tile in self._tiles:
            part = values[tile]
            if min(part.shape[0], side) * min(part.shape[1], side) < LEAST_PIXELS:
                continue
            plane = fit_background(
                part, hidden[tile], (side, side), self._robust(floor), self._workers
            )
            feature.ratio[tile] = in_scales(part, plane.level, plane.scale)
        feature.ratio[hidden] = np.nan

    # -- bright frames -----------------------------------------------------------------

    def add_bright(self, frames: NDArray[Any]) -> None:
        """Look at bright frames; the offsets of dark ones that were judged are taken away."""
        if not self._ratios:
            robust, side = self._robust(all_starts=False), self._settings.bright_window
            hidden, offset = self._unlit | self.dead, self._offset
            for tile in self._tiles:
                dark = None if offset is None else offset[tile]
                shape = self._hidden[tile].shape
                self._ratios.append(
                    SignalToNoise(shape, dark, hidden[tile], (side, side), robust, self._workers)
                )
        for tile, ratios in zip(self._tiles, self._ratios, strict=True):
            ratios.add(frames[(slice(None), *tile)])
        self._note_saturated(frames)

    def judge_bright(self, n_frames: int) -> None:
        """F6, and pixels that flicker in the light."""
        self._judge_all("bright", [ratios.mean for ratios in self._ratios])
        if self._settings.flicker and n_frames >= FEW_FRAMES:
            self._judge_all("flicker", [ratios.spread for ratios in self._ratios])

    def _judge_all(self, name: str, values: list[NDArray[np.float64]]) -> None:
        """How far each pixel is from all others of its panel."""
        feature = self._feature(name)
        for tile, part in zip(self._tiles, values, strict=True):
            feature.values[tile] = part
            found = fit_values(part.ravel(), settings=self._settings.robust)
            if found.inliers:
                feature.ratio[tile] = in_scales(part, found.mean, found.scale)

    # -- ordinary frames ---------------------------------------------------------------

    def judge_ordinary(self, frames: NDArray[Any]) -> None:
        """A sample of ordinary frames: dead, off, and unusually or hardly changing pixels.

        Of each pixel the least and the largest tenth of its values are left out, so that
        Bragg peaks do not count that come in fewer frames.
        """
        ordered = np.sort(frames, axis=0)  # NaN comes last
        known = len(frames)
        if frames.dtype.kind == "f":
            finite = np.isfinite(frames).all(axis=0)
            self.dead |= ~np.isfinite(frames).any(axis=0) & ~self._hidden
        else:
            finite = np.ones(self._shape, bool)
        if self._settings.dead and known >= FEW_FRAMES:
            still = finite & (ordered[0] == ordered[-1])
            self._find_dead(still & self._should_change(np.sum(frames != ordered[0], axis=0)))
        saturation = self._settings.saturation
        if saturation is not None:
            self.saturated |= ordered[known // 2] > saturation
        cut = int(_TRIMMED * known)
        middle = ordered[cut : known - cut]
        level = middle.mean(axis=0, dtype=np.float64)
        spread = middle.std(axis=0, ddof=1, dtype=np.float64) / _TRIMMED_SPREAD
        level[~finite], spread[~finite] = np.nan, np.nan
        level = level if self._offset is None else level - self._offset
        side, unlit = self._settings.bright_window, self._unlit
        usual = float(np.nanmedian(spread)) if finite.any() else 0.0
        self._judge_windows("ordinary", level, side, unlit, usual / np.sqrt(known))
        if known >= FEW_FRAMES:
            floor = usual / np.sqrt(2 * known)
            self._judge_windows("ordinary_spread", spread, side, unlit, floor)

    # -- gain stages -------------------------------------------------------------------

    def add_gain(self, frames: NDArray[Any]) -> None:
        """Look at the gain indicators of a stage."""
        self._stage = self._stage or TemporalStatistics(self._shape)
        self._stage.add(frames)

    def judge_gain(self, number: int) -> None:
        """F5 of the stage whose frames were added, and F4 against the one before it."""
        found, before = self._stage, self._stage_before
        if found is None:
            return
        name, mean = f"gain_level_{number}", found.mean
        self._judge_all(name, [mean[tile] for tile in self._tiles])
        self.features[name].ratio[self._hidden] = np.nan
        if before is not None:
            apart = in_scales(mean, before.mean, before.std + found.std)
            apart[self._hidden] = np.nan
            self.separation = np.fmin(self.separation, apart)
        self._stage_before, self._stage = found, None

    # -- helpers -----------------------------------------------------------------------

    def _feature(self, name: str) -> Feature:
        unknown = np.full(self._shape, np.nan, np.float32)
        return self.features.setdefault(name, Feature(unknown, unknown.copy()))

    def _robust(self, floor: float = 0.0, all_starts: bool = True) -> RobustSettings:
        chosen = self._settings.robust.to_dict()
        chosen |= {"floor": max(floor, self._settings.floor), "all_starts": all_starts}
        return RobustSettings(**chosen)

    def _note_saturated(self, frames: NDArray[Any]) -> None:
        if self._settings.saturation is not None:
            self.saturated |= (frames > self._settings.saturation).any(axis=0)
