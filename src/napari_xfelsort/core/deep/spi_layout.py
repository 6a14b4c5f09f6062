"""From features that are pixels to the picture that a network of single hits sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import RegionError, SettingsError

if TYPE_CHECKING:
    from napari_xfelsort.core.features import FeatureExtractor
    from napari_xfelsort.core.geometry import Geometry

Floats = NDArray[np.float32]

#: Cells along a side of a picture.
LEAST, MOST = 12, 1024
#: A mirror maps the detector onto itself if the beam moves by at most so many cells, and so
#: large a share of the cells with pixels has pixels again.
_BEAM_MOVES, _COVERED_AGAIN = 2.0, 0.9
#: Cells along the longer side of a picture, about. With half as many, pairs of particles far
#: apart look like single ones.
_LONGEST = 192
#: Pixels by which places may be wrong by rounding.
_NEAR = 0.01
#: Rows that are worked on at once.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class PictureLayout:
    """Which cell of the picture each feature is in.

    Attributes
    ----------
    shape : tuple of int
        Rows (from the top) and columns of the picture.
    cell : ndarray of int32, shape (features,)
        Flat number of the cell of each feature.
    pixels : ndarray of float32, shape (rows, columns)
        Good pixels in each cell; 0 where there is none.
    beam : tuple of float or None
        Row and column of the beam, where a geometry says.
    side : int
        Pixels along the side of a cell.
    """

    shape: tuple[int, int]
    cell: NDArray[np.int32]
    pixels: Floats
    beam: tuple[float, float] | None
    side: int

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Cells that have pixels."""
        return np.asarray(self.pixels > 0)

    @cached_property
    def _order(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], Floats]:
        """Features by cell, where each cell starts, which cells, and how many features."""
        order = np.argsort(self.cell, kind="stable")
        cells, starts, counts = np.unique(self.cell[order], return_index=True, return_counts=True)
        return order, starts, cells, counts.astype(np.float32)

    def pictures(self, matrix: Floats) -> Floats:
        """Pictures of events, shape (events, rows, columns); 0 where no pixel is.

        Parameters
        ----------
        matrix : ndarray, shape (events, features)
            A cell has the mean of its features.
        """
        order, starts, cells, counts = self._order
        result = np.zeros((len(matrix), self.shape[0] * self.shape[1]), np.float32)
        for k in range(0, len(matrix), _ROWS):
            part = matrix[k : k + _ROWS]
            if len(cells) == len(order):
                result[k : k + _ROWS, self.cell] = part
            else:
                result[k : k + _ROWS, cells] = (
                    np.add.reduceat(part[:, order], starts, axis=1) / counts
                )
        return result.reshape(-1, *self.shape)

    def mirrors(self) -> str:
        """The mirrors that map the detector onto itself: none, rows, columns or both.

        None where the place of the beam is not known.
        """
        if self.beam is None:
            return "none"
        fits = []
        for axis in (0, 1):
            moves = abs(self.shape[axis] - 1 - 2 * self.beam[axis])
            again = self.covered & np.flip(self.covered, axis)
            fits.append(
                moves <= _BEAM_MOVES and again.sum() >= _COVERED_AGAIN * self.covered.sum()
            )
        return {(False, False): "none", (True, False): "rows", (False, True): "columns"}.get(
            (fits[0], fits[1]), "both"
        )


def flips(mirrors: str) -> tuple[tuple[int, ...], ...]:
    """Axes to flip of (events, rows, columns), in all ways that mirrors can be put together."""
    return {
        "none": ((),),
        "rows": ((), (1,)),
        "columns": ((), (2,)),
        "both": ((), (1,), (2,), (1, 2)),
    }[mirrors]


def picture_layout(
    extractor: FeatureExtractor,
    geometry: Geometry | None,
    side: int | None = None,
) -> PictureLayout:
    """The layout for the features of an extractor.

    Parameters
    ----------
    extractor : FeatureExtractor
        Of features of the kind pixels only.
    geometry : Geometry or None
        Where pixels are, and the beam. Without one, frames must be plain pictures.
    side : int, optional
        Pixels along the side of a cell; else so many that the longer side has about
        192 cells, as published.

    Raises
    ------
    SettingsError
        If there are features of another kind, or the cells are too large or too small.
    RegionError
        If it is not known where the pixels are.
    """
    if tuple(extractor.settings.kinds) != ("pixels",):
        raise SettingsError(
            "A network sees pictures, so that the features must be of the kind pixels alone; "
            f"they are {', '.join(extractor.settings.kinds)}."
        )
    number = extractor.pixel_map(np.arange(extractor.n_features))
    y, x, beam = _positions(number, geometry)
    used = np.isfinite(number) & np.isfinite(y) & np.isfinite(x)
    features = number[used].astype(np.intp)
    counts = np.bincount(features, minlength=extractor.n_features)
    if not counts.all():
        raise RegionError(
            "The geometry does not say where some pixels of the region are; choose a region "
            "of its panels."
        )
    rows, columns = (
        np.bincount(features, place[used], extractor.n_features) / counts for place in (y, x)
    )
    extent = [float(np.ptp(place[used])) + 1 for place in (y, x)]
    if side is None:
        side = max(1, round(max(extent) / _LONGEST))
    first = float(y[used].min()), float(x[used].min())
    shape = (
        math.ceil((extent[0] - _NEAR) / side),
        math.ceil((extent[1] - _NEAR) / side),
    )
    if min(shape) < LEAST or max(shape) > MOST:
        raise SettingsError(
            f"Cells of {side} px make a picture of {shape[0]} x {shape[1]}, but a network sees "
            f"{LEAST} to {MOST} along each side; choose other cells or another region."
        )
    places = [
        np.clip(((place - start + _NEAR) / side).astype(np.int64), 0, n - 1)
        for place, start, n in zip((rows, columns), first, shape, strict=True)
    ]
    cell = (places[0] * shape[1] + places[1]).astype(np.int32)
    pixels = np.bincount(cell, counts, shape[0] * shape[1]).reshape(shape).astype(np.float32)
    middle = (side - 1) / 2
    at = None
    if beam is not None:
        at = ((beam[0] - first[0] - middle) / side, (beam[1] - first[1] - middle) / side)
    return PictureLayout(shape, cell, pixels, at, side)


def _positions(
    number: NDArray[np.float64], geometry: Geometry | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float] | None]:
    """Rows downwards and columns of pixels, in pixels, and of the beam."""
    if geometry is not None:
        x, y, _ = (np.asarray(place, np.float64) for place in geometry.positions())
        return -y / geometry.pixel_size, x / geometry.pixel_size, (0.0, 0.0)
    if number.ndim != 2:
        raise RegionError(
            "Frames of several modules need a geometry, which says where they are; give one."
        )
    rows, columns = np.indices(number.shape)
    return np.asarray(rows, np.float64), np.asarray(columns, np.float64), None
