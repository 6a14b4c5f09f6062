"""Bragg spots of a randomly turned crystal, by Ewald's construction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.simulate.optics import Optics

#: Half the edge in pixels of the window that a spot is drawn into.
_REACH = 4


def random_cell(random: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """Reciprocal axes (rows, in 1/angstrom) of a random cell, turned at random.

    Edges lie between ``low`` and ``high`` angstrom; half of the cells have right angles.
    """
    edges = np.exp(random.uniform(np.log(low), np.log(high), 3))
    angles = np.full(3, 0.5 * np.pi)
    if random.random() < 0.5:
        angles[1] = np.radians(random.uniform(90.0, 115.0))
    cos_a, cos_b, cos_c = np.cos(angles)
    sin_c = np.sin(angles[2])
    cx = (cos_a - cos_b * cos_c) / sin_c
    cell = np.array(
        [[1.0, 0.0, 0.0], [cos_c, sin_c, 0.0], [cos_b, cx, np.sqrt(1 - cos_b**2 - cx**2)]]
    )
    reciprocal = np.linalg.inv(cell * edges[:, None]).T
    return np.asarray(reciprocal @ random_rotation(random).T)


def random_rotation(random: np.random.Generator) -> NDArray[np.float64]:
    """A rotation drawn evenly (by a normalised quaternion of normal numbers)."""
    four = random.standard_normal(4)
    w, x, y, z = four / np.linalg.norm(four)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def ewald_points(
    axes: NDArray[np.float64], wavelength: float, q_max: float, width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reciprocal points near Ewald's sphere.

    For every h and k the line of points along l is cut with the sphere; only the points
    beside the cuts are looked at, so that large cells cost little.

    Parameters
    ----------
    axes : ndarray, shape (3, 3)
        Reciprocal axes as rows, 1/angstrom, beam along z.
    wavelength : float
        In angstrom.
    q_max : float
        Longest vector, 1/angstrom.
    width : float
        Standard deviation of a point along the sphere's radius, 1/angstrom.

    Returns
    -------
    vectors : ndarray, shape (n, 3)
    partial : ndarray, shape (n,)
        How much of each is in reflecting position, 0 to 1.
    """
    a, b, c = axes
    beam = np.array([0.0, 0.0, 1.0 / wavelength])
    # Most indices that a vector of this length can have: its length times the cell's edge.
    edges = np.linalg.norm(np.linalg.inv(axes), axis=0)
    h_max, k_max = (np.ceil(q_max * edges[:2])).astype(int)
    h, k = np.meshgrid(np.arange(-h_max, h_max + 1), np.arange(-k_max, k_max + 1))
    flat = h.ravel()[:, None] * a + k.ravel()[:, None] * b
    square = float(c @ c)
    half = flat @ c + beam @ c
    rest = (flat * flat).sum(1) + 2.0 * flat @ beam
    root = half**2 - square * rest
    crossed = root >= 0.0
    flat, half, root = flat[crossed], half[crossed], np.sqrt(root[crossed])
    first = np.floor((-half - root) / square)
    second = np.floor((-half + root) / square)
    # Where both cuts are beside one point, that point is taken once.
    levels = [first, first + 1.0]
    keep = [np.ones(len(first), np.bool_)] * 2
    for level in (second, second + 1.0):
        levels.append(level)
        keep.append((level != first) & (level != first + 1.0))
    vectors = np.concatenate([flat[k] + n[k, None] * c for n, k in zip(levels, keep, strict=True)])
    length = np.linalg.norm(vectors, axis=1)
    vectors = vectors[(length <= q_max) & (length > 1e-6)]
    error = np.linalg.norm(vectors + beam, axis=1) - 1.0 / wavelength
    partial = np.exp(-0.5 * (error / width) ** 2)
    seen = partial > 0.01
    return vectors[seen], partial[seen]


def bragg_spots(
    optics: Optics,
    random: np.random.Generator,
    q_max: float,
    *,
    edges: tuple[float, float] = (30.0, 180.0),
    b_factor: float = 20.0,
    most: int = 4000,
) -> NDArray[np.float64]:
    """Spots of a randomly turned crystal.

    Parameters
    ----------
    optics : Optics
        Beam and plane.
    q_max : float
        Resolution limit of the crystal, 1/angstrom.
    edges : tuple of float
        Range of the cell's edges, angstrom.
    b_factor : float
        Fall of the intensities: exp(-b_factor q^2 / 2).
    most : int
        The strongest spots up to this number are kept.

    Returns
    -------
    ndarray, shape (spots, 3)
        Row, column and relative intensity (1 for a typical spot near the beam).
    """
    axes = random_cell(random, *edges)
    width = 10.0 ** random.uniform(-3.4, -2.8)
    vectors, partial = ewald_points(axes, optics.wavelength, q_max, width)
    # Wilson statistics of acentric structures: intensities are exponential.
    strength = partial * random.exponential(1.0, len(vectors))
    strength *= np.exp(-0.5 * b_factor * (vectors * vectors).sum(1))
    beam = np.array([0.0, 0.0, 1.0 / optics.wavelength])
    places = optics.hits(vectors + beam)
    spots = np.column_stack([places, strength])[np.isfinite(places).all(1)]
    return np.asarray(spots[np.argsort(-spots[:, 2], kind="stable")[:most]])


def on_plane(spots: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which spots (row, column first) lie on the plane."""
    rows, columns = spots[:, 0], spots[:, 1]
    inside = (rows > -0.5) & (rows < shape[0] - 0.5) & (columns > -0.5)
    return np.asarray(inside & (columns < shape[1] - 0.5))


def draw_spots(
    image: NDArray[np.float32],
    spots: NDArray[np.float64],
    sigma: float,
) -> None:
    """Add round spots to a picture in place.

    Parameters
    ----------
    image : ndarray of float32
        Changed in place.
    spots : ndarray, shape (spots, 3)
        Row, column and value at the crest.
    sigma : float
        Standard deviation in pixels, below 2.
    """
    if not len(spots):
        return
    offsets = np.arange(-_REACH, _REACH + 1)
    rows = np.rint(spots[:, 0]).astype(np.int64)[:, None] + offsets
    columns = np.rint(spots[:, 1]).astype(np.int64)[:, None] + offsets
    down = np.exp(-0.5 * ((rows - spots[:, :1]) / sigma) ** 2)
    across = np.exp(-0.5 * ((columns - spots[:, 1:2]) / sigma) ** 2)
    values = spots[:, 2, None, None] * down[:, :, None] * across[:, None, :]
    row = np.broadcast_to(rows[:, :, None], values.shape)
    column = np.broadcast_to(columns[:, None, :], values.shape)
    inside = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
    np.add.at(image, (row[inside], column[inside]), values[inside].astype(np.float32))
