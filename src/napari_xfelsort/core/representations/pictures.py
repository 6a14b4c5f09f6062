"""Pictures of one size for networks: as the detector is, and unrolled around the beam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.representations.frame_table import checked_frame, digest, kept

#: Share of the good pixels below the darkest and the lightest grey.
_DARKEST, _LIGHTEST = 0.1, 95.0
FILLS = ("nearest", "close", "zero")
REACHES = ("min", "max")


def cartesian(
    frame: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    size: int | tuple[int, int] = 512,
    fill: str = "nearest",
) -> NDArray[np.uint8]:
    """The frame as a picture of a fixed size, without the grid of gaps.

    As in RefleX (Czyzewski et al. 2021): values are cut at the 95th percentile of the good
    pixels, scaled to 0..255 (from the 0.1th percentile on), and resized to the nearest.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        Values that are not finite count as masked.
    mask : ndarray of bool, same shape, optional
        True where a pixel is bad.
    size : int or (int, int)
        Rows and columns of the picture.
    fill : str
        What stands where a pixel is bad: the ``nearest`` good one; ``zero``; ``close`` drops
        rows and columns without a good pixel, so that panels move together (which bends
        circles), and takes the nearest for what is left.

    Raises
    ------
    SettingsError
        If the frame is no picture, the mask does not fit or leaves no pixel, the size is not
        positive, or the fill unknown.
    """
    if fill not in FILLS:
        raise SettingsError(f"fill is {fill!r} but must be one of {', '.join(FILLS)}.")
    frame, bad = _usable(frame, mask)
    wanted = _size(size)
    key = ("cartesian", frame.shape, wanted, fill, digest(bad))
    source = kept(key, lambda: _sources(frame.shape, bad, wanted, fill))
    return _greys(frame, bad, source)


def polar(
    frame: NDArray[Any],
    center: tuple[float, float],
    mask: NDArray[np.bool_] | None = None,
    reach: str | float = "min",
    size: int | tuple[int, int] = 512,
    order: int = 0,
) -> NDArray[np.float32]:
    """The frame unrolled around a centre: a row a direction, a column a radius.

    Row i is at 2 pi i / rows from the direction of growing columns towards that of growing
    rows, column j at radius j reach / columns, as of `skimage.transform.warp_polar`.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        Values that are not finite count as masked.
    center : (float, float)
        (y, x) in pixels.
    mask : ndarray of bool, same shape, optional
        True where a pixel is bad.
    reach : str or float
        Largest radius: ``min`` to the nearest edge, ``max`` to the farthest corner, or a
        number of pixels.
    size : int or (int, int)
        Directions and radii.
    order : int
        0 for the nearest pixel, 1 for linear interpolation between good ones.

    Returns
    -------
    ndarray of float32, shape size
        NaN off the frame and where no good pixel is near.

    Raises
    ------
    SettingsError
        As `cartesian`; or if the order is neither 0 nor 1, or the reach not positive, as
        ``min`` is for a centre off the frame.
    """
    frame, bad = _usable(frame, mask)
    shape, middle = checked_frame(frame.shape, center, None)
    if order not in (0, 1):
        raise SettingsError(f"order is {order!r} but must be 0 or 1.")
    wanted, far = _size(size), polar_reach(shape, middle, reach)
    key = ("polar", shape, middle, far, wanted, order)
    places, weights = kept(key, lambda: _polar_places(shape, middle, far, wanted, order))
    values = frame.astype(np.float32).ravel()
    if bad is not None:
        values[bad.ravel()] = np.nan
    values = np.append(values, np.float32(np.nan))  # what is off the frame
    if order == 0:
        return np.asarray(values[places[0]])
    total = np.zeros(wanted, np.float32)
    weight = np.zeros(wanted, np.float32)
    for place, share in zip(places, weights, strict=True):
        own = values[place]
        good = ~np.isnan(own)
        total += np.where(good, own, 0) * share
        weight += good * share
    return np.divide(total, weight, out=np.full(wanted, np.nan, np.float32), where=weight > 1e-6)


def grey_picture(frame: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Cut at the 95th percentile of the good pixels and scaled to 0..255; bad ones are 0."""
    frame, bad = _usable(frame, mask)
    return _greys(frame, bad, np.arange(frame.size).reshape(frame.shape), zero_bad=True)


def polar_reach(shape: tuple[int, int], center: tuple[float, float], reach: str | float) -> float:
    """Largest radius in pixels; see `polar`.

    Raises
    ------
    SettingsError
        If it is not positive.
    """
    (y, x), (bottom, right) = center, (shape[0] - 1, shape[1] - 1)
    if reach == "min":
        far = min(y, x, bottom - y, right - x)
        if not far > 0:
            raise SettingsError(
                f"The centre ({y:g}, {x:g}) is not inside of the frame; take polar pictures up "
                "to the farthest corner (max) or a number of pixels."
            )
        return far
    if reach == "max":
        return math.hypot(max(y, bottom - y), max(x, right - x)) or 1.0
    if isinstance(reach, str) or not (math.isfinite(reach) and reach > 0):
        raise SettingsError(f"reach is {reach!r} but must be min, max or a positive number.")
    return float(reach)


def _usable(
    frame: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The frame, and its bad pixels where there are any."""
    frame = np.asarray(frame)
    checked_frame(frame.shape, (0.0, 0.0), mask)
    bad = None if mask is None or not mask.any() else np.asarray(mask, bool)
    if frame.dtype.kind == "f":
        finite = np.isfinite(frame)
        if not finite.all():
            bad = ~finite if bad is None else bad | ~finite
            if bad.all():
                raise SettingsError("Every pixel of the frame is masked.")
    return frame, bad


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    rows, columns = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(rows, columns) < 1:
        raise SettingsError(f"A picture of {rows} x {columns} pixels has no pixel.")
    return rows, columns


def _greys(
    frame: NDArray[Any],
    bad: NDArray[np.bool_] | None,
    source: NDArray[np.intp],
    zero_bad: bool = False,
) -> NDArray[np.uint8]:
    """Greys of the pixels ``source``, scaled by all good pixels; 0 where it is negative."""
    good = frame.ravel() if bad is None else frame[~bad]
    low, high = np.percentile(good, (_DARKEST, _LIGHTEST))
    values = np.clip(frame.ravel()[source].astype(np.float64), low, high)
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros(source.shape)
    hidden = source < 0
    if zero_bad and bad is not None:
        hidden = hidden | bad
    return np.where(hidden, 0, np.rint(scaled)).astype(np.uint8)


def _sources(
    shape: tuple[int, int], bad: NDArray[np.bool_] | None, size: tuple[int, int], fill: str
) -> NDArray[np.intp]:
    """Flat number of the pixel that each pixel of a picture shows, -1 for none."""
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    if fill == "close" and bad is not None:
        rows, columns = rows[~bad.all(axis=1)], columns[~bad.all(axis=0)]
    y = rows[_nearest(len(rows), size[0])][:, np.newaxis]
    x = columns[_nearest(len(columns), size[1])][np.newaxis]
    source = np.asarray(y * shape[1] + x, np.intp)
    if bad is None:
        return source
    if fill == "zero":
        return np.where(bad.ravel()[source], -1, source)
    from scipy.ndimage import distance_transform_edt

    near = distance_transform_edt(bad, return_distances=False, return_indices=True)
    return np.asarray(np.ravel_multi_index(tuple(near), shape).ravel()[source], np.intp)


def _nearest(n: int, wanted: int) -> NDArray[np.intp]:
    """The pixel, of ``n``, at the middle of each of ``wanted`` equal parts."""
    return np.asarray((np.arange(wanted) * 2 + 1) * n // (2 * wanted), np.intp)


def _polar_places(
    shape: tuple[int, int],
    center: tuple[float, float],
    far: float,
    size: tuple[int, int],
    order: int,
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float32]]]:
    """Flat numbers of the pixels that each place is made of (one more than all: off), shares."""
    angle = (2 * np.pi * np.arange(size[0]) / size[0])[:, np.newaxis]
    radius = (far * np.arange(size[1]) / size[1])[np.newaxis]
    y, x = center[0] + radius * np.sin(angle), center[1] + radius * np.cos(angle)
    if order == 0:
        return [_flat_place(np.rint(y), np.rint(x), shape)], []
    y0, x0 = np.floor(y), np.floor(x)
    places, shares = [], []
    for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        places.append(_flat_place(y0 + below, x0 + right, shape))
        share = np.abs(1 - below - (y - y0)) * np.abs(1 - right - (x - x0))
        shares.append(share.astype(np.float32))
    return places, shares


def _flat_place(
    y: NDArray[np.float64], x: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.intp]:
    there = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    flat = np.where(there, y * shape[1] + x, shape[0] * shape[1])
    return np.asarray(flat, np.intp)
