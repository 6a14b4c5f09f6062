"""Settings of simulated single-particle runs."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.spi.form_factors import SHAPES, check_particle

#: What an event can be; each has a setting of its name, its share.
CLASSES = ("single", "doublet", "cluster", "wrong_size", "deformed", "streak", "blank")

#: Detectors: two halves above one another with a gap, or the upper one alone.
LAYOUTS = ("two_halves", "upper_half")


def _share(default: float, what: str) -> float:
    return setting(default, f"share of {what}", minimum=0, maximum=1e6)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SpiSimulationSettings(Settings):
    """What a simulated single-particle run is made of."""

    n_events: int = setting(1000, "number of events", minimum=1, maximum=10**7)
    shape: str = setting("icosahedron", "of the particles looked for", choices=SHAPES)
    diameter: float = setting(
        70.0, "mean diameter of them, as of a sphere of the same volume", unit="nm", minimum=1
    )
    spread: float = setting(2.5, "standard deviation of the diameter", unit="nm", minimum=0)
    core: float = setting(
        0.0, "radius of a core of another density, as a share of the particle's", minimum=0
    )
    core_density: float = setting(1.0, "density of the core, in that of the shell")
    single: float = _share(0.05, "single particles of that kind")
    doublet: float = _share(0.15, "pairs of them")
    cluster: float = _share(0.10, "groups of three to five")
    wrong_size: float = _share(0.25, "smaller and larger particles")
    deformed: float = _share(0.08, "ellipsoids of the right volume")
    streak: float = _share(0.09, "jets, with or without a particle of a wrong size")
    blank: float = _share(0.28, "events without a particle")
    photons: float = setting(
        9000.0, "median of a particle's photons on the detector", minimum=1, maximum=1e9
    )
    photons_spread: float = setting(
        0.9, "standard deviation of the logarithm of its photons", minimum=0, maximum=5
    )
    background: float = setting(0.02, "photons of the background", unit="1/pixel", minimum=0)
    weak_streaks: float = setting(
        0.08, "share of all events that have a weak streak besides", minimum=0, maximum=1
    )
    jitter: float = setting(
        0.3, "standard deviation of the beam's place from event to event", unit="px", minimum=0
    )
    noise: bool = setting(True, "count photons; otherwise frames hold their means")
    detector: str = setting("two_halves", "which detector", choices=LAYOUTS)
    side: int = setting(192, "columns of the detector", unit="px", minimum=32, maximum=4096)
    gap: int = setting(6, "rows between the halves", unit="px", minimum=0, maximum=1000)
    hole: float = setting(
        10.0, "radius around the beam without pixels", unit="px", minimum=0, maximum=1000
    )
    bad_pixels: float = setting(
        0.002, "share of the pixels that are dead or hot, and masked", minimum=0, maximum=0.5
    )
    pixel_size: float = setting(75e-6, "of the detector", unit="m", minimum=1e-7, maximum=0.01)
    distance: float = setting(0.130, "of the detector", unit="m", minimum=1e-3, maximum=100)
    photon_energy: float = setting(1700.0, "of the beam", unit="eV", minimum=10, maximum=1e5)
    seed: int = setting(0, "seed of everything that differs from run to run", minimum=0)
    run: int = setting(1, "number of the run, for its name", minimum=0, maximum=9999)
    compression: str = setting(
        "gzip", "compression of the stored frames", choices=("none", "gzip")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_particle(self.shape, self.core, self.core_density)
        if not sum(self.shares) > 0:
            raise SettingsError("All shares are 0, so that there is nothing to simulate.")
        if self.spread * 4 > self.diameter:
            raise SettingsError(
                f"Diameters of {self.diameter} nm cannot have a spread of {self.spread} nm."
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of each of `CLASSES`; they need not add up to 1."""
        return tuple(float(getattr(self, name)) for name in CLASSES)
