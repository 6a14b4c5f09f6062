"""The truth of a simulated run, read back: spots, and maps of where they are."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels


def read_spots(path: str | os.PathLike[str], event: int | None = None) -> NDArray[Any]:
    """Spots of a run, or of one event of it.

    Parameters
    ----------
    path : path
        A file that `simulate_sfx` wrote.
    event : int, optional
        From 0.

    Returns
    -------
    ndarray
        Fields as `events.SPOT`: ``frame``, ``fs``, ``ss``, ``photons``,
        ``photons_visible``, ``peak_pixel``, ``background``, ``significance``, ``panel``,
        ``h``, ``k``, ``l``, ``excitation``, ``resolution``.

    Raises
    ------
    UnreadableFileError
        If the file is none of these.
    """
    try:
        with h5py.File(path, "r") as file:
            spots = file["truth/spots"]
            if event is None:
                return np.asarray(spots[()])
            first = file["truth/first_spot"]
            if not 0 <= event < len(first) - 1:
                raise UnreadableFileError(f"{path} has no event {event}.")
            return np.asarray(spots[first[event] : first[event + 1]])
    except (OSError, KeyError) as error:
        raise UnreadableFileError(
            f"{path} holds no simulated serial crystallography: {error}."
        ) from error


def heat_map(
    spots: NDArray[Any],
    geometry: Geometry,
    sigma: float = 1.0,
    least: float = 6.0,
) -> NDArray[np.float32]:
    """A map of where spots are: round Gaussians of height 1 about their middles.

    Parameters
    ----------
    spots : ndarray
        Of one event, as `read_spots` gives them.
    geometry : Geometry
        Of the run.
    sigma : float
        Standard deviation in pixels.
    least : float
        Spots of a lower significance are left out.

    Returns
    -------
    ndarray of float32, raw shape
        From 0 to 1.
    """
    from napari_xfelsort.core.simulate.sfx.pixel_loops import paint_spots

    panels = DetectorPanels(geometry)
    heat = np.zeros(panels.size, np.float32)
    for number, panel in enumerate(panels.panels):
        own = spots[(spots["panel"] == number) & (spots["significance"] > least)]
        if len(own):
            f, s = panel.own_place(own["fs"], own["ss"])
            paint_spots(heat, panel.layout, np.column_stack([f, s]), sigma)
    return heat.reshape(panels.raw_shape)
