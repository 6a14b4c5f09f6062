"""Loops of the robust plane fit, compiled when this module is imported: import it where used.

A window is three rows of numbers of its pixels: value and place (u, v), padded to whole
vector registers. A pixel that must not be used has the value `NO_VALUE`, whose residual is
never among the small ones; nothing here branches on single pixels, so that every loop over
them becomes vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact, fast, part

#: Stands for a pixel that is not used: above any residual, and finite.
NO_VALUE = np.float32(1e30)
_USED = np.float32(1e29)
#: Pixels of a window that starting levels are taken from.
COARSE = 29
#: Looks for a rank's residual; bisection of 31 bits is twice as long at most.
_SEARCH = 64
#: A rank may be missed by one, and one more for each so many.
_SLACK = 128
#: An iteration that gains less than this of the k-th residual is the last.
_GAIN = np.float32(0.995)
#: Scale, in half widths of the densest half of the coarse sample, above which it is doubted.
_WIDE = 5.0
#: Middle of the coarse values at which other starts are.
_STARTS = (0.15, 0.35, 0.65, 0.85)

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Whole = Any
Real = Any  # of single or double precision: each is compiled


@part
def residuals(values: Floats, u: Floats, v: Floats, plane: Floats, size: Floats) -> None:
    """Absolute residuals of pixels from the plane ``a u + b v + c``."""
    a, b, c = plane[0], plane[1], plane[2]
    for i in range(values.size):
        size[i] = abs(values[i] - (a * u[i] + b * v[i] + c))


@fast
def count_up_to(keys: Ints, bound: Whole) -> Whole:
    """Number of keys that are at most the bound."""
    count = np.int32(0)
    for i in range(keys.size):
        count += np.int32(keys[i] <= bound)
    return count


@exact
def rank_size(keys: Ints, rank: int, guess: Real, slack: int) -> Real:
    """Residual of a rank (from 1), missed by at most ``slack`` ranks.

    Parameters
    ----------
    keys : ndarray of int32
        Bits of the residuals: as whole numbers they have the same order.
    rank : int
        Which.
    guess : Real
        Where it may be.
    slack : int
        0 for the exact one.
    """
    low, high = np.int32(-1), np.int32(2139095039)  # no residual, and the largest float
    last_at, last_count = np.float32(0), 0  # the secant's other point: no residual up to 0
    at = bits(np.float32(guess))
    for step in range(_SEARCH):
        if high - low <= 1:
            break
        at = min(max(at, low + 1), high - 1)
        value, count = real(at), count_up_to(keys, at)
        if slack > 0 and abs(count - rank) <= slack:
            return value
        if count < rank:
            low = at
        else:
            high = at
        next_at = np.float32(-1)
        if step % 4 != 3 and count != last_count:
            next_at = value + (rank - np.float32(0.5) - count) * (value - last_at) / (
                count - last_count
            )
        last_at, last_count = value, count
        if next_at > real(max(low, np.int32(0))) and next_at < real(high):
            at = bits(next_at)
        else:
            at = low + ((high - low) >> 1)
    return real(high)


@exact
def bits(value: Real) -> np.int32:
    """The bits of a float32 as a whole number."""
    return np.float32(value).view(np.int32)


@exact
def real(number: np.int32) -> Real:
    """The float32 of some bits."""
    return np.int32(number).view(np.float32)


@part
def improve(
    values: Floats, u: Floats, v: Floats, size: Floats, above: Real, up_to: Real, plane: Floats
) -> bool:
    """Least squares over pixels whose residual is in (above, up to]; False if it cannot be."""
    a, b, c = plane[0], plane[1], plane[2]
    n = su = sv = suu = suv = svv = sr = sru = srv = np.float32(0)
    for i in range(values.size):
        weight = np.float32(1) if (size[i] > above) & (size[i] <= up_to) else np.float32(0)
        rest = weight * (values[i] - (a * u[i] + b * v[i] + c))
        across, down = weight * u[i], weight * v[i]
        n += weight
        su += across
        sv += down
        suu += across * across
        suv += across * down
        svv += down * down
        sr += rest
        sru += rest * u[i]
        srv += rest * v[i]
    if n < 1:
        return False
    # Around the middle of the pixels the slopes do not depend on the level.
    mu, mv, mr = su / n, sv / n, sr / n
    cuu, cuv, cvv = suu - n * mu * mu, suv - n * mu * mv, svv - n * mv * mv
    cru, crv = sru - n * mr * mu, srv - n * mr * mv
    det = cuu * cvv - cuv * cuv
    slope_u = slope_v = np.float32(0)
    if det > np.float32(1e-4) * n * n * np.float32(0.01):
        slope_u = (cru * cvv - crv * cuv) / det
        slope_v = (crv * cuu - cru * cuv) / det
    plane[0] += slope_u
    plane[1] += slope_v
    plane[2] += mr - slope_u * mu - slope_v * mv
    return True


@part
def spread(size: Floats, up_to: Real) -> tuple[Real, Real]:
    """Number and sum of squares of the residuals up to a bound."""
    n = total = np.float32(0)
    for i in range(size.size):
        weight = np.float32(1) if size[i] <= up_to else np.float32(0)
        part = weight * size[i]
        n += weight
        total += part * part
    return n, total


@part
def scale_of(size: Floats, first: Real, scale_lambda: Real, floor: Real) -> tuple[Real, Whole]:
    """Scale of inliers by the modified selective statistical estimator, and their number.

    From the residuals up to ``first`` on, the next are taken in as long as they are within
    ``scale_lambda`` scales of those taken before. The set can only grow, so that nothing
    need be sorted.
    """
    bound = max(first, np.float32(scale_lambda * floor))
    n, scale = np.float32(-1), np.float32(floor)
    for _ in range(_SEARCH):
        more, total = spread(size, bound)
        if more == n:
            break
        n = more
        scale = max(np.sqrt(total / max(n - np.float32(1), np.float32(1))), np.float32(floor))
        wider = np.float32(scale_lambda) * scale
        if wider <= bound:
            break
        bound = wider
    return scale, np.int64(n)


@part
def spread_and_double(size: Floats, up_to: Real) -> tuple[Real, Real, Real]:
    """As `spread`, and the number of residuals up to twice the bound."""
    n = total = double = np.float32(0)
    wide = np.float32(2) * up_to
    for i in range(size.size):
        weight = np.float32(1) if size[i] <= up_to else np.float32(0)
        part_of = weight * size[i]
        n += weight
        total += part_of * part_of
        double += np.float32(1) if size[i] <= wide else np.float32(0)
    return n, total, double


@part
def without_contamination(
    size: Floats, scale: Real, scale_lambda: Real, kept: Real, floor: Real
) -> Real:
    """Scale without what outliers add that lie evenly around the inliers.

    Their density is counted between one and two times ``scale_lambda`` scales, where there
    are no inliers; what is missing of a Gaussian beyond the bound is put back (``kept``:
    variance of a Gaussian cut there). At least three quarters of the scale remain.
    """
    found = scale / np.sqrt(kept)
    least = 0.75 * scale
    for _ in range(8 if scale > 0 else 0):
        bound = scale_lambda * found
        n, total, double = spread_and_double(size, np.float32(bound))
        density = (double - n) / bound
        inliers = n - density * bound
        square = total - density * bound**3 / 3
        if inliers < 0.5 * n or square <= 0:
            break
        new = max(np.sqrt(square / max(inliers - 1, 1.0) / kept), least)
        done = abs(new - found) < 1e-3 * found
        found = new
        if done:
            break
    return max(found, floor)


@part
def descend(
    values: Floats,
    u: Floats,
    v: Floats,
    size: Floats,
    plane: Floats,
    best: Floats,
    guess: Real,
    rank: int,
    sample: int,
    iterations: int,
) -> Real:
    """Fast least k-th order statistics from a plane on; the best one is left in ``best``.

    Each step is least squares on the ``sample`` pixels up to the k-th smallest residual.
    Returns the k-th residual of the best plane.
    """
    keys = size.view(np.int32)
    slack = 1 + rank // _SLACK
    least = np.float32(np.inf)
    idle = 0
    for _ in range(iterations):
        residuals(values, u, v, plane, size)
        up_to = rank_size(keys, rank, guess, slack)
        idle = 0 if up_to < _GAIN * least else idle + 1
        if up_to < least:
            least = up_to
            best[:] = plane
        if idle == 1 or up_to == 0:
            break
        guess = up_to
        above = rank_size(keys, rank - sample, np.float32(0.7) * up_to, slack)
        if above >= up_to:
            above = np.float32(-1)
        if not improve(values, u, v, size, above, up_to, plane):
            break
    return least


@fast
def coarse_sample(values: Floats, n: int, some: Floats) -> int:
    """Some of the used values, spread over the window, sorted; returns how many."""
    stride = max(1, n // some.size)
    if stride > 1 and stride % 2 == 0:
        stride += 1  # not always the same column
    taken = np.empty_like(some)
    count = 0
    if np.max(values[:n]) < _USED:  # none is hidden before the last
        for i in range(0, min(n, stride * some.size), stride):
            taken[count] = values[i]
            count += 1
    else:
        seen = 0
        for i in range(values.size):
            if values[i] < _USED:
                if seen % stride == 0 and count < some.size:
                    taken[count] = values[i]
                    count += 1
                seen += 1
    for i in range(count):  # each to the place that those before it leave
        value, place = taken[i], np.int32(0)
        for j in range(count):
            place += np.int32((taken[j] < value) | ((taken[j] == value) & (j < i)))
        some[place] = value
    return count


@fast
def shortest_half(some: Floats, n: int) -> tuple[Real, Real]:
    """Middle and half width of the shortest interval that holds half of sorted values."""
    half = n // 2 + 1
    middle, width = some[n // 2], np.float32(np.inf)
    for i in range(n - half + 1):
        if some[i + half - 1] - some[i] < width:
            width = some[i + half - 1] - some[i]
            middle = np.float32(0.5) * (some[i + half - 1] + some[i])
    return middle, np.float32(0.5) * width


@part
def refine(
    values: Floats,
    u: Floats,
    v: Floats,
    size: Floats,
    plane: Floats,
    guess: Real,
    rank: int,
    scale_lambda: Real,
    floor: Real,
) -> tuple[Real, Whole]:
    """Least squares on the inliers, twice; scale and number of inliers of the result."""
    keys = size.view(np.int32)
    slack = 1 + rank // _SLACK
    scale, inliers = np.float32(floor), 0
    for step in range(3):
        residuals(values, u, v, plane, size)
        guess = rank_size(keys, rank, guess, slack)
        scale, inliers = scale_of(size, guess, scale_lambda, floor)
        if step < 2:
            bound = np.float32(scale_lambda) * scale
            improve(values, u, v, size, np.float32(-1), bound, plane)
    return scale, inliers


@fast
def fit_windows(
    values: Floats,
    used: NDArray[np.int64],
    u: Floats,
    v: Floats,
    numbers: NDArray[np.float64],
    planes: Floats,
    scales: Floats,
    inliers: NDArray[np.int64],
) -> None:
    """Planes of windows, their scales and numbers of inliers; NaN and 0 if too few are used.

    Compiled once, for these very types: the same numbers give the same bits, whatever frames
    they are from.

    Parameters
    ----------
    values, used : ndarray, shapes (N, padded) and (N,)
        Of `plane_loops.take_windows`.
    u, v : ndarray of float32
        Places of the pixels, see `plane_loops.places`.
    numbers : ndarray
        See `robust._numbers`.
    planes, scales, inliers : ndarray, shapes (N, 3), (N,), (N,)
        Set.
    """
    iterations, always_below = int(numbers[4]), numbers[8]
    scale_lambda, kept, floor = numbers[5], numbers[6], numbers[7]
    size, some = np.empty_like(u), np.empty(COARSE, np.float32)
    best, plane, other = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    for k in range(values.shape[0]):
        n, window = used[k], values[k]
        scales[k], inliers[k] = np.nan, 0
        if n < numbers[2]:
            continue
        rank = max(int(numbers[0] * n), int(numbers[1]) + 1)
        sample = min(max(int(numbers[3] * n), int(numbers[1])), rank - 1)
        count = coarse_sample(window, n, some)
        middle, width = shortest_half(some, count)
        least, scale, good = np.float32(np.inf), np.float32(floor), 0
        first, last = -1, 0  # the densest values; others only when that leaves doubts
        for _ in range(2):
            for start in range(first, last):
                plane[:] = 0
                plane[2] = middle if start < 0 else some[int(_STARTS[start] * (count - 1))]
                reached = descend(
                    window, u, v, size, plane, other, width, rank, sample, iterations
                )
                if reached < _GAIN * least:
                    least = reached
                    best[:] = other
            scale, good = refine(window, u, v, size, best, least, rank, scale_lambda, floor)
            if good >= always_below * n and scale <= _WIDE * width:
                break
            first, last = 0, len(_STARTS)
        if kept > 0:
            scale = without_contamination(size, scale, scale_lambda, kept, floor)
        planes[k] = best
        scales[k], inliers[k] = scale, good
