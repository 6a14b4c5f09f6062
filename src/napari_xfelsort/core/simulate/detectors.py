"""Detectors as one assembled plane of square pixels: panels, gaps and the active area.

The layouts follow those of real detectors, scaled to any side: a CCD of tapers, a round
image plate, PILATUS 6M, EIGER 4M, AGIPD 1M (a windmill of quadrants round a hole) and
JUNGFRAU 4M (staggered modules). All panels are upright rectangles of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError

#: First and one past the last row, first and one past the last column.
Window = tuple[int, int, int, int]

#: The five types; a CCD may be the round plate.
DETECTOR_TYPES = ("ccd", "pilatus", "eiger", "agipd", "jungfrau")

#: The layouts that `plane_detector` knows.
LAYOUTS = ("ccd", "plate", "pilatus", "eiger", "agipd", "jungfrau")

#: Smallest and largest side of a plane in pixels.
SIDES = (128, 8192)


@dataclass(frozen=True, eq=False)
class PlaneDetector:
    """An assembled detector plane.

    Attributes
    ----------
    name : str
        Its layout, one of `LAYOUTS`.
    panels : ndarray of int16, shape (side, side)
        Number of the panel of every pixel, -1 where there is none (gap, hole, corner).
        Read-only.
    windows : tuple of Window
        The rectangle of every panel, by number. The corners of a round detector are in
        its window but not in its panel.
    """

    name: str
    panels: NDArray[np.int16]
    windows: tuple[Window, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.panels.shape[0], self.panels.shape[1]

    @property
    def active(self) -> NDArray[np.bool_]:
        """True where there is a pixel."""
        return np.asarray(self.panels >= 0)

    @property
    def n_panels(self) -> int:
        """Number of panels."""
        return len(self.windows)

    def per_panel(self, values: NDArray[np.float64], gap: float = 0.0) -> NDArray[np.float32]:
        """A picture with one value for each panel, ``gap`` where there is none."""
        table = np.append(np.asarray(values, np.float32), np.float32(gap))
        return np.asarray(table[self.panels])


@lru_cache(maxsize=16)
def plane_detector(name: str, side: int = 1024) -> PlaneDetector:
    """The detector of this layout.

    Parameters
    ----------
    name : str
        One of `LAYOUTS`.
    side : int
        Rows and columns of the plane; gaps scale with it but are a pixel at least.

    Raises
    ------
    SettingsError
        If the layout is unknown or the side is out of range.
    """
    if name not in LAYOUTS:
        raise SettingsError(
            f"There is no detector {name!r}; the detectors are {', '.join(LAYOUTS)}."
        )
    if not SIDES[0] <= side <= SIDES[1]:
        raise SettingsError(
            f"The side of a detector is {side} px but must be from {SIDES[0]} to {SIDES[1]} px."
        )
    windows = tuple(_WINDOWS[name](side))
    panels = np.full((side, side), -1, np.int16)
    for number, (top, bottom, left, right) in enumerate(windows):
        panels[top:bottom, left:right] = number
    if name == "plate":
        middle = 0.5 * (side - 1)
        offset = np.arange(side) - middle
        panels[offset[:, None] ** 2 + offset**2 > (0.5 * side) ** 2] = -1
    panels.setflags(write=False)
    return PlaneDetector(name, panels, windows)


def _spans(first: float, count: int, size: float, gap: float, scale: float) -> list[list[int]]:
    """Whole-pixel spans of ``count`` panels in a row, a pixel apart at least unless gap is 0."""
    spans: list[list[int]] = []
    for k in range(count):
        start = round((first + k * (size + gap)) * scale)
        if spans and gap:
            start = max(start, spans[-1][1] + 1)
        spans.append([start, round((first + k * (size + gap) + size) * scale)])
    return spans


def _grid(rows: list[list[int]], columns: list[list[int]]) -> list[Window]:
    return [(top, bottom, left, right) for top, bottom in rows for left, right in columns]


def _ccd(side: int) -> list[Window]:
    spans = _spans(0.0, 3, 1.0 / 3.0, 0.0, side)
    return _grid(spans, spans)


def _plate(side: int) -> list[Window]:
    return [(0, side, 0, side)]


def _pilatus(side: int) -> list[Window]:
    # 5 x 12 modules of 487 x 195 pixels, gaps of 7 and 17.
    rows = _spans(0.0, 12, 195.0, 17.0, side / 2527.0)
    return _grid(rows, _spans(0.0, 5, 487.0, 7.0, side / 2463.0))


def _eiger(side: int) -> list[Window]:
    # 2 x 4 modules of 1030 x 514 pixels, gaps of 10 and 37.
    rows = _spans(0.0, 4, 514.0, 37.0, side / 2167.0)
    return _grid(rows, _spans(0.0, 2, 1030.0, 10.0, side / 2070.0))


def _agipd(side: int) -> list[Window]:
    # Four quadrants of four modules of eight tiles; each quadrant reaches past the hole's
    # edge on one side, as the sails of a windmill do.
    hole, size, between = 36.0, 544.0, 16.0
    scale = side / (2.0 * (hole + size))
    middle = hole + size
    corners = (
        (-hole - size, hole - size),
        (hole - size, hole),
        (hole, -hole),
        (-hole, -hole - size),
    )
    windows: list[Window] = []
    for top, left in corners:
        # Every quadrant has half a gap all round it, so that no two touch.
        rows = _spans(top + middle + 0.5 * between, 4, 0.25 * size - between, between, scale)
        wide = (size - between - 7 * 2.0) / 8
        windows += _grid(rows, _spans(left + middle + 0.5 * between, 8, wide, 2.0, scale))
    return windows


def _jungfrau(side: int) -> list[Window]:
    # Eight modules of 1030 x 514 pixels in two columns of four; every other module of the
    # left column is shifted along its length, the right column is lower.
    stagger, drop, gap = 68.0, 70.0, 36.0
    scale = side / (2 * 1030.0 + gap + stagger)
    tall = side / (4 * 514.0 + 3 * gap + drop)
    windows: list[Window] = []
    for column in range(2):
        rows = _spans(column * drop, 4, 514.0, gap, tall)
        for number, (top, bottom) in enumerate(rows):
            left = 1030.0 + gap + stagger if column else stagger * (number % 2)
            chips = _spans(left, 4, 256.0, 2.0, scale)
            middle = (top + bottom) // 2
            windows += _grid([[top, middle], [middle + 1, bottom]], chips)
    return windows


_WINDOWS = {
    "ccd": _ccd,
    "plate": _plate,
    "pilatus": _pilatus,
    "eiger": _eiger,
    "agipd": _agipd,
    "jungfrau": _jungfrau,
}
