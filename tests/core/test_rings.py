"""Resolution rings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.rings import resolution_rings, ring_radius

#: Energy in eV of photons of 1 angstrom (CODATA 2018: h c / e).
ANGSTROM_EV = 12398.419843320026


def test_radius_worked_out_by_hand():
    # 1 angstrom, d = 2 A: sin(theta) = 1/4, theta = 14.4775 deg, tan(2 theta) = 0.553283
    assert ring_radius(2.0, ANGSTROM_EV, 0.1, 75e-6) == pytest.approx(737.711, abs=2e-3)
    # tan(2 asin(s)) = 2 s sqrt(1 - s^2) / (1 - 2 s^2); s = 1/4: sqrt(15) / 7
    exact = math.sqrt(15) / 7 * 0.1 / 75e-6
    assert ring_radius(2.0, ANGSTROM_EV, 0.1, 75e-6) == pytest.approx(exact, rel=1e-12)


def test_radius_of_low_resolution_is_that_of_small_angles():
    # r = L lambda / d / pixel to second order
    assert ring_radius(1000.0, ANGSTROM_EV, 5.0, 5e-4) == pytest.approx(10.0, rel=1e-5)


@pytest.mark.parametrize("resolution", [0.1, 0.5, 1 / math.sqrt(2)])
def test_what_is_not_scattered_forwards_has_no_radius(resolution):
    assert math.isnan(ring_radius(resolution, ANGSTROM_EV, 0.1, 75e-6))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_no_radius_without_every_number(place, bad):
    numbers = [2.0, ANGSTROM_EV, 0.1, 75e-6]
    numbers[place] = bad
    assert math.isnan(ring_radius(*numbers))


GEOMETRY = Geometry.single_panel((1000, 800), 75e-6, beam_center=(480.0, 390.0))


@pytest.mark.parametrize(
    ("energy", "length"),
    [(math.nan, 0.1), (9000, math.nan), (0, 0.1), (9000, 0), (-1, 0.1), (math.inf, 0.1)],
)
def test_no_rings_unless_energy_and_length_are_known(energy, length):
    assert resolution_rings(GEOMETRY, energy, length) == []


@given(
    st.floats(200, 30_000),
    st.floats(0.02, 20),
    st.floats(-200, 1200),
    st.floats(-200, 1000),
    st.integers(1, 8),
)
def test_rings_rise_and_stay_in_the_picture(energy, length, y, x, wanted):
    geometry = Geometry.single_panel((1000, 800), 75e-6, beam_center=(y, x))
    rings = resolution_rings(geometry, energy, length, wanted)
    assert len(rings) <= wanted
    radii = [ring.radius for ring in rings]
    assert radii == sorted(set(radii))
    assert all(0 < radius <= max(y, 999 - y, x, 799 - x) for radius in radii)
    for ring in rings:
        theta = math.atan(ring.radius * 75e-6 / length) / 2
        wavelength = ANGSTROM_EV / energy
        assert wavelength / (2 * math.sin(theta)) == pytest.approx(ring.resolution, rel=1e-9)


def test_usual_conditions_give_usual_rings():
    rings = resolution_rings(GEOMETRY, 9500.0, 0.1)
    assert len(rings) == 4
    assert all(1 < ring.resolution < 20 for ring in rings)
    assert rings[-1].radius > 0.8 * 519  # the far edge is 519 rows from the beam
