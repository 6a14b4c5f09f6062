"""Settings of simulated anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.detectors import LAYOUTS, SIDES

#: The detector is drawn anew for every setup.
ANY = "any"


def _share(value: float, what: str) -> Any:
    return setting(value, f"Share of events with {what}.", unit="fraction", minimum=0, maximum=1)


@dataclass(frozen=True)
class AnomalySimulationSettings(Settings):
    """What simulated frames with the seven anomalies are made of.

    The shares are those of the published test set (Czyzewski et al. 2021).
    """

    n_events: int = setting(150, "Number of events.", minimum=1)
    detector: str = setting("pilatus", "Which detector to simulate.", choices=(*LAYOUTS, ANY))
    side: int = setting(
        512, "Rows and columns of a frame.", unit="px", minimum=SIDES[0], maximum=SIDES[1]
    )
    seed: int = setting(0, "Seed of everything that differs from run to run.", minimum=0)
    run: int = setting(1, "Run number, used in names.", minimum=0, maximum=9999)
    setups: str = setting(
        "run",
        "One beam centre, camera length, wavelength and stop for the run, or for each event.",
        choices=("run", "event"),
    )
    unsure: float = setting(
        0.0,
        "Share of the events without an anomaly that get it too weak to be sure of.",
        unit="fraction",
        minimum=0,
        maximum=1,
    )
    loop_scattering: float = _share(0.42, "loop scattering")
    background_ring: float = _share(0.62, "a background ring")
    strong_background: float = _share(0.475, "strong background")
    diffuse_scattering: float = _share(0.07, "diffuse scattering")
    artifact: float = _share(0.20, "artifacts")
    ice_ring: float = _share(0.07, "ice rings")
    non_uniform_detector: float = _share(0.35, "a non-uniform detector")
    compression: str = setting(
        "gzip", "Compression of the stored frames.", choices=("none", "gzip")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector == ANY and self.setups != "event":
            raise SettingsError(
                "A run has one detector: name it, or draw a setup for each event "
                "(detector is any, setups is run)."
            )

    def shares(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Shares of the seven anomalies, in the order of `ANOMALIES`."""
        return np.array([getattr(self, name) for name in ANOMALIES], np.float64)
