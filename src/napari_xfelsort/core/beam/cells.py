"""Photons of a frame in cells: rings around the beam, each cut into sectors.

What is brighter than its cell can be (Bragg peaks, hot pixels) is left out pixel by pixel,
and sectors that do not go with the rest of their ring (streaks, shadows, spotty ice) are
left out whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.peaks.layout import same_pixels
from napari_xfelsort.core.peaks.poisson import background, least_counts, photon_of

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

Floats = NDArray[np.float64]

#: Sectors of a ring; rings from the beam to the farthest pixel at most, and their least
#: width in pixels.
SECTORS = 24
_RINGS, _NARROWEST = 120, 1.5
#: Pixels at heights along the beam that differ by more (m) are not in one cell, and the
#: most heights that there are.
_HEIGHT, _MOST_HEIGHTS = 2e-3, 20
#: Powers of ten by which a pixel is too bright for its cell.
_TOO_BRIGHT = 5.0
#: Photons of a sector that it is judged by, together with sectors of neighbouring rings.
_JUDGED = 40.0
#: Deviations, and share of the expected photons, beyond which a sector is left out.
_APART, _UNEVEN = 4.5, 0.02
#: Rounds in which sectors are left out.
_ROUNDS = 3
#: Fewest pixels of a cell.
_FEWEST = 4


@dataclass(frozen=True, eq=False)
class CellPlaces:
    """Where the pixels of each cell are on average; arrays of shape (cells,).

    Attributes
    ----------
    ring, sector : ndarray of int
        Number of the ring (those of another height count on) and of the sector.
    radius : ndarray
        Distance from the beam axis in m.
    height : ndarray
        Along the beam in m, from the panel nearest the beam axis: to be added to the camera
        length.
    across : ndarray
        Squared cosine of the azimuth from the horizontal.
    lean, facing : ndarray
        Normal of the pixels: its part along the pixel's x and y (m), and along the beam.
    area : ndarray
        Of a pixel in m^2.
    """

    ring: NDArray[np.int64]
    sector: NDArray[np.int64]
    radius: Floats
    height: Floats
    across: Floats
    lean: Floats
    facing: Floats
    area: Floats

    def merged(self, group: NDArray[np.int64], n: int, weights: Floats) -> CellPlaces:
        """Places of groups of cells, by weighted means."""
        total = np.maximum(sums(group, weights, n), 1e-300)
        first = np.full(n, -1)
        first[group[::-1]] = np.arange(len(group))[::-1]
        means = [sums(group, weights * values, n) / total for values in self._numbers]
        return CellPlaces(self.ring[first], self.sector[first], *means)

    def chosen(self, keep: NDArray[Any]) -> CellPlaces:
        """Some of the cells."""
        numbers = [values[keep] for values in self._numbers]
        return CellPlaces(self.ring[keep], self.sector[keep], *numbers)

    @property
    def _numbers(self) -> tuple[Floats, ...]:
        return (self.radius, self.height, self.across, self.lean, self.facing, self.area)


def sums(key: NDArray[np.integer[Any]], values: NDArray[Any], n: int) -> Floats:
    """Sums of the values with the keys 0 to n - 1."""
    return np.bincount(key, values, n).astype(np.float64)


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Photons of one frame, or of several, in cells.

    Attributes
    ----------
    places : CellPlaces
        Where the cells are.
    photons : ndarray, shape (cells,)
        In the pixels that are used.
    exposure : ndarray, shape (cells,)
        Number of these pixels; of several frames in proportion to their brightness. 0 for a
        cell that is left out.
    events : int
        Number of frames.
    """

    places: CellPlaces
    photons: Floats
    exposure: Floats
    events: int = 1

    def without(self, off: NDArray[np.bool_]) -> CellCounts:
        """With some of the cells left out."""
        return dataclasses.replace(
            self,
            photons=np.where(off, 0.0, self.photons),
            exposure=np.where(off, 0.0, self.exposure),
        )

    @property
    def total(self) -> float:
        """All photons."""
        return float(self.photons.sum())

    @property
    def brightness(self) -> float:
        """Photons of a pixel, on average."""
        pixels = float(self.exposure.sum())
        return self.total / pixels if pixels else 0.0


def summed(counts: Sequence[CellCounts]) -> CellCounts:
    """Frames of one layout together; what is left out of one is missed in proportion.

    Parameters
    ----------
    counts : sequence of CellCounts
        At least one. Masks may differ.
    """
    if len(counts) == 1:
        return counts[0]
    every = [each.places for each in counts]
    numbers = [np.concatenate(part) for part in zip(*(p._numbers for p in every), strict=True)]
    ring, sector = (np.concatenate([getattr(p, k) for p in every]) for k in ("ring", "sector"))
    places = CellPlaces(ring, sector, *numbers)
    chosen, group = np.unique(ring * SECTORS + sector, return_inverse=True)
    n = len(chosen)
    usual = max(sum(each.brightness for each in counts), 1e-300)
    weights = np.concatenate([each.exposure * (each.brightness / usual) for each in counts])
    photons = np.concatenate([each.photons for each in counts])
    return CellCounts(
        places.merged(group, n, weights + 1e-12),
        sums(group, photons, n),
        sums(group, weights, n),
        sum(each.events for each in counts),
    )


class CellLayout:
    """Cells of the frames of a run; may be used from several threads, and pickled.

    Parameters
    ----------
    geometry : Geometry
        Bound to the frames.

    Raises
    ------
    GeometryError
        If no panel is farther from the beam than its neighbour, so that there are no rings.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.raw_shape = geometry.raw_shape
        self.shape = (math.prod(self.raw_shape[:-1]), self.raw_shape[-1])
        self._photon = photon_of(geometry)
        self._pixels = self._measure(geometry)
        self._kept: tuple[NDArray[np.bool_] | None, CellPlaces, NDArray[np.uint16]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"geometry": self.geometry}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["geometry"])  # type: ignore[misc]

    def _measure(self, geometry: Geometry) -> dict[str, NDArray[Any]]:
        x, y, z = (axis.reshape(-1) for axis in geometry.positions())
        inside = np.isfinite(x) & np.isfinite(y)
        clen = 0.0 if geometry.clen is None else geometry.clen.value or 0.0
        height = z - clen - geometry.camera_length(0.0)
        radius = np.hypot(x, y)
        largest = float(radius[inside].max()) if inside.any() else 0.0
        if largest <= 0.0:
            raise GeometryError(
                f"The geometry {geometry.source} has no pixels around the beam; photon energy "
                "and camera length cannot be found."
            )
        rings = int(np.clip(largest / geometry.pixel_size / _NARROWEST, 4, _RINGS))
        ring = np.minimum(np.nan_to_num(radius) * (rings / largest), rings - 1).astype(np.int32)
        azimuth = np.arctan2(np.nan_to_num(y), np.nan_to_num(x))
        sector = np.floor(azimuth * (SECTORS / (2 * np.pi))).astype(np.int32) % SECTORS
        low = float(height[inside].min())
        step = max(_HEIGHT, 1.001 * (float(height[inside].max()) - low) / _MOST_HEIGHTS)
        level = np.nan_to_num((height - low) / step).astype(np.int32)
        cell = np.where(inside, (level * rings + ring) * SECTORS + sector, -1)
        lean, facing, area = (np.zeros(cell.shape, np.float32) for _ in range(3))
        for panel in geometry.panels.values():
            fs, ss = np.array(panel.fs) / panel.res, np.array(panel.ss) / panel.res
            normal = np.cross(fs, ss)
            size = float(np.linalg.norm(normal))
            normal = normal / size * (1.0 if normal[2] >= 0.0 else -1.0)
            own = np.zeros(self.raw_shape, bool)
            own[panel.raw_index] = True
            at = own.reshape(-1)
            lean[at] = normal[0] * x[at] + normal[1] * y[at]
            facing[at], area[at] = normal[2], size
        across = np.cos(azimuth) ** 2
        return {
            "cell": cell,
            "radius": radius.astype(np.float32),
            "height": height.astype(np.float32),
            "across": across.astype(np.float32),
            "lean": lean,
            "facing": facing,
            "area": area,
        }

    def _cells(self, bad: NDArray[np.bool_] | None) -> tuple[CellPlaces, NDArray[np.uint16]]:
        """Places of the cells, and number of each pixel's, the last being those not used."""
        kept = self._kept
        if kept is not None and same_pixels(bad, kept[0]):
            return kept[1], kept[2]
        pixels = self._pixels
        cell = pixels["cell"]
        used = cell >= 0
        if bad is not None:
            used &= ~bad.reshape(-1)
        numbers = np.bincount(cell[used], minlength=1)
        chosen = np.flatnonzero(numbers >= _FEWEST)
        place = np.full(len(numbers) + 1, len(chosen))
        place[chosen] = np.arange(len(chosen))
        own = place[np.where(used, cell, -1)]
        n = len(chosen)
        count = np.maximum(np.bincount(own, minlength=n + 1)[:n], 1)

        def mean(name: str) -> Floats:
            return np.asarray(sums(own, np.nan_to_num(pixels[name]), n + 1)[:n] / count)

        names = ("radius", "height", "across", "lean", "facing", "area")
        places = CellPlaces(chosen // SECTORS, chosen % SECTORS, *map(mean, names))
        cells = own.astype(np.uint16).reshape(self.shape)
        self._kept = (None if bad is None else bad.copy(), places, cells)
        return places, cells

    def count(self, frame: NDArray[Any], bad: NDArray[np.bool_] | None = None) -> CellCounts:
        """Photons of a frame in cells.

        Parameters
        ----------
        frame : ndarray, raw shape
            As stored. NaN are not used.
        bad : ndarray of bool, raw shape, optional
            Pixels that must not be used.

        Raises
        ------
        GeometryError
            If the frame has another shape.
        """
        if frame.shape != self.raw_shape:
            raise GeometryError(
                f"The frame has shape {frame.shape}; the geometry is for {self.raw_shape}."
            )
        from napari_xfelsort.core.beam.beam_cell_loops import cell_sums

        values = np.ascontiguousarray(frame).reshape(self.shape)
        if values.dtype != np.int32:
            values = values.astype(np.float32, copy=False)  # two types to compile for
            values = np.where(np.isfinite(values), values, np.float32(np.nan))
        places, cells = self._cells(bad)
        n = len(places.ring)
        around = background(values, cells, n + 1, self._photon)
        level = around.level.astype(np.float64)
        limit = (least_counts(level, _TOO_BRIGHT) - around.offset) * np.float32(around.photon)
        limit[-1] = -np.inf
        sums = np.zeros((n + 1, 2))
        cell_sums(values, cells, limit.astype(np.float32), sums)
        photons = sums[:n, 1] / around.photon
        return CellCounts(places, *_even(places, photons, sums[:n, 0]))


def _even(places: CellPlaces, photons: Floats, pixels: Floats) -> tuple[Floats, Floats]:
    """Photons and pixels without sectors that do not go with the rest of their rings."""
    pixels = pixels.copy()
    ring, sector = places.ring, places.sector
    rings = int(ring.max(initial=0)) + 1
    for _ in range(_ROUNDS):
        kept = pixels > 0
        per_ring = sums(ring, photons * kept, rings)
        in_ring = sums(ring, pixels, rings)
        rate = np.divide(per_ring, in_ring, out=np.zeros(rings), where=in_ring > 0)
        group = np.cumsum(per_ring) / (SECTORS * _JUDGED)
        block = np.minimum(np.floor(group), np.arange(rings)).astype(np.int64)
        block = np.unique(block, return_inverse=True)[1]
        n = int(block.max(initial=0)) + 1
        key = block[ring] * SECTORS + sector
        size = n * SECTORS
        seen = sums(key, photons * kept, size).reshape(n, SECTORS)
        due = sums(key, pixels * rate[ring], size).reshape(n, SECTORS)
        cosine = sums(key, pixels * rate[ring] * places.across, size).reshape(n, SECTORS)
        out = _uneven(seen, due, np.divide(cosine, due, out=np.zeros_like(due), where=due > 0))
        drop = kept & out.reshape(-1)[key]
        if not drop.any():
            break
        pixels[drop] = 0.0
    return np.where(pixels > 0, photons, 0.0), pixels


def _uneven(seen: Floats, due: Floats, across: Floats) -> NDArray[np.bool_]:
    """Sectors (rows: blocks of rings) that are not due (1 + b (cos^2 - mean)) times one number."""
    there = due > 0
    ratio = np.divide(seen, due, out=np.full(due.shape, np.nan), where=there)
    slope = np.zeros((len(due), 1))
    with np.errstate(invalid="ignore"):
        level = np.nan_to_num(_row_median(ratio))[:, None]
    lever = across - 0.5
    for _ in range(5):
        expected = due * np.maximum(level + slope * lever, 1e-3)
        sigma = np.sqrt(np.maximum(expected, 1.0) + (_UNEVEN * expected) ** 2)
        z = np.where(there, seen - expected, 0.0) / sigma
        huber = np.minimum(1.0, 2.0 / np.maximum(np.abs(z), 1e-9)) * there
        w = huber * due**2 / sigma**2
        safe = np.nan_to_num(ratio)
        a, b, c = w.sum(1), (w * lever).sum(1), (w * lever**2).sum(1)
        u, v = (w * safe).sum(1), (w * lever * safe).sum(1)
        # Polarisation only ever takes away along the horizontal or the vertical: a weak prior.
        c = c + 4.0
        det = np.maximum(a * c - b * b, 1e-12)
        level = ((c * u - b * v) / det)[:, None]
        slope = ((a * v - b * u) / det)[:, None]
    expected = due * np.maximum(level + slope * lever, 1e-3)
    sigma = np.sqrt(np.maximum(expected, 1.0) + (_UNEVEN * expected) ** 2)
    return np.asarray(there & (np.abs(seen - expected) > _APART * sigma))


def _row_median(values: Floats) -> Floats:
    """Median of each row without its NaN; NaN for a row of NaN."""
    order = np.sort(values, axis=1)
    number = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(number - 1, 0) // 2, number // 2
    high = np.minimum(high, values.shape[1] - 1)
    return np.asarray(0.5 * (order[rows, low] + order[rows, high]))
