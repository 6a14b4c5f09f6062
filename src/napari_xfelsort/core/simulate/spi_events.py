"""Simulated single-particle events: diffraction of particles, jets and background.

Far from resonance and in the Born approximation a particle scatters the square of the
Fourier transform of its electrons; here the exact one of spheres, ellipsoids and icosahedra
on Ewald's sphere. Particles that are hit together interfere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.spi_detector import SpiDetector, spi_detector
from napari_xfelsort.core.simulate.spi_settings import CLASSES, SpiSimulationSettings
from napari_xfelsort.core.spi.form_factors import amplitude

Floats = NDArray[np.float64]

#: Wrong sizes, as multiples of the right one.
_SMALLER, _LARGER = (0.31, 0.73), (1.31, 4.3)
#: Share of pairs that touch, and how far others are apart at most, in diameters.
_TOUCHING, _APART = 0.6, 8.0
#: What dead and hot pixels count at most.
_HOT = 60


@dataclass(frozen=True, eq=False)
class SpiEvent:
    """One simulated event and its truth.

    Attributes
    ----------
    frame : ndarray, shape (slow, fast)
        Photons: whole numbers, or means without noise.
    name : str
        What it is, of `CLASSES`.
    diameter : float
        Of the particle, or the first of them, in nm, as of a sphere of the same volume;
        NaN without one.
    particles : int
        How many.
    photons : float
        Expected of them in the good pixels.
    intensity : float
        Photons a pixel that they would have at q = 0.
    orientation : ndarray, shape (4,)
        Quaternion (w, x, y, z) of the first one's turn into the laboratory.
    shift : tuple of float
        Of the beam along x and y, in pixels.
    """

    frame: NDArray[np.float32] | NDArray[np.uint16]
    name: str
    diameter: float
    particles: int
    photons: float
    intensity: float
    orientation: Floats
    shift: tuple[float, float]


class _Particle(NamedTuple):
    shape: str
    diameter: float
    axes: tuple[float, float, float]
    core: bool
    place: Floats
    turn: Floats


class SpiMaker:
    """Makes the events of a run; each depends on the settings and its number alone.

    Parameters
    ----------
    settings : SpiSimulationSettings
        What to simulate.

    Attributes
    ----------
    detector : SpiDetector
        The detector.
    names : list of str
        What each event is.
    """

    def __init__(self, settings: SpiSimulationSettings) -> None:
        self.settings = settings
        self.detector: SpiDetector = spi_detector(settings)
        self.names = _drawn(settings)

    def event(self, i: int) -> SpiEvent:
        """Event ``i``."""
        s = self.settings
        random = np.random.default_rng((s.seed, i, 1))
        name = self.names[i]
        jitter = random.normal(0, s.jitter, 2) if s.jitter else np.zeros(2)
        shift = float(jitter[0]), float(jitter[1])
        q, reaching = self.detector.momentum(shift)
        photons = s.photons * float(np.exp(random.normal(0, s.photons_spread)))
        particles = self._particles(name, random)
        mean = np.full(q.shape[:2], s.background)
        intensity = 0.0
        good = self.detector.good
        if particles:
            pattern = _pattern(particles, q, s) * reaching
            intensity = photons / float(pattern[good].sum())
            mean += intensity * pattern
        if name == "streak":
            mean += _streaks(self.detector, random, shift, photons * random.uniform(0.3, 2))
        elif random.random() < s.weak_streaks:
            mean += _streaks(self.detector, random, shift, random.uniform(50, 500))
        return SpiEvent(
            self._counted(mean, random),
            name,
            particles[0].diameter if particles else np.nan,
            len(particles),
            photons if particles else 0.0,
            intensity,
            particles[0].turn if particles else np.full(4, np.nan),
            shift,
        )

    def _counted(
        self, mean: Floats, random: np.random.Generator
    ) -> NDArray[np.float32] | NDArray[np.uint16]:
        bad = self.detector.mask
        if not self.settings.noise:
            return np.where(bad == 0, mean, 0).astype(np.float32)
        frame = np.minimum(random.poisson(mean), 65_535)
        wrong = bad == 128
        frame[wrong] = random.integers(0, _HOT, int(wrong.sum()))
        frame[bad == 512] = 0
        return frame.astype(np.uint16)

    def _particles(self, name: str, random: np.random.Generator) -> list[_Particle]:
        s = self.settings
        right = float(max(0.2 * s.diameter, random.normal(s.diameter, s.spread)))
        centre = np.zeros(3)
        if name == "blank" or (name == "streak" and random.random() < 0.5):
            return []
        if name in ("wrong_size", "streak"):
            low, high = _SMALLER if random.random() < 0.4 else _LARGER
            wrong = s.diameter * float(np.exp(random.uniform(np.log(low), np.log(high))))
            shape = "sphere" if random.random() < 0.6 else "icosahedron"
            return [_Particle(shape, wrong, (1, 1, 1), False, centre, _turn(random))]
        if name == "deformed":
            long = random.uniform(1.25, 2.0)
            across = long**-0.5 * random.uniform(0.85, 1.15)
            axes = (float(long), float(across), float(1 / (long * across)))
            return [_Particle("sphere", right, axes, False, centre, _turn(random))]
        particles = [_Particle(s.shape, right, (1, 1, 1), True, centre, _turn(random))]
        wanted = {"single": 1, "doublet": 2}.get(name) or int(random.integers(3, 6))
        while len(particles) < wanted:
            size = float(max(0.2 * s.diameter, random.normal(s.diameter, s.spread)))
            to = particles[int(random.integers(len(particles)))]
            away = 0.5 * (size + to.diameter)
            if name == "doublet" and random.random() > _TOUCHING:
                away *= random.uniform(1.0, _APART)
            way = random.normal(size=3)
            place = to.place + away * way / np.linalg.norm(way)
            gaps = [np.linalg.norm(place - p.place) / (size + p.diameter) for p in particles]
            if min(gaps) > 0.499:
                particles.append(_Particle(s.shape, size, (1, 1, 1), True, place, _turn(random)))
        return particles


def _drawn(settings: SpiSimulationSettings) -> list[str]:
    """What each event is: as many of each class as its share says, in random order."""
    shares = np.array(settings.shares) / sum(settings.shares)
    exact = shares * settings.n_events
    counts = np.floor(exact).astype(int)
    left = settings.n_events - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    names = [name for name, n in zip(CLASSES, counts.tolist(), strict=True) for _ in range(n)]
    order = np.random.default_rng((settings.seed, 0, 3)).permutation(len(names))
    return [names[k] for k in order.tolist()]


def _pattern(particles: list[_Particle], q: Floats, settings: SpiSimulationSettings) -> Floats:
    """Square of the sum of the amplitudes, 1 at q = 0."""
    total: NDArray[np.complex128] = np.zeros(q.shape[:2], np.complex128)
    volumes = 0.0
    for p in particles:
        own = (q @ rotation(p.turn)) * np.array(p.axes) * (p.diameter / 2)
        core = (settings.core, settings.core_density) if p.core else (0.0, 1.0)
        volume = p.diameter**3
        part = volume * amplitude(own, p.shape, *core)
        total += part * np.exp(1j * (q @ p.place)) if p.place.any() else part
        volumes += volume
    return np.asarray((total.real**2 + total.imag**2) / volumes**2)


def _streaks(
    detector: SpiDetector, random: np.random.Generator, shift: tuple[float, float], photons: float
) -> Floats:
    """One to three straight streaks through the beam, that fade outwards."""
    x, y = detector.x - shift[0], detector.y - shift[1]
    total = np.zeros(x.shape)
    for _ in range(int(random.integers(1, 4))):
        angle = random.uniform(0, np.pi)
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        length, width = random.uniform(15, 60), random.uniform(0.8, 3.0)
        total += np.exp(-np.abs(along) / length - 0.5 * (across / width) ** 2)
    sum_good = float(total[detector.good].sum())
    return total * (photons / sum_good) if sum_good > 0 else total


def _turn(random: np.random.Generator) -> Floats:
    """A random orientation: a unit quaternion (w, x, y, z)."""
    q = random.normal(size=4)
    return np.asarray(q / np.linalg.norm(q))


def rotation(quaternion: Floats) -> Floats:
    """The matrix that turns the particle into the laboratory."""
    w, x, y, z = quaternion.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
