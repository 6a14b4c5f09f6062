"""Robust fits of values: against published figures, by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.robust import RobustSettings, fit_values

MSSE = RobustSettings(clean=False)


def sadri(n_outliers: int, seeds: int = 1000) -> np.ndarray:
    """The setting of Fig. 11 of Sadri et al. 2022: 100 inliers N(20, 5) among outliers."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        inliers = rng.normal(20, 5, 100)
        rows.append(np.concatenate([inliers, rng.uniform(-20, 180, n_outliers)]))
    return np.stack(rows)


# What RobustGaussianFittingLibrary 0.2.5 finds: mean of its scale over 1000 seeds.
@pytest.mark.parametrize(
    ("n_outliers", "library"), [(0, 4.86), (25, 5.10), (50, 5.36), (75, 5.71), (90, 6.00)]
)
def test_scale_among_outliers_is_nearer_than_the_librarys(n_outliers, library):
    found = fit_values(sadri(n_outliers))
    assert abs(found.mean.mean() - 20) < 0.05
    assert abs(found.scale.mean() - 5) <= abs(library - 5)
    assert np.abs(found.mean - 20).max() < 5  # never drawn away


def test_the_papers_setting_gives_its_figures():
    found = fit_values(sadri(50))
    assert found.mean.mean() == pytest.approx(20.01, abs=0.02)
    assert found.mean.std() <= 0.575
    assert found.scale.std() <= 0.56
    plain = fit_values(sadri(50), settings=MSSE)
    assert plain.scale.mean() == pytest.approx(5.36, abs=0.02)
    assert plain.scale.std() == pytest.approx(0.56, abs=0.02)


def test_by_hand():
    # Half of seven is three: 5, 6, 7 are the first of the shortest intervals of three but
    # the middle one of three such is 6, 7, 8. All of 5 to 9 are within 3 scales, 100 is not.
    found = fit_values(np.array([5, 100, 6, 9, 7, 8, -50]), settings=MSSE)
    assert found.mean == 7
    assert found.scale == pytest.approx(np.sqrt(10 / 4))  # 4 + 1 + 0 + 1 + 4 over n - 1
    assert found.inliers == 5


@pytest.mark.parametrize("n", [40, 1000, 65_536, 10**7])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_any_number_of_values_at_any_offset(n, offset):
    values = np.random.default_rng(n).normal(offset, 25, n).astype(np.float32)
    found = fit_values(values)
    assert abs(found.mean - offset) < 6 * 25 / np.sqrt(n) + 1e-3
    assert found.scale == pytest.approx(25, rel=0.02 + 4 / np.sqrt(n))
    assert found.inliers > 0.98 * n


@pytest.mark.parametrize("n", [40, 65_536, 10**7])
def test_a_constant_has_scale_0_and_all_are_inliers(n):
    found = fit_values(np.full(n, 12_345, np.uint16))
    assert (found.mean, found.scale, found.inliers) == (12_345, 0, n)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5])
def test_few_photons_have_the_scale_that_is_asked_for_at_least(rate):
    counts = np.random.default_rng(0).poisson(rate, 65_536)
    found = fit_values(counts, settings=RobustSettings(floor=1 / 6))
    assert found.scale >= 1 / 6
    assert found.mean == pytest.approx(0, abs=0.5)


def test_what_is_not_finite_or_bad_is_left_out():
    values = np.array([np.nan, 5, 6, np.inf, 7, 8, 9, -np.inf, 1000])
    bad = np.arange(9) == 8
    found = fit_values(values, bad, MSSE)
    assert found.mean == 7
    assert found.inliers == 5
    whole = fit_values(np.array([5, 6, 7, 8, 9, 1, 1]), np.array([0] * 5 + [1] * 2, bool), MSSE)
    assert whole.mean == 7
    assert whole.inliers == 5


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2, 3, 4], [np.nan] * 20])
def test_too_few_values_are_told(values):
    found = fit_values(np.array(values, float))
    assert np.isnan(found.mean)
    assert np.isnan(found.scale)
    assert found.inliers == 0


def test_many_vectors_are_fitted_as_one_each():
    rows = sadri(50, seeds=30).reshape(5, 6, 150)
    together = fit_values(rows)
    assert together.mean.shape == (5, 6)
    alone = [fit_values(row) for row in rows.reshape(30, 150)]
    assert np.array_equal(together.mean.ravel(), [each.mean for each in alone])
    assert np.array_equal(together.inliers.ravel(), [each.inliers for each in alone])


def test_skewed_data_have_their_mode():
    values = np.random.default_rng(0).gamma(2.0, 10.0, 100_000)  # mode at 10, mean at 20
    assert fit_values(values, settings=RobustSettings(skewed=True)).mean == pytest.approx(
        12, abs=2.5
    )
    assert fit_values(values).mean > 15


@given(
    st.lists(st.integers(-1000, 1000), min_size=5, max_size=60),
    st.integers(-500, 500),
    st.randoms(use_true_random=False),
)
def test_order_and_offset_do_not_matter(values, offset, random):
    first = fit_values(np.array(values))
    shuffled = list(values)
    random.shuffle(shuffled)
    again = fit_values(np.array(shuffled))
    assert first == again
    moved = fit_values(np.array(values) + float(offset))
    assert moved.mean == pytest.approx(first.mean + offset, abs=1e-9)
    assert moved.scale == pytest.approx(first.scale, abs=1e-9)
    assert moved.inliers == first.inliers


@pytest.mark.parametrize("values", [np.array(3.0), np.array(["a"]), np.array([1j])])
def test_what_is_no_vector_of_numbers_is_refused(values):
    with pytest.raises(SettingsError, match="real numbers"):
        fit_values(values)
