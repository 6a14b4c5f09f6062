"""What a geometry says of one panel, one mask and one bad region."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.header import HeaderValue

#: Largest frame or picture that is worked with, in pixels; a JUNGFRAU 16M has 2**24.
MAX_PIXELS = 1 << 27

Vector = tuple[float, float, float]
#: One axis of a dataset: ``%`` (events), ``ss``, ``fs`` or a fixed index.
Dim = str | int
#: A number or an array of them.
Coordinate = float | NDArray[np.floating[Any]]
#: Index expression of a panel in a raw frame.
RawIndex = tuple[slice | int, ...]


@dataclass(frozen=True)
class MaskSpec:
    """Where a mask is and how its bits are read.

    A pixel is bad if ``(m & good) != good`` or ``(m & bad) != 0``.

    Attributes
    ----------
    number : int
        0 to 7.
    data : str
        Path of the mask; may hold fewer ``%`` than the path of the data.
    file : str or None
        File that holds it, None for the data file itself.
    good, bad : int
        Bits that must be set, and bits that must not.
    """

    number: int
    data: str
    file: str | None = None
    good: int = 0
    bad: int = 0


@dataclass(frozen=True)
class BadRegion:
    """A rectangle of bad pixels.

    Attributes
    ----------
    name : str
        As in the file, with its ``bad``.
    panel : str or None
        The panel it lies in; None for all panels.
    in_laboratory : bool
        False: limits are (fs, ss) of the data, inclusive. True: limits are (x, y) in
        pixels of the laboratory, exclusive, and the first corner of a pixel decides.
    minimum, maximum : tuple of float
        Limits along fs and ss, or x and y.
    """

    name: str
    panel: str | None
    in_laboratory: bool
    minimum: tuple[float, float]
    maximum: tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One panel: where it is in the data and where in the laboratory.

    Attributes
    ----------
    name : str
        Name of the panel.
    min_fs, max_fs, min_ss, max_ss : int
        Its pixels in the data, inclusive.
    fs, ss : tuple of 3 float
        Step from one pixel to the next along fs and ss, in pixels (x, y, z).
    corner : tuple of 2 float
        Laboratory (x, y) of the corner of its first pixel, in pixels.
    res : float
        Pixels per metre.
    coffset : float
        Distance beyond the camera length, in m.
    data : str
        Path of the dataset; ``%`` stands for a part of the event's name.
    dims : tuple
        What each axis of the dataset is: ``%``, ``ss``, ``fs`` or a fixed index.
    dataset : int
        Number of the dataset among the distinct ones of the geometry.
    stacked : bool
        Whether raw frames have a first axis over the datasets.
    adu_per_photon, adu_per_ev, max_adu : float or None
        Detector units; None when not given.
    flag_lessthan, flag_morethan, flag_equal : float or None
        A pixel with such a value is bad.
    mask_edge_pixels : int
        Width of the border of bad pixels.
    no_index : bool
        The whole panel is bad.
    masks : tuple of MaskSpec
        Masks of this panel, by number.
    saturation_map, saturation_map_file : str or None
        Path of a saturation map, and its file.
    corner_lines : tuple of 2 int
        Lines (from 1) that say corner_x and corner_y; 0 when not from a file.
    """

    name: str
    min_fs: int
    max_fs: int
    min_ss: int
    max_ss: int
    fs: Vector
    ss: Vector
    corner: tuple[float, float]
    res: float
    coffset: float = 0.0
    data: str = "/data/data"
    dims: tuple[Dim, ...] = ("ss", "fs")
    dataset: int = 0
    stacked: bool = False
    adu_per_photon: float | None = None
    adu_per_ev: float | None = None
    max_adu: float | None = None
    flag_lessthan: float | None = None
    flag_morethan: float | None = None
    flag_equal: float | None = None
    mask_edge_pixels: int = 0
    no_index: bool = False
    masks: tuple[MaskSpec, ...] = ()
    saturation_map: str | None = None
    saturation_map_file: str | None = None
    corner_lines: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    @property
    def width(self) -> int:
        """Pixels along fs."""
        return self.max_fs - self.min_fs + 1

    @property
    def height(self) -> int:
        """Pixels along ss."""
        return self.max_ss - self.min_ss + 1

    @property
    def transposed(self) -> bool:
        """Whether fs is the slower of the two axes in the dataset."""
        return self.dims.index("fs") < self.dims.index("ss")

    @property
    def raw_index(self) -> RawIndex:
        """Index expression of the panel in a raw frame.

        ``raw[panel.raw_index]`` has shape (ss, fs), or (fs, ss) if `transposed`.
        """
        index: list[slice | int] = [self.dataset] if self.stacked else []
        for dim in self.dims:
            if dim == "ss":
                index.append(slice(self.min_ss, self.max_ss + 1))
            elif dim == "fs":
                index.append(slice(self.min_fs, self.max_fs + 1))
            elif isinstance(dim, int):
                index.append(dim)
        return tuple(index)

    @property
    def raw_extent(self) -> tuple[int, ...]:
        """Smallest raw shape that holds the panel."""
        return tuple(i.stop if isinstance(i, slice) else i + 1 for i in self.raw_index)

    def raw_strides(self, raw_shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Flat index of the first pixel in a raw frame, and steps along ss and fs."""
        steps = [math.prod(raw_shape[axis + 1 :]) for axis in range(len(raw_shape))]
        start = 0
        along = []
        for index, step in zip(self.raw_index, steps, strict=True):
            start += step * (index.start if isinstance(index, slice) else index)
            if isinstance(index, slice):
                along.append(step)
        return (start, along[1], along[0]) if self.transposed else (start, along[0], along[1])

    def position(self, f: Coordinate, s: Coordinate, axis: int) -> NDArray[np.float64]:
        """Laboratory x, y or z (axis 0, 1, 2) in m, without camera length.

        Parameters
        ----------
        f, s : float or array
            Distance from the panel's corner in pixels; 0.5 is the first pixel's centre.
        """
        start = self.corner[axis] if axis < 2 else self.coffset * self.res
        return np.asarray((start + self.fs[axis] * f + self.ss[axis] * s) / self.res)

    def coordinates(
        self, x: Coordinate, y: Coordinate
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where a laboratory point (x, y) in m is on the panel: (f, s) from its corner."""
        u = np.asarray(x) * self.res - self.corner[0]
        v = np.asarray(y) * self.res - self.corner[1]
        area = self.fs[0] * self.ss[1] - self.fs[1] * self.ss[0]
        return (
            (u * self.ss[1] - v * self.ss[0]) / area,
            (v * self.fs[0] - u * self.fs[1]) / area,
        )

    def centres(self, axis: int) -> NDArray[np.float64]:
        """`position` of all pixel centres; shape (ss, fs)."""
        f = np.arange(self.width) + 0.5
        s = np.arange(self.height)[:, np.newaxis] + 0.5
        return self.position(f, s, axis)


@dataclass(frozen=True)
class Description:
    """All that a geometry file says, before it is bound to frames.

    Attributes
    ----------
    panels : dict of str to Panel
        In the order of the file.
    groups, rigid_groups, rigid_group_collections : dict of str to tuple of str
        Names of panels and groups.
    photon_energy, clen : HeaderValue or None
        None when the file does not say.
    detector_shift : pair of (HeaderValue or None)
        Shift of the whole detector along x and y.
    text : str or None
        The file itself, for writing it back.
    """

    panels: dict[str, Panel]
    source: str
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rigid_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rigid_group_collections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bad_regions: tuple[BadRegion, ...] = ()
    photon_energy: HeaderValue | None = None
    clen: HeaderValue | None = None
    detector_shift: tuple[HeaderValue | None, HeaderValue | None] = (None, None)
    bandwidth: float | None = None
    peak_list: str | None = None
    peak_list_type: str | None = None
    warnings: tuple[str, ...] = ()
    text: str | None = None
