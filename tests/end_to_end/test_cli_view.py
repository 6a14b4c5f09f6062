"""``xfelsort view``: what it opens, and what it says when it cannot."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napari_xfelsort import _cli_view
from programs import PATIENCE, program

# Says so when the command's window is there and the event loop runs, and is then ended.
# Only napari's loop is replaced, so that the test is not told by looking at the screen.
SHOWN = """
import sys
import napari
from qtpy.QtCore import QTimer

run = napari.run

def tell():
    viewer = napari.current_viewer()
    names = sorted(viewer.window.dock_widgets)
    print("shown", [layer.name for layer in viewer.layers], names, flush=True)

def shown():
    QTimer.singleShot(100, tell)
    run()

napari.run = shown
from napari_xfelsort.cli import main
main()
"""

needs_display = pytest.mark.skipif(
    sys.platform.startswith("linux") and not os.environ.get("DISPLAY"), reason="needs a display"
)


@pytest.fixture
def no_window(monkeypatch):
    """Fails the test when a window is opened."""

    def build(*_: object, **__: object) -> None:
        pytest.fail("a window was opened")

    monkeypatch.setattr(_cli_view, "build_viewer", build)


@pytest.fixture
def any_display(monkeypatch):
    monkeypatch.setattr(_cli_view, "check_window", lambda: None)


@pytest.fixture
def viewer(runs, make_napari_viewer, monkeypatch):
    """Builds the viewer of the command in one that is closed after the test."""

    def build(*paths: object, **options: object):
        named = {"geometry": None, "mask": None, "dataset": None, **options}
        layers = _cli_view.read_layers([str(path) for path in paths], **named)
        monkeypatch.setattr("napari.Viewer", lambda: make_napari_viewer())
        return _cli_view.build_viewer(layers)

    return build


def test_data_are_shown_with_the_docks_beside(viewer, runs):
    from napari_xfelsort.widgets.runs import runs_of

    shown = viewer(runs[0].data, geometry=runs[0].geometry)
    (run,) = runs_of(shown).runs
    assert len(run) == 60
    assert run.opened.paths == (str(runs[0].data),)
    assert run.opened.geometry == str(runs[0].geometry)
    assert run.stack.geometry is not None
    assert run.current == 0
    docks = {name.split(" (")[0]: dock for name, dock in shown.window.dock_widgets.items()}
    assert {"Open run", "Label events"} <= set(docks)


def test_several_files_are_one_run(viewer, runs):
    from napari_xfelsort.widgets.runs import runs_of

    (run,) = runs_of(viewer(runs[0].data, runs[1].data)).runs
    assert len(run) == 100


def test_without_data_the_docks_are_there(viewer):
    shown = viewer()
    assert len(shown.layers) == 0
    assert any(name.startswith("Open run") for name in shown.window.dock_widgets)


@needs_display
def test_the_command_opens_a_window_and_stops_with_ctrl_c(runs, tmp_path):
    command = [sys.executable, "-c", SHOWN, "view", str(runs[0].data)]
    command += ["--geometry", str(runs[0].geometry)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with program(*command, cwd=tmp_path, **pipes) as process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert line.startswith("shown ['run0001.cxi'"), errors
    assert "Open run" in line
    assert "Label events" in line
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


@pytest.mark.usefixtures("no_window", "any_display")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.cxi"], "nowhere.cxi does not exist."),
        (["text.cxi"], "text.cxi"),
        (["RUN", "--geometry", "nowhere.geom"], "nowhere.geom"),
        (["RUN", "--mask", "nowhere.h5"], "nowhere.h5"),
        (["RUN", "--dataset", "/nowhere"], "/nowhere"),
        (["--geometry", "nowhere.geom"], "Name the data that geometry, mask or dataset are for."),
    ],
)
def test_what_cannot_be_opened_is_one_sentence_and_no_window(cli, runs, arguments, sentence):
    Path("text.cxi").write_text("no HDF5")
    done = cli("view", *(str(runs[0].data) if a == "RUN" else a for a in arguments))
    assert done.exit_code == 1
    assert sentence in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.usefixtures("any_display")
def test_what_is_left_out_is_told_and_the_rest_is_shown(cli, runs, monkeypatch):
    napari = pytest.importorskip("napari")
    built = []
    monkeypatch.setattr(_cli_view, "build_viewer", built.append)
    monkeypatch.setattr(napari, "run", lambda: None)
    Path("text.cxi").write_text("no HDF5")
    done = cli("view", runs[0].data, "text.cxi")
    assert done.exit_code == 0
    assert "text.cxi" in done.output
    ((events, *_),) = [layers[0] for layers in built]
    assert events.shape[0] == 60


@pytest.mark.usefixtures("no_window")
def test_without_napari_the_command_says_how_to_install_it(cli, runs, monkeypatch):
    find = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "napari":
            raise ImportError("No module named 'napari'")
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    done = cli("view", runs[0].data)
    assert done.exit_code == 1
    assert 'pip install "napari-xfelsort[all]"' in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of X11 and Wayland")
@pytest.mark.parametrize("display", [None, ":4711"])
def test_without_a_display_there_is_one_sentence(runs, tmp_path, display):
    names = _cli_view._DISPLAYS
    environment = {name: text for name, text in os.environ.items() if name not in names}
    if display:
        environment["DISPLAY"] = display
    command = [sys.executable, "-c", "from napari_xfelsort.cli import main; main()", "view"]
    done = subprocess.run(
        [*command, str(runs[0].data)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert "window" in done.stderr
    assert "need no display" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_help_names_the_docks(cli):
    text = " ".join(cli("view", "--help").output.split())
    assert "Open run" in text
    assert "--geometry" in text
