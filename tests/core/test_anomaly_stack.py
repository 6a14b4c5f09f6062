"""Anomalies of the events of a run: labels in, model file, probabilities out."""

from __future__ import annotations

import csv
import dataclasses
import json
import zipfile

import numpy as np
import pytest

from napari_xfelsort.core.anomalies.applying import apply_anomalies
from napari_xfelsort.core.anomalies.frame_features import frame_features, grey_ring_vector
from napari_xfelsort.core.anomalies.labelled import groups_of, labelled_anomalies
from napari_xfelsort.core.anomalies.learners import LEARNERS
from napari_xfelsort.core.anomalies.model_file import load_anomaly_model, save_anomaly_model
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.anomalies.stack_features import FrameReader, stack_features
from napari_xfelsort.core.anomalies.training import train_anomalies
from napari_xfelsort.core.errors import (
    LabelError,
    ModelError,
    OutputError,
    RegionError,
    TrainingError,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE, CENTER = (96, 100), (50.0, 44.0)
NAMES = ("artifact", "ice_ring")


def frames(n, seed):
    """Rings on the even ones, an empty block on every third."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE) - np.array(CENTER)[:, None, None]
    r = np.hypot(y, x)
    level = 80 * np.exp(-r / 30) + 10
    made = np.empty((n, *SHAPE), np.float32)
    for k in range(n):
        ring = (k % 2 == 0) * 1.5 * np.exp(-(((r - 25) / 1.2) ** 2))
        made[k] = rng.poisson(level * (1 + ring))
        if k % 3 == 0:
            at = rng.integers(0, 60)
            made[k, at : at + 12, 10:70] = 0
    return made


def truth(n):
    return np.stack([np.arange(n) % 3 == 0, np.arange(n) % 2 == 0], axis=1)


def geometry():
    return Geometry.single_panel(SHAPE, 1e-4, beam_center=CENTER)


def stack_of(n=24, files=3, seed=0, **options):
    made = frames(n * files, seed)
    sources = [
        ArraySource(made[k * n : (k + 1) * n], f"run{k}.h5", **options) for k in range(files)
    ]
    return EventStack(sources, geometry=geometry())


@pytest.fixture(scope="module")
def stack():
    return stack_of()


@pytest.fixture(scope="module")
def model(stack):
    reader = FrameReader(stack)
    found = stack_features(reader, range(len(stack)))
    return train_anomalies(
        found.matrix,
        truth(72),
        NAMES,
        np.arange(72) // 24,
        "best",
        0.3,
        feature_names=found.names,
    )


def test_a_frame_is_read_as_it_is_assembled(stack):
    reader = FrameReader(stack)
    assert reader.center == pytest.approx(CENTER)
    assert not reader.mask.any()
    assert np.array_equal(reader.frame(3), stack.raw(3))
    found = stack_features(reader, [3, 5])
    expected = frame_features(stack.raw(3), reader.center)
    assert found.names == tuple(expected)
    assert np.allclose(found.matrix[0], list(expected.values()), rtol=1e-5)
    vectors = stack_features(reader, [5], "ring_vector")
    assert np.array_equal(vectors.matrix[0], grey_ring_vector(stack.raw(5), reader.center))


def test_masks_and_optics_go_along():
    bad = np.zeros(SHAPE, bool)
    bad[20:30] = True
    mask = PixelMask.from_bad(bad)
    which = EventStack(
        [ArraySource(frames(2, 1), mask=mask, photon_energy=9500.0, camera_length=0.1)],
        geometry=geometry(),
    )
    reader = FrameReader(which, (40.0, 41.0))
    assert reader.center == (40.0, 41.0)
    assert np.array_equal(reader.mask, bad)
    assert np.isnan(reader.frame(0)[bad]).all()
    assert reader.optics(0).wavelength == pytest.approx(12398.42 / 9500, rel=1e-6)
    assert reader.optics(0).distance == pytest.approx(1000)
    spoilt = np.where(bad, 1e8, frames(2, 1)).astype(np.float32)
    other = EventStack([ArraySource(spoilt, mask=mask)], geometry=geometry())
    a, b = (stack_features(FrameReader(s, CENTER), [0]).matrix for s in (other, which))
    with_optics = frame_features(which.raw(0), CENTER, bad, Optics(12398.42 / 9500, 1000.0))
    assert np.allclose(b[0], list(with_optics.values()), rtol=1e-3, atol=1e-3)
    named = list(with_optics)
    spacings = [f" at {w}" for w in ("4.4", "3.7", "8-16", "5-7", "2.4-3.3", "both")]
    of_optics = ("ice", "broad rise", "clouds", "vignette", ", shell", *spacings)
    same = [k for k, n in enumerate(named) if not any(w in n for w in of_optics)]
    assert len(same) > 400
    assert np.array_equal(a[0][same], b[0][same])


def test_without_a_geometry_the_centre_must_be_given():
    bare = EventStack([ArraySource(frames(1, 0))])
    with pytest.raises(RegionError, match="where the beam is"):
        FrameReader(bare)
    assert FrameReader(bare, CENTER).frame(0).shape == SHAPE
    every = PixelMask.from_bad(np.ones(SHAPE, bool))
    with pytest.raises(RegionError, match="masked"):
        FrameReader(EventStack([ArraySource(frames(1, 0), mask=every)]), CENTER)


def test_a_run_is_judged(model, tmp_path):
    test = stack_of(12, 1, seed=5)
    told = []
    found = apply_anomalies(model, FrameReader(test), progress=lambda *a: told.append(a))
    assert told[-1] == (12, 12)
    assert (found.chosen == truth(12)).mean() > 0.9
    found.write_csv(tmp_path / "a.csv")
    with pytest.raises(OutputError):
        found.write_csv(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert rows[0]["file"] == "run0.h5"
    assert rows[0]["event"] == "//0"
    for k, row in enumerate(rows):
        assert float(row["ice_ring"]) == pytest.approx(found.probabilities[k, 1], abs=1e-4)
        has = {name for name, there in zip(NAMES, found.chosen[k], strict=True) if there}
        assert set(filter(None, row["anomalies"].split("|"))) == has
    summary = {name: (n, mean, worst) for name, n, mean, worst in found.summary()}
    assert summary["ice_ring"][0] == found.chosen[:, 1].sum()
    assert summary["ice_ring"][1] == pytest.approx(found.probabilities[:, 1].mean())
    assert summary["ice_ring"][2] == str(found.events[int(found.probabilities[:, 1].argmax())])


def test_an_event_that_cannot_be_read_costs_only_itself(model):
    made = frames(3, 4)
    made[1] = np.nan
    found = apply_anomalies(model, FrameReader(EventStack([ArraySource(made)]), CENTER))
    assert list(found.failed) == [1]
    assert "masked" in found.failed[1]
    assert np.isnan(found.probabilities[1]).all()
    assert np.isfinite(found.probabilities[[0, 2]]).all()
    nothing = apply_anomalies(model, FrameReader(EventStack([ArraySource(made[1:2])]), CENTER))
    assert list(nothing.failed) == [0]
    assert np.isnan(nothing.summary()[0][2])


def test_a_model_of_other_features_is_not_applied(model, stack):
    other = dataclasses.replace(model, feature_names=(*model.feature_names[1:], "other"))
    with pytest.raises(ModelError, match="other features"):
        apply_anomalies(other, FrameReader(stack), [0])


# --- labels -----------------------------------------------------------------------------


def test_labels_of_several_classes(stack, tmp_path):
    store = LabelStore(tmp_path)
    for k, label in enumerate(["ice_ring|artifact", "clean", "ice_ring", "ignore", "odd"]):
        store.set(stack.event_id(k), label)
    found = labelled_anomalies(stack, tmp_path)
    assert found.class_names == ("artifact", "ice_ring")  # in the order of the seven
    assert found.positions.tolist() == [0, 1, 2, 4]
    assert found.truth.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0]]
    assert found.groups.tolist() == [0, 0, 0, 0]
    all_of_them = labelled_anomalies(stack, store, ("odd",), unlabelled_are_clean=True)
    assert len(all_of_them.positions) == 71  # all but the one to ignore
    assert all_of_them.truth.sum() == 1
    assert groups_of(all_of_them).tolist() == all_of_them.groups.tolist()
    assert len(set(groups_of(found).tolist())) == 1
    with pytest.raises(TrainingError, match="labels are artifact, clean, ice_ring, odd"):
        labelled_anomalies(stack, store, ("absent",))
    with pytest.raises(LabelError):
        labelled_anomalies(stack, tmp_path / "none")


def test_events_of_few_files_are_kept_together_in_blocks(tmp_path):
    one = stack_of(60, 1)
    store = LabelStore(tmp_path)
    store.set(one.event_id(0), "ice_ring")
    found = labelled_anomalies(one, store, unlabelled_are_clean=True)
    assert groups_of(found).tolist() == [k // 20 for k in range(60)]


# --- the file ---------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_models_survive_their_file(learner, tmp_path):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((60, 5)).astype(np.float32)
    labels = np.stack([matrix[:, 0] > 0, matrix[:, 3] > 0.2], axis=1)
    made = train_anomalies(matrix, labels, NAMES, None, learner, seed=1)
    save_anomaly_model(made, tmp_path / "m.xfelanomalies")
    again = load_anomaly_model(tmp_path / "m.xfelanomalies")
    assert np.array_equal(again.probabilities(matrix), made.probabilities(matrix))
    assert again.class_names == NAMES
    assert again.thresholds.tolist() == made.thresholds.tolist()
    assert again.metrics == json.loads(json.dumps(made.metrics))
    with pytest.raises(OutputError):
        save_anomaly_model(made, tmp_path / "m.xfelanomalies")


def rewritten(source, target, change, drop=()):
    """A copy of a model file whose description is changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "anomalies.json":
                values = json.loads(data)
                values.update(change)
                data = json.dumps(values).encode()
            if name not in drop:
                new.writestr(name, data)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 99},
        {"class_names": ["a/b", "c"]},
        {"class_names": ["ice_ring", "ice_ring"]},
        {"class_names": "x"},
        {"n_features": 3},
        {"n_features": -1},
        {"n_features": True},
        {"features": "pixels"},
        {"feature_names": ["a"]},
        {"learners": ["magic", "svm"]},
        {"thresholds": [0.5]},
        {"thresholds": ["x", 1]},
        {"metrics": 3},
    ],
)
def test_damaged_descriptions(model, tmp_path, change):
    save_anomaly_model(model, tmp_path / "m")
    rewritten(tmp_path / "m", tmp_path / "broken", change)
    with pytest.raises(ModelError, match="broken"):
        load_anomaly_model(tmp_path / "broken")


def test_files_that_are_no_models(model, tmp_path):
    with pytest.raises(ModelError, match="no model file"):
        load_anomaly_model(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match="no model of anomalies"):
        load_anomaly_model(tmp_path / "text")
    save_anomaly_model(model, tmp_path / "m")
    for drop in ("anomalies.json", "0.skops"):
        rewritten(tmp_path / "m", tmp_path / "broken", {}, (drop,))
        with pytest.raises(ModelError, match="broken"):
            load_anomaly_model(tmp_path / "broken")
    rewritten(tmp_path / "m", tmp_path / "more", {})
    with zipfile.ZipFile(tmp_path / "more", "a") as file:
        file.writestr("run.py", "print(1)")
    with pytest.raises(ModelError, match=r"run\.py"):
        load_anomaly_model(tmp_path / "more")
