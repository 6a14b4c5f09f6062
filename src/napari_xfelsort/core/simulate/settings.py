"""Settings of a simulated detector run."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.layout import DETECTORS


@dataclass(frozen=True)
class DetectorSimulationSettings(Settings):
    """What a simulated detector run is made of."""

    n_events: int = setting(150, "Number of events.", minimum=1)
    detector: str = setting("small", "Which detector to simulate.", choices=DETECTORS)
    seed: int = setting(0, "Seed of everything that differs from run to run.", minimum=0)
    run: int = setting(1, "Run number, used in names.", minimum=0, maximum=9999)
    photon_energy: float = setting(
        9500.0, "Mean photon energy.", unit="eV", minimum=1000, maximum=100000
    )
    energy_jitter: float = setting(
        0.002, "Shot-to-shot spread of the photon energy.", unit="fraction", minimum=0, maximum=0.1
    )
    pulse_jitter: float = setting(
        0.06, "Shot-to-shot spread of the intensity.", unit="fraction", minimum=0, maximum=0.5
    )
    water: float = setting(
        1700.0,
        "Mean value at the crest of the water ring, above the beam.",
        unit="ADU",
        minimum=1,
        maximum=20000,
    )
    adu_per_ev: float = setting(
        0.005, "Detector response.", unit="ADU/eV", minimum=1e-5, maximum=10
    )
    read_noise: float = setting(8.0, "Electronic noise.", unit="ADU", minimum=0, maximum=1000)
    gain_spread: float = setting(
        0.02, "Spread of the pixels' gain.", unit="fraction", minimum=0, maximum=0.3
    )
    bad_pixels: float = setting(
        0.001, "Share of dead and hot pixels (masked).", unit="fraction", minimum=0, maximum=0.5
    )
    spots_min: int = setting(15, "Fewest Bragg spots in an event.", minimum=0)
    spots_max: int = setting(120, "Most Bragg spots in an event.", minimum=0)
    spot_photons: float = setting(
        400.0, "Mean photons of a Bragg spot.", unit="photons", minimum=0, maximum=1e6
    )
    artefact_share: float = setting(
        1 / 3, "Share of events with switched gain.", unit="fraction", minimum=0, maximum=1
    )
    artefact_region: str = setting(
        "detector", "Where gain switches: detector, or one panel as panel:NAME."
    )
    threshold_min: float = setting(
        0.55, "Lowest switching level, of the ring's crest.", unit="fraction", minimum=0
    )
    threshold_max: float = setting(
        0.85, "Highest switching level, of the ring's crest.", unit="fraction", minimum=0
    )
    drop_min: float = setting(120.0, "Least loss of a switched pixel.", unit="ADU", minimum=0)
    drop_max: float = setting(500.0, "Greatest loss of a switched pixel.", unit="ADU", minimum=0)
    dtype: str = setting("int16", "Type of a stored pixel.", choices=("int16", "float32"))
    compression: str = setting(
        "none", "Compression of the stored frames.", choices=("none", "gzip")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("spots", "threshold", "drop"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if low > high:
                raise SettingsError(
                    f"{name}_min is {low} but must not be above {name}_max, which is {high}."
                )
        if self.artefact_region != "detector":
            kind, _, panel = self.artefact_region.partition(":")
            if kind != "panel":
                raise SettingsError(
                    f"artefact_region is {self.artefact_region!r} but must be detector or "
                    "panel:NAME, for example panel:p6a0."
                )
            DETECTORS[self.detector].panel(panel)
