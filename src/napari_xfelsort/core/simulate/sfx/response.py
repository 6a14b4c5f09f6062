"""From photons to what a detector stores: gain, noise, bad pixels, wrong gain switching."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.scattering import log_uniform
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings

#: Planted defects: what ``truth/defects`` holds.
DEFECTS = {"dead": 1, "hot": 2, "hot_unmasked": 3}

#: Bits of the mask, as Cheetah defines them.
HOT, DEAD, BAD, MISSING = 4, 8, 128, 512

#: Most photons expected in a pixel, beyond what any detector counts.
_MOST = np.float32(1e15)

#: Mean photons of hot pixels, from and to.
_HEAT = (2.0, 3000.0)


class DetectorResponse:
    """A detector's pixels; the same for every event of a run.

    Attributes
    ----------
    defects : ndarray of uint8, raw shape
        0 good, else a value of `DEFECTS`.
    mask : ndarray of uint16, raw shape
        0 good; bits of Cheetah.
    gain : ndarray of float32 or None, raw shape
        Relative gain, None when it is 1 everywhere.
    """

    def __init__(self, panels: DetectorPanels, settings: SfxSimulationSettings) -> None:
        self.settings = settings
        random = np.random.default_rng((settings.seed, settings.run, 1))
        shape = panels.raw_shape
        active = panels.active.ravel()
        self.gain: NDArray[np.float32] | None = None
        if settings.gain_spread > 0.0:
            spread = np.clip(random.standard_normal(shape, np.float32), -3.0, 3.0)
            self.gain = 1.0 + np.float32(settings.gain_spread) * spread
        defects = np.zeros(active.size, np.uint8)
        for _ in range(settings.dead_lines):
            panel = panels.panels[random.integers(len(panels.panels))]
            start, down, along, height, width = panel.layout
            first = start + along * random.integers(width)
            defects[first : first + down * height : down] = DEFECTS["dead"]
        usable = np.flatnonzero(active)
        for name, number in (
            ("dead", round(settings.dead_pixels * len(usable))),
            ("hot", round(settings.hot_pixels * len(usable))),
            ("hot_unmasked", settings.unmasked_hot),
        ):
            chosen = random.choice(usable, min(number, len(usable)), replace=False)
            defects[chosen] = DEFECTS[name]
        self.defects = defects.reshape(shape)
        mask = np.where(active, 0, MISSING).astype(np.uint16)
        mask[defects == DEFECTS["dead"]] = DEAD
        mask[defects == DEFECTS["hot"]] = HOT
        static = panels.geometry.static_mask()
        if static is not None:
            mask[static.bad.ravel()] |= BAD
        self.mask = mask.reshape(shape)
        self._hot = np.flatnonzero((defects == DEFECTS["hot"]) | (defects == 3))
        self._heat = _HEAT[0] * (_HEAT[1] / _HEAT[0]) ** random.random(len(self._hot))

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Pixels that show no spot: no panel, masked, dead or hot; flat."""
        return np.asarray((self.mask != 0) | (self.defects != 0)).ravel()

    def store(
        self, light: NDArray[np.float32], random: np.random.Generator, switched: bool
    ) -> tuple[NDArray[Any], dict[str, float]]:
        """Draw photons and give what is stored, with the truth of the artefact.

        Parameters
        ----------
        light : ndarray of float32, raw shape
            Expected photons.
        switched : bool
            Whether gain switching goes wrong: pixels above a level are lowered.
        """
        settings = self.settings
        photons = random.poisson(np.minimum(light, _MOST))
        flat = photons.reshape(-1)
        flat[self._hot] += random.poisson(self._heat)
        flat[self.defects.ravel() == DEFECTS["dead"]] = 0
        truth = {"threshold": float("nan"), "drop": float("nan"), "n_switched": 0.0}
        plain = settings.adu_per_photon == 1.0 and settings.read_noise == 0.0
        if plain and self.gain is None and not switched:
            return _stored(photons, settings.dtype), truth
        values = photons.astype(np.float32)
        if self.gain is not None:
            values *= self.gain
        values *= np.float32(settings.adu_per_photon)
        if settings.read_noise > 0.0:
            values += np.float32(settings.read_noise) * random.standard_normal(
                values.shape, np.float32
            )
        if switched:
            # A level that the brightest hundredth of the pixels is near.
            crest = max(float(np.quantile(light, 0.99)), 1.0) * settings.adu_per_photon
            level = crest * random.uniform(0.55, 0.95)
            drop = crest * log_uniform(random, 0.1, 0.5)
            above = values > level
            values[above] -= np.float32(drop)
            truth = {"threshold": level, "drop": drop, "n_switched": float(above.sum())}
        values[(self.mask & MISSING) != 0] = 0.0
        return _stored(values, settings.dtype), truth


def _stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "float32":
        return np.asarray(values, np.float32)
    limits = np.iinfo(dtype)
    # A whole number that a 32-bit float holds too.
    top = limits.max if limits.bits < 32 else 2**31 - 128
    if values.dtype.kind == "f":
        values = np.rint(values)
    return np.asarray(np.clip(values, limits.min, top), dtype)
