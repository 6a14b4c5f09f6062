"""Pixels chosen by the user, kept in laboratory terms and resolved to raw pixels."""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.polygons import points_in_polygon
from napari_xfelsort.core.source import Window

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

Point = tuple[float, float]
_KINDS = ("whole", "panels", "polygons", "q", "window")
#: More corners than anybody draws; a file that claims more is damaged.
_MAX_POINTS = 100_000


@dataclass(frozen=True)
class Region:
    """Part of the detector; without arguments the whole frame.

    Made with `parse`, `from_panels`, `from_polygons`, `q_range` or `raw_window`.

    Attributes
    ----------
    kind : str
        ``whole``, ``panels``, ``polygons``, ``q`` or ``window``.
    panels : tuple of str
        Names of panels; ``*`` and ``?`` stand for any letters and any one letter.
    polygons : tuple of tuple of (x, y)
        Corners in m, in CrystFEL's laboratory frame (y up).
    q : tuple of 2 float, optional
        Smallest and largest momentum transfer (2 pi / d) in 1/angstrom, inclusive.
    window : tuple of (start, stop), optional
        Raw pixels, one pair for each axis.
    """

    kind: str = "whole"
    panels: tuple[str, ...] = ()
    polygons: tuple[tuple[Point, ...], ...] = ()
    q: tuple[float, float] | None = None
    window: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Region:
        """Region from its text form.

        ``whole``; ``panel:p6a0,p6a1`` or ``panel:p6*``; ``q:0.2,0.5`` (1/angstrom);
        ``window:0:512,10:20`` (raw pixels, one start:stop for each axis).

        Raises
        ------
        RegionError
            If the text has another form.
        """
        kind, _, rest = text.strip().partition(":")
        parts = [part.strip() for part in rest.split(",")]
        try:
            if kind in ("panel", "panels"):
                return cls.from_panels([part for part in parts if part])
            if kind == "q":
                low, high = map(float, parts)
                return cls.q_range(low, high)
            if kind == "window":
                return cls.raw_window([_span(part) for part in parts])
        except (ValueError, TypeError):
            kind = "?"
        if kind in ("", "whole") and not rest:
            return cls()
        raise RegionError(
            f"{text!r} is no region; write whole, panel:NAME,NAME, q:MIN,MAX (1/angstrom) or "
            "window:START:STOP,START:STOP (raw pixels)."
        )

    @classmethod
    def from_panels(cls, names: Iterable[str]) -> Region:
        """Whole panels, by name.

        Raises
        ------
        RegionError
            If there is no name.
        """
        names = tuple(dict.fromkeys(names))
        if not names:
            raise RegionError("A region of panels needs at least one panel name.")
        return cls("panels", panels=names)

    @classmethod
    def from_polygons(cls, polygons: Iterable[ArrayLike]) -> Region:
        """Pixels whose centres lie inside any of the polygons.

        Parameters
        ----------
        polygons : iterable of array_like, each of shape (corners, 2)
            Laboratory (x, y) in m.

        Raises
        ------
        RegionError
            If there is no polygon, or one is not at least three finite points.
        """
        made = []
        for polygon in polygons:
            array = np.asarray(polygon, np.float64)
            if array.ndim != 2 or array.shape[1] != 2 or not 3 <= len(array) <= _MAX_POINTS:
                raise RegionError("A polygon needs at least three corners (x, y).")
            if not np.isfinite(array).all():
                raise RegionError("A polygon has a corner that is not a number.")
            made.append(tuple((x, y) for x, y in array.tolist()))
        if not made:
            raise RegionError("A region of polygons needs at least one polygon.")
        return cls("polygons", polygons=tuple(made))

    @classmethod
    def q_range(cls, qmin: float, qmax: float) -> Region:
        """Pixels whose momentum transfer 2 pi / d lies in a range, in 1/angstrom.

        Raises
        ------
        RegionError
            If the range is empty.
        """
        qmin, qmax = float(qmin), float(qmax)
        if not (0 <= qmin < qmax and math.isfinite(qmax)):
            raise RegionError(f"The q range {qmin} to {qmax} 1/angstrom is empty.")
        return cls("q", q=(qmin, qmax))

    @classmethod
    def raw_window(cls, slices: Sequence[slice]) -> Region:
        """A block of raw pixels: a slice with start and stop for each axis.

        Raises
        ------
        RegionError
            If a slice is empty, has a step, or counts from the end.
        """
        window = tuple((s.start or 0, s.stop) for s in slices)
        if not window or any(s.step not in (None, 1) for s in slices):
            raise RegionError("A window needs one slice without step for each axis of a frame.")
        if any(stop is None or not 0 <= start < stop for start, stop in window):
            raise RegionError(
                "Each slice of a window must hold a pixel and be counted from the start."
            )
        return cls("window", window=tuple((int(start), int(stop)) for start, stop in window))

    def __str__(self) -> str:
        if self.kind == "panels":
            return "panel:" + ",".join(self.panels)
        if self.q is not None:
            return f"q:{self.q[0]},{self.q[1]}"
        if self.window is not None:
            return "window:" + ",".join(f"{start}:{stop}" for start, stop in self.window)
        if self.polygons:
            return f"{len(self.polygons)} polygon{'s' * (len(self.polygons) > 1)}"
        return "whole"

    def to_dict(self) -> dict[str, Any]:
        """The region for JSON or TOML."""
        value: dict[str, Any] = {
            "whole": None,
            "panels": list(self.panels),
            "polygons": [[list(point) for point in polygon] for polygon in self.polygons],
            "q": None if self.q is None else list(self.q),
            "window": None if self.window is None else [list(pair) for pair in self.window],
        }
        kept = value[self.kind]
        return {"kind": self.kind} if kept is None else {"kind": self.kind, self.kind: kept}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Region:
        """Region from `to_dict`.

        Raises
        ------
        RegionError
            If the values do not make a region.
        """
        try:
            kind = values["kind"]
            if kind == "whole":
                return cls()
            value = values[kind]
            if kind == "panels":
                return cls.from_panels([_text(name) for name in value])
            if kind == "polygons":
                return cls.from_polygons(value)
            if kind == "q":
                return cls.q_range(*value)
            if kind == "window":
                return cls.raw_window([slice(int(start), int(stop)) for start, stop in value])
        except (KeyError, TypeError, ValueError):
            pass
        raise RegionError(
            f"This is no region: its kind must be one of {', '.join(_KINDS)} with its values."
        )

    def resolve(
        self,
        raw_shape: tuple[int, ...],
        geometry: Geometry | None,
        photon_energy: float = math.nan,
        camera_length: float = math.nan,
    ) -> ResolvedRegion:
        """The raw pixels of the region.

        Parameters
        ----------
        raw_shape : tuple of int
            Shape of a raw frame.
        geometry : Geometry, optional
            Needed unless the region is the whole frame or a window.
        photon_energy : float
            In eV; needed for a q range where the geometry does not say.
        camera_length : float
            In m; likewise.

        Raises
        ------
        RegionError
            If a panel is unknown, a geometry is needed, or no pixel is in the region.
        """
        if self.kind == "whole":
            return ResolvedRegion(tuple(slice(0, n) for n in raw_shape), None)
        if self.window is not None:
            return self._resolve_window(raw_shape)
        if geometry is None:
            raise RegionError(
                f"The region {self} needs a geometry; give one, or choose a window of raw pixels."
            )
        if self.kind == "panels":
            inside = self._inside_panels(raw_shape, geometry)
        elif self.kind == "polygons":
            inside = self._inside_polygons(geometry)
        else:
            inside = self._inside_q(geometry, photon_energy, camera_length)
        if inside.shape != tuple(raw_shape):
            raise RegionError(
                f"The geometry is for frames of {inside.shape}, but they have {tuple(raw_shape)}."
            )
        return _bounded(inside, self)

    def panel_names(self, geometry: Geometry) -> list[str]:
        """Names of the panels of a region of panels, each once, `*` and `?` replaced.

        Raises
        ------
        RegionError
            If the geometry has no panel that a name stands for.
        """
        found: dict[str, None] = {}
        for pattern in self.panels:
            fits = [n for n in geometry.panels if fnmatch.fnmatchcase(n, pattern)]
            names = [pattern] if pattern in geometry.panels else fits
            if not names:
                raise RegionError(_unknown_panel(pattern, list(geometry.panels)))
            found.update(dict.fromkeys(names))
        return list(found)

    def _resolve_window(self, raw_shape: tuple[int, ...]) -> ResolvedRegion:
        assert self.window is not None
        fits = len(self.window) == len(raw_shape) and all(
            stop <= n for (_, stop), n in zip(self.window, raw_shape, strict=True)
        )
        if not fits:
            raise RegionError(
                f"The region {self} does not fit frames of shape {tuple(raw_shape)}."
            )
        return ResolvedRegion(tuple(slice(*pair) for pair in self.window), None)

    def _inside_panels(self, raw_shape: tuple[int, ...], geometry: Geometry) -> NDArray[np.bool_]:
        inside = np.zeros(raw_shape, bool)
        for name in self.panel_names(geometry):
            inside[geometry.panels[name].raw_index] = True
        return inside

    def _inside_polygons(self, geometry: Geometry) -> NDArray[np.bool_]:
        x, y, _ = geometry.positions()
        return pixels_in_polygons(x, y, [np.array(polygon) for polygon in self.polygons])

    def _inside_q(
        self, geometry: Geometry, photon_energy: float, camera_length: float
    ) -> NDArray[np.bool_]:
        assert self.q is not None
        known = (None if math.isnan(v) else v for v in (photon_energy, camera_length))
        q = geometry.q_map(*known)
        if np.isnan(q).all():
            raise RegionError(
                "A q range needs photon energy and camera length, and neither the data nor the "
                "geometry says them; choose panels or draw the region."
            )
        return (q >= self.q[0]) & (q <= self.q[1])


@dataclass(frozen=True, eq=False)
class ResolvedRegion:
    """Raw pixels of a region.

    Attributes
    ----------
    window : tuple of slice
        Smallest block of raw pixels that holds the region.
    inside : ndarray of bool, shape of the window, or None
        Pixels of the window that are in the region; None when all are.
    """

    window: Window
    inside: NDArray[np.bool_] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the window."""
        return tuple(s.stop - s.start for s in self.window)

    @property
    def n_pixels(self) -> int:
        """Number of pixels in the region."""
        return math.prod(self.shape) if self.inside is None else int(self.inside.sum())


def as_region(region: Region | str | None) -> Region:
    """A region from itself, its text form, or None for the whole frame.

    Raises
    ------
    RegionError
        If the text is no region.
    """
    if region is None:
        return Region()
    return region if isinstance(region, Region) else Region.parse(region)


def pixels_in_polygons(
    x: NDArray[np.float64], y: NDArray[np.float64], polygons: Sequence[NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside any of the polygons.

    Parameters
    ----------
    x, y : ndarray, raw shape
        Centres of the pixels; NaN where there is none.
    polygons : sequence of ndarray, each of shape (corners, 2)
        (x, y) of corners.

    Returns
    -------
    ndarray of bool, raw shape
    """
    inside = np.zeros(x.shape, bool)
    # Once for all of them: a path has many, and mostly takes up little of the detector.
    around = _within_box(x, y, np.concatenate(polygons))
    near_x, near_y = x[around], y[around]
    found = np.zeros(near_x.shape, bool)
    for polygon in polygons:
        near = np.flatnonzero(_within_box(near_x, near_y, polygon))
        found[near] |= points_in_polygon(near_x[near], near_y[near], polygon)
    inside[around] = found
    return inside


def _within_box(
    x: NDArray[np.float64], y: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.bool_]:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return np.asarray((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))


def _bounded(inside: NDArray[np.bool_], region: Region) -> ResolvedRegion:
    window = []
    for axis in range(inside.ndim):
        others = tuple(k for k in range(inside.ndim) if k != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        if len(hit) == 0:
            raise RegionError(f"The region {region} holds no pixel of the detector.")
        window.append(slice(int(hit[0]), int(hit[-1]) + 1))
    part = inside[tuple(window)]
    return ResolvedRegion(tuple(window), None if part.all() else part.copy())


def _unknown_panel(name: str, panels: list[str]) -> str:
    close = difflib.get_close_matches(name, panels, n=3, cutoff=0.4) or panels[:5]
    return f"The geometry has no panel {name!r}; did you mean {', '.join(close)}?"


def _span(text: str) -> slice:
    start, stop = text.split(":")
    return slice(int(start), int(stop))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
