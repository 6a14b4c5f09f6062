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
