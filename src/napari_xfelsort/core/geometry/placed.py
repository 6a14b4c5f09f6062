"""The panels of a geometry, bound to frames of one shape, and their positions."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry import masks, points
from napari_xfelsort.core.geometry.finish import raw_shape_of
from napari_xfelsort.core.geometry.grid import Grid, make_grid
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.panel import BadRegion, Description, Panel

T = TypeVar("T")


class PlacedPanels:
    """Panels in raw frames and in the laboratory.

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
        Shift along x and y [m]. Numbers are applied; where the data file holds them,
        `with_shift` does.
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

    def _once(self, key: str, make: Callable[[], T]) -> T:
        """What ``make`` gives, made at first use and kept; not pickled."""
        with self._lock:
            if key not in self._cache:
                self._cache[key] = make()
            made: T = self._cache[key]
        return made

    def __repr__(self) -> str:
        return (
            f"<Geometry {len(self.panels)} panels, frames of {self.raw_shape}, from {self.source}>"
        )

    def fit(self, raw_shape: tuple[int, ...]) -> Self:
        """This geometry for frames of a given shape.

        Frames may be larger than the panels reach; pixels outside have no position.

        Raises
        ------
        GeometryError
            If it does not fit; the text names both shapes and the first panel at fault.
            Or if the panels are too far apart for a picture.
        """
        grid = self.grid
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
        fitted = type(self)(self._description, shape)
        fitted._cache["grid"] = grid
        return fitted

    def with_shift(self, x: float, y: float) -> Self:
        """This geometry with the shift [m] that a data file holds.

        Axes whose shift is a number of its own, or not given, stay as they are.
        """
        shift = tuple(
            given
            if given is None or given.path is None
            else replace(given, value=value, path=None)
            for given, value in zip(self.detector_shift, (x, y), strict=True)
        )
        description = replace(self._description, detector_shift=(shift[0], shift[1]))
        return type(self)(description, self.raw_shape)

    def _for(self, raw_shape: tuple[int, ...]) -> Self:
        """This geometry for frames of a shape; kept, unlike that of `fit`."""
        if raw_shape == self.raw_shape:
            return self
        return self._once(f"frames {raw_shape}", lambda: self.fit(raw_shape))

    @property
    def grid(self) -> Grid:
        """Pixel grid of the assembled picture."""
        return self._once("grid", lambda: make_grid(self._placed))

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
        return self._once("axis", lambda: points.panel_on_axis(self._placed))


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
