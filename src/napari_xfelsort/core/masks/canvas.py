"""`Canvas`: the frame that edits of a mask are done on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.making import Tile, tiles_of
from napari_xfelsort.core.polygons import points_in_polygon

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Side of the blocks of pixels that are looked at together, so that what is far away, or
#: well inside, costs nothing.
_SIDE = 64

#: Which of some points (x, y) are meant.
Test = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


class _Block(NamedTuple):
    """Some pixels of a panel, and where they are."""

    tile: Tile
    part: tuple[slice, slice]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


class _Blocks(NamedTuple):
    """All of them, and the corners (x, y) of the smallest box around each."""

    blocks: list[_Block]
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

    def inside(self, polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Pixels whose centres lie inside a polygon (x, y); raw shape."""
        found = self._empty()
        sides = np.stack([polygon, np.roll(polygon, -1, axis=0)])
        lows, highs = sides.min(axis=0), sides.max(axis=0)
        for number in self._near(polygon.min(axis=0), polygon.max(axis=0)):
            low, high = self._blocks.low[number], self._blocks.high[number]
            block = self._blocks.blocks[number]
            part = found[block.tile][block.part]
            if ((lows <= high) & (highs >= low)).all(axis=1).any():
                part |= points_in_polygon(block.x, block.y, polygon)
            else:  # no side comes near: all are inside, or none is
                part |= points_in_polygon(block.x[:1, :1], block.y[:1, :1], polygon)[0, 0]
        return found.reshape(self.raw_shape)

    def within(
        self, parts: Iterable[tuple[NDArray[np.float64], NDArray[np.float64], Test]]
    ) -> NDArray[np.bool_]:
        """Pixels whose centres are meant by any of some tests; raw shape.

        Parameters
        ----------
        parts : iterable of (low, high, test)
            Corners (x, y) of a box, and which points in it are meant.
        """
        found = self._empty()
        for low, high, test in parts:
            for number in self._near(low, high):
                block = self._blocks.blocks[number]
                part = found[block.tile][block.part]
                part |= test(block.x, block.y)
        return found.reshape(self.raw_shape)

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

    def _empty(self) -> NDArray[np.bool_]:
        return np.zeros(self._flat_shape if self.geometry is None else self.raw_shape, bool)

    def _near(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> list[int]:
        """Numbers of the blocks that have to do with a box."""
        near = (self._blocks.high >= low) & (self._blocks.low <= high)
        return np.flatnonzero(near.all(axis=1)).tolist()

    @functools.cached_property
    def _blocks(self) -> _Blocks:
        panels: list[tuple[Tile, NDArray[np.float64], NDArray[np.float64]]]
        if self.geometry is None:
            rows, columns = self._flat_shape
            x = np.broadcast_to(np.arange(columns, dtype=np.float64), (rows, columns))
            y = np.broadcast_to(np.arange(rows, dtype=np.float64)[:, np.newaxis], x.shape)
            panels = [((slice(None), slice(None)), x, y)]
        else:
            x, y, _ = self.geometry.positions()
            tiles = [panel.raw_index for panel in self.geometry.panels.values()]
            panels = [(tile, x[tile], y[tile]) for tile in tiles]
        blocks = [
            _Block(tile, part, x[part], y[part])
            for tile, x, y in panels
            for part in _parts(x.shape)
        ]
        low = [(block.x.min(), block.y.min()) for block in blocks]
        high = [(block.x.max(), block.y.max()) for block in blocks]
        return _Blocks(blocks, np.array(low).reshape(-1, 2), np.array(high).reshape(-1, 2))


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], _SIDE):
        for column in range(0, shape[1], _SIDE):
            yield slice(row, row + _SIDE), slice(column, column + _SIDE)
