"""A simulated run of serial crystallography as files: CXI, geometry, lists, truth."""

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
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.simulate.detector import Progress, check_free
from napari_xfelsort.core.simulate.sfx.cxi import SfxFile
from napari_xfelsort.core.simulate.sfx.events import SfxMaker
from napari_xfelsort.core.simulate.sfx.geometry_text import run_geometry_text
from napari_xfelsort.core.simulate.sfx.settings import SfxSimulationSettings


@dataclass(frozen=True)
class SfxRun:
    """Where a simulated run lies, and its truth.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    data, geometry : Path
        CXI file and CrystFEL geometry.
    hits_list, blanks_list : Path
        CrystFEL lists of the events of the two classes.
    labels : ndarray of int8
        1 hit, 0 blank, -1 a crystal with too few spots that can be found.
    n_spots : int
        Spots that can be found, in all events.
    """

    folder: Path
    data: Path
    geometry: Path
    hits_list: Path
    blanks_list: Path
    labels: NDArray[np.int8]
    n_spots: int


def simulate_sfx(
    out: str | os.PathLike[str],
    settings: SfxSimulationSettings | None = None,
    *,
    geometry: Geometry | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> SfxRun:
    """Write a simulated run of serial crystallography.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``run0001.cxi``, ``run0001.geom``,
        ``run0001.toml`` (the settings), ``truth/run0001-hits.lst`` and
        ``truth/run0001-blanks.lst``.
    settings : SfxSimulationSettings, optional
        What to simulate; equal settings give equal data.
    geometry : Geometry or path, optional
        Of any detector; instead of the one that the settings name.
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
    GeometryError, UnreadableFileError
        If geometry or reflection list cannot be used.
    """
    values = settings.to_dict() if settings is not None else {}
    if geometry is not None and not isinstance(geometry, Geometry):
        changes["geometry"], geometry = os.fspath(geometry), None
    settings = SfxSimulationSettings.from_dict({**values, **changes})
    folder = Path(out)
    name = f"run{settings.run:04d}"
    data, geom, toml = (folder / f"{name}.{end}" for end in ("cxi", "geom", "toml"))
    hits, blanks = (folder / "truth" / f"{name}-{kind}.lst" for kind in ("hits", "blanks"))
    check_free((data, geom, toml, hits, blanks), overwrite)
    maker = SfxMaker(settings, geometry)
    text = run_geometry_text(maker.panels.geometry, settings.adu_per_photon, settings.stored_peaks)
    make_folder(folder, "truth")
    labels = np.zeros(settings.n_events, np.int8)
    found = 0
    with atomic_write(data, overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["simulation"] = json.dumps(settings.to_dict())
        writer = SfxFile(file, maker)
        for i in range(settings.n_events):
            event = maker.event(i)
            writer.write(i, event)
            labels[i] = event.label
            found += event.n_findable
            if progress is not None:
                progress(i + 1, settings.n_events)
        writer.finish()
    write_text_atomic(geom, text, overwrite)
    write_text_atomic(toml, settings.to_toml(), overwrite)
    for path, wanted in zip((hits, blanks), (1, 0), strict=True):
        chosen = np.flatnonzero(labels == wanted).tolist()
        write_list(path, (EventId(str(data), f"//{i}") for i in chosen), overwrite=overwrite)
    return SfxRun(folder, data, geom, hits, blanks, labels, found)
