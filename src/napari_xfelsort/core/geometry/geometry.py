"""`Geometry`: where each raw pixel lies in the laboratory."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry import masks, points
from napari_xfelsort.core.geometry.crystfel import parse_crystfel, read_crystfel
from napari_xfelsort.core.geometry.grid import nearest
from napari_xfelsort.core.geometry.panel import Dim, Panel
from napari_xfelsort.core.geometry.picture import Picture
from napari_xfelsort.core.geometry.simple import describe_single_panel
from napari_xfelsort.core.geometry.writing import crystfel_text, write_text
from napari_xfelsort.core.mask import PixelMask, Reason


class Geometry(Picture):
    """Where each raw pixel lies in the laboratory, and what a frame looks like from there.

    Made by `from_crystfel`, `from_nexus` or `single_panel`. Laboratory axes are CrystFEL's:
    z along the beam and away from the source, y up, x completing a right-handed system; the
    picture looks into the beam, x to the right and y up. Objects do not change, may be used
    from several threads, and pickle without their tables.
    """

    # --- making -------------------------------------------------------------------------

    @classmethod
    def from_crystfel(cls, path: str | os.PathLike[str]) -> Geometry:
        """Geometry from a CrystFEL file.

        What CrystFEL refuses only for want of photon energy, camera length or detector
        units, or for keys of older versions, is read; `warnings` tells.

        Raises
        ------
        GeometryError
            If the file cannot be read or its syntax is wrong; the text names file and line.
        """
        return cls(read_crystfel(path))

    @classmethod
    def from_crystfel_text(cls, text: str, name: str = "geometry") -> Geometry:
        """Geometry from the text of a CrystFEL file; ``name`` is used in messages.

        Raises
        ------
        GeometryError
            As `from_crystfel`.
        """
        return cls(parse_crystfel(text, name))

    @classmethod
    def from_nexus(cls, path: str | os.PathLike[str]) -> Geometry:
        """Geometry from a NeXus NXmx file: its detector modules, or pixel size and beam centre.

        Raises
        ------
        UnreadableFileError
            If the file is not HDF5.
        GeometryError
            If the file does not say where its pixels are.
        """
        from napari_xfelsort.core.geometry.nexus import read_nexus

        return cls(read_nexus(path))

    @classmethod
    def single_panel(
        cls,
        shape: tuple[int, int],
        pixel_size: float | tuple[float, float],
        beam_center: tuple[float, float] | None = None,
        distance: float = math.nan,
        photon_energy: float = math.nan,
    ) -> Geometry:
        """Geometry of an unsegmented detector, shown as it is stored.

        Parameters
        ----------
        shape : pair of int
            Rows and columns.
        pixel_size : float or pair of float
            In m; (y, x) where they differ.
        beam_center : pair of float, optional
            (y, x) in pixels, pixel centres at integers; the middle of the frame if omitted.
        distance, photon_energy : float
            In m and eV; NaN when unknown.

        Raises
        ------
        GeometryError
            If shape or pixel size are not possible.
        """
        return cls(describe_single_panel(shape, pixel_size, beam_center, distance, photon_energy))

    @property
    def text(self) -> str | None:
        """The CrystFEL file that it was read from, as it stands; None if made otherwise."""
        return self._description.text

    def to_crystfel(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a CrystFEL geometry file; one that was read is written as it was.

        Raises
        ------
        OutputError
            If the file exists and ``overwrite`` is not given, or cannot be written.
        """
        text = self._description.text
        write_text(path, crystfel_text(self._description) if text is None else text, overwrite)

    # --- what the data file must provide ------------------------------------------------

    @property
    def data_paths(self) -> tuple[str, ...]:
        """Paths of the datasets that hold the frames, in order of first use."""
        return tuple(dict.fromkeys(panel.data for panel in self.panels.values()))

    @property
    def dims(self) -> tuple[Dim, ...]:
        """What each axis of these datasets is for the first panel: ``%``, ss, fs, an index.

        The ``%`` axes are the same for all panels, the others are those of the raw frame.
        """
        return next(iter(self.panels.values())).dims

    @property
    def digest(self) -> str:
        """Key of all that decides positions, pictures and masks (SHA-256, hexadecimal)."""
        d = self._description
        parts = (list(d.panels.values()), d.bad_regions, d.groups, d.photon_energy, d.clen)
        more = (d.detector_shift, d.peak_list, d.peak_list_type, self.raw_shape)
        return hashlib.sha256(repr((parts, more)).encode("utf-8", "replace")).hexdigest()

    # --- points -------------------------------------------------------------------------

    def raw_index_at(self, y: float, x: float) -> tuple[int, ...] | None:
        """Index of the raw pixel shown at a point of the picture, None in a gap."""
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        height, width = self.shape
        if not (0 <= row < height and 0 <= column < width):
            return None
        flat = int(self._tables("auto").raw_of_cell[row * width + column])
        if flat < 0:
            return None
        return tuple(int(i) for i in np.unravel_index(flat, self.raw_shape))

    def picture_points(
        self, fs: NDArray[np.float64], ss: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Where points of the raw frame lie in the picture, to the nearest pixel.

        A pixel that shares its cell with another, and is not the one shown, lies there too.

        Parameters
        ----------
        fs, ss : ndarray, shape (points,)
            Pixel indices (centres at integers) in the raw frame, its leading axes below
            one another.

        Returns
        -------
        ndarray, shape (points, 2)
            (y, x); NaN outside of the frame and of all panels.
        """
        width = self.raw_shape[-1]
        height = math.prod(self.raw_shape[:-1])
        with np.errstate(invalid="ignore"):
            column = np.nan_to_num(np.floor(np.asarray(fs) + 0.5), nan=-1).astype(np.int64)
            row = np.nan_to_num(np.floor(np.asarray(ss) + 0.5), nan=-1).astype(np.int64)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        flat = np.where(inside, row * width + column, 0)
        cell = np.where(inside, self._tables("auto").cell_of_raw[flat], -1)
        points = np.stack(np.divmod(cell, self.shape[1]), axis=-1).astype(np.float64)
        points[cell < 0] = np.nan
        for k in np.flatnonzero(inside & (cell < 0)):
            points[k] = self._true_place(int(flat[k]))
        return points

    def _true_place(self, flat: int) -> tuple[float, float]:
        """Cell (y, x) that a raw pixel's own position lies in, NaN in no panel."""
        index = tuple(int(i) for i in np.unravel_index(flat, self.raw_shape))
        panel = self._panel_of(index)
        if panel is None:
            return math.nan, math.nan
        f, s = self._along(panel, index)
        grid = self.grid
        row = grid.rows(panel.position(f + 0.5, s + 0.5, 1))
        column = grid.columns(panel.position(f + 0.5, s + 0.5, 0))
        return float(nearest(row)), float(nearest(column))

    def panel_at(self, y: float, x: float) -> str | None:
        """Name of the panel shown at a point of the picture, None in a gap."""
        index = self.raw_index_at(y, x)
        panel = None if index is None else self._panel_of(index)
        return None if panel is None else panel.name

    def _panel_of(self, index: tuple[int, ...]) -> Panel | None:
        for panel in self._placed:
            if all(
                place.start <= i < place.stop if isinstance(place, slice) else place == i
                for i, place in zip(index, panel.raw_index, strict=True)
            ):
                return panel
        return None

    @staticmethod
    def _along(panel: Panel, index: tuple[int, ...]) -> tuple[int, int]:
        """(fs, ss) in its panel of a raw pixel."""
        s, f = (
            i - place.start
            for i, place in zip(index, panel.raw_index, strict=True)
            if isinstance(place, slice)
        )
        return (s, f) if panel.transposed else (f, s)

    def q_at(
        self,
        y: float,
        x: float,
        photon_energy: float | None = None,
        camera_length: float | None = None,
    ) -> float:
        """Momentum transfer q = 4 pi sin(theta) / wavelength in 1/angstrom at a point.

        It is that of the true position of the raw pixel shown there.

        Parameters
        ----------
        y, x : float
            Point of the assembled picture.
        photon_energy, camera_length : float, optional
            In eV and m (the latter as `camera_length` returns it); the geometry's own
            numbers if omitted.

        Returns
        -------
        float
            NaN in a gap, or when energy or length are unknown.
        """
        index = self.raw_index_at(y, x)
        panel = None if index is None else self._panel_of(index)
        energy, offset = self._beam(photon_energy, camera_length)
        if index is None or panel is None or math.isnan(energy + offset):
            return math.nan
        f, s = self._along(panel, index)
        place = [panel.position(f + 0.5, s + 0.5, axis) for axis in range(3)]
        return float(points.momentum_transfer(place[0], place[1], place[2] + offset, energy))

    def resolution_at(
        self,
        y: float,
        x: float,
        photon_energy: float | None = None,
        camera_length: float | None = None,
    ) -> float:
        """Resolution d = 2 pi / q in angstrom at a point of the picture; see `q_at`."""
        return _resolution(self.q_at(y, x, photon_energy, camera_length))

    def q_map(
        self, photon_energy: float | None = None, camera_length: float | None = None
    ) -> NDArray[np.float64]:
        """Momentum transfer in 1/angstrom of every raw pixel; see `q_at`.

        NaN where no panel is, and everywhere when energy or length are unknown.
        """
        energy, offset = self._beam(photon_energy, camera_length)
        result = np.full(self.raw_shape, np.nan)
        if math.isnan(energy + offset):
            return result
        for panel in self._placed:
            x, y, z = (panel.centres(axis) for axis in range(3))
            masks.view(result, panel)[...] = points.momentum_transfer(x, y, z + offset, energy)
        return result

    def resolution_map(
        self, photon_energy: float | None = None, camera_length: float | None = None
    ) -> NDArray[np.float64]:
        """Resolution d = 2 pi / q in angstrom of every raw pixel; see `q_map`."""
        with np.errstate(divide="ignore"):
            return np.asarray(2 * np.pi / self.q_map(photon_energy, camera_length))

    def _beam(self, energy: float | None, length: float | None) -> tuple[float, float]:
        """Photon energy, and what to add to the panels' z to count from the sample."""
        if energy is None:
            value = None if self.photon_energy is None else self.photon_energy.value
            energy = math.nan if value is None else value
        offset = self._clen_value() if length is None else length - self._on_axis()[1]
        return energy if energy > 0 else math.nan, offset

    # --- masks --------------------------------------------------------------------------

    def static_mask(self) -> PixelMask | None:
        """Pixels that the geometry calls bad in every event, None if there are none.

        Bad regions, panels with ``no_index`` and panel edges (``mask_edge_pixels``). A bad
        region along fs and ss is inclusive; one along x and y is exclusive and decided by
        the first corner of a pixel, as in CrystFEL. Pixels in no panel are not bad but
        outside: they have no position.
        """
        return self._once("mask", self._make_static_mask)

    def _make_static_mask(self) -> PixelMask | None:
        bad = masks.static_bad(self._placed, self.bad_regions, self.raw_shape)
        return PixelMask.from_bad(bad, Reason.GEOMETRY) if bad.any() else None

    @property
    def has_flags(self) -> bool:
        """Whether some value marks a pixel as bad, so that masks differ by event."""
        limits = ("flag_lessthan", "flag_morethan", "flag_equal")
        return any(getattr(p, name) is not None for p in self._placed for name in limits)

    def value_mask(self, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Pixels of a frame whose value is a flag, True where bad; None without flags.

        ``flag_lessthan``, ``flag_morethan`` and ``flag_equal``, compared as 64-bit
        floating-point numbers; ``max_adu`` does not make a pixel bad.
        """
        frame = np.asarray(raw)
        return masks.flagged(frame, self._for(frame.shape).panels.values())


def _resolution(q: float) -> float:
    return math.inf if q == 0 else 2 * math.pi / q
