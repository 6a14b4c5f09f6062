"""Training on each kind of feature, with and without workers and features that were kept."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core import feature_cache
from napari_xfelsort.core.errors import RegionError, SettingsError, TrainingError

N, SHAPE = 90, (14, 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Bad events have a bright ring, few weak peaks and a motor elsewhere; energy varies."""
    rng = np.random.default_rng(0)
    bad = np.arange(N) % 3 == 0
    energy = rng.uniform(0.2, 3, N)
    frames = rng.normal(20, 2, (N, *SHAPE))
    y, x = np.indices(SHAPE)
    ring = np.abs(np.hypot(y - 6, x - 5) - 4) < 1
    frames[bad] += 8 * ring
    frames *= energy[:, np.newaxis, np.newaxis]
    path = tmp_path_factory.mktemp("run") / "run.cxi"
    with h5py.File(path, "w") as file:
        file["/entry_1/data_1/data"] = frames.astype(np.float32)
        file["/entry_1/result_1/nPeaks"] = np.where(bad, 2, 6)
        for name, most in (("peakXPosRaw", 12), ("peakYPosRaw", 14)):
            file[f"/entry_1/result_1/{name}"] = rng.integers(0, most, (N, 8)).astype(float)
        intensity = rng.uniform(50, 60, (N, 8)) - 40 * bad[:, np.newaxis]
        file["/entry_1/result_1/peakTotalIntensity"] = intensity
        file["/LCLS/pulseEnergy"] = energy
        file["/LCLS/motor"] = np.where(bad, 5.0, 1.0) + rng.normal(0, 0.1, N)
    os.utime(path, (1e9, 1e9))
    return path


LABELS = ["bad" if k % 3 == 0 else "good" for k in range(N)]


def opened(run):
    geometry = xs.Geometry.single_panel(SHAPE, 1e-4, (6.0, 5.0), 0.1, 9300)
    return xs.open_stack([str(run)], geometry=geometry)


def column(stack, part):
    """The name under which the reader gives a number."""
    return next(name for name in stack.metadata(0) if part in name.lower())


@pytest.mark.parametrize(
    "values",
    [
        {"kinds": ("pixels",), "bin": 3, "bin_statistic": "median", "normalise": "mean"},
        {"kinds": ("profile",), "profile_axis": "x", "normalise": "mean"},
        {"kinds": ("radial",), "radial_bins": 6, "normalise": "median"},
        {
            "kinds": ("radial",),
            "radial_axis": "q",
            "radial_statistics": ("median", "sd"),
            "normalise": "mean",
        },
        {"kinds": ("intensity",), "normalise": "mean"},
        {"kinds": ("quantiles",), "normalise": "median"},
        {"kinds": ("peaks",)},
        {"kinds": ("pixels", "intensity", "peaks"), "components": 5, "normalise": "mean"},
    ],
)
def test_each_kind_tells_the_classes_apart(run, values):
    model = xs.train(opened(run), LABELS, n_estimators=30, **values)
    assert model.metrics["accuracy"] > 0.8
    assert model.extractor.n_features == len(model.extractor.names)


def test_numbers_stored_with_events(run):
    stack = opened(run)
    motor, energy = column(stack, "motor"), column(stack, "energy")
    by_motor = xs.train(stack, LABELS, kinds=("metadata",), metadata=(motor,))
    assert by_motor.metrics["accuracy"] == 1
    divided = xs.train(
        stack, LABELS, model="logistic_regression", normalise="incoming", incoming=energy
    )
    assert divided.metrics["accuracy"] == 1


def test_a_name_that_nothing_is_stored_under(run):
    with pytest.raises(TrainingError, match="None of the labelled events can be used: No number"):
        xs.train(opened(run), LABELS, kinds=("metadata",), metadata=("nothing",))


def test_workers_and_kept_features_change_nothing(run, monkeypatch, tmp_path):
    monkeypatch.setenv("XFELSORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", 20)
    settings = {"kinds": ("pixels", "radial", "peaks"), "n_estimators": 5}
    made = [
        xs.train(opened(run), LABELS, cache=cache, workers=workers, **settings)
        for cache, workers in ((False, 0), (False, 2), (True, 0))
    ]
    assert len(list((tmp_path / "cache").iterdir())) == 1

    def fail(*_, **__):
        raise AssertionError("features were read again")

    monkeypatch.setattr(feature_cache, "extract_stack", fail)
    made.append(xs.train(opened(run), LABELS, **settings))
    # the same features, whatever becomes of them afterwards
    xs.train(opened(run), LABELS, **settings | {"components": 3}, model="decision_tree", seed=4)
    assert len({model.digest for model in made}) == 1
    assert len({model.provenance["training_set"] for model in made}) == 1
    assert all(model.metrics == made[0].metrics for model in made)


def test_settings_that_do_not_go_together(run):
    stack = opened(run)
    with pytest.raises(SettingsError, match="need names"):
        xs.train(stack, LABELS, kinds=("metadata",))
    with pytest.raises(SettingsError, match="workers"):
        xs.train(stack, LABELS, workers=-1)
    bare = xs.open_stack([str(run)])
    with pytest.raises(RegionError, match="geometry"):
        xs.train(bare, LABELS, kinds=("radial",))
