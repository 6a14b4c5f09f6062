"""Networks for anomalies from the command line: train, apply; needs PyTorch."""

from __future__ import annotations

import csv
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_xfelsort.cli import app
from napari_xfelsort.core.anomalies.stack_features import FrameReader
from napari_xfelsort.core.deep import load_deep_model
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.simulate.anomalies import simulate_anomalies
from napari_xfelsort.readers import open_stack

torch = pytest.importorskip("torch", reason="PyTorch (extra deep) is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

SMALL = "--picture-size 32 --sizes 32 --channels 1 --cycles 1 --weights none --device cpu"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def xfelsort(line: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == status, result.output
    return result.output


def test_a_network_is_trained_and_applied(tmp_path):
    made = simulate_anomalies(tmp_path, n_events=32, side=128, artifact=0.0)
    data = f"{made.data} -g {made.geometry}"
    store = LabelStore(tmp_path / "labels")
    stack = open_stack([str(made.data)], geometry=made.geometry)
    for i in range(len(stack)):
        store.set(stack.event_id(i), "strong_background" if i % 2 else "clean")
    reader = FrameReader(stack)
    frame, center, mask = reader.frame(3), reader.center, reader.mask
    stack.close()
    model, out = tmp_path / "net.xfelmodel", tmp_path / "found.csv"
    train = f"anomalies train {data} -l {tmp_path / 'labels'} -o {model} --learner network {SMALL}"
    said = xfelsort(f"{train} --representation polar_min --seed 3 --validation 25")
    for word in ("random weights", "judged too well", "roc auc", str(model)):
        assert word in said
    assert "exists" in xfelsort(train, 1)
    network = load_deep_model(model)
    settings = network.settings
    assert network.class_names == ("strong_background",)
    assert (settings.representation, settings.seed, settings.sizes) == ("polar_min", 3, (32,))
    assert settings.validation_share == 0.25
    assert network.provenance["events"] == 32

    xfelsort(f"anomalies apply {data} -m {model} -o {out}")
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
    assert not any(row["problem"] for row in rows)
    wanted = network.predict([frame], center, mask, device="cpu")[0, 0]
    assert np.isclose(float(rows[3]["strong_background"]), wanted, atol=1e-3)
    assert (rows[3]["anomalies"] == "strong_background") == (wanted >= network.thresholds[0])


def test_a_network_that_cannot_be_is_told(tmp_path):
    made = simulate_anomalies(tmp_path, n_events=8, side=128)
    store = LabelStore(tmp_path / "labels")
    stack = open_stack([str(made.data)], geometry=made.geometry)
    store.set(stack.event_id(0), "ice_ring")
    store.set(stack.event_id(1), "clean")
    stack.close()
    line = (
        f"anomalies train {made.data} -g {made.geometry} -l {tmp_path / 'labels'} "
        f"-o {tmp_path / 'net.xfelmodel'} --learner network"
    )
    assert "divide picture_size" in xfelsort(f"{line} --picture-size 64 --sizes 48", 1)
    assert "'ice_ring' has 1 of 2 labelled events" in xfelsort(f"{line} {SMALL}", 1)
    assert not (tmp_path / "net.xfelmodel").exists()
