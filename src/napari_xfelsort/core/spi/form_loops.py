"""Amplitudes of polyhedra; compiled when imported: import it where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]


@exact
def _second_difference(a: float, b: float, c: float):  # type: ignore[no-untyped-def]
    """Imaginary part of the divided difference of exp(it) at three places."""
    # In order, so that what is divided by is the largest difference.
    if a > b:
        a, b = b, a
    if b > c:
        b, c = c, b
    if a > b:
        a, b = b, a
    if c - a < 1e-3:
        return -0.5 * np.sin((a + b + c) / 3)
    h, k = (b - a) / 2, (c - b) / 2
    first = 1.0 - h * h / 6 if h < 1e-4 else np.sin(h) / h
    second = 1.0 - k * k / 6 if k < 1e-4 else np.sin(k) / k
    return (second * np.cos((b + c) / 2) - first * np.cos((a + b) / 2)) / (c - a)


@exact
def polyhedron_amplitudes(
    q: Floats,
    vertices: Floats,
    faces: NDArray[np.int64],
    normals: Floats,
    area: float,
    volume: float,
    out: Floats,
) -> None:
    """Amplitudes of a polyhedron of equal triangles that is its own inverse; 1 at 0.

    ``faces`` and ``normals`` are those of one face of each opposite pair.
    """
    phase = np.empty(len(vertices))
    for i in range(len(q)):
        x, y, z = q[i, 0], q[i, 1], q[i, 2]
        square = x * x + y * y + z * z
        if square < 1e-4:
            out[i] = 1.0 - square / 10  # of a sphere: it differs in the fourth power only
            continue
        for v in range(len(vertices)):
            phase[v] = x * vertices[v, 0] + y * vertices[v, 1] + z * vertices[v, 2]
        total = 0.0
        for f in range(len(faces)):
            along = x * normals[f, 0] + y * normals[f, 1] + z * normals[f, 2]
            total += along * _second_difference(
                phase[faces[f, 0]], phase[faces[f, 1]], phase[faces[f, 2]]
            )
        out[i] = -4 * area * total / (square * volume)
