"""How the network of the learned peak finder is trained."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.settings import Settings, setting


@dataclass(frozen=True)
class PeakTrainingSettings(Settings):
    """What is simulated to train a network of peaks, and how it learns.

    Crystals, jets, gas, ice, streaks, hot pixels, mosaicity and the sensor's blur differ
    from run to run or from event to event, and so does the flux, by a factor of ten
    thousand; what is counted is on the photons' scale, so that one network serves all.
    """

    runs: int = setting(24, "simulated runs, each with other optics", minimum=2, maximum=1000)
    events: int = setting(20, "events of each run", minimum=1, maximum=10000)
    photon_energy: tuple[float, ...] = setting(
        (6000.0, 9500.0), "photon energies, from and to", unit="eV", minimum=1000, maximum=100000
    )
    camera_length: tuple[float, ...] = setting(
        (150.0, 350.0), "camera lengths, from and to", unit="mm", minimum=10, maximum=20000
    )
    flux: tuple[float, ...] = setting(
        (1e8, 1e12), "photons a pulse, from and to", unit="photons", minimum=1, maximum=1e16
    )
    crystal_size: tuple[float, ...] = setting(
        (0.3, 8.0), "edge of the crystals, from and to", unit="µm", minimum=0.02, maximum=1000
    )
    validation: float = setting(
        0.25,
        "share of the runs that is not trained on, and that the cut is chosen on",
        minimum=0.01,
        maximum=0.9,
    )
    false_peaks: float = setting(
        0.02, "false peaks of an event that the cut lets through", minimum=1e-4, maximum=100.0
    )
    channels: int = setting(16, "channels of the convolutions", minimum=1, maximum=256)
    epochs: int = setting(12, "times that all places are seen", minimum=1, maximum=10000)
    batch: int = setting(128, "places of a step", minimum=1, maximum=100000)
    learning_rate: float = setting(2e-3, "largest learning rate", minimum=1e-6, maximum=1.0)
    weight_decay: float = setting(1e-3, "decay of weights", minimum=0.0, maximum=1.0)
    faint_weight: float = setting(
        0.5, "how much spots of 3 to 6 deviations count", minimum=0.0, maximum=1.0
    )
    seed: int = setting(0, "seed of all that is drawn", minimum=0)
