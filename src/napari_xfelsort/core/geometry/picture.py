"""The assembled picture of a geometry."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import assembly
from napari_xfelsort.core.geometry.placed import PlacedPanels
from napari_xfelsort.core.geometry.tables import (
    Tables,
    build_block_tables,
    build_nearest_tables,
    choose_method,
)

Method = Literal["auto", "gather", "block"]
_METHODS = ("auto", "gather", "block")


class Picture(PlacedPanels):
    """Frames as they look in the laboratory."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the assembled picture."""
        return self.grid.shape

    @property
    def pixel_size(self) -> float:
        """Size in m of a pixel of the assembled picture: the median of the panels'."""
        return self.grid.pixel

    @property
    def beam_position(self) -> tuple[float, float]:
        """(y, x) of the beam axis in the assembled picture, pixel centres at integers."""
        return self.grid.row_of_axis, self.grid.column_of_axis

    @property
    def method(self) -> str:
        """How "auto" assembles: ``block`` or ``gather``, the same for every frame."""
        return self._once("method", lambda: choose_method(self._placed, self.grid))

    def _tables(self, method: str) -> Tables:
        if method not in _METHODS:
            raise GeometryError(f"The method {method!r} is not known; use {', '.join(_METHODS)}.")
        name = self.method if method == "auto" else method
        build = build_block_tables if name == "block" else build_nearest_tables
        return self._once(name, lambda: build(self._placed, self.grid, self.raw_shape))

    def assemble(
        self,
        raw: NDArray[Any],
        out: NDArray[Any] | None = None,
        gap: Any = None,
        method: Method = "auto",
    ) -> NDArray[Any]:
        """A frame as it looks in the laboratory.

        *gather* puts every pixel into the cell that its centre lies in, exact to the
        nearest pixel for any geometry; where two meet, one is lost (see `overlaid`), and a
        cell between pixels of a turned panel repeats the pixel it lies in. *block* sets each
        panel on the grid as a whole, which is several times faster. "auto" takes *block*
        where every pixel of every panel then is within 0.75 pixels of its place and no panels
        overlap, else *gather*; this depends on the geometry alone, so that all frames
        look alike.

        Parameters
        ----------
        raw : ndarray, raw shape
            Any type. C-contiguous frames are copied once.
        out : ndarray, optional
            C-contiguous array of `shape` and of the frame's type to fill.
        gap : scalar, optional
            Value where no panel is; NaN for floating-point frames and 0 for others if
            omitted.
        method : str
            ``auto``, ``gather`` or ``block``.

        Returns
        -------
        ndarray, shape (y, x)
            Of the frame's type; ``out`` if given.

        Raises
        ------
        GeometryError
            If the frame does not fit, or ``out`` or ``gap`` do not suit it.
        """
        frame = np.asarray(raw)
        geometry = self._for(frame.shape)
        tables = geometry._tables(method)
        return assembly.assemble(frame, tables, geometry.shape, gap, out)

    def disassemble(
        self, image: NDArray[Any], gap: Any = None, method: Method = "auto"
    ) -> NDArray[Any]:
        """The raw frame of an assembled picture.

        ``disassemble(assemble(raw))`` equals ``raw`` in every pixel of a panel that is not
        `overlaid`; overlaid pixels and pixels outside all panels get ``gap`` (NaN for
        floating-point pictures and 0 for others if omitted).

        Raises
        ------
        GeometryError
            If the picture does not have the shape `shape`.
        """
        picture = np.asarray(image)
        if picture.shape != self.shape:
            raise GeometryError(
                f"The picture has shape {picture.shape} but this geometry makes {self.shape}."
            )
        return assembly.disassemble(picture, self._tables(method), self.raw_shape, gap)

    @property
    def overlaid(self) -> NDArray[np.bool_]:
        """Pixels of panels that the picture does not show, raw shape: another is there."""
        shown = (self._tables("auto").cell_of_raw >= 0).reshape(self.raw_shape)
        return self.covered & ~shown

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Pixels that lie in a panel, raw shape."""
        covered = np.zeros(self.raw_shape, bool)
        for panel in self._placed:
            covered[panel.raw_index] = True
        return covered

    def outlines(self) -> dict[str, NDArray[np.float64]]:
        """Corners (y, x) of each panel in the assembled picture; arrays of shape (4, 2)."""
        grid = self.grid
        result = {}
        for panel in self._placed:
            f = np.array([0.0, panel.width, panel.width, 0.0])
            s = np.array([0.0, 0.0, panel.height, panel.height])
            rows = grid.rows(panel.position(f, s, 1))
            columns = grid.columns(panel.position(f, s, 0))
            result[panel.name] = np.stack([rows, columns], axis=1)
        return result
