"""`Canvas`: the frame that edits of a mask are done on."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.making import Tile, tiles_of
from napari_xfelsort.core.region import pixels_in_polygons

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Rows of a panel that are looked at together: few, so that what is far away costs nothing.
_BAND = 64


class _Band(NamedTuple):
    """Some rows of a panel, where their pixels are, and the smallest box around these."""

    tile: Tile
    rows: slice
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Canvas:
    """What edits are done on.

    Attributes
    ----------
    raw_shape : tuple of int
        Of the mask.
    geometry : Geometry, optional
        Fitted to the raw shape; without one, shapes are in pixels of the raw frame, its
        modules below one another.
    images : mapping of str to ndarray, raw shape
        What thresholds look at.
    """

    raw_shape: tuple[int, ...]
    geometry: Geometry | None = None
    images: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def inside(self, polygons: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Pixels whose centres lie inside any of the polygons (x, y); raw shape."""
        found = np.zeros(self.raw_shape, bool)
        corners = np.concatenate(polygons)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if self.geometry is None:
            self._inside_flat(found, polygons, low, high)
            return found
        for band in self._bands:
            if (band.high >= low).all() and (band.low <= high).all():
                part = found[band.tile][band.rows]
                part |= pixels_in_polygons(band.x, band.y, polygons)
        return found

    def pixel_at(self, x: float, y: float) -> tuple[int, ...] | None:
        """The raw pixel that the picture shows at a point, None in a gap."""
        if self.geometry is not None:
            row, column = self.geometry.grid.picture([(x, y)])[0]
            return self.geometry.raw_index_at(float(row), float(column))
        rows, columns = self._flat_shape
        place = (math.floor(y + 0.5), math.floor(x + 0.5))
        if not (0 <= place[0] < rows and 0 <= place[1] < columns):
            return None
        leading = np.unravel_index(place[0], self.raw_shape[:-1])
        return (*map(int, leading), place[1])

    def numbers_at(
        self, rows: NDArray[np.integer[Any]], columns: NDArray[np.integer[Any]]
    ) -> tuple[int, ...]:
        """Numbers, through the raw frame in C order, of the pixels that a picture shows."""
        numbers = np.arange(math.prod(self.raw_shape)).reshape(self.raw_shape)
        if self.geometry is not None:
            picture = self.geometry.assemble(numbers, gap=-1)
        else:
            picture = numbers.reshape(self._flat_shape)
        found = picture[rows, columns]
        return tuple(np.unique(found[found >= 0]).tolist())

    def tiles(self, within: str) -> dict[str, Tile]:
        """Panels or modules by name; modules are numbered through the leading axes."""
        if within == "panel" and self.geometry is not None:
            return {name: panel.raw_index for name, panel in self.geometry.panels.items()}
        return {str(k): tile for k, tile in enumerate(tiles_of(self.raw_shape))}

    @property
    def _flat_shape(self) -> tuple[int, int]:
        return math.prod(self.raw_shape[:-1]), self.raw_shape[-1]

    def _inside_flat(
        self,
        found: NDArray[np.bool_],
        polygons: list[NDArray[np.float64]],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> None:
        rows, columns = self._flat_shape
        first = np.clip(np.floor(low), 0, (columns, rows)).astype(int)
        last = np.clip(np.ceil(high) + 1, 0, (columns, rows)).astype(int)
        y, x = np.mgrid[first[1] : last[1], first[0] : last[0]].astype(np.float64)
        if x.size:
            flat = found.reshape(rows, columns)
            flat[first[1] : last[1], first[0] : last[0]] = pixels_in_polygons(x, y, polygons)

    @functools.cached_property
    def _bands(self) -> list[_Band]:
        assert self.geometry is not None
        x, y, _ = self.geometry.positions()
        bands = []
        for panel in self.geometry.panels.values():
            for start in range(0, x[panel.raw_index].shape[0], _BAND):
                rows = slice(start, start + _BAND)
                part = x[panel.raw_index][rows], y[panel.raw_index][rows]
                low, high = (np.array([end(p) for p in part]) for end in (np.min, np.max))
                bands.append(_Band(panel.raw_index, rows, *part, low, high))
        return bands
