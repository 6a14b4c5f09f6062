"""Frames as the pictures that networks see."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.representations import cartesian, polar

#: Pictures that take more than this lie in a temporary file.
IN_MEMORY = 1 << 30
#: Mean and spread of the pictures of ImageNet, all colours taken together.
_MEAN, _SPREAD = 0.449, 0.226


def picture_of(
    frame: NDArray[Any],
    settings: DeepSettings,
    center: Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8] | None:
    """One frame as a picture; None where it cannot be made.

    Parameters
    ----------
    frame : ndarray, shape (rows, columns)
        Assembled.
    settings : DeepSettings
        Representation and picture size.
    center : (float, float), optional
        Row and column of the beam; only unrolled pictures need it.
    mask : ndarray of bool, same shape, optional
        True where a pixel is bad.
    """
    side = settings.picture_size
    try:
        if not settings.unrolled:
            return cartesian(frame, mask, side)
        if center is None or not all(map(math.isfinite, center)):
            return None
        grey = cartesian(frame, mask, (frame.shape[0], frame.shape[1]))
        y, x = center
        reach = settings.representation.removeprefix("polar_")
        values = polar(grey, (float(y), float(x)), None, reach, side)
    except SettingsError:  # no good pixel, or no circle around the beam
        return None
    return np.nan_to_num(values).astype(np.uint8)


def pictures_of(
    frames: Any,
    settings: DeepSettings,
    centers: ArrayLike | None = None,
    masks: Any = None,
) -> Iterator[NDArray[np.uint8] | None]:
    """Pictures of frames, one after the other; see `picture_of`.

    Parameters
    ----------
    frames : iterable of ndarray, or EventStack
        Assembled frames; a stack is assembled event by event.
    settings : DeepSettings
        Representation and picture size.
    centers : array_like, shape (2,) or (events, 2), optional
        Beam centres (y, x), NaN where not known; one pair is for all.
    masks : ndarray of bool, or iterable of these, optional
        One of the shape of a frame is for all; otherwise one for each frame, or None.

    Raises
    ------
    SettingsError
        If centres are not pairs, or unrolled pictures are asked for without any.
    """
    if settings.unrolled and centers is None:
        raise SettingsError("Pictures unrolled around the beam need its centre.")
    places = None if centers is None else np.asarray(centers, np.float64)
    if places is not None and (places.ndim not in (1, 2) or places.shape[-1] != 2):
        raise SettingsError(f"Centres of shape {places.shape} are no pairs of row and column.")
    if hasattr(frames, "assembled"):
        frames = (frames.assembled(i) for i in range(len(frames)))
    shared = masks if isinstance(masks, np.ndarray) and masks.ndim == 2 else None
    each = iter(()) if masks is None or shared is not None else iter(masks)
    for k, frame in enumerate(frames):
        center = None if places is None else _row(places, k)
        own = shared if masks is None or shared is not None else next(each, None)
        yield picture_of(frame, settings, center, own)


def all_pictures(
    frames: Any,
    n: int,
    settings: DeepSettings,
    centers: ArrayLike | None = None,
    masks: Any = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures (n, side, side) of n frames, and which could be made; many lie in a file.

    Raises
    ------
    SettingsError
        As `pictures_of`, or if there are not n frames.
    """
    shape = (n, settings.picture_size, settings.picture_size)
    pictures = new_store(shape)
    made = np.zeros(n, np.bool_)
    k = -1
    for k, picture in enumerate(pictures_of(frames, settings, centers, masks)):
        if k == n:
            break
        if picture is not None:
            pictures[k], made[k] = picture, True
    if k != n - 1:
        raise SettingsError(f"There are {n} labelled events but another number of frames.")
    return pictures, made


def new_store(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array of zeros; a large one lies in a temporary file that ends with it."""
    if math.prod(shape) <= IN_MEMORY:
        return np.zeros(shape, np.uint8)
    with tempfile.TemporaryFile() as file:  # the array keeps it open by itself
        return np.memmap(file, np.uint8, "w+", shape=shape)


def reduced(pictures: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.uint8]:
    """Pictures (n, side, side) reduced to a size; shape (n, channels, size, size).

    The first channel is the mean of the pixels that each one stands for; of three, the second
    is the smallest and the third the largest. All are alike where nothing is reduced.
    """
    n, side = pictures.shape[:2]
    factor = side // size
    result = new_store((n, channels, size, size))
    for k in range(n):
        blocks = pictures[k].reshape(size, factor, size, factor)
        result[k, 0] = np.rint(blocks.mean(axis=(1, 3)))
        if channels == 3:
            result[k, 1], result[k, 2] = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
    return result


def normalised(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of 0..1 as networks trained on ImageNet know them."""
    return np.asarray((pictures - np.float32(_MEAN)) / np.float32(_SPREAD))


def in_batches(
    pictures: Iterable[NDArray[np.uint8] | None], size: int
) -> Iterator[list[NDArray[np.uint8] | None]]:
    """Pictures in lists of a size; the last may be shorter."""
    each = iter(pictures)
    while batch := list(islice(each, size)):
        yield batch


def _row(places: NDArray[np.float64], k: int) -> tuple[float, float]:
    if places.ndim == 2 and k >= len(places):
        raise SettingsError(f"There are {len(places)} centres and more frames.")
    y, x = places if places.ndim == 1 else places[k]
    return float(y), float(x)
