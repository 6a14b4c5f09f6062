"""Model files of every algorithm from strangers: none runs code, leaves its tables or memory."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learning_cases import labelled_run
from model_files import Payload, members, packed, refused, spoilt
from sklearn.decomposition import PCA
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.train_settings import ALGORITHMS

NEW = ("linear_svm", "naive_bayes", "gradient_boosting")
CASES = [*((model, 0) for model in NEW), ("gradient_boosting", 3), ("random_forest", 3)]


def made(model="gradient_boosting", components=0, **more):
    stack, labels = labelled_run(2, 30)
    return xs.train(stack, labels, model=model, components=components, n_estimators=3, **more)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[tuple[str, int], bytes]:
    """A good file of each case."""
    found = {}
    for case in CASES:
        path = tmp_path_factory.mktemp("good") / "m.xfelmodel"
        made(*case).save(path)
        found[case] = path.read_bytes()
    return found


def with_weights(data: bytes, estimator) -> bytes:
    return packed(members(data) | {"weights.skops": skops.io.dumps(estimator)})


def with_values(data: bytes, **changes) -> bytes:
    parts = members(data)
    values = json.loads(parts["model.json"]) | changes
    return packed(parts | {"model.json": json.dumps(values).encode()})


@pytest.mark.parametrize("case", CASES)
def test_payloads_in_the_weights_are_not_run(tmp_path, files, case):
    parts = members(files[case])
    payload = pickle.dumps(Payload(tmp_path / "run"))
    refused(tmp_path, packed(parts | {"weights.skops": payload}), "damaged")
    inner = members(parts["weights.skops"])
    for name in inner:
        if name.endswith(".npy"):
            changed = packed(inner | {name: payload})
            refused(tmp_path, packed(parts | {"weights.skops": changed}), "array")
            break
    schema = json.loads(inner["schema.json"])
    for loader, module, kind in (
        ("FunctionNode", "os", "system"),
        ("ObjectNode", "subprocess", "Popen"),
        ("ObjectNode", "napari_xfelsort.core.atomic", "write_text_atomic"),
        ("ObjectNode", "napari_xfelsort.core.model", "Model"),
        ("LossNode", "sklearn._loss._loss", "CyHalfBinomialLoss"),
        ("RandomGeneratorNode", "numpy.random._generator", "Generator"),
    ):
        evil = schema | {"__loader__": loader, "__module__": module, "__class__": kind}
        changed = packed(inner | {"schema.json": json.dumps(evil).encode()})
        refused(tmp_path, packed(parts | {"weights.skops": changed}), rf"{module}\.{kind}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", CASES)
def test_bombs_ways_out_and_missing_parts(tmp_path, files, case):
    parts = members(files[case])
    bomb = bytes(80 * 1024**2)
    inner = io.BytesIO(parts["weights.skops"])
    with zipfile.ZipFile(inner, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("7.npy", bomb)
    refused(tmp_path, packed(parts | {"weights.skops": inner.getvalue()}), "claims 84 MB")
    inner = io.BytesIO(parts["weights.skops"])
    with zipfile.ZipFile(inner, "a") as target:
        target.writestr("../../evil.npy", b"x")
    refused(tmp_path, packed(parts | {"weights.skops": inner.getvalue()}), "which no model has")
    for name in parts:
        rest = {k: v for k, v in parts.items() if k != name}
        refused(tmp_path, packed(rest), f"{name} is missing")
    arrays = [n for n in members(parts["weights.skops"]) if n.endswith(".npy")]
    lacking = {k: v for k, v in members(parts["weights.skops"]).items() if k != arrays[0]}
    refused(tmp_path, packed(parts | {"weights.skops": packed(lacking)}), "lacks the data")


def spoil(name, place, value):
    def change(trees):
        column = getattr(trees, name).copy()
        column[place] = value
        setattr(trees, name, column)

    return change


def put(name, value):
    return lambda trees: setattr(trees, name, value)


@pytest.mark.parametrize("case", [c for c in CASES if c[0] == "gradient_boosting"])
@pytest.mark.parametrize(
    "change",
    [
        spoil("left", 0, 10**9),
        spoil("right", 0, -7),
        spoil("left", 0, 0),
        spoil("right", 1, 0),  # a loop
        spoil("feature", 0, 10**9),
        spoil("feature", 0, -1),
        spoil("feature", 0, 48),
        spoil("roots", (0, 0), 10**9),
        spoil("roots", (0, 0), -1),
        spoil("value", slice(None), np.nan),
        put("left", np.zeros(3, np.int64)),
        put("left", np.zeros(3, np.float64)),
        put("left", 5),
        put("roots", np.zeros((0, 3), np.int64)),
        put("baseline", np.zeros(2)),
        put("baseline", None),
        put("classes_", np.array([0, 7])),
        put("before", GaussianNB()),
        put("before", make_pipeline(StandardScaler())),
        put("before", make_pipeline(StandardScaler(), LinearSVC())),
        put("threshold", np.array(["x"])),
    ],
)
def test_boosted_trees_that_leave_their_tables(tmp_path, files, case, change):
    model = made(*case)
    change(model.estimator)
    refused(tmp_path, with_weights(files[case], model.estimator), "cannot be used|array|type")


def test_boosted_trees_without_some_of_their_tables(tmp_path, files):
    model = made()
    for name in ("feature", "left", "roots", "baseline", "classes_", "before"):
        value = model.estimator.__dict__.pop(name)
        weights = with_weights(files["gradient_boosting", 0], model.estimator)
        refused(tmp_path, weights, "cannot be used")
        setattr(model.estimator, name, value)


def test_a_method_put_in_place_of_a_table_is_not_called(tmp_path, files):
    """Attributes of ours could hide the methods that answer."""
    model = made()
    model.estimator.__dict__["predict_proba"] = np.zeros(3)
    weights = with_weights(files["gradient_boosting", 0], model.estimator)
    refused(tmp_path, weights, "cannot be used")


def test_an_svm_needs_its_calibration_and_others_theirs(tmp_path, files):
    svm = files["linear_svm", 0]
    refused(tmp_path, with_values(svm, calibration=None), "cannot be used")
    for wrong in (
        {"method": "sigmoid", "maps": []},
        {"method": "isotonic", "maps": [[[0, 1], [0, 2]]]},
        {"method": "isotonic", "maps": [[[0, 1], [0, 1]]] * 3},
        {"method": "eval", "maps": [[[0], [0]]]},
        "sigmoid",
        5,
    ):
        refused(tmp_path, with_values(svm, calibration=wrong), "damaged")
    bare = LinearSVC().fit(np.random.default_rng(0).normal(size=(20, 48)), np.arange(20) % 2)
    refused(tmp_path, with_weights(svm, bare), "put together in another way")


@pytest.mark.parametrize(
    "change",
    [
        {"band": [0.7, 0.3]},
        {"band": [0.3]},
        {"band": [0.3, "x"]},
        {"band": [0.3, 7]},
        {"band": [0.3, 0.5], "positive": None},
        {"margin": -1},
        {"margin": None},
        {"margin": "x"},
        {"metrics": {}},
    ],
)
def test_rules_that_are_none(tmp_path, files, change):
    refused(tmp_path, with_values(files["naive_bayes", 0], **change), "damaged")


def test_what_a_model_shows_is_checked(tmp_path, files):
    good = files["naive_bayes", 0]
    metrics = json.loads(members(good)["model.json"])["metrics"]
    for change in (
        {"tested": {"events": []}},
        {"tested": metrics["tested"] | {"labels": [9] * metrics["n"]}},
        {"curves": {"good": 3}},
        {"curves": 3},
        {"reliability": {"good": {}}},
        {"intervals": 3},
        {"search": {"best": 3}},
        {"out_of_fold": {"accuracy": 1}},
        {"brier": "x"},
    ):
        refused(tmp_path, with_values(good, metrics=metrics | change), "damaged")


def test_components_that_do_not_fit(tmp_path, files):
    rng = np.random.default_rng(0)
    matrix, numbers = rng.normal(size=(30, 48)).astype(np.float32), np.arange(30) % 2
    good = files["naive_bayes", 0]
    fine = make_pipeline(StandardScaler(), PCA(3), GaussianNB()).fit(matrix, numbers)
    (tmp_path / "fine.xfelmodel").write_bytes(with_weights(good, fine))
    xs.load_model(tmp_path / "fine.xfelmodel")
    fine.steps[1][1].components_ = rng.normal(size=(3, 7))
    refused(tmp_path, with_weights(good, fine), "cannot be used")
    other = make_pipeline(PCA(3), StandardScaler(), GaussianNB()).fit(matrix, numbers)
    refused(tmp_path, with_weights(good, other), "put together in another way")


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(0, 2), st.sampled_from(CASES))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200
)
def test_damaged_files_are_refused_or_whole(tmp_path_factory, files, seed, n, depth, case):
    """Bytes changed at random: in the zip, in a member, or in a member of the weights."""
    path = tmp_path_factory.mktemp("damaged") / "m.xfelmodel"
    path.write_bytes(spoilt(files[case], np.random.default_rng(seed), n, depth))
    try:
        model = xs.load_model(path)
    except ModelError:
        return
    assert model.predict(labelled_run(1, 2)[0]).probabilities.shape == (2, 2)


@pytest.mark.parametrize("model", ALGORITHMS)
def test_three_classes_calibrated_survive_the_file(tmp_path, model):
    stack, labels = labelled_run(3, 40, classes=3)
    first = xs.train(stack, labels, model=model, calibration="isotonic", n_estimators=3, folds=2)
    first.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel")
    assert again.digest == first.digest
    assert again.calibration == first.calibration
    assert again.metrics == first.metrics
    ours, theirs = (m.predict(stack).probabilities for m in (first, again))
    assert ours.tobytes() == theirs.tobytes()
    assert ours.sum(axis=1) == pytest.approx(np.ones(120))
