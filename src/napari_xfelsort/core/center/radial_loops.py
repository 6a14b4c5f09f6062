"""Loops of the radial fit, compiled when imported: import them where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.masks.compiled_loops import exact

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

#: Smooth factors beside the radial profile; see `factors`.
N_FACTORS = 17
#: Parameters before the factors: row and column of the centre.
CENTRE = 2


@exact
def factors(y: float, x: float, dy: float, dx: float, side: float, middle: Floats, out: Floats):  # type: ignore[no-untyped-def]
    """Logarithms of smooth factors at a point, all about 1 at the rim.

    Harmonics of the azimuth (absorption on one side, jets), those that grow with the square
    of the radius (polarisation), polynomials of the place on the detector (vignetting), and
    harmonics that fall with the square of the radius (parasitic light about the beam stop).
    ``dy``, ``dx`` count from the centre, ``y``, ``x`` from the corner of the frame.
    """
    r = np.sqrt(dy * dy + dx * dx) + 1e-9
    c, s = dx / r, dy / r
    c2, s2 = c * c - s * s, 2 * s * c
    near = r / (r + 0.05 * side)
    far = min((r / (0.6 * side)) ** 2, 4.0)
    out[0] = c * near
    out[1] = s * near
    out[2] = c2 * near * near
    out[3] = s2 * near * near
    out[4] = (c2 * c - s2 * s) * near * near
    out[5] = (s2 * c + c2 * s) * near * near
    out[6] = c2 * far
    out[7] = s2 * far
    v, u = 2 * (y - middle[0]) / side, 2 * (x - middle[1]) / side
    out[8] = u
    out[9] = v
    out[10] = u * u + v * v - 0.67
    out[11] = u * u - v * v
    out[12] = 2 * u * v
    lobes = (0.1 * side) ** 2 / (r * r + (0.03 * side) ** 2)
    out[13] = c * lobes
    out[14] = s * lobes
    out[15] = c2 * lobes
    out[16] = s2 * lobes


@exact
def net_share(place: float, middle: float, side: float, nodes: int) -> tuple[int, float]:
    """First node of a net along an axis that a place is next to, and the second one's share."""
    at = ((place - middle) / side + 0.5) * (nodes - 1)
    at = min(max(at, 0.0), nodes - 1.001)
    return int(at), at - int(at)


@exact
def spline(t: float, out: Floats) -> float:
    """Four cubic B-splines at fraction ``t`` of a knot interval, then their derivatives."""
    t2, t3 = t * t, t * t * t
    out[0] = (1 - 3 * t + 3 * t2 - t3) / 6
    out[1] = (4 - 6 * t2 + 3 * t3) / 6
    out[2] = (1 + 3 * t + 3 * t2 - 3 * t3) / 6
    out[3] = t3 / 6
    out[4] = (-1 + 2 * t - t2) / 2
    out[5] = (-4 * t + 3 * t2) / 2
    out[6] = (1 + 2 * t - 3 * t2) / 2
    out[7] = t2 / 2
    return 0.0


@exact
def normal_equations(  # noqa: C901 - compiled as one
    cells: Floats,
    regions: Labels,
    theta: Floats,
    n_regions: int,
    radii: Floats,
    scales: Floats,
    middle: Floats,
    noise: Floats,
    sectors: int,
    anchor: Floats,
    nodes: int,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Normal equations of one Gauss-Newton step of the radial fit.

    The model of the mean of a cell is exp(profile(r) + factors + net of soft factors + step of
    its region).

    Parameters
    ----------
    cells : ndarray, shape (cells, 4)
        Number of pixels, their mean, mean row, mean column.
    regions : ndarray of int
        Region of each cell, -1 for none of its own.
    theta : ndarray
        Row and column of the centre, factors, net, steps of the regions, spline.
    radii : ndarray, shape (2,)
        Warped radius of the first knot, and distance of the knots.
    scales : ndarray, shape (2,)
        Side of the detector, and radius below which the warped radius is about linear.
    noise : ndarray, shape (6,)
        Gain, read noise variance, relative error of the model, residual at which a weight
        is 0, in standard deviations, how far from the middle that error is doubled, and how
        near to the centre.
    sectors : int
        Sums are kept apart for as many sectors about the middle of the frame.
    anchor : ndarray, shape (3,)
        A point and its radius, or a negative one: the profile goes with the radius of this
        point when the centre moves, so that a centre far off can move freely.
    nodes : int
        Of the net, along a side.

    Returns
    -------
    matrix, gradient, cost, residuals
        Of each sector; standardised residuals of the cells.
    """
    n = len(theta)
    first_net = CENTRE + N_FACTORS
    first_region = first_net + nodes * nodes
    first_spline = first_region + n_regions
    n_spline = n - first_spline
    matrix = np.zeros((sectors, n, n))
    gradient = np.zeros((sectors, n))
    cost = np.zeros(sectors)
    residuals = np.zeros(len(cells))
    basis = np.empty(8)
    where = np.empty(first_net + 9, np.int64)
    slope = np.empty(first_net + 9)
    for k in range(CENTRE + N_FACTORS):
        where[k] = k
    moved = away_y = away_x = 0.0
    if anchor[2] >= 0:
        away_y, away_x = anchor[0] - theta[0], anchor[1] - theta[1]
        distance = np.sqrt(away_y * away_y + away_x * away_x) + 1e-9
        moved = distance - anchor[2]
        away_y /= distance
        away_x /= distance
    for i in range(len(cells)):
        number, mean, y, x = cells[i, 0], cells[i, 1], cells[i, 2], cells[i, 3]
        dy, dx = y - theta[0], x - theta[1]
        r = np.sqrt(dy * dy + dx * dx) + 1e-9
        profile_r = max(r - moved, 0.0)
        u = (np.log(1 + profile_r / scales[1]) - radii[0]) / radii[1]
        u = min(max(u, 0.0), n_spline - 3 - 1e-6)
        knot = int(u)
        spline(u - knot, basis)
        eta = rise = 0.0
        for k in range(4):
            eta += basis[k] * theta[first_spline + knot + k]
            rise += basis[4 + k] * theta[first_spline + knot + k]
        rise /= radii[1] * (scales[1] + profile_r)
        factors(y, x, dy, dx, scales[0], middle, slope[CENTRE:])
        for k in range(N_FACTORS):
            eta += slope[CENTRE + k] * theta[CENTRE + k]
        row, down = net_share(y, middle[0], scales[0], nodes)
        column, right = net_share(x, middle[1], scales[0], nodes)
        m = first_net
        for a in range(2):
            for b in range(2):
                where[m] = first_net + (row + a) * nodes + column + b
                slope[m] = (down if a else 1 - down) * (right if b else 1 - right)
                eta += slope[m] * theta[where[m]]
                m += 1
        if regions[i] >= 0:
            eta += theta[first_region + regions[i]]
        model = np.exp(min(max(eta, -30.0), 30.0))
        away2 = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
        unsure = 1 + (away2 / noise[4] ** 2) ** 2 + (noise[5] / r) ** 4
        wrong = noise[2] * unsure * model
        variance = (noise[0] * model + noise[1]) / number + wrong * wrong
        z = (mean - model) / np.sqrt(variance)
        residuals[i] = z
        share = 1 - (z / noise[3]) ** 2
        sector = 0
        if sectors > 1:
            angle = np.arctan2(y - middle[0], x - middle[1])
            sector = int((angle / (2 * np.pi) + 0.5) * sectors) % sectors
        limit = noise[3] * noise[3] / 6
        if share <= 0:
            cost[sector] += limit
            continue
        cost[sector] += limit * (1 - share**3)
        weight = share * share / variance * model * model
        pull = share * share / variance * model * (mean - model)
        slope[0], slope[1] = -rise * (dy / r - away_y), -rise * (dx / r - away_x)
        if regions[i] >= 0:
            where[m] = first_region + regions[i]
            slope[m] = 1.0
            m += 1
        for k in range(4):
            where[m] = first_spline + knot + k
            slope[m] = basis[k]
            m += 1
        for a in range(m):
            gradient[sector, where[a]] += slope[a] * pull
            step = weight * slope[a]
            for b in range(a, m):
                matrix[sector, where[a], where[b]] += step * slope[b]
    for sector in range(sectors):
        for a in range(n):
            for b in range(a + 1, n):
                matrix[sector, b, a] = matrix[sector, a, b]
    return matrix, gradient, cost, residuals


@exact
def ring_levels(
    cells: Floats, center: Floats, radii: Floats, warp: float, n_rings: int, rank: float
) -> Floats:
    """A quantile of the cells of every ring; NaN where empty."""
    n = len(cells)
    index = np.empty(n, np.int64)
    number = np.zeros(n_rings + 1, np.int64)
    for i in range(n):
        dy, dx = cells[i, 2] - center[0], cells[i, 3] - center[1]
        u = (np.log(1 + np.sqrt(dy * dy + dx * dx) / warp) - radii[0]) / radii[1]
        index[i] = int(min(max(u, 0.0), n_rings - 1e-6))
        number[index[i] + 1] += 1
    start = np.cumsum(number)
    place = start.copy()
    values = np.empty(n)
    for i in range(n):
        values[place[index[i]]] = cells[i, 1]
        place[index[i]] += 1
    levels = np.full(n_rings, np.nan)
    for k in range(n_rings):
        m = start[k + 1] - start[k]
        if m:
            levels[k] = np.sort(values[start[k] : start[k + 1]])[int(rank * (m - 1) + 0.5)]
    return levels


@exact
def score_centres(
    values: Floats,
    weights: Floats,
    y: Floats,
    x: Floats,
    centres: Floats,
    warp: float,
    ring: float,
    cut: float,
) -> Floats:
    """How little each candidate centre's rings explain: mean robust cost of the values.

    Parameters
    ----------
    values, weights : ndarray
        Logarithms of cells, and inverse variances.
    ring : float
        Width of a ring in warped radius.
    cut : float
        Residual, in standard deviations, beyond which cost no longer grows.
    """
    n = len(values)
    scores = np.empty(len(centres))
    index = np.empty(n, np.int64)
    n_rings = 400
    total = np.empty(n_rings)
    number = np.empty(n_rings)
    keep = np.empty(n, np.bool_)
    for j in range(len(centres)):
        lowest = 1e9
        for i in range(n):
            dy, dx = y[i] - centres[j, 0], x[i] - centres[j, 1]
            u = np.log(1 + np.sqrt(dy * dy + dx * dx) / warp) / ring
            index[i] = int(u)
            lowest = min(lowest, u)
            keep[i] = True
        first = int(lowest)
        for i in range(n):
            index[i] = min(index[i] - first, n_rings - 1)
        score = 0.0
        for step in range(3):
            total[:] = 0
            number[:] = 1e-9
            for i in range(n):
                if keep[i]:
                    total[index[i]] += weights[i] * values[i]
                    number[index[i]] += weights[i]
            score = 0.0
            for i in range(n):
                off = values[i] - total[index[i]] / number[index[i]]
                z2 = off * off * weights[i]
                keep[i] = z2 < (2 * cut * cut if step == 0 else cut * cut)
                score += min(z2, cut * cut)
        scores[j] = score / n
    return scores
