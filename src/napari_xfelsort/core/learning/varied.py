"""Events to fit with, and copies of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Features, shape (events, features), and classes.
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def with_copies(
    matrix: NDArray[np.float32],
    classes: NDArray[np.int64],
    copies: NDArray[np.float32] | None,
) -> Rows:
    """Events and, after them, their copies; those without features are left out.

    Parameters
    ----------
    matrix : ndarray of float32, shape (events, features)
    classes : ndarray of int, shape (events,)
    copies : ndarray of float32, shape (events, copies, features), or None
        NaN where there is no copy.
    """
    if copies is None or not copies.shape[1]:
        return matrix, classes
    flat = copies.reshape(-1, matrix.shape[1])
    known = np.isfinite(flat).all(axis=1)
    owner = np.repeat(classes, copies.shape[1])
    return np.concatenate([matrix, flat[known]]), np.concatenate([classes, owner[known]])
