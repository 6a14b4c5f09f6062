"""Simulated single-particle runs against formulas, and that they are what they say."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.special import spherical_jn

from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.lists import read_list
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.core.simulate.spi_events import SpiMaker, rotation
from napari_xfelsort.core.simulate.spi_settings import CLASSES, SpiSimulationSettings
from napari_xfelsort.core.spi import find_sizes
from napari_xfelsort.readers import open_stack

#: Nothing but single spheres of one size, as they are on average.
PLAIN = dict.fromkeys(CLASSES, 0.0) | {
    "single": 1.0,
    "shape": "sphere",
    "spread": 0.0,
    "background": 0.0,
    "noise": False,
    "weak_streaks": 0.0,
    "jitter": 0.0,
    "n_events": 2,
    "bad_pixels": 0.0,
    "side": 96,
}


def maker(**changes):
    return SpiMaker(SpiSimulationSettings.from_dict({**PLAIN, **changes}))


def lab(made):
    """x and y of the pixels in m, from the geometry file alone."""
    geometry = Geometry.from_crystfel_text(made.detector.geometry_text())
    x, y, z = geometry.fit(made.detector.mask.shape).positions()
    assert np.allclose(z, made.settings.distance)
    return x, y


def test_a_sphere_is_that_of_the_formula_where_the_geometry_says():
    made = maker()
    event = made.event(0)
    x, y = lab(made)
    away = np.hypot(x, y)
    q = 4 * np.pi * np.sin(np.arctan(away / 0.13) / 2) / (1239.841984332 / 1700)
    square = away**2 + 0.13**2
    reaching = (0.13**2 / square) ** 1.5 * (1 - x**2 / square)
    expected = event.intensity * (3 * spherical_jn(1, q * 35) / (q * 35)) ** 2 * reaching
    good = made.detector.good
    assert event.frame[good] == pytest.approx(expected[good], rel=1e-4, abs=1e-6)
    assert (event.frame[~good] == 0).all()
    assert event.frame.sum() == pytest.approx(event.photons, rel=1e-5)
    assert good[away / made.settings.pixel_size > 10.01].all()
    assert not good[away / made.settings.pixel_size < 9.99].any()


def test_halves_have_a_gap_and_one_half_lies_above_the_beam():
    made = maker(gap=5)
    _, y = lab(made)
    rows = np.unique(np.rint(y / 75e-6 * 2).astype(int))
    assert len(rows) == 96
    assert np.diff(rows).max() == 2 * 6  # five rows are not there
    upper = maker(detector="upper_half")
    assert upper.event(0).frame.shape == (48, 96)
    assert (lab(upper)[1] > 0).all()


def test_two_particles_interfere_like_two_slits():
    from napari_xfelsort.core.simulate import spi_events

    made = maker()
    q, _ = made.detector.momentum((0.0, 0.0))
    one = spi_events._Particle(
        "sphere", 60.0, (1, 1, 1), True, np.zeros(3), np.array([1.0, 0, 0, 0])
    )
    apart = np.array([80.0, -30.0, 20.0])
    pair = [one, one._replace(place=apart)]
    single = spi_events._pattern([one], q, made.settings)
    expected = single * np.cos(q @ apart / 2) ** 2
    assert spi_events._pattern(pair, q, made.settings) == pytest.approx(expected, abs=1e-12)


def test_turns_are_turns_and_ellipsoids_shrink_along_their_long_axis():
    generator = np.random.default_rng(0)
    q = generator.normal(size=4)
    turn = rotation(q / np.linalg.norm(q))
    assert turn @ turn.T == pytest.approx(np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)
    quarter = rotation(np.array([0.5**0.5, 0, 0, 0.5**0.5]))  # about z
    assert quarter @ [1, 0, 0] == pytest.approx([0, 1, 0], abs=1e-12)


def test_counts_are_poisson_and_bad_pixels_masked():
    made = maker(noise=True, background=3.0, single=0.0, blank=1.0, side=192, bad_pixels=0.01)
    event = made.event(0)
    assert event.frame.dtype == np.uint16
    values = event.frame[made.detector.good]
    assert values.mean() == pytest.approx(3, abs=0.05)
    assert values.var() == pytest.approx(3, abs=0.15)
    assert (made.detector.mask == 128).mean() == pytest.approx(0.01, abs=0.003)
    assert np.isnan(event.diameter)
    assert event.photons == event.intensity == event.particles == 0


def test_events_are_as_many_as_their_shares_and_the_same_again():
    settings = SpiSimulationSettings(n_events=200, side=64)
    made, again = SpiMaker(settings), SpiMaker(settings)
    counts = [made.names.count(name) for name in CLASSES]
    assert counts == [10, 30, 20, 50, 16, 18, 56]
    k = made.names.index("cluster")
    assert np.array_equal(made.event(k).frame, again.event(k).frame)
    assert 3 <= made.event(k).particles <= 5
    other = SpiMaker(SpiSimulationSettings(n_events=200, side=64, seed=1))
    assert made.names != other.names
    wrong = [made.event(i).diameter for i, n in enumerate(made.names) if n == "wrong_size"]
    assert all(20 < d < 52 or 91 < d < 302 for d in wrong)


def test_a_run_is_read_with_its_truth(tmp_path):
    run = simulate_spi(tmp_path / "out", n_events=40, single=1, photons_spread=0.3, seed=2)
    stack = open_stack(run.data, geometry=run.geometry)
    assert not stack.problems
    assert len(stack) == 40
    assert stack.assembled_shape == (198, 192)
    assert stack.geometry.beam_position == pytest.approx((98.5, 95.5))
    with h5py.File(run.data) as file:
        names = [CLASSES[k] for k in file["truth/class"][:]]
        true = file["truth/diameter"][:]
        intensity = file["truth/intensity"][:]
        assert list(file["truth/class"].attrs["classes"]) == list(CLASSES)
    assert names == list(run.names)
    for name, path in run.lists.items():
        numbers = [int(entry.event.event[2:]) for entry in read_list(path)]
        assert numbers == [i for i, own in enumerate(names) if own == name]
    single = np.array(names) == "single"
    table = find_sizes(stack, shape="icosahedron")
    assert np.abs(table.diameter / true - 1)[single].max() < 0.03
    assert np.median(table.sizes.intensity[single] / intensity[single]) == pytest.approx(
        1, abs=0.05
    )
    with pytest.raises(OutputError, match="exists already"):
        simulate_spi(tmp_path / "out", n_events=40)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (dict.fromkeys(CLASSES, 0.0), "nothing to simulate"),
        ({"spread": 30.0}, "cannot have a spread"),
        ({"shape": "cube"}, "must be one of"),
        ({"single": -1.0}, "at least"),
        ({"colour": 1}, "Unknown setting"),
    ],
)
def test_wrong_settings_are_refused(wrong, sentence, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        simulate_spi(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()
