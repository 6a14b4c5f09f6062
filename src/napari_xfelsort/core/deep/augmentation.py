"""Changes of training pictures that leave their anomalies as they are.

Those of Czyzewski et al. (2021): brightness and contrast, eighths of turns and mirrors,
enlargement. Unrolled pictures are shifted and mirrored along the angle instead of turned, and
enlarged along the radius only, since an angle goes once around.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.deep.settings import DeepSettings

Pictures = NDArray[np.float32]


def augmented(
    pictures: NDArray[np.uint8], settings: DeepSettings, random: np.random.Generator
) -> Pictures:
    """Changed copies of pictures (n, channels, side, side), between 0 and 1."""
    result = np.empty(pictures.shape, np.float32)
    for k, picture in enumerate(pictures):
        values = picture.astype(np.float32) / np.float32(255)
        if settings.turn and settings.unrolled:
            values = rolled(values, int(random.integers(values.shape[1])))
            values = values[:, ::-1] if random.random() < 0.5 else values
        elif settings.turn:
            values = dihedral(values, int(random.integers(8)))
        values = enlarged(
            values,
            float(random.uniform(1, settings.zoom)),
            (float(random.random()), float(random.random())),
            radius_only=settings.unrolled,
        )
        brightness, contrast = random.uniform(-settings.lighting, settings.lighting, 2)
        result[k] = lit(values, float(brightness), float(contrast))
    return result


def lit(picture: Pictures, brightness: float, contrast: float) -> Pictures:
    """Brighter by a number, and of another contrast around its mean; within 0..1.

    A contrast above 0 spreads values by 1 + contrast, one below by 1 / (1 - contrast).
    """
    factor = 1 + contrast if contrast >= 0 else 1 / (1 - contrast)
    mean = picture.mean()
    return np.asarray(np.clip((picture - mean) * factor + mean + brightness, 0, 1), np.float32)


def dihedral(picture: Pictures, which: int) -> Pictures:
    """One of the eight turns and mirrors of a square."""
    turned = np.rot90(picture, which % 4, axes=(1, 2))
    return turned[:, :, ::-1] if which >= 4 else turned


def rolled(picture: Pictures, rows: int) -> Pictures:
    """An unrolled picture as it is when the detector is turned."""
    return np.roll(picture, rows, axis=1)


def enlarged(
    picture: Pictures, factor: float, place: tuple[float, float], radius_only: bool = False
) -> Pictures:
    """A part of a picture at its full size, with linear interpolation.

    Parameters
    ----------
    picture : ndarray, shape (channels, side, side)
        The picture.
    factor : float
        How many times as large, from 1 on.
    place : (float, float)
        Where the part is, 0 at the first row and column and 1 at the last.
    radius_only : bool
        Enlarge along columns only, from the first one on, which is the beam.
    """
    if radius_only:
        return _stretched(picture, 2, factor, 0.0)
    return _stretched(_stretched(picture, 1, factor, place[0]), 2, factor, place[1])


def _stretched(picture: Pictures, axis: int, factor: float, place: float) -> Pictures:
    side = picture.shape[axis]
    where = np.arange(side) / factor + place * (side - 1) * (1 - 1 / factor)
    below = np.minimum(where.astype(np.intp), side - 1)
    share = (where - below).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis] = side
    share = share.reshape(shape)
    above = np.minimum(below + 1, side - 1)
    low, high = np.take(picture, below, axis=axis), np.take(picture, above, axis=axis)
    return np.asarray(low + (high - low) * share, np.float32)
