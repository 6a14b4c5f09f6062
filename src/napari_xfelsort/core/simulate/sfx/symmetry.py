"""Point groups by the names that CrystFEL gives them, and representatives of reflections."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError

#: What a symmetry operation makes of (h, k, l), as rows: new h, new k, new l.
_OPERATIONS = {
    "-1": ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "2x": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "2z": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "mx": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "mz": ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "4": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-4": ((0, 1, 0), (-1, 0, 0), (0, 0, -1)),
    "3h": ((0, 1, 0), (-1, -1, 0), (0, 0, 1)),
    "3r": ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    "kh-l": ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    "khl": ((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    "-k-h-l": ((0, -1, 0), (-1, 0, 0), (0, 0, -1)),
    "-k-hl": ((0, -1, 0), (-1, 0, 0), (0, 0, 1)),
}

#: Generators of every point group, its unique axis along c.
POINT_GROUPS: dict[str, tuple[str, ...]] = {
    "1": (),
    "-1": ("-1",),
    "2": ("2z",),
    "m": ("mz",),
    "2/m": ("2z", "-1"),
    "222": ("2z", "2x"),
    "mm2": ("2z", "mx"),
    "mmm": ("2z", "2x", "-1"),
    "4": ("4",),
    "-4": ("-4",),
    "4/m": ("4", "-1"),
    "422": ("4", "2x"),
    "4mm": ("4", "mx"),
    "-42m": ("-4", "2x"),
    "-4m2": ("-4", "mx"),
    "4/mmm": ("4", "2x", "-1"),
    "3_R": ("3r",),
    "-3_R": ("3r", "-1"),
    "32_R": ("3r", "-k-h-l"),
    "3m_R": ("3r", "khl"),
    "-3m_R": ("3r", "khl", "-1"),
    "3_H": ("3h",),
    "-3_H": ("3h", "-1"),
    "321_H": ("3h", "kh-l"),
    "312_H": ("3h", "-k-h-l"),
    "3m1_H": ("3h", "-k-hl"),
    "31m_H": ("3h", "khl"),
    "-3m1_H": ("3h", "kh-l", "-1"),
    "-31m_H": ("3h", "-k-h-l", "-1"),
    "6": ("3h", "2z"),
    "-6": ("3h", "mz"),
    "6/m": ("3h", "2z", "-1"),
    "622": ("3h", "2z", "kh-l"),
    "6mm": ("3h", "2z", "khl"),
    "-62m": ("3h", "mz", "kh-l"),
    "-6m2": ("3h", "mz", "-k-h-l"),
    "6/mmm": ("3h", "2z", "kh-l", "-1"),
    "23": ("2z", "2x", "3r"),
    "m-3": ("2z", "2x", "3r", "-1"),
    "432": ("4", "3r"),
    "-43m": ("-4", "3r"),
    "m-3m": ("4", "3r", "-1"),
}

_UNIQUE = re.compile(r"(.+)_ua([abc])")

#: Largest index that `keys` tells apart.
MAX_INDEX = 2**20 - 1


@lru_cache(maxsize=64)
def operations(name: str, friedel: bool = False) -> NDArray[np.int64]:
    """All operations of a point group; shape (order, 3, 3), (h, k, l) as a column.

    Parameters
    ----------
    name : str
        As CrystFEL writes it, for example ``4/mmm``, ``321_H`` or ``2/m_uab``.
    friedel : bool
        With the inversion, whether the group has it or not.

    Raises
    ------
    SettingsError
        If the name is unknown.
    """
    match = _UNIQUE.fullmatch(name)
    base, axis = (match[1], match[2]) if match else (name, "c")
    if base not in POINT_GROUPS:
        raise SettingsError(
            f"There is no point group {name!r}; the point groups are {', '.join(POINT_GROUPS)}, "
            "with _uaa or _uab added where the unique axis is a or b."
        )
    found = {tuple(np.eye(3, dtype=int).ravel().tolist())}
    generators = [*POINT_GROUPS[base], *(["-1"] if friedel else [])]
    matrices = [np.array(_OPERATIONS[g]) for g in generators]
    while True:
        made = {
            tuple((matrix @ np.reshape(one, (3, 3))).ravel().tolist())
            for one in found
            for matrix in matrices
        }
        if made <= found:
            break
        found |= made
    group = np.array(sorted(found, reverse=True), np.int64).reshape(-1, 3, 3)
    # A unique axis other than c: the axes are renamed in turn before and after.
    turn = np.roll(np.eye(3, dtype=np.int64), {"c": 0, "a": 1, "b": 2}[axis], axis=1)
    group = turn.T @ group @ turn
    group.setflags(write=False)
    return group


def keys(hkl: NDArray[np.int64], name: str, friedel: bool = False) -> NDArray[np.int64]:
    """A number for every reflection, the same for all that symmetry makes equal.

    Parameters
    ----------
    hkl : ndarray of int, shape (n, 3)
        Indices up to `MAX_INDEX`.
    name, friedel
        As for `operations`.
    """
    hkl = np.asarray(hkl, np.int64).reshape(-1, 3)
    best = np.full(len(hkl), np.iinfo(np.int64).min)
    for matrix in operations(name, friedel):
        h, k, l = (hkl @ matrix.T + MAX_INDEX).T  # noqa: E741
        best = np.maximum(best, (h << 42) | (k << 21) | l)
    return best
