"""Networks of single hits without PyTorch: recipes, shapes, pictures, changes, model file."""

from __future__ import annotations

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from spi_pictures import BEAM, SHAPE, geometry, run

import napari_xfelsort as xs
from napari_xfelsort.core.deep import spi_model
from napari_xfelsort.core.deep.spi_augmentation import (
    SpiAugmenter,
    SpiChanges,
    blurred,
    cut_out,
    ring_shares,
    thinned,
    warped,
    with_background,
    with_gamma,
)
from napari_xfelsort.core.deep.spi_fit import duration, preset_settings
from napari_xfelsort.core.deep.spi_kept import KeptStates, TrainingState
from napari_xfelsort.core.deep.spi_layout import PictureLayout, flips, picture_layout
from napari_xfelsort.core.deep.spi_model import SpiNetworks, check_networks, standardised
from napari_xfelsort.core.deep.spi_resnet import (
    first_stride,
    new_spi_tensors,
    spi_blocks,
    spi_shapes,
)
from napari_xfelsort.core.deep.spi_rings import SpiRings, n_ring_statistics
from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings, split_settings
from napari_xfelsort.core.deep.spi_training import draw, seen_moments
from napari_xfelsort.core.errors import (
    MissingDependencyError,
    ModelError,
    RegionError,
    SettingsError,
    TrainingError,
)
from napari_xfelsort.core.features import FeatureExtractor, FeatureSettings
from napari_xfelsort.core.learning.shares import choose_rule
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import as_region
from napari_xfelsort.core.thresholds import positive_class
from napari_xfelsort.core.train_settings import TrainSettings


def test_the_paper_s_recipe_is_the_published_one():
    recipe = SpiNetworkSettings(recipe="paper").recipe_for(False)
    assert (recipe.epochs, recipe.batch, recipe.rate, recipe.parts) == (1000, 64, 1e-4, 5)
    assert recipe.drawn_share == 0.02
    assert recipe.weights[0] == recipe.weights[1]
    assert not recipe.root
    more = SpiNetworkSettings(recipe="paper", preset="more_sh").recipe_for(False)
    assert (more.drawn_share, more.weights) == (0.05, (0.1, 0.9))
    assert recipe.rate_at(0) == 1e-4
    assert recipe.rate_at(500) == pytest.approx(1e-4 * 0.5**0.9)
    assert 0 < recipe.rate_at(999) < 1e-6


def test_a_gpu_decides_for_the_recipe_unless_one_is_named():
    assert SpiNetworkSettings().recipe_for(True).name == "paper"
    assert SpiNetworkSettings().recipe_for(False).name == "cpu"
    assert SpiNetworkSettings(recipe="cpu").recipe_for(True).name == "cpu"
    given = SpiNetworkSettings(epochs=3, rate=0.1, patience=7).recipe_for(False)
    assert (given.epochs, given.rate, given.patience) == (3, 0.1, 7)


@pytest.mark.parametrize(
    "wrong", [{"preset": "best"}, {"recipe": "gpu"}, {"epochs": 0}, {"drawn_share": 1.0}]
)
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(SettingsError):
        SpiNetworkSettings(**wrong)


def test_settings_of_networks_are_found_among_others():
    network, others = split_settings({"preset": "more_sh", "bin": 2})
    assert network.preset == "more_sh"
    assert others == {"bin": 2}


def test_the_paper_s_network_ends_with_6_x_6_and_256_filters():
    shape = (192, 96)
    blocks = list(spi_blocks("paper", shape))
    strides = np.prod([block.stride for block in blocks], axis=0) * first_stride("paper", shape)
    assert (np.array(shape) // strides).tolist() == [6, 6]
    assert len(blocks) == 8
    assert blocks[0].before == 16
    assert blocks[-1].after == 256
    # filters double or stay
    assert {block.after // block.before for block in blocks} == {1, 2}
    shapes = spi_shapes("paper", shape)
    assert shapes["stem.weight"] == (16, 1, 3, 3)
    assert shapes["last.weight"] == (2, 256)
    assert shapes["block7.conv2.weight"] == (256, 256, 3, 3)
    assert "block0.short.weight" not in shapes


@pytest.mark.parametrize("architecture", ["early", "paper"])
@pytest.mark.parametrize("shape", [(12, 12), (96, 48), (99, 96), (12, 200)])
def test_no_side_of_a_map_vanishes(architecture, shape):
    blocks = list(spi_blocks(architecture, shape))
    strides = np.prod([block.stride for block in blocks], axis=0)
    left = np.array(shape) / (strides * first_stride(architecture, shape))
    assert (left >= 4).all()


def test_new_tensors_are_those_of_the_seed_and_have_the_spread_of_he():
    first, again, other = (new_spi_tensors("paper", (96, 96), (k,)) for k in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    weight = "block6.conv2.weight"
    assert not np.array_equal(first[weight], other[weight])
    assert first[weight].std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.02)
    assert (first["norm.running_var"] == 1).all()
    assert not first["norm.running_mean"].any()


def test_an_unknown_network_is_told():
    with pytest.raises(ModelError, match="no network 'vgg'"):
        list(spi_blocks("vgg", (96, 96)))


def extractor(mask=None, shape=SHAPE, **changes):
    settings = FeatureSettings(**changes)
    return FeatureExtractor.for_region(settings, as_region(None), shape, None, mask)


def test_a_cell_is_the_mean_of_its_good_pixels():
    bad = np.zeros(SHAPE, np.uint32)
    bad[0, 1] = bad[4:6, 6:8] = 1
    own = extractor(mask=PixelMask(bad))
    layout = picture_layout(own, geometry(), side=2)
    assert layout.shape == (14, 13)
    frame = np.random.default_rng(0).poisson(3.0, SHAPE).astype(np.float32)
    picture = layout.pictures(frame[bad == 0][np.newaxis])[0]
    known = np.where(bad == 0, frame, np.nan).reshape(14, 2, 13, 2).transpose(0, 2, 1, 3)
    there = np.isfinite(known).sum(axis=(2, 3))
    wanted = np.nansum(known, axis=(2, 3)) / np.maximum(there, 1)
    np.testing.assert_allclose(picture, wanted, rtol=1e-6)
    np.testing.assert_array_equal(layout.pixels, there)
    assert not layout.covered[2, 3]
    # the beam, counted from the middle of the first cell
    assert layout.beam == pytest.approx(((BEAM[0] - 0.5) / 2, (BEAM[1] - 0.5) / 2))


def test_blocks_of_pixels_can_be_features_too():
    layout = picture_layout(extractor(bin=2), geometry(), side=2)
    assert layout.shape == (14, 13)
    assert sorted(layout.cell.tolist()) == list(range(14 * 13))
    assert (layout.pixels == 4).all()


def test_pictures_show_the_detector_as_it_stands(tmp_path):
    made = SimpleNamespace(
        positions=lambda: (*np.meshgrid(np.arange(16.0), np.r_[20.0:12:-1, 2:-6:-1]), None),
        pixel_size=1.0,
    )
    layout = picture_layout(extractor(shape=(16, 16)), made, side=1)
    # 20 ... 13 above, 2 ... -5 below, and ten rows between
    assert layout.shape == (26, 16)
    assert layout.covered[:8].all()
    assert not layout.covered[8:18].any()
    assert layout.beam == (20.0, 0.0)
    frame = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    picture = layout.pictures(frame.reshape(1, -1))[0]
    np.testing.assert_array_equal(picture[:8], frame[0, :8])
    np.testing.assert_array_equal(picture[18:], frame[0, 8:])


@pytest.mark.parametrize(
    ("beam", "mirrors"),
    [
        ((13.5, 12.5), "both"),
        ((13.5, 2.0), "rows"),
        ((-4.5, 12.5), "columns"),
        ((3.0, 3.0), "none"),
    ],
)
def test_mirrors_are_those_that_map_the_detector_onto_itself(beam, mirrors):
    assert picture_layout(extractor(), geometry(beam), side=1).mirrors() == mirrors


def test_without_a_beam_nothing_is_mirrored():
    layout = picture_layout(extractor(), None, side=1)
    assert layout.beam is None
    assert layout.mirrors() == "none"


def test_a_detector_with_a_gap_on_one_side_is_not_mirrored():
    bad = np.zeros(SHAPE, np.uint32)
    bad[:, :9] = 1
    layout = picture_layout(extractor(mask=PixelMask(bad)), geometry(), side=1)
    layout = dataclasses.replace(layout, shape=(28, 17))  # what is left
    wide = PictureLayout(
        SHAPE, np.arange(28 * 26, dtype=np.int32), (bad == 0).astype(np.float32), BEAM, 1
    )
    assert wide.mirrors() == "rows"
    assert flips("rows") == ((), (1,))
    assert len(flips("both")) == 4


def test_the_cell_follows_from_the_longer_side():
    assert picture_layout(extractor(shape=(384, 100)), None).side == 2
    assert picture_layout(extractor(shape=(192, 96)), None).side == 1
    assert picture_layout(extractor(shape=(600, 80)), None).side == 3


def test_what_makes_no_picture_is_told():
    with pytest.raises(SettingsError, match="kind pixels"):
        picture_layout(extractor(kinds=("intensity",)), None)
    with pytest.raises(SettingsError, match="12 to 1024"):
        picture_layout(extractor(), None, side=3)
    with pytest.raises(RegionError, match="need a geometry"):
        picture_layout(extractor(shape=(2, 16, 16)), None)


def test_warping_turns_enlarges_and_shifts():
    random = np.random.default_rng(0)
    picture = random.random((15, 15), np.float32)
    middle = (7.0, 7.0)
    np.testing.assert_allclose(warped(picture, middle), picture, atol=1e-6)
    # from rows to columns: what was on the first row comes to the last column's place or back
    np.testing.assert_allclose(warped(picture, middle, turn=90), np.rot90(picture), atol=1e-5)
    shifted = warped(picture, middle, shift=(2, -3))
    np.testing.assert_allclose(shifted[2:, :-3], picture[:-2, 3:], atol=1e-6)
    assert not shifted[:2].any()
    # three times as large: each of the inner 5 x 5 is 3 x 3
    large = np.repeat(np.repeat(picture[5:10, 5:10], 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(warped(picture, middle, scale=3.0), large)


def test_warped_photons_scatter_as_counted_ones():
    random = np.random.default_rng(0)
    picture = random.poisson(1.0, (200, 200)).astype(np.float32)
    elastic = random.uniform(-1, 1, (2, 5, 5))
    found = warped(picture, (99.5, 99.5), 12.0, 1.1, (0.4, -1.3), elastic, 0.05)
    inside = found[40:160, 40:160]
    assert set(np.unique(inside)) <= set(np.unique(picture))
    # variance by mean is 1 for counts of photons, and 0.4 or so between cells
    assert inside.var() / inside.mean() == pytest.approx(1, abs=0.06)


def test_stretching_moves_rings_against_each_other():
    y, x = np.indices((31, 31)) - 15.0
    away = np.hypot(y, x)
    found = warped(away.astype(np.float32), (15.0, 15.0), stretch=0.2)
    inside = away < 12
    # as far out as it comes from, of a picture of distances
    wanted = away * (1 + 0.2 * (away / away.max() - 0.5))
    np.testing.assert_allclose(found[inside], wanted[inside], atol=0.75)  # to the next cell


def test_rings_lose_different_shares():
    shares = ring_shares((21, 31), (10.0, 15.0), 1.5, np.random.default_rng(0))
    assert shares.shape == (21, 31)
    assert np.exp(-1.5) <= shares.min() < shares.max() <= 1
    # the same all around the beam
    np.testing.assert_allclose(shares, shares[::-1])
    np.testing.assert_allclose(shares, shares[:, ::-1])
    assert np.ptp(shares[10]) > 0.2
    photons = np.full((21, 31), 1000.0)
    kept = thinned(photons, shares, np.random.default_rng(1))
    np.testing.assert_allclose(kept / 1000, shares, atol=0.07)


def test_an_elastic_change_moves_parts_as_its_knots_say():
    picture = np.random.default_rng(0).random((13, 17), np.float32)
    everywhere = np.zeros((2, 3, 3))
    everywhere[0] = 1.0
    moved = warped(picture, (0.0, 0.0), elastic=everywhere)
    np.testing.assert_allclose(moved[:-1], picture[1:], atol=1e-6)
    corner = np.zeros((2, 3, 3))
    corner[1, 0, 0] = 2.0
    moved = warped(picture, (0.0, 0.0), elastic=corner)
    assert moved[0, 0] == pytest.approx(picture[0, 2], abs=1e-6)
    np.testing.assert_allclose(moved[6:], picture[6:], atol=1e-6)


def test_gamma_keeps_ends_and_order():
    picture = np.array([[1.0, 2.0, 5.0]], np.float32)
    np.testing.assert_allclose(with_gamma(picture, 2.0), [[1, 1.25, 5]])
    flat = np.full((2, 2), 3.0, np.float32)
    np.testing.assert_array_equal(with_gamma(flat, 2.0), flat)


def test_blur_spreads_a_point_by_its_sigma():
    picture = np.zeros((31, 31), np.float32)
    picture[15, 15] = 1
    found = blurred(picture, 1.5)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    place = np.arange(31) - 15.0
    assert np.sqrt((found.sum(axis=0) * place**2).sum()) == pytest.approx(1.5, rel=0.03)


def test_a_rectangle_is_cut_out():
    picture = np.ones((5, 6), np.float32)
    found = cut_out(picture, (1, 2), (2, 3))
    assert found.sum() == 30 - 6
    assert not found[1:3, 2:5].any()
    assert picture.all()
    assert cut_out(picture, (4, 5), (3, 3)).sum() == 29  # beyond the edge


def test_thinning_loses_photons_by_chance():
    photons = np.full((100, 100), 20.0)
    found = thinned(photons, 0.3, np.random.default_rng(0))
    assert found.mean() == pytest.approx(6, rel=0.02)
    assert found.var() == pytest.approx(20 * 0.3 * 0.7, rel=0.05)
    assert (found <= photons).all()
    assert (found == np.rint(found)).all()
    np.testing.assert_array_equal(thinned(photons, 1.0, np.random.default_rng(0)), photons)
    assert not thinned(np.full((3, 3), -1.0), 0.5, np.random.default_rng(0)).any()


def test_background_is_added_and_counted():
    mean = np.full((100, 100), 2.0)
    added = with_background(np.ones((100, 100)), mean, np.random.default_rng(0)) - 1
    assert added.mean() == pytest.approx(2, rel=0.02)
    assert added.var() == pytest.approx(2, rel=0.05)


def augmenter(changes, photons=4.0, allowed=((),)):
    covered = np.full((16, 16), photons, np.float32)
    covered[8] = 0
    return SpiAugmenter(
        changes, lambda p: p.copy(), covered, np.ones((16, 16)), (7.5, 7.5), allowed
    )


def test_without_strength_pictures_stay():
    pictures = np.random.default_rng(0).random((8, 16, 16), np.float32)
    found = augmenter(SpiChanges().times(0)).batch(pictures, np.random.default_rng(1))
    wanted = pictures.copy()
    wanted[:, 8] = 0
    np.testing.assert_array_equal(found, wanted)


def test_every_change_is_made_and_nothing_where_no_pixel_is():
    pictures = np.random.default_rng(0).random((40, 16, 16), np.float32)
    before = pictures.copy()
    changer = augmenter(SpiChanges(often=1.0), allowed=((), (1,)))
    found = changer.batch(pictures, np.random.default_rng(1))
    np.testing.assert_array_equal(pictures, before)
    assert np.isfinite(found).all()
    assert not found[:, 8].any()
    again = changer.batch(pictures, np.random.default_rng(1))
    np.testing.assert_array_equal(found, again)
    assert all(not np.allclose(a, b) for a, b in zip(found, pictures, strict=True))


def test_only_allowed_mirrors_are_made():
    still = SpiChanges().times(0)
    picture = np.random.default_rng(0).random((1, 16, 16), np.float32)
    picture[:, 8] = picture[:, 7] = 0
    changer = augmenter(still, allowed=((), (1,)))
    random = np.random.default_rng(0)
    seen = {changer.batch(picture, random).tobytes() for _ in range(30)}
    mirrored = picture[:, ::-1].copy()
    assert seen == {picture.tobytes(), mirrored.tobytes()}


def test_single_hits_are_drawn_as_often_as_wanted():
    single = np.zeros(1000, bool)
    single[::100] = True
    recipe = dataclasses.replace(
        SpiNetworkSettings().recipe_for(False), batch=4000, drawn_share=0.05
    )
    rows = np.arange(500)
    drawn = draw(single, rows, recipe, np.random.default_rng(0))
    assert drawn.max() < 500
    assert single[drawn].mean() == pytest.approx(0.05, abs=0.015)
    assert len(np.unique(drawn[single[drawn]])) == 5


def test_what_is_seen_has_mean_0_and_deviation_1():
    pixels = np.ones((16, 16), np.float32)
    pixels[:4] = 0
    layout = PictureLayout((16, 16), np.arange(256, dtype=np.int32), pixels, None, 1)
    pictures = np.random.default_rng(0).gamma(2.0, size=(300, 16, 16)).astype(np.float32)
    for root in (False, True):
        mean, sd = seen_moments(pictures, layout, root)
        seen = standardised(pictures, layout, root, mean, sd)[:, 4:]
        values = np.sqrt(pictures[:, 4:]) if root else pictures[:, 4:]
        assert mean == pytest.approx(values.mean(), rel=1e-5)
        assert seen.mean() == pytest.approx(0, abs=1e-4)
        assert seen.std() == pytest.approx(1, abs=1e-4)
    assert not standardised(pictures, layout, True, 1, 1)[:, :4].any()
    with pytest.raises(TrainingError, match="the same everywhere"):
        seen_moments(np.ones((3, 16, 16), np.float32), layout, True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 seconds"),
        (90, "90 seconds"),
        (600, "10 minutes"),
        (150, "2.5 minutes"),
        (10800, "3 hours"),
        (250_000, "2.9 days"),
    ],
)
def test_times_are_told_in_words(seconds, words):
    assert duration(seconds) == words


def test_a_preset_chooses_the_rule_of_the_threshold():
    settings = TrainSettings(model="spi_cnn")
    more = SpiNetworkSettings(preset="more_sh")
    assert preset_settings(settings, SpiNetworkSettings()).threshold == "max_f1"
    chosen = preset_settings(settings, more)
    assert (chosen.threshold, chosen.recall) == ("high_recall", 0.98)
    assert preset_settings(dataclasses.replace(settings, recall=0.9), more).recall == 0.9
    given = dataclasses.replace(settings, threshold=0.3)
    assert preset_settings(given, more).threshold == 0.3


def test_the_rule_is_that_of_the_best_f1():
    classes = np.array([0, 0, 0, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.9])
    found = np.stack([1 - scores, scores], axis=1)
    settings = TrainSettings(threshold="max_f1")
    rule, judged = choose_rule(settings, found, classes, ("other", "single"), "single")
    # from 0.4 on: 2 right of 3 chosen, F1 0.8, and no threshold has more
    assert 0.3 < rule.threshold <= 0.4
    assert judged["accuracy"] == pytest.approx(5 / 6)


def test_single_is_what_is_looked_for():
    assert positive_class(("not_single", "single")) == "single"
    assert positive_class(("good", "single")) == "good"
    assert positive_class(("bad", "ice")) == "bad"
    assert positive_class(("a", "b", "single")) is None


def test_what_is_kept_comes_back_and_what_is_torn_is_none(tmp_path):
    kept = KeptStates("key", tmp_path / "networks")
    assert kept.read(0) is None
    tensors = {"a.weight": np.arange(3, dtype=np.float32)}
    kept.write(0, TrainingState(tensors, {}, {"step:a": np.float32(7)}, 5, np.inf, 2))
    state = kept.read(0)
    np.testing.assert_array_equal(state.tensors["a.weight"], [0, 1, 2])
    assert (state.epoch, state.best_loss, state.since, state.done) == (5, np.inf, 2, False)
    assert state.moments["step:a"] == 7
    path = next((tmp_path / "networks").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    assert kept.read(0) is None
    kept.forget(2)
    assert not list((tmp_path / "networks").iterdir())


def whole_layout(shape, beam, pixels=1.0):
    """Every cell has pixels."""
    cells = shape[0] * shape[1]
    counted = np.full(shape, pixels, np.float32)
    return PictureLayout(shape, np.arange(cells, dtype=np.int32), counted, beam, 1)


def rings_of(photons, beam, photon=1.0, root=True, pixels=1.0):
    """What a network is given of rings of photons a cell."""
    layout = whole_layout(photons.shape[1:], beam, pixels)
    seen = standardised((photons * photon / pixels).astype(np.float32), layout, root, 0.7, 1.9)
    found = SpiRings(layout, photon, root, 0.7, 1.9).of(seen)
    return found.reshape(len(photons), 3, -1)


def test_rings_are_those_of_the_photons_however_they_are_seen():
    photons = np.random.default_rng(0).poisson(3.0, (4, 40, 60))
    first = rings_of(photons, (39.5, 30.0))
    assert first.shape == (4, 3, 36)
    assert np.ptp(first, axis=0).max() > 0.01
    for changes in ({"photon": 12.5}, {"root": False}, {"pixels": 4.0}):
        other = rings_of(photons, (39.5, 30.0), **changes)
        np.testing.assert_allclose(other, first, rtol=2e-3, atol=2e-3)


def test_contrast_of_rings_is_that_of_the_picture_without_counting():
    # 500 (1 + cos(2 phi) / 2) photons within 25 cells, none beyond: variance / mean^2 is 1/8
    y, x = np.indices((64, 64)) - 31.5
    away = np.hypot(y, x)
    mean = np.where(away < 25, 500 * (1 + 0.5 * np.cos(2 * np.arctan2(y, x))), 0.0)
    photons = np.random.default_rng(0).poisson(mean, (20, 64, 64))
    found = rings_of(photons, (31.5, 31.5)).mean(axis=0)
    inner = slice(8, 18)
    contrast = np.expm1(found[1, inner]) / 3
    assert contrast.mean() == pytest.approx(1 / 8, rel=0.05)
    np.testing.assert_allclose(contrast, 1 / 8, rtol=0.2)  # rings of few cells
    # directions of 30 degrees see sinc(30 degrees) of the wave, in the mean of 12 less one
    seen = 1 / 8 * (np.sin(np.pi / 6) / (np.pi / 6)) ** 2 * 12 / 11
    np.testing.assert_allclose(np.expm1(found[2, inner]) / 3, seen, rtol=0.1)
    # ln of the mean by that of all cells
    share = 500 / mean.mean()
    np.testing.assert_allclose(found[0, inner], np.log(share), atol=0.03)
    # where only counting scatters there is none
    flat = np.random.default_rng(1).poisson(2.0, (200, 64, 64))
    found = rings_of(flat, (31.5, 31.5))[:, 1:]
    contrast = np.sign(found) * np.expm1(np.abs(found)) / 3
    assert 0.5 < contrast.std() < 2  # in units of its error
    assert contrast.mean() == pytest.approx(0, abs=0.05)
    np.testing.assert_allclose(contrast.mean(axis=0), 0, atol=0.5)


def test_rings_need_the_beam_and_fit_small_pictures():
    with pytest.raises(RegionError, match=r"rings = false"):
        SpiRings(whole_layout((12, 12), None), 1.0, True, 0.0, 1.0)
    small = whole_layout((12, 12), (5.5, 5.5))
    assert n_ring_statistics(small) == 3 * 7  # from 0.7 to 7.8 cells
    found = SpiRings(small, 1.0, True, 0.0, 1.0).of(np.zeros((2, 12, 12), np.float32))
    assert found.shape == (2, 21)
    assert np.isfinite(found).all()


def plain_networks(n=2, shape=(28, 26), rings=False):
    layout = whole_layout(shape, BEAM)
    beside = n_ring_statistics(layout) if rings else 0
    parts = [new_spi_tensors("early", shape, (k,), beside) for k in range(n)]
    tensors = {name: np.stack([own[name] for own in parts]) for name in parts[0]}
    return SpiNetworks("early", layout, True, 1.0, 2.0, "both", tensors, 1, rings, 2.5)


@pytest.fixture(scope="module")
def trained():
    """A model whose classifier is put in place of another one's."""
    stack, labels = run()
    model = xs.train(stack, labels, model="naive_bayes", split="event", cache=False)
    return dataclasses.replace(model, estimator=plain_networks(rings=True))


def test_a_model_file_keeps_networks_without_running_them(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    trained.save(tmp_path / "net.xfelmodel")
    found = xs.load_model(tmp_path / "net.xfelmodel")
    assert found.digest == trained.digest
    assert found.estimator.n_networks == 2
    assert found.estimator.mirrors == "both"
    assert (found.estimator.rings, found.estimator.photon) == (True, 2.5)
    assert found.estimator.layout.beam == BEAM
    for name, values in trained.estimator.tensors.items():
        np.testing.assert_array_equal(found.estimator.tensors[name], values)


def test_a_model_of_networks_tells_what_it_needs_before_the_work(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(spi_model, "has_onnx", lambda: False)
    with pytest.raises(MissingDependencyError, match=r"napari-xfelsort\[deep\]"):
        trained.check(run()[0])


def test_training_without_pytorch_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    stack, labels = run()
    with pytest.raises(MissingDependencyError, match="need PyTorch"):
        xs.train(stack, labels, model="spi_cnn", split="event", cache=False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"architecture": "vgg"}, "no network"),
        ({"mirrors": "sideways"}, "no network"),
        ({"positive": 2}, "no network"),
        ({"shape": [28, 99]}, "pictures are damaged"),
        ({"shape": [28, 10**6]}, "cannot be"),
        ({"sd": 0.0}, "standardised"),
        ({"mean": float("nan")}, "standardised"),
        ({"cell": np.full(28 * 26, 10**6, np.int32)}, "outside"),
        ({"cell": np.zeros(5, np.int32)}, "other features"),
        ({"tensors": {}}, "another network"),
        ({"rings": False}, "another network"),
        ({"photon": 0.0}, "count nothing"),
        ({"beam": None}, "where the rings are"),
        ({"beam": [1.0, float("nan")]}, "where the rings are"),
        ({"beam": [1e30, 1.0]}, "where the rings are"),
        ({"pixels": np.zeros((28, 26), np.float32)}, "no pixels"),
    ],
)
def test_networks_of_strangers_are_looked_at(trained, tmp_path, change, why):
    own = plain_networks(rings=True)
    check_networks(own, 28 * 26, 2)
    for name, value in change.items():
        setattr(own, name, value)
    with pytest.raises(ValueError, match=why):
        check_networks(own, 28 * 26, 2)
    dataclasses.replace(trained, estimator=own).save(tmp_path / "evil.xfelmodel")
    with pytest.raises(ModelError, match=r"evil\.xfelmodel"):
        xs.load_model(tmp_path / "evil.xfelmodel")


@pytest.mark.parametrize("how", ["shape", "kind", "nan"])
def test_tensors_of_strangers_are_looked_at(how):
    own = plain_networks()
    values = own.tensors["block1.conv1.weight"]
    values = {"shape": values[:, :-1], "kind": values.astype(np.float64), "nan": values * np.nan}
    own.tensors["block1.conv1.weight"] = values[how]
    with pytest.raises(ValueError, match=r"block1\.conv1\.weight"):
        check_networks(own, 28 * 26, 2)
