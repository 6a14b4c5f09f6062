"""Model files from strangers: refused with a sentence, and nothing in them is run."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import Payload, members, packed, refused, spoilt
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.features import FeatureSettings
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

N_FEATURES = 19


def make(model="random_forest", path=None):
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(30, 4, 5)).astype(np.float32)
    frames[::2] += 2
    bad = np.zeros((4, 5), bool)
    bad[1, 1] = True
    stack = EventStack([ArraySource(frames, "a.cxi", mask=PixelMask.from_bad(bad))])
    made = xs.train(stack, ["good", "bad"] * 15, model=model, n_estimators=4, max_depth=3)
    if path is not None:
        made.save(path)
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "m.xfelmodel"
    make(path=path)
    return path.read_bytes()


def test_what_a_file_holds(good):
    parts = members(good)
    assert sorted(parts) == ["model.json", "pixels.npy", "weights.skops"]
    description = json.loads(parts["model.json"])
    assert description["class_names"] == ["bad", "good"]
    assert description["features"] == FeatureSettings().to_dict()
    assert description["raw_shape"] == [4, 5]
    assert description["provenance"]["training_set"]


# -- files that are no models


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04 cut off"])
def test_other_files(tmp_path, data):
    refused(tmp_path, data, "no model file")


def test_a_pickle_in_the_place_of_a_model_is_not_run(tmp_path):
    refused(tmp_path, pickle.dumps(Payload(tmp_path / "run")), "no model file")
    assert not (tmp_path / "run").exists()


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model file .*none\.xfelmodel"):
        xs.load_model(tmp_path / "none.xfelmodel")
    with pytest.raises(ModelError, match="no model file"):
        xs.load_model(tmp_path)


@pytest.mark.parametrize("part", ["model.json", "weights.skops"])
def test_missing_parts(tmp_path, good, part):
    parts = members(good)
    del parts[part]
    refused(tmp_path, packed(parts), f"{part} is missing")


def test_without_its_pixels_a_model_does_not_fit(tmp_path, good):
    parts = members(good)
    del parts["pixels.npy"]
    refused(tmp_path, packed(parts), "cannot be used")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "run.py", "Model.json"])
def test_members_with_no_business_there(tmp_path, good, name):
    refused(tmp_path, packed(members(good) | {name: b"x"}), "which no model has")
    assert not (tmp_path.parent / "evil").exists()


def test_doubled_members(tmp_path, good):
    out = io.BytesIO(good)
    with (
        zipfile.ZipFile(out, "a") as target,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        target.writestr("model.json", b"{}")
    refused(tmp_path, out.getvalue(), "which no model has")


def test_encrypted_members(tmp_path, good):
    data = bytearray(good)
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    refused(tmp_path, bytes(data), "damaged")


# -- files that claim too much


def test_zip_bombs_are_not_unpacked(tmp_path, good):
    bomb = bytes(80 * 1024**2)
    refused(tmp_path, packed(members(good) | {"pixels.npy": bomb}), "claims 84 MB")
    inner = io.BytesIO(members(good)["weights.skops"])
    with zipfile.ZipFile(inner, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("1.npy", bomb)
    refused(tmp_path, packed(members(good) | {"weights.skops": inner.getvalue()}), "claims 84 MB")


def test_sizes_that_are_not_true(tmp_path, good):
    """A member that says it is small and unpacks to more."""
    data = bytearray(packed(members(good) | {"pixels.npy": bytes(50 * 1024**2)}))
    entry = data.index(b"PK\x01\x02")
    while b"pixels.npy" not in data[entry : entry + 60]:
        entry = data.index(b"PK\x01\x02", entry + 1)
    data[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    refused(tmp_path, bytes(data), "damaged")


def npy(shape, dtype="|b1", data=b""):
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "array",
    [
        npy((10**12, 10**6)),
        npy((4, 5), data=b"\1" * 19),
        npy((4, 5), "|O", b"\1" * 160),
        npy((-4, -5), data=b"\1" * 20),
        npy((5, 4), data=b"\1" * 20),
        npy((4, 5), "|u1", b"\1" * 20),
        npy((4, 5), data=b"\0" * 20),
        npy((4, 5), data=b"\1" * 20),
        b"\x93NUMPY\x01\x00\xff\xff(" + b"(" * 70000,
        b"\x93NUMPY\x03\x00",
        b"text",
    ],
)
def test_arrays_that_lie(tmp_path, good, array):
    refused(tmp_path, packed(members(good) | {"pixels.npy": array}), "array|damaged|used")


# -- classifiers that are none of ours


def with_weights(good: bytes, weights: bytes) -> bytes:
    return packed(members(good) | {"weights.skops": weights})


def fitted(estimator, n_features=N_FEATURES, n_classes=2):
    matrix = np.random.default_rng(0).normal(size=(30, n_features)).astype(np.float32)
    return estimator.fit(matrix, np.arange(30) % n_classes)


def test_a_pickle_in_the_place_of_the_weights_is_not_run(tmp_path, good):
    payload = pickle.dumps(Payload(tmp_path / "run"))
    refused(tmp_path, with_weights(good, payload), "damaged")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (BernoulliNB(), "BernoulliNB"),
        (SVC(), "SVC"),
        (HistGradientBoostingClassifier(max_iter=2), "gradient_boosting"),
        (make_pipeline(StandardScaler(), TruncatedSVD(2), LogisticRegression()), "Truncated"),
        (make_pipeline(FunctionTransformer(np.arctan), LogisticRegression()), "arctan|Function"),
        (KNeighborsClassifier(metric=print, algorithm="brute"), "print"),
        (KNeighborsClassifier(algorithm="kd_tree"), "KDTree"),
    ],
)
def test_other_types_are_refused_by_name(tmp_path, good, estimator, named):
    if "metric" not in str(estimator):
        fitted(estimator)
    refused(tmp_path, with_weights(good, skops.io.dumps(estimator)), named)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(LogisticRegression()),
        LogisticRegression(),
        make_pipeline(StandardScaler(), StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), make_pipeline(DecisionTreeClassifier())),
        make_pipeline(StandardScaler(), RandomForestClassifier(2)),
    ],
)
def test_other_combinations_are_refused(tmp_path, good, estimator):
    weights = skops.io.dumps(fitted(estimator))
    refused(tmp_path, with_weights(good, weights), "put together in another way")


def test_classifiers_that_do_not_fit(tmp_path, good):
    for estimator in (
        DecisionTreeClassifier(),
        RandomForestClassifier(2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute")),
    ):
        for other in ((N_FEATURES + 1, 2), (N_FEATURES, 3)):
            weights = skops.io.dumps(fitted(estimator, *other))
            refused(tmp_path, with_weights(good, weights), "cannot be used")
    refused(tmp_path, with_weights(good, skops.io.dumps(DecisionTreeClassifier())), "used")


def edit(weights: bytes, change) -> bytes:
    """The skops file with its schema changed by a function."""
    parts = members(weights)
    schema = json.loads(parts["schema.json"])
    change(schema)
    return packed(parts | {"schema.json": json.dumps(schema).encode()})


def nodes(value):
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from nodes(part)


def first(schema, loader):
    return next(node for node in nodes(schema) if node.get("__loader__") == loader)


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "os", "system"),
        ("TypeNode", "os", "system"),
        ("ObjectNode", "subprocess", "Popen"),
        ("MethodNode", "builtins", "eval"),
        ("OperatorFuncNode", "operator", "methodcaller"),
        ("PartialNode", "functools", "partial"),
        ("ReduceNode", "builtins", "exec"),
        ("NdArrayNode", "numpy", "load"),
        ("ObjectNode", "sklearn.preprocessing._function_transformer", "FunctionTransformer"),
        ("CachedNode", "builtins", "str"),
        (["JsonNode"], "builtins", "str"),
    ],
)
def test_nodes_that_would_run_something(tmp_path, good, loader, module, name):
    def change(schema):
        node = first(schema, "JsonNode")
        node.update({"__loader__": loader, "__module__": module, "__class__": name})

    weights = edit(members(good)["weights.skops"], change)
    refused(tmp_path, with_weights(good, weights), rf"{module}\.{name}")


def test_nodes_hidden_from_the_list_of_types(tmp_path, good):
    def change(schema):
        first(schema, "DictNode")["content"]["x"] = {"__class__": "system", "__module__": "os"}

    weights = edit(members(good)["weights.skops"], change)
    refused(tmp_path, with_weights(good, weights), "malformed")


def tree_weights(change=None, estimator=None, **arrays) -> bytes:
    """A decision tree whose node table is changed before it is written."""
    if estimator is None:
        estimator = DecisionTreeClassifier(max_depth=3, random_state=0)
    weights = skops.io.dumps(fitted(estimator))
    parts = members(weights)
    tree = first(json.loads(parts["schema.json"]), "TreeNode")
    file = tree["content"]["content"]["nodes"]["file"]
    table = np.load(io.BytesIO(parts[file]))
    for name, (k, value) in arrays.items():
        table[name][k] = value
    out = io.BytesIO()
    np.save(out, table)
    weights = packed(parts | {file: out.getvalue()})
    return weights if change is None else edit(weights, change)


@pytest.mark.parametrize(
    "arrays",
    [
        {"left_child": (0, 10**9)},
        {"right_child": (0, -7)},
        {"left_child": (0, 0)},  # a loop
        {"right_child": (1, 0)},
        {"feature": (0, 10**9)},
        {"feature": (0, N_FEATURES)},
        {"feature": (0, -2)},
    ],
)
@pytest.mark.parametrize("kind", [DecisionTreeClassifier, RandomForestClassifier])
def test_trees_that_leave_their_tables(tmp_path, good, arrays, kind):
    """scikit-learn follows such numbers unchecked, out of its memory or for ever."""
    more = {"n_estimators": 2} if kind is RandomForestClassifier else {}
    estimator = kind(max_depth=3, random_state=0, **more)
    weights = tree_weights(estimator=estimator, **arrays)
    refused(tmp_path, with_weights(good, weights), "a tree (leads outside|asks for)")


def test_trees_of_another_size_than_they_say(tmp_path, good):
    def set_state(key, text):
        def change(schema):
            first(schema, "TreeNode")["content"]["content"][key]["content"] = text

        return change

    def set_argument(k, text):
        def change(schema):
            first(schema, "TreeNode")["__reduce__"]["args"]["content"][k]["content"] = text

        return change

    def drop(schema):
        del first(schema, "TreeNode")["__reduce__"]

    for change in (
        set_state("node_count", "1000000"),
        set_state("node_count", "-1"),
        set_state("node_count", "null"),
        set_argument(2, "1000000"),
        set_argument(0, "-5"),
        drop,
    ):
        refused(tmp_path, with_weights(good, tree_weights(change)), "damaged")
    refused(tmp_path, with_weights(good, tree_weights(set_argument(0, "5"))), "other features")


def test_one_node_cannot_stand_in_for_another(tmp_path, good):
    """skops takes an earlier node of the same number instead of what stands there."""

    def change(schema):
        tree = first(schema, "TreeNode")
        outputs = tree["__reduce__"]["args"]["content"][2]
        forged = {**outputs, "content": "1000000", "__id__": outputs["__id__"]}
        schema["content"]["content"] = {"a": forged, **schema["content"]["content"]}
        keys = schema["content"]["key_types"]["content"]
        keys.insert(0, dict(keys[0]))

    path = tmp_path / "m.xfelmodel"
    path.write_bytes(with_weights(good, tree_weights(change)))
    model = xs.load_model(path)  # the forged number has no effect
    assert model.estimator.tree_.n_outputs == 1


def test_a_tree_with_a_forest_about_it(tmp_path, good):
    """An attribute of ours in the wrong place does not keep trees from being checked."""

    def change(schema):
        content = schema["content"]
        content["content"]["estimators_"] = {
            "__class__": "list",
            "__module__": "builtins",
            "__loader__": "ListNode",
            "content": [],
            "__id__": 1,
        }
        content["key_types"]["content"].append(dict(content["key_types"]["content"][0]))

    weights = tree_weights(change, left_child=(0, 10**9))
    refused(tmp_path, with_weights(good, weights), "a tree leads outside")


@pytest.mark.parametrize("schema", [b"[" * 100_000, b"{}", b"null", b"\xff", b'{"content": 1}'])
def test_schemas_that_are_none(tmp_path, good, schema):
    weights = packed(members(members(good)["weights.skops"]) | {"schema.json": schema})
    refused(tmp_path, with_weights(good, weights), "classifier in")


# -- descriptions


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "other"}, "no model file of this program"),
        ({"version": 3}, "version 3"),
        ({"version": "1"}, "version '1'"),
        ({"class_names": ["bad", "../../evil"]}, "evil"),
        ({"class_names": ["bad", "bad"]}, "damaged"),
        ({"class_names": ["bad", 5]}, "damaged"),
        ({"class_names": "ab"}, "cannot be used|damaged"),
        ({"class_names": ["bad", "good", "more"]}, "damaged|cannot be used"),
        ({"features": {"bin": 3}}, "cannot be used"),
        ({"features": {"bin": "x"}}, "damaged"),
        ({"features": []}, "damaged|used"),
        ({"features": {"run": "x"}}, "Unknown setting"),
        ({"region": {"kind": "circle"}}, "damaged"),
        ({"raw_shape": [10**9, 10**9]}, "damaged"),
        ({"raw_shape": [float("inf"), 5]}, "damaged"),
        ({"raw_shape": [3, 5]}, "damaged"),
        ({"raw_shape": []}, "damaged"),
        ({"window": [[0, 4], [0, 10**9]]}, "damaged"),
        ({"window": [[0, 3], [0, 5]]}, "damaged"),
        ({"window": "all"}, "damaged"),
        ({"threshold": "high"}, "damaged"),
        ({"threshold": 7}, "damaged"),
        ({"threshold": float("nan")}, "damaged"),
        ({"positive": "ugly"}, "damaged"),
        ({"geometry_digest": 5}, "damaged"),
        ({"metrics": None}, "damaged"),
        ({"metrics": {}}, "damaged"),
        ({"provenance": []}, "damaged"),
        ({"warnings": 3}, "damaged"),
    ],
)
def test_descriptions_that_are_wrong(tmp_path, good, change, why):
    parts = members(good)
    parts["model.json"] = json.dumps(json.loads(parts["model.json"]) | change).encode()
    refused(tmp_path, packed(parts), why)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"format": "xfelmodel"}']
)
def test_descriptions_that_are_none(tmp_path, good, text):
    refused(tmp_path, packed(members(good) | {"model.json": text}), "evil")


def test_another_scikit_learn_is_said(tmp_path, good):
    parts = members(good)
    description = json.loads(parts["model.json"])
    description["provenance"]["versions"]["scikit-learn"] = "0.1"
    parts["model.json"] = json.dumps(description).encode()
    parts["weights.skops"] = edit(
        parts["weights.skops"],
        lambda schema: [
            node.update(content='"0.1"')
            for node in nodes(schema)
            if node.get("content") == json.dumps(__import__("sklearn").__version__)
        ],
    )
    path = tmp_path / "old.xfelmodel"
    path.write_bytes(packed(parts))
    assert "trained with scikit-learn 0.1" in xs.load_model(path).warnings[-1]


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(0, 2))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
def test_damaged_files_are_refused_or_whole(tmp_path_factory, good, seed, n, depth):
    """Bytes changed at random: in the zip, in a member, or in a member of the weights."""
    path = tmp_path_factory.mktemp("damaged") / "m.xfelmodel"
    path.write_bytes(spoilt(good, np.random.default_rng(seed), n, depth))
    try:
        model = xs.load_model(path)
    except ModelError:
        return
    stack = EventStack([ArraySource(np.zeros((2, 4, 5), np.float32))])
    assert model.predict(stack).probabilities.shape == (2, 2)
