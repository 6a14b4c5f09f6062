"""Polynomials and inflection points against analytic ones and extended precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial, legendre

from napari_xfelsort.core.profiles.fitting import STATUSES, Fitter, sign_changes

X = np.arange(192.0)


def fit(values, order=4, x=X, **more):
    return Fitter(np.asarray(x, float), order, **more).fit(np.atleast_2d(values))


def status(fits, k=0):
    return STATUSES[fits.status[k]]


def with_curvature(roots, x=X, scale=1e-4):
    """Values of a polynomial whose second derivative is zero just at these places."""
    middle = x.mean()
    curvature = Polynomial.fromroots(np.asarray(roots) - middle) * scale
    return curvature.integ(2, k=[0.3, 1000])(x - middle)


def long_fit(x, y, order):
    """Least squares in 80-bit numbers by Gram-Schmidt; coefficients of powers of scaled x."""
    x, y = np.asarray(x, np.longdouble), np.asarray(y, np.longdouble)
    scaled = (2 * x - x[0] - x[-1]) / (x[-1] - x[0])
    matrix = scaled[:, None] ** np.arange(order + 1)
    q, r = matrix.copy(), np.eye(order + 1, dtype=np.longdouble)
    for _ in range(2):
        step = np.zeros_like(r)
        for k in range(order + 1):
            for j in range(k):
                step[j, k] = q[:, j] @ q[:, k]
                q[:, k] = q[:, k] - step[j, k] * q[:, j]
            step[k, k] = np.sqrt(q[:, k] @ q[:, k])
            q[:, k] = q[:, k] / step[k, k]
        r = step @ r
    right, c = q.T @ y, np.zeros(order + 1, np.longdouble)
    for k in range(order, -1, -1):
        c[k] = (right[k] - r[k, k + 1 :] @ c[k + 1 :]) / r[k, k]
    return c


@given(st.floats(5, 90), st.floats(100, 185))
def test_quartic_has_its_two_inflection_points(p, q):
    fits = fit(with_curvature([p, q]))
    assert status(fits) == "ok"
    assert np.allclose(fits.inflections, [[p, q]], rtol=1e-9, atol=0)
    assert fits.r2[0] == pytest.approx(1)


def test_cubic_has_one():
    """Order 3 labels nothing in PADT, which wants two."""
    fits = fit(with_curvature([71.25]), order=3)
    assert np.allclose(fits.inflections, [[71.25]], rtol=1e-9, atol=0)
    assert status(fits) == "ok"


@pytest.mark.parametrize("order", range(3, 9))
def test_every_inflection_point_of_every_order_in_order(order):
    """Of more than two PADT takes an arbitrary pair."""
    roots = np.linspace(20, 170, order - 2)
    fits = fit(with_curvature(roots, scale=1e-2 / 50.0 ** (order - 3)), order)
    assert np.allclose(fits.inflections, [roots], rtol=1e-9, atol=0)


def test_a_higher_order_than_needed_finds_the_same_point():
    found = fit(with_curvature([60, 130]), order=8).inflections[0]
    inner = found[(found > 10) & (found < 180)]
    assert np.allclose(inner[[0, -1]], [60, 130], rtol=1e-6)


@pytest.mark.parametrize("order", range(2, 9))
def test_equal_to_a_fit_in_extended_precision(order):
    """Curves, and the analytic inflection points of the fitted polynomial."""
    rng = np.random.default_rng(order)
    first = 900.0  # far from zero: no trouble for a scaled abscissa
    x = first + X
    y = 1400 + 300 * np.exp(-(((x - 970) / 40) ** 2)) + rng.normal(0, 5, (20, 192))
    fits = fit(y, order, x)
    scaled = np.asarray((2 * x - x[0] - x[-1]) / (x[-1] - x[0]), np.longdouble)
    for k in range(20):
        exact = long_fit(x, y[k], order)
        curve = (scaled[:, None] ** np.arange(order + 1)) @ exact
        ours = legendre.legval(scaled.astype(float), fits.coefficients[k])
        assert np.allclose(ours, curve.astype(float), rtol=1e-12)
        missed = y[k] - curve.astype(float)
        assert fits.residual[k] == pytest.approx(np.sqrt((missed**2).mean()), rel=1e-9)
        assert fits.r2[k] == pytest.approx(1 - missed.var() / y[k].var(), rel=1e-9)
        if order < 3:
            assert status(fits, k) == "no inflection point"
            continue
        roots = Polynomial(exact.astype(float)).deriv(2).roots()
        real = np.sort(roots[np.abs(roots.imag) < 1e-12].real)
        real = real[(real > -1) & (real < 1)]
        places = first + (real + 1) / 2 * 191
        found = fits.inflections[k]
        assert np.allclose(found[np.isfinite(found)], places, rtol=1e-9, atol=0)


def test_points_equal_the_quadratic_formula_on_the_fitted_coefficients():
    rng = np.random.default_rng(1)
    y = with_curvature([55, 140]) + rng.normal(0, 3, (50, 192))
    fits = fit(y)
    for coefficients, found in zip(fits.coefficients, fits.inflections, strict=True):
        c = legendre.leg2poly(coefficients).astype(np.longdouble)
        a, b, d = 12 * c[4], 6 * c[3], 2 * c[2]
        root = np.sqrt(b * b - 4 * a * d)
        exact = np.sort(np.array([(-b - root) / (2 * a), (-b + root) / (2 * a)]))
        places = ((exact + 1) / 2 * 191).astype(float)
        assert np.allclose(found, places, rtol=1e-9, atol=0)


def test_where_the_curvature_only_touches_zero_is_no_inflection_point():
    touching = Polynomial.fromroots([0.25, 0.25])
    series = legendre.poly2leg(touching.coef)[:, None]
    assert np.isnan(sign_changes(series, -1, 1)).all()


def test_a_threefold_zero_of_the_curvature_is_one_inflection_point():
    series = legendre.poly2leg(Polynomial([0, 0, 0, 1.0]).coef)[:, None]
    found = sign_changes(series, -1, 1)
    assert np.isfinite(found).sum() == 1
    assert abs(found[0, 0]) < 1e-12


def test_points_outside_of_the_profile_do_not_count():
    fits = fit(with_curvature([-20, 80]))
    assert np.allclose(fits.inflections[0, 0], 80, rtol=1e-9)
    assert np.isnan(fits.inflections[0, 1])
    assert status(fit(with_curvature([-20, 230]))) == "no inflection point"


@pytest.mark.parametrize("order", range(1, 9))
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(192, 7.1), "constant"),
        (np.zeros(192), "constant"),
        (np.full(192, np.nan), "empty"),
        (np.full(192, np.inf), "empty"),
        (np.where(X < 2, 1.0, np.nan), "too few points"),
        (3 * X + 5, "no inflection point"),
        (1e6 + X, "no inflection point"),
        ((X - 90) ** 2, "no inflection point"),
    ],
)
def test_what_cannot_be_decided_says_why(order, values, reason):
    fits = fit(values, order)
    if order == 1 and reason == "no inflection point":
        assert np.isfinite(fits.coefficients).all()
    assert status(fits) == reason
    assert np.isnan(fits.inflections).all()


def test_enough_points_at_one_place_fix_no_polynomial():
    x = np.concatenate([1e-7 * np.arange(20), [1.0]])
    y = np.concatenate([np.arange(20.0) ** 2, [np.nan]])
    assert status(fit(y, 6, x)) == "too few points"


def test_share_of_points_that_must_be_there():
    values = with_curvature([60, 130])
    values[:100] = np.nan
    assert status(fit(values, needed=0.5 * len(values))) == "too few points"
    assert status(fit(values, needed=0.4 * len(values))) == "ok"


@pytest.mark.parametrize("points", [0, 1, 2])
def test_hardly_any_points_at_all(points):
    fits = fit(np.ones((3, points)), 4, np.arange(points))
    assert status(fits, 2) == ("too few points" if points else "empty")


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1e12, 1e300])
def test_the_size_of_the_values_does_not_matter(size):
    fits = fit(with_curvature([60, 130]) * size)
    assert np.allclose(fits.inflections, [[60, 130]], rtol=1e-9)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 39), max_size=25), min_size=1, max_size=8))
def test_gaps_cost_only_the_points_they_are_at(gaps):
    """One value that is not a number voids a whole file in PADT."""
    rng = np.random.default_rng(0)
    x = np.arange(40.0)
    y = with_curvature([12, 27], x) + rng.normal(0, 0.5, (len(gaps), 40))
    for row, places in zip(y, gaps, strict=True):
        row[places] = np.nan
    fits = Fitter(x, 4, 20).fit(y)
    for k, row in enumerate(y):
        good = np.isfinite(row)
        assert fits.n_points[k] == good.sum()
        if good.sum() < 20:
            assert status(fits, k) == "too few points"
            continue
        theirs = Polynomial.fit(x[good], row[good], 4, domain=[0, 39])
        ours = legendre.legval(
            theirs.mapparms()[0] + theirs.mapparms()[1] * x, fits.coefficients[k]
        )
        assert np.allclose(ours, theirs(x), rtol=1e-7)
        alone = Fitter(x, 4, 20).fit(row[None])
        assert np.array_equal(alone.status, fits.status[k : k + 1])
        assert np.allclose(alone.inflections[0], fits.inflections[k], rtol=1e-9, equal_nan=True)


def test_inflection_points_are_inside_of_the_points_that_are_there():
    values = with_curvature([40, 150])
    values[120:] = np.nan
    assert np.allclose(fit(values).inflections[0, 0], 40, rtol=1e-9)
    assert np.isnan(fit(values).inflections[0, 1])
