"""How many events are worked on at once, and which pixels of a region can be used."""

from __future__ import annotations

import math
from collections.abc import Callable

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region, ResolvedRegion
from napari_xfelsort.core.source import Window

#: Told how many of how many events are done; may raise to stop.
Progress = Callable[[int, int], None]

#: Bytes of raw pixels that are read and worked on at once.
BLOCK_BYTES = 32 * 1024**2
MAX_BLOCK_EVENTS = 256


def without_bad(pixels: ResolvedRegion, mask: PixelMask | None, region: Region) -> ResolvedRegion:
    """The region without masked pixels.

    Raises
    ------
    RegionError
        If no pixel is left.
    """
    bad = None if mask is None else mask.bad[pixels.window]
    if bad is None or not bad.any():
        return pixels
    inside = ~bad if pixels.inside is None else pixels.inside & ~bad
    if not inside.any():
        raise RegionError(f"Every pixel of the region {region} is masked.")
    return ResolvedRegion(pixels.window, inside)


def block_events(window: Window, itemsize: int) -> int:
    """How many events to read at once so that memory stays bounded."""
    pixels = math.prod(int(s.stop - s.start) for s in window)
    return max(1, min(MAX_BLOCK_EVENTS, BLOCK_BYTES // max(1, pixels * itemsize)))
