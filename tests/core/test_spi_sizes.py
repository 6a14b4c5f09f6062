"""Radial densities and sizes against formulas, quadrature and known particles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import spherical_jn
from spi_runs import (
    BEAM,
    DISTANCE,
    PIXEL,
    bad_pixels,
    geometry,
    q_of_pixels,
    reaching,
    run,
    sphere,
)

from napari_xfelsort.core.errors import (
    GeometryError,
    NoEventsError,
    OutputError,
    RegionError,
    SettingsError,
    UnreadableFileError,
)
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.spi import (
    PsdReader,
    QRings,
    SizeSettings,
    SizeTable,
    background_level,
    contrast,
    find_sizes,
)
from napari_xfelsort.core.spi.form_factors import (
    ICOSAHEDRON_EDGE,
    amplitude,
    icosahedron,
    icosahedron_amplitude,
    mean_form_factor,
    sphere_amplitude,
)
from napari_xfelsort.core.spi.psd import ring_sums
from napari_xfelsort.core.spi.rings import pixel_share
from napari_xfelsort.readers import open_stack

# --- form factors -------------------------------------------------------------------------


def test_amplitude_of_a_sphere_is_that_of_bessel_functions():
    x = np.array([1e-6, 0.019, 0.021, 0.5, 4.493409458, 11.0])
    assert sphere_amplitude(x) == pytest.approx(3 * spherical_jn(1, x) / x, abs=2e-9)
    assert sphere_amplitude(0) == 1


def test_an_icosahedron_has_its_volume_and_its_faces():
    vertices, faces, normals = icosahedron()
    assert len(vertices) == 12
    assert len(faces) == len(normals) == 10
    volume = 5 * (3 + 5**0.5) / 12 * ICOSAHEDRON_EDGE**3
    assert volume == pytest.approx(4 * np.pi / 3)
    height = (vertices[faces[:, 0]] * normals).sum(axis=1)
    assert np.allclose(height, ICOSAHEDRON_EDGE * (3 + 5**0.5) / 4 / 3**0.5)  # in-radius


def test_amplitude_of_an_icosahedron_is_the_integral_over_it():
    from scipy.stats import qmc

    vertices, faces, normals = icosahedron()
    reach = np.abs(vertices).max()
    points = (2 * qmc.Sobol(3, seed=1).random_base2(17) - 1) * reach
    height = (vertices[faces[0, 0]] * normals[0]).sum()
    points = points[np.abs(points @ normals.T).max(axis=1) <= height]
    generator = np.random.default_rng(2)
    q = generator.normal(size=(25, 3)) * np.linspace(0.3, 4, 25)[:, np.newaxis]
    expected = np.array([np.cos(points @ one).mean() for one in q])
    assert icosahedron_amplitude(q) == pytest.approx(expected, abs=3e-3)


def test_amplitude_is_smooth_where_corners_have_the_same_phase():
    normal = icosahedron()[2][0]
    edge = icosahedron()[0][icosahedron()[1][0, 0]]
    for way in (normal, edge / np.linalg.norm(edge), np.array([1.0, 0, 0])):
        along = icosahedron_amplitude(np.linspace(0, 6, 4001)[:, np.newaxis] * way)
        assert along[0] == 1
        assert np.abs(np.diff(along, 2)).max() < 1e-5


def test_a_core_adds_its_own_amplitude():
    x = np.linspace(0, 20, 50)
    # By volumes: shell of density 1, core of 0.4 within 0.7 of the radius.
    bulk, core = 1.0, 0.7**3
    f = 3 * spherical_jn(1, np.maximum(x, 1e-9)) / np.maximum(x, 1e-9)
    g = 3 * spherical_jn(1, np.maximum(0.7 * x, 1e-9)) / np.maximum(0.7 * x, 1e-9)
    expected = ((bulk * f - 0.6 * core * g) / (bulk - 0.6 * core)) ** 2
    assert mean_form_factor(x, "sphere", 0.7, 0.4) == pytest.approx(expected, abs=1e-8)
    assert mean_form_factor(0.0, "icosahedron", 0.7, 0.4) == pytest.approx(1)


def test_the_mean_over_orientations_is_that_of_random_ones():
    generator = np.random.default_rng(5)
    ways = generator.normal(size=(4000, 3))
    ways /= np.linalg.norm(ways, axis=1)[:, np.newaxis]
    for x in (2.0, 7.0):
        expected = (amplitude(x * ways, "icosahedron") ** 2).mean()
        assert mean_form_factor(x, "icosahedron") == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"shape": "cube"}, "sphere or icosahedron"),
        ({"core": 1.0}, "below 1"),
        ({"core": 0.9, "core_density": -9.0}, "nothing forward"),
    ],
)
def test_impossible_particles_are_refused(wrong, sentence):
    with pytest.raises(SettingsError, match=sentence):
        mean_form_factor(1.0, **{"shape": "sphere", **wrong})


# --- densities ----------------------------------------------------------------------------


def test_rings_are_where_the_pixels_are(tmp_path):
    stack = run(tmp_path, np.zeros((1, *bad_pixels().shape), np.uint16))
    rings = QRings.for_stack(stack)
    step = 2 * np.pi * PIXEL / (0.729 * DISTANCE)
    assert rings.step == pytest.approx(step, rel=1e-6)
    q = q_of_pixels()
    number = np.rint(q / step).astype(int)
    good = ~bad_pixels()
    assert rings.pixels.tolist() == np.bincount(number[good]).tolist()
    assert rings.q[40] == pytest.approx(q[good & (number == 40)].mean(), rel=1e-6)
    x = (np.arange(150) - BEAM[1]) * PIXEL
    y = ((np.arange(160) - BEAM[0]) * PIXEL)[:, np.newaxis]
    assert pixel_share(x, y, np.float64(DISTANCE)) == pytest.approx(reaching())


def test_density_of_events_and_selections_leaves_bad_pixels_out(tmp_path):
    generator = np.random.default_rng(0)
    frames = generator.poisson(2.0, (5, *bad_pixels().shape)).astype(np.uint16)
    stack = run(tmp_path, frames)
    reader = PsdReader(stack, polarisation="none")
    good = ~bad_pixels()
    number = np.rint(q_of_pixels() / reader.rings.step).astype(int)
    y, x = np.indices(good.shape)
    flat = (1 + (np.hypot(y - BEAM[0], x - BEAM[1]) * PIXEL / DISTANCE) ** 2) ** -1.5
    expected = np.array(
        [
            [f[good & (number == r)].sum() / flat[good & (number == r)].sum() for r in (12, 60)]
            for f in frames
        ]
    )
    one = reader.event(2)
    assert one.values[[12, 60]] == pytest.approx(expected[2], rel=1e-5)
    assert one.events == 1
    assert np.isnan(one.values[4])  # in the hole
    two = reader.mean([1, 4])
    assert two.values[[12, 60]] == pytest.approx(expected[[1, 4]].mean(axis=0), rel=1e-5)
    assert two.events == 2
    assert two.pixels[60] == 2 * one.pixels[60]
    seen = []
    assert reader.mean(progress=lambda *each: seen.append(each)).events == 5
    assert seen[-1] == (5, 5)


def test_masks_of_the_user_and_values_that_are_none_are_left_out(tmp_path):
    frames = np.ones((2, *bad_pixels().shape), np.float32)
    frames[0, 100:] = np.nan
    stack = run(tmp_path, frames)
    reader = PsdReader(stack, polarisation="none")
    sums = ring_sums(reader.rings, frames)
    number = np.rint(q_of_pixels() / reader.rings.step).astype(int)
    below = np.indices(number.shape)[0] < 100
    ring = number == 50
    assert sums.pixels[0, 50] == (ring & below & ~bad_pixels()).sum()
    assert sums.pixels[1, 50] == (ring & ~bad_pixels()).sum()
    bad = np.zeros(frames.shape, bool)
    bad[1, :90] = True
    assert (
        ring_sums(reader.rings, frames, bad).pixels[1, 50]
        == (ring & ~bad_pixels() & (np.indices(number.shape)[0] >= 90)).sum()
    )
    half = stack.with_mask(PixelMask.from_bad(~below))
    assert PsdReader(half).rings.pixels[50] == (ring & below & ~bad_pixels()).sum()


def test_densities_need_to_know_where_pixels_are(tmp_path):
    stack = run(tmp_path, np.zeros((1, *bad_pixels().shape), np.uint16))
    with pytest.raises(GeometryError, match="need a geometry"):
        PsdReader(open_stack(tmp_path / "run.cxi"))
    vague = type(geometry()).single_panel(bad_pixels().shape, PIXEL, BEAM)
    with pytest.raises(GeometryError, match="not known"):
        PsdReader(open_stack(tmp_path / "run.cxi", geometry=vague))
    with pytest.raises(SettingsError, match="polarisation"):
        PsdReader(stack, polarisation="up")
    with pytest.raises(RegionError, match="all are masked"):
        PsdReader(stack.with_mask(PixelMask.from_bad(np.ones(bad_pixels().shape, bool))))
    with pytest.raises(NoEventsError, match="No event can be read"):
        PsdReader(stack).mean([])


def test_contrast_is_the_mean_of_three_pairs():
    # Minima 1, 2, 1 and maxima 3, 4, 2 in turn, then a fourth pair that does not count.
    knots = [9.0, 1.0, 3.0, 2.0, 4.0, 1.0, 2.0, 0.1, 5.0, 0.0]
    values = np.interp(np.arange(451), np.arange(10) * 50, knots)
    found = contrast(values)
    assert [(round(a / 50), round(b / 50)) for a, b in found.pairs] == [(1, 2), (3, 4), (5, 6)]
    assert found.gamma == pytest.approx((2 / 4 + 2 / 6 + 1 / 3) / 3, abs=0.02)
    values[:30] = np.nan  # the mask moves nothing
    values[200:203] = np.nan
    assert contrast(values).gamma == pytest.approx(found.gamma, abs=0.02)
    assert np.isnan(contrast(np.linspace(5, 1, 100)).gamma)
    assert np.isnan(contrast(np.full(100, np.nan)).gamma)


def test_background_is_the_level_far_outside():
    values = np.where(np.arange(100) < 80, 50.0, 2.0)
    assert background_level(values, np.full(100, 10)) == pytest.approx(2.0)
    values[95:] = np.nan
    assert background_level(values, np.full(100, 10)) == pytest.approx(2.0)
    assert np.isnan(background_level(np.full(5, np.nan), np.ones(5, int)))


# --- sizes --------------------------------------------------------------------------------


def test_spheres_without_noise_are_within_one_per_cent(tmp_path):
    diameters = np.linspace(27, 230, 40)
    frames = np.array([sphere(d, 20_000) for d in diameters]).astype(np.float32)
    table = find_sizes(run(tmp_path, frames))
    error = np.abs(table.diameter / diameters - 1)
    assert np.median(error) < 0.001
    assert error.max() < 0.01
    assert table.sizes.level.max() < 1e-3
    assert np.all(table.sizes.ambiguity > 1.5)
    assert table.sizes.photons == pytest.approx(20_000 * np.ones(40), rel=0.05)


def test_spheres_with_counting_noise_and_a_level_are_within_three_per_cent(tmp_path):
    generator = np.random.default_rng(3)
    diameters = generator.uniform(40, 150, 80)
    photons = np.where(np.arange(80) % 2, 5000, 30_000)
    mean = np.array([sphere(d, n) for d, n in zip(diameters, photons, strict=True)]) + 0.05
    frames = generator.poisson(mean).astype(np.uint16)
    table = find_sizes(run(tmp_path, frames))
    error = table.diameter / diameters - 1
    assert np.median(np.abs(error)) < 0.005
    assert np.quantile(np.abs(error), 0.95) < 0.03
    sure = (table.diameter - diameters) / table.sizes.uncertainty
    assert np.median(np.abs(sure)) < 1.0
    assert np.quantile(np.abs(sure), 0.9) < 3.0
    assert np.median(table.sizes.level) == pytest.approx(0.05, rel=0.15)


def test_fluence_is_that_of_thomson_scattering(tmp_path):
    # Photons of a pixel at q = 0: fluence (r_e electrons)^2 solid angle.
    electrons = 430 * np.pi / 6 * 70.0**3
    at_zero = 1e3 * 1e-6 * (2.8179403262e-6 * electrons) ** 2 * (PIXEL / DISTANCE) ** 2
    picture = sphere(70.0, 1.0)
    # Of the formula itself at q = 0, where the form factor is 1.
    x = q_of_pixels()[30, 75] * 35
    factor = (3 * spherical_jn(1, x) / x) ** 2 * reaching()[30, 75]
    frames = (picture * at_zero / (picture[30, 75] / factor))[np.newaxis].astype(np.float32)
    table = find_sizes(run(tmp_path, frames))
    assert table.fluence[0] == pytest.approx(1e3, rel=0.02)


def test_what_has_no_light_or_cannot_be_read_has_no_size(tmp_path):
    frames = np.zeros((3, *bad_pixels().shape), np.uint16)
    frames[1] = np.rint(sphere(70, 200_000))
    table = find_sizes(run(tmp_path, frames))
    assert np.isnan(table.diameter[[0, 2]]).all()
    assert table.diameter[1] == pytest.approx(70, rel=0.01)
    assert table.passing().tolist() == [False, True, False]


def test_empty_events_have_no_significance(tmp_path):
    generator = np.random.default_rng(8)
    mean = np.full((60, *bad_pixels().shape), 0.05)
    mean[30:] += sphere(70, 300)
    table = find_sizes(run(tmp_path, generator.poisson(mean).astype(np.uint16)))
    significance = table.sizes.significance
    assert np.median(significance[:30]) < 3
    assert (significance[:30] > 5).sum() <= 1
    assert (significance[30:] > 5).mean() > 0.95
    bare = table.passing(20, 300, min_significance=0)
    assert bare.sum() >= 59
    assert table.passing(20, 300).sum() <= 31


def test_the_filter_takes_what_is_asked_for(tmp_path):
    frames = np.array([sphere(d, 50_000) for d in (50, 60, 80, 90)]).astype(np.float32)
    table = find_sizes(run(tmp_path, frames))
    assert table.passing().tolist() == [False, True, True, False]
    assert table.passing(85, 95).tolist() == [False, False, False, True]
    assert table.passing(min_photons=1e9).sum() == 0
    assert table.passing(max_uncertainty=0).sum() == 0
    counts, _ = table.histogram(np.array([0.0, 55, 84, 100]))
    assert counts.tolist() == [1, 2, 1]
    assert table.histogram(chosen=table.passing())[0].sum() == 2
    with pytest.raises(SettingsError, match="No diameter"):
        table.passing(84, 55)


def test_a_table_is_written_and_read(tmp_path):
    frames = np.array([sphere(60, 50_000), 0 * sphere(60, 1)]).astype(np.float32)
    table = find_sizes(run(tmp_path, frames))
    path = tmp_path / "sizes.csv"
    table.write_csv(path)
    again = SizeTable.read_csv(path)
    assert [str(e) for e in again.events] == [str(table.events[k]) for k in range(2)]
    assert again.diameter == pytest.approx(table.diameter, rel=1e-5, nan_ok=True)
    assert again.fluence == pytest.approx(table.fluence, rel=1e-5, nan_ok=True)
    with pytest.raises(OutputError, match="exists already"):
        table.write_csv(path)
    path.write_text(path.read_text().replace(",0.", ",x", 1))
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        SizeTable.read_csv(path)
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(UnreadableFileError, match="no table of sizes"):
        SizeTable.read_csv(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"smallest": 80.0, "largest": 60.0}, "smallest diameter is 80"),
        ({"q_min": 0.5, "q_max": 0.4}, "No ring"),
        ({"shape": "cube"}, "must be one of"),
        ({"core": 2.0}, "at most"),
    ],
)
def test_wrong_settings_are_refused(wrong, sentence):
    with pytest.raises(SettingsError, match=sentence):
        SizeSettings(**wrong)


def test_too_few_rings_are_told(tmp_path):
    stack = run(tmp_path, np.ones((1, *bad_pixels().shape), np.uint16))
    with pytest.raises(RegionError, match="rings are left"):
        find_sizes(stack, q_min=0.1, q_max=0.11)


def test_labelled_frames_of_another_simulator(shared_data):
    """Half a detector, core-shell viruses and other particles, by condor."""
    import h5py

    path = shared_data / "spi" / "train.h5"
    if not path.is_file():
        pytest.skip("no labelled single-particle frames")
    with h5py.File(path) as file:
        code, true = file["labels/class_code"][:], file["labels/diameter_nm"][:]
        names = [name.decode() for name in file["labels/class_names"][:]]
    beam = type(geometry()).single_panel(
        (192, 96), 75e-6, (95.5, -4.5), 0.13, 1239.841984332 / 0.729
    )
    stack = open_stack(path, geometry=beam)
    single, wrong = (np.flatnonzero(code == names.index(n)) for n in ("single", "wrong_size"))
    plain = find_sizes(stack.subset(single)).diameter - true[single]
    assert 1.5 < np.median(plain) < 3.5  # what a solid sphere makes of a shell
    better = {"shape": "icosahedron", "core": 0.8, "core_density": 0.7}
    error = find_sizes(stack.subset(single), **better).diameter - true[single]
    assert abs(np.median(error)) < 0.7
    assert np.median(np.abs(error - np.median(error))) < 0.6
    table = find_sizes(stack.subset(wrong))
    assert np.mean(np.abs(table.diameter / true[wrong] - 1) < 0.05) > 0.92
    assert table.passing().sum() <= 2
    reader = PsdReader(stack)
    doublets = np.flatnonzero(code == names.index("doublet"))
    # Contrast says nothing about multiplicity.
    assert reader.mean(doublets).contrast.gamma > reader.mean(single).contrast.gamma > 0.2
