"""Networks without PyTorch: settings, tensors, schedules, pictures and how they are changed."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from napari_xfelsort.core.anomalies.stack_features import FrameReader
from napari_xfelsort.core.deep import (
    DeepSettings,
    applying,
    ensemble_probabilities,
    networks,
    train_deep,
)
from napari_xfelsort.core.deep import pictures as picture_module
from napari_xfelsort.core.deep.applying import event_pictures
from napari_xfelsort.core.deep.augmentation import augmented, dihedral, enlarged, lit, rolled
from napari_xfelsort.core.deep.networks import (
    PARTS,
    is_parameter,
    new_tensors,
    part_of,
    tensor_shapes,
    what_is_missing,
)
from napari_xfelsort.core.deep.pictures import all_pictures, picture_of, pictures_of, reduced
from napari_xfelsort.core.deep.schedule import (
    cosine_share,
    cycle_lengths,
    layer_shares,
    phases,
    share_done,
)
from napari_xfelsort.core.errors import (
    MissingDependencyError,
    ModelError,
    RegionError,
    SettingsError,
)
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack


@pytest.mark.parametrize(
    ("architecture", "published"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_networks_have_as_many_parameters_as_published(architecture, published):
    shapes = tensor_shapes(architecture, 3, 1000)
    assert sum(math.prod(s) for name, s in shapes.items() if is_parameter(name)) == published


def test_names_are_those_of_state_dictionaries():
    shapes = tensor_shapes("resnet50", 3, 1000)
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["fc.weight"] == (1000, 2048)
    assert shapes["layer3.5.bn3.running_var"] == (1024,)
    basic = tensor_shapes("resnet18", 1, 7)
    assert "layer1.0.downsample.0.weight" not in basic
    assert basic["layer2.0.downsample.0.weight"] == (128, 64, 1, 1)
    # 20 convolutions with 4 numbers a norm each, and the last layer
    assert len(basic) == 20 * 5 + 2


def test_each_tensor_is_of_one_part():
    found = {part_of(name) for name in tensor_shapes("resnet34", 3, 7)}
    assert found == set(range(len(PARTS)))
    assert part_of("layer4.0.bn1.weight") == 2


def test_an_unknown_network_is_told():
    with pytest.raises(ModelError, match="no network 'vgg16'; there are resnet18"):
        tensor_shapes("vgg16", 3, 7)


def test_first_weights_follow_the_seed_and_he_et_al():
    first, again = new_tensors("resnet18", 1, 7, 3), new_tensors("resnet18", 1, 7, 3)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = new_tensors("resnet18", 1, 7, 4)
    assert not np.array_equal(first["fc.weight"], other["fc.weight"])
    weights = first["layer3.0.conv2.weight"]
    assert weights.std() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.02)
    assert (first["bn1.running_var"] == 1).all()
    assert not first["bn1.bias"].any()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"architecture": "vgg16"}, "must be one of resnet18"),
        ({"channels": 2}, "must be 1 or 3"),
        ({"sizes": (128, 64)}, "must grow"),
        ({"sizes": ()}, "must grow"),
        ({"sizes": (48,)}, "cannot be reduced to 48 px"),
        ({"zoom": 0.5}, "at least 1"),
        ({"weights": " "}, "a file, auto or none"),
    ],
)
def test_settings_that_cannot_be(values, why):
    with pytest.raises(SettingsError, match=why):
        DeepSettings(**values)


def test_settings_survive_a_file():
    settings = DeepSettings(sizes=(64, 128), representation="polar_max")
    assert DeepSettings.from_dict(settings.to_dict()) == settings
    assert settings.size == 128


def test_the_learning_rate_by_hand():
    lengths = cycle_lengths(DeepSettings(cycles=3, cycle_length=1, cycle_mult=2))
    assert lengths == (1, 2, 4)
    by_hand = [(0, 1), (0.5, 0.5), (1, 1), (2, 0.5), (3, 1), (4, 0.85355339), (5, 0.5), (7, 0)]
    for epoch, share in by_hand:
        assert cosine_share(epoch, lengths) == pytest.approx(share)


def test_phases_and_rates_depend_on_given_weights():
    settings = DeepSettings(sizes=(64, 128))
    assert [str(phase) for phase in phases(settings, given=True)] == [
        *("64 px, last layer", "64 px, all layers"),
        *("128 px, last layer", "128 px, all layers"),
    ]
    assert [phase.frozen for phase in phases(settings, given=False)] == [False, False]
    assert layer_shares(settings, given=True) == (0.125, 0.25, 0.5, 1)
    assert layer_shares(settings, given=False) == (1, 1, 1, 1)
    always = DeepSettings(freeze="always", layer_rates="always", sizes=(64,))
    assert [phase.frozen for phase in phases(always, given=False)] == [True, False]
    assert layer_shares(always, given=False)[0] == 0.125


def test_the_share_of_a_training_that_is_over_by_hand():
    settings = DeepSettings(sizes=(64, 128))  # an epoch of the second size takes 4 times as long
    shares = [share_done(settings, epoch, 4) for epoch in range(5)]
    assert shares == pytest.approx([0, 0.1, 0.2, 0.6, 1])
    assert share_done(settings, 14, 14) == 1


def test_brightness_and_contrast_by_hand():
    picture = np.array([[[0.2, 0.6]]], np.float32)
    assert np.allclose(lit(picture, 0.1, 0), [[[0.3, 0.7]]])
    assert np.allclose(lit(picture, 0, 0.5), [[[0.1, 0.7]]])
    assert np.allclose(lit(picture, 0, -1), [[[0.3, 0.5]]])
    assert np.allclose(lit(picture, 0.5, 0), [[[0.7, 1]]])


def test_the_eight_turns_are_all_different_and_keep_the_pixels():
    picture = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    made = {dihedral(picture, k).tobytes() for k in range(8)}
    assert len(made) == 8
    assert all(sorted(np.frombuffer(m, np.float32)) == list(range(9)) for m in made)


def test_enlarging_by_hand():
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))[np.newaxis]
    assert np.array_equal(enlarged(ramp, 1, (0.3, 0.9)), ramp)
    first, last = enlarged(ramp, 2, (0, 0)), enlarged(ramp, 2, (0, 1))
    assert np.allclose(first[0, 3], np.arange(8) / 2)
    assert np.allclose(last[0, 3], 3.5 + np.arange(8) / 2)
    across = enlarged(ramp.transpose(0, 2, 1), 2, (1, 1), radius_only=True)
    assert np.array_equal(across, ramp.transpose(0, 2, 1))  # angles stay


def test_unrolled_pictures_are_shifted_along_the_angle_only():
    picture = np.random.default_rng(1).integers(0, 255, (1, 1, 16, 16), np.uint8)
    settings = DeepSettings(
        representation="polar_max", picture_size=32, sizes=(32,), lighting=0, zoom=1
    )
    made = augmented(picture, settings, np.random.default_rng(2))[0]
    whole = picture[0] / np.float32(255)
    shifted = [rolled(whole, k) for k in range(16)]
    assert any(np.allclose(made, s) or np.allclose(made, s[:, ::-1]) for s in shifted)


def test_changes_follow_the_seed_and_stay_within_0_and_1():
    pictures = np.random.default_rng(1).integers(0, 255, (3, 3, 32, 32), np.uint8)
    settings = DeepSettings(picture_size=32, sizes=(32,))
    made = [augmented(pictures, settings, np.random.default_rng(s)) for s in (5, 5, 6)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert made[0].min() >= 0
    assert made[0].max() <= 1


def test_reducing_by_hand():
    picture = np.array([[[0, 4, 1, 1], [8, 8, 1, 1], [2, 2, 9, 9], [2, 3, 9, 9]]], np.uint8)
    found = reduced(picture, 2, 3)
    assert found.tolist() == [[[[5, 1], [2, 9]], [[0, 1], [2, 9]], [[8, 1], [3, 9]]]]
    assert np.array_equal(reduced(picture, 4, 3)[0, 2], picture[0])
    assert reduced(picture, 2, 1).shape == (1, 1, 2, 2)


def test_a_ring_becomes_a_column_when_unrolled():
    y, x = np.mgrid[:120, :100]
    frame = np.where(abs(np.hypot(y - 70, x - 45) - 22) < 4, 100, 10).astype(np.int32)
    settings = DeepSettings(representation="polar_min", picture_size=64, sizes=(64,))
    picture = picture_of(frame, settings, (70.0, 45.0))
    bright = np.flatnonzero(picture.min(axis=0) > 128)  # from 18 to 26 of 45 pixels
    assert bright.mean() * 45 / 64 == pytest.approx(22, abs=1)
    assert len(bright) * 45 / 64 == pytest.approx(8, abs=2)


def test_events_without_centre_or_pixels_have_no_picture():
    frame, settings = np.ones((64, 64)), DeepSettings(picture_size=32, sizes=(32,))
    polar = DeepSettings(representation="polar_min", picture_size=32, sizes=(32,))
    assert picture_of(frame, settings).shape == (32, 32)
    assert picture_of(frame, settings, mask=np.ones((64, 64), bool)) is None
    assert picture_of(frame, polar, (np.nan, 3)) is None
    assert picture_of(frame, polar, (-5, 3)) is None
    with pytest.raises(SettingsError, match="need its centre"):
        list(pictures_of([frame], polar))
    with pytest.raises(SettingsError, match="no pairs"):
        list(pictures_of([frame], polar, np.zeros(3)))
    with pytest.raises(SettingsError, match="1 centres and more frames"):
        list(pictures_of([frame, frame], polar, [(30, 30)]))


def test_many_pictures_lie_in_a_file(monkeypatch):
    frames = np.random.default_rng(0).poisson(5, (6, 40, 40))
    masks = [None, *([np.ones((40, 40), bool)] * 2), None, None, None]
    settings = DeepSettings(picture_size=32, sizes=(32,))
    kept, made = all_pictures(frames, 6, settings, masks=masks)
    assert made.tolist() == [True, False, False, True, True, True]
    monkeypatch.setattr(picture_module, "IN_MEMORY", 100)
    filed, _ = all_pictures(frames, 6, settings, masks=masks)
    assert isinstance(filed, np.memmap)
    assert np.array_equal(kept, filed)
    for wrong in (5, 7):
        with pytest.raises(SettingsError, match="another number of frames"):
            all_pictures(frames, wrong, settings)


def test_an_ensemble_is_the_mean_of_those_that_know():
    found = ensemble_probabilities([[[0.2, np.nan]], [[0.4, 0.6]]])
    assert found == pytest.approx(np.array([[0.3, 0.6]]))
    assert np.isnan(ensemble_probabilities([[[np.nan]], [[np.nan]]])).all()
    for wrong in ([], [[[0.1]], [[0.1, 0.2]]]):
        with pytest.raises(ModelError, match="same events and classes"):
            ensemble_probabilities(wrong)


def test_that_pytorch_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"napari-xfelsort\[deep\]"):
        train_deep([np.ones((32, 32))] * 2, np.ones((2, 7)))


def test_what_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setattr(networks, "find_spec", lambda name: name)
    assert what_is_missing() == ""
    monkeypatch.setattr(networks, "find_spec", lambda name: None if name == "torch" else name)
    assert what_is_missing().startswith("Networks need PyTorch, which is not installed: pip")
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    assert "PyTorch and safetensors, which are not" in what_is_missing()


def test_pictures_of_events_and_why_some_have_none(monkeypatch):
    settings = DeepSettings(picture_size=32, sizes=(32,))
    frames = np.random.default_rng(2).poisson(9.0, (4, 40, 40)).astype(np.float32)
    stack = EventStack([ArraySource(frames)])
    reader = FrameReader(stack, (20.0, 20.0))
    told, read = [], reader.frame

    def frame(i):
        if i == 2:
            raise RegionError("All pixels are bad in this event, or masked.")
        return read(i)

    monkeypatch.setattr(reader, "frame", frame)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="PyTorch"):
        event_pictures(reader, [3, 2, 0], settings, lambda *n: told.append(n))
    assert told == []
    for needed in ("torch_module", "safetensors_module"):
        monkeypatch.setattr(applying, needed, lambda: None)
    found, made, failed = event_pictures(reader, [3, 2, 0], settings, lambda *n: told.append(n))
    assert made.tolist() == [True, False, True]
    assert failed == {1: "All pixels are bad in this event, or masked."}
    own = [picture_of(frames[i], settings, (20.0, 20.0), reader.mask) for i in (3, 0)]
    assert np.array_equal(found, own)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
