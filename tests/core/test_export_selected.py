"""``xfelsort export`` from a sort, from labels, from lists and from data."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from sorting_cases import SHAPE, MeanModel, expected_class, means
from typer.testing import CliRunner

from napari_xfelsort import LabelStore, open_stack
from napari_xfelsort.cli import app
from napari_xfelsort.core.sorting import sort

DATA = "/entry_1/data_1/data"


@pytest.fixture
def data(tmp_path):
    values = means(40, 1)
    frames = np.broadcast_to(values[:, None, None], (40, *SHAPE)).astype(np.float32)
    with h5py.File(tmp_path / "run.cxi", "w") as file:
        file.create_dataset(DATA, data=frames, chunks=(1, *SHAPE))
    return tmp_path / "run.cxi", values


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def means_of(path: Path) -> list[float]:
    with h5py.File(path) as file:
        return np.round(file[DATA][:, 0, 0].astype(float), 3).tolist()


@pytest.mark.parametrize("name", ["good", "bad", "unsure"])
def test_a_class_of_a_sort(data, tmp_path, name):
    path, values = data
    sort(open_stack(path), MeanModel(), tmp_path / "out", workers=0, report=False)
    wanted = [v for v in values.tolist() if expected_class(v) == name]
    for kind in ("virtual", "copy"):
        target = tmp_path / f"{kind}.cxi"
        told = run(tmp_path / "out", "--class", name, "--kind", kind, "-o", target)
        assert f"{len(wanted)} events written" in told
        assert means_of(target) == wanted
    assert "exists already" in run(tmp_path / "out", "-c", name, "-o", target, status=1)


def test_labels_lists_and_data(data, tmp_path):
    path, values = data
    stack = open_stack(path)
    store = LabelStore(tmp_path / "labels")
    for i in (4, 9, 30):
        store.set(stack.event_id(i), "fine")
    store.set(stack.event_id(5), "poor")
    run(tmp_path / "labels", "-c", "fine", "-o", tmp_path / "1.cxi")
    assert means_of(tmp_path / "1.cxi") == values[[4, 9, 30]].tolist()
    run(tmp_path / "labels", "-c", "fine", "--data", path, "-o", tmp_path / "x.lst", "--kind=list")
    assert (tmp_path / "x.lst").read_text().splitlines() == [f"{path} //{i}" for i in (4, 9, 30)]
    run(tmp_path / "x.lst", "-o", tmp_path / "2.cxi")
    assert means_of(tmp_path / "2.cxi") == values[[4, 9, 30]].tolist()
    run(path, "-o", tmp_path / "all.csv", "--kind", "csv")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 41


def test_what_is_not_there_is_told(data, tmp_path):
    path, _ = data
    sort(open_stack(path), MeanModel(), tmp_path / "out", workers=0, report=False)
    target = tmp_path / "x.cxi"
    assert "good, bad, unsure" in run(tmp_path / "out", "-o", target, status=1)
    assert "no class 'fine'" in run(tmp_path / "out", "-c", "fine", "-o", target, status=1)
    assert "no class 'good'" in run(path, "-c", "good", "-o", target, status=1)
    assert "name it alone" in run(tmp_path / "out", path, "-c", "good", "-o", target, status=1)
    (tmp_path / "out" / "good.lst").unlink()
    assert "not complete" in run(tmp_path / "out", "-c", "good", "-o", target, status=1)
    store = LabelStore(tmp_path / "labels")
    store.set(open_stack(path).event_id(0), "fine")
    assert "'poor' but fine" in run(tmp_path / "labels", "-c", "poor", "-o", target, status=1)
    path.unlink()
    assert "not to be found" in run(tmp_path / "labels", "-c", "fine", "-o", target, status=1)
    assert not target.exists()
