"""Networks run, trained, stored and explained; needs PyTorch."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from model_files import Payload, members

from napari_xfelsort.core.deep import DeepModel, DeepSettings, load_deep_model, train_on_pictures
from napari_xfelsort.core.deep.networks import Network, new_tensors, part_of, tensor_shapes
from napari_xfelsort.core.deep.weights import first_tensors
from napari_xfelsort.core.errors import ModelError, OutputError, TrainingError

torch = pytest.importorskip("torch", reason="PyTorch (extra deep) is not installed")
safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")

SMALL = DeepSettings(
    picture_size=32,
    sizes=(32,),
    channels=1,
    weights="none",
    cycles=2,
    batch_size=8,
    dropout=0.0,
    validation_share=0.25,
    device="cpu",
    zoom=1.0,
    lighting=0.0,
)
NAMES = ("left", "top")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def corners(n=48, seed=0):
    """Pictures with a bright stripe at the left, the top, both or neither."""
    random = np.random.default_rng(seed)
    labels = np.stack([np.arange(n) % 2 == 0, np.arange(n) // 2 % 2 == 0], axis=1)
    pictures = random.integers(0, 60, (n, 32, 32), np.uint8)
    for picture, (left, top) in zip(pictures, labels, strict=True):
        picture[:, :6] += np.uint8(150 * left)
        picture[:6, 6:] += np.uint8(150 * top)
    return pictures, labels


def model(**changes):
    settings = dataclasses.replace(SMALL, **changes)
    tensors = new_tensors(settings.architecture, settings.channels, 2, 5)
    return DeepModel(NAMES, settings, tensors, np.array([0.4, 0.6]), {"n": 3}, {"by": "hand"})


@pytest.mark.parametrize(
    ("architecture", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)]
)
def test_shapes_of_what_networks_say(architecture, features):
    network = Network(architecture, new_tensors(architecture, 3, 7, 0))
    with torch.inference_mode():
        maps = network.features(torch.zeros(2, 3, 64, 96))
        assert tuple(maps.shape) == (2, features, 2, 3)
        assert tuple(network.logits(maps.mean((2, 3))).shape) == (2, 7)


def test_arrays_are_those_given_in_the_usual_order(tmp_path):
    """Kernels lie otherwise in memory while a network runs."""
    given = new_tensors("resnet18", 3, 2, 1)
    arrays = Network("resnet18", given).arrays()
    assert arrays.keys() == given.keys()
    assert all(np.array_equal(values, given[name]) for name, values in arrays.items())
    assert all(values.flags.c_contiguous for values in arrays.values())
    settings = dataclasses.replace(SMALL, channels=3)
    made = DeepModel(NAMES, settings, arrays, np.array([0.4, 0.6]))
    made.save(tmp_path / "m.xfelmodel")
    again = load_deep_model(tmp_path / "m.xfelmodel")
    assert all(np.array_equal(again.tensors[name], given[name]) for name in given)


def test_a_block_is_what_the_paper_says():
    """One basic block put together from modules of PyTorch."""
    tensors = new_tensors("resnet18", 1, 2, 1)
    network = Network("resnet18", tensors)
    block = next(b for b in network.blocks if b.name == "layer2.0")
    nn = torch.nn
    first = nn.Sequential(nn.Conv2d(64, 128, 3, 2, 1, bias=False), nn.BatchNorm2d(128))
    second = nn.Sequential(nn.Conv2d(128, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128))
    short = nn.Sequential(nn.Conv2d(64, 128, 1, 2, bias=False), nn.BatchNorm2d(128))
    given = {name: torch.tensor(values) for name, values in tensors.items()}
    for part, convolution, norm in (
        (first, "conv1", "bn1"),
        (second, "conv2", "bn2"),
        (short, "downsample.0", "downsample.1"),
    ):
        part[0].weight.data = given[f"layer2.0.{convolution}.weight"]
        part[1].weight.data = given[f"layer2.0.{norm}.weight"]
        part.eval()
    x = torch.randn(2, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = torch.relu(second(torch.relu(first(x))) + short(x))
        assert torch.allclose(network._block(x, block, False), wanted, atol=1e-5)


def test_few_pictures_are_learned_and_the_seed_repeats():
    pictures, labels = corners()
    steps = []
    settings = dataclasses.replace(SMALL, cycles=3, turn=False)
    trained = train_on_pictures(pictures, labels, settings, NAMES, progress=steps.append)
    test, truth = corners(16, seed=9)
    found = trained.predict_pictures(test)
    assert (trained.choose(found) == truth).all()
    assert steps[-1].training_loss < 0.25 * steps[0].training_loss
    assert trained.metrics["macro"]["f1"] > 0.9
    assert trained.provenance["epochs"] == len(steps) == 7
    again = train_on_pictures(pictures, labels, settings, NAMES)
    assert np.array_equal(again.predict_pictures(test), found)


def test_only_the_last_layer_learns_when_frozen():
    pictures, labels = corners(24)
    seen = []

    def stop():
        return len(seen) == 3  # the frozen epochs are over

    settings = dataclasses.replace(SMALL, freeze="always")
    trained = train_on_pictures(pictures, labels, settings, NAMES, None, seen.append, stop)
    assert [step.phase.frozen for step in seen] == [True] * 3
    assert trained.provenance["stopped"]
    first = new_tensors("resnet18", 1, 2, 0)
    for name, values in trained.tensors.items():
        same = np.array_equal(values, first[name])
        assert same == (part_of(name) != 3), name


def test_training_that_cannot_be_is_told():
    pictures, labels = corners(24)
    with pytest.raises(TrainingError, match="stopped before its first epoch"):
        train_on_pictures(pictures, labels, SMALL, NAMES, stop=lambda: True)
    with pytest.raises(TrainingError, match="do not fit 24 labelled events"):
        train_on_pictures(pictures[:, :16], labels, SMALL, NAMES)
    with pytest.raises(TrainingError, match="'left' has 24 of 24"):
        train_on_pictures(pictures, labels | True, SMALL, NAMES)
    with pytest.raises(TrainingError, match="do not fit 1 classes"):
        train_on_pictures(pictures, labels, SMALL, NAMES[:1])
    with pytest.raises(TrainingError, match="Groups of shape"):
        train_on_pictures(pictures, labels, SMALL, NAMES, groups=[1, 2])


def spotted(shape, place, value=4000):
    """A frame with a bright spot around a place."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 10 + value * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 50)


def bright_seer(**changes):
    """A network whose features are how bright each place is."""
    made = model(picture_size=256, sizes=(256,), **changes)
    tensors = {name: np.zeros_like(values) for name, values in made.tensors.items()}
    for name in tensors:
        if name.endswith("running_var"):
            tensors[name][:] = 1
    tensors["conv1.weight"][0] = 1 / 49
    tensors["bn1.weight"][:] = 1
    for k in (2, 3, 4):
        tensors[f"layer{k}.0.downsample.0.weight"][0, 0] = 1
        tensors[f"layer{k}.0.downsample.1.weight"][:] = 1
    tensors["fc.weight"][0, 0] = 1
    return dataclasses.replace(made, tensors=tensors)


@pytest.mark.parametrize("representation", ["cartesian", "polar_min", "polar_max"])
@pytest.mark.parametrize("place", [(60, 200), (170, 75)])
def test_the_map_of_a_class_is_highest_where_its_cause_is(representation, place):
    seer = bright_seer(representation=representation)
    frame, center = spotted((240, 260), place), (125.0, 131.0)
    heat = seer.activation_map(frame, "left", center)
    assert heat.shape == frame.shape
    found = np.unravel_index(np.nanargmax(heat), heat.shape)
    assert np.hypot(found[0] - place[0], found[1] - place[1]) < 40
    assert not np.nan_to_num(seer.activation_map(frame, "top", center)).any()
    y, x = np.mgrid[:240, :260]
    beyond = np.hypot(y - 125, x - 131) > 114 + 1e-9
    wanted = beyond if representation == "polar_min" else np.zeros_like(beyond)
    assert np.array_equal(np.isnan(heat), wanted)


def test_maps_that_cannot_be_are_told():
    with pytest.raises(ModelError, match="knows no 'right'; it knows left, top"):
        model().activation_map(np.ones((40, 40)), "right")
    with pytest.raises(ModelError, match="No picture"):
        model(representation="polar_min").activation_map(np.ones((40, 40)), "left", (-3, 9))


def test_events_without_a_picture_are_not_known():
    frames = np.random.default_rng(1).poisson(9, (40, 48, 48))
    masks = [np.ones((48, 48), bool) if k == 33 else None for k in range(40)]
    made = model()
    found = made.predict(frames, masks=masks)
    assert found.shape == (40, 2)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [33]
    assert not made.choose(found)[33].any()
    alone = made.predict(frames[5:6])
    assert alone == pytest.approx(found[5:6], abs=1e-5)
    assert made.predict([]).shape == (0, 2)


def test_a_model_file_gives_the_same_to_the_bit(tmp_path):
    made, path = model(representation="polar_max", channels=3), tmp_path / "m.xfelmodel"
    made.save(path)
    with pytest.raises(OutputError, match="exists already"):
        made.save(path)
    again = load_deep_model(path)
    pictures = corners(8)[0]
    assert np.array_equal(again.predict_pictures(pictures), made.predict_pictures(pictures))
    assert again.settings == made.settings
    assert (again.class_names, again.metrics) == (NAMES, {"n": 3})
    assert again.thresholds.tolist() == [0.4, 0.6]


def changed(parts, **values):
    description = json.loads(parts["model.json"]) | values
    return parts | {"model.json": json.dumps(description).encode()}


def stored(parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, data in parts.items():
            target.writestr(name, data)
    return out.getvalue()


def tensors_changed(parts, **values):
    tensors = safetensors.load(parts["weights.safetensors"])
    for name, change in values.items():
        name = name.replace("__", ".")
        tensors[name] = change(tensors.get(name))
        if tensors[name] is None:
            del tensors[name]
    return parts | {"weights.safetensors": safetensors.save(tensors)}


def test_files_of_strangers_are_refused(tmp_path):
    path, touched = tmp_path / "evil.xfelmodel", tmp_path / "touched"
    model().save(path)
    good = members(path.read_bytes())
    settings = json.loads(good["model.json"])["settings"]
    payload = pickle.dumps(Payload(touched))
    cases = [
        (good | {"extra.pkl": payload}, "'extra.pkl', which no model has"),
        (good | {"weights.safetensors": payload}, "cannot be read: it is no safetensors"),
        (good | {"model.json": payload}, "damaged"),
        ({"model.json": good["model.json"]}, "weights.safetensors is missing"),
        (changed(good, format="other"), "no file of a network of this program"),
        (changed(good, version=99), "has version 99"),
        (changed(good, class_names=["a", "a"]), "doubled or missing"),
        (
            changed(good, class_names=["a", "b", "c"], thresholds=[0.5] * 3),
            "of another network: fc",
        ),
        (changed(good, thresholds=[0.5]), "thresholds are damaged"),
        (changed(good, metrics=3), "metrics are damaged"),
        (changed(good, settings={**settings, "architecture": "vgg16"}), "no network 'vgg16'"),
        (changed(good, settings={**settings, "architecture": "resnet34"}), "layer1.2"),
        (changed(good, settings={**settings, "architecture": ["x"]}), "damaged"),
        (changed(good, settings={**settings, "picture_size": 10**9}), "at most 2048"),
        (changed(good, settings={**settings, "sizes": "ab"}), "damaged"),
        (changed(good, settings={**settings, "colour": 1}), "Unknown setting"),
        (tensors_changed(good, fc__bias=lambda _: None), "fc.bias is missing"),
        (tensors_changed(good, bn1__bias=lambda v: v[:9]), r"bn1.bias has shape \(9,\)"),
        (tensors_changed(good, bn1__bias=lambda v: v * np.nan), "bn1.bias .* not finite"),
        (tensors_changed(good, bn1__bias=lambda v: v.astype(np.float64)), "float64, not float32"),
        (tensors_changed(good, more=lambda _: np.ones(3, np.float32)), "hold 'more'"),
    ]
    for parts, why in cases:
        path.write_bytes(stored(parts))
        with pytest.raises(ModelError, match=why) as error:
            load_deep_model(path)
        assert "evil.xfelmodel" in str(error.value)
    path.write_bytes(payload)
    with pytest.raises(ModelError, match="no file of a network"):
        load_deep_model(path)
    with pytest.raises(ModelError, match="There is no model file"):
        load_deep_model(tmp_path / "none.xfelmodel")
    assert not touched.exists()


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_imagenet_are_used(tmp_path, ending, channels):
    stored = new_tensors("resnet18", 3, 10, 77)
    state = stored | {"bn1.num_batches_tracked": np.array(5)}
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({name: torch.tensor(values) for name, values in state.items()}, path)
    else:
        path.write_bytes(safetensors.save(state))
    settings = dataclasses.replace(SMALL, weights=str(path), channels=channels)
    tensors, given, sentence = first_tensors(settings, 2)
    assert given
    assert str(path) in sentence
    assert {name: v.shape for name, v in tensors.items()} == tensor_shapes("resnet18", channels, 2)
    assert np.array_equal(tensors["layer3.1.bn2.weight"], stored["layer3.1.bn2.weight"])
    first = stored["conv1.weight"]
    wanted = first if channels == 3 else first.sum(axis=1, keepdims=True)
    assert np.array_equal(tensors["conv1.weight"], wanted)
    wrong = dataclasses.replace(settings, architecture="resnet50")
    with pytest.raises(TrainingError, match="no weights of resnet50"):
        first_tensors(wrong, 2)


def test_weights_that_are_not_there_or_run_code(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    auto = dataclasses.replace(SMALL, weights="auto")
    tensors, given, sentence = first_tensors(auto, 2)
    assert not given
    assert "no weights of resnet18 of ImageNet on this computer" in sentence
    assert np.array_equal(tensors["fc.weight"], new_tensors("resnet18", 1, 2, 0)["fc.weight"])
    missing = dataclasses.replace(SMALL, weights=str(tmp_path / "none.pth"))
    assert "training starts from random ones" in first_tensors(missing, 2)[2]
    kept = tmp_path / "hub" / "checkpoints" / "resnet18-abc.pth"
    kept.parent.mkdir(parents=True)
    torch.save({n: torch.tensor(v) for n, v in new_tensors("resnet18", 3, 4, 1).items()}, kept)
    assert first_tensors(auto, 2)[1]
    touched = tmp_path / "touched"
    torch.save({"conv1.weight": Payload(touched)}, kept)
    with pytest.raises(TrainingError, match="more than weights, or is damaged"):
        first_tensors(auto, 2)
    kept.write_bytes(b"nothing")
    with pytest.raises(TrainingError):
        first_tensors(auto, 2)
    stray = tmp_path / "w.safetensors"
    stray.write_bytes(b"nothing at all")
    with pytest.raises(TrainingError, match="cannot be read"):
        first_tensors(dataclasses.replace(SMALL, weights=str(stray)), 2)
    assert not touched.exists()
