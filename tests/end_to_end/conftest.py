"""Simulated runs that the end-to-end tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.simulate import SimulatedRun, simulate_detector

Run = Callable[..., object]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedRun, SimulatedRun]:
    """Two runs of one detector, 60 and 40 events; only to be read."""
    folder = tmp_path_factory.mktemp("simulated")
    first, second = (
        simulate_detector(folder / f"run{n}", run=n, seed=n, n_events=events)
        for n, events in ((1, 60), (2, 40))
    )
    return first, second


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``xfelsort`` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return run


@pytest.fixture(scope="session")
def model_file(runs: tuple[SimulatedRun, SimulatedRun], tmp_path_factory) -> Path:
    """A model trained on the first run through the command line."""
    folder = tmp_path_factory.mktemp("model")
    first = runs[0]
    lists = ["--from-lists", str(first.good_list), str(first.bad_list)]
    labels = ["--labels", str(folder / "labels")]
    done = CliRunner().invoke(app, ["label", str(first.data), *lists, *labels])
    assert done.exit_code == 0, done.output
    arguments = ["train", str(first.data), *labels, "--geometry", str(first.geometry)]
    arguments += ["--region", "panel:p6a0", "--bin", "8", "--normalise", "median"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(folder / "m.xfelmodel")])
    assert done.exit_code == 0, done.output
    return folder / "m.xfelmodel"


@pytest.fixture
def copies(runs: tuple[SimulatedRun, SimulatedRun], tmp_path: Path) -> list[Path]:
    """The second run's file under four names."""
    folder = tmp_path / "copies"
    folder.mkdir()
    paths = [folder / f"part{n}.cxi" for n in range(4)]
    for path in paths:
        shutil.copy(runs[1].data, path)
    return paths
