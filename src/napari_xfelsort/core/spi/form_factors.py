"""Form factors of particles: spheres, icosahedra, and both with a core of another density.

Sizes are those of a sphere of the same volume. Amplitudes are 1 at q = 0.

The amplitude of a polyhedron is the sum over its faces of (q . n) times the integral of
exp(i q . r) over the face; that of a triangle is a divided difference of exp(it) at its
corners (Hermite-Genocchi), which stays exact where corners have the same phase.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError

Floats = NDArray[np.float64]

#: Shapes that are known.
SHAPES = ("sphere", "icosahedron")

#: Step of x = q R in the tables of mean form factors, and directions that are averaged.
_STEP, _DIRECTIONS = 0.05, 200

#: Edge of an icosahedron of the volume of a sphere of radius 1.
ICOSAHEDRON_EDGE = (4 * math.pi / 3 * 12 / (5 * (3 + math.sqrt(5)))) ** (1 / 3)


def sphere_amplitude(x: Any) -> Floats:
    """3 (sin x - x cos x) / x^3 of x = q R; 1 at 0."""
    x = np.asarray(x, np.float64)
    safe = np.where(np.abs(x) < 0.02, 1.0, x)
    found = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.asarray(np.where(np.abs(x) < 0.02, 1 - x * x / 10, found))


def icosahedron_amplitude(q: Floats) -> Floats:
    """Amplitude of an icosahedron of the volume of a sphere of radius 1.

    Parameters
    ----------
    q : ndarray, shape (..., 3)
        Momentum transfer times that radius, in the frame of the particle (two-fold axes
        along x, y and z).

    Returns
    -------
    ndarray, shape (...)
        Real, for the shape is its own inverse.
    """
    from napari_xfelsort.core.spi.form_loops import polyhedron_amplitudes

    vertices, faces, normals = icosahedron()
    area = math.sqrt(3) / 4 * ICOSAHEDRON_EDGE**2
    points = np.ascontiguousarray(q, np.float64).reshape(-1, 3)
    found = np.empty(len(points))
    polyhedron_amplitudes(points, vertices, faces, normals, area, 4 * math.pi / 3, found)
    return found.reshape(np.shape(q)[:-1])


@lru_cache(maxsize=1)
def icosahedron() -> tuple[Floats, NDArray[np.int64], Floats]:
    """Vertices, and of every pair of opposite faces one: corners and outward normal."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0.0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    vertices = np.array([np.roll(c, k) for k in range(3) for c in corners])
    vertices *= ICOSAHEDRON_EDGE / 2
    faces, normals = [], []
    near = np.linalg.norm(vertices[:, np.newaxis] - vertices, axis=-1) < 1.01 * ICOSAHEDRON_EDGE
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                if near[i, j] and near[j, k] and near[i, k]:
                    middle = vertices[[i, j, k]].sum(axis=0)
                    if tuple(np.round(middle, 9)) > tuple(np.round(-middle, 9)):
                        faces.append((i, j, k))
                        normals.append(middle / np.linalg.norm(middle))
    return vertices, np.array(faces), np.array(normals)


def amplitude(
    q: Floats, shape: str = "sphere", core: float = 0.0, core_density: float = 1.0
) -> Floats:
    """Amplitude of a particle in one orientation; 1 at q = 0.

    Parameters
    ----------
    q : ndarray, shape (..., 3)
        Momentum transfer times radius, in the frame of the particle.
    shape : str
        Of `SHAPES`.
    core : float
        Radius of a core of the same shape, as a share of the radius.
    core_density : float
        Of its density to that of the shell around it.

    Raises
    ------
    SettingsError
        If the shape is not known, or the particle has no electrons.
    """
    check_particle(shape, core, core_density)

    def of(points: Floats) -> Floats:
        if shape == "icosahedron":
            return icosahedron_amplitude(points)
        return sphere_amplitude(np.sqrt((points * points).sum(axis=-1)))

    if core <= 0 or core_density == 1:
        return of(q)
    part = (core_density - 1) * core**3
    return np.asarray((of(q) + part * of(core * q)) / (1 + part))


def mean_form_factor(
    x: Any, shape: str = "sphere", core: float = 0.0, core_density: float = 1.0
) -> Floats:
    """Square of the amplitude, the mean of all orientations, at x = q R; see `amplitude`.

    Raises
    ------
    SettingsError
        As `amplitude`.
    """
    x = np.asarray(x, np.float64)
    if shape == "sphere":
        check_particle(shape, core, core_density)
        points = np.zeros((*x.shape, 3))
        points[..., 0] = x
        return np.asarray(amplitude(points, shape, core, core_density) ** 2)
    # Tables of whole hundreds, so that a few serve all.
    far = 100.0 * math.ceil(max(1.0, float(x.max(initial=1.0))) / 100)
    places, values = _table(far, shape, float(core), float(core_density))
    return np.asarray(np.interp(x, places, values))


def check_particle(shape: str, core: float, core_density: float) -> None:
    """Refuse a particle that cannot be.

    Raises
    ------
    SettingsError
        If the shape is not known, or the particle has no electrons.
    """
    if shape not in SHAPES:
        raise SettingsError(f"The shape {shape!r} is not known; use {' or '.join(SHAPES)}.")
    if not 0 <= core < 1:
        raise SettingsError(f"The core is {core} of the radius but must be from 0 to below 1.")
    if not 1 + (core_density - 1) * core**3 > 0:
        raise SettingsError("A particle with such a core scatters nothing forward.")


@lru_cache(maxsize=8)
def _table(far: float, shape: str, core: float, core_density: float) -> tuple[Floats, Floats]:
    x = np.arange(0, far + 2 * _STEP, _STEP)
    ways = directions(_DIRECTIONS)
    total = np.zeros(x.shape)
    for way in ways:
        total += amplitude(x[:, np.newaxis] * way, shape, core, core_density) ** 2
    return x, total / len(ways)


def directions(n: int) -> Floats:
    """Unit vectors evenly over a hemisphere (Fibonacci lattice); shape (n, 3)."""
    z = (np.arange(n) + 0.5) / n
    turn = np.pi * (3 - math.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - z * z)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)
