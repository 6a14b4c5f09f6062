"""Polynomials fitted to many profiles at once, and where their curvature changes sign.

Positions are scaled to -1..1 and the polynomial is a sum of Legendre polynomials, so that
no order or panel makes the equations ill-conditioned. An inflection point is a place
strictly inside the range of an event's points where the second derivative changes sign:
each is found by bisection between the places where the derivative of the second derivative
changes sign, and so on down to a straight line. That finds every one of them, to the last
digits, whatever the order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

#: What can be said of an event's fit; its status is a number into this.
STATUSES = (
    "ok",
    "constant",
    "empty",
    "too few points",
    "no inflection point",
    "unreadable",
)
OK, CONSTANT, EMPTY, FEW, NO_INFLECTION, UNREADABLE = range(len(STATUSES))

#: Singular values below this share of the largest mean that points do not fix the fit.
_RANK = 1e-10
#: Relative spread below which a profile is constant: sums of equal floats differ by less.
_FLAT = 1e-12
_BISECTIONS = 56

Matrix = NDArray[np.float64]


class Fits(NamedTuple):
    """Polynomials of some events; a row of NaN where there is none.

    Attributes
    ----------
    status : ndarray of uint8, shape (events,)
        Index into `STATUSES`.
    n_points : ndarray of int64, shape (events,)
        Points of the profile that counted.
    coefficients : ndarray, shape (events, order + 1)
        Of Legendre polynomials on the domain of the fitter.
    inflections : ndarray, shape (events, max(0, order - 2))
        Positions of the inflection points, ascending, then NaN.
    residual : ndarray, shape (events,)
        Root mean square of profile minus polynomial.
    r2 : ndarray, shape (events,)
        Share of the profile's variance that the polynomial explains.
    """

    status: NDArray[np.uint8]
    n_points: NDArray[np.int64]
    coefficients: Matrix
    inflections: Matrix
    residual: Matrix
    r2: Matrix

    @classmethod
    def none(cls, n: int, order: int) -> Fits:
        """Of ``n`` events of which nothing is known yet."""
        return cls(
            np.full(n, OK, np.uint8),
            np.zeros(n, np.int64),
            np.full((n, order + 1), np.nan),
            np.full((n, max(0, order - 2)), np.nan),
            np.full(n, np.nan),
            np.full(n, np.nan),
        )

    def put_into(self, all_fits: Fits, rows: NDArray[np.int64]) -> None:
        """Write these fits to rows of others."""
        for whole, part in zip(all_fits, self, strict=True):
            np.asarray(whole)[rows] = part


class Fitter:
    """Fits polynomials to profiles at the same positions.

    Parameters
    ----------
    positions : ndarray, shape (points,)
        Ascending.
    order : int
        Of the polynomial.
    needed : float
        Points that must be there; at least ``order + 2`` must be.

    Attributes
    ----------
    domain : pair of float
        Positions that are scaled to -1 and 1: the first and the last.
    """

    def __init__(self, positions: Matrix, order: int, needed: float = 0.0) -> None:
        self.order = order
        first, last = (positions[0], positions[-1]) if len(positions) else (0.0, 0.0)
        if last == first:
            first, last = first - 0.5, last + 0.5
        self.domain = (float(first), float(last))
        self._scaled = (2 * positions - first - last) / (last - first)
        self._basis = legendre.legvander(self._scaled, order).reshape(len(positions), order + 1)
        self._needed = max(order + 2, needed)

    def fit(self, profiles: Matrix) -> Fits:
        """Polynomials of profiles.

        Parameters
        ----------
        profiles : ndarray, shape (events, points)
            What is not finite is a gap.
        """
        n = len(profiles)
        there = np.isfinite(profiles)
        fits = Fits.none(n, self.order)
        fits.n_points[:] = there.sum(axis=1)
        fits.status[fits.n_points < self._needed] = FEW
        fits.status[fits.n_points == 0] = EMPTY
        values = np.where(there, profiles, 0.0)
        size = np.abs(values).max(axis=1, initial=0.0)
        values /= np.where(size > 0, size, 1.0)[:, np.newaxis]
        for rows in _alike(there, np.flatnonzero(fits.status == OK)):
            self._fit_alike(values, size, there[rows[0]], rows, fits)
        return fits

    def _fit_alike(
        self,
        values: Matrix,
        size: Matrix,
        there: NDArray[np.bool_],
        rows: NDArray[np.intp],
        fits: Fits,
    ) -> None:
        """Fit events that have the same gaps; ``values`` are at most 1 in size."""
        left, stretch, right = np.linalg.svd(self._basis[there], full_matrices=False)
        if stretch[-1] < _RANK * stretch[0]:
            fits.status[rows] = FEW
            return
        wanted = values[np.ix_(rows, there)]
        mean = wanted.mean(axis=1, keepdims=True)
        wanted -= mean
        fits.status[rows[np.ptp(wanted, axis=1) <= _FLAT]] = CONSTANT
        coefficients = ((wanted @ left) / stretch) @ right
        missed = wanted - coefficients @ self._basis[there].T
        squares = np.einsum("ij,ij->i", missed, missed)
        spread = np.einsum("ij,ij->i", wanted, wanted)
        fits.residual[rows] = np.sqrt(squares / wanted.shape[1]) * size[rows]
        fits.r2[rows] = 1 - squares / np.where(spread > 0, spread, np.nan)
        coefficients[:, 0] += mean[:, 0]
        fits.coefficients[rows] = coefficients * size[rows, np.newaxis]
        if self.order > 2:
            span = self._scaled[there][[0, -1]]
            found = inflections(coefficients, float(span[0]), float(span[1]))
            fits.inflections[rows] = self._unscaled(found)
        flat = fits.status[rows] == CONSTANT
        for array in (fits.inflections, fits.r2):
            array[rows[flat]] = np.nan
        none = ~np.isfinite(fits.inflections[rows]).any(axis=1)
        fits.status[rows[none & ~flat]] = NO_INFLECTION

    def _unscaled(self, scaled: Matrix) -> Matrix:
        first, last = self.domain
        return first + (scaled + 1) / 2 * (last - first)


def _alike(there: NDArray[np.bool_], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows, in groups that have the same gaps."""
    groups: dict[bytes, list[int]] = {}
    for row, key in zip(rows.tolist(), np.packbits(there[rows], axis=1), strict=True):
        groups.setdefault(key.tobytes(), []).append(row)
    return [np.array(group, np.intp) for group in groups.values()]


def inflections(coefficients: Matrix, low: float, high: float) -> Matrix:
    """Inflection points of polynomials, strictly between two places.

    Parameters
    ----------
    coefficients : ndarray, shape (events, order + 1), order > 2
        Of Legendre polynomials; values of the polynomial should be about 1 in size, so that
        a curvature which is only rounding can be told.
    low, high : float
        The range, within -1..1.

    Returns
    -------
    ndarray, shape (events, order - 2)
        Ascending, then NaN.
    """
    order = coefficients.shape[1] - 1
    curvature = np.asarray(legendre.legder(coefficients.T, 2), np.float64)
    # A straight line, fitted: what is left are the rounded digits.
    curvature[:, np.abs(curvature).max(axis=0) <= 1e-13 * order**4] = 0.0
    return sign_changes(curvature, low, high)


def sign_changes(series: Matrix, low: float, high: float) -> Matrix:
    """Where sums of Legendre polynomials change sign, strictly between two places.

    Parameters
    ----------
    series : ndarray, shape (degree + 1, events)
        Coefficients.
    low, high : float
        The range.

    Returns
    -------
    ndarray, shape (events, degree)
        Ascending, then NaN.
    """
    degree, n = len(series) - 1, series.shape[1]
    # Between neighbouring edges the current derivative only rises or only falls.
    inner = np.full((n, 0), high)
    for k in range(degree - 1, -1, -1):
        derivative = np.asarray(legendre.legder(series, k), np.float64)
        edges = np.column_stack([np.full(n, low), inner, np.full(n, high)])
        signs = np.sign(legendre.legval(edges, derivative[:, :, np.newaxis], tensor=False))
        row, place = np.nonzero(signs[:, :-1] * signs[:, 1:] < 0)
        inner = np.full((n, degree - k), high)
        inner[row, place] = _bisect(
            derivative[:, row], edges[row, place], edges[row, place + 1], signs[row, place]
        )
        inner.sort(axis=1)
    return np.where(inner < high, inner, np.nan)


def _bisect(series: Matrix, low: Matrix, high: Matrix, sign: Matrix) -> Matrix:
    """The one change of sign between ``low``, where the sign is given, and ``high``."""
    for _ in range(_BISECTIONS if len(low) else 0):
        middle = (low + high) / 2
        before = np.sign(legendre.legval(middle, series, tensor=False)) == sign
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.asarray((low + high) / 2)
