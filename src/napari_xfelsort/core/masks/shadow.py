"""Shadows of a beam stop, its arm or a nozzle: connected regions that are dark in the light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.frames import Frames
from napari_xfelsort.core.masks.making import ordinary_sample
from napari_xfelsort.core.masks.modules import Unit

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Frames that are looked at.
_SAMPLE = 60
#: Side in pixels of the blocks that shadows are looked for in.
_BLOCK = 4
#: Side in blocks of what is around a block.
_AROUND = 33
#: A shadow is darker than this share of the brightness around it.
_DARKER = 0.5
#: Percentile of the brightness around.
_BRIGHT = 75
#: Blocks of the smallest shadow.
_LEAST_BLOCKS = 6
#: Pixels on either side that the edge of a shadow is looked for in.
_EDGE = 4


def light_of(frames: Frames, units: Sequence[Unit], ordinary: bool = False) -> NDArray[np.float64]:
    """Mean of a sample of frames, raw shape.

    ``ordinary``: without the least and largest tenth of each pixel's values, so that Bragg
    peaks count for nothing.
    """
    light = np.full(frames.raw_shape, np.nan)
    some = ordinary_sample(frames, units, _SAMPLE)
    for unit in units:
        sample = np.concatenate(list(some.blocks(unit.window)))
        if ordinary:
            cut = len(sample) // 10
            sample = np.sort(sample, axis=0)[cut : len(sample) - cut]
        light[unit.window] = sample.mean(axis=0, dtype=np.float64)
    return light


def find_shadow(
    light: NDArray[np.float64], bad: NDArray[np.bool_], geometry: Geometry | None = None
) -> NDArray[np.bool_]:
    """Pixels in a shadow.

    A shadow is a connected region that has less than half of the light that is around it.
    It may be larger than what is looked at around a pixel, if its rim is seen.

    Parameters
    ----------
    light : ndarray, raw shape
        Mean in the light above the dark level; NaN where not known.
    bad : ndarray of bool, raw shape
        Pixels not to look at.
    geometry : Geometry, optional
        Shadows then go on across panels; without one, modules are looked at one by one.

    Returns
    -------
    ndarray of bool, raw shape
        Without pixels that are bad.
    """
    usable = np.where(bad, np.nan, light)
    if geometry is not None:
        picture = geometry.assemble(usable)
        found = geometry.disassemble(_in_picture(picture).astype(np.uint8)) != 0
        return np.asarray(found & ~bad)
    shadow = np.zeros(light.shape, bool)
    for place in np.ndindex(*light.shape[:-2]):
        shadow[place] = _in_picture(usable[place])
    return shadow & ~bad


def _in_picture(picture: NDArray[np.float64]) -> NDArray[np.bool_]:
    from scipy import ndimage

    none = np.zeros(picture.shape, bool)
    blocks = _block_medians(picture)
    known = np.isfinite(blocks)
    if known.sum() < _LEAST_BLOCKS:
        return none
    # What is in a gap is as what is next to it: shadows go on across it.
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = blocks[tuple(nearest)]
    around = ndimage.percentile_filter(filled, _BRIGHT, size=_AROUND, mode="nearest")
    seeds = filled < _DARKER * around
    if not seeds.any():
        return none
    # The middle of a large shadow sees no light around it; its rim does.
    rim = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
    dark = filled < _DARKER * around[tuple(rim)]
    labels, _ = ndimage.label(dark, structure=np.ones((3, 3)))
    sizes = np.bincount((labels * (known & dark)).ravel())
    real = np.unique(labels[seeds & (sizes[labels] >= _LEAST_BLOCKS)])
    region = np.isin(labels, real[real > 0])
    if not region.any():
        return none
    bound = _DARKER * around[tuple(rim)]
    rows, columns = (np.minimum(np.arange(n) // _BLOCK, m - 1)
                     for n, m in zip(picture.shape, region.shape, strict=True))  # fmt: skip
    fine = np.ix_(rows, columns)
    near = ndimage.binary_dilation(region[fine], iterations=_EDGE)
    inside = ndimage.binary_erosion(region[fine], iterations=_EDGE)
    smooth = _smooth(picture)
    with np.errstate(invalid="ignore"):
        edge = near & (smooth < bound[fine])
    return np.asarray(ndimage.binary_fill_holes(inside | edge))


def _block_medians(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the known pixels of each block; NaN where most are not known."""
    rows, columns = (-(-n // _BLOCK) for n in picture.shape)
    padded = np.full((rows * _BLOCK, columns * _BLOCK), np.nan)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    cells = padded.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)
    n = np.isfinite(cells).sum(axis=-1)
    ordered = np.sort(np.where(np.isfinite(cells), cells, np.inf), axis=-1)
    middle = np.take_along_axis(ordered, np.maximum(n - 1, 0)[..., np.newaxis] // 2, -1)[..., 0]
    return np.where(2 * n >= _BLOCK * _BLOCK // 2, middle, np.nan)


def _smooth(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of 3 x 3 known pixels; NaN where none is known."""
    from scipy import ndimage

    known = np.isfinite(picture)
    total = ndimage.uniform_filter(np.where(known, picture, 0.0), 3)
    share = ndimage.uniform_filter(known.astype(float), 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(share > 0.05, total / share, np.nan))
