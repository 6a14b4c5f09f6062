"""Settings of particle sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.spi.form_factors import SHAPES, check_particle
from napari_xfelsort.core.spi.rings import POLARISATIONS


@dataclass(frozen=True)
class SizeSettings(Settings):
    """How sizes are found."""

    shape: str = setting("sphere", "what the particles are taken for", choices=SHAPES)
    core: float = setting(
        0.0,
        "radius of a core of another density, as a share of the particle's; 0 for none",
        minimum=0,
        maximum=0.999,
    )
    core_density: float = setting(
        1.0, "density of the core, in that of the shell", minimum=-10, maximum=1000
    )
    smallest: float = setting(
        20.0, "smallest diameter looked for", unit="nm", minimum=1e-3, maximum=1e6
    )
    largest: float = setting(
        300.0, "largest diameter looked for", unit="nm", minimum=1e-3, maximum=1e6
    )
    steps: int = setting(
        300, "diameters, equally spaced, that are tried first", minimum=10, maximum=10_000
    )
    q_min: float = setting(0.0, "rings nearer to the beam are left out", unit="1/nm", minimum=0)
    q_max: float | None = setting(
        None, "rings farther from the beam are left out", unit="1/nm", minimum=0
    )
    skip: int = setting(
        2, "innermost rings that are not masked, but left out", minimum=0, maximum=1000
    )
    ring_width: float = setting(1.0, "width of the rings", unit="pixels", minimum=0.1, maximum=100)
    level: bool = setting(True, "fit a level below the particle's scattering as well")
    adu_per_photon: float = setting(
        0.0,
        "what a photon counts in the files; 0: as the geometry says, else 1",
        unit="ADU",
        minimum=0,
    )
    electron_density: float = setting(
        430.0,
        "mean electrons of the particles, for the fluence (430 for protein)",
        unit="1/nm^3",
        minimum=1e-3,
        maximum=1e5,
    )
    polarisation: str = setting("x", "of the beam, in the laboratory", choices=POLARISATIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_particle(self.shape, self.core, self.core_density)
        if not self.smallest < self.largest < math.inf:
            raise SettingsError(
                f"The smallest diameter is {self.smallest} nm, the largest {self.largest} nm."
            )
        if self.q_max is not None and not self.q_min < self.q_max:
            raise SettingsError(f"No ring has q from {self.q_min} to {self.q_max} 1/nm.")
