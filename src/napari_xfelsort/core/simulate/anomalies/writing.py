"""Simulated anomalies as a CXI run, or as labelled pictures like the published ones."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.atomic import atomic_write, make_folder, write_text_atomic
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.simulate.anomalies.events import AnomalyEvent, AnomalyMaker
from napari_xfelsort.core.simulate.anomalies.ground import UNSURE, VISIBLE
from napari_xfelsort.core.simulate.anomalies.settings import AnomalySimulationSettings
from napari_xfelsort.core.simulate.detector import Progress, check_free
from napari_xfelsort.core.simulate.plane_file import PlaneFile, plane_geometry_text, plane_mask

#: Side of the published pictures.
PICTURE_SIDE = 512


@dataclass(frozen=True, eq=False)
class AnomalyRun:
    """Where simulated anomalies lie, and their truth.

    Attributes
    ----------
    folder : Path
        The folder that was asked for.
    data : Path
        The CXI file, or the table of the pictures' labels.
    geometry : Path or None
        The CrystFEL geometry of a CXI file.
    lists : dict of str to Path
        CrystFEL list of the events that have an anomaly, by its name; empty for pictures.
    labels : ndarray of int8, shape (events, 7)
        In the order of `ANOMALIES`: 1 there, 0 not there, -1 too weak to be sure.
    """

    folder: Path
    data: Path
    geometry: Path | None
    lists: dict[str, Path]
    labels: NDArray[np.int8]


def simulate_anomalies(
    out: str | os.PathLike[str],
    settings: AnomalySimulationSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> AnomalyRun:
    """Write a run with known anomalies: CXI, geometry, a list of events for each anomaly.

    Parameters
    ----------
    out : path
        Folder to write into; made when absent. It gets ``run0001.cxi``, ``run0001.geom``
        and ``truth/run0001-ice_ring.lst`` and so on. The CXI file has ``truth/labels``
        (events x 7, named by its attribute ``classes``; 1 there, 0 not, -1 unsure),
        ``truth/center`` (row, column) and ``truth/parameters`` (JSON).
    settings : AnomalySimulationSettings, optional
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
        If a setting is unknown or out of range, or setups differ from event to event: a
        run has one geometry.
    """
    settings = _settings(settings, changes)
    if settings.setups != "run":
        raise SettingsError(
            "A CXI run has one geometry, so that setups must be run; write pictures to have "
            "a setup for each event."
        )
    folder = Path(out)
    stem = f"run{settings.run:04d}"
    data, geometry = folder / f"{stem}.cxi", folder / f"{stem}.geom"
    lists = {name: folder / "truth" / f"{stem}-{name}.lst" for name in ANOMALIES}
    check_free((data, geometry, *lists.values()), overwrite)
    _make(folder / "truth")
    maker = AnomalyMaker(settings)
    ground = maker.ground(0)
    labels = np.zeros((settings.n_events, len(ANOMALIES)), np.int8)
    with atomic_write(data, overwrite) as temporary, h5py.File(temporary, "w") as file:
        # The bad pixels are those of every event.
        mask = plane_mask(ground.plane, maker.event(0).mask)
        writer = _plane_file(file, settings, mask)
        for i, event in enumerate(maker):
            optics = event.optics.wavelength, event.optics.distance
            writer.write(i, event.image, optics, _truth(event))
            labels[i] = event.labels
            if progress is not None:
                progress(i + 1, settings.n_events)
    write_text_atomic(geometry, plane_geometry_text(ground.plane, ground.optics), overwrite)
    for k, (_, path) in enumerate(lists.items()):
        there = np.flatnonzero(labels[:, k] == VISIBLE).tolist()
        write_list(path, (EventId(str(data), f"//{i}") for i in there), overwrite=overwrite)
    return AnomalyRun(folder, data, geometry, lists, labels)


def simulate_anomaly_pictures(
    out: str | os.PathLike[str],
    settings: AnomalySimulationSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> AnomalyRun:
    """Write labelled pictures in the layout of the published data set.

    The folder gets ``labels.csv`` (columns ``image`` and the seven names; 1 there, 0 not,
    0.5 unsure), ``images/NAME.png`` (512 x 512, 8 bit, dark where there are many counts,
    cut at the 95th percentile, gaps filled) and ``truth/centers.csv`` (row and column of
    the beam in the picture). See `simulate_anomalies` for parameters and errors; setups
    may differ from event to event here.
    """
    settings = _settings(settings, changes)
    folder = Path(out)
    names = [f"sim{settings.run:04d}_{i:05d}" for i in range(settings.n_events)]
    table, centers = folder / "labels.csv", folder / "truth" / "centers.csv"
    pictures = [folder / "images" / f"{name}.png" for name in names]
    check_free((table, centers, *pictures), overwrite)
    for place in ("images", "truth"):
        _make(folder / place)
    labels = np.zeros((settings.n_events, len(ANOMALIES)), np.int8)
    places = []
    zoom = PICTURE_SIDE / settings.side
    for i, event in enumerate(AnomalyMaker(settings)):
        _write_picture(pictures[i], event, overwrite)
        labels[i] = event.labels
        places.append([(c + 0.5) * zoom - 0.5 for c in event.center])
        if progress is not None:
            progress(i + 1, settings.n_events)
    rows = [
        [name, *(0.5 if value == UNSURE else value for value in row.tolist())]
        for name, row in zip(names, labels, strict=True)
    ]
    spots = [[n, f"{y:.2f}", f"{x:.2f}"] for n, (y, x) in zip(names, places, strict=True)]
    write_text_atomic(centers, _table(["image", "row", "column"], spots), overwrite)
    write_text_atomic(table, _table(["image", *ANOMALIES], rows), overwrite)
    return AnomalyRun(folder, table, None, {}, labels)


def _settings(
    settings: AnomalySimulationSettings | None, changes: dict[str, Any]
) -> AnomalySimulationSettings:
    if settings is None:
        return AnomalySimulationSettings.from_dict(changes)
    if changes:
        return AnomalySimulationSettings.from_dict({**settings.to_dict(), **changes})
    return settings


def _make(folder: Path) -> None:
    make_folder(folder)


def _plane_file(
    file: h5py.File, settings: AnomalySimulationSettings, mask: NDArray[np.uint16]
) -> PlaneFile:
    writer = PlaneFile(
        file,
        settings.n_events,
        settings.side,
        settings.compression,
        mask,
        {
            "labels": ("i1", (len(ANOMALIES),)),
            "center": ("f8", (2,)),
            "parameters": ("json", ()),
        },
    )
    file["truth/labels"].attrs["classes"] = list(ANOMALIES)
    file["truth/labels"].attrs["meaning"] = "1 there, 0 not there, -1 too weak to be sure"
    return writer


def _truth(event: AnomalyEvent) -> dict[str, Any]:
    return {"labels": event.labels, "center": event.center, "parameters": event.truth}


def _write_picture(path: Path, event: AnomalyEvent, overwrite: bool) -> None:
    from PIL import Image

    from napari_xfelsort.core.representations.pictures import cartesian

    greys = 255 - cartesian(event.image, event.mask, PICTURE_SIDE)
    with atomic_write(path, overwrite) as temporary:
        Image.fromarray(greys).save(temporary, format="PNG")


def _table(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
