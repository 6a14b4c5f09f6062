"""What a reader must know of the datasets that a geometry names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_xfelsort.core.geometry.panel import Panel


@dataclass(frozen=True)
class DataLayout:
    """One dataset that holds frames, or one part of each frame.

    Attributes
    ----------
    path : str
        Path in the file; ``%`` stands for a part of the event's name.
    rank : int
        Number of axes.
    event_axes : tuple of int
        Its ``%`` axes, in order; the others, in order, are those of the raw frame.
    panels : tuple of str
        The panels it holds.
    """

    path: str
    rank: int
    event_axes: tuple[int, ...]
    panels: tuple[str, ...]


def data_layouts(panels: Iterable[Panel]) -> tuple[DataLayout, ...]:
    """The datasets of some panels, in order of first use."""
    members: dict[str, list[Panel]] = {}
    for panel in panels:
        members.setdefault(panel.data, []).append(panel)
    return tuple(
        DataLayout(
            path,
            len(group[0].dims),
            tuple(axis for axis, dim in enumerate(group[0].dims) if dim == "%"),
            tuple(panel.name for panel in group),
        )
        for path, group in members.items()
    )
