"""Modules and panels of a detector: what of a frame is read, and judged, by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.source import Window

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry

#: Part of a raw frame with two dimensions: a panel, or a module.
Tile = tuple[int | slice, ...]


class Module(NamedTuple):
    """A module: two axes of a raw frame.

    Attributes
    ----------
    place : tuple of int or slice
        Index expression of the module in a raw frame.
    shape : tuple of int
        Its rows and columns.
    tiles : dict of str to tuple of slice
        Its panels: in each, neighbours are alike.
    """

    place: Tile
    shape: tuple[int, ...]
    tiles: dict[str, Tile]


class Unit(NamedTuple):
    """Modules that are read together.

    Attributes
    ----------
    window : tuple of slice
        Part of a raw frame that holds them.
    modules : tuple of Module
        Of the raw frame.
    """

    window: Window
    modules: tuple[Module, ...]

    def within(self, module: Module) -> Tile:
        """Index expression of a module in frames of the window; the first axis is time."""
        places = zip(module.place, self.window, strict=True)
        inside = (k - w.start if isinstance(k, int) else k for k, w in places)
        return (slice(None), *inside)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all panels in it."""
        return tuple(name for module in self.modules for name in module.tiles)


def tiles_of(raw_shape: Sequence[int], geometry: Geometry | None = None) -> list[Tile]:
    """The parts of a frame in which neighbours are alike: panels, else whole modules.

    Raises
    ------
    SettingsError
        If a frame has fewer than two dimensions.
    """
    if geometry is not None:
        return [panel.raw_index for panel in geometry.panels.values()]
    return [module.place for module in modules_of(raw_shape)]


def modules_of(raw_shape: Sequence[int], geometry: Geometry | None = None) -> list[Module]:
    """The modules of a detector with their panels; without a geometry a module is one panel.

    Raises
    ------
    SettingsError
        If a frame has fewer than two dimensions.
    """
    shape = tuple(raw_shape)
    if len(shape) < 2:
        raise SettingsError(f"A mask needs frames with at least two dimensions, not {shape}.")
    whole = (slice(None), slice(None))
    if geometry is None:
        return [
            Module((*place, *whole), shape[-2:], {_name(place): whole})
            for place in np.ndindex(*shape[:-2])
        ]
    found: dict[tuple[int, ...], Module] = {}
    for name, panel in geometry.panels.items():
        places = panel.raw_index
        key = tuple(k if isinstance(k, int) else -1 for k in places)
        index = tuple(k if isinstance(k, int) else slice(None) for k in places)
        sides = tuple(n for n, k in zip(shape, places, strict=True) if not isinstance(k, int))
        module = found.setdefault(key, Module(index, sides, {}))
        module.tiles[name] = tuple(k for k in places if not isinstance(k, int))
    return list(found.values())


def units_of(raw_shape: Sequence[int], modules: Sequence[Module], apart: bool) -> list[Unit]:
    """What is read together: each module by itself (``apart``), or whole frames."""
    if not apart or len(modules) <= 1:
        return [Unit(tuple(slice(0, n) for n in raw_shape), tuple(modules))]
    return [
        Unit(
            tuple(
                slice(k, k + 1) if isinstance(k, int) else slice(0, n)
                for k, n in zip(module.place, raw_shape, strict=True)
            ),
            (module,),
        )
        for module in modules
    ]


def _name(place: tuple[int, ...]) -> str:
    return "module " + "/".join(map(str, place)) if place else "module"
