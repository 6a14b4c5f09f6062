"""napari's reader: from files, lists and folders to layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from napari_xfelsort.widgets.layers import LayerData, Opened, panels_layer, run_layers

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """The reader, None for what is certainly nothing of ours; never raises."""
    paths = _listed(path)
    if not paths:
        return None
    if all(p.lower().endswith(".geom") for p in paths):
        return read_geometry
    return read_run if not any(p.lower().endswith(".geom") for p in paths[1:]) else None


def read_run(path: Paths) -> list[LayerData]:
    """Layers of the run that the files, lists or folders make.

    Raises
    ------
    XfelsortError
        A sentence for the user; napari shows it.
    """
    layers = open_layers(Opened(tuple(_listed(path))))
    watch_current_viewer()
    return layers


def open_layers(opened: Opened) -> list[LayerData]:
    """Layers of a run, the events first.

    Raises
    ------
    XfelsortError
        If it cannot be opened, as `open_stack`.
    """
    from napari_xfelsort.readers import open_stack

    stack = open_stack(
        list(opened.paths),
        geometry=opened.geometry,
        mask=opened.mask,
        dataset=opened.dataset,
    )
    return run_layers(stack, opened)


def read_geometry(path: Paths) -> list[LayerData]:
    """Outlines of the panels of CrystFEL geometries.

    Raises
    ------
    GeometryError
        If a file is malformed; the text names the line.
    """
    from napari_xfelsort.core.geometry import Geometry

    layers = []
    for name in _listed(path):
        made = panels_layer(Geometry.from_crystfel(name), visible=True)
        assert made is not None
        made[1]["name"] = os.path.basename(name)
        layers.append(made)
    return layers


def _listed(path: Paths) -> list[str]:
    if isinstance(path, (str, os.PathLike)):
        return [os.fspath(path)]
    return [os.fspath(part) for part in path]


def watch_current_viewer() -> None:
    """Let peaks and captions follow the slider where the layers are about to be shown."""
    import napari

    from napari_xfelsort.widgets.runs import runs_of

    viewer = napari.current_viewer()
    if viewer is not None:
        runs_of(viewer)
