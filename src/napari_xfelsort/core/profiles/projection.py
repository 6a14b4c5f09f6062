"""From the pixels of a region to one number for each place along an axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.profiles.settings import ProfileSettings
from napari_xfelsort.core.region import Region, ResolvedRegion

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry, Panel


class Projection:
    """Projects frames of a region to profiles.

    Along fs and ss a point is a column or row of the frame as stored, at its pixel index
    there. Along x and y it is a strip one pixel wide, at its distance from the beam in
    pixels, in CrystFEL's laboratory frame (y up). Along q it is a ring about one pixel
    wide, at its q in 1/angstrom. Strips and rings are at the mean of their pixels.

    Parameters
    ----------
    pixels : ResolvedRegion
        The window that frames are cut to, and the pixels of it to use.
    along : int or ndarray
        An axis of the window, or a number for each of its pixels (NaN: none).
    width : float
        Width of a strip, in units of these numbers.

    Attributes
    ----------
    positions : ndarray, shape (points,)
        Where the points are, ascending.
    n_pixels : ndarray of int, shape (points,)
        Pixels of the region at each point.
    """

    def __init__(
        self, pixels: ResolvedRegion, along: int | NDArray[np.float64], width: float = 1.0
    ) -> None:
        self.pixels = pixels
        self._axis = along if isinstance(along, int) else None
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        inside = np.ones(pixels.shape, bool) if pixels.inside is None else pixels.inside
        if isinstance(along, int):
            others = tuple(k for k in range(inside.ndim) if k != along)
            window = pixels.window[along]
            self.positions = np.arange(window.start, window.stop, dtype=np.float64)
            self.n_pixels = np.asarray(inside.sum(axis=others), np.int64)
        else:
            self._bin(inside & np.isfinite(along), along, width)

    def _bin(self, used: NDArray[np.bool_], along: NDArray[np.float64], width: float) -> None:
        index = np.flatnonzero(used)
        place = along.ravel()[index]
        # Half a width below the first, so that rounding splits no straight row of pixels.
        strip = np.floor((place - place.min()) / width + 0.5).astype(np.int64)
        order = np.argsort(strip, kind="stable")
        self._order = index[order]
        _, self._starts = np.unique(strip[order], return_index=True)
        self.n_pixels = np.diff(np.append(self._starts, len(index)))
        self.positions = np.add.reduceat(place[order], self._starts) / self.n_pixels

    @classmethod
    def for_region(
        cls,
        axis: str,
        region: Region,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None = None,
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> Projection:
        """Projection of a region along fs, ss, x, y or q.

        Parameters
        ----------
        axis : str
            ``fs``, ``ss``, ``x``, ``y`` or ``q``.
        region : Region
            What is projected.
        raw_shape : tuple of int
            Shape of a raw frame.
        geometry : Geometry, optional
            Needed for x, y and q.
        photon_energy, camera_length : float
            In eV and m; needed for q where the geometry does not say.

        Raises
        ------
        RegionError
            If the region cannot be resolved, or the axis is not known for it.
        """
        pixels = region.resolve(raw_shape, geometry, photon_energy, camera_length)
        if axis in ("fs", "ss"):
            return cls(pixels, _raw_axis(axis, pixels, raw_shape, geometry))
        if geometry is None:
            raise RegionError(f"A profile along {axis} needs a geometry; give one, or use fs, ss.")
        x, y, _ = (place[pixels.window] / geometry.pixel_size for place in geometry.positions())
        if axis == "q":
            known = (None if math.isnan(v) else v for v in (photon_energy, camera_length))
            along = geometry.q_map(*known)[pixels.window]
        else:
            along = x if axis == "x" else y
        used = np.isfinite(along)
        if pixels.inside is not None:
            used &= pixels.inside
        if not used.any():
            raise RegionError(
                f"No pixel of the region {region} has a known {axis}"
                + (": q needs photon energy and camera length." if axis == "q" else ".")
            )
        width = 1.0
        if axis == "q":
            radius = np.hypot(x, y)[used]
            width = np.ptp(along[used]) / max(1.0, np.ptp(radius)) or 1.0
        return cls(pixels, along, float(width))

    def profiles(
        self, frames: NDArray[Any], bad: NDArray[np.bool_] | None, settings: ProfileSettings
    ) -> NDArray[np.float64]:
        """Profiles of some events.

        Parameters
        ----------
        frames : ndarray, shape (events, ...window)
            Raw values of the window.
        bad : ndarray of bool, same shape, optional
            Values that must not be used; those that are not finite are left out anyway.
        settings : ProfileSettings
            ``statistic``, ``min_share`` and ``trim`` are used.

        Returns
        -------
        ndarray of float64, shape (events, points - 2 trim)
            NaN where too few pixels are good.
        """
        good = self._good(frames, bad)
        if settings.statistic == "mean":
            values, counts = self._means(frames, good)
        else:
            values, counts = self._medians(frames, good)
        few = counts < self._fewest(settings)
        values[np.broadcast_to(few, values.shape)] = np.nan
        return values[:, self.trimmed(settings.trim)]

    def trimmed(self, trim: int) -> slice:
        """The points that are left without ``trim`` points at each end."""
        return slice(trim, max(trim, len(self.positions) - trim))

    def n_points(self, settings: ProfileSettings) -> int:
        """Points of a profile that can count: not those between panels, or of few pixels."""
        pixels = self.n_pixels[self.trimmed(settings.trim)]
        return int(np.count_nonzero(pixels >= self._fewest(settings)))

    def _fewest(self, settings: ProfileSettings) -> float:
        """Good pixels that a point must have at least."""
        usual = float(np.median(self.n_pixels[self.n_pixels > 0]))
        return max(1.0, settings.min_share * usual)

    def _good(
        self, frames: NDArray[Any], bad: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Pixels to use, of one event where they are the same in all; None when all are."""
        good = None if bad is None else ~(bad[:1] if bad.strides[0] == 0 else bad)
        if frames.dtype.kind == "f":
            finite = np.isfinite(frames)
            if not finite.all():
                good = finite if good is None else good & finite
        if self.pixels.inside is not None and self._axis is not None:
            good = self.pixels.inside[np.newaxis] if good is None else good & self.pixels.inside
        return good

    def _means(
        self, frames: NDArray[Any], good: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        counts = self.n_pixels[np.newaxis]
        if good is not None:
            counts = self._sum(good, np.int64)
            frames = np.where(good, frames, frames.dtype.type(0))
        with np.errstate(over="ignore"):
            sums = self._sum(frames, np.float64)
        return sums / np.maximum(counts, 1), counts

    def _sum(self, values: NDArray[Any], dtype: Any) -> NDArray[Any]:
        if self._axis is None:
            flat = values.reshape(len(values), -1)
            picked = np.take(flat, self._order, axis=1)
            return np.asarray(np.add.reduceat(picked, self._starts, axis=1, dtype=dtype))
        others = tuple(k + 1 for k in range(values.ndim - 1) if k != self._axis)
        return np.asarray(np.add.reduce(values, axis=others, dtype=dtype))

    def _medians(
        self, frames: NDArray[Any], good: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        values = frames.astype(np.result_type(frames.dtype, np.float32))
        if good is not None:
            values[~np.broadcast_to(good, values.shape)] = np.nan
        if self._axis is not None:
            rows = np.moveaxis(values, self._axis + 1, 1)
            return _median(rows.reshape(*rows.shape[:2], -1))
        flat = np.take(values.reshape(len(values), -1), self._order, axis=1)
        strips = np.split(flat, self._starts[1:], axis=1)
        found = [_median(strip) for strip in strips]
        return np.stack([m for m, _ in found], axis=1), np.stack([n for _, n in found], axis=1)


def _median(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Median along the last axis without NaN, and how many values it is of."""
    counts = np.count_nonzero(~np.isnan(values), axis=-1)
    ordered = np.sort(values, axis=-1)  # NaN come last
    low = np.maximum(counts - 1, 0) // 2
    high = np.minimum(counts // 2, values.shape[-1] - 1)
    middle = [
        np.take_along_axis(ordered, k[..., np.newaxis], axis=-1)[..., 0].astype(np.float64)
        for k in (low, high)
    ]
    return middle[0] / 2 + middle[1] / 2, np.asarray(counts, np.int64)


def _raw_axis(
    axis: str, pixels: ResolvedRegion, raw_shape: tuple[int, ...], geometry: Geometry | None
) -> int:
    """Which axis of the raw frame fs or ss is.

    Raises
    ------
    RegionError
        If panels of the region differ in it, or the frame has no such axis.
    """
    n = len(raw_shape)
    if geometry is None:
        found = {(n - 2, n - 1)}
    else:
        found = {_scans(panel) for panel in geometry.panels.values() if _holds(pixels, panel)}
    if len(found) > 1:
        raise RegionError(
            "fs is stored along different axes in the panels of this region; choose panels of "
            "one kind, or a profile along x, y or q."
        )
    # A window of raw pixels may be beside all panels.
    ss, fs = found.pop() if found else (n - 2, n - 1)
    if min(ss, fs) < 0:
        raise RegionError(f"Frames of shape {raw_shape} have no axes fs and ss.")
    return fs if axis == "fs" else ss


def _scans(panel: Panel) -> tuple[int, int]:
    """Axes of the raw frame along which a panel's ss and fs are stored."""
    first, second = (k for k, i in enumerate(panel.raw_index) if isinstance(i, slice))
    return (second, first) if panel.transposed else (first, second)


def _holds(pixels: ResolvedRegion, panel: Panel) -> bool:
    """Whether a pixel of a panel is in the region."""
    shared = []
    for own, window in zip(panel.raw_index, pixels.window, strict=True):
        first, last = (own.start, own.stop) if isinstance(own, slice) else (own, own + 1)
        first, last = max(first, window.start), min(last, window.stop)
        if first >= last:
            return False
        shared.append(slice(first - window.start, last - window.start))
    return pixels.inside is None or bool(pixels.inside[tuple(shared)].any())
