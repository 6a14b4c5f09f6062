"""Training of networks of peaks and hits; tiny ones. Needs PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_xfelsort.core.deep.hit_net import HitNetSettings, train_hit_net
from napari_xfelsort.core.deep.peak_net import CHANNELS, FACTS, load_peak_net
from napari_xfelsort.core.deep.peak_samples import Samples
from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings
from napari_xfelsort.core.deep.peak_training import network, targets, train_on_samples, turned
from napari_xfelsort.core.errors import TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

TINY = PeakTrainingSettings(runs=4, events=5, channels=4, epochs=6, batch=32, learning_rate=5e-3)


def samples(n=600, seed=0):
    """Places of which those with a bright middle are spots."""
    rng = np.random.default_rng(seed)
    patches = rng.normal(0, 0.3, (n, 17, 17, CHANNELS)).astype(np.float32)
    spot = rng.random(n) < 0.4
    patches[spot, 7:10, 7:10, :2] += 1.5
    table = np.zeros((n, 12))
    table[:, 0], table[:, 1] = 20 * (np.arange(n) % 40), 20 * (np.arange(n) // 40)
    table[:, 2] = rng.uniform(1, 2, n)
    event = np.sort(rng.integers(0, 20, n))
    significance = np.where(spot, 10.0, 0.0)
    facts = rng.normal(size=(n, FACTS)).astype(np.float32)
    return Samples(patches, facts, table, significance, np.zeros(n, bool), event, event // 5)


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    told = []
    net = train_on_samples(samples(), TINY, lambda done, total: told.append((done, total)))
    assert told[0][0] == 1
    assert told[-1][0] == told[-1][1]
    return net


def test_what_is_bright_in_the_middle_is_learned(trained):
    fresh = samples(seed=9)
    scores = trained.scores(fresh.patches, fresh.facts)
    assert ((scores > 0) == (fresh.significance > 0)).mean() > 0.97
    assert trained.metrics["recall"] > 0.9
    assert trained.metrics["events"] == 5
    assert trained.cut >= 0


def test_pytorch_and_the_compiled_loops_say_the_same(trained, tmp_path):
    fresh = samples(40, seed=2)
    tensors = {name: torch.from_numpy(values) for name, values in trained.tensors.items()}
    patches = torch.from_numpy(turned(fresh.patches, 0))
    theirs = network(tensors, patches, torch.from_numpy(fresh.facts)).numpy()
    trained.save(tmp_path / "a.xfelpeaks")
    ours = load_peak_net(tmp_path / "a.xfelpeaks").scores(fresh.patches, fresh.facts)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_equal_seeds_give_equal_networks(trained):
    again = train_on_samples(samples(), TINY)
    for name, values in trained.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values)


def test_turns_and_mirrors_are_eight():
    patch = np.arange(17 * 17 * 4, dtype=np.float32).reshape(1, 17, 17, 4)
    found = [turned(patch, k) for k in range(8)]
    assert {one.shape for one in found} == {(1, 4, 17, 17)}
    assert len({one.tobytes() for one in found}) == 8
    np.testing.assert_array_equal(found[0][0, 2], patch[0, :, :, 2])


def test_faint_spots_count_less_and_unsure_places_not():
    part = samples(4)._replace(
        significance=np.array([10.0, 4.0, 2.0, 0.0]), unsure=np.array([False, False, True, False])
    )
    truth, weight = targets(part, 0.5)
    assert truth.tolist() == [1, 1, 0, 0]
    assert weight.tolist() == [1, 0.5, 0, 1]


def test_too_few_spots_are_told():
    none = samples()._replace(significance=np.zeros(600))
    with pytest.raises(TrainingError, match="There are 0 spots in the frames that are trained on"):
        train_on_samples(none, TINY)
    some = samples()
    held = some.run == 3
    some.significance[held] = 0
    with pytest.raises(TrainingError, match="kept for the choice of the cut"):
        train_on_samples(some, TINY)


def test_a_rate_that_is_too_high_is_told():
    wild = samples()
    wild.patches[:] = np.inf
    with pytest.raises(TrainingError, match="lower learning rate"):
        train_on_samples(wild, dataclasses.replace(TINY, epochs=1))


def test_a_network_of_hits_sees_bright_points():
    rng = np.random.default_rng(0)
    pictures = rng.normal(0.3, 0.1, (80, 32, 34)).astype(np.float32)
    hits = rng.random(80) < 0.5
    for k in np.flatnonzero(hits):
        for _ in range(4):
            pictures[k, rng.integers(2, 30), rng.integers(2, 30)] += 3
    settings = HitNetSettings(channels=4, epochs=12, learning_rate=1e-2)
    told = []
    net = train_hit_net(pictures, hits, settings, lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert ((net.probabilities(pictures) > 0.5) == hits).mean() > 0.9
    assert net.probabilities(pictures[:0]).shape == (0,)
    with pytest.raises(TrainingError, match="two of each"):
        train_hit_net(pictures, np.ones(80, bool), settings)
    with pytest.raises(TrainingError, match="too small"):
        train_hit_net(pictures[:, :20], hits, settings)
