"""Scattering features against loops over rings and directions, and in a model."""

from __future__ import annotations

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.features import FeatureExtractor, FeaturePlaces, FeatureSettings
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.region import Region
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.readers import open_stack

SHAPE, CENTER = (50, 60), (21.3, 30.2)


def make(masked=None, **values):
    geometry = Geometry.single_panel(SHAPE, 1e-4, beam_center=CENTER)
    mask = None if masked is None else PixelMask.from_bad(masked)
    which = FeatureSettings(kinds=("scattering",), scattering_rings=8, **values)
    return FeatureExtractor.for_region(which, Region.parse("whole"), SHAPE, geometry, mask)


def expected(frame, good):
    """Logarithms of means, variances by means, spreads of directions."""
    y, x = np.indices(SHAPE)
    dy, dx = CENTER[0] - y, x - CENTER[1]  # y upwards
    away = np.hypot(dy, dx)
    low, step = away.min(), np.ptp(away) / 8
    ring = np.clip(np.floor((away - low) / step), 0, 7).astype(int)
    way = np.floor(np.degrees(np.arctan2(dy, dx)) % 360 / 30).astype(int)
    found = np.zeros((3, 8))
    for r in range(8):
        own = good & (ring == r)
        values = frame[own]
        means = np.array([frame[own & (way == d)].mean() for d in np.unique(way[own])])
        found[0, r] = np.log(max(values.mean() / frame[good].mean(), 1e-3))
        found[1, r] = values.var() / values.mean()
        found[2, r] = means.std() / values.mean()
    return found.ravel()


def test_features_are_those_of_rings_and_directions():
    generator = np.random.default_rng(4)
    frames = generator.poisson(3.0, (3, *SHAPE)).astype(np.float32)
    frames[1, :, 40:] += 5
    masked = generator.random(SHAPE) < 0.1
    frames[:, masked] = 1e6
    frames[2, 10, 20] = np.nan
    which = make(masked)
    found = which.extract(frames, np.broadcast_to(masked, frames.shape))
    for frame, row in zip(frames, found, strict=True):
        good = ~masked & np.isfinite(frame)
        assert row == pytest.approx(expected(frame, good), rel=1e-4, abs=1e-5)
    assert which.n_features == len(which.names) == len(which.units) == 24
    assert which.names[0].startswith("logarithm of the mean of ring")
    assert which.names[23].startswith("spread over directions of ring")


def test_dark_events_have_features_and_empty_ones_none():
    frames = np.zeros((2, *SHAPE), np.float32)
    frames[1] = np.nan
    found = make().extract(frames)
    assert np.isfinite(found[0]).all()
    assert found[0, :8] == pytest.approx(np.log(1e-3) * np.ones(8))
    assert (found[0, 8:] == 0).all()
    assert np.isnan(found[1]).all()


def test_places_are_kept_and_checked():
    which = make()
    arrays = which.places.to_arrays()
    again = FeaturePlaces.from_arrays(arrays, which.pixels)
    assert np.array_equal(again.scattering.index, which.places.scattering.index)
    assert np.array_equal(again.sector, which.places.sector)
    with pytest.raises(ValueError, match="sectors"):
        FeaturePlaces.from_arrays({**arrays, "sector": arrays["sector"] + 400}, which.pixels)
    with pytest.raises(RegionError, match="need a geometry"):
        FeatureExtractor.for_region(
            FeatureSettings(kinds=("scattering",)), Region.parse("whole"), SHAPE
        )
    with pytest.raises(RegionError, match="direction"):
        FeatureExtractor(
            which.settings,
            which.pixels,
            SHAPE,
            FeaturePlaces(scattering=which.places.scattering),
        )
    shown = which.pixel_map(np.arange(24.0))
    ring = which.places.scattering.index
    assert shown[ring == 2] == pytest.approx(2 + 10 + 18)


def test_a_model_of_them_finds_single_particles(tmp_path):
    shares = {"single": 0.5, "wrong_size": 0.3, "blank": 0.2, "doublet": 0, "cluster": 0}
    run = simulate_spi(
        tmp_path / "run",
        n_events=80,
        side=64,
        shape="sphere",
        deformed=0,
        streak=0,
        seed=3,
        **shares,
    )
    stack = open_stack(run.data, geometry=run.geometry)
    labels = np.array([n == "single" for n in run.names])
    model = xs.train(
        stack,
        ["single" if single else "other" for single in labels],
        model="random_forest",
        kinds=("scattering",),
        scattering_rings=16,
        n_estimators=50,
        workers=0,
        cache=False,
    )
    model.save(tmp_path / "m.xfelmodel")
    again = xs.load_model(tmp_path / "m.xfelmodel")
    decided = np.asarray(again.predict(stack).classes) == "single"
    assert (decided == labels).mean() > 0.9
    # Sorting takes the places of the model: no geometry is needed then.
    assert len(again.predict(open_stack(run.data)).classes) == 80
