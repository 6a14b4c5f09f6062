"""Trees that are handed only the features they ask for: of an image that is a small part."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.learning.boosting import BoostedTrees


class Narrowed(NamedTuple):
    """A classifier of some of the features of another, that decides just as it does.

    Attributes
    ----------
    columns : ndarray of int64, shape (used,)
        Numbers of the features that it is handed, ascending; at least one.
    estimator : object
        Has ``predict_proba`` and, if the other does, ``decision_function``, of a matrix of
        float32, shape (events, used).
    """

    columns: NDArray[np.int64]
    estimator: Any


def narrowed(estimator: Any) -> Narrowed | None:
    """The same decisions from fewer features; None for what is not made of trees alone.

    Probabilities are the same to the last bit: they are found by the same code, and added
    up in the same order.

    Parameters
    ----------
    estimator : object
        A fitted decision tree or random forest of scikit-learn, or `BoostedTrees`.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if isinstance(estimator, BoostedTrees):
        return _narrowed_boosted(estimator)
    if isinstance(estimator, RandomForestClassifier):
        trees = [each.tree_ for each in estimator.estimators_]
    elif isinstance(estimator, DecisionTreeClassifier):
        trees = [estimator.tree_]
    else:
        return None
    asked = [tree.feature[tree.children_left != tree.children_right] for tree in trees]
    columns = np.unique(np.concatenate(asked)).astype(np.int64)
    if not len(columns):
        return None
    return Narrowed(columns, _Trees([_renumbered(tree, columns) for tree in trees]))


class _Trees:
    """The mean of trees of scikit-learn, added up as its forests do with one thread."""

    def __init__(self, trees: Sequence[Any]) -> None:
        self._trees = trees

    def predict_proba(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = np.zeros((len(matrix), int(self._trees[0].n_classes[0])))
        rows = np.ascontiguousarray(matrix, np.float32)
        for tree in self._trees:
            sums += tree.predict(rows)
        sums /= len(self._trees)
        return sums


def _renumbered(tree: Any, columns: NDArray[np.int64]) -> Any:
    """A tree of scikit-learn for a matrix of these columns only, by way of its pickled form."""
    kind, (_, *outputs), state = tree.__reduce__()
    nodes = state["nodes"].copy()
    asks = nodes["left_child"] != nodes["right_child"]
    nodes["feature"][asks] = np.searchsorted(columns, nodes["feature"][asks])
    made = kind(len(columns), *outputs)
    made.__setstate__({**state, "nodes": nodes})
    return made


def _narrowed_boosted(trees: BoostedTrees) -> Narrowed | None:
    asks = trees.left != trees.right
    columns = np.unique(trees.feature[asks])
    if trees.before is not None or not len(columns):
        return None
    made = copy.copy(trees)
    made.feature = np.where(asks, np.searchsorted(columns, trees.feature), 0)
    return Narrowed(columns, made)
