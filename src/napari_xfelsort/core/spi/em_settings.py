"""Settings of classes by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting


@dataclass(frozen=True)
class EmSettings(Settings):
    """How events are put into classes."""

    classes: int = setting(20, "classes", minimum=1, maximum=500)
    rotations: int = setting(
        100,
        "rotations tried, over half a turn, or a full one with --no-friedel",
        minimum=1,
        maximum=2000,
    )
    runs: int = setting(
        3, "runs, each from another start, for the consensus", minimum=1, maximum=50
    )
    iterations: int = setting(60, "most iterations of a run", minimum=1, maximum=10_000)
    tolerance: float = setting(
        0.002,
        "a run ends when no larger share of the events changes its class, twice in a row",
        minimum=0,
        maximum=1,
    )
    annealing: int = setting(
        12,
        "iterations in which the likelihood counts for less, from a hundredth on; 0: as published",
        minimum=0,
        maximum=10_000,
    )
    binning: int = setting(
        2, "pixels, along each side, that are added up", unit="pixels", minimum=1, maximum=64
    )
    q_min: float = setting(0.0, "pixels nearer to the beam are left out", unit="1/nm", minimum=0)
    q_max: float | None = setting(
        None, "pixels farther from the beam are left out", unit="1/nm", minimum=0
    )
    friedel: bool = setting(True, "take opposite pixels for alike, as they are at small angles")
    log: bool = setting(
        False, "take ln(1 + counts) for counts, as published; on photons it does worse"
    )
    adu_per_photon: float = setting(
        0.0,
        "what a photon counts in the files; 0: as the geometry says, else 1",
        unit="ADU",
        minimum=0,
    )
    seed: int = setting(0, "seed of the starts", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.q_max is not None and not self.q_min < self.q_max:
            raise SettingsError(f"No pixel has q from {self.q_min} to {self.q_max} 1/nm.")
