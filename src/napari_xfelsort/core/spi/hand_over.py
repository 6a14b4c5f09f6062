"""All that Dragonfly needs of a run or a selection, in one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.atomic import make_folder, write_text_atomic
from napari_xfelsort.core.errors import NoEventsError, OutputError
from napari_xfelsort.core.lists import write_list
from napari_xfelsort.core.settings import Settings, setting
from napari_xfelsort.core.spi.dragonfly import (
    EMC_OUTPUT,
    PhotonFile,
    config_text,
    dragonfly_detector,
    write_blacklist,
    write_emc,
    write_photons_hdf5,
)
from napari_xfelsort.core.spi.photons import Progress
from napari_xfelsort.core.spi.rings import POLARISATIONS

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

#: Forms of photon files, and of detector files.
FORMS, DETECTORS = ("emc", "h5"), ("h5", "dat")


@dataclass(frozen=True)
class HandOverSettings(Settings):
    """How events are handed over to Dragonfly."""

    form: str = setting("emc", "photons as a binary .emc file, or as HDF5", choices=FORMS)
    detector: str = setting(
        "h5", "detector as HDF5, or as text (dat) for older programs", choices=DETECTORS
    )
    blacklist: bool = setting(
        False, "write the photons of all events, and those not chosen on a blacklist"
    )
    adu_per_photon: float = setting(
        0.0, "what a photon counts; 0: as the geometry says, else 1", unit="ADU", minimum=0
    )
    ewald_rad: float | None = setting(
        None, "radius of Ewald's sphere; the distance in pixels if unset", unit="voxels", minimum=1
    )
    orient_radius: float | None = setting(
        None, "pixels farther from the beam are not used for orientations", unit="voxels"
    )
    polarisation: str = setting("x", "of the beam, in the laboratory", choices=POLARISATIONS)
    num_div: int = setting(6, "fineness of orientations", minimum=1, maximum=60)
    need_scaling: bool = setting(True, "let the fluence differ from event to event")


@dataclass(frozen=True)
class HandOver:
    """What was written.

    Attributes
    ----------
    photons : PhotonFile
        The photon file, and how many events and photons.
    detector, config, events : Path
        Detector, configuration, and the CrystFEL list of the events in the photon file.
    blacklist : Path or None
        Which of them to skip.
    kept : int
        Events that are not skipped.
    """

    photons: PhotonFile
    detector: Path
    config: Path
    events: Path
    blacklist: Path | None
    kept: int


def hand_over(
    stack: EventStack,
    folder: str | os.PathLike[str],
    chosen: NDArray[np.bool_] | None = None,
    settings: HandOverSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> HandOver:
    """Write a folder with which Dragonfly starts.

    ``photons.emc`` (or ``.h5``), ``det.h5`` (or ``det.dat``), ``config.ini``, ``events.lst``
    (the events of the photon file, in its order) and perhaps ``blacklist.txt``; and the
    empty folder ``data``, where emc writes but which it does not make. Run
    ``emc -c config.ini`` in the folder.

    Parameters
    ----------
    stack : EventStack
        With a geometry.
    folder : path
        Made when absent.
    chosen : ndarray of bool, shape (events,), optional
        Events to hand over; all when omitted.
    settings : HandOverSettings, optional
        How.
    overwrite : bool
        Replace files of an earlier call.
    progress : callable, optional
        Called with events done and events in all.
    **changes
        Single settings by name.

    Raises
    ------
    NoEventsError
        If no event is chosen.
    GeometryError
        If it is not known where the pixels are.
    OutputError
        If a file exists and must not be replaced, or cannot be written.
    UnreadableFileError
        If an event cannot be read.
    """
    values = settings.to_dict() if settings is not None else {}
    s = HandOverSettings.from_dict({**values, **changes})
    kept = np.ones(len(stack), bool) if chosen is None else np.asarray(chosen, bool)
    if kept.shape != (len(stack),):
        raise ValueError(f"{kept.shape} choices for {len(stack)} events")
    if not kept.any():
        raise NoEventsError("No event is chosen.")
    place = Path(folder)
    photons, detector = place / f"photons.{s.form}", place / f"det.{s.detector}"
    config, events, black = (place / n for n in ("config.ini", "events.lst", "blacklist.txt"))
    wanted = [photons, detector, config, events, *([black] if s.blacklist else [])]
    for path in wanted:
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already; choose another folder, or overwrite to replace it."
            )
    made = dragonfly_detector(stack, s.ewald_rad, s.polarisation, s.orient_radius)
    names = {"in_photons_file": photons.name, "in_detector_file": detector.name}
    if s.blacklist:
        names["blacklist_file"] = black.name
    text = config_text(stack, names, s.num_div, s.need_scaling, s.ewald_rad)
    make_folder(place, EMC_OUTPUT)
    part = stack if s.blacklist or kept.all() else stack.subset(np.flatnonzero(kept))
    write = write_emc if s.form == "emc" else write_photons_hdf5
    written = write(part, photons, s.adu_per_photon or None, overwrite, progress)
    made.write(detector, s.detector == "dat", overwrite)
    write_list(events, (part.event_id(i) for i in range(len(part))), overwrite=overwrite)
    if s.blacklist:
        write_blacklist(black, kept, overwrite)
    write_text_atomic(config, text, overwrite)
    count = int(kept.sum())
    return HandOver(written, detector, config, events, black if s.blacklist else None, count)
