"""Networks of single hits run, trained, stopped and applied; needs PyTorch."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spi_pictures import SHAPE, frames_of, run

import napari_xfelsort as xs
from napari_xfelsort.core.deep import spi_training
from napari_xfelsort.core.deep.spi_fit import training_time
from napari_xfelsort.core.deep.spi_layout import PictureLayout
from napari_xfelsort.core.deep.spi_model import SpiNetworks, networks_softmax, standardised
from napari_xfelsort.core.deep.spi_onnx import OnnxNetwork, has_onnx
from napari_xfelsort.core.deep.spi_resnet import SpiNetwork, new_spi_tensors, spi_blocks
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
from napari_xfelsort.core.deep.spi_training import SpiData, SpiTrainer, low_precision
from napari_xfelsort.core.errors import RegionError, SettingsError, TrainingError
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training import prepare

torch = pytest.importorskip("torch", reason="PyTorch (extra deep) is not installed")

QUICK = SpiNetworkSettings(
    recipe="cpu",
    cell=1,
    parts=2,
    epochs=2,
    batch=16,
    drawn_share=0.4,
    device="cpu",
    precision="float32",
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def module_of(architecture, shape, tensors, beside=0):
    """The same network of PyTorch's own layers."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.norm1, self.norm2 = nn.BatchNorm2d(block.before), nn.BatchNorm2d(block.after)
            self.conv1 = nn.Conv2d(
                block.before, block.after, 3, block.stride, padding=1, bias=False
            )
            self.conv2 = nn.Conv2d(block.after, block.after, 3, padding=1, bias=False)
            if block.shortcut:
                self.short = nn.Conv2d(block.before, block.after, 1, block.stride, bias=False)

        def forward(self, x):
            active = nn.functional.leaky_relu(self.norm1(x))
            y = self.conv2(nn.functional.leaky_relu(self.norm2(self.conv1(active))))
            return y + (self.short(active) if hasattr(self, "short") else x)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(
                1, 16, 3, 2 if architecture == "early" else 1, padding=1, bias=False
            )
            for block in spi_blocks(architecture, shape):
                setattr(self, block.name, Block(block))
                last = block.after
            self.norm = nn.BatchNorm2d(last)
            if beside:
                self.beside = nn.ModuleDict({"norm0": nn.BatchNorm1d(beside)})
                for k, before in ((1, beside), (2, 64)):
                    self.beside[f"linear{k}"] = nn.Linear(before, 64)
                    self.beside[f"norm{k}"] = nn.BatchNorm1d(64)
                self.beside["last"] = nn.Linear(64, 2)
            self.last = nn.Linear(last, 2)

        def forward(self, x, numbers=None):
            x = self.stem(x)
            for block in spi_blocks(architecture, shape):
                x = getattr(self, block.name)(x)
            x = self.last(nn.functional.leaky_relu(self.norm(x)).mean((2, 3)))
            if beside:
                y = self.beside["norm0"](numbers)
                for k in "12":
                    y = nn.functional.leaky_relu(
                        self.beside[f"norm{k}"](self.beside[f"linear{k}"](y))
                    )
                x = (x + self.beside["last"](y)) / 2
            return x

    module = Whole()
    module.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=False)
    return module


@pytest.mark.parametrize(("architecture", "beside"), [("early", 0), ("paper", 0), ("early", 12)])
def test_the_arithmetic_is_that_of_a_network_of_layers(architecture, beside):
    shape = (48, 40)
    random = np.random.default_rng(0)
    tensors = {
        name: np.abs(values + 0.1 * random.standard_normal(values.shape)).astype(np.float32)
        if name.endswith("var")
        else (values + 0.1 * random.standard_normal(values.shape)).astype(np.float32)
        for name, values in new_spi_tensors(architecture, shape, (0,), beside).items()
    }
    x = torch.from_numpy(random.standard_normal((3, 1, *shape)).astype(np.float32))
    numbers = None
    if beside:
        numbers = torch.from_numpy(random.standard_normal((3, beside)).astype(np.float32))
    own = SpiNetwork(architecture, shape, tensors)
    other = module_of(architecture, shape, tensors, beside)
    with torch.inference_mode():
        wanted = other.eval()(x, numbers)
        torch.testing.assert_close(
            own.logits(x, numbers), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max())
        )
    own.judgements(x, numbers, learning=True)
    other.train()(x, numbers)
    if beside:
        np.testing.assert_allclose(
            own.arrays()["beside.norm2.running_var"],
            other.beside["norm2"].running_var.numpy(),
            rtol=1e-3,
            atol=1e-4,
        )
    np.testing.assert_allclose(
        own.arrays()["block1.norm2.running_mean"],
        other.block1.norm2.running_mean.numpy(),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize(("architecture", "beside"), [("early", 0), ("paper", 0), ("early", 12)])
def test_onnx_runtime_says_the_same(architecture, beside):
    if not has_onnx():
        pytest.skip("onnx or ONNX Runtime is not installed")
    shape = (48, 40)
    random = np.random.default_rng(0)
    tensors = new_spi_tensors(architecture, shape, (0,), beside)
    for name in tensors:
        if "norm" in name:
            tensors[name] += random.uniform(0, 0.3, tensors[name].shape).astype(np.float32)
    x = random.standard_normal((3, *shape)).astype(np.float32)
    numbers = random.standard_normal((3, beside)).astype(np.float32) if beside else None
    wanted = SpiNetwork(architecture, shape, tensors).logits_of(x, numbers)
    assert np.ptp(wanted) > 0.1
    found = OnnxNetwork(architecture, shape, tensors).logits_of(x, numbers)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def data_of(n=60):
    frames, single = frames_of(n)
    cells = SHAPE[0] * SHAPE[1]
    layout = PictureLayout(
        SHAPE, np.arange(cells, dtype=np.int32), np.ones(SHAPE, np.float32), (13.5, 12.5), 1
    )
    return SpiData(frames, single, np.arange(n) // 3 % 2, layout, 1.0)


class Stopped(Exception):
    """By the user."""


def test_a_stopped_training_goes_on_to_the_same_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(spi_training, "EPOCH_STEPS", 3)
    monkeypatch.setattr(spi_training, "_KEEP_SECONDS", 0.0)
    settings = SpiNetworkSettings(**{**QUICK.to_dict(), "epochs": 3, "patience": 5})
    whole = SpiTrainer(data_of(), settings, 1, tmp_path / "a").run()
    told = []

    def stop_at(limit):
        def tell(done, total):
            told.append((done, total))
            if done == limit:
                raise Stopped

        return tell

    for limit in (1, 5):  # in the first network, and in the second
        with pytest.raises(Stopped):
            SpiTrainer(data_of(), settings, 1, tmp_path / "b").run(stop_at(limit))
    told.clear()
    again = SpiTrainer(data_of(), settings, 1, tmp_path / "b").run(stop_at(-1))
    # the first network is there, the second goes on after its first epoch
    assert told[:3] == [(3, 6), (4, 6), (5, 6)] or told[:3] == [(3, 6), (5, 6), (6, 6)]
    assert told[-1] == (6, 6)
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values)
    np.testing.assert_array_equal(again.out_of_part, whole.out_of_part)
    assert not list((tmp_path / "b").iterdir())
    other = SpiTrainer(data_of(), settings, 2, tmp_path / "a").run()
    assert not np.array_equal(other.tensors["last.weight"], whole.tensors["last.weight"])


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
import torch
torch.set_num_threads(1)
from napari_xfelsort.core.deep import spi_training
from test_spi_networks import QUICK, data_of
spi_training.EPOCH_STEPS, spi_training._KEEP_SECONDS = 3, 0.0

def tell(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

spi_training.SpiTrainer(data_of(), QUICK, 1, Path({folder!r})).run(tell)
"""


def test_a_killed_training_goes_on_to_the_same_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(spi_training, "EPOCH_STEPS", 3)
    code = KILLED.format(
        path=[str(Path(__file__).parent), str(Path(xs.__file__).parents[1])],
        folder=str(tmp_path / "kept"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((tmp_path / "kept").iterdir())
    told = []
    again = SpiTrainer(data_of(), QUICK, 1, tmp_path / "kept").run(lambda *n: told.append(n))
    assert told[0] == (2, 4)  # the first network was done
    whole = SpiTrainer(data_of(), QUICK, 1, tmp_path / "other").run()
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values)


def test_training_ends_early_and_keeps_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(spi_training, "EPOCH_STEPS", 1)
    losses = iter([3.0, 1.0, 2.0, 2.0, 9.0, 9.0, 9.0, 9.0] * 2)
    arrays = []

    def loss(self, network, held):
        arrays.append(network.arrays())
        return next(losses)

    monkeypatch.setattr(SpiTrainer, "_held_loss", loss)
    settings = SpiNetworkSettings(**{**QUICK.to_dict(), "epochs": 50, "patience": 2})
    found = SpiTrainer(data_of(), settings, 1, tmp_path).run()
    assert found.epochs[0] == 4
    np.testing.assert_array_equal(found.tensors["stem.weight"][0], arrays[1]["stem.weight"])


def test_a_loss_that_is_no_number_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(SpiTrainer, "_steps", lambda *_: float("nan"))
    trainer = SpiTrainer(data_of(), QUICK, 1, tmp_path)
    with pytest.raises(TrainingError, match=r"smaller rate than 0\.002"):
        trainer.run()


def test_networks_are_averaged_over_mirrors():
    cells = SHAPE[0] * SHAPE[1]
    layout = PictureLayout(
        SHAPE, np.arange(cells, dtype=np.int32), np.ones(SHAPE, np.float32), (13.5, 12.5), 1
    )
    parts = [new_spi_tensors("early", SHAPE, (k,)) for k in range(2)]
    tensors = {name: np.stack([own[name] for own in parts]) for name in parts[0]}
    frames, _ = frames_of(5)
    frames[:, :9, :9] += 4
    matrix = frames.reshape(5, -1)
    found = SpiNetworks("early", layout, True, 1.0, 0.5, "rows", tensors, 1).predict_proba(matrix)
    seen = standardised(frames, layout, True, 1.0, 0.5)
    each = [
        networks_softmax([SpiNetwork("early", SHAPE, own)], np.ascontiguousarray(way))
        for own in parts
        for way in (seen, seen[:, ::-1])
    ]
    assert np.ptp(each, axis=0).max() > 1e-4
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    other = SpiNetworks("early", layout, True, 1.0, 0.5, "rows", tensors, 0)
    np.testing.assert_allclose(other.predict_proba(matrix), found[:, ::-1])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    stack, labels = run(120)
    told = []
    found = xs.train(
        stack,
        labels,
        model="spi_cnn",
        split="event",
        cache=False,
        **{**QUICK.to_dict(), "resume": False},
        fit_progress=lambda *n: told.append(n),
    )
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)
    return found


def test_networks_learn_rings_of_one_width(model):
    stack, labels = run(60, seed=5)
    decided = model.predict(stack)
    right = decided.chosen == np.array(labels)
    assert right.mean() > 0.9
    assert model.positive == "single"
    assert model.metrics["out_of_fold"]["n"] == model.metrics["n_train"]
    assert model.provenance["settings"]["threshold"] == "max_f1"
    assert model.provenance["parameters"]["mirrors"] == "both"
    assert "spi cnn on" in model.report_text()


def test_a_reloaded_model_sorts_as_the_first(model, tmp_path):
    model.save(tmp_path / "net.xfelmodel")
    found = xs.load_model(tmp_path / "net.xfelmodel")
    assert found.digest == model.digest
    stack, _ = run(30, seed=6)
    np.testing.assert_array_equal(
        found.predict(stack).probabilities, model.predict(stack).probabilities
    )
    summary = xs.sort(stack, found, tmp_path / "sorted", workers=0)
    assert summary.ok
    assert summary.events == 30


def test_the_time_is_told_before():
    stack, labels = run()
    settings = TrainSettings(model="spi_cnn", split="event", cache=False)
    prepared = prepare(stack, labels, settings)
    seconds, words = training_time(prepared, settings, QUICK)
    assert seconds > 0
    assert "2 networks (cpu recipe, pictures of 28 x 26, 100 steps of 16) takes about" in words


def test_low_precision_is_taken_where_there_is_some(monkeypatch):
    assert not low_precision("float32", "cpu")
    assert low_precision("bfloat16", "cpu")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not low_precision("auto", "cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert low_precision("auto", "cpu")


def test_low_precision_trains_too(tmp_path, monkeypatch):
    monkeypatch.setattr(spi_training, "EPOCH_STEPS", 1)
    settings = SpiNetworkSettings(**{**QUICK.to_dict(), "precision": "bfloat16", "epochs": 1})
    found = SpiTrainer(data_of(), settings, 1, tmp_path).run()
    assert all(np.isfinite(values).all() for values in found.tensors.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"components": 3}, "no search"),
        ({"search": "small"}, "grid"),
        ({"kinds": ("intensity",)}, "kind pixels"),
        ({"parts": 20}, "at least 20"),
    ],
)
def test_what_networks_cannot_use_is_told(changes, why):
    stack, labels = run(36)
    with pytest.raises((TrainingError, SettingsError), match=why):
        xs.train(stack, labels, model="spi_cnn", split="event", cache=False, **changes)


def test_without_a_beam_networks_see_no_rings(model):
    assert model.estimator.rings
    assert model.provenance["parameters"]["rings"] is True
    stack, labels = run(36, with_geometry=False)
    options = {"model": "spi_cnn", "split": "event", "cache": False, **QUICK.to_dict()}
    options |= {"resume": False, "epochs": 1}
    found = xs.train(stack, labels, **options)
    assert not found.estimator.rings
    assert any("no rings" in note for note in found.warnings)
    with pytest.raises(RegionError, match="place of the beam"):
        xs.train(stack, labels, **{**options, "rings": True})


def test_several_classes_need_a_target():
    stack, labels = run(36)
    labels[1] = labels[4] = labels[7] = labels[10] = "ice"
    with pytest.raises(TrainingError, match="target"):
        xs.train(stack, labels, model="spi_cnn", split="event", cache=False)
