"""Gradient boosted trees as plain arrays: safe to store, and the same on any machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Rows times trees that are walked through at once.
_AT_ONCE = 2_000_000
#: Features times bins of a histogram; a tree holds one for each leaf, and time goes with them.
_HISTOGRAM, _LEAST_BINS, _MOST_BINS = 500_000, 15, 255


class BoostedTrees:
    """Histogram gradient boosting (scikit-learn's) whose trees are kept as arrays.

    It is fitted by `sklearn.ensemble.HistGradientBoostingClassifier` without early
    stopping, which would set events aside without regard to their files. Of more than 2000
    features the histograms are coarser, down to 15 bins, as its time goes with them. Its
    trees are then read into arrays, so that a model file holds numbers only, and a
    prediction takes one thread and is the same whatever the machine.

    Parameters
    ----------
    before : sklearn.pipeline.Pipeline, optional
        Transformers that the features go through first.
    **options
        Of `HistGradientBoostingClassifier`.

    Attributes
    ----------
    classes_ : ndarray of int64, shape (classes,)
    baseline : ndarray of float64, shape (outputs,)
        Where the sums begin; one output for two classes, else one a class.
    roots : ndarray of int64, shape (rounds, outputs)
        First node of each tree.
    feature, left, right : ndarray of int64, shape (nodes,)
        What a node asks, and where it leads; a leaf leads to itself.
    threshold, value, gain : ndarray of float64, shape (nodes,)
        Values up to the threshold go left; a leaf adds its value.
    missing_left : ndarray of bool, shape (nodes,)
        Whether NaN goes left.
    """

    def __init__(self, before: Any = None, **options: Any) -> None:
        self.before = before
        self.options = options

    def set_params(self, **options: Any) -> BoostedTrees:
        """Change options before fitting."""
        self.options = {**self.options, **options}
        return self

    def fit(self, matrix: NDArray[np.float32], classes: NDArray[np.int64]) -> BoostedTrees:
        """Fit to features, shape (events, features), and class numbers."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        inputs = matrix if self.before is None else self.before.fit_transform(matrix)
        bins = min(_MOST_BINS, max(_LEAST_BINS, _HISTOGRAM // inputs.shape[1]))
        options = {"max_bins": bins, **self.options}
        fitted = HistGradientBoostingClassifier(early_stopping=False, **options)
        fitted.fit(inputs, classes)
        self.n_features_in_ = int(matrix.shape[1])
        self.classes_ = np.asarray(fitted.classes_, np.int64)
        self.baseline = np.array(fitted._baseline_prediction, np.float64).ravel()
        self._read_trees(fitted._predictors)
        return self

    def _read_trees(self, rounds: Any) -> None:
        tables = [tree.nodes for trees in rounds for tree in trees]
        starts = np.cumsum([0, *map(len, tables)])
        self.roots = starts[:-1].reshape(len(rounds), -1).astype(np.int64)
        nodes = np.concatenate(tables)
        first = np.repeat(starts[:-1], [len(table) for table in tables])
        own, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
        self.feature = np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64)
        self.left = np.where(leaf, own, first + nodes["left"]).astype(np.int64)
        self.right = np.where(leaf, own, first + nodes["right"]).astype(np.int64)
        self.threshold = np.where(leaf, 0.0, nodes["num_threshold"])
        self.value = np.where(leaf, nodes["value"], 0.0)
        self.gain = np.where(leaf, 0.0, nodes["gain"])
        self.missing_left = nodes["missing_go_to_left"].astype(bool)

    def decision_function(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sums over the trees; shape (events,) for two classes, else (events, classes)."""
        inputs = matrix if self.before is None else self.before.transform(matrix)
        step = max(1, _AT_ONCE // max(1, self.roots.size))
        parts = [self._sums(inputs[k : k + step]) for k in range(0, len(inputs), step)]
        sums = np.concatenate(parts) if parts else np.empty((0, len(self.baseline)))
        return sums[:, 0] if sums.shape[1] == 1 else sums

    def _sums(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        rows = np.arange(len(inputs))[:, np.newaxis]
        node = np.repeat(self.roots.reshape(1, -1), len(inputs), axis=0)
        while True:
            values = inputs[rows, self.feature[node]]
            to_left = (values <= self.threshold[node]) | (
                np.isnan(values) & self.missing_left[node]
            )
            following = np.where(to_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                break
            node = following
        added = self.value[node].reshape(len(inputs), *self.roots.shape)
        sums = np.tile(self.baseline, (len(inputs), 1))
        for k in range(len(self.roots)):  # in the order of the rounds
            sums += added[:, k]
        return sums

    def predict_proba(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each class, shape (events, classes)."""
        from scipy.special import expit, softmax

        sums = self.decision_function(matrix)
        if sums.ndim == 2:
            return np.asarray(softmax(sums, axis=1), np.float64)
        positive = expit(sums)
        return np.stack([1 - positive, positive], axis=1)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.int64]:
        """The most likely class."""
        chosen: NDArray[np.int64] = self.classes_[self.predict_proba(matrix).argmax(axis=1)]
        return chosen


def check_boosted(trees: BoostedTrees, n_inputs: int, n_classes: int) -> None:
    """Raise ValueError unless every step through the trees stays in them and ends."""
    columns = [getattr(trees, name, None) for name in _COLUMNS]
    n = len(trees.feature)
    for column, kind in zip(columns, _COLUMNS.values(), strict=True):
        if not isinstance(column, np.ndarray) or column.shape != (n,) or column.dtype != kind:
            raise ValueError("a column of the trees is damaged")
    outputs = 1 if n_classes == 2 else n_classes
    roots, baseline = trees.roots, trees.baseline
    if roots.dtype != np.int64 or roots.ndim != 2 or roots.shape[1] != outputs or n == 0:
        raise ValueError("the trees are for other classes")
    if baseline.shape != (outputs,) or baseline.dtype != np.float64:
        raise ValueError("the trees are for other classes")
    if ((roots < 0) | (roots >= n)).any():
        raise ValueError("a tree leads outside of its nodes")
    own = np.arange(n)
    leaf = (trees.left == own) & (trees.right == own)
    # Children come after their parent in trees as scikit-learn grows them: no loops.
    for child in (trees.left, trees.right):
        if not (leaf | ((child > own) & (child < n))).all():
            raise ValueError("a tree leads outside of its nodes")
    if ((trees.feature < 0) | (trees.feature >= n_inputs)).any():
        raise ValueError("a tree asks for features that do not exist")


#: The tables of nodes, and what they hold.
_COLUMNS = {
    "feature": np.int64,
    "left": np.int64,
    "right": np.int64,
    "threshold": np.float64,
    "value": np.float64,
    "gain": np.float64,
    "missing_left": np.bool_,
}
