"""The learned finder without PyTorch: patches, arithmetic, files, evidence of hits."""

from __future__ import annotations

import json
import math
import pickle
import sys
import zipfile

import numpy as np
import pytest
from scipy.signal import correlate

from napari_xfelsort.core.deep.hit_net import HitNetSettings, blocks_of
from napari_xfelsort.core.deep.peak_net import (
    APART,
    CHANNELS,
    FACTS,
    HIDDEN,
    PeakNet,
    load_peak_net,
    tensor_shapes,
)
from napari_xfelsort.core.deep.peak_samples import PlaceSeer, Samples, event_samples, run_settings
from napari_xfelsort.core.deep.peak_settings import PeakTrainingSettings
from napari_xfelsort.core.errors import GeometryError, MissingDependencyError, ModelError
from napari_xfelsort.core.peaks import PeakFinder, PeakSettings
from napari_xfelsort.core.peaks.hit_evidence import BEST, CUTS, hit_evidence
from napari_xfelsort.core.peaks.layout import FrameLayout
from napari_xfelsort.core.peaks.learned import LearnedLook, log_odds, seen_places
from napari_xfelsort.core.peaks.poisson import Background, PoissonLook
from napari_xfelsort.core.peaks.summits import Summits

SMALL = PeakTrainingSettings(channels=3)


def random_net(seed=0, cut=0.0):
    rng = np.random.default_rng(seed)
    shapes = tensor_shapes(SMALL.channels)
    tensors = {name: rng.normal(0, 0.4, s).astype(np.float32) for name, s in shapes.items()}
    return PeakNet(SMALL, tensors, cut, {"recall": 0.5}, {"trained_on": "nothing"})


def net_of_chance(power):
    """Which looks at nothing but the chance: log-odds 0 where it is 10^-power."""
    tensors = {name: np.zeros(s, np.float32) for name, s in tensor_shapes(SMALL.channels).items()}
    tensors["hidden.weight"][0, SMALL.channels] = 1.0  # the first fact, log(1 + power) / 2
    tensors["last.weight"][0, 0] = 1.0
    tensors["last.bias"][0] = -math.log1p(power) / 2
    return PeakNet(SMALL, tensors, 0.0)


def planted(shape=(150, 170), level=0.05, photons=40, n=8, seed=3):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    expected = np.full(shape, level)
    places = [(20 + 35 * (k % 4), 25 + 90 * (k // 4)) for k in range(n)]
    for row, column in places:
        spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 3)
        expected += photons * spot / spot.sum()
    return rng.poisson(expected).astype(np.int32), places


def slow_scores(net, patches, facts):
    """The network once more: scipy's correlation of every pair of channels."""
    found = []
    for patch, fact in zip(patches, facts, strict=True):
        maps = [patch[:, :, c].astype(float) for c in range(CHANNELS)]
        for k, apart in enumerate(APART):
            weights, bias = net.tensors[f"conv{k}.weight"], net.tensors[f"conv{k}.bias"]
            new = []
            for o in range(len(weights)):
                total = bias[o]
                for c, one in enumerate(maps):
                    kernel = np.zeros((2 * apart + 1,) * 2)
                    kernel[::apart, ::apart] = weights[o, c]
                    total = total + correlate(one, kernel, "valid", "direct")
                new.append(np.maximum(total, 0))
            maps = new
        seen = np.concatenate([[one.item() for one in maps], fact])
        hidden = net.tensors["hidden.weight"] @ seen + net.tensors["hidden.bias"]
        last = net.tensors["last.weight"] @ np.maximum(hidden, 0) + net.tensors["last.bias"]
        found.append(last[0])
    return np.array(found)


def test_the_network_is_six_convolutions_and_two_layers():
    rng = np.random.default_rng(1)
    patches = rng.normal(size=(3, 17, 17, CHANNELS)).astype(np.float32)
    patches[1, :4] = 0  # beside a panel
    facts = rng.normal(size=(3, FACTS)).astype(np.float32)
    net = random_net()
    np.testing.assert_allclose(
        net.scores(patches, facts), slow_scores(net, patches, facts), rtol=1e-4, atol=1e-4
    )
    assert net.scores(patches[:0], facts[:0]).shape == (0,)
    assert 1 + sum(2 * apart for apart in APART) == 17


def test_patches_say_what_is_expected_and_what_is_there():
    """Without photons around, the background there is 4 / (4 + expected) of that of the ring."""
    layout = FrameLayout((60, 60))
    bins, n = layout.bins(None, 0.0, math.inf)
    bins[30, 33] = n - 1  # a bad pixel
    counts = np.zeros((60, 60), np.float32)
    counts[2, 30] = 5
    level = np.full(n, 0.01, np.float32)
    level[-1] = 0
    table = np.zeros((2, 12))
    table[:, :2] = (30.2, 28.8), (2, 30)
    around = Background(1.0, np.zeros(n, np.float32), level)
    places = seen_places(layout, Summits(counts, around, table), bins)
    y, x = np.mgrid[:60, :60]
    away = (y - 30) ** 2 + (x - 29) ** 2
    ring = (away >= 36) & (away <= 169)
    ring[30, 33] = False
    ratio = 4 / (4 + 0.01 * ring.sum())
    np.testing.assert_allclose(places.facts[0, 3], math.log(ratio), rtol=1e-5)
    expected = 0.01 * ratio
    faint = 0.5 + math.sqrt(expected)
    dark = 2 * (math.sqrt(0.375) - math.sqrt(expected + 0.375))
    wanted = [math.asinh(dark), math.asinh(-0.5 * faint), math.log10(expected) / 3, 1]
    np.testing.assert_allclose(places.patches[0, 0, 0], wanted, rtol=1e-4)
    assert (places.patches[0, 8, 12] == 0).all()  # the bad pixel
    assert (places.patches[0].any(axis=2)).sum() == 17 * 17 - 1
    assert (places.patches[1, :6] == 0).all()  # above the frame
    ratio = math.exp(places.facts[1, 3])
    explained = 5 * math.log1p((0.5 + 0.1 * ratio**0.5) / (0.01 * ratio)) - 0.5 - 0.1 * ratio**0.5
    assert places.patches[1, 8, 8, 1] == pytest.approx(math.asinh(explained / 2), rel=1e-5)


def test_a_network_of_the_chance_finds_what_poisson_finds():
    frame, places = planted()
    layout = FrameLayout(frame.shape)
    settings = PeakSettings()
    poisson = PoissonLook(layout, settings)
    bins = poisson.bins(None)
    plain = poisson.find(frame, bins)
    look = LearnedLook(layout, settings, net_of_chance(9.5))
    np.testing.assert_array_equal(look.find(frame, bins), plain)
    assert len(plain) == len(places)
    summits = look.summits(frame, bins)
    scores = look.judge(summits, bins.numbers)
    assert len(scores) == len(summits.table) >= len(places)
    np.testing.assert_allclose(
        scores, (np.log1p(summits.table[:, 3]) - math.log1p(9.5)) / 2, atol=1e-5
    )
    # p = 1 takes nothing, p = 0 everything that is looked at
    none = LearnedLook(layout, PeakSettings(probability=1.0), net_of_chance(9.5))
    assert len(none.find(frame, bins)) == 0
    everything = LearnedLook(layout, PeakSettings(probability=0.0), net_of_chance(9.5))
    assert len(everything.find(frame, bins)) >= len(plain)


def test_a_frame_without_photons_has_no_peaks():
    layout = FrameLayout((60, 60))
    look = LearnedLook(layout, PeakSettings(), random_net(cut=-1e9))
    assert len(look.find(np.zeros((60, 60), np.int32), look.bins(None))) == 0


def test_log_odds():
    assert log_odds(0.5) == 0
    assert log_odds(0.9) == pytest.approx(math.log(9))
    assert (log_odds(0.0), log_odds(1.0)) == (-math.inf, math.inf)


# -- files


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("safetensors")
    net = random_net(cut=1.5)
    net.save(tmp_path / "a.xfelpeaks")
    return tmp_path / "a.xfelpeaks"


def rewritten(path, **members):
    """The file with other members; None leaves one out."""
    with zipfile.ZipFile(path) as source:
        kept = {name: source.read(name) for name in source.namelist()} | members
    with zipfile.ZipFile(path, "w") as target:
        for name, data in kept.items():
            if data is not None:
                target.writestr(name, data)
    return path


def changed(path, **values):
    with zipfile.ZipFile(path) as source:
        told = json.loads(source.read("model.json")) | values
    return rewritten(path, **{"model.json": json.dumps(told)})


def test_a_model_comes_back_from_its_file(model):
    net, back = random_net(cut=1.5), load_peak_net(model)
    assert back.settings == SMALL
    assert (back.cut, back.metrics, back.provenance) == (1.5, net.metrics, net.provenance)
    assert back.probability == pytest.approx(1 / (1 + math.exp(-1.5)))
    for name, values in net.tensors.items():
        np.testing.assert_array_equal(back.tensors[name], values)


def test_a_finder_reads_its_model_and_can_be_sent_away(model):
    frame, _ = planted()
    settings = PeakSettings(finder="learned", model=str(model))
    finder = PeakFinder(frame.shape, None, settings)
    again = pickle.loads(pickle.dumps(finder))
    first, second = finder.find(frame), again.find(frame)
    np.testing.assert_array_equal(first.fs, second.fs)
    with pytest.raises(GeometryError, match="looked for in frames of"):
        finder.find(frame[:-1])
    with pytest.raises(ModelError, match="There is no model file nothing"):
        PeakFinder(frame.shape, None, PeakSettings(finder="learned", model="nothing"))


def test_the_model_that_comes_along_finds_planted_spots():
    pytest.importorskip("safetensors")
    for level, photons in ((0.002, 25), (0.05, 40), (2.0, 200)):
        frame, places = planted(level=level, photons=photons, seed=5)
        peaks = PeakFinder(frame.shape, None, PeakSettings(finder="learned")).find(frame)
        away = np.hypot(
            peaks.ss[:, None] - [p[0] for p in places], peaks.fs[:, None] - [p[1] for p in places]
        )
        assert (away.min(axis=0) < 1).all()
        assert (away.min(axis=1) < 1).all()
    hot = np.zeros((150, 170), np.int32)
    hot[40, 50] = 60
    assert len(PeakFinder(hot.shape, None, PeakSettings(finder="learned")).find(hot)) == 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"format": "other"}, "no model of peaks of this program"),
        ({"version": 7}, "has version 7"),
        ({"cut": float("nan")}, "the cut is not finite"),
        ({"settings": {"channels": 0}}, "damaged"),
        ({"settings": {"channels": 4}}, "of another network"),
        ({"metrics": 3}, "the metrics are damaged"),
        ({"cut": None}, "damaged"),
    ],
)
def test_damaged_descriptions_are_told(model, values, told):
    with pytest.raises(ModelError, match=told):
        load_peak_net(changed(model, **values))


def test_damaged_files_are_told(model, tmp_path):
    with pytest.raises(ModelError, match=r"weights in .* cannot be read"):
        load_peak_net(rewritten(model, **{"weights.safetensors": b"nothing"}))
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        load_peak_net(rewritten(model, **{"weights.safetensors": None}))
    (tmp_path / "text").write_text("no zip")
    with pytest.raises(ModelError, match="is no model of peaks"):
        load_peak_net(tmp_path / "text")


def test_weights_that_are_not_finite_are_told(tmp_path):
    pytest.importorskip("safetensors")
    net = random_net()
    net.tensors["last.bias"][0] = np.nan
    net.save(tmp_path / "b")
    with pytest.raises(ModelError, match=r"last\.bias in .* are not finite"):
        load_peak_net(tmp_path / "b")


def test_what_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingDependencyError, match="need safetensors"):
        random_net().save(tmp_path / "c")
    assert HIDDEN == 16


# -- training data, hits


def test_samples_are_places_with_their_truth():
    from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings

    settings = SfxSimulationSettings(
        n_events=1, hit_share=1.0, binning=4, flux=(3e11,), crystal_size=(4.0, 4.0), seed=4
    )
    maker = SfxMaker(settings)
    event = maker.event(0)
    seer = PlaceSeer(maker.panels.geometry, maker.response.mask != 0)
    samples = event_samples(seer, event, number=7, run=2)
    spots = event.spots[event.spots["significance"] > 20]
    assert len(spots) > 5
    assert set(samples.event) == {7}
    assert set(samples.run) == {2}
    told = samples.table[samples.significance > 20]
    for row, column, *_ in told:
        assert np.hypot(row - spots["ss"], column - spots["fs"]).min() <= 2
    assert len(told) > 0.7 * len(spots)
    # the same event gives the same numbers, and a part of them is a part
    again = event_samples(seer, maker.event(0))
    np.testing.assert_array_equal(samples.patches, again.patches)
    assert len(samples.part(samples.significance > 20).table) == len(told)
    assert isinstance(samples.part(samples.unsure), Samples)


def test_every_run_has_other_optics():
    runs = list(run_settings(PeakTrainingSettings(runs=3, events=2, flux=(1e9, 1e12))))
    assert len({run.mosaicity for run in runs}) == len({run.point_spread for run in runs}) == 3
    assert [run.run for run in runs] == [0, 1, 2]
    assert min(runs[0].flux) == pytest.approx(1e9)
    assert max(runs[0].flux) == pytest.approx(1e12)


def test_evidence_counts_places_and_looks_at_the_best():
    found = hit_evidence(np.array([-3.0, 20.0, 0.5, -1.0]))
    above = [sum(v > cut for v in (-3, 12, 0.5, -1)) for cut in CUTS]
    assert found[: len(CUTS)].tolist() == pytest.approx(np.log1p(above).tolist())
    assert found[len(CUTS) : -1].tolist() == [12.0, 0.5, -1.0, -3.0, -6.0]
    total = 1 / (1 + math.exp(-12)) + 1 / (1 + math.exp(-0.5))
    assert found[-1] == pytest.approx(math.log1p(total))
    nothing = hit_evidence(np.empty(0))
    assert nothing.tolist() == [0] * len(CUTS) + [-6] * BEST + [0]


def test_blocks_are_the_largest_good_counts():
    frame = np.zeros((9, 13), np.int32)
    frame[1, 2], frame[3, 7], frame[8, 12], frame[0, 9] = 7, 3, 99, -2
    bad = np.zeros(frame.shape, bool)
    bad[3, 7] = True
    found = blocks_of(frame, bad, 4)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, np.log1p([[7, 0, 0], [0, 0, 0]]), rtol=1e-6)
    assert blocks_of(np.full((8, 8), np.nan), None, HitNetSettings().block).tolist() == [[0]]
