"""Bad pixels that a geometry names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.geometry.panel import BadRegion, Panel


def view(raw: NDArray[Any], panel: Panel) -> NDArray[Any]:
    """The panel's part of a raw-shaped array; shape (ss, fs)."""
    part = raw[panel.raw_index]
    return part.T if panel.transposed else part


def static_bad(
    panels: Sequence[Panel], regions: Iterable[BadRegion], raw_shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Pixels that are bad in every event, True where bad; raw shape.

    Bad regions, unused panels (``no_index``) and panel edges. Pixels that no panel covers
    are not bad: they are outside, and have no position.
    """
    bad = np.zeros(raw_shape, bool)
    for panel in panels:
        part = view(bad, panel)
        edge = panel.mask_edge_pixels
        if panel.no_index or 2 * edge >= min(panel.width, panel.height):
            part[...] = True
        elif edge > 0:
            part[:edge] = part[-edge:] = True
            part[:, :edge] = part[:, -edge:] = True
    for region in regions:
        for panel in panels:
            if region.panel in (None, panel.name):
                _add_region(view(bad, panel), region, panel)
    return bad


def _add_region(part: NDArray[np.bool_], region: BadRegion, panel: Panel) -> None:
    if region.in_laboratory:
        f, s = np.arange(panel.width), np.arange(panel.height)[:, np.newaxis]
        inside = np.ones(part.shape, bool)
        for axis in (0, 1):
            place = panel.corner[axis] + panel.fs[axis] * f + panel.ss[axis] * s
            inside &= (place > region.minimum[axis]) & (place < region.maximum[axis])
        part |= inside
        return
    (first_f, first_s), (last_f, last_s) = region.minimum, region.maximum
    part[
        _span(first_s, last_s, panel.min_ss, panel.height),
        _span(first_f, last_f, panel.min_fs, panel.width),
    ] = True


def _span(first: float, last: float, origin: int, size: int) -> slice:
    start = 0 if first == -math.inf else max(math.ceil(first) - origin, 0)
    stop = size if last == math.inf else math.floor(last) - origin + 1
    return slice(start, max(stop, start))


def flagged(raw: NDArray[Any], panels: Iterable[Panel]) -> NDArray[np.bool_] | None:
    """Pixels whose value is a flag of the geometry; None if it has no flags.

    ``flag_lessthan``, ``flag_morethan`` (strict) and ``flag_equal``, compared as 64-bit
    floating-point numbers. ``max_adu`` is no flag.
    """
    bad: NDArray[np.bool_] | None = None
    for panel in panels:
        limits = (panel.flag_lessthan, panel.flag_morethan, panel.flag_equal)
        if limits == (None, None, None):
            continue
        if bad is None:
            bad = np.zeros(raw.shape, bool)
        part, values = view(bad, panel), view(raw, panel)
        for limit, compare in zip(limits, (np.less, np.greater, np.equal), strict=True):
            if limit is not None:
                part |= compare(values, limit, signature="dd->?")
    return bad
