"""Sizes of particles from radial power spectral densities.

Densities are compared with form factors of equally spaced diameters by the sum of their
absolute differences, both divided by their means (as spi_processing does; Assalauova et al.
2022); the lowest minima are then refined by least squares with the noise of counting, with
intensity and level free.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.spi.form_factors import mean_form_factor
from napari_xfelsort.core.spi.psd import FEWEST_PIXELS
from napari_xfelsort.core.spi.size_settings import SizeSettings

Floats = NDArray[np.float64]

#: Finer steps to one of the scan; minima that are refined; neighbours of a minimum.
_FINE, _STARTS, _ORDER = 4, 3, 5
#: What a form factor may be wrong by: particles are no spheres, and rings of one
#: orientation are no means of all.
_MODEL_ERROR = 0.05
#: Rings that a fit needs.
_FEWEST_RINGS = 8
#: Nodes and weights of the mean over what the width of rings and pixels smears.
_NODES = np.sqrt(0.6) * np.array([-1.0, 0.0, 1.0])
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18
#: Classical radius of the electron in nm.
_ELECTRON = 2.8179403262e-6


class Sizes(NamedTuple):
    """Sizes of some events, each of shape (events,); NaN where there is none.

    Attributes
    ----------
    diameter : ndarray
        Of a sphere of the same volume, in nm.
    uncertainty : ndarray
        Standard deviation of it, in nm.
    ambiguity : ndarray
        Cost of the second-best size divided by that of the best: 1 where they are as good,
        infinite where there is no other. Above 1 the best one is sure.
    cost : ndarray
        Mean absolute difference from the form factor, both of mean 1: 0 is a perfect fit.
    chi2 : ndarray
        Of the refined fit, divided by its degrees of freedom.
    significance : ndarray
        Of there being a particle at all: square root of what chi square is more without it.
    intensity : ndarray
        Photons a pixel at q = 0, without the level.
    level : ndarray
        Photons a pixel besides the particle.
    photons : ndarray
        Photons in the good pixels without the level, as if all were in the middle.
    """

    diameter: Floats
    uncertainty: Floats
    ambiguity: Floats
    cost: Floats
    chi2: Floats
    significance: Floats
    intensity: Floats
    level: Floats
    photons: Floats

    @classmethod
    def none(cls, n: int) -> Sizes:
        """Sizes of events that have none."""
        return cls(*(np.full(n, np.nan) for _ in cls._fields))


class Sizer:
    """Finds sizes from densities on one set of rings.

    Parameters
    ----------
    q : ndarray, shape (rings,)
        In 1/nm.
    pixels : ndarray of int, shape (rings,)
        Pixels of each ring; rings of fewer than four are not used.
    step : float
        Width of a ring in 1/nm.
    settings : SizeSettings, optional
        How.

    Attributes
    ----------
    diameters : ndarray
        Those of the scan in nm.
    used : ndarray of int
        Rings that are used.

    Raises
    ------
    RegionError
        If too few rings are left.
    """

    def __init__(
        self,
        q: Floats,
        pixels: NDArray[np.integer[Any]],
        step: float,
        settings: SizeSettings | None = None,
    ) -> None:
        self.settings = settings = settings or SizeSettings()
        good = pixels >= FEWEST_PIXELS
        good &= (q >= settings.q_min) & (q <= (settings.q_max or math.inf))
        good[np.flatnonzero(good)[: settings.skip]] = False
        self.used = np.flatnonzero(good)
        if len(self.used) < _FEWEST_RINGS:
            raise RegionError(
                f"{len(self.used)} rings are left to find sizes from, but {_FEWEST_RINGS} are "
                "needed; let more of q be used."
            )
        self.q = q[self.used]
        self.step = step
        self.diameters = np.linspace(settings.smallest, settings.largest, settings.steps)
        fine = (settings.steps - 1) * _FINE + 1
        self._fine = np.linspace(settings.smallest, settings.largest, fine)
        self._models = self.form_factors(self._fine)
        self._coarse = self._models[::_FINE].astype(np.float32)

    def form_factors(self, diameters: Any) -> Floats:
        """Form factors in the rings used, 1 at q = 0; shape (diameters, rings).

        Means over what rings and pixels are wide, taken as one uniform width.
        """
        settings = self.settings
        radius = np.asarray(diameters, np.float64)[:, np.newaxis] / 2
        half = self.step / math.sqrt(2)
        total = np.zeros((len(radius), len(self.q)))
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            x = np.abs(self.q + half * node) * radius
            total += weight * mean_form_factor(
                x, settings.shape, settings.core, settings.core_density
            )
        return total

    def costs(self, psd: Floats) -> NDArray[np.float32]:
        """Cost of every diameter of the scan; shape (events, steps).

        Parameters
        ----------
        psd : ndarray, shape (events, rings)
            NaN where masked.
        """
        return self._scan(psd[:, self.used])

    def _scan(self, measured: Floats) -> NDArray[np.float32]:
        from napari_xfelsort.core.spi import size_loops

        there = np.isfinite(measured)
        n = np.maximum(there.sum(axis=1), 1)
        y = np.where(there, measured, 0.0)
        mean = y.sum(axis=1) / n
        y /= np.where(mean > 0, mean, np.inf)[:, np.newaxis]
        shown = there.astype(np.float32)
        sums = shown @ self._coarse.T
        scale = n[:, np.newaxis].astype(np.float32) / np.maximum(sums, np.float32(1e-30))
        out = np.empty((len(y), len(self.diameters)), np.float32)
        size_loops.scan(y.astype(np.float32), shown, self._coarse, scale, out)
        out /= n[:, np.newaxis].astype(np.float32)
        return out

    def sizes(self, psd: Floats, pixels: Any, per_photon: float = 1.0) -> Sizes:
        """Sizes of some events.

        Parameters
        ----------
        psd : ndarray, shape (events, rings)
            Values a pixel; NaN where masked.
        pixels : ndarray, shape (events, rings) or (rings,)
            Good pixels.
        per_photon : float
            What a photon counts in ``psd``.
        """
        from napari_xfelsort.core.spi import size_loops

        y = psd[:, self.used] / per_photon
        n_pixels = np.broadcast_to(pixels, psd.shape)[:, self.used].astype(np.float64)
        y[n_pixels < FEWEST_PIXELS] = np.nan
        there = np.isfinite(y)
        usable = (there.sum(axis=1) >= _FEWEST_RINGS) & (np.where(there, y, 0).sum(axis=1) > 0)
        found = Sizes.none(len(y))
        if not usable.any():
            return found
        y, there = y[usable], there[usable]
        n_pixels = np.where(there, n_pixels[usable], 0.0)
        costs = self._scan(y)
        starts, best, ambiguity = _minima(costs)
        y = np.where(there, y, 0.0)
        out = np.zeros((len(y), 7))
        fine = np.where(starts < 0, -1, starts * _FINE)
        size_loops.refine(y, n_pixels, self._models, fine, _MODEL_ERROR, self.settings.level, out)
        place, curve, intensity, level, chi, rings, without = out.T
        step = self._fine[1] - self._fine[0]
        chi2 = chi / np.maximum(rings - (4 if self.settings.level else 3), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = step * np.sqrt(2 / curve * np.maximum(chi2, 1.0))
        spread[~(curve > 0)] = np.inf
        all_pixels = np.broadcast_to(pixels, psd.shape)[usable]
        light = np.where(np.isfinite(psd[usable]), psd[usable] / per_photon, 0.0)
        photons = ((light - level[:, np.newaxis]) * all_pixels).sum(axis=1)
        values = (
            *(self._fine[0] + step * place, spread, ambiguity, best, chi2),
            *(np.sqrt(np.maximum(without - chi, 0)), intensity, level, photons),
        )
        for column, value in zip(found, values, strict=True):
            column[usable] = value
        return found

    def fluence(self, sizes: Sizes, solid_angle: float) -> Floats:
        """Photons/um^2 on the particles, by their intensity and size.

        Parameters
        ----------
        sizes : Sizes
            Of `sizes`.
        solid_angle : float
            Of a pixel in the middle, in steradian.
        """
        electrons = self.settings.electron_density * np.pi / 6 * sizes.diameter**3
        with np.errstate(divide="ignore", invalid="ignore"):
            per_nm = sizes.intensity / ((_ELECTRON * electrons) ** 2 * solid_angle)
        return np.asarray(per_nm * 1e6)


def _minima(
    costs: NDArray[np.float32],
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Places of the lowest local minima (-1: no more), lowest cost, and ambiguity."""
    steps = costs.shape[1]
    low = np.ones(costs.shape, bool)
    for shift in range(1, _ORDER + 1):
        low[:, shift:] &= costs[:, shift:] <= costs[:, :-shift]
        low[:, :-shift] &= costs[:, :-shift] < costs[:, shift:]
    ranked = np.where(low, costs, np.float32(np.inf))
    k = min(_STARTS, steps)
    chosen = np.argpartition(ranked, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(ranked, chosen, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1).astype(np.int64)
    values = np.take_along_axis(values, order, axis=1).astype(np.float64)
    chosen[~np.isfinite(values)] = -1
    best = values[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ambiguity = np.where(best > 0, values[:, 1] / best, np.inf)
    return chosen, best, ambiguity
