"""What scatters besides the crystal, drawn anew for every event: jet, gas, ice, streak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.scattering import IceRings, gaussian, log_uniform
from napari_xfelsort.core.simulate.sfx.curves import (
    ELECTRON_RADIUS,
    GAS_DENSITY,
    WATER_DENSITY,
    WATER_F,
    gas,
    water,
)
from napari_xfelsort.core.simulate.sfx.diffraction import Pulse, Reflections, polarised
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings

#: Steps of the curves in 1 - cos(2 theta) over a detector.
_STEPS = 8192

#: Scattering of water at its crest in electrons squared a molecule.
CREST = max(WATER_F) ** 2


@dataclass(frozen=True, eq=False)
class Background:
    """What scatters in one event.

    Attributes
    ----------
    jet, path : float
        Thickness of water and path in the gas, in m.
    gas : str
        One of `curves.GASES`.
    ice : IceRings or None
        Rings of ice; contrast is over water's crest.
    texture : tuple of float
        The rings are multiplied by 1 + t[0] cos(2 phi) + t[1] sin(2 phi).
    streaks : ndarray, shape (n, 5)
        Cosine and sine of the direction, width and fall in tan(2 theta), strength beside
        the beam over water's crest.
    """

    jet: float
    path: float
    gas: str
    ice: IceRings | None
    texture: tuple[float, float]
    streaks: NDArray[np.float64]

    def crest(self, pulse: Pulse) -> float:
        """Photons per steradian that the water scatters at its crest."""
        return pulse.photons * WATER_DENSITY * self.jet * ELECTRON_RADIUS**2 * CREST

    def smooth(self, q: NDArray[np.float64], pulse: Pulse) -> NDArray[np.float64]:
        """Photons per steradian of water and gas against 1/d (1/angstrom)."""
        unit = pulse.photons * ELECTRON_RADIUS**2
        total = unit * WATER_DENSITY * self.jet * water(q)
        return np.asarray(total + unit * GAS_DENSITY * self.path * gas(self.gas, q))

    def rings(self, q: NDArray[np.float64], pulse: Pulse) -> NDArray[np.float64]:
        """Photons per steradian of ice that lies in rings, against 1/d (1/angstrom)."""
        total = np.zeros(q.shape)
        if self.ice is not None and self.ice.texture != "spotty":
            for spacing, contrast in self.ice.rings():
                total += contrast * gaussian(q, 1.0 / spacing, self.ice.width)
        return np.asarray(total * self.crest(pulse))

    def scatter(
        self, light: NDArray[np.float32], panels: DetectorPanels, clen: float, pulse: Pulse
    ) -> None:
        """Add all but spots to expected photons (flat raw frame), before obstacles."""
        from napari_xfelsort.core.simulate.sfx.pixel_loops import add_scattering

        w_max = panels.w_max(clen)
        step = w_max / (_STEPS - 2)
        q = np.sqrt(2.0 * step * np.arange(_STEPS)) / pulse.wavelength
        tables = np.stack([self.smooth(q, pulse), self.rings(q, pulse)]).astype(np.float32)
        streaks = self.streaks.copy()
        streaks[:, 4] *= self.crest(pulse)
        for panel in panels.panels:
            add_scattering(
                light,
                panel.layout,
                panel.at(clen),
                tables,
                step,
                pulse.polarisation,
                np.array(self.texture),
                streaks,
            )

    def ice_spots(self, pulse: Pulse) -> Reflections:
        """Spots of coarse ice; their photons are those of the rings they replace."""
        rays, photons, q = [np.empty((0, 3))], [np.empty(0)], [np.empty(0)]
        if self.ice is not None and self.ice.texture == "spotty":
            random = np.random.default_rng(self.ice.seed)
            for spacing, contrast in self.ice.rings():
                sin_theta = 0.5 * pulse.wavelength / spacing
                if sin_theta >= 1.0:
                    continue
                two_theta = 2.0 * np.arcsin(sin_theta)
                number = int(random.integers(5, 40))
                # The ring's photons: 2 pi sin(2 theta) times its width in 2 theta.
                width = self.ice.width * pulse.wavelength / np.cos(0.5 * two_theta)
                ring = 2.0 * np.pi * np.sin(two_theta) * width * np.sqrt(2.0 * np.pi)
                shares = random.gamma(0.5, 1.0, number)
                shares *= contrast * ring * self.crest(pulse) / max(shares.sum(), 1e-9)
                phi = random.uniform(0.0, 2.0 * np.pi, number)
                angle = two_theta + random.normal(0.0, 0.3 * width, number)
                sin = np.sin(angle)
                ray = np.column_stack([sin * np.cos(phi), sin * np.sin(phi), np.cos(angle)])
                rays.append(ray / pulse.wavelength)
                photons.append(shares * polarised(ray, pulse.polarisation))
                q.append(np.full(number, 1.0 / spacing))
        ray = np.concatenate(rays)
        # Coarse crystals: a fifth of a milliradian each way.
        spread = np.broadcast_to((2e-4 / pulse.wavelength) ** 2 * np.eye(3), (len(ray), 3, 3))
        none = np.zeros((len(ray), 3), np.int64)
        return Reflections(
            none, np.concatenate(q), np.zeros(len(ray)), np.concatenate(photons), ray, spread
        )


def draw_background(
    random: np.random.Generator, settings: SfxSimulationSettings, pulse: Pulse
) -> Background:
    """The background of an event; it does not depend on whether there is a crystal."""
    jet, path = _between(random, settings.jet), _between(random, settings.air)
    ice, texture = None, (0.0, 0.0)
    if random.random() < settings.ice_share:
        ice = IceRings.draw(random, *(max(v, 1e-6) for v in settings.ice_contrast))
        if ice.texture == "textured":
            angle = random.uniform(0.0, 2.0 * np.pi)
            depth = random.uniform(0.2, 0.95)
            texture = float(depth * np.cos(angle)), float(depth * np.sin(angle))
    streaks = np.empty((0, 5))
    if random.random() < settings.streak_share:
        # Jets run down; what they reflect lies across them, a few degrees off.
        angle = random.normal(0.0, 0.15)
        strength = _between(random, settings.streak_strength)
        streaks = np.array(
            [
                [
                    np.cos(angle),
                    np.sin(angle),
                    log_uniform(random, 0.5e-3, 4e-3),
                    log_uniform(random, 0.01, 0.08),
                    strength,
                ]
            ]
        )
    return Background(1e-6 * jet, 1e-3 * path, settings.gas, ice, texture, streaks)


def _between(random: np.random.Generator, limits: tuple[float, ...]) -> float:
    low, high = limits
    return log_uniform(random, low, high) if low > 0.0 else float(random.uniform(low, high))
