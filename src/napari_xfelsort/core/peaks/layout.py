"""Where the panels are in a frame as stored, and how far its pixels are from the beam."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.points import momentum_transfer

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Side of the squares that stand for rings where the beam is not known, in pixels.
_TILE = 64
_MOST_BINS = 60000


class Placed(NamedTuple):
    """Columns and rows of the picture, pixels from the beam, and resolution of points."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    resolution: NDArray[np.float64]


class FrameLayout:
    """Panels, distances from the beam and bins of the frames of a run.

    Parameters
    ----------
    raw_shape : tuple of int
        Of the frames as stored.
    geometry : Geometry, optional
        Bound to frames of this shape.
    corners : bool
        Measure distances from the beam to the first corner of pixels, as CrystFEL and
        Cheetah do, not to their centres.

    Attributes
    ----------
    shape : pair of int
        Of the frame with its leading axes below one another.
    names : tuple of str
        Of the panels; those of modules when there is no geometry.
    rectangles : ndarray of int64, shape (panels, 4)
        First row, row after the last, and the same of columns.
    radius : ndarray of float32 or None
        Distance of each pixel from the beam in pixels, NaN outside of panels; of `shape`.
        None when the beam is not known.

    Raises
    ------
    GeometryError
        If a panel is no rectangle of the frame as stored.
    """

    def __init__(
        self,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None = None,
        corners: bool = False,
    ) -> None:
        if len(raw_shape) < 2:
            raise GeometryError(f"Peaks cannot be found in frames of shape {raw_shape}.")
        self.raw_shape = tuple(raw_shape)
        self.shape = (math.prod(raw_shape[:-1]), raw_shape[-1])
        self.geometry = geometry
        if geometry is None:
            modules = math.prod(raw_shape[:-2])
            height = raw_shape[-2]
            self.names = tuple(f"module{k}" if modules > 1 else "frame" for k in range(modules))
            self.rectangles = np.array(
                [(k * height, (k + 1) * height, 0, self.shape[1]) for k in range(modules)],
                np.int64,
            )
            self.radius: NDArray[np.float32] | None = None
        else:
            self.names = tuple(geometry.panels)
            self.rectangles = np.array([self._rectangle(name) for name in self.names], np.int64)
            self.radius = self._radius(geometry, 0.5 if corners else 0.0)

    def _rectangle(self, name: str) -> tuple[int, int, int, int]:
        assert self.geometry is not None
        index = self.geometry.panels[name].raw_index
        rows, columns = index[-2:]
        if not isinstance(rows, slice) or not isinstance(columns, slice):
            raise GeometryError(
                f"Panel {name} is no rectangle of the frames as stored; peaks cannot be found in "
                "it. Its fs and ss must be the last two axes."
            )
        above = 0
        for place, size in zip(index[:-2], self.raw_shape[:-2], strict=True):
            assert isinstance(place, int)
            above = above * size + place
        above *= self.raw_shape[-2]
        return above + rows.start, above + rows.stop, columns.start, columns.stop

    def _radius(self, geometry: Geometry, back: float) -> NDArray[np.float32]:
        x, y, _ = (axis.reshape(self.shape) for axis in geometry.positions())
        radius = np.full(self.shape, np.nan, np.float32)
        self._shift = np.zeros((len(self.names), 2))
        for k, (top, bottom, left, right) in enumerate(self.rectangles):
            panel = geometry.panels[self.names[k]]
            own = (slice(top, bottom), slice(left, right))
            steps = [back * (panel.fs[axis] + panel.ss[axis]) for axis in range(2)]
            radius[own] = np.hypot(x[own] * panel.res - steps[0], y[own] * panel.res - steps[1])
            for axis, place in enumerate((x, y)):  # by which the whole detector is shifted
                self._shift[k, axis] = place[top, left] - panel.position(0.5, 0.5, axis)
        return radius

    def bins(
        self, bad: NDArray[np.bool_] | None, low: float, high: float
    ) -> tuple[NDArray[np.uint16], int]:
        """Number of each pixel's bin: of its ring, or of a square without a known beam.

        Parameters
        ----------
        bad : ndarray of bool, of `shape`, optional
            Pixels that are not used.
        low, high : float
            Distances from the beam between which pixels are used, in pixels.

        Returns
        -------
        bins : ndarray of uint16, of `shape`
            The last number is that of pixels that are not used.
        n : int
            Numbers that there are, with the last.
        """
        if self.radius is None:
            rows, columns = (np.arange(n) // _TILE for n in self.shape)
            number = np.minimum(rows[:, None] * (columns[-1] + 1) + columns, _MOST_BINS)
        else:
            number = np.minimum(np.rint(np.nan_to_num(self.radius, nan=0.0)), _MOST_BINS)
        n = int(number.max()) + 2
        unused = self.unused(bad, low, high)
        return np.where(unused, n - 1, number).astype(np.uint16), n

    def unused(self, bad: NDArray[np.bool_] | None, low: float, high: float) -> NDArray[np.bool_]:
        """Which pixels are not used; parameters as of `bins`."""
        unused = np.zeros(self.shape, bool) if bad is None else bad.copy()
        if self.radius is not None:
            inside = np.nan_to_num(self.radius, nan=-1.0)
            unused |= (inside < max(low, 0.0)) | (inside > high)
        return unused

    def place(
        self,
        panel: NDArray[np.int32],
        row: NDArray[np.float64],
        column: NDArray[np.float64],
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> Placed:
        """Where points of the frame lie in the picture and from the beam.

        Parameters
        ----------
        panel : ndarray of int
            Number of the panel of each point.
        row, column : ndarray
            Of the frame with its leading axes below one another, pixel centres at integers.
        photon_energy, camera_length : float
            In eV and m (as `EventStack.camera_length`).
        """
        nothing = np.full(len(row), np.nan)
        geometry = self.geometry
        if geometry is None:
            return Placed(column.copy(), row.copy(), nothing, nothing.copy())
        x, y, radius, resolution = (nothing.copy() for _ in range(4))
        known = photon_energy > 0 and math.isfinite(camera_length)
        beyond = camera_length - geometry.camera_length(0.0)
        for k in np.unique(panel):
            own = panel == k
            one = geometry.panels[self.names[k]]
            top, _, left, _ = self.rectangles[k]
            s, f = row[own] - top + 0.5, column[own] - left + 0.5
            if one.transposed:
                s, f = f, s
            px, py, pz = (one.position(f, s, axis) for axis in range(3))
            px, py = px + self._shift[k, 0], py + self._shift[k, 1]
            x[own], y[own] = geometry.grid.columns(px), geometry.grid.rows(py)
            radius[own] = np.hypot(px, py) * one.res
            if known:
                with np.errstate(divide="ignore"):
                    q = momentum_transfer(px, py, pz + beyond, photon_energy)
                    resolution[own] = 2 * np.pi / q
        return Placed(x, y, radius, resolution)


def same_pixels(bad: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    """Whether the same pixels are bad; None is that none are."""
    if bad is None or other is None:
        return bad is other
    return np.array_equal(bad, other)
