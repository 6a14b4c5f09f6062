"""Masks without dark runs, and shadows; the truth is what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from geometries import panel, text

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.masks.make import make_mask
from napari_xfelsort.core.masks.settings import MaskReason, MaskSource
from napari_xfelsort.core.masks.shadow import find_shadow

SHAPE = (256, 128)
N = 8  # pixels of each kind


def scattering(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Photons a frame: a falling background with a ring."""
    r = np.hypot(y, x)
    return 30 * np.exp(-r / 150) + 4 + 8 * np.exp(-(((r - 120) / 25) ** 2))


def ordinary(seed: int = 0, n: int = 300) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frames in ADU of a corrected detector, with Bragg peaks, and defects."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = scattering(y - 128, x + 40).ravel()
    pulse = rng.gamma(30, 1 / 30, (n, 1))
    frames = 20.0 * rng.poisson(light * pulse) + rng.normal(0, 5, (n, light.size))
    peaks = rng.random(frames.shape) < 0.01
    frames[peaks] += 4000
    some = rng.permutation(light.size)
    planted = {
        name: some[k * N : (k + 1) * N]
        for k, name in enumerate(("stuck", "hot", "cold", "noisy", "quiet", "full"))
    }
    frames[:, planted["stuck"]] = frames[0, planted["stuck"]]
    frames[:, planted["hot"]] += 250
    frames[:, planted["cold"]] -= 250
    frames[:, planted["noisy"]] += rng.normal(0, 400, (n, N))
    quiet = planted["quiet"]
    frames[:, quiet] = 20 * light[quiet] + rng.normal(0, 5, (n, N))
    frames[:, planted["full"]] = 60_000 + rng.normal(0, 5, (n, N))
    return np.rint(frames).astype(np.int32).reshape(n, *SHAPE), planted


def test_every_kind_of_defect_is_found_in_ordinary_frames():
    frames, planted = ordinary()
    made = make_mask(ordinary=frames, saturation=30_000)
    reasons, sources = made.reasons.ravel(), made.sources.ravel()
    wanted = {
        "stuck": MaskReason.DEAD,
        "hot": MaskReason.BRIGHT,
        "cold": MaskReason.BRIGHT,
        "noisy": MaskReason.FLICKER,
        "quiet": MaskReason.FLICKER,
    }
    for name, reason in wanted.items():
        assert (reasons[planted[name]] & np.uint8(reason) != 0).all(), name
    assert (sources[planted["full"]] == MaskSource.SATURATED).all()
    good = np.ones(reasons.size, bool)
    good[np.concatenate(list(planted.values()))] = False
    assert np.count_nonzero(reasons[good]) <= 2
    assert made.n_ordinary == 200
    assert list(made.features) == ["ordinary", "ordinary_spread"]
    assert not len(made.dark_frames)


def test_the_sample_is_evenly_spread_and_as_large_as_told():
    frames, _ = ordinary(n=100)
    frames[1::2] = 7  # of every second frame
    assert make_mask(ordinary=frames, ordinary_frames=25).n_ordinary == 25
    made = make_mask(ordinary=frames)
    assert made.n_ordinary == 100
    odd = make_mask(ordinary=frames[::4], ordinary_frames=25)
    few = make_mask(ordinary=np.concatenate([frames[:1], frames]), ordinary_frames=20)
    assert odd.n_ordinary == 25
    assert few.n_ordinary == 20


def test_memory_bounds_the_sample(monkeypatch):
    monkeypatch.setattr(
        "napari_xfelsort.core.masks.making._SAMPLE_BYTES", 2 * 50 * 4 * SHAPE[0] * SHAPE[1]
    )
    assert make_mask(ordinary=ordinary()[0]).n_ordinary == 50


def test_a_photon_counter_in_weak_light_is_not_masked_as_a_whole():
    """Most pixels count nothing in most frames: little can be told, and nothing is."""
    rng = np.random.default_rng(0)
    for photons in (0.02, 0.2, 0.6, 2.0):
        frames = rng.poisson(photons, (200, 64, 64)).astype(np.uint16)
        frames[:, 9, 9] = 50
        made = make_mask(ordinary=frames)
        assert made.bad[9, 9]
        assert made.n_bad <= 5, photons


def test_values_that_are_not_finite_in_ordinary_frames():
    frames, _ = ordinary(n=60)
    frames = frames.astype(np.float32)
    frames[:, 3, 4] = np.nan
    frames[::7, 5, 6] = np.nan
    made = make_mask(ordinary=frames)
    assert made.reasons[3, 4] == MaskReason.DEAD
    assert np.isnan(made.features["ordinary"].values[5, 6])


# -- shadows -----------------------------------------------------------------------------


def light_of(shape: tuple[int, int], middle: tuple[int, int]) -> tuple[np.ndarray, ...]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = y - middle[0], x - middle[1]
    return scattering(y, x), y, x


def shadows(y: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    r = np.hypot(y, x)
    arm = (abs(y) < 7) & (x > 0)
    return {
        "none": np.zeros(y.shape, bool),
        "disc": r < 18,
        "large disc": r < 80,
        "thin arm": (abs(y) < 4) & (x > 0),
        "arm": arm,
        "arm and disc": arm | (r < 25),
        "nozzle": y + 0.5 * x > 120,
    }


@pytest.mark.parametrize("kind", sorted(shadows(np.zeros((1, 1)), np.zeros((1, 1)))))
@pytest.mark.parametrize("photons", [0.5, 20])
def test_shadows_of_several_kinds(kind, photons):
    light, y, x = light_of((300, 280), (150, 130))
    truth = shadows(y, x)[kind]
    mean = np.random.default_rng(0).poisson(200 * photons * np.where(truth, 0.08, 1) * light) / 200
    bad = np.random.default_rng(1).random(mean.shape) < 0.02
    mean[bad] = 0
    found = find_shadow(mean, bad)
    assert not (found & bad).any()
    truth &= ~bad
    assert np.count_nonzero(found & truth) >= 0.95 * np.count_nonzero(truth)
    assert np.count_nonzero(found & ~truth) <= 0.06 * np.count_nonzero(truth)


def two_modules() -> Geometry:
    """Two modules of 128 x 120 pixels beside one another, ten pixels apart."""
    panels = {
        "a": panel(120, 128, (-130, -64)),
        "b": panel(120, 128, (0, -64), 0.0, (0, 128)),
    }
    return Geometry.from_crystfel_text(text(panels))


def test_a_shadow_goes_on_across_panels_of_a_geometry():
    geometry = two_modules().fit((256, 120))
    x, y, _ = (k / geometry.pixel_size for k in geometry.positions())
    light = scattering(y, x)
    # In b there is so little left of it that, by itself, it would be too small.
    truth = np.hypot(y, x + 60) < 65
    mean = np.where(truth, 0.05, 1) * light
    found = find_shadow(mean, np.zeros(mean.shape, bool), geometry)
    assert np.count_nonzero(found & truth) >= 0.97 * truth.sum()
    assert np.count_nonzero(found & ~truth) <= 0.03 * truth.sum()


def test_shadows_are_looked_for_only_when_asked():
    light, y, x = light_of(SHAPE, (128, 60))
    truth = shadows(y, x)["arm"]
    rng = np.random.default_rng(0)
    frames = rng.poisson(np.where(truth, 0.05, 1) * light, (60, *SHAPE)) * 50.0
    frames += rng.normal(1000, 5, frames.shape)
    dark = np.rint(rng.normal(1000, 5, (40, *SHAPE))).astype(np.uint16)
    frames = np.rint(frames).astype(np.uint16)
    for kind in ("bright", "ordinary"):
        given = {"dark": dark, kind: frames}
        assert make_mask(**given).count_source(MaskSource.SHADOW) == 0
        made = make_mask(**given, shadow=True)
        found = made.sources & np.uint8(MaskSource.SHADOW) != 0
        assert (made.reasons[found] & np.uint8(MaskReason.GIVEN) != 0).all()
        seen = made.sources == MaskSource.SHADOW
        assert np.count_nonzero(found & truth) >= 0.9 * truth.sum(), kind
        assert np.count_nonzero(seen & ~truth) <= 0.05 * truth.sum(), kind
        # As if it had been known before: no window has pixels of it, all pixels have offsets.
        known = make_mask(**given, bad=found)
        for name in set(made.features) - {"offset", "noise"}:
            np.testing.assert_array_equal(made.features[name].ratio, known.features[name].ratio)
            assert np.isnan(made.features[name].ratio[found]).all()
        assert np.isfinite(made.features["offset"].ratio).all()
