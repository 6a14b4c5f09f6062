"""Simulated dark and flat-field runs: statistics, planted defects, files, bad input."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import GeometryError, OutputError, SettingsError
from napari_xfelsort.core.simulate.dark import (
    DEFECTS,
    DarkMaker,
    DarkSimulationSettings,
    simulate_dark,
)

SMALL = {"binning": 8, "n_events": 60, "seed": 2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Sixty frames of 268 x 257 pixels, dark and bright."""
    return simulate_dark(tmp_path_factory.mktemp("dark"), bad_pixels=0.007, **SMALL)


@pytest.fixture(scope="module")
def frames(pair):
    """Both runs as floating-point numbers, and what is a pixel."""
    read = []
    for path in (pair.dark, pair.flat):
        with h5py.File(path) as file:
            read.append(file["entry_1/data_1/data"][()].astype(np.float64))
            active = file["entry_1/data_1/mask"][()] == 0
    return *read, active


def test_both_runs_open_with_the_geometry(pair):
    for path in (pair.dark, pair.flat):
        stack = xs.open_stack(path, geometry=pair.geometry)
        assert (len(stack), stack.raw_shape, stack.dtype) == (60, (268, 257), np.uint16)
        assert not stack.problems
        assert stack.camera_length(0) == pytest.approx(0.2)


def test_pedestal_noise_gain_and_light_of_good_pixels(pair, frames):
    dark, flat, active = frames
    good = active & (pair.defects == 0)
    mean = dark[:, good].mean(axis=0)
    assert mean.mean() == pytest.approx(1000.0, abs=1.5)
    assert mean.std() == pytest.approx(25.0, rel=0.03)
    # Electronic noise, what a panel shifts from shot to shot, and rounding.
    expected = np.sqrt(10.0**2 * (1 + 0.08**2) + 3.0**2 + 1 / 12)
    assert np.sqrt(dark[:, good].var(axis=0, ddof=1).mean()) == pytest.approx(expected, rel=0.02)
    light = flat[:, good].mean(axis=0) - mean
    assert light.max() == pytest.approx(50 * 40, rel=0.1)
    # A third of the light is lost to the corners, as the square of the distance.
    y, x = np.indices(active.shape)
    r2 = ((y - 133.5) ** 2 + (x - 128.0) ** 2) / (133.5**2 + 128.0**2)
    slope, level = np.polyfit(r2[good], light, 1)
    assert slope / level == pytest.approx(-0.3, abs=0.01)


def test_light_is_counted_in_photons():
    """Without other noise the variance is the mean times ADU a photon."""
    settings = DarkSimulationSettings(
        noise=0.1,
        common_mode=0.0,
        pulse_jitter=0.0,
        gain_spread=0.0,
        bad_pixels=0.0,
        dead_lines=0,
        dead_blocks=0,
        **(SMALL | {"n_events": 2}),
    )
    maker = DarkMaker(settings)
    bright = np.stack([maker.frame(i, True) for i in range(40)]).astype(float)
    active = maker.panels.active
    light = bright[:, active] - maker.pedestal[active]
    ratio = light.var(axis=0, ddof=1) / light.mean(axis=0)
    assert ratio.mean() == pytest.approx(40.0, abs=5 * 40 * np.sqrt(2 / 39 / ratio.size) + 0.05)


def test_planted_defects_are_what_they_are_called(pair, frames):
    dark, flat, active = frames
    kinds = {name: pair.defects == value for name, value in DEFECTS.items()}
    assert not pair.defects[~active].any()
    singles = [int(kinds[name].sum()) for name in list(DEFECTS)[:7]]
    assert sum(singles) <= round(0.007 * active.sum())
    assert min(singles) > 50
    assert kinds["dead_block"].sum() == 256
    assert 64 < kinds["dead_line"].sum() <= 128
    for name in ("dead", "dead_line", "dead_block"):
        assert not dark[:, kinds[name]].any()
        assert not flat[:, kinds[name]].any()
    assert (dark[:, kinds["stuck"]] == 65535).all()
    good = active & (pair.defects == 0)
    deviation = dark.std(axis=0)
    typical = np.median(deviation[good])
    assert (deviation[kinds["noisy"]] > 3 * typical).all()
    assert (deviation[kinds["quiet"]] < 0.7 * typical).all()
    assert (dark[:, kinds["hot"]].mean(axis=0) > 1000 + 10 * 25).all()
    light = flat.mean(axis=0) - dark.mean(axis=0)
    assert light[kinds["low_gain"]].max() < 0.5 * np.median(light[good])
    assert light[kinds["high_gain"]].min() > 1.2 * np.median(light[good])
    with h5py.File(pair.folder / "truth" / "defects.h5") as file:
        assert (file["defects"][()] == pair.defects).all()
        assert dict(file["defects"].attrs) == DEFECTS


def test_a_mask_made_from_the_pair_finds_them(pair):
    dark, flat = (xs.open_stack(p, geometry=pair.geometry) for p in (pair.dark, pair.flat))
    bad = xs.make_mask(dark=dark, bright=flat).bad
    for name, value in DEFECTS.items():
        if name != "quiet":
            assert bad[pair.defects == value].mean() > 0.98, name
    good = (pair.defects == 0) & ~dark.mask.bad
    assert bad[good].mean() < 1e-3


def test_equal_seeds_give_equal_frames():
    changes = SMALL | {"n_events": 2}
    first, again = (DarkMaker(DarkSimulationSettings(**changes)) for _ in range(2))
    other = DarkMaker(DarkSimulationSettings(**(changes | {"seed": 9})))
    assert (first.defects == again.defects).all()
    assert (first.frame(1, True) == again.frame(1, True)).all()
    assert (first.frame(1, True) != first.frame(0, True)).mean() > 0.8
    assert (first.defects != other.defects).any()


def test_any_geometry_and_progress(tmp_path):
    text = (
        "photon_energy = 9000 eV\nclen = 0.1 m\nres = 5000\ndata = /d\ndim0 = %\ndim1 = 1\n"
        "dim2 = ss\ndim3 = fs\na/min_fs = 0\na/max_fs = 63\na/min_ss = 0\na/max_ss = 31\n"
        "a/corner_x = -32\na/corner_y = -16\na/fs = x\na/ss = y\n"
    )
    (tmp_path / "a.geom").write_text(text)
    told: list[tuple[int, int]] = []
    pair = simulate_dark(
        tmp_path / "out",
        geometry=tmp_path / "a.geom",
        n_events=2,
        progress=lambda *step: told.append(step),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    stack = xs.open_stack(pair.dark, geometry=pair.geometry)
    assert stack.raw_shape == (2, 32, 64)
    assert not stack.raw(0)[0].any()


def test_nothing_is_overwritten_and_bad_input_is_told(tmp_path):
    simulate_dark(tmp_path, n_events=2, binning=8)
    with pytest.raises(OutputError, match=r"dark\.cxi exists already"):
        simulate_dark(tmp_path, n_events=2, binning=8)
    simulate_dark(tmp_path, n_events=2, binning=8, overwrite=True)
    with pytest.raises(GeometryError, match="cannot be read"):
        simulate_dark(tmp_path / "x", geometry=tmp_path / "none.geom")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        simulate_dark(tmp_path / "file" / "x", n_events=2, binning=8)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_events": 1}, "n_events is 1 but must be at least 2"),
        ({"flat": 0.0}, "flat is 0.0 photons but must be at least 1"),
        ({"colour": 1}, "Unknown setting 'colour'"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(tmp_path, changes, sentence):
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        simulate_dark(tmp_path, **changes)
    assert not list(tmp_path.iterdir())
