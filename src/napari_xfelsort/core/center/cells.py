"""Frames made ready for finding the centre: which pixels count, their noise, cells of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.errors import SettingsError

#: True rows and columns of the pixels of a picture.
Places = tuple[NDArray[np.float32], NDArray[np.float32]]

#: Cells of the finest level along the longer side.
_FINEST = 256
#: Doublings of the cells' size.
_LEVELS = 4
#: Cells below which nothing can be said.
_FEWEST = 40
#: Different negative numbers that a frame of counts may have to say what a pixel is.
_CODES = 4
#: Median count above which zeros side by side are a gap, and how many.
_LIT, _GAP = 8, 5
#: With fewer counts: width of a strip of zeros that is a gap, light of dim parts in means of
#: the frame, and the counts that a strip without any should have had.
_STRIP, _DIM, _NEVER = 3, 0.25, 20.0
#: Regions that get a step of their own, at most; the largest.
_MOST_REGIONS = 128
#: Share of the frame below which a region gets none.
_SMALLEST_REGION = 4e-4


@dataclass(frozen=True, eq=False)
class Cells:
    """Square cells of pixels, without outliers.

    Attributes
    ----------
    size : int
        Pixels along a side.
    table : ndarray, shape (cells, 4)
        Number of pixels used, their mean value, mean row and mean column.
    regions : ndarray of int32, shape (cells,)
        Which part of the detector the cell lies in; -1 for parts too small to have a gain
        of their own.
    places : ndarray of int64, shape (cells, 2)
        Row and column of each in the net of cells.
    """

    size: int
    table: NDArray[np.float64]
    regions: NDArray[np.int32]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.regions)

    def without(self, left_out: NDArray[np.bool_]) -> Cells:
        """All but some of the cells."""
        kept = ~left_out
        return Cells(self.size, self.table[kept], self.regions[kept], self.places[kept])


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame and all that finders want to know of it before they start.

    Attributes
    ----------
    image : ndarray of float32, shape (y, x)
        0 where not good.
    good : ndarray of bool
        Pixels that count.
    gain, read : float
        Noise variance of a pixel of value v is about ``gain * v + read``.
    n_regions : int
        Parts of the detector between gaps.
    levels : list of Cells
        From the coarsest to the finest.
    blank : ndarray of bool
        Zeros side by side of a frame without a mask: gaps, or what lets nothing through.
    """

    image: NDArray[np.float32]
    good: NDArray[np.bool_]
    gain: float
    read: float
    n_regions: int
    levels: list[Cells]
    blank: NDArray[np.bool_]

    @property
    def side(self) -> float:
        """Longer side in pixels."""
        return float(max(self.image.shape))

    @property
    def middle(self) -> NDArray[np.float64]:
        """Row and column of the middle of the frame."""
        return (np.array(self.image.shape) - 1) / 2

    @property
    def usable(self) -> bool:
        """Whether there is enough to look at."""
        return len(self.levels[0]) >= _FEWEST

    @property
    def lit(self) -> bool:
        """Whether there is more light here than there, beyond the noise."""
        table = self.levels[0].table
        mean = table[:, 1]
        if mean.max() <= 0:
            return False
        noise = np.sqrt((self.gain * np.maximum(mean, 0) + self.read) / table[:, 0])
        return bool(np.ptp(np.percentile(mean, (5, 95))) > 3 * np.median(noise))


def check_frame(
    image: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values as float32 (0 where bad) and which pixels are good.

    Bad are: those of the mask, NaN and infinite ones, and of whole-number frames negative
    values and the type's largest, which detectors write for gaps and saturated pixels. Of
    frames of floats that hold whole numbers, negative ones too if they are few codes.

    Raises
    ------
    SettingsError
        If the image is no picture of numbers, or the mask does not fit it.
    """
    values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise SettingsError(
            f"The centre is looked for in one picture of numbers (y, x); this is an array of "
            f"shape {values.shape} and type {values.dtype}."
        )
    if values.dtype.kind == "f":
        good = np.isfinite(values)
        # Larger numbers would not survive being squared.
        good &= np.abs(values, where=good, out=np.zeros(values.shape, values.dtype)) < 1e15
        good &= ~_codes(values, good)
    else:
        good = np.ones(values.shape, bool)
        if values.dtype.kind == "i":
            good = values >= 0
        if values.dtype.kind in "iu" and values.dtype.itemsize > 1:
            good &= values < np.iinfo(values.dtype).max
    if mask is not None:
        bad = np.asarray(mask)
        if bad.shape != values.shape:
            raise SettingsError(
                f"The mask has shape {bad.shape} but the image {values.shape}; they must agree."
            )
        good &= bad == 0
    clean = np.zeros(values.shape, np.float32)
    np.copyto(clean, values, where=good, casting="unsafe")
    # In one order in memory: loops are compiled anew for any other.
    return clean, np.ascontiguousarray(good)


def _codes(values: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Negative numbers that say what a pixel is, in a frame of counts kept as floats.

    Writers of counting detectors set gaps to -1 and bad pixels to -2. Values from which
    something was taken off are no whole numbers, or have many negative ones.
    """
    negative = good & (values < 0)
    below = values[negative]
    if not below.size or ((below != below[0]).any() and len(np.unique(below)) > _CODES):
        return np.zeros(values.shape, bool)
    known = values[good]
    return negative if (known == np.rint(known)).all() else np.zeros(values.shape, bool)


def prepare(
    image: ArrayLike, mask: ArrayLike | None = None, places: Places | None = None
) -> PreparedFrame:
    """Make a frame ready.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Whole or floating-point numbers; NaN does not count.
    mask : array_like of bool, optional
        True where a pixel is bad.
    places : pair of ndarray, shape (y, x), optional
        True rows and columns of the pixels, where a picture shows them to the nearest pixel.

    Raises
    ------
    SettingsError
        As `check_frame`.
    """
    from napari_xfelsort.core.center.cell_loops import clipping_limits, gather_cells

    clean, good = check_frame(image, mask)
    blank = _blank(clean, good) if mask is None else np.zeros(good.shape, bool)
    good &= ~blank
    gain, read = _noise(clean, good)
    finest = max(1, round(max(clean.shape, default=0) / _FINEST))
    regions, n_regions = _regions(good, finest)
    clipping_size = 4 * finest
    clipping = clipping_limits(clean, good, clipping_size, gain, read)
    true = places or (np.empty((0, 0), np.float32),) * 2
    layers = gather_cells(clean, good, regions, finest, clipping, clipping_size, *true)
    return PreparedFrame(clean, good, gain, read, n_regions, _levels(finest, layers), blank)


def _blank(image: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Gaps of a frame without a mask: zeros side by side where light would be counted."""
    from scipy.ndimage import binary_opening

    zero = (image == 0) & good
    lit = image[good & ~zero]
    if not lit.size or lit.size == good.sum():
        return np.zeros(image.shape, bool)
    if np.median(lit) >= _LIT:
        return np.asarray(binary_opening(zero, np.ones((_GAP, _GAP), bool)))
    # With few counts a pixel may well have none, but not so many in a strip.
    dim = _DIM * float(np.minimum(lit, _LIT).sum()) / float(good.sum())
    length = int(np.ceil(_NEVER / (_STRIP * dim)))
    if length > max(image.shape) / 8:
        return np.zeros(image.shape, bool)
    return _strips(zero, (_STRIP, length)) | _strips(zero, (length, _STRIP))


def _strips(flags: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where rectangles of a size fit into what is True."""
    from scipy.ndimage import maximum_filter, minimum_filter

    inside = minimum_filter(flags.view(np.uint8), size, mode="constant")
    back = tuple(-1 if n % 2 == 0 else 0 for n in size)
    return np.asarray(maximum_filter(inside, size, mode="constant", origin=back).view(bool))


def _noise(image: NDArray[np.float32], good: NDArray[np.bool_]) -> tuple[float, float]:
    """Noise variance by value, ``gain * value + read``."""
    from napari_xfelsort.core.center.cell_loops import noise_of_blocks

    size = 16 if min(image.shape, default=0) >= 64 else 4
    mean, variance = noise_of_blocks(image, good, size)
    known = np.isfinite(mean)
    mean, variance = mean[known], variance[known]
    lit = mean > 0
    if not lit.any():
        return 1.0, float(max(np.median(variance), 1e-12)) if len(variance) else 1.0
    gain = float(np.median(variance[lit] / mean[lit]))
    if gain <= 0:  # no noise at all, as in a simulation
        return 1e-6 * float(np.median(mean[lit])), 0.0
    dim = mean <= np.percentile(mean, 20)
    read = float(np.median(variance[dim] - gain * np.maximum(mean[dim], 0)))
    return gain, max(read, 1e-3 * gain * gain)


def _regions(good: NDArray[np.bool_], finest: int) -> tuple[NDArray[np.int32], int]:
    """Parts of the detector that bad pixels keep apart, -1 for small ones; how many."""
    from scipy.ndimage import label

    found, n = label(good)
    sizes = np.bincount(found.ravel(), minlength=n + 1)
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")[:_MOST_REGIONS]
    order = order[sizes[order] > max(_SMALLEST_REGION * good.size, finest * finest)]
    table = np.full(n + 1, -1, np.int32)
    table[order] = np.arange(len(order))
    return table[found], len(order)


def _levels(finest: int, layers: tuple[NDArray[Any], ...]) -> list[Cells]:
    """Cells of all sizes, the largest first."""
    from napari_xfelsort.core.center.cell_loops import merge_cells

    size = finest
    levels = [_table(size, layers)]
    for _ in range(_LEVELS - 1):
        layers = merge_cells(*layers)
        size *= 2
        levels.append(_table(size, layers))
    while len(levels) > 1 and len(levels[-1]) < 200:
        levels.pop()
    return levels[::-1]


def _table(size: int, layers: tuple[NDArray[Any], ...]) -> Cells:
    count, total, mean_y, mean_x, region = layers
    kept = count >= max(1.0, 0.25 * size * size)
    table = np.column_stack([count[kept], total[kept] / count[kept], mean_y[kept], mean_x[kept]])
    return Cells(size, table, region[kept], np.argwhere(kept))
