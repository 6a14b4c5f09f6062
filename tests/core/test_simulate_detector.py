"""Simulated detector runs against analytic expectations and hand-made arithmetic."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xfelsort.core.errors import OutputError, SettingsError
from napari_xfelsort.core.simulate import (
    DetectorSimulationSettings,
    SimulatedRun,
    simulate_detector,
)
from napari_xfelsort.core.simulate.frames import FrameMaker
from napari_xfelsort.core.simulate.layout import DETECTORS

#: Nothing but photons: no noise, no spread, no artefact.
PLAIN = {
    "gain_spread": 0.0,
    "read_noise": 0.0,
    "pulse_jitter": 0.0,
    "energy_jitter": 0.0,
    "bad_pixels": 0.0,
    "spots_min": 0,
    "spots_max": 0,
    "artefact_share": 0.0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRun:
    return simulate_detector(tmp_path_factory.mktemp("run"), n_events=60, seed=3)


def read(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[name][()]


def datasets(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()]).tobytes()

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def geometry_positions(text: str, encoder_mm: float, shape: tuple[int, int]) -> np.ndarray:
    """x, y, z in m of every pixel's centre, straight from the geometry's numbers."""
    panels: dict[str, dict[str, str]] = {}
    res = 0.0
    for line in text.splitlines():
        key, equals, value = line.partition(";")[0].partition("=")
        name, slash, field = key.strip().partition("/")
        if equals and slash:
            panels.setdefault(name, {})[field] = value.strip()
        elif key.strip() == "res":
            res = float(value)
    out = np.full((3, *shape), np.nan)
    for panel in panels.values():
        low_fs, high_fs, low_ss, high_ss = (
            int(panel[k]) for k in ("min_fs", "max_fs", "min_ss", "max_ss")
        )
        corner = float(panel["corner_x"]), float(panel["corner_y"]), 0.0
        for axis, letter in enumerate("xyz"):
            per_fs, per_ss = (
                float(re.search(rf"([-+][0-9.]+){letter}", panel[k])[1]) for k in ("fs", "ss")
            )
            fs = np.arange(high_fs - low_fs + 1) + 0.5
            ss = np.arange(high_ss - low_ss + 1)[:, None] + 0.5
            place = (corner[axis] + fs * per_fs + ss * per_ss) / res
            if letter == "z":
                place += encoder_mm * 1e-3 + float(panel["coffset"])
            out[axis, low_ss : high_ss + 1, low_fs : high_fs + 1] = place
    return out


@pytest.mark.parametrize(
    ("name", "shape", "panels"), [("small", (704, 96), 32), ("epix10k2m", (5632, 384), 64)]
)
def test_panels_tile_the_slab_and_do_not_overlap_in_space(name, shape, panels):
    detector = DETECTORS[name]
    assert detector.shape == shape
    assert len(detector.panels()) == panels
    covered = np.zeros(shape, int)
    for panel in detector.panels():
        covered[panel.window] += 1
    assert (covered == 1).all()
    x, y, _ = detector.positions() / detector.pixel_size
    # Pixels of different panels are at least a pixel apart: no two share a cell of 1 px.
    cells = np.unique(np.stack([np.floor(x), np.floor(y)]).reshape(2, -1), axis=1)
    assert cells.shape[1] > 0.995 * x.size
    assert np.hypot(x, y).min() > detector.hole - 2  # the beam hole


def test_geometry_text_gives_the_simulated_positions(run):
    text = run.geometry.read_text()
    detector = DETECTORS["small"]
    from_text = geometry_positions(text, detector.encoder, detector.shape)
    np.testing.assert_allclose(from_text, detector.positions(), atol=2e-9)


def test_files_and_layout(run):
    assert run.data.name == "run0001.cxi"
    assert run.geometry.name == "small.geom"
    with h5py.File(run.data) as file:
        data = file["/entry_1/data_1/data"]
        assert data.shape == (60, 704, 96)
        assert data.dtype == np.int16
        assert data.chunks == (1, 704, 96)
        assert file["/entry_1/data_1/mask"].dtype == np.uint16
        assert file["/entry_1/data_1/mask"].shape == (704, 96)
        assert file["/entry_1/result_1/peakXPosRaw"].shape == (60, 1024)
        pixel = file["/entry_1/instrument_1/detector_1/x_pixel_size"][0]
        names = file["/entry_1/experiment_identifier"][()]
        energies = file["/LCLS/photon_energy_eV"][()]
    assert pixel == pytest.approx(2e-4)
    assert len(set(names)) == 60
    assert 9300 < energies.min() < 9500 < energies.max() < 9700


def test_water_ring_lies_where_its_crest_in_q_puts_it(tmp_path):
    """Crest at q = 2.0 1/A: 2 theta = 2 asin(q lambda / 4 pi), radius = L tan(2 theta)."""
    run = simulate_detector(tmp_path, n_events=40, dtype="float32", **PLAIN)
    mean = read(run.data, "/entry_1/data_1/data").astype(float).mean(axis=0)
    x, y, z = geometry_positions(run.geometry.read_text(), 580.0, mean.shape)
    radius = np.hypot(x, y)
    two_theta = np.arctan2(radius, z)
    polarisation = 1.0 - (np.sin(two_theta) * x / radius) ** 2
    # cos(atan(0.4447)) = 0.9137: the solid angle is taken relative to the crest's.
    flat = mean / ((np.cos(two_theta) / 0.9137) ** 3 * polarisation)
    reach = radius / z
    bins = np.arange(0.35, 0.55, 0.01)
    which = np.digitize(reach, bins)
    profile = [flat[which == k].mean() for k in range(1, len(bins))]
    # The ring is skew, so its crest is read from the bins just around it.
    crest = bins[int(np.argmax(profile))] + 0.005
    wavelength = 12398.41984 / 9500.0
    expected = np.tan(2.0 * np.arcsin(2.0 * wavelength / (4.0 * np.pi)))
    assert expected == pytest.approx(0.4447, abs=1e-4)
    assert crest == pytest.approx(expected, abs=0.0075)
    assert max(profile) == pytest.approx(1700.0, rel=0.01)


def test_counts_are_poisson(tmp_path):
    """Without other noise: variance of the photons equals their mean."""
    run = simulate_detector(tmp_path, n_events=80, dtype="float32", **PLAIN)
    frames = read(run.data, "/entry_1/data_1/data").astype(float)
    photons = frames / (0.005 * 9500.0)
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-3)
    ratio = photons.var(axis=0, ddof=1) / photons.mean(axis=0)
    # The mean of 67584 estimates with a relative deviation of sqrt(2 / 79) each.
    assert ratio.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / 79 / ratio.size))


def test_gain_spread_and_read_noise(tmp_path):
    still = PLAIN | {"water": 20000.0, "adu_per_ev": 1e-5, "n_events": 20, "dtype": "float32"}
    spread = simulate_detector(tmp_path / "a", **(still | {"gain_spread": 0.05}))
    flat = simulate_detector(tmp_path / "b", **still)
    frames = [read(r.data, "/entry_1/data_1/data").mean(axis=0) for r in (spread, flat)]
    gain = frames[0] / frames[1]
    # Normal values clipped at 3 sigma: variance 0.9973 - 6 phi(3) + 9 x 0.0027 = 0.9950.
    assert gain.std() == pytest.approx(0.05 * 0.9975, rel=0.02)
    noisy = simulate_detector(tmp_path / "c", **(still | {"read_noise": 25.0}))
    noise = read(noisy.data, "/entry_1/data_1/data") - read(flat.data, "/entry_1/data_1/data")
    assert noise.std() == pytest.approx(25.0, rel=0.01)


def test_pulse_jitter(run):
    pulses = read(run.data, "/truth/pulse")
    assert pulses.mean() == pytest.approx(1.0, abs=4 * 0.06 / np.sqrt(60))
    assert pulses.std() == pytest.approx(0.06, rel=0.35)
    means = read(run.data, "/entry_1/data_1/data").astype(float)
    level = np.median(means.reshape(60, -1), axis=1)
    good = np.array(run.good)
    assert np.corrcoef(level[good], pulses[good])[0, 1] > 0.95


def test_a_third_of_the_events_is_switched_and_the_truth_says_which(run):
    label = read(run.data, "/truth/label")
    assert (label == np.array(run.good)).all()
    assert (label == 0).sum() == 20
    assert np.isnan(read(run.data, "/truth/drop")[label == 1]).all()
    drop = read(run.data, "/truth/drop")[label == 0]
    threshold = read(run.data, "/truth/threshold")[label == 0]
    assert 120 <= drop.min() < drop.max() <= 500
    assert 0.55 * 1700 <= threshold.min() < threshold.max() <= 0.85 * 1700
    good = [int(line.rpartition("//")[2]) for line in run.good_list.read_text().splitlines()]
    bad = [int(line.rpartition("//")[2]) for line in run.bad_list.read_text().splitlines()]
    assert good == np.flatnonzero(label == 1).tolist()
    assert bad == np.flatnonzero(label == 0).tolist()
    assert run.good_list.read_text().startswith(f"{run.data} //")


def test_the_artefact_lowers_exactly_the_pixels_above_the_level(tmp_path):
    """The same run with and without the artefact differs by the drop, where it should."""
    clean = simulate_detector(tmp_path / "a", n_events=6, dtype="float32", artefact_share=0.0)
    spoilt = simulate_detector(tmp_path / "b", n_events=6, dtype="float32", artefact_share=1.0)
    assert not any(spoilt.good)
    before = read(clean.data, "/entry_1/data_1/data")
    after = read(spoilt.data, "/entry_1/data_1/data")
    usable = read(clean.data, "/entry_1/data_1/mask") == 0
    for i in range(6):
        threshold = read(spoilt.data, "/truth/threshold")[i]
        drop = read(spoilt.data, "/truth/drop")[i]
        above = (before[i] > threshold) & usable
        np.testing.assert_allclose((before[i] - after[i])[above], drop, atol=0.01)
        assert (before[i] == after[i])[~above].all()
        switched = read(spoilt.data, "/truth/n_switched")[i]
        assert above.sum() <= switched <= above.sum() + (~usable).sum()


def test_artefact_on_one_panel_only(tmp_path):
    options = {"n_events": 3, "dtype": "float32"}
    clean = simulate_detector(tmp_path / "a", artefact_share=0.0, **options)
    spoilt = simulate_detector(
        tmp_path / "b", artefact_share=1.0, artefact_region="panel:p6a0", **options
    )
    change = read(clean.data, "/entry_1/data_1/data") - read(spoilt.data, "/entry_1/data_1/data")
    # p6a0 begins at row 6 x 88 and has 44 x 48 pixels.
    assert (change[:, 528:572, :48] != 0).any()
    change[:, 528:572, :48] = 0
    assert (change == 0).all()


def test_spots_are_where_the_truth_says(tmp_path):
    run = simulate_detector(
        tmp_path, n_events=4, dtype="float32", spot_photons=20000.0, **(PLAIN | {"spots_max": 60})
    )
    maker = FrameMaker(DETECTORS["small"], DetectorSimulationSettings())
    water = maker.expected_water(9500.0) * 0.005 * 9500.0
    seen = 0
    for i in range(4):
        frame = read(run.data, "/entry_1/data_1/data")[i]
        n = read(run.data, "/entry_1/result_1/nPeaks")[i]
        fs, ss, intensity = (
            read(run.data, f"/entry_1/result_1/{k}")[i][:n]
            for k in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity")
        )
        for x, y, total in zip(fs, ss, intensity, strict=True):
            rows, columns = np.mgrid[-2:3, -2:3] + np.rint([y, x]).astype(int)[:, None, None]
            excess = frame[rows, columns] - water[rows, columns]
            photons = float(total) / 47.5
            if photons < 10000:
                continue
            seen += 1
            assert excess.sum() == pytest.approx(total, abs=6 * 47.5 * np.sqrt(photons + 1000))
            # A width of 0.8 px over sqrt(photons), and the noise of the water below.
            assert (excess * columns).sum() / excess.sum() == pytest.approx(x, abs=0.07)
            assert (excess * rows).sum() / excess.sum() == pytest.approx(y, abs=0.07)
    assert seen > 20


def test_equal_seeds_give_equal_data_and_other_seeds_other(run, tmp_path):
    again = simulate_detector(tmp_path / "a", n_events=60, seed=3)
    other = simulate_detector(tmp_path / "b", n_events=60, seed=4)
    assert datasets(again.data) == datasets(run.data)
    assert again.geometry.read_bytes() == run.geometry.read_bytes() == other.geometry.read_bytes()
    assert datasets(other.data)["entry_1/data_1/mask"] == datasets(run.data)["entry_1/data_1/mask"]
    first, second = (read(r.data, "/entry_1/data_1/data")[0] for r in (run, other))
    assert (first != second).mean() > 0.9


def test_bad_pixels_are_masked(run):
    mask = read(run.data, "/entry_1/data_1/mask")
    frames = read(run.data, "/entry_1/data_1/data")
    assert 20 < (mask != 0).sum() < 140  # 0.1 % of 67584, five deviations
    assert (frames[:, mask == 8] == 0).all()  # dead
    assert (frames[:, mask == 4] == 32767).all()  # hot


def test_compressed_frames_are_the_same(run, tmp_path):
    small = simulate_detector(tmp_path, n_events=60, seed=3, compression="gzip")
    assert datasets(small.data) == datasets(run.data)
    assert small.data.stat().st_size < run.data.stat().st_size


def test_nothing_is_overwritten_unless_allowed(tmp_path):
    first = simulate_detector(tmp_path, n_events=2, seed=1)
    before = first.data.read_bytes()
    with pytest.raises(OutputError, match=r"run0001\.cxi exists already"):
        simulate_detector(tmp_path, n_events=2, seed=2)
    assert first.data.read_bytes() == before
    simulate_detector(tmp_path, n_events=2, seed=2, overwrite=True)
    assert first.data.read_bytes() != before


def test_another_geometry_of_that_name_is_kept(tmp_path):
    (tmp_path / "small.geom").write_text("mine\n")
    with pytest.raises(OutputError, match=r"small\.geom exists already"):
        simulate_detector(tmp_path, n_events=1)
    assert (tmp_path / "small.geom").read_text() == "mine\n"
    assert not (tmp_path / "run0001.cxi").exists()


def test_a_broken_off_simulation_leaves_no_file(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_detector(tmp_path, n_events=3, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["truth"]


def test_progress_counts_events(tmp_path):
    told: list[tuple[int, int]] = []
    simulate_detector(tmp_path, n_events=3, progress=lambda *pair: told.append(pair))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        simulate_detector(tmp_path / "file" / "run", n_events=1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_events": 0}, "n_events is 0 but must be at least 1"),
        ({"detector": "cspad"}, "must be one of small, epix10k2m"),
        ({"spots_min": 9, "spots_max": 3}, "spots_min is 9 but must not be above spots_max"),
        ({"artefact_region": "panel:p99a0"}, "no panel 'p99a0'"),
        ({"artefact_region": "somewhere"}, "must be detector or panel:NAME"),
        ({"colour": 1}, "Unknown setting 'colour'"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(tmp_path, changes, sentence):
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        simulate_detector(tmp_path, **changes)
    assert not list(tmp_path.iterdir())
