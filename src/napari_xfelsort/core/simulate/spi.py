"""A seeded single-particle run with known truth: CXI file, CrystFEL geometry, lists."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.simulate.detector import Progress, check_free
from napari_xfelsort.core.simulate.spi_events import SpiEvent, SpiMaker
from napari_xfelsort.core.simulate.spi_settings import CLASSES, SpiSimulationSettings

_DETECTOR = "entry_1/instrument_1/detector_1"
_JOULE = 1.602176634e-19


@dataclass(frozen=True)
class SpiRun:
    """Where a simulated single-particle run lies, and its truth.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    data : Path
        The CXI file; ``truth`` in it has class, diameter (nm), particles, photons,
        intensity at q = 0, orientation and shift of the beam of every event.
    geometry : Path
        The CrystFEL geometry.
    lists : dict of str to Path
        CrystFEL list of the events of each class.
    names : tuple of str
        What each event is.
    """

    folder: Path
    data: Path
    geometry: Path
    lists: dict[str, Path]
    names: tuple[str, ...]


def simulate_spi(
    out: str | os.PathLike[str],
    settings: SpiSimulationSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> SpiRun:
    """Write a simulated single-particle run.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``run0001.cxi``,
        ``run0001.geom`` and ``truth/run0001-single.lst`` and so on, a list for each class.
    settings : SpiSimulationSettings, optional
        What to simulate; equal settings give equal data.
    overwrite : bool
        Replace the files of an earlier simulation.
    progress : callable, optional
        Called with events done and events in all.
    **changes
        Single settings by name, instead of ``settings``.

    Raises
    ------
    OutputError
        If a file exists and ``overwrite`` is false, or the folder cannot be written.
    SettingsError
        If a setting is unknown or out of range.
    """
    values = settings.to_dict() if settings is not None else {}
    settings = SpiSimulationSettings.from_dict({**values, **changes})
    folder = Path(out)
    run = f"run{settings.run:04d}"
    data, geometry = folder / f"{run}.cxi", folder / f"{run}.geom"
    lists = {name: folder / "truth" / f"{run}-{name}.lst" for name in CLASSES}
    check_free((data, geometry, *lists.values()), overwrite)
    make_folder(folder, "truth")
    maker = SpiMaker(settings)
    with atomic_write(data, overwrite) as temporary, h5py.File(temporary, "w") as file:
        _write_head(file, maker)
        for i in range(settings.n_events):
            _write_event(file, i, maker.event(i))
            if progress is not None:
                progress(i + 1, settings.n_events)
    write_text_atomic(geometry, maker.detector.geometry_text(), overwrite)
    for name, path in lists.items():
        events = (EventId(str(data), f"//{i}") for i, own in enumerate(maker.names) if own == name)
        write_list(path, events, overwrite=overwrite)
    return SpiRun(folder, data, geometry, lists, tuple(maker.names))


def _write_head(file: h5py.File, maker: SpiMaker) -> None:
    s, shape = maker.settings, maker.detector.mask.shape
    n = s.n_events
    filters: dict[str, Any] = {}
    if s.compression == "gzip":
        filters = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    group = file.create_group(_DETECTOR)
    group["description"] = f"simulated {s.detector.replace('_', ' ')}"
    for name in ("x_pixel_size", "y_pixel_size"):
        group[name] = np.full(n, s.pixel_size)
    group["distance"] = np.full(n, s.distance)
    data = group.create_dataset(
        "data", (n, *shape), "u2" if s.noise else "f4", chunks=(1, *shape), **filters
    )
    data.attrs["axes"] = "experiment_identifier:y:x"
    data.attrs["numEvents"] = n
    shown = file.create_group("entry_1/data_1")
    shown["data"] = h5py.SoftLink(f"/{_DETECTOR}/data")
    shown["mask"] = maker.detector.mask
    file["entry_1/instrument_1/source_1/energy"] = np.full(n, s.photon_energy * _JOULE)
    file["cxi_version"] = 140
    truth = file.create_group("truth")
    truth["class"] = np.array([CLASSES.index(name) for name in maker.names], np.uint8)
    truth["class"].attrs["classes"] = list(CLASSES)
    for name in ("diameter", "photons", "intensity"):
        truth.create_dataset(name, (n,), "f8")
    truth.create_dataset("particles", (n,), "i4")
    truth.create_dataset("orientation", (n, 4), "f8")
    truth.create_dataset("shift", (n, 2), "f8")
    truth["diameter"].attrs["units"] = "nm"


def _write_event(file: h5py.File, i: int, event: SpiEvent) -> None:
    file[_DETECTOR]["data"][i] = event.frame
    for name in ("diameter", "photons", "intensity", "particles", "orientation", "shift"):
        file["truth"][name][i] = getattr(event, name)
