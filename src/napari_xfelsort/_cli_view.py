"""``xfelsort view``: data in napari, with the docks to look at and label them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_xfelsort.cli_options import DatasetOption, GeometryOption, MaskOption
from napari_xfelsort.cli_support import Status, guarded, tell_problems
from napari_xfelsort.core.errors import MissingDependencyError, SettingsError, XfelsortError

if TYPE_CHECKING:
    from napari import Viewer

    from napari_xfelsort.widgets.layers import LayerData

PLUGIN = "napari-xfelsort"
#: The first one is in front.
DOCKS = ("Open run", "Label events")
#: Qt ends the process when it finds no display, so another process tries.
_TRY_WINDOW = "from qtpy.QtWidgets import QApplication; QApplication([])"
_TRY_SECONDS = 60
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


class NoDisplayError(XfelsortError):
    """There is nowhere to open a window."""


@guarded("Stopped.")
def view(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files, lists, folders or patterns."),
    ] = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
) -> Status:
    """Open data in napari, to look at and to label.

    The docks Open run and Label events come up beside the picture; Train a model and
    Sort events are in the menu Plugins. Without PATH the window is empty.
    """
    check_window()
    layers = read_layers(paths or [], geometry, mask, dataset)
    import napari

    build_viewer(layers)
    napari.run()
    return Status.DONE


def check_window() -> None:
    """See that a window can be opened.

    Raises
    ------
    MissingDependencyError
        If napari or Qt is not installed.
    NoDisplayError
        If there is no display.
    """
    try:
        import napari  # noqa: F401
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            'A window needs napari and Qt: pip install "napari-xfelsort[all]" '
            f"({' '.join(str(error).split())})."
        ) from error
    if not sys.platform.startswith("linux"):
        return
    hint = "connect with ssh -X or a remote desktop; the other commands need no display."
    if not any(os.environ.get(name) for name in _DISPLAYS):
        raise NoDisplayError(f"There is no display to open a window on; {hint}")
    reason = _why_no_window()
    if reason:
        raise NoDisplayError(f"A window cannot be opened ({reason}); {hint}")


def _why_no_window() -> str:
    """What Qt says when it opens no window; empty when it does."""
    command = [sys.executable, "-c", _TRY_WINDOW]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=_TRY_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the display does not answer within {_TRY_SECONDS} s"
    if not tried.returncode:
        return ""
    said = (line.strip() for line in tried.stderr.decode(errors="replace").split("\n"))
    return next(filter(None, said), "Qt does not say why")


def read_layers(
    paths: list[str], geometry: Path | None, mask: Path | None, dataset: str | None
) -> list[LayerData]:
    """Layers of the run that is asked for; none without paths.

    Raises
    ------
    XfelsortError
        If the data cannot be opened, or options are given without data.
    """
    from napari_xfelsort.widgets.layers import KEY, Opened
    from napari_xfelsort.widgets.reading import open_layers

    if not paths:
        if geometry or mask or dataset:
            raise SettingsError("Name the data that geometry, mask or dataset are for.")
        return []
    layers = open_layers(Opened(tuple(paths), _text(geometry), _text(mask), dataset))
    tell_problems(layers[0][1]["metadata"][KEY]["stack"].problems)
    return layers


def build_viewer(layers: list[LayerData], **keywords: Any) -> Viewer:
    """A viewer with these layers and the docks, tabbed on the right.

    Parameters
    ----------
    layers : list of LayerData
        Of one run, or none.
    **keywords
        For `napari.Viewer`.
    """
    import napari
    from qtpy.QtCore import QTimer

    from napari_xfelsort.widgets.runs import runs_of

    viewer = napari.Viewer(**keywords)
    runs = runs_of(viewer)
    if layers:
        runs.add(layers)
    docks = [viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True) for name in DOCKS]

    def arrange() -> None:
        docks[0][0].raise_()
        viewer.reset_view()  # the docks have taken room from the picture

    QTimer.singleShot(0, arrange)
    return viewer


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
