"""The physics of simulated serial crystallography against textbook formulas and sampling."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xfelsort.core.errors import SettingsError, UnreadableFileError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.simulate.bragg import random_rotation
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings
from napari_xfelsort.core.simulate.sfx.cell import (
    direct_axes,
    present,
    reciprocal_axes,
    shell_points,
)
from napari_xfelsort.core.simulate.sfx.curves import form_factor, gas, water
from napari_xfelsort.core.simulate.sfx.diffraction import Crystal, Pulse, diffract
from napari_xfelsort.core.simulate.sfx.intensities import (
    WilsonIntensities,
    list_intensities,
    read_reflections,
)
from napari_xfelsort.core.simulate.sfx.panels import DetectorPanels
from napari_xfelsort.core.simulate.sfx.symmetry import keys, operations

HC = 12398.41984332  # eV angstrom
RE = 2.8179403262e-5  # angstrom

HEAD = "data = /d\ndim0 = %\ndim1 = ss\ndim2 = fs\nclen = 0.1 m\nphoton_energy = 9000 eV\n"
SQUARE = (
    HEAD + "res = 2500\np/min_fs = 0\np/max_fs = 255\np/min_ss = 0\np/max_ss = 255\n"
    "p/corner_x = -128\np/corner_y = 128\np/fs = +1.0x\np/ss = -1.0y\n"
)

#: Nothing but what a test asks for; 10 keV, 100 mm, one flux.
BARE = {
    "n_events": 4,
    "photon_energy": (10000.0,),
    "camera_length": (100.0,),
    "flux": (1e12,),
    "energy_jitter": 0.0,
    "flux_jitter": 0.0,
    "gas": "vacuum",
    "jet": (10.0, 10.0),
    "ice_share": 0.0,
    "streak_share": 0.0,
    "beam_stop": 0.0,
    "dead_pixels": 0.0,
    "hot_pixels": 0.0,
    "dead_lines": 0,
    "unmasked_hot": 0,
}


def square() -> Geometry:
    """256 x 256 pixels of 0.4 mm around the beam."""
    return Geometry.from_crystfel_text(SQUARE)


# --- curves ---------------------------------------------------------------------------------


def test_form_factors_count_electrons_and_scattering_of_gases_molecules():
    for element, number in {"H": 1, "He": 2, "C": 6, "N": 7, "O": 8, "S": 16}.items():
        assert form_factor(element, 0.0) == pytest.approx(number, abs=0.01)
    assert gas("helium", 0.0) == pytest.approx(4.0, abs=0.01)
    # 79 % of 14 squared and 21 % of 16 squared; far out atoms scatter by themselves.
    assert gas("air", 0.0) == pytest.approx(0.79 * 196 + 0.21 * 256, rel=2e-3)
    far = 0.79 * 2 * form_factor("N", 1.8) ** 2 + 0.21 * 2 * form_factor("O", 1.8) ** 2
    assert gas("air", 1.8) == pytest.approx(float(far), rel=0.12)
    assert gas("vacuum", 0.3) == 0.0


def test_water_has_the_compressibility_limit_and_its_crest_at_3_09_angstrom():
    # kT rho chi = 0.064 of the 100 electrons squared of a molecule at rest.
    assert water(0.0) == pytest.approx(6.4, rel=0.05)
    q = np.linspace(0.2, 0.6, 4001)
    assert q[np.argmax(water(q))] == pytest.approx(1 / 3.09, abs=0.002)
    assert water(q).max() == pytest.approx(64.0, rel=1e-6)
    # Beyond the table it goes on smoothly, never below that of free atoms.
    assert np.abs(np.diff(water(np.linspace(0.98, 1.02, 9)))).max() < 0.2
    far = np.linspace(1.0, 2.0, 21)
    atoms = form_factor("O", far) ** 2 + 2 * form_factor("H", far) ** 2
    assert (water(far) > atoms).all()
    assert (np.diff(water(far)) < 0).all()


def test_photons_of_water_in_single_pixels():
    """N rho t r_e^2 F^2 P dOmega, worked out here for three pixels."""
    event = SfxMaker(SfxSimulationSettings(hit_share=0.0, **BARE), square()).event(0)
    molecules = 0.9982 / 18.01528 * 6.02214076e23 * 10e-4  # in 1 cm^2 of 10 micrometres
    for row, column in ((20, 40), (127, 250), (128, 128)):
        x, y = (column + 0.5 - 128) * 0.4, (128 - row - 0.5) * 0.4  # mm
        r = np.sqrt(x**2 + y**2 + 100.0**2)
        two_theta = np.arctan2(np.hypot(x, y), 100.0)
        q = 2 * np.sin(two_theta / 2) / (HC / 10000.0)
        solid = 0.16 * 100.0 / r**3
        expected = 1e12 * molecules * (RE * 1e-8) ** 2 * water(q) * solid * (1 - (x / r) ** 2)
        assert event.expected[row, column] == pytest.approx(float(expected), rel=2e-4)


def test_water_ring_lies_where_its_crest_in_d_puts_it():
    event = SfxMaker(SfxSimulationSettings(hit_share=0.0, **BARE), square()).event(0)
    x = (np.arange(256) + 0.5 - 128) * 0.4
    y = x[:, None]
    r2 = x**2 + y**2 + 100.0**2
    flat = event.expected / (r2**-1.5 * (1 - x**2 / r2))
    radius = np.hypot(x, y)
    bins = np.arange(30.0, 55.0, 0.2)
    which = np.digitize(radius, bins)
    profile = np.array([flat[which == k].mean() for k in range(1, len(bins))])
    crest = bins[np.argmax(profile)] + 0.1
    assert crest == pytest.approx(100 * np.tan(2 * np.arcsin(0.162 * HC / 1e4)), abs=0.3)
    inside = flat[radius < 4].mean() / profile.max()
    assert inside == pytest.approx(6.6 / 64.0, rel=0.03)


@pytest.mark.parametrize("polarisation", [1.0, 0.0, -0.5])
def test_a_closed_box_of_panels_sees_two_thirds_of_four_pi(polarisation):
    """The mean of 1 - sin^2 over all directions is 2/3, however polarised."""
    text = HEAD.replace("clen = 0.1 m", "clen = 0 m") + "res = 1000\n"
    # A cube of 40 pixels about the sample, turned so that no face lies along the beam.
    turn = random_rotation(np.random.default_rng(2))
    for number in range(6):
        u, v, w = np.roll(turn, -(number // 2), axis=0)
        corner = 20.0 * (w * (-1) ** number - u - v)
        fs, ss = (f"{a[0]:+.9f}x {a[1]:+.9f}y {a[2]:+.9f}z" for a in (u, v))
        text += (
            f"f{number}/min_fs = 0\nf{number}/max_fs = 39\nf{number}/fs = {fs}\n"
            f"f{number}/min_ss = {40 * number}\nf{number}/max_ss = {40 * number + 39}\n"
            f"f{number}/corner_x = {corner[0]:.9f}\nf{number}/corner_y = {corner[1]:.9f}\n"
            f"f{number}/coffset = {corner[2] / 1000:.12f}\nf{number}/ss = {ss}\n"
        )
    from napari_xfelsort.core.simulate.sfx.pixel_loops import add_scattering

    panels = DetectorPanels(Geometry.from_crystfel_text(text))
    light = np.zeros(panels.size, np.float32)
    tables = np.stack([np.ones(64), np.zeros(64)]).astype(np.float32)
    for panel in panels.panels:
        none = np.zeros(2), np.empty((0, 5))
        add_scattering(light, panel.layout, panel.frame, tables, 0.04, polarisation, *none)
    assert light.sum(dtype=float) == pytest.approx(8 * np.pi / 3, rel=1e-3)


# --- cells, symmetry, intensities -----------------------------------------------------------


@pytest.mark.parametrize("cell", [(40, 50, 60, 90, 90, 90), (31, 44, 57, 75, 98, 111)])
def test_points_near_the_sphere_are_all_found(cell):
    turn = random_rotation(np.random.default_rng(3))
    axes = reciprocal_axes(cell) @ turn.T
    wavenumber, q_max, width = 0.7, 0.4, 0.003
    found = shell_points(axes, wavenumber, q_max, width)
    every = np.stack(np.meshgrid(*[np.arange(-26, 27)] * 3), -1).reshape(-1, 3)
    s = every @ axes
    q = np.linalg.norm(s, axis=1)
    far = np.abs(np.linalg.norm(s + np.array([0, 0, wavenumber]), axis=1) - wavenumber)
    wanted = every[(far < width) & (q < q_max) & (q > 0)]
    assert len(found) == len(wanted) > 100
    assert set(map(tuple, found)) == set(map(tuple, wanted))


def test_axes_have_the_edges_and_angles_of_the_cell():
    a, b, c = direct_axes((31, 44, 57, 75, 98, 111))
    assert [np.linalg.norm(v) for v in (a, b, c)] == pytest.approx([31, 44, 57])
    cosines = b @ c / (44 * 57), a @ c / (31 * 57), a @ b / (31 * 44)
    assert np.degrees(np.arccos(cosines)) == pytest.approx([75, 98, 111])
    assert reciprocal_axes((31, 44, 57, 75, 98, 111)) @ np.stack([a, b, c]).T == pytest.approx(
        np.eye(3), abs=1e-12
    )


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *[("1", 1), ("2/m_uab", 4), ("mmm", 8), ("-42m", 8), ("4/mmm", 16), ("321_H", 6)],
        *[("-3m_R", 12), ("6/m", 12), ("-62m", 12), ("6/mmm", 24), ("m-3", 24), ("432", 24)],
        ("m-3m", 48),
    ],
)
def test_point_groups_have_their_orders(name, order):
    group = operations(name)
    assert len(group) == order
    assert (np.abs(np.round(np.linalg.det(group))) == 1).all()


def test_equivalent_reflections_share_a_key():
    def same(group, *hkls):
        return len(set(keys(np.array(hkls), group).tolist())) == 1

    assert same("4/mmm", (1, 2, 3), (-2, 1, 3), (2, 1, -3), (-1, -2, -3))
    assert not same("4", (1, 2, 3), (2, 1, 3))
    assert same("2/m_uab", (1, 2, 3), (-1, 2, -3))
    assert not same("2/m_uab", (1, 2, 3), (-1, -2, 3))
    assert same("3_H", (1, 2, 3), (2, -3, 3), (-3, 1, 3))
    assert same("321_H", (1, 2, 3), (2, 1, -3))
    assert not same("321_H", (1, 2, 3), (2, 1, 3))
    assert same("23", (1, 2, 3), (3, 1, 2), (-1, -2, 3))
    with pytest.raises(SettingsError, match="There is no point group '4/mmx'"):
        operations("4/mmx")


def test_wilson_intensities_are_exponential_and_symmetric():
    every = np.stack(np.meshgrid(*[np.arange(1, 25)] * 3), -1).reshape(-1, 3)
    drawn = WilsonIntensities(1e5, "1", 5)
    values = drawn.of(every, np.full(len(every), 0.2))
    # <I^2> / <I>^2 = 2 of acentric reflections (Wilson, 1949); 13824 of them.
    assert (values**2).mean() / values.mean() ** 2 == pytest.approx(2.0, abs=0.12)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0.0, abs=0.04)
    # 375 residues in 1e5 A^3 at 2.4 A^3/Da; the 7.7 electrons of C, N, O at q = 0.
    at_rest = drawn.of(every, np.zeros(len(every))).mean()
    assert at_rest == pytest.approx(1e5 / 266.4 * (5 * 36 + 1.36 * 49 + 1.5 * 64 + 16), rel=0.05)
    q = np.full(1, 0.2)
    tetragonal = WilsonIntensities(1e5, "4", 5)
    one = tetragonal.of(np.array([[3, 4, 5]]), q)
    assert tetragonal.of(np.array([[4, -3, -5]]), q) == one  # by Friedel's law
    assert tetragonal.of(np.array([[4, 3, 5]]), q) != one
    assert WilsonIntensities(1e5, "4", 6).of(np.array([[3, 4, 5]]), q) != one


LIST = """CrystFEL reflection list version 2.0
Symmetry: {symmetry}
   h    k    l          I    phase   sigma(I)   nmeas
   1    2    3     100.00        -       1.00       2
   0    0    4      50.00        -       1.00       2
  -1    2    5      -3.00        -       1.00       2
End of reflections
what follows counts for nothing
"""


def test_intensities_of_a_crystfel_list(tmp_path):
    path = tmp_path / "a.hkl"
    path.write_text(LIST.format(symmetry="4/mmm"))
    hkl, values, symmetry = read_reflections(path)
    assert hkl.tolist() == [[1, 2, 3], [0, 0, 4], [-1, 2, 5]]
    assert values.tolist() == [100, 50, -3]
    assert symmetry == "4/mmm"
    known = list_intensities(path, (50, 50, 60, 90, 90, 90), "1", scale=2.0)
    asked = np.array([[2, -1, -3], [0, 0, -4], [1, 2, 5], [1, 2, 4]])
    assert known.of(asked, np.zeros(4)).tolist() == [200, 100, 0, 0]
    # With no scale of its own: the mean of a protein with this cell.
    scaled = list_intensities(path, (50, 50, 60, 90, 90, 90), "1")
    ratio = scaled.of(asked, np.zeros(4)) / known.of(np.array([[1, 2, 3]]), np.zeros(1))
    assert ratio[1] == pytest.approx(ratio[0] / 2)
    assert scaled.of(asked, np.zeros(4))[0] > 1e4


def test_friedel_mates_that_a_list_lacks(tmp_path):
    path = tmp_path / "a.hkl"
    path.write_text(LIST.format(symmetry="1"))
    known = list_intensities(path, (50, 50, 60, 90, 90, 90), "mmm", scale=1.0)
    assert known.of(np.array([[-1, -2, -3], [1, -2, 3]]), np.zeros(2)).tolist() == [100, 0]
    path.write_text(LIST.format(symmetry="1").replace("0    0    4", "-1   -2   -3"))
    both = list_intensities(path, (50, 50, 60, 90, 90, 90), "mmm", scale=1.0)
    assert both.of(np.array([[-1, -2, -3], [1, 2, 3]]), np.zeros(2)).tolist() == [50, 100]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no reflections"),
        (LIST.format(symmetry="1").replace("  100.00", "  many"), "Line 4 .* is no reflection"),
        (LIST.format(symmetry="1").replace("   1    2    3 ", " 1.5 2 3"), "Line 4"),
        (LIST.format(symmetry="1").replace("  100.00", "  nan"), "Line 4 .* impossible value"),
        ("   h    k    l    I\n 1 2 3 0\n", "no intensity above 0"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text, sentence):
    path = tmp_path / "a.hkl"
    path.write_text(text)
    with pytest.raises(UnreadableFileError, match=sentence):
        list_intensities(path, (50, 50, 60, 90, 90, 90), "1")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_reflections(tmp_path / "none.hkl")


# --- diffraction ----------------------------------------------------------------------------


class One:
    """Every reflection has the same squared structure factor."""

    falls = False

    def of(self, hkl, q):
        return np.full(len(hkl), 1e5)


def turned(angle: float, axes) -> np.ndarray:
    """Axes turned about x."""
    cos, sin = np.cos(angle), np.sin(angle)
    return axes @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]).T


def test_photons_of_a_turned_crystal_are_darwins():
    """The sum over a rotation: fluence r_e^2 wavelength^3 F^2 V P / (v^2 sin 2 theta)."""
    pulse = Pulse(1e12, 1.3, 4e-6)
    s = 0.25
    cell = (40.0, 1.0 / s, 40.0, 90, 90, 90)
    at_bragg = -np.arcsin(0.5 * s * pulse.wavelength)
    total, step = 0.0, 5e-6
    for angle in at_bragg + step * np.arange(-200, 201):
        axes = turned(angle, reciprocal_axes(cell))
        crystal = Crystal(axes, 1e-6, 1e-6, 2e-5, 10.0)
        spots = diffract(crystal, pulse, One(), 1.02 * s)
        total += step * spots.photons[(spots.hkl == [0, 1, 0]).all(axis=1)].sum()
    fluence = 1e12 / (np.pi * 2e4**2)
    two_theta = 2 * np.arcsin(0.5 * s * pulse.wavelength)
    volume, cell_volume = 1e12, 40.0 * 40.0 / s
    # The reflection goes up (y), across the polarisation: none is lost.
    expected = fluence * RE**2 * 1.3**3 * 1e5 * np.exp(-0.5 * 10.0 * s**2) * volume
    expected /= cell_volume**2 * np.sin(two_theta)
    assert total == pytest.approx(expected, rel=2e-3)


def test_intensity_direction_and_shape_of_spots_by_sampling():
    """Blocks, turns, directions and energies drawn at random, kept when near the sphere."""
    random = np.random.default_rng(1)
    pulse = Pulse(1e12, 1.3, 4e-6, bandwidth=4e-3, divergence=6e-4, polarisation=0.9)
    turn = random_rotation(random)
    axes = reciprocal_axes((40, 50, 60, 90, 100, 90)) @ turn.T
    crystal = Crystal(axes, 1e-6, 1e-7, 1e-3, 0.0)
    spots = diffract(crystal, pulse, One(), 0.4)
    n = 1_500_000
    wavenumber = 1 / 1.3
    chosen = np.flatnonzero((np.abs(spots.excitation) < 1.5) & (spots.q > 0.25))[:3]
    assert len(chosen) == 3
    draw = random.standard_normal
    size = 0.886 / 2.35482 / 1000.0  # a block of 1000 angstrom
    for k in chosen:
        s = spots.hkl[k] @ axes
        points = s + np.cross(1e-3 * draw((n, 3)), s) + size * draw((n, 3))
        number = wavenumber * (1 + 4e-3 * draw(n))
        beam = np.column_stack([6e-4 * draw((n, 2)), np.ones(n)])
        beam *= (number / np.linalg.norm(beam, axis=1))[:, None]
        out = points + beam
        off = np.linalg.norm(out, axis=1) - number
        slab = 1e-4
        near = np.abs(off) < slab
        density = near.sum() / (n * 2 * slab)
        direction = out[near] / np.linalg.norm(out[near], axis=1)[:, None]
        ours = spots.rays[k] / np.linalg.norm(spots.rays[k])
        scatter = 5 * direction.std(axis=0) / np.sqrt(near.sum())
        assert (np.abs(direction.mean(axis=0) - ours) < scatter + 1e-5).all()
        # Spread of directions: of the wave vectors, across the ray.
        across = np.eye(3) - np.outer(ours, ours)
        told = across @ spots.spread[k] @ across / wavenumber**2
        assert np.cov(direction.T) == pytest.approx(told, abs=0.04 * np.trace(told))
        p = 1 - 0.5 * (1.9 * ours[0] ** 2 + 0.1 * ours[1] ** 2)
        fluence = 1e12 / (np.pi * 2e4**2)
        volume = 1 / abs(np.linalg.det(axes))
        photons = fluence * RE**2 * p * 1e5 * 1.3**2 * 1e12 / volume**2 * density
        assert spots.photons[k] == pytest.approx(photons, rel=0.04)


@pytest.mark.parametrize(
    ("letter", "gone", "kept"),
    [
        *[("I", (1, 0, 0), (1, 1, 0)), ("C", (1, 2, 0), (1, 1, 3)), ("F", (1, 1, 0), (1, 1, 1))],
        *[("A", (0, 1, 2), (5, 1, 1)), ("B", (1, 0, 2), (1, 4, 1)), ("H", (1, 0, 0), (-1, 1, 1))],
    ],
)
def test_centred_lattices_lack_reflections(letter, gone, kept):
    assert present(np.array([gone, kept]), letter).tolist() == [False, True]
    assert present(np.array([gone, kept]), "P").all()


@pytest.mark.parametrize("energy", [6000.0, 9000.0])
def test_spots_lie_where_cell_and_orientation_put_them(energy):
    """k1 = h a* + k b* + l c* + k0 meets the plane z = L: within half a pixel."""
    values = BARE | {"photon_energy": (energy,), "hit_share": 1.0, "seed": 4}
    maker = SfxMaker(SfxSimulationSettings(**values), square())
    seen = 0
    for i in range(4):
        event = maker.event(i)
        spots = event.spots
        s = np.stack([spots["h"], spots["k"], spots["l"]], axis=1) @ event.crystal.axes
        k1 = s + np.array([0, 0, energy / HC])
        # Points on the square of 0.4 mm pixels at 100 mm, beam in its middle, y up.
        fs = 128 - 0.5 + k1[:, 0] / k1[:, 2] * 250.0
        ss = 128 - 0.5 - k1[:, 1] / k1[:, 2] * 250.0
        away = np.hypot(fs - spots["fs"], ss - spots["ss"])
        assert away.max() < 0.5
        assert np.median(away) < 0.1
        assert 1 / spots["resolution"] == pytest.approx(np.linalg.norm(s, axis=1))
        # And there the light is, above the smooth scattering around.
        places = np.stack([spots["ss"], spots["fs"]], axis=1)
        for spot, place in zip(spots, places, strict=True):
            near = (np.abs(places - place) < 12).all(axis=1).sum()
            row, column = np.rint(place).astype(int)
            if spot["significance"] > 30 and near == 1 and (np.abs(place - 127) < 120).all():
                window = event.expected[row - 1 : row + 2, column - 1 : column + 2]
                told = spot["peak_pixel"] + spot["background"]
                assert window.max() == pytest.approx(told, rel=0.01)
                seen += 1
    assert seen > 10
