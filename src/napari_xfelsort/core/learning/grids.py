"""What a search tries: small grids of our own, and those of two papers.

``padt`` are the grids of PADT (Ketawala et al.), ``reflex`` those of RefleX (Nowak et
al.), without combinations that cannot be fitted or that make the same model under
another name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from napari_xfelsort.core.errors import SettingsError

Grid = Mapping[str, Sequence[Any]]

_DEPTHS = (None, 10, 20, 30)
_SPLITS, _LEAVES = (2, 5, 10), (1, 2, 4)
_GRIDS: dict[str, dict[str, Grid]] = {
    "small": {
        "logistic_regression": {"C": (1e-3, 1e-2, 0.1, 1.0, 10.0)},
        "k_nearest_neighbours": {"n_neighbors": (1, 3, 5, 9, 15)},
        "decision_tree": {"max_depth": (3, 5, 10, None), "min_samples_leaf": (1, 5)},
        "random_forest": {"max_features": ("sqrt", 0.1), "min_samples_leaf": (1, 3)},
        "linear_svm": {"C": (1e-4, 1e-3, 1e-2, 0.1, 1.0)},
        "naive_bayes": {"var_smoothing": (1e-9, 1e-5, 1e-3, 0.1)},
        "gradient_boosting": {"learning_rate": (0.05, 0.1), "max_leaf_nodes": (8, 31)},
        "spi": {"learning_rate": (0.05, 0.1), "max_leaf_nodes": (4, 8)},
    },
    "padt": {
        "logistic_regression": {
            "C": (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0),
            "penalty": ("l2", "l1"),
        },
        "k_nearest_neighbours": {
            "n_neighbors": (1, 3, 5, 10),
            "metric": ("euclidean", "manhattan"),
            "weights": ("uniform", "distance"),
        },
        "random_forest": {
            "n_estimators": (100, 200, 300),
            "max_depth": _DEPTHS,
            "min_samples_split": _SPLITS,
            "min_samples_leaf": _LEAVES,
            "bootstrap": (True, False),
        },
    },
    "reflex": {
        "k_nearest_neighbours": {"n_neighbors": (5, 7, 10, 15, 20, 30, 50)},
        "random_forest": {"n_estimators": (10, 20, 50, 100, 200)},
        "linear_svm": {"C": (1.0, 5.0, 10.0)},
        "naive_bayes": {"var_smoothing": (1e-5, 1e-7, 1e-9, 1e-10)},
    },
}
SEARCHES = ("none", *_GRIDS)


def candidates(search: str, model: str) -> list[dict[str, Any]]:
    """The parameters that a search tries, simplest first.

    Raises
    ------
    SettingsError
        If the paper has no grid for the algorithm.
    """
    grid = _GRIDS[search].get(model)
    if grid is None:
        raise SettingsError(
            f"The search {search} has no grid for {model.replace('_', ' ')}; it has them for "
            f"{', '.join(_GRIDS[search])}. Choose the search small."
        )
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def has_grid(search: str, model: str) -> bool:
    """Whether a search has a grid for an algorithm."""
    return search != "none" and model in _GRIDS[search]
