"""Photon energy and camera length from the scattering, against simulated and hand-made frames."""

from __future__ import annotations

import csv
import dataclasses
import math
import pickle

import numpy as np
import pytest

from napari_xfelsort.core.beam import (
    BeamClass,
    BeamEstimate,
    BeamSettings,
    CellLayout,
    classes_of_stack,
    contradiction,
    estimate_beam,
    find_beam,
    load_beam_classes,
    save_beam_classes,
    train_beam_classes,
)
from napari_xfelsort.core.beam.cells import CellPlaces
from napari_xfelsort.core.beam.scattering import curves, shapes, two_theta
from napari_xfelsort.core.errors import (
    GeometryError,
    ModelError,
    OutputError,
    SettingsError,
    TrainingError,
)
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

#: 96 x 96 pixels of 1.6 mm, the beam far from the middle.
SIDE, PIXEL, BEAM = 96, 1.6e-3, (40.0, 53.5)

#: Four panels at three heights, one of them turned about y by 15 degrees and one about z.
PANELS = """photon_energy = 9000 eV
adu_per_photon = 1
clen = 0.1 m
res = 800
data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs
"""
PANELS += "".join(
    f"{name}/min_fs = 0\n{name}/max_fs = 59\n"
    f"{name}/min_ss = {60 * k}\n{name}/max_ss = {60 * k + 59}\n"
    f"{name}/corner_x = {x}\n{name}/corner_y = {y}\n{name}/coffset = {z}\n"
    f"{name}/fs = {fs}\n{name}/ss = {ss}\n"
    for k, (name, x, y, z, fs, ss) in enumerate(
        [
            ("a", 2, 2, 0.0, "+1.0x +0.0y", "+0.0x +1.0y"),
            ("b", -62, 2, 0.012, "+1.0x +0.0y", "+0.0x +1.0y"),
            ("c", -62, -62, 0.005, "+0.9962x +0.0872y", "-0.0872x +0.9962y"),
            ("d", 2, -62, 0.0, "+0.9659x +0.0y +0.2588z", "+0.0x +1.0y"),
        ]
    )
)


def one_panel(distance=math.nan, energy=math.nan):
    return Geometry.single_panel((SIDE, SIDE), PIXEL, BEAM, distance, energy)


def hand_made(energy, length, photons, water=0.6, polarisation=1.0, seed=1):
    """Expected and drawn photons of `one_panel`, pixel by pixel, by the plain formulas."""
    row, column = np.mgrid[:SIDE, :SIDE]
    y, x = (BEAM[0] - row) * PIXEL, (column - BEAM[1]) * PIXEL
    away = np.hypot(x, y)
    angle = np.arctan(away / length)
    q = 2 * np.sin(angle / 2) * energy / 12398.42
    step = np.arange(0, 2, 5e-4)
    liquid, gas = (np.interp(q, step, row[: len(step)]) for row in curves("air"))
    solid = np.cos(angle) ** 3
    horizontal, vertical = (1 + polarisation) / 2, (1 - polarisation) / 2
    cosine2 = np.divide(x**2, away**2, out=np.zeros_like(x), where=away > 0)
    polar = 1 - np.sin(angle) ** 2 * (horizontal * cosine2 + vertical * (1 - cosine2))
    parts = [part * solid * polar for part in (liquid, gas)]
    expected = water * parts[0] / parts[0].sum() + (1 - water) * parts[1] / parts[1].sum()
    return np.random.default_rng(seed).poisson(photons * expected).astype(np.int32)


def counted(frame, bad=None, geometry=None):
    return CellLayout(geometry or one_panel()).count(frame, bad)


def is_right(found, energy, length, deviations=4.0):
    assert found.energy_known
    assert found.length_known
    assert abs(found.energy - energy) < deviations * found.energy_error
    assert abs(found.length - length) < deviations * found.length_error


# --- the scattering ---------------------------------------------------------------------


def test_the_water_ring_is_where_a_calculation_by_hand_has_it():
    # 9300 eV is 1.333165 A; the crest is tabulated at sin(theta) / wavelength = 0.162 / A:
    # theta = asin(0.215973) = 12.4725 degrees, and 120 mm tan(24.945 degrees) = 55.812 mm.
    one = np.array([1.0])
    ring = CellPlaces(
        *(np.array([0]),) * 2, np.array([0.055812]), 0 * one, 0.25 * one, 0 * one, one, 1e-8 * one
    )
    assert math.degrees(two_theta(ring, 0.12)[0]) == pytest.approx(24.945, abs=2e-3)
    # 8 electrons squared, cos^3 / D^2 of the solid angle, sin^2 cos^2(phi) of polarisation.
    cosine = math.cos(math.radians(24.945))
    by_hand = 64.0 * 1e-8 * cosine**3 / 0.12**2 * (1 - 0.25 * (1 - cosine**2))
    args = np.array([9300.0]), np.array([0.12])
    assert shapes(ring, *args, curves("vacuum"))[0, 0, 0] == pytest.approx(by_hand, rel=1e-4)
    # It is the crest: less on both sides of it in the curve.
    for energy in (9000.0, 9600.0):
        other = shapes(ring, np.array([energy]), args[1], curves("vacuum"))[0, 0, 0]
        assert other < by_hand


@pytest.mark.parametrize(
    ("energy", "length", "polarisation"),
    [(9300.0, 0.120, 1.0), (7100.0, 0.095, -1.0), (12400.0, 0.260, 1.0)],
)
def test_known_answers_off_the_middle(energy, length, polarisation):
    frame = hand_made(energy, length, 2e7, polarisation=polarisation)
    found = estimate_beam(counted(frame), BeamSettings(polarisation=polarisation))
    is_right(found, energy, length)
    assert found.energy_error < 0.02 * energy
    assert found.reason == ""
    assert 0.9 * frame.sum() < found.photons <= frame.sum()  # few pixels near the beam


def test_the_simulator_of_panels_agrees():
    geometry = Geometry.from_crystfel_text(PANELS)
    settings = SfxSimulationSettings(
        n_events=2,
        seed=2,
        photon_energy=(9300.0,),
        camera_length=(130.0,),
        energy_jitter=0.0,
        flux=(3e11,),
        ice_share=0.0,
        streak_share=0.0,
    )
    maker = SfxMaker(settings, geometry)
    layout = CellLayout(maker.panels.geometry)
    bad = maker.response.hidden.reshape(geometry.raw_shape)
    counts = [layout.count(maker.event(i).frame, bad) for i in range(2)]
    for each in counts:
        is_right(estimate_beam(each), 9300.0, 0.130)
    both = estimate_beam(counts)
    is_right(both, 9300.0, 0.130, 5.0)
    assert both.events == 2
    assert both.energy_error < 0.03 * 9300


def test_a_real_detector_of_many_panels(shared_data):
    name = "EXtra-foam__karaboFAI__geometries__agipd_mar18_v11.geom"
    geometry = Geometry.from_crystfel(shared_data / "geoms" / name)
    settings = SfxSimulationSettings(
        n_events=1,
        seed=3,
        photon_energy=(9300.0,),
        camera_length=(150.0,),
        energy_jitter=0.0,
        flux=(3e11,),
    )
    maker = SfxMaker(settings, geometry)
    bad = maker.response.hidden.reshape(geometry.raw_shape)
    found = estimate_beam(CellLayout(geometry).count(maker.event(0).frame, bad))
    is_right(found, 9300.0, 0.150)
    assert found.energy_error < 40.0
    assert found.length_error < 5e-4


def test_streaks_ice_peaks_and_a_beam_stop_do_not_matter():
    settings = SfxSimulationSettings(
        n_events=2,
        seed=11,
        binning=8,
        photon_energy=(7500.0,),
        camera_length=(180.0,),
        energy_jitter=0.0,
        flux=(1e12,),
        hit_share=1.0,
        ice_share=1.0,
        streak_share=1.0,
        beam_stop_arm=2.0,
    )
    maker = SfxMaker(settings)
    layout = CellLayout(maker.panels.geometry)
    bad = maker.response.hidden.reshape(layout.raw_shape)
    for i in range(2):
        found = estimate_beam(layout.count(maker.event(i).frame, bad))
        is_right(found, 7500.0, 0.180, 5.0)


def test_one_of_both_known_makes_the_other_surer():
    counts = counted(hand_made(9300.0, 0.12, 3e5))
    free = estimate_beam(counts)
    with_energy = estimate_beam(counts, BeamSettings(known_energy=9300.0))
    with_length = estimate_beam(counts, BeamSettings(known_length=120.0))
    assert 0 < with_energy.length_error < 0.5 * free.length_error
    assert 0 < with_length.energy_error < 0.5 * free.energy_error
    assert with_energy.energy == pytest.approx(9300.0)
    assert with_energy.energy_error == 0.0
    assert math.isnan(with_energy.correlation)
    assert abs(with_energy.length - 0.12) < 4 * with_energy.length_error
    assert abs(with_length.energy - 9300.0) < 4 * with_length.energy_error
    assert free.correlation > 0.5  # more energy looks like more length


def test_scattering_towards_the_beam_is_seen():
    frame = hand_made(9300.0, 0.12, 4e6)
    row, column = np.mgrid[:SIDE, :SIDE]
    away = PIXEL * np.hypot(row - BEAM[0], column - BEAM[1])
    q = 2 * np.sin(np.arctan(away / 0.12) / 2) * 9300 / 12398.42
    halo = np.exp(-q / 0.03)
    frame += np.random.default_rng(2).poisson(6e5 * halo / halo.sum()).astype(np.int32)
    found = estimate_beam(counted(frame))
    is_right(found, 9300.0, 0.12, 5.0)


# --- what tells nothing -----------------------------------------------------------------


def test_blank_masked_and_unmeasured_frames_tell_nothing():
    blank = estimate_beam(counted(np.zeros((SIDE, SIDE), np.int32)))
    assert "0 photons" in blank.reason
    assert math.isnan(blank.energy)
    assert math.isnan(blank.length_error)
    masked = counted(hand_made(9300.0, 0.12, 1e6), np.ones((SIDE, SIDE), bool))
    assert "pixels" in estimate_beam(masked).reason
    nan = estimate_beam(counted(np.full((SIDE, SIDE), np.nan, np.float32)))
    assert not nan.energy_known
    assert nan.reason
    few = estimate_beam(counted(hand_made(9300.0, 0.12, 300)))
    assert "photons" in few.reason
    for each in (blank, few):
        assert "not known" in each.told()


def test_flat_and_foreign_scattering_is_not_taken_for_water():
    flat = np.random.default_rng(0).poisson(50.0, (SIDE, SIDE)).astype(np.int32)
    assert not estimate_beam(counted(flat)).length_known
    row, column = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(row - BEAM[0], column - BEAM[1])
    rings = 40.0 * (1 + np.sin(away / 2.5))
    found = estimate_beam(counted(np.random.default_rng(0).poisson(rings).astype(np.int32)))
    assert not found.energy_known
    assert found.reason


def test_few_photons_leave_it_open_and_say_how_far():
    found = estimate_beam(counted(hand_made(7000.0, 0.35, 8e3)))
    assert not found.energy_known
    assert "leave" in found.reason or "limit" in found.reason
    assert math.isnan(found.nearest[0])


def test_some_pixels_without_a_value_are_no_matter():
    frame = hand_made(9300.0, 0.12, 2e7).astype(np.float32)
    frame[::7, ::5] = np.nan
    frame[3, 4] = np.inf
    frame[60, 20] = 1e9
    is_right(estimate_beam(counted(frame)), 9300.0, 0.12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(GeometryError, match="shape"):
        CellLayout(one_panel()).count(np.zeros((3, 3)))
    stack = EventStack([ArraySource(np.zeros((1, SIDE, SIDE), np.int32))])
    with pytest.raises(GeometryError, match="need a geometry"):
        find_beam(stack)
    for wrong in ({"photon_energy_range": (9000.0, 8000.0)}, {"known_energy": -1.0}):
        with pytest.raises(SettingsError):
            BeamSettings(**wrong)
    with pytest.raises(SettingsError, match="together"):
        find_beam(run_of(1), together=-1)


# --- metadata ---------------------------------------------------------------------------


def estimate(energy=7000.0, length=0.25, errors=(0.01, 0.008), correlation=0.5, **other):
    a, b = errors
    covariance = np.array([[a * a, correlation * a * b], [correlation * a * b, b * b]])
    made = BeamEstimate(energy, length, covariance, True, True, "", 1e6)
    return dataclasses.replace(made, **other)


def test_metadata_that_contradict_are_told_with_both_values():
    told = contradiction(estimate(), 8000.0, 0.35)
    assert told == (
        "The file says 8.00 keV and 350.0 mm, but the scattering looks like "
        "7.00 ± 0.07 keV, 250.0 ± 2.0 mm."
    )
    assert contradiction(estimate(), 7050.0, 0.252) == ""
    assert contradiction(estimate(), math.nan, math.nan) == ""
    assert "5.00 keV" in contradiction(estimate(), 5000.0, math.nan)
    assert "350.0 mm" in contradiction(estimate(), math.nan, 0.35)


def test_both_together_contradict_where_neither_is_known():
    wide = estimate(
        errors=(0.2, 0.2),
        correlation=0.999,
        energy_known=False,
        length_known=False,
        reason="1e4 photons leave much open",
    )
    assert contradiction(wide, 7700.0, 0.275) == ""  # both 10 % more: along the ellipse
    told = contradiction(wide, 7700.0, 0.16)
    assert "at 7.70 keV the scattering looks like 275" in told
    assert contradiction(dataclasses.replace(wide, reason="at the limit"), 7700.0, 0.16) == ""
    dark = dataclasses.replace(wide, photons=5000.0)
    assert contradiction(dark, 7700.0, 0.16) == ""


# --- runs -------------------------------------------------------------------------------


def run_of(n, energy=9300.0, length=0.12, stated=(9300.0, 0.12), photons=2e6, mask=None):
    frames = np.array([hand_made(energy, length, photons, seed=k) for k in range(n)])
    source = ArraySource(frames, "run.h5", mask, *stated)
    return EventStack([source], geometry=one_panel(*reversed(stated)))


def test_the_cascade_tells_every_event_once():
    bad = np.zeros((SIDE, SIDE), bool)
    bad[:, 10:30] = True
    run = run_of(3, mask=PixelMask.from_bad(bad, Reason.USER))
    done = []
    found = find_beam(run, progress=lambda *counts: done.append(counts))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert len(found) == 3
    assert found.peaks.statuses == ["blank"] * 3
    for each in (*found.estimates, found.overall):
        is_right(each, 9300.0, 0.12)
    assert found.overall.events == 3
    assert found.overall.energy_error < found.estimates[0].energy_error
    assert found.warnings == ["", "", ""]
    pairs = find_beam(run, together=2)
    assert pairs.estimates[0] is pairs.estimates[1]
    assert [each.events for each in pairs.estimates] == [2, 2, 1]


def test_the_table_holds_values_reasons_and_warnings(tmp_path):
    run = run_of(2, stated=(12000.0, 0.12))
    run.sources[0]._frames[1] = 0
    found = find_beam(run)
    assert "12.00 keV" in found.warnings[0]
    assert "looks like 9." in found.warnings[0]
    path = tmp_path / "beam.csv"
    found.write_events(path)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [row["event"] for row in rows] == ["//0", "//1"]
    assert float(rows[0]["photon_energy_ev"]) == pytest.approx(9300.0, rel=0.03)
    assert float(rows[0]["file_photon_energy_ev"]) == 12000.0
    assert rows[0]["photon_energy_known"] == "1"
    assert rows[0]["warning"] == found.warnings[0]
    assert rows[1]["photon_energy_ev"] == ""
    assert rows[1]["photon_energy_known"] == "0"
    assert "photons" in rows[1]["reason"]
    assert found.known == (1, 1)
    assert found.why_not == [("too few photons", 1)]
    with pytest.raises(OutputError):
        found.write_events(path)


def test_metadata_are_held_against_all_events_together():
    assert find_beam(run_of(2)).overall_warning == ""
    wrong = find_beam(run_of(2, stated=(9300.0, 0.15)))
    assert wrong.overall_warning.startswith("The file says 9.30 keV and 150.0 mm, but")
    assert find_beam(run_of(2, stated=(math.nan, math.nan))).overall_warning == ""


def test_without_metadata_nothing_is_contradicted():
    found = find_beam(run_of(1, stated=(math.nan, math.nan)))
    assert found.warnings == [""]
    is_right(found.overall, 9300.0, 0.12)


def test_layouts_can_be_sent_elsewhere():
    layout = CellLayout(one_panel())
    frame = hand_made(9300.0, 0.12, 1e5)
    again = pickle.loads(pickle.dumps(layout))
    np.testing.assert_array_equal(again.count(frame).photons, layout.count(frame).photons)


# --- classes ----------------------------------------------------------------------------

CLASSES = [(e, d) for e in (8000.0, 9300.0) for d in (0.10, 0.14)]


def of_classes(photons, n, first_seed, water=(0.3, 0.8)):
    """Cells of frames of each class, jet and air differing from frame to frame."""
    random = np.random.default_rng(first_seed)
    rows, labels = [], []
    layout = CellLayout(one_panel())
    for pair in CLASSES:
        for k in range(n):
            share = random.uniform(*water)
            seed = first_seed + 100 * k + CLASSES.index(pair)
            rows.append(layout.count(hand_made(*pair, photons, share, seed=seed)))
            labels.append(pair)
    return rows, labels


def test_classes_by_the_curves_and_as_learnt():
    model = train_beam_classes(*of_classes(1e6, 6, 1))
    assert model.classes == tuple(BeamClass(*pair) for pair in CLASSES)
    frames, labels = of_classes(1e5, 2, 5000)  # another flux
    for counts, label in zip(frames, labels, strict=True):
        learnt = model.choose(counts)
        assert learnt.best == label
        assert learnt.sure
        assert learnt.probabilities.sum() == pytest.approx(1.0)
        assert learnt.energy[0] == label[0]
        assert learnt.length[0] == label[1]
    run = EventStack(
        [ArraySource(np.array([hand_made(*pair, 1e5) for pair in CLASSES]), "run.h5")],
        geometry=one_panel(),
    )
    for classes in (CLASSES, model):
        found = find_beam(run, classes=classes)
        assert [tuple(choice.best) for choice in found.choices] == CLASSES
        assert sum(n for _, n in found.classes) == 4


def test_too_few_photons_are_not_sure_of_a_class():
    model = train_beam_classes(*of_classes(3e5, 3, 1))
    dark = CellLayout(one_panel()).count(np.zeros((SIDE, SIDE), np.int32))
    none = model.choose(dark)
    np.testing.assert_allclose(none.probabilities, 0.25)
    assert not none.sure
    run = run_of(1, photons=20)
    assert find_beam(run, classes=CLASSES).choices == [None]


def test_classes_are_kept_in_a_file_without_code(tmp_path):
    model = train_beam_classes(*of_classes(1e5, 3, 1))
    path = tmp_path / "beam.npz"
    save_beam_classes(model, path)
    again = load_beam_classes(path)
    counts = of_classes(1e4, 1, 77)[0][2]
    np.testing.assert_array_equal(
        again.choose(counts).probabilities, model.choose(counts).probabilities
    )
    with pytest.raises(OutputError):
        save_beam_classes(model, path)
    (tmp_path / "text.npz").write_text("no classes")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "object.npz", **{k: np.array([{}]) for k in ("version", "classes")})
    damaged = dict(np.load(path))
    damaged["parts"] = damaged["parts"][:, :, 1:]
    np.savez(tmp_path / "damaged.npz", **damaged)
    for name in ("text.npz", "other.npz", "object.npz", "damaged.npz", "absent.npz"):
        with pytest.raises(ModelError, match=name):
            load_beam_classes(tmp_path / name)


def test_classes_that_cannot_be_learnt_or_used():
    frames, labels = of_classes(1e4, 3, 1)
    with pytest.raises(TrainingError, match="two settings"):
        train_beam_classes(frames[:3], labels[:3])
    with pytest.raises(TrainingError, match="There are 1 frames"):
        train_beam_classes(frames[:4], labels[:4])
    model = train_beam_classes(frames, labels)
    other = Geometry.single_panel((SIDE, SIDE), 0.5 * PIXEL, (10.0, 10.0))
    with pytest.raises(ModelError, match="another"):
        model.choose(counted(hand_made(9300.0, 0.12, 1e5), geometry=other))
    for classes in ([(9300.0, 0.1)], [(9300.0, 0.1), (-1.0, 0.1)]):
        with pytest.raises(SettingsError):
            find_beam(run_of(1), classes=classes)
    unknown = run_of(1, stated=(math.nan, math.nan))
    with pytest.raises(TrainingError, match="no photon energy"):
        classes_of_stack(unknown)
