"""What can be chosen when photon energy and camera length are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.sfx.curves import GASES


@dataclass(frozen=True)
class BeamSettings(Settings):
    """Where photon energy and camera length may lie, and what scatters."""

    photon_energy_range: tuple[float, ...] = setting(
        (4000.0, 20000.0), "least and greatest photon energy", unit="eV", minimum=500, maximum=2e5
    )
    camera_length_range: tuple[float, ...] = setting(
        (50.0, 1000.0), "least and greatest camera length", unit="mm", minimum=5, maximum=5e4
    )
    known_energy: float | None = setting(
        None, "photon energy, if it is sure; the camera length is then known better", unit="eV"
    )
    known_length: float | None = setting(
        None, "camera length, if it is sure; the photon energy is then known better", unit="mm"
    )
    gas: str = setting("air", "what the beam passes beside the jet", choices=GASES)
    forward: str = setting(
        "auto",
        "scattering towards the beam besides water and gas: added where it is seen, or as told",
        choices=("auto", "always", "never"),
    )
    polarisation: float = setting(
        1.0, "horizontal above vertical polarisation: 1, 0 or -1", minimum=-1, maximum=1
    )
    largest_error: float = setting(
        0.05,
        "a value whose standard error is a greater share of it counts as not known",
        unit="fraction",
        minimum=1e-4,
        maximum=0.5,
    )
    fewest_photons: float = setting(
        1000.0, "a frame with fewer photons tells nothing", unit="photons", minimum=10
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("photon_energy_range", "camera_length_range"):
            value = getattr(self, name)
            if len(value) != 2 or not value[0] < value[1]:
                told = " ".join(f"{v:g}" for v in value)
                raise SettingsError(
                    f"{name} is {told!r} but must be two numbers, the least and the greatest."
                )
        for name in ("known_energy", "known_length"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is {value:g} but must be above 0.")
