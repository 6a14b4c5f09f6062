"""What a picture is as a function of the distance from a point, for any point quickly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError, SettingsError
from napari_xfelsort.core.geometry.points import momentum_transfer
from napari_xfelsort.core.readout import known_beam
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.representations.rings import BinTable, equal_rings

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

Floats = NDArray[np.float64]

#: Of each ring.
STATISTICS = ("mean", "median")
#: Pixels of a picture that are used at most: a profile is to follow the mouse.
MOST_PIXELS = 1 << 20


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Rings of equal width about a point.

    Attributes
    ----------
    center : tuple of float
        Row and column of the point.
    radii : ndarray, shape (rings,)
        Mean distance in pixels of the pixels of each ring, ascending.
    values : ndarray, shape (rings,)
        Their mean or median.
    """

    center: tuple[float, float]
    radii: Floats
    values: Floats


class RadialPicture:
    """A picture whose profile about one point after another is wanted.

    Parameters
    ----------
    picture : ndarray, shape (y, x)
        Values; those that are not finite are not used.
    good : ndarray of bool, shape (y, x), optional
        Pixels to use; all if omitted.
    most : int
        Of larger pictures every second, third ... pixel is used, so that there are no more.

    Raises
    ------
    RegionError
        If no pixel is left.
    """

    def __init__(
        self,
        picture: NDArray[np.floating],
        good: NDArray[np.bool_] | None = None,
        most: int = MOST_PIXELS,
    ) -> None:
        used = np.isfinite(picture)
        if good is not None:
            used &= good
        places = np.flatnonzero(used)
        if not len(places):
            raise RegionError(
                "No pixel of this frame can be used: all are masked or not measured."
            )
        places = places[:: -(-len(places) // most)]
        self._rows, self._columns = np.divmod(places, picture.shape[1])
        self._values = picture.ravel()[places]

    def profile(
        self, center: tuple[float, float], width: float = 1.0, statistic: str = "mean"
    ) -> RadialProfile:
        """The profile about a point, which may lie off the picture.

        Parameters
        ----------
        center : tuple of float
            Row and column, pixel centres at whole numbers.
        width : float
            Of rings in pixels; about, for they divide what there is equally.
        statistic : {"mean", "median"}
            Of the pixels of a ring.

        Raises
        ------
        SettingsError
            If the point, the width or the statistic is not possible.
        """
        if statistic not in STATISTICS:
            raise SettingsError(f"statistic is {statistic!r} but must be mean or median.")
        if not (width > 0 and all(map(math.isfinite, center))):
            raise SettingsError(f"There are no rings of {width} pixels about {center}.")
        away = np.hypot(self._rows - center[0], self._columns - center[1])
        n = max(1, math.ceil((float(away.max()) - float(away.min())) / width))
        index, radii = equal_rings(away, np.ones(away.shape, bool), n)
        # Few enough numbers are sorted in linear time.
        table = BinTable(index.astype(np.int16) if n < 1 << 15 else index, n)
        values = table.statistics(self._values[np.newaxis], (statistic,))[0, :, 0]
        there = np.isfinite(values)
        return RadialProfile(center, radii[there], values[there])


def region_pixels(stack: EventStack, i: int, region: Region) -> NDArray[np.bool_] | None:
    """Raw pixels of a region, with the beam of event ``i``; None when it is the whole frame.

    Raises
    ------
    RegionError
        If the region does not suit the stack.
    """
    if region.kind == "whole":
        return None
    part = region.resolve(stack.raw_shape, stack.geometry, *known_beam(stack, i))
    inside = np.zeros(stack.raw_shape, bool)
    inside[part.window] = True if part.inside is None else part.inside
    return inside


def usable_pixels(stack: EventStack, i: int, region: Region | None = None) -> NDArray[np.bool_]:
    """Pixels of the assembled picture of an event that are in a region and not masked.

    Those of gaps and in no panel are not either.

    Raises
    ------
    RegionError
        If the region does not suit the stack.
    UnreadableFileError
        If the event's mask cannot be read.
    """
    good = np.ones(stack.raw_shape, bool)
    mask = stack.event_mask(i)
    if mask is not None:
        good &= ~mask.bad
    inside = None if region is None else region_pixels(stack, i, region)
    if inside is not None:
        good &= inside
    if stack.geometry is None:
        return good.reshape(-1, good.shape[-1])
    return np.asarray(stack.geometry.assemble(good.view(np.uint8), gap=0) != 0)


def q_of_radii(
    radii: Floats, photon_energy: float, camera_length: float, pixel_size: float
) -> Floats | None:
    """Momentum transfer in 1/angstrom at radii in pixels of a flat detector across the beam.

    Parameters
    ----------
    radii : ndarray
        In pixels.
    photon_energy : float
        In eV.
    camera_length, pixel_size : float
        In m.

    Returns
    -------
    ndarray or None
        None when one of the numbers is not known.
    """
    if not all(0 < n < math.inf for n in (photon_energy, camera_length, pixel_size)):
        return None
    away = np.asarray(radii, np.float64) * pixel_size
    return momentum_transfer(
        away, np.zeros_like(away), np.full_like(away, camera_length), photon_energy
    )
