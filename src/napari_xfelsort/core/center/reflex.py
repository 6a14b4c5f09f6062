"""The beam centre as RefleX finds it (Czyzewski et al., IUCrJ, 2021).

An image of counts is clipped at its 95th percentile, scaled to 0 to 255 and inverted, so
that the shadow of the beam stop is bright. The centre is looked for on the line through two
centres of mass: that of the image and that of its logarithm. Its points (Bresenham's line,
k = 4 times as long as the two are apart, about the first) are judged by fitness: the
highest mean along one of 256 rays to the edge, which an arm of a beam stop makes high,
times the mean within 1 pixel of the point less the mean of the image.

Known limits, of the method and not of this program: it needs the shadow of a beam stop, best
one with an arm to the edge; it can answer only with whole pixels on one line within the
frame; it has no confidence and no mask, so that gaps of a detector, which are as bright
as a stop here, and one-sided shadows mislead it. On frames of the kind that it was made for it
is off by some 7 px of 512 by its authors' account.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Length of the line in distances of the two centres of mass, rays, and radius in pixels.
LINE, RAYS, NEAR = 4, 256, 1
#: Longer side of the images that the method was made for.
SIDE = 512


def reflex_center(image: NDArray[np.float32], good: NDArray[np.bool_]) -> Floats | None:
    """Row and column in pixels of the frame; None for a frame without contrast.

    Parameters
    ----------
    image, good : ndarray, shape (y, x)
        Frames larger than 512 are averaged to that size first. Bad pixels count as the
        median of the good ones: the method has no mask.
    """
    step = max(1, -(-max(image.shape) // SIDE))
    counts = _averaged(image, good, step)
    if counts is None:
        return None
    picture = inverted_picture(counts)
    if picture is None:
        return None
    points = candidate_points(picture)
    best = max(points, key=lambda point: fitness(picture, point))
    return np.asarray((np.array(best) + 0.5) * step - 0.5)


def _averaged(image: NDArray[np.float32], good: NDArray[np.bool_], step: int) -> Floats | None:
    """Means of squares of pixels, what is left over at the edges cut off."""
    if not good.any():
        return None
    filled = np.where(good, image, np.median(image[good])).astype(np.float64)
    rows, columns = (n // step for n in filled.shape)
    if not rows or not columns:
        return None
    cut = filled[: rows * step, : columns * step]
    return np.asarray(cut.reshape(rows, step, columns, step).mean(axis=(1, 3)))


def inverted_picture(counts: Floats) -> Floats | None:
    """0 (95th percentile and above) to 255 (least); None if all is the same."""
    low, high = float(counts.min()), float(np.percentile(counts, 95))
    if not high > low:
        return None
    return np.asarray(np.rint(255 * (1 - np.clip((counts - low) / (high - low), 0, 1))))


def center_of_mass(weights: Floats) -> tuple[float, float]:
    """Mean row and column; the middle if nothing weighs."""
    total = float(weights.sum())
    if total <= 0:
        return (weights.shape[0] - 1) / 2, (weights.shape[1] - 1) / 2
    rows = float(weights.sum(axis=1) @ np.arange(weights.shape[0]))
    columns = float(weights.sum(axis=0) @ np.arange(weights.shape[1]))
    return rows / total, columns / total


def candidate_points(picture: Floats) -> list[tuple[int, int]]:
    """The pixels that the centre is looked for at."""
    first = center_of_mass(picture)
    second = center_of_mass(np.log1p(picture))
    half = LINE / 2
    ends = []
    for sign in (-half, half):
        ends.append(
            tuple(
                int(np.floor(a + sign * (b - a) + 0.5)) for a, b in zip(first, second, strict=True)
            )
        )
    (y0, x0), (y1, x1) = ends
    height, width = picture.shape
    inside = [(y, x) for y, x in bresenham(y0, x0, y1, x1) if 0 <= y < height and 0 <= x < width]
    return inside or [(round(first[0]), round(first[1]))]


def bresenham(y0: int, x0: int, y1: int, x1: int) -> list[tuple[int, int]]:
    """Pixels of the straight line between two of them, both ends among them."""
    dy, dx = abs(y1 - y0), abs(x1 - x0)
    step_y, step_x = (1 if y1 > y0 else -1), (1 if x1 > x0 else -1)
    error = dx - dy
    line = [(y0, x0)]
    while (y0, x0) != (y1, x1):
        doubled = 2 * error
        if doubled > -dy:
            error -= dy
            x0 += step_x
        if doubled < dx:
            error += dx
            y0 += step_y
        line.append((y0, x0))
    return line


def fitness(picture: Floats, point: tuple[int, int]) -> float:
    """How much a point looks like the middle of a beam stop with an arm."""
    from napari_xfelsort.core.center.reflex_loops import brightest_ray

    y, x = point
    near = [
        picture[v, u]
        for v in range(max(0, y - NEAR), min(picture.shape[0], y + NEAR + 1))
        for u in range(max(0, x - NEAR), min(picture.shape[1], x + NEAR + 1))
        if (v - y) ** 2 + (u - x) ** 2 <= NEAR * NEAR
    ]
    difference = float(np.mean(near) - picture.mean())
    return float(brightest_ray(picture, float(y), float(x), RAYS)) * difference
