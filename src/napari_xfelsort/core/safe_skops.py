"""Loading a classifier from a skops file of a stranger.

skops never runs code by unpickling, but it makes any scikit-learn object that a file
asks for, and hands decision trees their node tables unchecked. Here only the few types
that our own classifiers consist of are let through, and trees are checked node by node.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from napari_xfelsort.core.deep.spi_model import SpiNetworks, check_networks
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.estimators import class_scores
from napari_xfelsort.core.learning.boosting import check_boosted
from napari_xfelsort.core.safe_zip import DAMAGED, ArrayHeader, array_header, read_members

_SCHEMA = "schema.json"
_MAX_SCHEMA = 512 * 1024**2
_MAX_ARRAY = 4 * 1024**3
_ARRAY_NAME = re.compile(r"[0-9]{1,30}\.npy")
_TREE = "sklearn.tree._tree.Tree"
_PIPELINE = "sklearn.pipeline.Pipeline"
_SCALER = "sklearn.preprocessing._data.StandardScaler"
_COMPONENTS = "sklearn.decomposition._pca.PCA"
_SCALED = (
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.neighbors._classification.KNeighborsClassifier",
    "sklearn.svm._classes.LinearSVC",
    "sklearn.naive_bayes.GaussianNB",
)
_SINGLE_TREE = "sklearn.tree._classes.DecisionTreeClassifier"
_FOREST = "sklearn.ensemble._forest.RandomForestClassifier"
_BOOSTED = "napari_xfelsort.core.learning.boosting.BoostedTrees"
_NETWORKS = "napari_xfelsort.core.deep.spi_model.SpiNetworks"
_OTHERWISE = "it is put together in another way than ours"
#: Types that skops does not know.
_OURS = (_TREE, _BOOSTED, _NETWORKS)
#: How skops makes a node, and what it may make that way.
_ALLOWED = {
    "ObjectNode": (
        _PIPELINE,
        _SCALER,
        _COMPONENTS,
        *_SCALED,
        _SINGLE_TREE,
        _FOREST,
        _BOOSTED,
        _NETWORKS,
    ),
    "TreeNode": (_TREE,),
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "JsonNode": ("builtins.str",),
    "TypeNode": ("builtins.str",),
    "NdArrayNode": (
        "numpy.ndarray",
        *(f"numpy.{t}" for t in ("bool", "int32", "int64", "float32", "float64")),
    ),
}


def load_classifier(
    data: bytes, name: str, n_features: int, n_classes: int, calibrated: bool = False
) -> Any:
    """The classifier in a skops file.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name, for messages.
    n_features, n_classes : int
        What the classifier must fit.
    calibrated : bool
        Whether its probabilities are made of its scores by a calibration, so that it need
        not have any itself.

    Raises
    ------
    ModelError
        If the file is damaged, holds a type that no model of ours consists of (named), or
        a classifier that does not fit.
    """
    members, schema, headers = _unpacked(data, name)
    for node in _nodes(schema, name):
        _check_node(node, headers, name)
        # skops would put an earlier node of the same number in place of what was checked.
        node.pop("__id__", None)
    packed = _packed(members | {_SCHEMA: json.dumps(schema).encode()})
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with warnings.catch_warnings():
            # The file's version is compared, and told, by the model file.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            unknown = skops.io.get_untrusted_types(data=packed)
            if set(unknown) - set(_OURS):
                raise ModelError(_unknown_type(name, ", ".join(unknown)))
            estimator = skops.io.loads(packed, trusted=list(_OURS))
            _check_classifier(estimator, n_features, n_classes, calibrated)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"The classifier in {name} cannot be used ({type(error).__name__}: {error}); it is "
            "damaged, or was made by another version of scikit-learn."
        ) from error
    return estimator


def _unpacked(data: bytes, name: str) -> tuple[dict[str, bytes], Any, dict[str, ArrayHeader]]:
    """The members of the file, its schema, and what its arrays are."""

    def limit(member: str) -> int:
        if member == _SCHEMA:
            return _MAX_SCHEMA
        return _MAX_ARRAY if _ARRAY_NAME.fullmatch(member) else 0

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            members = read_members(source, name, limit)
    except DAMAGED as error:
        raise ModelError(f"The classifier in {name} is damaged: {error}.") from error
    if _SCHEMA not in members:
        raise ModelError(f"The classifier in {name} is damaged: its description is missing.")
    try:
        schema = json.loads(members[_SCHEMA])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The classifier in {name} has no readable description.") from error
    headers = {
        member: array_header(content, f"{member} in {name}")
        for member, content in members.items()
        if member != _SCHEMA
    }
    return members, schema, headers


def _packed(members: Mapping[str, bytes]) -> bytes:
    """A zip of members whose sizes are known, without compression."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for member, content in members.items():
            target.writestr(member, content)
    return packed.getvalue()


def _nodes(schema: Any, name: str) -> Iterator[dict[str, Any]]:
    """Every node of a schema; everything in it that is not a plain value is one."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            elif {"__class__", "__module__"} & value.keys():
                raise ModelError(f"The classifier in {name} has a malformed description.")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_node(node: Mapping[str, Any], headers: Mapping[str, ArrayHeader], name: str) -> None:
    kind = f"{node.get('__module__')}.{node.get('__class__')}"
    if kind not in _ALLOWED.get(str(node["__loader__"]), ()):
        raise ModelError(_unknown_type(name, f"{kind} ({node['__loader__']})"))
    if node["__loader__"] == "NdArrayNode" and (
        node.get("type") != "numpy" or str(node.get("file")) not in headers
    ):
        raise ModelError(f"The classifier in {name} lacks the data of an array.")
    if node["__loader__"] == "TreeNode":
        try:
            fits = _tree_fits(node, headers)
        except (KeyError, TypeError, ValueError, IndexError):
            fits = False
        if not fits:
            raise ModelError(f"A decision tree in {name} is damaged.")


def _tree_fits(node: Mapping[str, Any], headers: Mapping[str, ArrayHeader]) -> bool:
    """Whether a tree's tables have the sizes that it says, before it is made of them."""
    features, classes, outputs = node["__reduce__"]["args"]["content"]
    state = node["content"]["content"]
    nodes, values = (headers[state[key]["file"]].shape for key in ("nodes", "values"))
    return (
        int(features["content"]) >= 1
        and headers[classes["file"]] == ((1,), np.dtype(np.intp))
        and outputs["content"] == "1"
        and len(nodes) == 1
        and nodes[0] >= 1
        and int(state["node_count"]["content"]) == nodes[0]
        and len(values) == 3
        and values[:2] == (nodes[0], 1)
    )


def _check_classifier(estimator: Any, n_features: int, n_classes: int, calibrated: bool) -> None:
    """Raise unless the classifier fits; ask it once, after its trees were checked.

    Networks are not asked: they need PyTorch, and what they are is checked in full.
    """
    if isinstance(estimator, SpiNetworks):
        check_networks(estimator, n_features, n_classes)
        return
    before, final = _parts(estimator)
    n_inputs = n_features
    if [_type_name(step) for step in before][1:] == [_COMPONENTS]:
        n_inputs = len(before[1].components_)
    if _type_name(final) == _BOOSTED:
        check_boosted(final, n_inputs, n_classes)
    if _type_name(final) == _FOREST:
        trees = list(final.estimators_)
    else:
        trees = [final] if _type_name(final) == _SINGLE_TREE else []
    for tree in trees:
        if _type_name(tree) != _SINGLE_TREE:
            raise ValueError("a forest holds something other than trees")
        _check_tree(tree.tree_, n_inputs, n_classes)
    if list(final.classes_) != list(range(n_classes)):
        raise ValueError("it knows other classes")
    if hasattr(final, "n_jobs"):
        final.n_jobs = 1 if hasattr(final, "estimators_") else None
    nothing = np.zeros((2, n_features), np.float32)
    if calibrated:
        answer, shape = class_scores(estimator, nothing), (2, 1 if n_classes == 2 else n_classes)
    else:
        answer, shape = estimator.predict_proba(nothing), (2, n_classes)
    if answer.shape != shape or not np.isfinite(answer).all():
        raise ValueError("it gives no probabilities")


def _parts(estimator: Any) -> tuple[list[Any], Any]:
    """What features go through first, and the classifier, if put together as ours are."""
    kind = _type_name(estimator)
    if kind in (_SINGLE_TREE, _FOREST):
        return [], estimator
    if kind == _BOOSTED and estimator.before is None:
        return [], estimator
    if kind == _BOOSTED and _type_name(estimator.before) == _PIPELINE:
        steps, final = [step for _, step in estimator.before.steps], estimator
    elif kind == _PIPELINE:
        *steps, final = [step for _, step in estimator.steps]
    else:
        raise ValueError(_OTHERWISE)
    before, last = [_type_name(step) for step in steps], _type_name(final)
    with_components = before == [_SCALER, _COMPONENTS]
    if last in _SCALED and (before == [_SCALER] or with_components):
        return steps, final
    if last in (_SINGLE_TREE, _FOREST, _BOOSTED) and with_components:
        return steps, final
    raise ValueError(_OTHERWISE)


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _check_tree(tree: Any, n_features: int, n_classes: int) -> None:
    """Raise unless every step through a tree stays in its tables and ends."""
    if tree.n_features != n_features or tree.max_n_classes != n_classes or tree.n_outputs != 1:
        raise ValueError("a tree is for other features or classes")
    n = tree.node_count
    if not 1 <= n <= tree.capacity:
        raise ValueError("a tree has another size than it says")
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    leaf = left == -1
    own = np.arange(n)
    # Children come after their parent in trees as scikit-learn grows them: no loops.
    for child in (left, right):
        if not (leaf | ((child > own) & (child < n))).all():
            raise ValueError("a tree leads outside of its nodes")
    if not (leaf | ((feature >= 0) & (feature < n_features))).all():
        raise ValueError("a tree asks for features that do not exist")


def _unknown_type(name: str, kind: str) -> str:
    return (
        f"{name} holds objects of a type that no model of this program consists of, {kind}; it "
        "is not opened, because such a file could do harm."
    )
