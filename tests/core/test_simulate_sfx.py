"""Simulated runs of serial crystallography: files, truth, statistics, bad input."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import GeometryError, OutputError, SettingsError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.simulate import simulate_sfx
from napari_xfelsort.core.simulate.sfx import (
    SfxMaker,
    SfxSimulationSettings,
    heat_map,
    read_spots,
)
from napari_xfelsort.core.simulate.sfx.events import plan_events

#: Two modules of a slab with a first axis over them, one turned by 30 degrees and tilted,
#: one stored with fs as the slower axis; the beam misses both.
MODULES = """\
photon_energy = 9000 eV
clen = 0.3 m
res = 2500
data = /entry/data
dim0 = %
group_both = a,b
bad_corner/panel = b
bad_corner/min_fs = 60
bad_corner/max_fs = 69
bad_corner/min_ss = 0
bad_corner/max_ss = 9
a/dim1 = 0
a/dim2 = ss
a/dim3 = fs
a/min_fs = 0
a/max_fs = 99
a/min_ss = 4
a/max_ss = 83
a/corner_x = 10.0
a/corner_y = -40.0
a/coffset = 0.002
a/fs = +0.866025404x +0.5y +0.01z
a/ss = -0.5x +0.866025404y
b/dim1 = 1
b/dim2 = fs
b/dim3 = ss
b/min_fs = 0
b/max_fs = 69
b/min_ss = 0
b/max_ss = 99
b/corner_x = -110.0
b/corner_y = 40.0
b/coffset = 0.002
b/fs = +1.0x
b/ss = -1.0y
"""

SMALL = {"n_events": 6, "binning": 8, "seed": 3}

CLEAN = {"dead_pixels": 0.0, "hot_pixels": 0.0, "dead_lines": 0, "unmasked_hot": 0}


def modules() -> Geometry:
    """The two panels."""
    return Geometry.from_crystfel_text(MODULES)


def datasets(path) -> dict[str, bytes | str]:
    """Content of every dataset."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            value = np.asarray(item[()])
            found[name] = repr(value.tolist()) if value.dtype == object else value.tobytes()

    with h5py.File(path) as file:
        file.visititems(take)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 36 events, a quarter of a million pixels in all."""
    return simulate_sfx(tmp_path_factory.mktemp("sfx"), n_events=36, binning=8, seed=5)


def test_files_and_layout(run):
    assert run.data.name == "run0001.cxi"
    assert run.geometry.name == "run0001.geom"
    assert SfxSimulationSettings.from_toml(run.folder / "run0001.toml").seed == 5
    with h5py.File(run.data) as file:
        data = file["entry_1/data_1/data"]
        shape = data.shape[1:]
        assert data.shape == (36, 4 * 64 + 3 * 4, 2 * 128 + 1)
        assert data.dtype == np.int32
        assert data.chunks == (1, *shape)
        assert file["entry_1/data_1/mask"].shape == shape
        assert file["truth/defects"].shape == shape
        assert file["truth/reciprocal_axes"].shape == (36, 3, 3)
        spots, first = file["truth/spots"][()], file["truth/first_spot"][()]
        assert (np.repeat(np.arange(36), np.diff(first)) == spots["frame"]).all()
        assert (np.diff(first) == file["truth/n_spots"][()]).all()
        found = np.bincount(spots["frame"][spots["significance"] > 6], minlength=36)
        assert (found == file["truth/n_findable"][()]).all()
        assert found.sum() == run.n_spots
        hit, label = file["labels/hit"][()], file["labels/class"][()]
        assert (label == np.where(hit, np.where(found >= 3, 1, -1), 0)).all()
        assert (np.isnan(file["truth/reciprocal_axes"][:, 0, 0]) == (hit == 0)).all()
        assert {"entry_1/result_1", "truth/heat"}.isdisjoint(file)
        assert len(file["truth/hot_pixels_unflagged"]) == 12
        assert json.loads(file.attrs["simulation"])["n_events"] == 36
        panels = [name.decode() for name in file["truth/panels"][()]]
    assert panels == [f"m{k}" for k in range(8)]
    assert (label == run.labels).all()
    for path, wanted in ((run.hits_list, 1), (run.blanks_list, 0)):
        told = [int(line.rpartition("//")[2]) for line in path.read_text().splitlines()]
        assert told == np.flatnonzero(label == wanted).tolist()


def test_each_event_has_its_own_energy_and_camera_length_in_the_readers(run):
    stack = xs.open_stack(run.data, geometry=run.geometry)
    assert len(stack) == 36
    assert not stack.problems
    energies = np.array([stack.photon_energy(i) for i in range(36)])
    lengths = np.array([stack.camera_length(i) for i in range(36)])
    with h5py.File(run.data) as file:
        assert energies == pytest.approx(file["truth/photon_energy"][()])
        assert lengths == pytest.approx(file["truth/camera_length"][()])
        mask, defects = file["entry_1/data_1/mask"][()], file["truth/defects"][()]
    # Table 1 of the paper: three energies and three lengths, each twelve times.
    assert np.bincount(np.rint(energies / 1000).astype(int))[6:].tolist() == [12, 12, 12]
    assert sorted(set(np.rint(1e3 * lengths).astype(int))) == [150, 250, 350]
    assert stack.peaks(0) is None
    assert (stack.mask.bad == (mask != 0)).all()
    assert (mask[(defects == 1) | (defects == 2)] != 0).all()
    assert (mask[defects == 3] == 0).all()
    assert stack.assembled(3).shape == (268, 257)


def test_energies_and_lengths_on_a_continuous_grid(tmp_path):
    settings = SfxSimulationSettings(
        n_events=400, continuous=True, photon_energy=(6000.0, 9000.0), camera_length=(100.0, 300.0)
    )
    plan = plan_events(settings)
    # Even: mean in the middle, deviation of a twelfth's root; 400 of them.
    assert plan.photon_energy.mean() == pytest.approx(7500, abs=4 * 866 / 20)
    assert plan.photon_energy.std() == pytest.approx(866, rel=0.1)
    assert 0.1 <= plan.camera_length.min() < 0.11
    assert 0.29 < plan.camera_length.max() <= 0.3


def test_classes_levels_energies_and_lengths_are_even_and_independent():
    settings = SfxSimulationSettings(n_events=630, hit_share=0.4, seed=2)
    plan = plan_events(settings)
    assert plan.crystal.sum() == 252
    assert np.bincount(plan.level).tolist() == [90] * 7
    for one in (plan.level, plan.photon_energy, plan.camera_length):
        for other in (plan.crystal, plan.camera_length, plan.photon_energy):
            if other is not one:
                assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(630)


def test_no_label_leaks_through_the_background():
    """With and without crystals the same events have the same jet, flux and surroundings."""
    with_crystal = SfxMaker(SfxSimulationSettings(hit_share=1.0, **SMALL))
    without = SfxMaker(SfxSimulationSettings(hit_share=0.0, **SMALL))
    seen, active = set(), without.panels.active
    for i in range(6):
        one, other = with_crystal.event(i), without.event(i)
        assert one.background_mean == other.background_mean
        assert one.pulse == other.pulse
        assert one.background.jet == other.background.jet
        assert one.crystal is not None
        assert other.crystal is None
        seen.add(one.background.jet)
        far = np.ones(one.expected.shape, bool)
        for spot in one.spots:
            row, column = round(spot["ss"]), round(spot["fs"])
            far[max(row - 8, 0) : row + 9, max(column - 8, 0) : column + 9] = False
        # Spots beside a panel, and those of hardly a photon, are not told.
        off = np.abs(one.expected - other.expected) > 1e-2 * other.expected
        assert off[far & active].mean() < 1e-3
    assert len(seen) == 6


def test_counts_are_poisson():
    settings = SfxSimulationSettings(flux=(1e12, 1e10, 1e9), **(SMALL | CLEAN))
    maker = SfxMaker(settings)
    for i in range(6):
        event = maker.event(i)
        active = maker.panels.active
        counts, expected = event.frame[active].astype(float), event.expected[active].astype(float)
        assert not event.frame[~active].any()
        n = counts.size
        total = expected.sum()
        assert counts.sum() == pytest.approx(total, abs=5 * np.sqrt(total))
        # Variance of (k - m)^2 / m is 2 + 1 / m.
        chosen = expected > 1e-3
        chi2 = (counts[chosen] - expected[chosen]) ** 2 / expected[chosen]
        deviation = np.sqrt((2 + 1 / expected[chosen]).sum()) / chosen.sum()
        assert chi2.mean() == pytest.approx(1.0, abs=5 * deviation)
        none = np.exp(-expected).sum()
        assert (counts == 0).sum() == pytest.approx(none, abs=5 * np.sqrt(none + 1) + 1e-3 * n)


def test_spots_are_told_in_the_raw_frame_of_any_layout(tmp_path):
    """Tilted panels, a first axis over modules, fs stored as the slower axis."""
    text = tmp_path / "modules.geom"
    text.write_text(MODULES)
    changes = {"n_events": 3, "hit_share": 1.0, "flux": (1e13,), "seed": 1} | CLEAN
    run = simulate_sfx(
        tmp_path / "run", geometry=text, camera_length=(80.0,), beam_stop=0.0, **changes
    )
    stack = xs.open_stack(run.data, geometry=run.geometry)
    assert stack.raw_shape == (2, 84, 100)
    assert stack.geometry.groups["both"] == ("a", "b")
    # Panels are placed as they were; the camera length is that of the axis, not of clen.
    for ours, theirs in zip(stack.geometry.positions(), modules().positions(), strict=True):
        off = ours - theirs
        assert np.nanmax(off) - np.nanmin(off) < 1e-9
    x, y, z = stack.geometry.positions()
    assert stack.camera_length(0) == pytest.approx(0.08)
    assert np.nanmin(np.abs(stack.geometry.camera_length(0.0))) == pytest.approx(0.002, abs=1e-3)
    clen = 0.08 - stack.geometry.camera_length(0.0)
    places = np.stack([x, y, z + clen], axis=-1).reshape(-1, 100, 3)
    seen = set()
    for i in range(3):
        spots = read_spots(run.data, i)
        with h5py.File(run.data) as file:
            axes = file["truth/reciprocal_axes"][i]
        k1 = np.stack([spots["h"], spots["k"], spots["l"]], axis=1) @ axes
        k1[:, 2] += stack.photon_energy(i) / 12398.41984332
        k1 /= np.linalg.norm(k1, axis=1)[:, None]
        for spot, ray in zip(spots, k1, strict=True):
            # The pixel named is the one that the ray comes nearest to: 0.4 mm at 80 mm.
            pixel = places[round(spot["ss"]), round(spot["fs"])]
            assert np.arccos(min(ray @ pixel / np.linalg.norm(pixel), 1.0)) < 1.2 * 0.4 / 80
            seen.add(int(spot["panel"]))
            if spot["significance"] > 200:
                frame = stack.raw(i).reshape(-1, 100)
                row, column = round(spot["ss"]), round(spot["fs"])
                near = frame[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                assert near.max() > 0.5 * spot["peak_pixel"]
    assert seen == {0, 1}
    # The bad region of the geometry is in the mask.
    corner = stack.mask.bad[1, 60:70, :10]
    assert corner.all()


def test_spots_that_reach_onto_a_panel_from_beside_it_are_told_apart(run):
    with h5py.File(run.data) as file:
        edge, inside = file["truth/edge_spots"][()], file["truth/spots"][()]
    assert len(edge) > 8
    assert len(inside) > 5 * len(edge)
    # Modules of 64 x 128 pixels, 4 rows and 1 column apart: all lie on their rims.
    rim_s, rim_f = edge["ss"] % 68, edge["fs"] % 129
    assert (np.isin(rim_s, (0, 63)) | np.isin(rim_f, (0, 127))).all()
    assert (edge["significance"] > 1).all()
    assert (edge["photons_visible"] < 0.7 * edge["photons"]).all()


def test_heat_maps_of_spots(tmp_path):
    run = simulate_sfx(tmp_path, hit_share=1.0, flux=(1e12,), heat_maps=True, **SMALL)
    geometry = Geometry.from_crystfel(run.geometry)
    with h5py.File(run.data) as file:
        stored = file["truth/heat"][0].astype(np.float32)
    spots = read_spots(run.data, 0)
    heat = heat_map(spots, geometry)
    assert stored == pytest.approx(heat, abs=1e-3)
    strong = spots[spots["significance"] > 6]
    rows, columns = np.mgrid[: heat.shape[0], : heat.shape[1]]
    expected = np.zeros(heat.shape)
    for spot in strong:
        r2 = (rows - spot["ss"]) ** 2 + (columns - spot["fs"]) ** 2
        expected = np.maximum(expected, np.exp(-0.5 * r2))
    panels = SfxMaker(SfxSimulationSettings(**SMALL)).panels.active
    assert len(strong) > 10
    # Gaussians end at four deviations, and at the edge of their panel.
    assert (np.abs(heat - expected)[panels] > 4e-4).mean() < 0.01
    assert not heat[~panels].any()
    assert heat_map(spots, geometry, least=np.inf).max() == 0
    wider = heat_map(spots, geometry, sigma=2.0)
    assert wider.sum() > 2.5 * heat.sum()


def test_stored_peaks_are_the_spots_that_can_be_found(tmp_path):
    run = simulate_sfx(tmp_path, hit_share=0.5, stored_peaks=True, adu_per_photon=3.0, **SMALL)
    stack = xs.open_stack(run.data, geometry=run.geometry)
    for i in range(6):
        spots = read_spots(run.data, i)
        spots = spots[spots["significance"] > 6]
        fs, ss, intensity = stack.peaks(i)
        order = np.argsort(-spots["significance"])
        assert fs == pytest.approx(spots["fs"][order], abs=1e-3)
        assert ss == pytest.approx(spots["ss"][order], abs=1e-3)
        assert intensity == pytest.approx(3 * spots["photons_visible"][order], rel=1e-5)


def test_bad_pixels_are_planted_masked_or_not(run):
    with h5py.File(run.data) as file:
        frames = file["entry_1/data_1/data"][()]
        mask, defects = file["entry_1/data_1/mask"][()], file["truth/defects"][()]
        names = dict(file["truth/defects"].attrs)
        places = file["truth/hot_pixels_unflagged"][()]
    assert names == {"dead": 1, "hot": 2, "hot_unmasked": 3}
    assert (frames[:, defects == 1] == 0).all()
    assert (mask[defects == 1] == 8).all()
    assert (mask[defects == 2] == 4).all()
    assert not mask[tuple(places.T)].any()
    # Weakest hot pixels count two photons a frame in the mean of 36.
    assert (frames[:, defects == 3].mean(axis=0) > 1.2).all()
    line = np.argwhere(defects == 1)
    assert np.bincount(line[:, 1]).max() == 64  # one line of a module of 64 rows
    assert (mask == 512).sum() == mask.size - 8 * 64 * 128


def test_gain_noise_and_wrong_gain_switching(tmp_path):
    common = {"n_events": 4, "binning": 8, "flux": (1e12,), "hit_share": 0.5} | CLEAN
    photons = SfxMaker(SfxSimulationSettings(**common))
    plain = SfxMaker(SfxSimulationSettings(adu_per_photon=25.0, dtype="float32", **common))
    noisy = SfxMaker(
        SfxSimulationSettings(adu_per_photon=25.0, read_noise=40.0, dtype="float32", **common)
    )
    spread = SfxMaker(SfxSimulationSettings(gain_spread=0.1, dtype="float32", **common))
    switched = SfxMaker(
        SfxSimulationSettings(adu_per_photon=25.0, switch_share=1.0, dtype="float32", **common)
    )
    counts = photons.event(0).frame
    assert (plain.event(0).frame == 25 * counts).all()
    active = photons.panels.active
    noise = (noisy.event(0).frame - 25 * counts)[active]
    assert noise.std() == pytest.approx(40.0, rel=0.02)
    assert abs(noise.mean()) < 5 * 40 / np.sqrt(noise.size)
    gains = (spread.event(0).frame / np.maximum(counts, 1))[counts > 0]
    assert gains.std() == pytest.approx(0.1, rel=0.03)
    event = switched.event(0)
    above = 25 * counts > event.artefact["threshold"]
    lowered = 25 * counts - event.frame
    assert above.sum() == event.artefact["n_switched"] > 50
    assert lowered[above] == pytest.approx(event.artefact["drop"], rel=1e-4)
    assert not lowered[~above].any()


def test_beam_stop_and_shadow_let_nothing_through():
    settings = SfxSimulationSettings(beam_stop=10.0, beam_stop_arm=3.0, flux=(1e12,), **SMALL)
    maker = SfxMaker(settings)
    x, y, _ = maker.panels.geometry.positions()
    event = maker.event(0)
    stop = maker.obstacles
    assert stop["radius"] == pytest.approx(0.01)
    assert np.hypot(stop["x"], stop["y"]) < 0.005
    away = np.hypot(x - stop["x"], y - stop["y"])
    arm = (np.abs(x - stop["x"]) < 1.4e-3) & (y > stop["y"])
    assert event.expected[away < 0.0099].max() == 0
    assert event.expected[arm].max() == 0
    free = (away > 0.0102) & ~((np.abs(x - stop["x"]) < 1.7e-3) & (y > stop["y"]))
    assert event.expected[free].min() > 0
    clear = SfxMaker(SfxSimulationSettings(shadow="aperture", flux=(1e12,), **SMALL))
    reach = clear.obstacles["aperture"]
    assert clear.event(0).expected[np.hypot(x, y) > reach + 2e-4].max() == 0
    edge = SfxMaker(SfxSimulationSettings(shadow="edge", flux=(1e12,), **SMALL)).obstacles
    assert {"angle", "offset"} <= set(edge)


@pytest.mark.parametrize("texture", ["smooth", "textured", "spotty"])
def test_ice_lies_at_its_spacings(texture):
    """Excess over the same event without ice: nothing between the rings."""
    changes = {"flux": (1e12,), "photon_energy": (8000.0,), "camera_length": (120.0,)}
    settings = SfxSimulationSettings(
        hit_share=0.0, ice_share=1.0, streak_share=0.0, **(SMALL | changes | {"n_events": 40})
    )
    maker = SfxMaker(settings)
    spacings = 1 / np.array([3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72, 1.52])
    for i in range(40):
        # What is drawn first is cheap to look at.
        random = np.random.default_rng((settings.seed, settings.run, 3, i))
        from napari_xfelsort.core.simulate.sfx.background import draw_background

        drawn = draw_background(random, settings, maker._pulse(i, random))
        if drawn.ice.texture == texture and drawn.ice.contrast > 0.3:
            break
    event = maker.event(i)
    assert event.background.ice.texture == texture
    bare = np.zeros(maker.panels.size, np.float32)
    calm = type(drawn)(drawn.jet, drawn.path, drawn.gas, None, (0.0, 0.0), drawn.streaks)
    clen = maker.panels.clen(event.camera_length)
    calm.scatter(bare, maker.panels, clen, event.pulse)
    excess = event.expected - (bare * maker.passes).reshape(event.expected.shape)
    x, y, _ = maker.panels.geometry.positions()
    q = 2 * np.sin(0.5 * np.arctan(np.hypot(x, y) / event.camera_length))
    q /= event.pulse.wavelength
    off = np.abs(q[..., None] - spacings).min(axis=-1)
    near = off < 5 * event.background.ice.width + (0.008 if texture == "spotty" else 0)
    assert np.nansum(excess[near & maker.panels.active]) > 1000
    assert np.abs(excess[~near & maker.panels.active]).max() < 1e-2 * excess.max()
    assert (len(event.ice_spots) > 0) == (texture == "spotty")


def test_equal_seeds_give_equal_data_and_other_seeds_other(tmp_path):
    runs = [
        simulate_sfx(tmp_path / name, binning=8, n_events=3, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, again, other = (datasets(run.data) for run in runs)
    assert first == again
    assert runs[0].geometry.read_bytes() == runs[1].geometry.read_bytes()
    assert (
        first["entry_1/instrument_1/detector_1/data"]
        != (other["entry_1/instrument_1/detector_1/data"])
    )


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"compression": "bslz4"}, "int32"),
        ({"compression": "none"}, "uint16"),
        ({}, "float32"),
        ({}, "int16"),
    ],
)
def test_types_and_compressions_hold_the_same_counts(tmp_path, changes, dtype):
    changes = {"dtype": dtype} | changes
    run = simulate_sfx(tmp_path, flux=(1e9,), **(SMALL | {"n_events": 2}), **changes)
    event = SfxMaker(SfxSimulationSettings(flux=(1e9,), **(SMALL | {"n_events": 2}))).event(1)
    stack = xs.open_stack(run.data, geometry=run.geometry)
    assert stack.raw(1).dtype == dtype
    assert (stack.raw(1) == np.minimum(event.frame, 32767)).all()


@pytest.mark.parametrize(
    "name",
    [
        "extra_geom_written__AGIPD-500K2G_3d.geom",
        "psgeom__ref_files__pnccd__pnccd2.geom",
        "cheetah-gui__src__cheetah__resources__jungfrau1M.geom",
        "crystfel__tests__ev_enum1.geom",
    ],
)
def test_real_geometries_can_be_simulated_on(tmp_path, shared_data, name):
    path = shared_data / "geoms" / name
    run = simulate_sfx(
        tmp_path, geometry=path, n_events=1, compression="none", camera_length=(110.0,)
    )
    theirs, stack = Geometry.from_crystfel(path), xs.open_stack(run.data, geometry=run.geometry)
    assert stack.raw_shape == theirs.raw_shape
    assert not stack.problems
    assert stack.camera_length(0) == pytest.approx(0.11)
    for ours, old in zip(stack.geometry.positions()[:2], theirs.positions()[:2], strict=True):
        assert np.nanmax(np.abs(ours - old)) < 1e-9


def test_nothing_is_overwritten_unless_allowed(tmp_path):
    first = simulate_sfx(tmp_path, n_events=1, binning=8, seed=1)
    before = first.data.read_bytes()
    with pytest.raises(OutputError, match=r"run0001\.cxi exists already"):
        simulate_sfx(tmp_path, n_events=1, binning=8, seed=2)
    assert first.data.read_bytes() == before
    simulate_sfx(tmp_path, n_events=1, binning=8, seed=2, overwrite=True)
    assert first.data.read_bytes() != before


def test_a_broken_off_simulation_leaves_no_file(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_sfx(tmp_path, n_events=3, binning=8, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["truth"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_events": 0}, "n_events is 0 but must be at least 1"),
        ({"cell": (10.0, 20.0)}, "A cell has six numbers"),
        ({"cell": (50.0, 50.0, 50.0, 10.0, 10.0, 90.0)}, "There is no cell 50 50 50 10 10 90"),
        ({"point_group": "5"}, "There is no point group '5'"),
        ({"centering": "X"}, "must be one of P, A, B"),
        ({"jet": (5.0,)}, "jet is '5' but must be two numbers"),
        ({"b_factor": (30.0, 10.0)}, "b_factor is '30 10' but must be two numbers"),
        ({"flux": ()}, "flux needs a number at least"),
        ({"photon_energy": (100.0,)}, "must be at least 1000 eV"),
        ({"gas": "argon"}, "must be one of air, helium, vacuum"),
        ({"colour": 1}, "Unknown setting 'colour'"),
        ({"cell": (2000.0,) * 3 + (90.0,) * 3, "mosaicity": 3.0, "resolution": 0.5}, "too many"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(tmp_path, changes, sentence):
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        simulate_sfx(tmp_path, **({"binning": 8, "n_events": 1, "hit_share": 1.0} | changes))
    assert not list(tmp_path.rglob("*.cxi"))


def test_bad_files_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(GeometryError, match=r"none\.geom cannot be read"):
        simulate_sfx(tmp_path, geometry=tmp_path / "none.geom")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        simulate_sfx(tmp_path / "file" / "run", n_events=1, binning=8)
    with pytest.raises(xs.core.errors.UnreadableFileError, match="holds no simulated serial"):
        read_spots(tmp_path / "file")
    run = simulate_sfx(tmp_path, n_events=1, binning=8)
    with pytest.raises(xs.core.errors.UnreadableFileError, match="has no event 1"):
        read_spots(run.data, 1)


def test_panels_behind_and_beside_the_sample_and_too_much_light():
    """Directions beyond 90 degrees, and more photons than 64 bits count."""
    text = (
        "photon_energy = 9000 eV\nclen = 0.1 m\nres = 1000\ndata = /d\ndim0 = %\ndim1 = ss\n"
        "dim2 = fs\nb/min_fs = 0\nb/max_fs = 39\nb/min_ss = 0\nb/max_ss = 39\nb/corner_x = -20\n"
        "b/corner_y = -20\nb/fs = x\nb/ss = y\nb/coffset = -0.2\nf/min_fs = 0\nf/max_fs = 39\n"
        "f/min_ss = 40\nf/max_ss = 79\nf/corner_x = -20\nf/corner_y = -20\nf/fs = x\nf/ss = y\n"
    )
    settings = SfxSimulationSettings(
        flux=(1e16,), camera_length=(50.0,), hit_share=1.0, crystal_size=(500.0, 500.0), n_events=1
    )
    maker = SfxMaker(settings, Geometry.from_crystfel_text(text))
    event = maker.event(0)
    assert np.isfinite(event.expected).all()
    assert event.expected[maker.panels.active].min() >= 0
    assert event.expected[:40].max() > 0
    assert event.spots["photons"].max() <= event.pulse.photons
    assert event.frame.max() <= 2**31 - 1
    assert event.frame.min() >= 0
