"""What is checked of, and shared between, all panels of a geometry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from napari_xfelsort.core.errors import GeometryError
from napari_xfelsort.core.geometry.header import HeaderValue
from napari_xfelsort.core.geometry.notes import Notes
from napari_xfelsort.core.geometry.panel import MAX_PIXELS, Panel


def distribute_camera_lengths(
    panels: dict[str, Panel],
    clen: HeaderValue | None,
    of_panels: Mapping[str, HeaderValue],
    notes: Notes,
) -> tuple[HeaderValue | None, dict[str, Panel]]:
    """One camera length for the geometry, differences put into ``coffset``.

    CrystFEL before 0.11 gave a camera length for each panel.
    """
    if not of_panels:
        return clen, panels
    base = clen if clen is not None else next(iter(of_panels.values()))
    result = dict(panels)
    for name, own in of_panels.items():
        if own.value is not None and base.value is not None:
            panel = panels[name]
            offset = panel.coffset + own.value - base.value
            result[name] = replace(panel, coffset=offset)
        elif own != base:
            notes.add(
                f"panel {name} has a camera length from elsewhere than the others; "
                "the same one is used for all"
            )
            break
    return base, result


def raw_shape_of(panels: Iterable[Panel]) -> tuple[int, ...]:
    """Smallest raw shape that holds all panels."""
    return tuple(max(sizes) for sizes in zip(*(p.raw_extent for p in panels), strict=True))


def check_layout(
    panels: dict[str, Panel],
    lines: Mapping[str, int],
    error: Callable[[int, str], GeometryError],
) -> dict[str, Panel]:
    """Check that all panels can lie in one raw frame, and number their datasets.

    Raises
    ------
    GeometryError
        Made by ``error`` from the line of the first panel at fault and a clause.
    """
    first = next(iter(panels.values()))
    for name, panel in panels.items():
        line = lines.get(name, 0)
        if len(panel.dims) != len(first.dims):
            raise error(
                line,
                f"panel {name} is in data of {len(panel.dims)} axes, "
                f"panel {first.name} in data of {len(first.dims)}",
            )
        if [d == "%" for d in panel.dims] != [d == "%" for d in first.dims]:
            raise error(line, f"panels {first.name} and {name} differ in axes that are %")
        if panel.data.count("%") != first.data.count("%"):
            raise error(line, f"panels {first.name} and {name} differ in % of the data path")
        if any(mask.data.count("%") > panel.data.count("%") for mask in panel.masks):
            raise error(line, f"a mask of panel {name} has more % in its path than the data")
    paths = list(dict.fromkeys(panel.data for panel in panels.values()))
    result = {
        name: replace(panel, dataset=paths.index(panel.data), stacked=len(paths) > 1)
        for name, panel in panels.items()
    }
    shape = raw_shape_of(result.values())
    if math.prod(shape) > MAX_PIXELS:
        largest = max(result.values(), key=lambda p: math.prod(p.raw_extent))
        raise error(
            lines.get(largest.name, 0),
            f"frames would have the shape {shape}, which is more than {MAX_PIXELS} pixels; "
            f"see panel {largest.name}",
        )
    return result
