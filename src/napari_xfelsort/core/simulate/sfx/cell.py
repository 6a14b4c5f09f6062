"""Unit cells, and the reciprocal points that are near Ewald's sphere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError

#: Lattice centrings by their letter; H is the hexagonal setting of R (obverse).
CENTERINGS = ("P", "A", "B", "C", "I", "F", "R", "H")

#: Most lines of reciprocal points, and most points, that are looked at.
_MOST_LINES, _MOST = 1_000_000, 5_000_000

_TOO_MANY = (
    "The crystal has too many reflections for a simulation; take a smaller cell, a lower "
    "resolution or less mosaicity."
)


def direct_axes(cell: Sequence[float]) -> NDArray[np.float64]:
    """Axes a, b, c as rows in angstrom: a along x, b in the plane of x and y.

    Parameters
    ----------
    cell : sequence of 6 float
        a, b, c in angstrom and alpha, beta, gamma in degrees.

    Raises
    ------
    SettingsError
        If there is no such cell.
    """
    told = " ".join(f"{value:g}" for value in cell)
    if len(cell) != 6:
        raise SettingsError(
            f"A cell has six numbers, a b c (angstrom) alpha beta gamma (degrees), not {told}."
        )
    a, b, c = cell[:3]
    cos_a, cos_b, cos_c = np.cos(np.radians(cell[3:]))
    sin_c = np.sqrt(max(1.0 - cos_c**2, 0.0))
    square = 1.0 - cos_a**2 - cos_b**2 - cos_c**2 + 2.0 * cos_a * cos_b * cos_c
    if min(a, b, c) < 2.0 or max(a, b, c) > 2000.0 or not square > 1e-6:
        raise SettingsError(
            f"There is no cell {told}: edges are 2 to 2000 angstrom, and the three angles must "
            "leave a volume."
        )
    return np.array(
        [
            [a, 0.0, 0.0],
            [b * cos_c, b * sin_c, 0.0],
            [c * cos_b, c * (cos_a - cos_b * cos_c) / sin_c, c * np.sqrt(square) / sin_c],
        ]
    )


def reciprocal_axes(cell: Sequence[float]) -> NDArray[np.float64]:
    """Axes a*, b*, c* as rows in 1/angstrom, for the orientation of `direct_axes`."""
    return np.asarray(np.linalg.inv(direct_axes(cell)).T)


def present(hkl: NDArray[np.int64], centering: str) -> NDArray[np.bool_]:
    """Which reflections the lattice's centring leaves."""
    h, k, l = np.asarray(hkl).T  # noqa: E741
    everything = np.ones(len(hkl), np.bool_)
    rules = {
        "A": lambda: (k + l) % 2 == 0,
        "B": lambda: (h + l) % 2 == 0,
        "C": lambda: (h + k) % 2 == 0,
        "I": lambda: (h + k + l) % 2 == 0,
        "F": lambda: ((h + k) % 2 == 0) & ((h + l) % 2 == 0),
        "H": lambda: (-h + k + l) % 3 == 0,
    }
    return np.asarray(rules[centering]()) if centering in rules else everything


def shell_points(
    axes: NDArray[np.float64], wavenumber: float, q_max: float, width: float
) -> NDArray[np.int64]:
    """Indices of all reciprocal points within ``width`` of Ewald's sphere.

    For every h and k the line of points along l is cut with the spheres that bound the
    shell; only the points between are looked at, so that large cells cost little.

    Parameters
    ----------
    axes : ndarray, shape (3, 3)
        Reciprocal axes as rows, 1/angstrom; the beam is along z.
    wavenumber : float
        1/wavelength in 1/angstrom.
    q_max : float
        Longest vector, 1/angstrom.
    width : float
        Half the thickness of the shell, 1/angstrom.

    Returns
    -------
    ndarray of int64, shape (n, 3)
        h, k, l without 0 0 0.

    Raises
    ------
    SettingsError
        If there are too many to be worked with.
    """
    a, b, c = axes
    edges = np.linalg.norm(np.linalg.inv(axes), axis=0)
    h_max, k_max = np.ceil(q_max * edges[:2]).astype(np.int64)
    if (2 * h_max + 1) * (2 * k_max + 1) > _MOST_LINES:
        raise SettingsError(_TOO_MANY)
    hs, ks = np.arange(-h_max, h_max + 1), np.arange(-k_max, k_max + 1)
    h, k = np.tile(hs, len(ks)), np.repeat(ks, len(hs))
    flat = h[:, None] * a + k[:, None] * b
    # Points of the line flat + l c whose distance to -k0 is one of the two radii.
    beam = np.array([0.0, 0.0, wavenumber])
    square = float(c @ c)
    middle = -(flat + beam) @ c / square
    nearest2 = ((flat + beam + middle[:, None] * c) ** 2).sum(axis=1)
    outer = np.sqrt(np.maximum((wavenumber + width) ** 2 - nearest2, 0.0) / square)
    inner2 = max(wavenumber - width, 0.0) ** 2 - nearest2
    inner = np.sqrt(np.maximum(inner2, 0.0) / square)
    # And only those no longer than q_max.
    foot = -(flat @ c) / square
    reach2 = q_max**2 - ((flat + foot[:, None] * c) ** 2).sum(axis=1)
    used = ((wavenumber + width) ** 2 > nearest2) & (reach2 > 0.0)
    h, k, middle, outer, inner, foot = (v[used] for v in (h, k, middle, outer, inner, foot))
    reach = np.sqrt(reach2[used] / square)
    parts = []
    for low, high in ((middle - outer, middle - inner), (middle + inner, middle + outer)):
        first = np.ceil(np.maximum(low, foot - reach)).astype(np.int64)
        last = np.floor(np.minimum(high, foot + reach)).astype(np.int64)
        number = np.maximum(last - first + 1, 0)
        if number.sum() > _MOST:
            raise SettingsError(_TOO_MANY)
        line = np.repeat(np.arange(len(number)), number)
        start = np.cumsum(number) - number
        l = first[line] + np.arange(len(line)) - start[line]  # noqa: E741
        parts.append(np.column_stack([h[line], k[line], l]))
    points = np.concatenate(parts)
    if len(points) and not inner.all():
        points = np.unique(points, axis=0)
    return np.asarray(points[(points != 0).any(axis=1)], np.int64)
