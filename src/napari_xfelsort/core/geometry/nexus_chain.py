"""NeXus transformations: numbers with units, and chains of ``depends_on``."""

from __future__ import annotations

import math
import posixpath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import GeometryError

LENGTHS = {
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "millimetre": 1e-3,
    "millimeter": 1e-3,
    "um": 1e-6,
    "µm": 1e-6,
    "micron": 1e-6,
    "micrometre": 1e-6,
    "micrometer": 1e-6,
    "nm": 1e-9,
    "nanometre": 1e-9,
    "nanometer": 1e-9,
    "a": 1e-10,
    "angstrom": 1e-10,
    "ångström": 1e-10,
}
ANGLES = {
    "deg": math.pi / 180,
    "degree": math.pi / 180,
    "rad": 1.0,
    "radian": 1.0,
}
_MAX_CHAIN = 64

Matrix = NDArray[np.float64]


def member(group: Any, name: str) -> Any:
    """An object of a file or group, None if absent or a link leads nowhere."""
    if not isinstance(group, h5py.Group):
        return None
    try:
        return group.get(name)
    except (KeyError, RuntimeError, OSError, ValueError):
        return None


def text_attribute(item: Any, name: str, default: str = "") -> str:
    """An attribute as text; arrays give their first element."""
    try:
        value = item.attrs.get(name)
    except (OSError, TypeError):
        return default
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return default if value is None else str(value)


def number(dataset: Any) -> float | None:
    """First element of a numeric dataset, None when there is none."""
    if not isinstance(dataset, h5py.Dataset) or 0 in dataset.shape:
        return None
    try:
        return float(dataset[(0,) * dataset.ndim])
    except (TypeError, ValueError, OSError):
        return None


def quantity(dataset: Any, units: dict[str, float], default: str) -> float | None:
    """First element of a dataset in SI units, None when there is none.

    Raises
    ------
    GeometryError
        If its units are not known.
    """
    value = number(dataset)
    if value is None:
        return None
    return value * unit_scale(text_attribute(dataset, "units", default), units, dataset.name)


def unit_scale(name: str, units: dict[str, float], where: str) -> float:
    """Factor to SI units.

    Raises
    ------
    GeometryError
        If the unit is not known.
    """
    key = name.strip().lower()
    for candidate in (key, key.removesuffix("s")):
        if candidate in units:
            return units[candidate]
    raise GeometryError(f"{where} has the units {name!r}, which are not known here.")


def direction(dataset: Any) -> NDArray[np.float64]:
    """The unit vector of a transformation.

    Raises
    ------
    GeometryError
        If it has none.
    """
    vector = _three(dataset, "vector")
    length = 0.0 if vector is None else float(np.linalg.norm(vector))
    if vector is None or not 0 < length < math.inf:
        raise GeometryError(f"{dataset.name} has no 'vector' that says where it points.")
    return vector / length


def offset_of(dataset: Any) -> NDArray[np.float64]:
    """The ``offset`` of a transformation in m; zero when it has none."""
    offset = _three(dataset, "offset")
    if offset is None or not offset.any():
        return np.zeros(3)
    units = text_attribute(dataset, "offset_units")
    own = text_attribute(dataset, "units")
    if not units:
        units = own if _is_length(own) else "m"
    return offset * unit_scale(units, LENGTHS, f"the offset of {dataset.name}")


def _is_length(unit: str) -> bool:
    return unit.strip().lower().removesuffix("s") in LENGTHS or unit.strip().lower() in LENGTHS


def _three(dataset: Any, name: str) -> NDArray[np.float64] | None:
    try:
        values = np.asarray(dataset.attrs.get(name, ()), np.float64).ravel()
    except (TypeError, ValueError, OSError):
        return None
    return values if values.shape == (3,) and np.isfinite(values).all() else None


def transformation(dataset: Any) -> Matrix:
    """Matrix (4, 4) of one transformation at its first value.

    As NXtransformations says: a rotation or translation along its vector, then its offset.

    Raises
    ------
    GeometryError
        If vector or units are missing or unknown.
    """
    matrix = np.eye(4)
    matrix[:3, 3] = offset_of(dataset)
    if text_attribute(dataset, "transformation_type") == "rotation":
        matrix[:3, :3] = _rotation(direction(dataset), quantity(dataset, ANGLES, "deg") or 0.0)
        return matrix
    step = quantity(dataset, LENGTHS, "m") or 0.0
    if step:
        matrix[:3, 3] += step * direction(dataset)
    return matrix


def _rotation(axis: NDArray[np.float64], angle: float) -> Matrix:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(
        np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    )


def next_in_chain(item: Any, path: str) -> Any:
    """The transformation that ``depends_on`` names, None at the end of the chain.

    Raises
    ------
    GeometryError
        If there is no such transformation.
    """
    if path in ("", "."):
        return None
    parent = item.name if isinstance(item, h5py.Group) else posixpath.dirname(item.name)
    found = member(item.file, posixpath.normpath(posixpath.join(parent, path)))
    if not isinstance(found, h5py.Dataset):
        raise GeometryError(f"{item.name} depends on {path}, which is not in the file.")
    return found


def chain(item: Any, path: str) -> list[Any]:
    """The transformations that an item depends on, nearest first.

    Raises
    ------
    GeometryError
        If one is missing, or the chain has no end.
    """
    found: list[Any] = []
    node = next_in_chain(item, path)
    while node is not None:
        found.append(node)
        if len(found) > _MAX_CHAIN:
            raise GeometryError(f"The 'depends_on' of {item.name} go round in circles.")
        node = next_in_chain(node, text_attribute(node, "depends_on", "."))
    return found


def combined(transformations: list[Any]) -> Matrix:
    """One matrix for a chain, from the item to the laboratory."""
    matrix = np.eye(4)
    for dataset in transformations:
        matrix = transformation(dataset) @ matrix
    return matrix
