"""Histograms of features against those of float64, and their fits against what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.masks.ratio_histogram import ratio_histogram


def test_bars_are_those_of_numpy():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, 20_000).astype(np.float32)
    values[:3] = np.nan, np.inf, -np.inf
    values[3:6] = 15.0, -15.0, 15.5
    kept = np.clip(values[1:].astype(np.float64), -15, 15)
    found = ratio_histogram(values, 15.0)
    counts, edges = np.histogram(kept, 120, (-15, 15))
    assert found.edges == pytest.approx(edges)
    assert found.counts.sum() == 19_999
    assert np.abs(found.counts - counts).sum() <= 4  # float32 at an edge falls to either side
    assert found.counts[[0, -1]].tolist() == counts[[0, -1]].tolist()


@pytest.mark.parametrize(("centre", "scale"), [(0.0, 1.0), (-1.5, 0.4), (2.0, 2.5)])
def test_the_curve_is_the_gaussian_without_the_outliers(centre, scale):
    rng = np.random.default_rng(1)
    good = rng.normal(centre, scale, 300_000)
    values = np.concatenate([good, rng.uniform(-15, 15, 20_000)]).astype(np.float32)
    found = ratio_histogram(rng.permutation(values).reshape(400, 800), 15.0)
    assert (found.centre, found.scale) == pytest.approx((centre, scale), abs=0.02 * scale)
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    near = np.abs(middle - centre) < 2 * scale
    expected = np.histogram(good, found.edges)[0]
    assert found.curve(middle)[near] == pytest.approx(expected[near], rel=0.1, abs=250)
    assert found.curve(middle).sum() == pytest.approx(300_000, rel=0.05)


def test_what_is_nowhere_negative_begins_at_nothing():
    found = ratio_histogram(np.array([0, 1, 2, 40], np.float32), 20.0, 4)
    assert found.edges.tolist() == [0, 5, 10, 15, 20]
    assert found.counts.tolist() == [3, 0, 0, 1]


@pytest.mark.parametrize(
    "values", [np.full(9, np.nan), np.zeros(0), np.array([1.0, 2.0]), np.zeros(50)]
)
def test_too_little_has_no_curve(values):
    found = ratio_histogram(values.astype(np.float32), 15.0)
    assert found.counts.sum() == np.count_nonzero(~np.isnan(values))
    assert np.isnan(found.curve(np.array([0.0, 1.0]))).all()
