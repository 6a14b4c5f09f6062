"""Changes of single-particle pictures that leave what was hit as it is.

Those of Assalauova et al. (2022): turns, scaling, elastic deformation, mirrors, shifts, gamma,
noise, blur, cut-out rectangles; and before them what makes another run: fewer photons, and
more background. One picture at a time, numpy and scipy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Random = np.random.Generator

#: Places along each side of the grid that elastic deformations are drawn on.
_KNOTS = 5
#: Rings that lose different shares of their photons.
_RINGS = 9


@dataclass(frozen=True)
class SpiChanges:
    """How much pictures are changed at most; every change is left out at times.

    Attributes
    ----------
    turn : float
        Degrees, either way.
    scale : float
        Enlarged or reduced by up to this share.
    elastic : float
        Cells that parts of the picture are shifted against each other.
    shift : float
        Cells that all of it is shifted along either axis, either way.
    gamma : float
        Exponent from 1 / (1 + gamma) to 1 + gamma.
    noise : float
        Standard deviation of added noise, by that of the pictures.
    blur : float
        Standard deviation of the blur, in cells.
    cutout : float
        Sides of the rectangle, as a share of those of the picture.
    stretch : float
        How much more the outermost part is enlarged than the innermost, as a share: fringes
        of another particle.
    radial : float
        Logarithm of the share of the photons that is left in some rings and lost in others:
        fringes as high as those of another particle.
    thinning : float
        Share of the photons taken away.
    background : float
        Added photons, by those of the dimmest training events.
    often : float
        How often each change is made, the geometric ones apart, which always are.
    """

    turn: float = 15.0
    scale: float = 0.15
    elastic: float = 1.0
    shift: float = 1.5
    gamma: float = 0.25
    noise: float = 0.15
    blur: float = 0.7
    cutout: float = 0.25
    stretch: float = 0.12
    radial: float = 1.5
    thinning: float = 0.7
    background: float = 3.0
    often: float = 0.2

    def times(self, strength: float) -> SpiChanges:
        """So many times as much."""
        names = [name for name in self.__dataclass_fields__ if name not in ("often", "thinning")]
        return SpiChanges(
            **{name: strength * getattr(self, name) for name in names},
            thinning=min(0.95, strength * self.thinning),
            often=self.often if strength else 0.0,
        )


def warped(
    picture: Picture,
    center: tuple[float, float],
    turn: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    elastic: NDArray[np.float64] | None = None,
    stretch: float = 0.0,
) -> Picture:
    """Turned about a point, enlarged, shifted and deformed; each cell is the nearest one.

    Means of several cells would scatter less than photons do, which networks take for a sign.

    Parameters
    ----------
    picture : ndarray, shape (rows, columns)
        The picture; 0 comes in from outside.
    center : (float, float)
        Row and column that stay where they are, but for the shift.
    turn : float
        Degrees, from rows to columns.
    scale : float
        How many times as large.
    shift : (float, float)
        Cells along rows and columns.
    elastic : ndarray, shape (2, knots, knots), optional
        Cells by which places of a coarse grid over the picture come from elsewhere.
    stretch : float
        How much farther out, as a share, the farthest place comes from than one at the center.
    """
    rows, columns = (np.arange(n, dtype=np.float64) for n in picture.shape)
    y = (rows - center[0] - shift[0])[:, np.newaxis] / scale
    x = (columns - center[1] - shift[1])[np.newaxis] / scale
    if stretch:
        away = np.hypot(y, x)
        factor = 1 + stretch * (away / away.max() - 0.5)
        y, x = y * factor, x * factor
    sine, cosine = np.sin(np.deg2rad(turn)), np.cos(np.deg2rad(turn))
    where = np.stack([cosine * y + sine * x + center[0], cosine * x - sine * y + center[1]])
    if elastic is not None:
        ways = [_between(elastic.shape[k + 1], n) for k, n in enumerate(picture.shape)]
        where += ways[0] @ elastic @ ways[1].T
    nearest = np.floor(where + 0.5).astype(np.intp)
    inside = np.ones(picture.shape, bool)
    for place, n in zip(nearest, picture.shape, strict=True):
        inside &= (place >= 0) & (place < n)
        np.clip(place, 0, n - 1, out=place)
    return np.where(inside, picture[nearest[0], nearest[1]], np.float32(0))


def _between(knots: int, n: int) -> NDArray[np.float64]:
    """Linear interpolation from knots to n places, as a matrix (n, knots)."""
    place = np.linspace(0, knots - 1, n)[:, np.newaxis]
    return np.asarray(np.maximum(0.0, 1 - np.abs(place - np.arange(knots))))


def with_gamma(picture: Picture, exponent: float) -> Picture:
    """Values between the smallest and largest to a power; these two stay."""
    low, high = float(picture.min()), float(picture.max())
    if not high > low:
        return picture
    return np.asarray(
        low + (high - low) * ((picture - low) / (high - low)) ** exponent, np.float32
    )


def blurred(picture: Picture, sigma: float) -> Picture:
    """Blurred by a Gaussian; the sum stays but for the edges."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(picture, sigma, mode="constant", truncate=3.0), np.float32)


def cut_out(picture: Picture, corner: tuple[int, int], size: tuple[int, int]) -> Picture:
    """With 0 in a rectangle."""
    result = picture.copy()
    result[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = 0
    return result


def thinned(
    photons: NDArray[np.float64], share: float | NDArray[np.float64], random: Random
) -> NDArray[np.float64]:
    """A share of the photons (of each cell, or of all), each kept or lost by chance."""
    counts = np.maximum(np.rint(photons), 0).astype(np.int64)
    result = np.zeros(photons.shape)
    there = counts > 0
    shares = np.broadcast_to(share, photons.shape)
    result[there] = random.binomial(counts[there], shares[there])
    return result


def ring_shares(
    shape: tuple[int, ...], center: tuple[float, float], depth: float, random: Random
) -> NDArray[np.float64]:
    """Shares from exp(-depth) to 1 that change from ring to ring about a point, by chance."""
    y, x = (np.arange(n) - at for n, at in zip(shape, center, strict=True))
    away = np.hypot(y[:, np.newaxis], x[np.newaxis])
    knots = np.linspace(0, float(away.max()), _RINGS)
    return np.asarray(np.exp(-depth * np.interp(away, knots, random.random(_RINGS))))


def with_background(
    photons: NDArray[np.float64], mean: NDArray[np.float64], random: Random
) -> NDArray[np.float64]:
    """With more photons, counted, of such a mean."""
    return photons + random.poisson(np.maximum(mean, 0))


@dataclass(frozen=True, eq=False)
class SpiAugmenter:
    """Changes pictures of mean values, and makes of them what a network sees.

    Attributes
    ----------
    changes : SpiChanges
        How much.
    see : callable
        From mean values to what a network sees, standardised.
    photons : ndarray, shape (rows, columns)
        Photons that a mean value of 1 in a cell stands for; 0 where there is no pixel.
    background : ndarray, shape (rows, columns)
        Mean photons of the background.
    center : (float, float)
        Row and column of the beam, or of the middle.
    flips : sequence of tuple of int
        Axes of (events, rows, columns) that may be flipped.
    """

    changes: SpiChanges
    see: Callable[[Picture], Picture]
    photons: Picture
    background: NDArray[np.float64]
    center: tuple[float, float]
    flips: Sequence[tuple[int, ...]]

    def batch(self, pictures: Picture, random: Random) -> Picture:
        """Changed copies of pictures (n, rows, columns) of mean values, as a network sees them."""
        counted = np.stack([self._other_run(picture, random) for picture in pictures])
        seen = self.see(counted)
        covered = self.photons > 0
        for k in range(len(seen)):
            seen[k] = self._changed(seen[k], random)
        seen[:, ~covered] = 0
        return seen

    def _other_run(self, picture: Picture, random: Random) -> Picture:
        c = self.changes
        rings, other = random.random(2) < 2 * c.often
        if not (rings or other):
            return picture
        photons = picture.astype(np.float64) * self.photons
        if rings:
            shares = ring_shares(picture.shape, self.center, c.radial, random)
            photons = thinned(photons, shares, random)
        if other and random.random() < 0.5:
            photons = thinned(photons, 1 - c.thinning * random.random(), random)
        elif other:
            photons = with_background(
                photons, c.background * random.random() * self.background, random
            )
        return np.divide(
            photons, self.photons, out=np.zeros_like(picture), where=self.photons > 0
        ).astype(np.float32)

    def _changed(self, picture: Picture, random: Random) -> Picture:
        c = self.changes
        flip = self.flips[int(random.integers(len(self.flips)))]
        picture = np.ascontiguousarray(np.flip(picture, tuple(axis - 1 for axis in flip)))
        either = random.uniform(-1, 1, 5)
        elastic = None
        if random.random() < c.often and c.elastic:
            elastic = random.uniform(-c.elastic, c.elastic, (2, _KNOTS, _KNOTS))
        if c.turn or c.scale or c.shift or c.stretch:
            picture = warped(
                picture,
                self.center,
                c.turn * either[0],
                float(1 + c.scale) ** either[1],
                (c.shift * either[2], c.shift * either[3]),
                elastic,
                c.stretch * either[4],
            )
        if random.random() < c.often:
            picture = with_gamma(picture, float(1 + c.gamma) ** random.uniform(-1, 1))
        if random.random() < c.often:
            picture = blurred(picture, c.blur * random.random())
        if random.random() < c.often:
            noise = random.standard_normal(picture.shape, np.float32)
            picture = picture + np.float32(c.noise * random.random()) * noise
        if random.random() < c.often:
            size = [1 + int(c.cutout * n * random.random()) for n in picture.shape]
            corner = [int(random.integers(n)) for n in picture.shape]
            picture = cut_out(picture, (corner[0], corner[1]), (size[0], size[1]))
        return picture
