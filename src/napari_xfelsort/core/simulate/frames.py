"""The physics of one simulated event: water ring, Bragg spots, counts, ADU, gain switching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.layout import Detector
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

#: hc in eV angstrom (CODATA 2018, exact by definition of the SI).
HC = 12398.419843320026

#: Crest of liquid water's scattering in 1/angstrom, and its widths below and above.
WATER_Q = 2.0
WATER_WIDTH = (0.30, 0.55)

#: Width of a Bragg spot in pixels, and edge of the cells that keep spots apart.
SPOT_SIGMA = 0.8
SPOT_CELL = 8

#: Bits of the mask, as Cheetah defines them.
HOT, DEAD = 4, 8


@dataclass(frozen=True, eq=False)
class Event:
    """One simulated event and the truth of it.

    Attributes
    ----------
    frame : ndarray, shape (slow, fast)
        Pixel values in ADU.
    photon_energy : float
        In eV.
    pulse : float
        Intensity of the pulse, 1 on average.
    spots : ndarray, shape (spots, 3)
        fs, ss (pixel centre = integer) and expected intensity in ADU of every spot.
    threshold, drop : float
        Level above which pixels were lowered and by how much, in ADU; NaN in a good event.
    n_switched : int
        Number of pixels lowered.
    """

    frame: NDArray[Any]
    photon_energy: float
    pulse: float
    spots: NDArray[np.float64]
    threshold: float
    drop: float
    n_switched: int


def water_intensity(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scattering of water against q (1/angstrom): a skew ring on a slow slope, 1 at the crest.

    A smooth stand-in for the measured curve (Clark et al., Mol. Phys. 108, 1415 (2010)),
    with its crest at `WATER_Q`.
    """
    width = np.where(q < WATER_Q, *WATER_WIDTH)
    ring = np.exp(-0.5 * ((q - WATER_Q) / width) ** 2)
    return np.asarray(0.2 + 0.8 * ring)


class FrameMaker:
    """Makes the events of one run; all that does not change is worked out once.

    Event ``i`` depends on the seed and ``i`` alone, the detector's gains and bad pixels
    on the detector alone: two runs of one detector share them, as real runs do.
    """

    def __init__(self, detector: Detector, settings: DetectorSimulationSettings) -> None:
        self.detector = detector
        self.settings = settings
        x, y, z = detector.positions()
        distance = np.sqrt(x**2 + y**2 + z**2)
        self._sin_theta = np.sqrt(0.5 * (1.0 - z / distance)).astype(np.float32)
        # Solid angle of a pixel (cos^3), 1 at the crest, and the polarisation of a
        # horizontally polarised beam.
        crest = WATER_Q * HC / (4.0 * np.pi * settings.photon_energy)
        solid_angle = (z / distance / np.cos(2.0 * np.arcsin(crest))) ** 3
        factor = solid_angle * (1.0 - (x / distance) ** 2)
        self._factor = factor.astype(np.float32)
        fixed = np.random.default_rng(detector.asic)
        spread = fixed.standard_normal(detector.shape).astype(np.float32)
        self._gain = 1.0 + settings.gain_spread * np.clip(spread, -3.0, 3.0)
        doom = fixed.random(detector.shape, np.float32)
        self.mask = np.zeros(detector.shape, np.uint16)
        self.mask[doom < settings.bad_pixels] = DEAD
        self.mask[doom < 0.5 * settings.bad_pixels] = HOT
        self._cells = _spot_cells(detector)
        self._q_table = np.linspace(0.0, 12.0, 2401)
        self._water_table = water_intensity(self._q_table)

    def expected_water(self, photon_energy: float, pulse: float = 1.0) -> NDArray[np.float64]:
        """Expected photons per pixel from water alone; shape (slow, fast)."""
        settings = self.settings
        q = self._sin_theta * np.float32(4.0 * np.pi * photon_energy / HC)
        crest = pulse * settings.water / (settings.adu_per_ev * photon_energy)
        return np.asarray(np.interp(q, self._q_table, self._water_table) * self._factor * crest)

    def event(self, i: int, switched: bool) -> Event:
        """Event ``i`` of the run, with or without the gain-switching artefact."""
        settings = self.settings
        random = np.random.default_rng((settings.seed, i))
        spread = np.clip(random.standard_normal(2), -3.0, 3.0)
        energy = settings.photon_energy * (1.0 + settings.energy_jitter * float(spread[0]))
        pulse = max(0.05, 1.0 + settings.pulse_jitter * float(spread[1]))
        photons = self.expected_water(energy, pulse)
        spots = self._add_spots(photons, random, pulse)
        adu_per_photon = settings.adu_per_ev * energy
        spots[:, 2] *= adu_per_photon
        values = random.poisson(photons) * (self._gain * adu_per_photon)
        values += settings.read_noise * random.standard_normal(values.shape, np.float32)
        threshold, drop, lowered = float("nan"), float("nan"), 0
        if switched:
            threshold, drop, lowered = self._switch_gain(values, random)
        self._spoil(values)
        frame = self._store(values)
        return Event(frame, energy, pulse, spots, threshold, drop, lowered)

    def _add_spots(
        self, photons: NDArray[np.float64], random: np.random.Generator, pulse: float
    ) -> NDArray[np.float64]:
        settings = self.settings
        most = min(settings.spots_max, len(self._cells))
        number = int(random.integers(min(settings.spots_min, most), most + 1))
        chosen = self._cells[random.choice(len(self._cells), number, replace=False)]
        spots = np.empty((number, 3))
        # At least 2 pixels from the cell's edge, so that a spot stays on its panel.
        spots[:, :2] = chosen + random.uniform(2.0, SPOT_CELL - 3.0, (number, 2))
        spots[:, 2] = random.exponential(settings.spot_photons * pulse, number)
        offsets = np.arange(-2, 3)
        for fs, ss, strength in spots:
            column, row = round(fs), round(ss)
            along_fs = np.exp(-0.5 * ((column + offsets - fs) / SPOT_SIGMA) ** 2)
            along_ss = np.exp(-0.5 * ((row + offsets - ss) / SPOT_SIGMA) ** 2)
            shape = np.outer(along_ss, along_fs)
            window = slice(row - 2, row + 3), slice(column - 2, column + 3)
            photons[window] += strength * shape / shape.sum()
        return spots

    def _switch_gain(
        self, values: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[float, float, int]:
        settings = self.settings
        level = float(random.uniform(settings.threshold_min, settings.threshold_max))
        threshold = level * settings.water
        drop = float(random.uniform(settings.drop_min, settings.drop_max))
        region = values
        if settings.artefact_region != "detector":
            name = settings.artefact_region.partition(":")[2]
            region = values[self.detector.panel(name).window]
        above = region > threshold
        region[above] -= drop
        return threshold, drop, int(np.count_nonzero(above))

    def _spoil(self, values: NDArray[np.float64]) -> None:
        values[self.mask == DEAD] = 0.0
        values[self.mask == HOT] = np.iinfo(np.int16).max

    def _store(self, values: NDArray[np.float64]) -> NDArray[Any]:
        if self.settings.dtype == "float32":
            return values.astype(np.float32)
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(values), limits.min, limits.max).astype(np.int16)


def _spot_cells(detector: Detector) -> NDArray[np.int64]:
    """First pixel (fs, ss) of square cells that tile every panel."""
    cells = [
        (panel.min_fs + fs, panel.min_ss + ss)
        for panel in detector.panels()
        for ss in range(0, detector.asic[0] - SPOT_CELL + 1, SPOT_CELL)
        for fs in range(0, detector.asic[1] - SPOT_CELL + 1, SPOT_CELL)
    ]
    return np.array(cells, np.int64)
