"""Models with every kind of feature: saved, loaded, applied under another geometry, and forged."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.events import Peaks
from napari_xfelsort.core.features import FeatureSettings
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

N, SHAPE = 60, (10, 12)
EVERY_KIND = {
    "kinds": ("pixels", "profile", "radial", "intensity", "quantiles", "peaks", "metadata"),
    "bin": 2,
    "bin_statistic": "median",
    "profile_axis": "y",
    "radial_axis": "q",
    "radial_bins": 5,
    "radial_statistics": ("mean", "sd", "median", "fraction"),
    "above": 1.0,
    "quantiles": (0.1, 0.9),
    "metadata": ("motor",),
    "normalise": "incoming",
    "incoming": "i0",
}


class Stored(ArraySource):
    """Every frame has peaks and two numbers; event 5 lacks one."""

    def peaks(self, i):
        return Peaks(np.array([1.0, 4.0]), np.array([2.0, 5.0]), np.array([10.0 + i % 3, 30.0]))

    def metadata(self, i):
        return {"motor": i / 10} | ({} if i == 5 else {"i0": 90.0 + i % 7})


def geometry(beam=(4.0, 5.0)):
    return xs.Geometry.single_panel(SHAPE, 1e-4, beam, distance=0.1, photon_energy=9300)


def stack_of(seed=0, **more):
    rng = np.random.default_rng(seed)
    frames = rng.normal(100, 5, (N, *SHAPE)).astype(np.float32)
    frames[::3, :4] -= 20
    masked = np.zeros(SHAPE, bool)
    masked[3, 3:6] = True
    source = Stored(frames, "run.cxi", PixelMask.from_bad(masked), 9300.0, 0.1)
    return EventStack([source], **more)


LABELS = ["bad" if k % 3 == 0 else "good" for k in range(N)]


def trained(**values):
    settings = {"model": "random_forest", "n_estimators": 8, **EVERY_KIND, **values}
    return xs.train(stack_of(geometry=geometry()), LABELS, region="window:0:9,1:12", **settings)


@pytest.fixture(scope="module")
def made():
    return trained()


@pytest.fixture(scope="module")
def packed_model(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.xfelmodel"
    made.save(path)
    return path.read_bytes()


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return {name: source.read(name) for name in source.namelist()}


def array(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


def saved(values, **more):
    out = io.BytesIO()
    np.save(out, values, **more)
    return out.getvalue()


def write(path, parts):
    with zipfile.ZipFile(path, "w") as target:
        for name, data in parts.items():
            target.writestr(name, data)
    return path


def test_a_reloaded_model_has_the_same_features(made, packed_model, tmp_path):
    path = tmp_path / "m.xfelmodel"
    path.write_bytes(packed_model)
    again = xs.load_model(path)
    assert again.digest == made.digest
    assert again.features == made.features
    assert again.extractor.names == made.extractor.names
    assert again.extractor.units == made.extractor.units
    first = made.predict(stack_of(1, geometry=geometry()))
    assert first.chosen[5] == "unsure"
    assert "No number 'i0'" in first.flags[5]
    truth = np.array(LABELS)
    assert (first.classes == truth)[np.arange(N) != 5].mean() > 0.9
    # The places are those of training, whatever the geometry.
    for other in (None, geometry((1.0, 1.0)), geometry()):
        decided = again.predict(stack_of(1, geometry=other))
        assert decided.probabilities.tobytes() == first.probabilities.tobytes()
        assert decided.flags == first.flags
    copy = pickle.loads(pickle.dumps(again))
    assert copy.digest == made.digest
    decided = copy.predict(stack_of(1))
    assert decided.probabilities.tobytes() == first.probabilities.tobytes()


@pytest.mark.parametrize("components", [0, 4])
def test_sorting_in_any_blocks_gives_the_same(made, components, monkeypatch):
    model = trained(components=components, normalise="mean", incoming="")
    stack = stack_of(2, geometry=geometry())
    whole = model.predict(stack)
    for most in (1, 7):
        monkeypatch.setattr("napari_xfelsort.core.features.blocks.MAX_BLOCK_EVENTS", most)
        assert model.predict(stack).probabilities.tobytes() == whole.probabilities.tobytes()


def test_the_digest_knows_the_places(made):
    other = xs.train(
        stack_of(geometry=geometry((4.0, 5.3))),
        LABELS,
        region="window:0:9,1:12",
        n_estimators=8,
        **EVERY_KIND,
    )
    assert other.digest != made.digest


def test_importances_can_be_drawn(made):
    """The beam stop, or here the rows that differ, stand out."""
    drawn = made.extractor.pixel_map(made.estimator.feature_importances_, "pixels")
    assert drawn.shape == SHAPE
    assert np.isnan(drawn[:, 0]).all()
    assert np.isnan(drawn[3, 3:6]).all()
    assert np.nansum(drawn[:4]) > 5 * np.nansum(drawn[4:])


# -- model files from strangers


PLACES = ("profile.npy", "profile_positions.npy", "radial.npy", "radial_positions.npy")


def test_what_a_file_holds_of_places(packed_model):
    parts = members(packed_model)
    assert {*PLACES, "radius.npy"} < set(parts)
    assert array(parts["radial.npy"]).shape == (9, 11)
    y, x = np.indices((9, 11)) + np.array([0, 1]).reshape(2, 1, 1)
    assert np.allclose(array(parts["radius.npy"]), np.hypot(y - 4, x - 5), atol=1e-4)


@pytest.mark.parametrize("part", PLACES)
def test_missing_places(packed_model, tmp_path, part):
    parts = members(packed_model)
    del parts[part]
    with pytest.raises(ModelError, match=r"forged\.xfelmodel"):
        xs.load_model(write(tmp_path / "forged.xfelmodel", parts))


def forged_places(parts):
    index = array(parts["radial.npy"])
    positions = array(parts["radial_positions.npy"])
    far = index.copy()
    far[far == far.max()] = 10**6
    gap = index.copy()
    gap[gap == 1] = 0
    negative = index.copy()
    negative[negative == 2] = -7
    masked = index.copy()
    masked[3, 3] = 0
    return {
        "a number beyond the bins": {"radial.npy": saved(far)},
        "an empty bin": {"radial.npy": saved(gap)},
        "no such bin": {"radial.npy": saved(negative)},
        "a pixel that is not used": {"radial.npy": saved(masked)},
        "another shape": {"radial.npy": saved(index[:-1])},
        "another type": {"radial.npy": saved(index.astype(np.int64))},
        "fewer positions": {"radial_positions.npy": saved(positions[:-1])},
        "positions that are none": {"radial_positions.npy": saved(positions * np.nan)},
        "positions of another type": {"radial_positions.npy": saved(positions.astype("f4"))},
        "distances of another shape": {"radius.npy": saved(np.zeros((2, 2), np.float32))},
        "distances of another type": {"radius.npy": saved(np.zeros((9, 11)))},
        "objects": {"radius.npy": saved(np.array([{}]), allow_pickle=True)},
        "no array": {"radius.npy": b"hello"},
        "a member that is none": {"places.npy": saved(index)},
    }


@pytest.mark.parametrize("how", list(range(14)))
def test_forged_places(packed_model, tmp_path, how):
    parts = members(packed_model)
    what, change = list(forged_places(parts).items())[how]
    path = write(tmp_path / "forged.xfelmodel", parts | change)
    with pytest.raises(ModelError) as error:
        xs.load_model(path)
    assert "forged.xfelmodel" in str(error.value), what


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": "pixels"},
        {"kinds": ["pixels", "pixels"]},
        {"kinds": [["pixels"]]},
        {"kinds": {"pixels": 1}},
        {"radial_bins": 10**12},
        {"quantiles": [0.5] * 3},
        {"quantiles": [0.1, 0.2, 0.3]},
        {"metadata": ["a" * 1000]},
        {"metadata": [7]},
        {"above": "1"},
        {"incoming": ["i0"]},
        {"incoming": ""},
        {"bin": 1e400},
    ],
)
def test_forged_specs(packed_model, tmp_path, change):
    parts = members(packed_model)
    description = json.loads(parts["model.json"])
    description["features"] |= change
    parts["model.json"] = json.dumps(description).encode()
    with pytest.raises(ModelError, match=r"forged\.xfelmodel"):
        xs.load_model(write(tmp_path / "forged.xfelmodel", parts))


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_before_there_were_kinds(tmp_path, version):
    """Version 1 said ``kind: pixels``, and nothing of calibration or unsure bands."""
    stack = stack_of()
    made = xs.train(stack, LABELS, model="logistic_regression", bin=2, normalise="median")
    path = tmp_path / "m.xfelmodel"
    made.save(path)
    parts = members(path.read_bytes())
    description = json.loads(parts["model.json"])
    description["version"] = version
    description["features"] = {"kind": "pixels", "bin": 2, "normalise": "median"}
    if version == 1:
        for name in ("band", "margin", "calibration"):
            del description[name]
    parts["model.json"] = json.dumps(description).encode()
    old = xs.load_model(write(tmp_path / "old.xfelmodel", parts))
    assert old.features == FeatureSettings(bin=2, normalise="median")
    first, again = made.predict(stack), old.predict(stack)
    assert first.probabilities.tobytes() == again.probabilities.tobytes()
    assert old.digest == made.digest
