"""The events of a simulated run, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.simulate.bragg import random_rotation
from napari_xfelsort.core.simulate.frames import HC
from napari_xfelsort.core.simulate.scattering import log_uniform
from napari_xfelsort.core.simulate.sfx.background import Background, draw_background
from napari_xfelsort.core.simulate.sfx.builtin import eiger_geometry
from napari_xfelsort.core.simulate.sfx.cell import direct_axes, reciprocal_axes
from napari_xfelsort.core.simulate.sfx.diffraction import (
    Crystal,
    Pulse,
    Reflections,
    diffract,
)
from napari_xfelsort.core.simulate.sfx.intensities import (
    Intensities,
    WilsonIntensities,
    list_intensities,
)
from napari_xfelsort.core.simulate.sfx.obstacles import passes
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels
from napari_xfelsort.core.simulate.sfx.response import DetectorResponse
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings

#: One spot of the truth. ``frame`` is the event; ``fs`` and ``ss`` are in the raw frame,
#: pixel centres at integers, its leading axes below one another.
SPOT = np.dtype(
    [
        ("frame", "i8"),
        ("fs", "f8"),
        ("ss", "f8"),
        ("photons", "f8"),
        ("photons_visible", "f8"),
        ("peak_pixel", "f8"),
        ("background", "f8"),
        ("significance", "f8"),
        ("panel", "i4"),
        ("h", "i4"),
        ("k", "i4"),
        ("l", "i4"),
        ("excitation", "f8"),
        ("resolution", "f8"),
    ]
)

#: A spot can be found when it is more significant than this.
FINDABLE = 6.0

#: Spots that a hit has at least that can be found.
HIT_SPOTS = 3

#: Expected photons of the weakest spot that is told, and significance of the faintest
#: that reaches onto a panel from beside it.
_WEAKEST, _FAINT = 0.02, 1.0

_DEGREE = np.pi / 180.0


@dataclass(frozen=True, eq=False)
class EventPlan:
    """What each event of a run is to be; arrays over events.

    Attributes
    ----------
    crystal, switched : ndarray of bool
        Whether there is a crystal, and whether gain switching goes wrong.
    level : ndarray of int
        Number of the flux among the settings'.
    photon_energy, camera_length : ndarray of float
        In eV (the beam's, before jitter) and m.
    """

    crystal: NDArray[np.bool_]
    switched: NDArray[np.bool_]
    level: NDArray[np.int64]
    photon_energy: NDArray[np.float64]
    camera_length: NDArray[np.float64]


def plan_events(settings: SfxSimulationSettings) -> EventPlan:
    """Crystals, levels, energies and lengths: each as often as asked, in independent orders."""
    random = np.random.default_rng((settings.seed, settings.run, 0))
    n = settings.n_events

    def share(part: float) -> NDArray[np.bool_]:
        return np.asarray(random.permutation(n) < round(part * n))

    def turns(number: int) -> NDArray[np.int64]:
        return np.asarray(random.permutation(n) % number)

    def values(given: tuple[float, ...]) -> NDArray[np.float64]:
        if settings.continuous:
            return np.asarray(random.uniform(min(given), max(given), n))
        return np.asarray(given, np.float64)[turns(len(given))]

    crystal, switched = share(settings.hit_share), share(settings.switch_share)
    level = turns(len(settings.flux))
    energy, length = values(settings.photon_energy), values(settings.camera_length)
    return EventPlan(crystal, switched, level, energy, 1e-3 * length)


@dataclass(frozen=True, eq=False)
class SfxEvent:
    """One simulated event and its truth.

    Attributes
    ----------
    frame : ndarray, raw shape
        As the detector stores it.
    expected : ndarray of float32, raw shape
        Photons without noise and bad pixels.
    spots, ice_spots : ndarray of `SPOT`
        Spots of the crystal whose middle is on a panel, and of crystals of ice.
    edge_spots : ndarray of `SPOT`
        Spots of the crystal that reach onto a panel from beside it; fs and ss are those
        of the nearest pixel.
    pulse : Pulse
        The X-rays.
    crystal : Crystal or None
        None in a blank.
    camera_length : float
        In m, to the panel nearest the beam axis.
    label : int
        1 hit, 0 blank, -1 a crystal with too few spots that can be found.
    background_mean : float
        Photons a usable pixel without the crystal.
    background : Background
        What scatters besides the crystal.
    artefact : dict
        ``threshold``, ``drop`` (ADU), ``n_switched``.
    """

    frame: NDArray[Any]
    expected: NDArray[np.float32]
    spots: NDArray[Any]
    ice_spots: NDArray[Any]
    edge_spots: NDArray[Any]
    pulse: Pulse
    crystal: Crystal | None
    camera_length: float
    label: int
    background_mean: float
    background: Background
    artefact: dict[str, float]

    @property
    def n_findable(self) -> int:
        """Spots of the crystal that can be found."""
        return int((self.spots["significance"] > FINDABLE).sum())


class SfxMaker:
    """Makes the events of a run; event ``i`` depends on the settings and ``i`` alone.

    Parameters
    ----------
    settings : SfxSimulationSettings
        What to simulate.
    geometry : Geometry, optional
        Instead of the one that the settings name.

    Raises
    ------
    GeometryError
        If the geometry cannot be read.
    UnreadableFileError
        If the reflection list cannot be read.
    """

    def __init__(self, settings: SfxSimulationSettings, geometry: Geometry | None = None) -> None:
        self.settings = settings
        if geometry is None and settings.geometry:
            geometry = Geometry.from_crystfel(settings.geometry)
        self.panels = DetectorPanels(geometry or eiger_geometry(settings.binning))
        self.plan = plan_events(settings)
        self.response = DetectorResponse(self.panels, settings)
        self.passes, self.obstacles = passes(self.panels, settings)
        self.intensities: Intensities
        if settings.structure_factors:
            self.intensities = list_intensities(
                settings.structure_factors,
                settings.cell,
                settings.point_group,
                settings.intensity_scale,
            )
        else:
            volume = abs(float(np.linalg.det(direct_axes(settings.cell))))
            self.intensities = WilsonIntensities(volume, settings.point_group, settings.seed)
        self._hidden = self.response.hidden

    def event(self, i: int) -> SfxEvent:
        """Event ``i`` of the run."""
        settings, plan = self.settings, self.plan
        random = np.random.default_rng((settings.seed, settings.run, 3, i))
        pulse = self._pulse(i, random)
        length = float(plan.camera_length[i])
        clen = self.panels.clen(length)
        # The crystal's numbers come last, so that blanks and hits have like backgrounds.
        background = draw_background(random, settings, pulse)
        light = np.zeros(self.panels.size, np.float32)
        background.scatter(light, self.panels, clen, pulse)
        smear = min(background.jet, pulse.diameter) ** 2 / 12.0
        ice, _ = self._spots(light, background.ice_spots(pulse), clen, smear)
        shown = light * self.passes if self.passes.size > 1 else light
        usable = ~self._hidden
        mean = float(shown[usable].mean(dtype=np.float64)) if usable.any() else 0.0
        spots, edge, crystal = np.empty(0, SPOT), np.empty(0, SPOT), None
        if plan.crystal[i]:
            crystal = self._crystal(random)
            reflections = self._reflections(crystal, pulse, clen)
            smear = min(crystal.size, pulse.diameter) ** 2 / 12.0
            spots, edge = self._spots(light, reflections, clen, smear)
        if self.passes.size > 1:
            light *= self.passes
        expected = light.reshape(self.panels.raw_shape)
        frame, artefact = self.response.store(expected, random, bool(plan.switched[i]))
        spots["frame"] = ice["frame"] = edge["frame"] = i
        found = int((spots["significance"] > FINDABLE).sum())
        label = 0 if crystal is None else 1 if found >= HIT_SPOTS else -1
        return SfxEvent(
            frame=frame,
            expected=expected,
            spots=spots,
            ice_spots=ice,
            edge_spots=edge,
            pulse=pulse,
            crystal=crystal,
            camera_length=length,
            label=label,
            background_mean=mean,
            background=background,
            artefact=artefact,
        )

    def _pulse(self, i: int, random: np.random.Generator) -> Pulse:
        settings = self.settings
        flux = settings.flux[self.plan.level[i]]
        if settings.flux_jitter > 0.0:
            shape = settings.flux_jitter**-2
            flux *= float(random.gamma(shape, 1.0 / shape))
        shift = float(np.clip(random.standard_normal(), -3.0, 3.0))
        energy = float(self.plan.photon_energy[i]) * (1.0 + settings.energy_jitter * shift)
        return Pulse(
            photons=flux,
            wavelength=HC / energy,
            diameter=1e-6 * settings.beam_diameter,
            bandwidth=settings.bandwidth,
            divergence=1e-3 * settings.divergence,
            polarisation=settings.polarisation,
        )

    def _crystal(self, random: np.random.Generator) -> Crystal:
        settings = self.settings
        axes = reciprocal_axes(settings.cell) @ random_rotation(random).T
        size = 1e-6 * log_uniform(random, settings.crystal_size[0], settings.crystal_size[1])
        b_factor = float(random.uniform(settings.b_factor[0], settings.b_factor[1]))
        if self.intensities.falls:
            b_factor -= settings.b_factor[0]
        return Crystal(
            axes=axes,
            size=size,
            block=min(size, 1e-6 * settings.block_size),
            mosaicity=settings.mosaicity * _DEGREE,
            b_factor=b_factor,
            centering=settings.centering,
        )

    def _reflections(self, crystal: Crystal, pulse: Pulse, clen: float) -> Reflections:
        q_max = np.sqrt(2.0 * self.panels.w_max(clen)) / pulse.wavelength
        q_max = min(float(q_max), 1.0 / self.settings.resolution)
        return diffract(crystal, pulse, self.intensities, q_max)

    def _spots(
        self, light: NDArray[np.float32], reflections: Reflections, clen: float, smear: float
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw spots into the light; those on a panel, and those that reach onto one."""
        from napari_xfelsort.core.simulate.sfx.pixel_loops import draw_spots, weigh_spots

        blur = self.settings.point_spread**2
        drawn, told, beside = [], [np.empty(0, SPOT)], [np.empty(0, SPOT)]
        for number, chosen, shapes in self.panels.on_panels(reflections, clen, smear, blur):
            panel = self.panels.panels[number]
            weights = np.zeros((len(shapes), 4))
            weigh_spots(light, self._hidden, self.passes, panel.layout, shapes, weights)
            drawn.append((panel.layout, shapes))
            height, width = panel.layout[3:]
            f, s = shapes[:, 0], shapes[:, 1]
            on = (f >= -0.5) & (f < width - 0.5) & (s >= -0.5) & (s < height - 0.5)
            rows = np.zeros(len(shapes), SPOT)
            nearest = np.clip(f, 0, width - 1), np.clip(s, 0, height - 1)
            rows["fs"], rows["ss"] = panel.raw_place(
                np.where(on, f, nearest[0]), np.where(on, s, nearest[1])
            )
            rows["photons"] = shapes[:, 2]
            for column, name in enumerate(
                ("photons_visible", "significance", "peak_pixel", "background")
            ):
                rows[name] = weights[:, column]
            rows["panel"] = number
            rows["h"], rows["k"], rows["l"] = reflections.hkl[chosen].T
            rows["excitation"] = reflections.excitation[chosen]
            rows["resolution"] = 1.0 / reflections.q[chosen]
            told.append(rows[on & (rows["photons"] >= _WEAKEST)])
            beside.append(rows[~on & (rows["significance"] > _FAINT)])
        for layout, shapes in drawn:
            draw_spots(light, layout, shapes)
        return np.concatenate(told), np.concatenate(beside)
