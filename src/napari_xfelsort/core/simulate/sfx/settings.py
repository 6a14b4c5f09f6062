"""Settings of simulated serial crystallography."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.sfx.cell import CENTERINGS, direct_axes
from napari_xfelsort.core.simulate.sfx.curves import GASES
from napari_xfelsort.core.simulate.sfx.symmetry import operations

#: What may stand in front of the detector besides the beam stop.
SHADOWS = ("none", "edge", "aperture")

#: Types of stored pixels.
DTYPES = ("int32", "uint16", "int16", "float32")

#: Settings of two numbers, from and to.
RANGES = ("crystal_size", "b_factor", "jet", "air", "ice_contrast", "streak_strength")


@dataclass(frozen=True)
class SfxSimulationSettings(Settings):
    """What a simulated run of serial crystallography is made of."""

    n_events: int = setting(90, "Number of events.", minimum=1)
    hit_share: float = setting(
        0.6, "Share of events with a crystal.", unit="fraction", minimum=0, maximum=1
    )
    seed: int = setting(0, "Seed of everything that differs from run to run.", minimum=0)
    run: int = setting(1, "Run number, used in names.", minimum=0, maximum=9999)

    geometry: str = setting("", "CrystFEL geometry of any detector; an EIGER2 4M when not given.")
    binning: int = setting(
        1, "Pixels of the EIGER2 4M joined along rows and columns.", minimum=1, maximum=8
    )
    photon_energy: tuple[float, ...] = setting(
        (6000.0, 7000.0, 8000.0), "Photon energies.", unit="eV", minimum=1000, maximum=100000
    )
    camera_length: tuple[float, ...] = setting(
        (150.0, 250.0, 350.0), "Camera lengths.", unit="mm", minimum=10, maximum=20000
    )
    continuous: bool = setting(
        False, "Energies and lengths anywhere from the least to the greatest given."
    )
    energy_jitter: float = setting(
        0.001, "Shot-to-shot spread of the photon energy.", unit="fraction", minimum=0, maximum=0.1
    )
    flux: tuple[float, ...] = setting(
        (1e12, 1e11, 3e10, 1e10, 3e9, 1e9, 3e8),
        "Photons a pulse, the levels.",
        unit="photons",
        minimum=1,
        maximum=1e16,
    )
    flux_jitter: float = setting(
        0.15, "Shot-to-shot spread of the intensity.", unit="fraction", minimum=0, maximum=1
    )
    beam_diameter: float = setting(5.0, "Focus.", unit="µm", minimum=0.01, maximum=1000)
    bandwidth: float = setting(
        0.001, "Standard deviation of a pulse's energy.", unit="fraction", minimum=0, maximum=0.1
    )
    divergence: float = setting(
        0.1, "Standard deviation of the beam's direction.", unit="mrad", minimum=0, maximum=20
    )
    polarisation: float = setting(
        1.0, "Horizontal above vertical polarisation.", minimum=-1, maximum=1
    )

    cell: tuple[float, ...] = setting(
        (67.288, 67.288, 106.582, 90.0, 90.0, 90.0),
        "Unit cell: a, b, c in angstrom, alpha, beta, gamma in degrees.",
    )
    centering: str = setting("P", "Centring of the lattice.", choices=CENTERINGS)
    point_group: str = setting("4/mmm", "Point group, as CrystFEL writes it.")
    structure_factors: str = setting(
        "", "CrystFEL reflection list (.hkl) with intensities; drawn when not given."
    )
    intensity_scale: float = setting(
        0.0, "Electrons squared per unit of the list; 0: found from the cell.", minimum=0
    )
    crystal_size: tuple[float, ...] = setting(
        (0.3, 4.0), "Edge of the crystals, from and to.", unit="µm", minimum=0.02, maximum=1000
    )
    block_size: float = setting(
        0.5, "Edge of the coherent blocks in a crystal.", unit="µm", minimum=0.005, maximum=100
    )
    mosaicity: float = setting(
        0.03, "Standard deviation of the blocks' turn.", unit="degrees", minimum=0, maximum=3
    )
    b_factor: tuple[float, ...] = setting(
        (15.0, 45.0), "Temperature factor, from and to.", unit="Å²", minimum=0, maximum=1000
    )
    resolution: float = setting(1.5, "Finest spacing.", unit="Å", minimum=0.5, maximum=50)

    jet: tuple[float, ...] = setting(
        (5.0, 25.0), "Thickness of water, from and to.", unit="µm", minimum=0, maximum=10000
    )
    gas: str = setting("air", "What the beam passes beside the jet.", choices=GASES)
    air: tuple[float, ...] = setting(
        (0.5, 10.0), "Path in the gas, from and to.", unit="mm", minimum=0, maximum=10000
    )
    ice_share: float = setting(
        0.12, "Share of events with ice.", unit="fraction", minimum=0, maximum=1
    )
    ice_contrast: tuple[float, ...] = setting(
        (0.1, 3.0), "Strongest ice ring over water's crest, from and to.", minimum=0, maximum=1e4
    )
    streak_share: float = setting(
        0.15, "Share of events with a streak of the jet.", unit="fraction", minimum=0, maximum=1
    )
    streak_strength: tuple[float, ...] = setting(
        (1.0, 50.0), "Streak beside the beam over water's crest, from and to.", minimum=0
    )
    beam_stop: float = setting(2.5, "Radius of the beam stop.", unit="mm", minimum=0, maximum=500)
    beam_stop_arm: float = setting(
        0.0, "Width of the beam stop's arm, which hangs from above.", unit="mm", minimum=0
    )
    shadow: str = setting("none", "Another shadow on the detector.", choices=SHADOWS)

    adu_per_photon: float = setting(1.0, "Detector gain.", unit="ADU", minimum=1e-6, maximum=1e6)
    gain_spread: float = setting(
        0.0, "Spread of the pixels' gain.", unit="fraction", minimum=0, maximum=0.3
    )
    read_noise: float = setting(0.0, "Electronic noise.", unit="ADU", minimum=0, maximum=1e5)
    point_spread: float = setting(
        0.4, "Standard deviation of the sensor's blur.", unit="px", minimum=0.2, maximum=3
    )
    switch_share: float = setting(
        0.0, "Share of events with wrong gain switching.", unit="fraction", minimum=0, maximum=1
    )
    dead_pixels: float = setting(
        2e-5, "Share of dead pixels (masked).", unit="fraction", minimum=0, maximum=0.5
    )
    hot_pixels: float = setting(
        1e-5, "Share of hot pixels (masked).", unit="fraction", minimum=0, maximum=0.5
    )
    dead_lines: int = setting(1, "Dead lines of a panel (masked).", minimum=0, maximum=1000)
    unmasked_hot: int = setting(
        12, "Hot pixels that the mask does not name.", minimum=0, maximum=100000
    )
    dtype: str = setting("int32", "Type of a stored pixel.", choices=DTYPES)
    compression: str = setting(
        "gzip", "Compression of the stored frames.", choices=("none", "gzip", "bslz4")
    )
    stored_peaks: bool = setting(
        False, "Store spots that can be found as the events' peaks (they give labels away)."
    )
    heat_maps: bool = setting(False, "Store maps of where the spots are.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("photon_energy", "camera_length", "flux"):
            if not getattr(self, name):
                raise SettingsError(f"{name} needs a number at least.")
        for name in RANGES:
            value = getattr(self, name)
            if len(value) != 2 or value[0] > value[1]:
                told = " ".join(f"{v:g}" for v in value)
                raise SettingsError(
                    f"{name} is {told!r} but must be two numbers, the least and the greatest."
                )
        direct_axes(self.cell)
        operations(self.point_group)
