"""`Geometry`: where each raw pixel lies in the laboratory."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import assembly, masks, points
from napari_xfelsort.core.geometry.crystfel import parse_crystfel, read_crystfel
from napari_xfelsort.core.geometry.finish import raw_shape_of
from napari_xfelsort.core.geometry.grid import Grid, make_grid
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.layout import DataLayout, data_layouts
from napari_xfelsort.core.geometry.panel import BadRegion, Description, Panel
from napari_xfelsort.core.geometry.simple import describe_single_panel
from napari_xfelsort.core.geometry.tables import (
    Tables,
    build_block_tables,
    build_nearest_tables,
    choose_method,
)
from napari_xfelsort.core.geometry.writing import crystfel_text, write_text
from napari_xfelsort.core.mask import PixelMask, Reason

Method = Literal["auto", "gather", "block"]
_METHODS = ("auto", "gather", "block")


class Geometry:
    """Where each raw pixel lies in the laboratory, and what a frame looks like from there.

    Made by `from_crystfel`, `from_nexus` or `single_panel`. Laboratory axes are CrystFEL's:
    z along the beam and away from the source, y up, x completing a right-handed system; the
    picture looks into the beam, x to the right and y up. Objects do not change, may be used
    from several threads, and pickle without their tables.

    Attributes
    ----------
    panels : dict of str to Panel
        As the file says, in its order.
    raw_shape : tuple of int
        Shape of the frames: the smallest that holds all panels, until `fit` binds another.
        It is the dataset's shape without its ``%`` axes; where panels are in several
        datasets, with a first axis over these.
    bad_regions : tuple of BadRegion
        Regions of bad pixels.
    groups, rigid_groups, rigid_group_collections : dict of str to tuple of str
        Names of panels and groups.
    photon_energy, clen : HeaderValue or None
        Photon energy [eV] and camera length [m] without ``coffset``, or where the data file
        holds them; None when the geometry does not say.
    detector_shift : pair of (HeaderValue or None)
        Shift along x and y [m]. Numbers are applied; where the data file holds them they
        are not.
    peak_list, peak_list_type : str or None
        Where the data file holds peaks, and how.
    source : str
        The file, or what else the geometry was made from.
    warnings : tuple of str
        Sentences about what is missing or unusual.
    """

    def __init__(self, description: Description, raw_shape: tuple[int, ...] | None = None) -> None:
        self._description = description
        self.panels: dict[str, Panel] = description.panels
        self._bound = raw_shape is not None
        self.raw_shape = raw_shape or raw_shape_of(self.panels.values())
        self.bad_regions: tuple[BadRegion, ...] = description.bad_regions
        self.groups = description.groups
        self.rigid_groups = description.rigid_groups
        self.rigid_group_collections = description.rigid_group_collections
        self.photon_energy: HeaderValue | None = description.photon_energy
        self.clen: HeaderValue | None = description.clen
        self.detector_shift = description.detector_shift
        self.peak_list = description.peak_list
        self.peak_list_type = description.peak_list_type
        self.source = description.source
        self.warnings = description.warnings
        self._placed = _shifted(description)
        self._start_caches()

    def _start_caches(self) -> None:
        self._lock = threading.RLock()
        self._cache: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"], state["_cache"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_caches()

    def __repr__(self) -> str:
        return (
            f"<Geometry {len(self.panels)} panels, frames of {self.raw_shape}, from {self.source}>"
        )

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

    def fit(self, raw_shape: tuple[int, ...]) -> Geometry:
        """This geometry for frames of a given shape.

        Frames may be larger than the panels reach; pixels outside have no position.

        Raises
        ------
        GeometryError
            If it does not fit; the text names both shapes and the first panel at fault.
        """
        shape = tuple(int(n) for n in raw_shape)
        if shape == self.raw_shape:
            return self
        for panel in self.panels.values():
            extent = panel.raw_extent
            if len(extent) != len(shape) or any(n > m for n, m in zip(extent, shape, strict=True)):
                raise GeometryError(
                    f"The geometry {self.source} is for frames of {self.raw_shape} but the "
                    f"frames have {shape}: panel {panel.name} reaches to {extent}. "
                    "Choose the geometry of this detector and layout."
                )
        return Geometry(self._description, shape)

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
    def layouts(self) -> tuple[DataLayout, ...]:
        """The datasets that hold the frames, in order of first use."""
        return data_layouts(self.panels.values())

    @property
    def data_paths(self) -> tuple[str, ...]:
        """Paths of the datasets that hold the frames, in order of first use."""
        return tuple(layout.path for layout in self.layouts)

    @property
    def mask_specs(self) -> tuple[masks.SharedMask, ...]:
        """The masks that the geometry names, by number."""
        return masks.shared_masks(self.panels.values())

    @property
    def digest(self) -> str:
        """Key of all that decides positions, pictures and masks (SHA-256, hexadecimal)."""
        d = self._description
        parts = (list(d.panels.values()), d.bad_regions, d.groups, d.photon_energy, d.clen)
        more = (d.detector_shift, d.peak_list, d.peak_list_type, self.raw_shape)
        return hashlib.sha256(repr((parts, more)).encode("utf-8", "replace")).hexdigest()

    # --- positions ----------------------------------------------------------------------

    def positions(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Laboratory x, y and z of pixel centres in m, each of raw shape.

        NaN where no panel is. z counts from the interaction point if the geometry gives the
        camera length as a number, else from where ``coffset`` is 0.
        """
        axes = tuple(np.full(self.raw_shape, np.nan) for _ in range(3))
        clen = self._clen_value()
        for panel in self._placed:
            for axis, array in enumerate(axes):
                masks.view(array, panel)[...] = panel.centres(axis)
        axes[2][...] += 0.0 if math.isnan(clen) else clen
        return axes[0], axes[1], axes[2]

    def _clen_value(self) -> float:
        value = None if self.clen is None else self.clen.value
        return math.nan if value is None else value

    def camera_length(self, clen: float | None = None) -> float:
        """Distance in m from the interaction point to the panel nearest the beam axis.

        Parameters
        ----------
        clen : float, optional
            Camera length without ``coffset`` in m; the geometry's own if omitted. NaN
            gives NaN.
        """
        return (self._clen_value() if clen is None else clen) + self._on_axis()[1]

    def _on_axis(self) -> tuple[Panel, float]:
        with self._lock:
            if "axis" not in self._cache:
                self._cache["axis"] = points.panel_on_axis(self._placed)
            found: tuple[Panel, float] = self._cache["axis"]
        return found

    # --- the picture --------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """Pixel grid of the assembled picture."""
        with self._lock:
            if "grid" not in self._cache:
                self._cache["grid"] = make_grid(self._placed)
            grid: Grid = self._cache["grid"]
        return grid

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
        with self._lock:
            if "method" not in self._cache:
                self._cache["method"] = choose_method(self._placed, self.grid)
            method: str = self._cache["method"]
        return method

    def _tables(self, method: str) -> Tables:
        if method not in _METHODS:
            raise GeometryError(f"The method {method!r} is not known; use {', '.join(_METHODS)}.")
        with self._lock:
            name = self.method if method == "auto" else method
            if name not in self._cache:
                build = build_block_tables if name == "block" else build_nearest_tables
                self._cache[name] = build(self._placed, self.grid, self.raw_shape)
            tables: Tables = self._cache[name]
        return tables

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

    def _for(self, raw_shape: tuple[int, ...]) -> Geometry:
        """This geometry, or the one for larger frames while it is not bound by `fit`."""
        if raw_shape == self.raw_shape:
            return self
        if self._bound:
            raise GeometryError(
                f"The frame has shape {raw_shape} but the geometry is for {self.raw_shape}."
            )
        with self._lock:
            fitted: Geometry | None = self._cache.get("fitted")
            if fitted is None or fitted.raw_shape != raw_shape:
                fitted = self._cache["fitted"] = self.fit(raw_shape)
        return fitted

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
        along = [
            i - place.start
            for i, place in zip(index, panel.raw_index, strict=True)
            if isinstance(place, slice)
        ]
        s, f = along[::-1] if panel.transposed else along
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
        with self._lock:
            if "mask" not in self._cache:
                placed = {panel.name: panel for panel in self._placed}
                bad = masks.static_bad(placed, self.bad_regions, self.raw_shape)
                self._cache["mask"] = (
                    PixelMask.from_bad(bad, Reason.GEOMETRY) if bad.any() else None
                )
            mask: PixelMask | None = self._cache["mask"]
        return mask

    def value_mask(self, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Pixels of a frame whose value is a flag, True where bad; None without flags.

        ``flag_lessthan``, ``flag_morethan`` and ``flag_equal``, compared as 64-bit
        floating-point numbers; ``max_adu`` does not make a pixel bad.
        """
        frame = np.asarray(raw)
        return masks.flagged(frame, self._for(frame.shape).panels.values())


def _shifted(description: Description) -> tuple[Panel, ...]:
    """The panels where they stand after a shift that the geometry gives as a number."""
    x, y = (
        0.0 if shift is None or shift.value is None else shift.value
        for shift in description.detector_shift
    )
    panels = description.panels.values()
    if not x and not y:
        return tuple(panels)
    return tuple(
        replace(p, corner=(p.corner[0] + x * p.res, p.corner[1] + y * p.res)) for p in panels
    )


def _resolution(q: float) -> float:
    return math.inf if q == 0 else 2 * math.pi / q
