"""A seeded segmented run with known truth: CXI file, CrystFEL geometry, lists.

What is simulated: the smooth ring of liquid water with solid angle and polarisation,
Bragg spots, Poisson counts, ADU with a gain of its own for every pixel, electronic
noise, shot-to-shot jitter of intensity and photon energy, dead and hot pixels. On a
share of the events every pixel above a level is lowered by a constant: gain switching
gone wrong, the artefact that the Pixel Anomaly Detection Tool was made for (Ketawala
et al., J. Appl. Cryst. 57, 2024).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.simulate.cxi import CxiWriter
from napari_xfelsort.core.simulate.frames import FrameMaker
from napari_xfelsort.core.simulate.geometry_text import geometry_text
from napari_xfelsort.core.simulate.layout import DETECTORS, Detector
from napari_xfelsort.core.simulate.settings import DetectorSimulationSettings

#: Called with the number of events done and the number of all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SimulatedRun:
    """Where a simulated run lies, and its truth.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    data : Path
        The CXI file.
    geometry : Path
        The CrystFEL geometry.
    good_list, bad_list : Path
        CrystFEL lists of the events without and with the artefact; an empty class has
        an empty list.
    good : tuple of bool
        Truth of every event: True without the artefact.
    """

    folder: Path
    data: Path
    geometry: Path
    good_list: Path
    bad_list: Path
    good: tuple[bool, ...]


def simulate_detector(
    out: str | os.PathLike[str],
    settings: DetectorSimulationSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> SimulatedRun:
    """Write a simulated run.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``run0001.cxi``, ``small.geom``
        (named after run number and detector), ``truth/good.lst`` and ``truth/bad.lst``.
    settings : DetectorSimulationSettings, optional
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
    if settings is None:
        settings = DetectorSimulationSettings.from_dict(changes)
    elif changes:
        settings = DetectorSimulationSettings.from_dict({**settings.to_dict(), **changes})
    detector = DETECTORS[settings.detector]
    folder = Path(out)
    data = folder / f"run{settings.run:04d}.cxi"
    geometry = folder / f"{detector.name}.geom"
    lists = folder / "truth" / "good.lst", folder / "truth" / "bad.lst"
    text = geometry_text(detector, settings.adu_per_ev)
    # Runs of one detector may share a folder's geometry.
    same_geometry = geometry.is_file() and geometry.read_text(encoding="utf-8") == text
    check_free((data, *lists, *(() if same_geometry else (geometry,))), overwrite)
    make_folder(folder, "truth")
    good = _write_data(data, detector, settings, overwrite, progress)
    if not same_geometry:
        write_text_atomic(geometry, text, overwrite)
    for path, wanted in zip(lists, (True, False), strict=True):
        chosen = np.flatnonzero(good == wanted).tolist()
        write_list(path, (EventId(str(data), f"//{i}") for i in chosen), overwrite=overwrite)
    return SimulatedRun(folder, data, geometry, *lists, good=tuple(good.tolist()))


def check_free(paths: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse to replace files, before any work is done.

    Raises
    ------
    OutputError
        If one of them exists and must not be replaced.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already; choose another folder, or overwrite to replace it."
            )


def _write_data(
    path: Path,
    detector: Detector,
    settings: DetectorSimulationSettings,
    overwrite: bool,
    progress: Progress | None,
) -> NDArray[np.bool_]:
    """Write the CXI file; truth of every event."""
    maker = FrameMaker(detector, settings)
    switched = _choose_switched(settings)
    good = np.ones(settings.n_events, np.bool_)
    with atomic_write(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        writer = CxiWriter(file, detector, settings, maker.mask)
        for i in range(settings.n_events):
            event = maker.event(i, bool(switched[i]))
            good[i] = event.n_switched == 0
            writer.write(i, event)
            if progress is not None:
                progress(i + 1, settings.n_events)
    return good


def _choose_switched(settings: DetectorSimulationSettings) -> NDArray[np.bool_]:
    number = round(settings.artefact_share * settings.n_events)
    order = np.random.default_rng((settings.seed, settings.n_events, 1)).permutation(
        settings.n_events
    )
    return np.asarray(order < number)
