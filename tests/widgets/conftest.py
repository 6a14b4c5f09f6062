"""Runs to look at, in a viewer without a window."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_xfelsort.core.simulate import SimulatedRun, simulate_detector


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> SimulatedRun:
    """A simulated run of 40 events with geometry and truth; not to be changed."""
    folder = tmp_path_factory.mktemp("simulated")
    return simulate_detector(folder / "run1", n_events=40, seed=11)


@pytest.fixture(scope="session")
def simulated_second(tmp_path_factory) -> SimulatedRun:
    """Another run of the same detector; not to be changed."""
    folder = tmp_path_factory.mktemp("simulated2")
    return simulate_detector(folder / "run2", n_events=30, seed=12, run=2)


@pytest.fixture
def viewer(qtbot):
    """A viewer without a window; it needs no screen."""
    from napari.components import ViewerModel

    from napari_xfelsort.widgets.runs import runs_of

    model = ViewerModel()
    yield model
    model.layers.clear()
    runs_of(model).close()


@pytest.fixture
def open_run(viewer):
    """Opens data with a geometry in the viewer: ``open_run(data, geometry) -> Run``."""
    from napari_xfelsort.readers import open_stack
    from napari_xfelsort.widgets.layers import Opened, run_layers
    from napari_xfelsort.widgets.runs import runs_of

    def open_it(data: Path | str, geometry: Path | str | None = None):
        stack = open_stack(str(data), geometry=geometry)
        opened = Opened((str(data),), None if geometry is None else str(geometry))
        return runs_of(viewer).add(run_layers(stack, opened))

    return open_it


@pytest.fixture
def run(open_run, simulated):
    """The simulated run, opened with its geometry."""
    return open_run(simulated.data, simulated.geometry)


@pytest.fixture
def own(tmp_path):
    """A simulated run of 8 events with a folder of its own."""
    return simulate_detector(tmp_path / "run", n_events=8, seed=3)


@pytest.fixture
def own_run(open_run, own):
    """The run with a folder of its own, opened with its geometry."""
    return open_run(own.data, own.geometry)


@pytest.fixture
def user(viewer, qtbot):
    """A person at the Label dock of the viewer without a window."""
    from label_user import User

    from napari_xfelsort.widgets.label_dock import LabelDock

    dock = LabelDock(viewer)
    qtbot.addWidget(dock)
    yield User(dock, qtbot)
    dock.release()


@pytest.fixture
def window(make_napari_viewer, own):
    """A window with the run open and the dock in it."""
    from napari_xfelsort.readers import open_stack
    from napari_xfelsort.widgets.label_dock import LabelDock
    from napari_xfelsort.widgets.layers import Opened, run_layers
    from napari_xfelsort.widgets.runs import runs_of

    viewer = make_napari_viewer(show=True)
    opened = Opened((str(own.data),), str(own.geometry))
    stack = open_stack(str(own.data), geometry=str(own.geometry))
    run = runs_of(viewer).add(run_layers(stack, opened))
    viewer.window.add_dock_widget(LabelDock(viewer), name="Label events", area="right")
    yield viewer, run, viewer.window.dock_widgets["Label events"]
    viewer.layers.clear()
    runs_of(viewer).close()
