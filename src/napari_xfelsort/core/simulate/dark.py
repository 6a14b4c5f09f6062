"""A dark and a flat-field run of one detector with planted defects, for making masks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.simulate.detector import Progress, check_free
from napari_xfelsort.core.simulate.sfx.builtin import eiger_geometry
from napari_xfelsort.core.simulate.sfx.geometry_text import run_geometry_text
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels

#: Planted defects by the value that ``truth/defects`` holds.
DEFECTS = {
    "dead": 1,
    "hot": 2,
    "noisy": 3,
    "quiet": 4,
    "low_gain": 5,
    "high_gain": 6,
    "stuck": 7,
    "dead_line": 8,
    "dead_block": 9,
}

#: Defects of single pixels, drawn equally often.
_SINGLE = ("dead", "hot", "noisy", "quiet", "low_gain", "high_gain", "stuck")

_DETECTOR = "entry_1/instrument_1/detector_1"


@dataclass(frozen=True)
class DarkSimulationSettings(Settings):
    """What a dark and a flat-field run are made of."""

    n_events: int = setting(100, "Frames of each run.", minimum=2)
    geometry: str = setting("", "CrystFEL geometry of any detector; an EIGER2 4M when not given.")
    binning: int = setting(
        1, "Pixels of the EIGER2 4M joined along rows and columns.", minimum=1, maximum=8
    )
    seed: int = setting(0, "Seed of everything that differs from pair to pair.", minimum=0)
    pedestal: float = setting(1000.0, "Mean of a dark pixel.", unit="ADU", minimum=0, maximum=1e4)
    pedestal_spread: float = setting(
        25.0, "Spread of the pixels' pedestals.", unit="ADU", minimum=0, maximum=1000
    )
    common_mode: float = setting(
        3.0, "Shot-to-shot shift of a whole panel.", unit="ADU", minimum=0, maximum=1000
    )
    noise: float = setting(10.0, "Electronic noise of a pixel.", unit="ADU", minimum=0.1)
    noise_spread: float = setting(
        0.08, "Spread of the pixels' noise.", unit="fraction", minimum=0, maximum=0.3
    )
    adu_per_photon: float = setting(40.0, "Detector gain.", unit="ADU", minimum=0.1, maximum=1000)
    gain_spread: float = setting(
        0.02, "Spread of the pixels' gain.", unit="fraction", minimum=0, maximum=0.2
    )
    flat: float = setting(
        50.0, "Light in the middle of the flat field.", unit="photons", minimum=1, maximum=1e5
    )
    falloff: float = setting(
        0.3,
        "What is lost to the corners of the flat field.",
        unit="fraction",
        minimum=0,
        maximum=0.9,
    )
    pulse_jitter: float = setting(
        0.05, "Shot-to-shot spread of the light.", unit="fraction", minimum=0, maximum=0.5
    )
    bad_pixels: float = setting(
        0.002, "Share of single bad pixels, seven kinds.", unit="fraction", minimum=0, maximum=0.3
    )
    dead_lines: int = setting(2, "Dead lines of a panel.", minimum=0, maximum=1000)
    dead_blocks: int = setting(1, "Dead squares of 16 pixels.", minimum=0, maximum=1000)
    compression: str = setting(
        "gzip", "Compression of the stored frames.", choices=("none", "gzip")
    )


@dataclass(frozen=True)
class DarkPair:
    """Where a simulated pair lies.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    dark, flat, geometry : Path
        Two CXI files and the CrystFEL geometry of both.
    defects : ndarray of uint8, raw shape
        0 good, else a value of `DEFECTS`.
    """

    folder: Path
    dark: Path
    flat: Path
    geometry: Path
    defects: NDArray[np.uint8]

    def count(self, name: str) -> int:
        """How many pixels have this defect."""
        return int((self.defects == DEFECTS[name]).sum())


class DarkMaker:
    """Pixels of a detector, and its frames; a frame depends on settings and number alone.

    Attributes
    ----------
    defects : ndarray of uint8, raw shape
        0 good, else a value of `DEFECTS`.
    pedestal, noise, gain, light : ndarray of float32, raw shape
        Of every pixel: dark mean and noise in ADU, ADU a photon, photons of the flat field.
    """

    def __init__(self, settings: DarkSimulationSettings, geometry: Geometry | None = None) -> None:
        if geometry is None and settings.geometry:
            geometry = Geometry.from_crystfel(settings.geometry)
        self.settings = settings
        self.panels = DetectorPanels(geometry or eiger_geometry(settings.binning))
        random = np.random.default_rng((settings.seed, 0))
        shape = self.panels.raw_shape

        def spread(mean: float, deviation: float) -> NDArray[np.float32]:
            drawn = np.clip(random.standard_normal(shape, np.float32), -3.0, 3.0)
            return np.asarray(mean + deviation * drawn, np.float32)

        self.pedestal = spread(settings.pedestal, settings.pedestal_spread)
        self.noise = settings.noise * spread(1.0, settings.noise_spread)
        self.gain = settings.adu_per_photon * spread(1.0, settings.gain_spread)
        self.light = self._flat_field()
        self.defects = self._plant(random)
        self._apply_defects(random)

    def frame(self, i: int, bright: bool) -> NDArray[np.uint16]:
        """Frame ``i`` of the dark or of the flat-field run."""
        settings = self.settings
        random = np.random.default_rng((settings.seed, 1 + bright, i))
        values = random.standard_normal(self.panels.raw_shape, np.float32)
        values *= self.noise
        values += self.pedestal
        if bright:
            pulse = max(0.1, 1.0 + settings.pulse_jitter * float(random.standard_normal()))
            values += random.poisson(self.light * np.float32(pulse)) * self.gain
        live = (self.noise > 0.0).ravel()
        flat = values.reshape(-1)
        for panel in self.panels.panels:
            start, down, along, height, width = panel.layout
            at = start + down * np.arange(height)[:, None] + along * np.arange(width)
            shift = np.float32(settings.common_mode * random.standard_normal())
            flat[at] += shift * live[at]
        values[~self.panels.active] = 0.0
        return np.clip(np.rint(values), 0, 65535).astype(np.uint16)

    def _flat_field(self) -> NDArray[np.float32]:
        """Smooth light that falls from the middle of the detector to its corners."""
        light = np.zeros(self.panels.size, np.float32)
        corners = self.panels.corners(0.0)[..., :2]
        middle = corners.mean(axis=(0, 1))
        reach2 = ((corners - middle) ** 2).sum(axis=-1).max()
        for panel in self.panels.panels:
            start, down, along, height, width = panel.layout
            corner, fs, ss, _ = panel.frame[:, :2] - [middle, (0, 0), (0, 0), (0, 0)]
            f, s = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
            far2 = sum((corner[k] + f * fs[k] + s * ss[k]) ** 2 for k in range(2)) / reach2
            at = start + down * np.arange(height)[:, None] + along * np.arange(width)
            light[at] = self.settings.flat * (1.0 - self.settings.falloff * far2)
        return light.reshape(self.panels.raw_shape)

    def _plant(self, random: np.random.Generator) -> NDArray[np.uint8]:
        settings = self.settings
        defects = np.zeros(self.panels.size, np.uint8)
        usable = np.flatnonzero(self.panels.active)
        number = round(settings.bad_pixels * len(usable))
        chosen = random.choice(usable, number, replace=False)
        kinds = np.array([DEFECTS[name] for name in _SINGLE], np.uint8)
        defects[chosen] = kinds[np.arange(number) % len(kinds)]
        for name, times in (
            ("dead_line", settings.dead_lines),
            ("dead_block", settings.dead_blocks),
        ):
            for _ in range(times):
                panel = self.panels.panels[random.integers(len(self.panels.panels))]
                start, down, along, height, width = panel.layout
                rows, columns = np.arange(height), np.array([random.integers(width)])
                if name == "dead_block":
                    rows = random.integers(max(height - 16, 0) + 1) + np.arange(min(16, height))
                    first = random.integers(max(width - 16, 0) + 1)
                    columns = first + np.arange(min(16, width))
                defects[start + down * rows[:, None] + along * columns] = DEFECTS[name]
        return defects.reshape(self.panels.raw_shape)

    def _apply_defects(self, random: np.random.Generator) -> None:
        def at(*names: str) -> NDArray[np.bool_]:
            return np.isin(self.defects, [DEFECTS[name] for name in names])

        settings = self.settings
        dead = at("dead", "dead_line", "dead_block")
        self.pedestal[dead], self.noise[dead], self.gain[dead] = 0.0, 0.0, 0.0
        stuck = at("stuck")
        self.pedestal[stuck], self.noise[stuck], self.gain[stuck] = 65535.0, 0.0, 0.0
        hot = at("hot")
        width = settings.pedestal_spread + settings.noise
        self.pedestal[hot] += width * random.uniform(15.0, 100.0, int(hot.sum()))
        self.noise[at("noisy")] *= 6.0
        self.noise[at("quiet")] *= 0.1
        self.gain[at("low_gain")] *= 0.3
        self.gain[at("high_gain")] *= 2.0


def simulate_dark(
    out: str | os.PathLike[str],
    settings: DarkSimulationSettings | None = None,
    *,
    geometry: Geometry | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> DarkPair:
    """Write a dark and a flat-field run of one detector, and which pixels are bad.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``dark.cxi``, ``flat.cxi``,
        ``detector.geom`` and ``truth/defects.h5`` (``/defects``, values by name in its
        attributes).
    settings : DarkSimulationSettings, optional
        What to simulate; equal settings give equal data.
    geometry : Geometry or path, optional
        Of any detector; instead of the one that the settings name.
    overwrite : bool
        Replace the files of an earlier simulation.
    progress : callable, optional
        Called with frames done and frames of both runs.
    **changes
        Single settings by name, instead of ``settings``.

    Raises
    ------
    OutputError
        If a file exists and ``overwrite`` is false, or the folder cannot be written.
    SettingsError
        If a setting is unknown or out of range.
    GeometryError
        If the geometry cannot be used.
    """
    values = settings.to_dict() if settings is not None else {}
    if geometry is not None and not isinstance(geometry, Geometry):
        changes["geometry"], geometry = os.fspath(geometry), None
    settings = DarkSimulationSettings.from_dict({**values, **changes})
    folder = Path(out)
    dark, flat, geom = folder / "dark.cxi", folder / "flat.cxi", folder / "detector.geom"
    truth = folder / "truth" / "defects.h5"
    check_free((dark, flat, geom, truth), overwrite)
    maker = DarkMaker(settings, geometry)
    text = run_geometry_text(maker.panels.geometry, settings.adu_per_photon)
    make_folder(folder, "truth")
    for bright, path in enumerate((dark, flat)):
        with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
            _write_run(file, maker, bool(bright), progress)
    with atomic_write(truth, overwrite) as temporary, h5py.File(temporary, "w") as file:
        table = file.create_dataset("defects", data=maker.defects, compression="gzip")
        for name, value in DEFECTS.items():
            table.attrs[name] = value
    write_text_atomic(geom, text, overwrite)
    return DarkPair(folder, dark, flat, geom, maker.defects)


def _write_run(file: h5py.File, maker: DarkMaker, bright: bool, progress: Progress | None) -> None:
    settings = maker.settings
    n, shape = settings.n_events, maker.panels.raw_shape
    filters: dict[str, Any] = {}
    if settings.compression == "gzip":
        filters = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    file.attrs["simulation"] = json.dumps(settings.to_dict())
    file["cxi_version"] = 140
    data = file.create_dataset(
        f"{_DETECTOR}/data", (n, *shape), "u2", chunks=(1, *shape), **filters
    )
    middle = "".join("module_identifier:" for _ in shape[2:])
    data.attrs["axes"] = f"experiment_identifier:{middle}y:x"
    data.attrs["numEvents"] = n
    file["entry_1/data_1/data"] = h5py.SoftLink(f"/{_DETECTOR}/data")
    mask = np.where(maker.panels.active, 0, 512).astype(np.uint16)
    file.create_dataset("entry_1/data_1/mask", data=mask, compression="gzip")
    file["LCLS/photon_energy_eV"] = np.full(n, 9000.0)
    file["LCLS/detector_1/EncoderValue"] = np.full(n, 1e3 * maker.panels.clen(0.2))
    for i in range(n):
        data[i] = maker.frame(i, bright)
        if progress is not None:
            progress(i + 1 + n * bright, 2 * n)
