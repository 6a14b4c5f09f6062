"""Maps of events: shapes whose coordinates are known, and what cannot be mapped."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import spi_runs
from scipy.stats import spearmanr

from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.spi.embedding import embed_features, run_features, write_map


def test_principal_components_are_those_of_the_spread():
    generator = np.random.default_rng(1)
    long, short = generator.uniform(-1, 1, (2, 400))
    long, short = long - np.median(long), short - np.median(short)
    # Two features go with one cause, one with another: after scaling the first has
    # variance 2, the second 1, along (1, 1, 0) and (0, 0, 1).
    table = np.stack([5 + 3 * long, -2 + 7 * long, 100 + 0.01 * short], axis=1)
    found = embed_features(table, "pca")
    assert found.shape == (400, 2)
    for column, truth in zip(found.T, (long, short), strict=True):
        assert abs(np.corrcoef(column, truth)[0, 1]) > 0.99
        assert (column**2).mean() == pytest.approx(1)
        assert column[np.abs(column).argmax()] > 0


@pytest.mark.parametrize("n", [300, 2200])  # the latter with places found by extension
def test_diffusion_map_unrolls_a_curve(n):
    generator = np.random.default_rng(2)
    along = np.sort(generator.uniform(0, 1, n))
    turn = 1.5 * np.pi * (1 + 2 * along)
    spiral = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1)
    spiral += generator.normal(0, 0.1, spiral.shape)
    found = embed_features(spiral)
    assert abs(spearmanr(found[:, 0], along).statistic) > 0.95
    # Straight lines cannot: the spiral comes round again.
    assert abs(spearmanr(embed_features(spiral, "pca")[:, 0], along).statistic) < 0.7


def test_diffusion_map_of_a_ring_is_a_ring():
    # Eigenfunctions of diffusion on a circle are its cosine and sine.
    angle = 2 * np.pi * np.arange(200) / 200
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = embed_features(ring)
    assert np.hypot(*found.T) == pytest.approx(np.sqrt(2), rel=0.02)
    turned = np.unwrap(np.arctan2(found[:, 1], found[:, 0]))
    assert np.abs(np.diff(turned)) == pytest.approx(2 * np.pi / 200, rel=0.05)


@pytest.mark.parametrize("method", ["pca", "diffusion"])
def test_events_without_features_have_no_place_and_equal_input_equal_maps(method):
    generator = np.random.default_rng(3)
    table = generator.normal(size=(50, 6))
    table[:25] += 4
    table[7, 2], table[9] = np.nan, np.inf
    table[:, 5] = 3.0  # says nothing
    found = embed_features(table, method)
    assert np.isnan(found[[7, 9]]).all()
    assert np.isfinite(np.delete(found, [7, 9], axis=0)).all()
    assert np.array_equal(found, embed_features(table.copy(), method), equal_nan=True)
    first = np.delete(found[:25, 0], [7, 9])
    assert first.max() < found[25:, 0].min() or first.min() > found[25:, 0].max()


def test_equal_events_share_a_place_and_far_ones_have_one():
    generator = np.random.default_rng(4)
    table = generator.normal(size=(1700, 3))
    table[1] = table[0]
    table[2] = 1e9
    found = embed_features(table)
    assert np.isfinite(found).all()
    assert found[1] == pytest.approx(found[0], abs=1e-6)


@pytest.mark.parametrize(
    ("table", "method", "words"),
    [
        (np.zeros((10, 3)), "pca", "differ"),
        (np.full((10, 3), np.nan), "diffusion", "at least four"),
        (np.eye(3), "pca", "at least four"),
        (np.zeros((0, 3)), "pca", "at least four"),
        (np.zeros(10), "pca", "a row an event"),
        (np.eye(10), "tsne", "not one of pca, diffusion"),
    ],
)
def test_what_cannot_be_mapped_is_told(table, method, words):
    with pytest.raises(SettingsError, match=words):
        embed_features(table, method)


def test_map_of_a_run_is_written_as_a_table(tmp_path):
    generator = np.random.default_rng(5)
    means = [spi_runs.sphere(d, 20_000.0) for d in [40.0] * 6 + [70.0] * 6]
    stack = spi_runs.run(tmp_path, generator.poisson(np.stack(means) + 0.05))
    table = run_features(stack)
    assert table.shape[0] == 12
    assert np.isfinite(table).all()
    places = embed_features(table, "pca")
    assert abs(places[:6, 0].mean() - places[6:, 0].mean()) > 1
    places[3] = np.nan
    out = tmp_path / "map.csv"
    write_map(out, stack, places)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["event"] for row in rows] == [str(stack.event_id(i)) for i in range(12)]
    assert rows[3]["x"] == rows[3]["y"] == ""
    assert float(rows[0]["x"]) == pytest.approx(places[0, 0], rel=1e-5)
    with pytest.raises(OutputError):
        write_map(out, stack, places)
