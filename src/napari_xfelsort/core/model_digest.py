"""A key of a fitted classifier that does not depend on where it was made or loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.deep.spi_model import SpiNetworks
from napari_xfelsort.core.learning.boosting import BoostedTrees

if TYPE_CHECKING:
    from hashlib import _Hash


def add_state(digest: _Hash, value: Any) -> None:
    """Add a value to a digest: plain values, containers, arrays, fitted estimators.

    Raises
    ------
    TypeError
        If the value holds something of another kind.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        digest.update(f"{type(value).__name__}:{value!r};".encode())
    elif isinstance(value, np.generic):
        add_state(digest, value.item())
    elif isinstance(value, np.ndarray):
        _add_array(digest, value)
    elif isinstance(value, dict):
        digest.update(f"dict:{len(value)};".encode())
        for key in sorted(value, key=str):
            add_state(digest, str(key))
            add_state(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list:{len(value)};".encode())
        for item in value:
            add_state(digest, item)
    elif type(value).__module__.startswith("sklearn."):
        digest.update(f"{type(value).__qualname__};".encode())
        state = dict(value.__getstate__())
        state.pop("_sklearn_version", None)
        add_state(digest, state)
    elif isinstance(value, (BoostedTrees, SpiNetworks)):
        digest.update(f"{type(value).__name__};".encode())
        add_state(digest, value.__dict__)
    else:
        raise TypeError(f"a {type(value).__name__} has no digest")


def _add_array(digest: _Hash, array: np.ndarray[Any, Any]) -> None:
    if array.dtype.names:  # fields apart: the bytes between them are arbitrary
        for name in array.dtype.names:
            digest.update(name.encode())
            _add_array(digest, array[name])
        return
    digest.update(f"{array.dtype.str}{array.shape};".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
